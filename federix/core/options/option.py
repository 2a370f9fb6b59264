"""How a module, a listener or the server declares an option: default, type, unit, bounds and text in one expression.

@dataclass(frozen=True)
class Options(Module.Options):
    ping_interval: float = option(60.0, "Seconds of silence before a client is pinged.", unit="s", minimum=1)
"""

from __future__ import annotations

import copy
import inspect
import typing
from collections.abc import Callable, Iterable
from dataclasses import Field, dataclass, field, fields
from typing import Literal, TypeVar, cast

from federix.core.options.node import Node

T = TypeVar("T")
Unit = Literal["s", "bytes", "bytes/s"]

_KEY = "federix.option"


@dataclass(frozen=True, slots=True)
class Specification:
    """What `option()` was told beside default and type."""

    doc: str
    minimum: float | None = None
    maximum: float | None = None
    unit: Unit | None = None
    kind: Callable[[Node, str], object] | None = None
    infinity: bool = False


def option(
    default: T,
    doc: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    unit: Unit | None = None,
    kind: Callable[[Node, str], T] | None = None,
    infinity: bool = False,
) -> T:
    """Declare one option of an Options class.

    The annotation is its type: `bool`, `int`, `float`, `str`, a `Literal` or `Enum` (a choice), `T | None`, a list,
    tuple or set of one of them (where one value alone counts as a list of one), `dict[str, T]`, another class of
    options, `JID`, `AccessRule`, `HostPattern`, `Secret`, `Path`. *doc* is for the operator.

    *unit*: "s" reads durations (`5 min`), "bytes" sizes (`10 MiB`). *infinity* allows the word: it gives `math.inf`
    to a float, and None to an `int | None`. *minimum* and *maximum* hold for each number read. *kind* replaces the
    reader that the annotation would choose: it is given node and path, and raises ConfigError.
    """
    metadata = {_KEY: Specification(doc, minimum, maximum, unit, kind, infinity)}
    if isinstance(default, list | dict | set):
        return cast("T", field(default_factory=lambda: copy.deepcopy(default), metadata=metadata))
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Options:
    """Base of every class of options: subclasses are frozen dataclasses whose fields are made by `option()`."""

    def check(self) -> Iterable[tuple[str, str]]:
        """What is wrong between options that are right one by one: (name of the option, why)."""
        return ()


@dataclass(frozen=True, slots=True)
class Declared:
    """One declared option: its field, its type with names resolved, and its specification."""

    name: str
    annotation: object
    specification: Specification
    default: object


def declared(cls: type[Options]) -> tuple[Declared, ...]:
    """The options of *cls* in the order of the file. Raises TypeError where the class is not made as it should be."""
    if "__dataclass_params__" not in vars(cls) and inspect.get_annotations(cls):
        raise TypeError(f"{cls.__qualname__} lacks its @dataclass(frozen=True)")
    annotations = typing.get_type_hints(cls)
    return tuple(_declared(cls, entry, annotations[entry.name]) for entry in fields(cls) if entry.init)


def _declared(cls: type[Options], entry: Field[object], annotation: object) -> Declared:
    specification = entry.metadata.get(_KEY)
    if not isinstance(specification, Specification):
        raise TypeError(f"{cls.__qualname__}.{entry.name} is not declared by option()")
    default = entry.default if callable(entry.default_factory) is False else entry.default_factory()  # type: ignore[operator]
    return Declared(entry.name, annotation, specification, default)
