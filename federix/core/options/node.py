"""The configuration as a tree whose every value knows where it was written.

YAML and plain Python mappings both become this tree, so an error can name file, line and column whatever the value
went through on its way: macros, included files, settings for one host.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeAlias

from federix.core.options.problems import NOWHERE, ConfigError, Place, joined

MAXIMUM_DEPTH = 40
"""Levels of nesting a configuration may have; bounds every recursion over it."""

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


@dataclass(frozen=True, slots=True)
class Scalar:
    """One word, number or string. *text* is as written, so `no` stays a language and `0755` a file mode."""

    text: str
    place: Place = NOWHERE
    style: Literal["plain", "single", "double"] = "plain"

    @property
    def is_null(self) -> bool:
        """Whether nothing was written (`key:` alone, `~`, `null`)."""
        return self.style == "plain" and self.text in _NULLS

    @property
    def kind(self) -> str:
        return "nothing" if self.is_null else repr(self.text if len(self.text) <= 60 else self.text[:59] + "…")


@dataclass(frozen=True, slots=True)
class ListNode:
    """A list."""

    items: tuple[Node, ...] = ()
    place: Place = NOWHERE

    @property
    def kind(self) -> str:
        return "a list"


@dataclass(frozen=True, slots=True)
class MapNode:
    """A map; no key occurs twice, and the order is the writer's."""

    entries: tuple[tuple[Scalar, Node], ...] = ()
    place: Place = NOWHERE

    @property
    def kind(self) -> str:
        return "a map"

    def __iter__(self) -> Iterator[tuple[Scalar, Node]]:
        return iter(self.entries)

    def get(self, name: str) -> Node | None:
        """The value under *name*, or None where there is none."""
        return next((value for key, value in self.entries if key.text == name), None)

    def without(self, *names: str) -> MapNode:
        """The same map without the keys *names*."""
        return MapNode(tuple((key, value) for key, value in self.entries if key.text not in names), self.place)


Node: TypeAlias = Scalar | ListNode | MapNode


def node_of(value: object, place: Place = NOWHERE, path: str = "", depth: int = 0) -> Node:
    """Turn plain Python *value* (mappings, lists, strings, numbers, None) into the tree; nodes pass unchanged.

    Raises ConfigError for anything else, and for what nests deeper than MAXIMUM_DEPTH (a list that holds itself).
    """
    if depth > MAXIMUM_DEPTH:
        raise ConfigError(path, f"is nested deeper than {MAXIMUM_DEPTH} levels", place)
    if isinstance(value, Scalar | ListNode | MapNode):
        return value
    if isinstance(value, Mapping):
        return _map_of(value, place, path, depth)
    if isinstance(value, list | tuple | Set):
        parts = [node_of(item, place, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
        return ListNode(tuple(parts), place)
    return _scalar_of(value, place, path)


def _map_of(value: Mapping[object, object], place: Place, path: str, depth: int) -> MapNode:
    entries: dict[str, tuple[Scalar, Node]] = {}
    for name, item in value.items():
        key = _scalar_of(name, place, path)
        if key.text in entries:
            raise ConfigError(joined(path, key.text), "is given twice", place)
        entries[key.text] = (key, node_of(item, place, joined(path, key.text), depth + 1))
    return MapNode(tuple(entries.values()), place)


def _scalar_of(value: object, place: Place, path: str) -> Scalar:
    if value is None:
        return Scalar("", place)
    if isinstance(value, bool):
        return Scalar("true" if value else "false", place)
    if isinstance(value, int) and not isinstance(value, str):
        # Python refuses to print integers of more than 4300 digits; no setting needs them.
        if value.bit_length() > 128:
            raise ConfigError(path, "is too large a number", place)
        return Scalar(str(value), place)
    if isinstance(value, timedelta):
        return Scalar(repr(value.total_seconds()), place)
    if isinstance(value, float):
        return Scalar("infinity" if value == math.inf else repr(value), place)
    if isinstance(value, str):
        return checked(Scalar(str(value), place, "single"), path)
    if hasattr(value, "__fspath__"):
        return checked(Scalar(str(value), place, "single"), path)
    raise ConfigError(path, f"cannot be a {type(value).__name__}", place)


def checked(scalar: Scalar, path: str) -> Scalar:
    """*scalar*, refused when it holds characters that no setting needs and no file name may have."""
    if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in scalar.text):
        raise ConfigError(path, "holds a character that is not allowed", scalar.place)
    return scalar
