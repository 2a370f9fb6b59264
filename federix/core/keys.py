"""Typed keys: what a module keeps about a session, under its own name.

``PINGED = Key[float]("mod_ping.pinged")``, then ``session.notes[PINGED] = 1.0`` and ``session.notes.get(PINGED)``.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

T = TypeVar("T")
D = TypeVar("D")


class Key(Generic[T]):
    """Names one fact of type T; qualify its *name* with your module's. Two keys are never the same fact."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<Key {self.name}>"


class Notes:
    """Facts by key, each of the type its key says; ``notes[KEY]`` raises KeyError where there is none."""

    __slots__ = ("_facts",)

    def __init__(self) -> None:
        self._facts: dict[Key[Any], Any] = {}

    def get(self, key: Key[T]) -> T | None:
        """The fact; ``None`` where there is none."""
        return self._facts.get(key)

    def __getitem__(self, key: Key[T]) -> T:
        value: T = self._facts[key]
        return value

    def __setitem__(self, key: Key[T], value: T) -> None:
        self._facts[key] = value

    def __contains__(self, key: Key[Any]) -> bool:
        return key in self._facts

    def pop(self, key: Key[T]) -> T | None:
        """The fact, which is forgotten; ``None`` where there was none."""
        value: T | None = self._facts.pop(key, None)
        return value
