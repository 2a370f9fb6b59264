"""Reading a class of options from the tree, by the types it is annotated with, collecting everything that is wrong."""

from __future__ import annotations

import enum
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal, TypeVar, cast

from federix.core.options.node import ListNode, MapNode, Node, Scalar, node_of
from federix.core.options.option import Options, Specification, declared
from federix.core.options.problems import ConfigError, ConfigErrors, Place, Problem, did_you_mean, joined
from federix.core.options.values import (
    is_infinity,
    plain_number,
    read_duration,
    read_integer,
    read_number,
    read_size,
    read_truth,
    word,
)

O = TypeVar("O", bound=Options)  # noqa: E741 -- the class of options that is read

_PLAIN = Specification("")
_FAILED = object()
_NONES = frozenset({"none", "undefined"})
#: An abbreviation up to the next word, or a word.
_WORDS = re.compile(r"[A-Z0-9]+(?![a-z])|[A-Z]?[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Reference:
    """A name of a rule that some option uses and that must be defined somewhere."""

    kind: Literal["access", "shaper", "rate", "acl"]
    name: str
    path: str
    place: Place


class Reader:
    """One reading: what it found wrong, worth a warning, and which rules are named."""

    def __init__(self) -> None:
        self.errors: list[Problem] = []
        self.warnings: list[Problem] = []
        self.references: list[Reference] = []

    def problem(self, path: str, why: str, place: Place) -> None:
        """Note an error."""
        self.errors.append(Problem(path, why, place))

    def warn(self, path: str, why: str, place: Place) -> None:
        """Note a warning."""
        self.warnings.append(Problem(path, why, place))

    def read(
        self,
        cls: type[O],
        node: Node | None,
        path: str,
        foreign: Mapping[str, str] | None = None,
        neighbours: Iterable[str] = (),
    ) -> O:
        """Read *cls* from *node*; an option that is wrong keeps its default and is noted in `errors`.

        *foreign* are options that are known but not here, with the reason: they make warnings instead of errors.
        *neighbours* are words to hint at that are read elsewhere.
        """
        values: dict[str, object] = {}
        options = {entry.name: entry for entry in declared(cls)}
        places: dict[str, Place] = {}
        before = len(self.errors)
        for key, value in self.entries(node, path):
            where = joined(path, key.text)
            entry = options.get(key.text)
            if entry is None:
                self._unknown(key, where, [*options, *neighbours], foreign or {})
                continue
            places[key.text] = value.place
            found = self.value(entry.annotation, value, where, entry.specification)
            if found is not _FAILED:
                values[key.text] = found
        instance = cls(**values)
        for name, why in instance.check() if len(self.errors) == before else ():
            self.errors.append(Problem(joined(path, name), why, places.get(name) or _place(node)))
        return instance

    def entries(self, node: Node | None, path: str) -> list[tuple[Scalar, Node]]:
        """The entries of a map; nothing written is an empty map, and a list of maps counts as one map."""
        if node is None or (isinstance(node, Scalar) and node.is_null):
            return []
        if isinstance(node, MapNode):
            return list(node)
        if isinstance(node, ListNode) and all(isinstance(item, MapNode) for item in node.items):
            found: dict[str, tuple[Scalar, Node]] = {}
            for item in node.items:
                for key, value in cast("MapNode", item):
                    if key.text in found:
                        self.errors.append(Problem(joined(path, key.text), "is given twice", key.place))
                    found[key.text] = (key, value)
            return list(found.values())
        self.errors.append(Problem(path, f"must be a map, not {node.kind}", node.place))
        return []

    def value(self, annotation: object, node: Node, path: str, specification: Specification = _PLAIN) -> object:
        """Read one value of the type *annotation*; notes what is wrong and returns a mark that no caller may use."""
        try:
            return self._value(annotation, node, path, specification)
        except ConfigError as error:
            self.errors.append(error.problem)
            return _FAILED

    def _unknown(self, key: Scalar, path: str, known: Iterable[str], foreign: Mapping[str, str]) -> None:
        if key.text in foreign:
            self.warnings.append(Problem(path, foreign[key.text], key.place))
            return
        hint = did_you_mean(key.text, [*known, *foreign])
        self.errors.append(Problem(path, f"unknown option{hint}", key.place))

    def _value(self, annotation: object, node: Node, path: str, specification: Specification) -> object:
        if specification.kind is not None:
            if _is_null(node) and type(None) in typing.get_args(annotation):
                return None
            return specification.kind(node, path)
        if annotation is float and specification.infinity and is_infinity(node):
            return math.inf
        origin = typing.get_origin(annotation)
        arguments = typing.get_args(annotation)
        if origin in (typing.Union, types.UnionType):
            return self._union(arguments, node, path, specification)
        if origin is Literal:
            return _literal(arguments, node, path)
        if origin in (list, tuple, set, frozenset):
            return self._several(origin, arguments[0], node, path, specification)
        if origin in (dict, Mapping):
            return self._mapping(arguments, node, path, specification)
        return self._single(annotation, node, path, specification)

    def _union(self, members: tuple[object, ...], node: Node, path: str, specification: Specification) -> object:
        some = [member for member in members if member is not type(None)]
        if len(some) < len(members):
            if isinstance(node, Scalar) and (node.is_null or (node.text in _NONES and str not in some)):
                return None
            if specification.infinity and is_infinity(node) and float not in some:
                return None
        if len(some) == 1:
            return self._value(some[0], node, path, specification)
        for member in some:
            trial = Reader()
            found = trial.value(member, node, path, specification)
            if not trial.errors:
                self.warnings += trial.warnings
                self.references += trial.references
                return found
        wanted = " or ".join(type_name(member, specification) for member in some)
        raise ConfigError(path, f"must be {wanted}, not {node.kind}", node.place)

    def _several(
        self, origin: Callable[[Any], object], member: object, node: Node, path: str, specification: Specification
    ) -> object:
        """A list; one value alone counts as a list of one."""
        if isinstance(node, Scalar) and node.is_null:
            return origin(())
        parts = node.items if isinstance(node, ListNode) else (node,)
        found = [
            self.value(member, part, f"{path}[{index}]" if isinstance(node, ListNode) else path, specification)
            for index, part in enumerate(parts)
        ]
        return _FAILED if any(item is _FAILED for item in found) else origin(found)

    def _mapping(self, arguments: tuple[object, ...], node: Node, path: str, specification: Specification) -> object:
        before = len(self.errors)
        found = {}
        for key, value in self.entries(node, path):
            name = self.value(arguments[0], key, joined(path, key.text))
            found[name] = self.value(arguments[1], value, joined(path, key.text), specification)
        return found if len(self.errors) == before else _FAILED

    def _single(self, annotation: object, node: Node, path: str, specification: Specification) -> object:
        if annotation is bool:
            return read_truth(node, path)
        if annotation is int:
            return _bounded(_integer(node, path, specification), node, path, specification)
        if annotation is float:
            reader = read_duration if specification.unit == "s" else read_number
            return _bounded(reader(node, path), node, path, specification)
        if annotation is str:
            return word(node, path, "a string")
        if annotation is object:
            return plain(node)
        if isinstance(annotation, type):
            return self._class(annotation, node, path)
        raise TypeError(f"{path}: options of type {annotation!r} cannot be read")

    def _class(self, cls: type, node: Node, path: str) -> object:
        if issubclass(cls, Options):
            return self.read(cls, node, path)
        if issubclass(cls, enum.Enum):
            return cls(_literal(tuple(member.value for member in cls), node, path))
        if issubclass(cls, PurePath):
            return cls(word(node, path, "a path"))
        if hasattr(cls, "read_node"):
            return cls.read_node(node, path, self)
        if hasattr(cls, "from_node"):
            return cls.from_node(node, path)
        if hasattr(cls, "parse"):
            text = word(node, path, f"a {cls.__name__}")
            try:
                return cls.parse(text)
            except ValueError:
                raise ConfigError(path, f"must be a {cls.__name__}, not {node.kind}", node.place) from None
        raise TypeError(f"{path}: options of type {cls.__name__} cannot be read")


def read(cls: type[O], node: Node | Mapping[str, object] | None, path: str = "") -> O:
    """Read *cls* from a tree or a plain mapping. Raises ConfigErrors with everything that is wrong."""
    reader = Reader()
    try:
        instance = reader.read(cls, None if node is None else node_of(node, path=path), path)
    except ConfigError as error:
        raise ConfigErrors([error.problem]) from None
    if reader.errors:
        raise ConfigErrors(reader.errors)
    return instance


def plain(node: Node) -> object:
    """*node* as Python data without its places; words stay strings, so the reader decides what a number is."""
    if isinstance(node, MapNode):
        return {key.text: plain(value) for key, value in node}
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    return None if node.is_null else node.text


def type_name(annotation: object, specification: Specification = _PLAIN) -> str:
    """The type for people: "duration", "list of string", "one of none, kill"."""
    if specification.kind is not None:
        return specification.kind.__name__.removeprefix("read_").strip("_").replace("_", " ")
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        names = [type_name(member, specification) for member in arguments if member is not type(None)]
        missing = "infinity" if specification.infinity else "none"
        return " or ".join([*names, missing] if type(None) in arguments else names)
    if origin is Literal:
        return "one of " + ", ".join(_literal_text(value) for value in arguments)
    if origin in (list, tuple, set, frozenset):
        return f"list of {type_name(arguments[0], specification)}"
    if origin in (dict, Mapping):
        return f"map of {type_name(arguments[0])} to {type_name(arguments[1], specification)}"
    return _simple_name(annotation, specification)


def _simple_name(annotation: object, specification: Specification) -> str:
    if annotation in (int, float) and specification.unit is not None:
        name = {"s": "duration", "bytes": "size", "bytes/s": "rate"}[specification.unit]
    else:
        names: dict[object, str] = {
            bool: "true or false",
            int: "whole number",
            float: "number",
            str: "string",
            object: "anything",
        }
        name = names.get(annotation, "")
    if not name and isinstance(annotation, type):
        if issubclass(annotation, enum.Enum):
            return "one of " + ", ".join(_literal_text(member.value) for member in annotation)
        name = str(getattr(annotation, "type_name", "")) or _spaced(annotation.__name__)
    return f"{name} or infinity" if specification.infinity and annotation is float else name


def _spaced(name: str) -> str:
    """The words of a class's name: "host pattern" for `HostPattern`, and `JID` as it is."""
    words = _WORDS.findall(name)
    return " ".join(word if len(word) > 1 and word.isupper() else word.lower() for word in words)


def _integer(node: Node, path: str, specification: Specification) -> int:
    if specification.unit in ("bytes", "bytes/s"):
        return read_size(node, path)
    if specification.unit == "s":
        seconds = read_duration(node, path)
        if not seconds.is_integer():
            raise ConfigError(path, "must be a whole number of seconds", node.place)
        return int(seconds)
    return read_integer(node, path)


def _bounded(value: Any, node: Node, path: str, specification: Specification) -> Any:
    low, high = specification.minimum, specification.maximum
    if low is not None and value < low:
        raise ConfigError(path, f"must be at least {plain_number(low)}, not {node.kind}", node.place)
    if high is not None and value > high:
        raise ConfigError(path, f"must be at most {plain_number(high)}, not {node.kind}", node.place)
    return value


def _literal(values: tuple[object, ...], node: Node, path: str) -> object:
    texts = {_literal_text(value): value for value in values}
    wanted = f"one of {', '.join(texts)}"
    text = word(node, path, wanted) if None not in values or not _is_null(node) else ""
    if text == "" and None in values:
        return None
    if text in texts:
        return texts[text]
    raise ConfigError(path, f"must be {wanted}, not {node.kind}{did_you_mean(text, texts)}", node.place)


def _literal_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.is_null


def _place(node: Node | None) -> Place:
    return Place() if node is None else node.place
