"""Reading options back: for generated documentation, and to show what is in force."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import PurePath

from federix.core.options.option import Options, declared
from federix.core.options.reader import type_name
from federix.core.options.values import Secret, plain_number

HIDDEN = "(hidden)"


@dataclass(frozen=True, slots=True)
class OptionDoc:
    """One option for people."""

    name: str
    type: str
    default: str
    doc: str
    unit: str | None
    minimum: float | None
    maximum: float | None


def describe(cls: type[Options]) -> list[OptionDoc]:
    """Every option of *cls*, in the order of the file."""
    return [
        OptionDoc(
            entry.name,
            type_name(entry.annotation, entry.specification),
            show("infinity" if entry.default is None and entry.specification.infinity else entry.default),
            entry.specification.doc,
            entry.specification.unit,
            entry.specification.minimum,
            entry.specification.maximum,
        )
        for entry in declared(cls)
    ]


def written(value: object) -> object:
    """*value* as plain data that the reader turns into *value* again; secrets are revealed, so never log it."""
    if isinstance(value, Options):
        return {entry.name: written(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, enum.Enum):
        return written(value.value)
    if isinstance(value, Mapping):
        return {written(key): written(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [written(item) for item in value]
    if hasattr(value, "written"):
        return value.written()
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return str(value)


def in_force(options: Options) -> dict[str, str]:
    """Each option with its value as text; secrets are hidden."""
    return {entry.name: show(getattr(options, entry.name)) for entry in fields(options)}


def show(value: object) -> str:
    """*value* as one would write it in the file, on one line; secrets are hidden."""
    if isinstance(value, Secret):
        return HIDDEN
    if value is None or value == () or value == []:
        return "none" if value is None else "[]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, enum.Enum):
        return show(value.value)
    if hasattr(value, "written"):
        return show(value.written())
    if isinstance(value, int | float):
        return "infinity" if value == math.inf else plain_number(value)
    if isinstance(value, str | PurePath):
        return str(value) or '""'
    if isinstance(value, Options):
        return "{" + ", ".join(f"{name}: {text}" for name, text in in_force(value).items()) + "}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{show(key)}: {show(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple | set | frozenset):
        return "[" + ", ".join(show(item) for item in value) + "]"
    return str(value)
