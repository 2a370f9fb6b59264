"""Macros (`define_macro`) stand for whole values, keywords (`define_keyword`, `@NAME@`) for parts of words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from federix.core.options import ConfigError, ListNode, MapNode, Node, Place, Reader, Scalar, did_you_mean, joined
from federix.server.config.yaml import Budget, parse

ENVIRONMENT = ("EJABBERD_MACRO_", "FEDERIX_MACRO_")
"""What the names of environment variables that define macros begin with; later ones win over earlier ones."""

PREDEFINED = ("HOST", "HOST_URL_ENCODE", "HOME", "CONFIG_PATH", "DATABASE_PATH", "LOG_PATH", "SEMVER", "VERSION")
"""The keywords everybody has; HOST and HOST_URL_ENCODE only where a value belongs to a host."""

MAXIMUM_WORD = 65536
"""Characters of one word after its keywords have been filled in."""

_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_KEYWORD = re.compile(r"@([A-Z][A-Z0-9_]*)@")


def environment_macros(environ: Mapping[str, str], budget: Budget) -> dict[str, Node]:
    """The macros that environment variables define. A value in [] or {} is YAML, another one a single word."""
    found: dict[str, Node] = {}
    for prefix in ENVIRONMENT:
        for variable in sorted(environ):
            name = variable.removeprefix(prefix)
            if name == variable or not _NAME.fullmatch(name):
                continue
            value = environ[variable]
            place = Place(f"${variable}")
            is_yaml = value.lstrip().startswith(("[", "{"))
            found[name] = parse(value, str(place), budget) if is_yaml else Scalar(value, place)
    return found


def read_definitions(reader: Reader, node: Node | None, section: str) -> dict[str, Node]:
    """The names that *section* (`define_macro` or `define_keyword`) defines; they must be upper case."""
    found: dict[str, Node] = {}
    for key, value in reader.entries(node, section):
        path = joined(section, key.text)
        if not _NAME.fullmatch(key.text):
            reader.problem(path, "must be a name in upper case letters, digits and '_'", key.place)
        elif section == "define_keyword" and not isinstance(value, Scalar):
            reader.problem(path, f"must be a single word, not {value.kind}", value.place)
        else:
            found[key.text] = value
    return found


class Substitution:
    """Fills in macros and keywords. The values keep the places where they were written."""

    def __init__(self, macros: Mapping[str, Node], keywords: Mapping[str, str], reader: Reader, budget: Budget) -> None:
        self._macros = macros
        # A macro that is a single word may stand in a word as well.
        words = {name: value.text for name, value in macros.items() if isinstance(value, Scalar)}
        self._keywords = words | dict(keywords)
        self._reader = reader
        self._budget = budget

    def apply(self, node: Node, path: str = "", inside: tuple[str, ...] = ()) -> Node:
        """*node* with everything filled in. Raises ConfigError for a macro that leads back to itself."""
        self._budget.spend(path, node.place)
        if isinstance(node, ListNode):
            parts = (self.apply(item, f"{path}[{index}]", inside) for index, item in enumerate(node.items))
            return ListNode(tuple(parts), node.place)
        if isinstance(node, MapNode):
            return self._map(node, path, inside)
        macro = self._macros.get(node.text) if node.style != "double" else None
        if macro is None:
            return self._word(node, path)
        if node.text in inside:
            raise ConfigError(path, f"the macro {node.text} leads back to itself", node.place)
        return self.apply(macro, path, (*inside, node.text))

    def _map(self, node: MapNode, path: str, inside: tuple[str, ...]) -> MapNode:
        entries: dict[str, tuple[Scalar, Node]] = {}
        for key, value in node:
            name = self.apply(key, path, inside)
            if not isinstance(name, Scalar):
                raise ConfigError(path, f"the macro {key.text} is not a single word, so it cannot be a key", key.place)
            where = joined(path, name.text)
            if name.text in entries:
                raise ConfigError(where, "is given twice", key.place)
            entries[name.text] = (name, self.apply(value, where, inside))
        return MapNode(tuple(entries.values()), node.place)

    def _word(self, scalar: Scalar, path: str) -> Scalar:
        if "@" not in scalar.text:
            return scalar
        for name in _KEYWORD.findall(scalar.text):
            if name not in self._keywords and name not in PREDEFINED:
                hint = did_you_mean(name, [*self._keywords, *PREDEFINED])
                self._reader.warn(path, f"no keyword is called {name}{hint}", scalar.place)
        return filled_in(scalar, self._keywords, path)


def filled_in(scalar: Scalar, keywords: Mapping[str, str], path: str) -> Scalar:
    """*scalar* with each `@NAME@` that *keywords* has replaced once; others stay."""
    text = _KEYWORD.sub(lambda found: keywords.get(found[1], found[0]), scalar.text)
    if len(text) > MAXIMUM_WORD:
        raise ConfigError(
            path, f"is longer than {MAXIMUM_WORD} characters once its keywords are filled in", scalar.place
        )
    return Scalar(text, scalar.place, scalar.style)


def for_host(node: Node, host: str, path: str = "") -> Node:
    """*node* with `@HOST@` and `@HOST_URL_ENCODE@` filled in; the same object where there are none."""
    if isinstance(node, Scalar):
        if "@HOST" not in node.text:
            return node
        return filled_in(node, {"HOST": host, "HOST_URL_ENCODE": quote(host, safe="")}, path)
    if isinstance(node, ListNode):
        items = tuple(for_host(item, host, f"{path}[{index}]") for index, item in enumerate(node.items))
        return node if all(map(_same, items, node.items)) else ListNode(items, node.place)
    values = tuple(for_host(value, host, joined(path, key.text)) for key, value in node)
    if all(new is old for new, (_key, old) in zip(values, node.entries, strict=True)):
        return node
    return MapNode(tuple((key, new) for new, (key, _old) in zip(values, node.entries, strict=True)), node.place)


def _same(one: object, other: object) -> bool:
    return one is other
