"""YAML into the tree of the configuration, with the place of every word.

PyYAML's composer does the reading; nothing is ever constructed from a tag. Words stay as they were written: what is a
number or a truth is decided by the option that reads it.
"""

from __future__ import annotations

import re
from typing import Any, Literal, cast

import yaml
from yaml.nodes import MappingNode, ScalarNode, SequenceNode

from federix.core.options import ConfigError, ConfigErrors, ListNode, MapNode, Node, Place, Problem, Scalar
from federix.core.options.node import MAXIMUM_DEPTH, checked

MAXIMUM_TEXT = 1024 * 1024
"""Characters of one file."""

MAXIMUM_NODES = 50_000
"""Values in a configuration, repeated ones (`*alias`) counted each time."""

_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = frozenset(
    _TAG + name for name in ("null", "bool", "int", "float", "str", "timestamp", "value", "merge", "seq", "map")
)
_STYLES: dict[str | None, Literal["plain", "single"]] = {None: "plain", "": "plain", "'": "single"}


class Budget:
    """How many more values may come into being; shared by all steps of one loading."""

    def __init__(self, nodes: int = MAXIMUM_NODES) -> None:
        self._left = nodes

    def spend(self, path: str, place: Place) -> None:
        self._left -= 1
        if self._left < 0:
            raise ConfigError(path, f"the configuration has more than {MAXIMUM_NODES} values", place)


def parse(text: str, name: str, budget: Budget | None = None) -> Node:
    """The tree of *text*, which is called *name* in errors. Raises ConfigError, or ConfigErrors."""
    if len(text) > MAXIMUM_TEXT:
        raise ConfigError("", f"is larger than {MAXIMUM_TEXT} characters", Place(name))
    try:
        loader = _Loader(text)
        loader.called = name
        try:
            found = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(name, mark.line + 1, mark.column + 1) if mark else Place(name)
        why = ", ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError("", f"is not YAML: {why}{_hint(text, place)}", place) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError("", f"is not YAML: {error.reason}", Place(name, line, 1)) from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError):
        # PyYAML lets some of these through, for an escape beyond Unicode for one.
        raise ConfigError("", "is not YAML", Place(name)) from None
    if found is None:
        return Scalar("", Place(name, 1, 1))
    converter = _Converter(name, budget or Budget())
    tree = converter.convert(found, 0)
    if converter.problems:
        raise ConfigErrors(converter.problems)
    return tree


class _Loader(yaml.SafeLoader):
    """Composes no deeper than the tree may be: PyYAML's composer calls itself for each level."""

    depth = 0
    called = ""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAXIMUM_DEPTH:
            mark = cast("Any", self).peek_event().start_mark
            place = Place(self.called, mark.line + 1, mark.column + 1)
            raise ConfigError("", f"is nested deeper than {MAXIMUM_DEPTH} levels", place)
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


class _Converter:
    def __init__(self, name: str, budget: Budget) -> None:
        self._name = name
        self._budget = budget
        self.problems: list[Problem] = []

    def convert(self, node: yaml.Node, depth: int) -> Node:
        place = Place(self._name, node.start_mark.line + 1, node.start_mark.column + 1)
        self._budget.spend("", place)
        # An anchor may hold an alias of itself: that is endless depth.
        if depth > MAXIMUM_DEPTH:
            raise ConfigError("", f"is nested deeper than {MAXIMUM_DEPTH} levels", place)
        if node.tag not in _PLAIN_TAGS:
            raise ConfigError("", f"the tag {node.tag.replace(_TAG, '!!')!r} means nothing here", place)
        if isinstance(node, ScalarNode):
            return checked(Scalar(str(node.value), place, _STYLES.get(node.style, "double")), "")
        if isinstance(node, SequenceNode):
            return ListNode(tuple(self.convert(item, depth + 1) for item in node.value), place)
        assert isinstance(node, MappingNode)
        return MapNode(self._entries(node, depth), place)

    def _entries(self, node: MappingNode, depth: int) -> tuple[tuple[Scalar, Node], ...]:
        own: dict[str, tuple[Scalar, Node]] = {}
        merged: dict[str, tuple[Scalar, Node]] = {}
        for key_node, value_node in node.value:
            key = self.convert(key_node, depth + 1)
            if not isinstance(key, Scalar):
                raise ConfigError("", "a key must be a single word", key.place)
            value = self.convert(value_node, depth + 1)
            if key_node.tag == _TAG + "merge":
                for source in value.items if isinstance(value, ListNode) else (value,):
                    if not isinstance(source, MapNode):
                        raise ConfigError("", "'<<' must name a map", source.place)
                    merged = {entry[0].text: entry for entry in source} | merged
                continue
            if key.text in own:
                why = f"{key.text!r} is given twice (first in line {own[key.text][0].place.line})"
                self.problems.append(Problem("", why, key.place))
                continue
            own[key.text] = (key, value)
        return tuple((merged | own).values())


def _hint(text: str, place: Place) -> str:
    """What usually is behind an error: a tab, or a word that starts like something else."""
    lines = text.splitlines()
    line = lines[place.line - 1] if 0 < place.line <= len(lines) else ""
    if re.match(r" *\t", line):
        return " (indent with spaces, not with tabs)"
    if re.search(r":\s+[@%`*&!]", line):
        return " (quote values that begin with @, %, *, &, ! or `)"
    return ""
