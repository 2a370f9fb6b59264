"""Who may do what, and how much: `acl`, `access_rules`, `shaper` and `shaper_rules`, in ejabberd's grammar.

An `Access` is compiled once from the configuration and never changes; a reload makes another one. Asking costs a few
microseconds: do it at a login or when a room is made, not for every stanza.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from twisted.logger import Logger

from federix.core.conditions import ANYWHERE, Condition, Listed, Lists, Who, read_conditions
from federix.core.options import (
    NOWHERE,
    ConfigError,
    ConfigErrors,
    MapNode,
    Node,
    Reader,
    Scalar,
    did_you_mean,
    joined,
    node_of,
)
from federix.core.options.values import is_infinity, read_size
from federix.core.rules import (
    RESERVED_RULES,
    UNLIMITED,
    AccessRule,
    Choice,
    Clause,
    ShaperRule,
    read_choices,
    read_clauses,
)

__all__ = ["WELL_KNOWN", "Access", "AccessRule", "Rate", "ShaperRule", "Who"]

MAXIMUM_LIST_DEPTH = 10
"""How many lists may stand in each other: a list that names a list that names a list."""

WELL_KNOWN: Mapping[str, Mapping[str, object]] = {
    "acl": {
        "admin": [],
        "blocked": [],
        "local": {"user_regexp": ""},
        "loopback": {"ip": ["127.0.0.0/8", "::1/128"]},
    },
    "access_rules": {
        "local": [{"allow": "local"}],
        "c2s": [{"deny": "blocked"}, "allow"],
        "s2s": ["allow"],
        "announce": [{"allow": "admin"}],
        "configure": [{"allow": "admin"}],
        "muc_create": [{"allow": "local"}],
        "pubsub_createnode": [{"allow": "local"}],
        "register": [{"allow": "loopback"}],
        "trusted_network": [{"allow": "loopback"}],
    },
    "shaper": {
        "normal": {"rate": 3000, "burst_size": 20000},
        "fast": 100000,
    },
    "shaper_rules": {
        "max_user_sessions": 10,
        "max_user_offline_messages": [{5000: "admin"}, 100],
        "c2s_shaper": [{"none": "admin"}, "normal"],
        "s2s_shaper": "fast",
        "max_s2s_connections": 3,
        "max_s2s_connections_per_node": 1,
    },
}
"""The rules whose names everybody uses, as they stand where the configuration does not define them."""

log = Logger()


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket: *rate* bytes a second, and *burst_size* bytes that may come at once."""

    rate: int
    burst_size: int


class Access:
    """All rules of one host, compiled."""

    def __init__(
        self,
        lists: Lists,
        rules: Mapping[str, tuple[Clause, ...]],
        shapers: Mapping[str, Rate | None],
        choices: Mapping[str, tuple[Choice, ...]],
    ) -> None:
        self._lists = lists
        self._rules = rules
        self._shapers = shapers
        self._choices = choices

    @classmethod
    def read(cls, sections: Node | Mapping[str, object], hosts: Iterable[str], reader: Reader | None = None) -> Access:
        """Compile the four sections of *sections*; other keys are left alone.

        With a *reader*, what is wrong is noted there, and the names that rules use are for its owner to `check`.
        Without one, raises ConfigErrors.
        """
        if reader is not None:
            return _Compiler(reader).compile(_as_map(sections), frozenset(hosts))
        reader = Reader()
        try:
            access = cls.read(sections, hosts, reader)
        except ConfigError as error:
            raise ConfigErrors([error.problem]) from None
        access.check(reader)
        if reader.errors:
            raise ConfigErrors(reader.errors)
        return access

    def allows(self, rule: AccessRule | str, who: Who) -> bool:
        """Whether *rule* allows *who*. The first clause that applies decides; none, or a crash, refuses.

        Of somebody from `ANYWHERE` it says whether there may be an address from which he is allowed.
        """
        name, clauses = (rule, ()) if isinstance(rule, str) else (rule.name, rule.clauses)
        if name in RESERVED_RULES:
            return name == "all"
        # An address that may be on a list is enough to be allowed, but not to be denied.
        certain = replace(who, ip=None) if who.ip == ANYWHERE else who
        try:
            for clause in self._rules[name] if name else clauses:
                if clause.applies(who if clause.allow else certain, self._lists):
                    return clause.allow
        except Exception:
            log.failure("an access rule could not be decided, so it refuses", rule=name)
        return False

    def value(self, rule: ShaperRule | str, who: Who) -> str | int | None:
        """What *rule* gives *who*: a shaper's name, a number, or None for no limit.

        The first choice that applies decides; a crash gives the strictest choice of the rule.
        """
        name, choices = (rule, ()) if isinstance(rule, str) else (rule.name, rule.choices)
        if name in UNLIMITED:
            return None
        if name:
            if name not in self._choices and name in self._shapers:
                return name
            choices = self._choices.get(name, ())
        try:
            return next((choice.value for choice in choices if choice.applies(who, self._lists)), None)
        except Exception:
            log.failure("a shaper rule could not be decided, so its strictest value holds", rule=name)
            return min((choice.value for choice in choices), key=self._strictness)

    def shaper(self, name: str | None) -> Rate | None:
        """The shaper called *name*; None is no limit."""
        return None if name is None else self._shapers.get(name)

    def rate(self, rule: ShaperRule | str, who: Who) -> Rate | None:
        """The shaper that *rule* gives *who*; a number counts as bytes a second. None is no limit."""
        value = self.value(rule, who)
        return Rate(value, value) if isinstance(value, int) else self.shaper(value)

    def check(self, reader: Reader) -> None:
        """Note in *reader* each name that an option uses and no rule has, among the references it gathered."""
        for reference in reader.references:
            if reference.name not in self.names(reference.kind):
                what = {"acl": "acl", "access": "access rule", "shaper": "shaper rule", "rate": "shaper"}
                hint = did_you_mean(reference.name, self.names(reference.kind))
                why = f"no {what[reference.kind]} is called {reference.name!r}{hint}"
                reader.problem(reference.path, why, reference.place)

    def names(self, kind: Literal["acl", "access", "shaper", "rate"]) -> set[str]:
        """The names that may stand where a rule of this *kind* is expected."""
        if kind == "acl":
            return {*self._lists.named, *RESERVED_RULES}
        if kind == "access":
            return {*self._rules, *RESERVED_RULES}
        return {*self._shapers, *UNLIMITED, *(self._choices if kind == "shaper" else ())}

    def _strictness(self, value: str | int | None) -> float:
        """Bytes a second, or the number itself: the smaller, the stricter."""
        if isinstance(value, int):
            return value
        rate = self.shaper(value)
        return math.inf if rate is None else rate.rate


class _Compiler:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def compile(self, sections: MapNode, hosts: frozenset[str]) -> Access:
        lists = {name: read_conditions(node, path, self._reader) for name, node, path in self._section(sections, "acl")}
        self._refuse_circles(lists, sections.get("acl"))
        rules = {
            name: read_clauses(node, path, self._reader) for name, node, path in self._section(sections, "access_rules")
        }
        shapers = {name: self._shaper(node, path) for name, node, path in self._section(sections, "shaper")}
        choices = {
            name: read_choices(node, path, self._reader) for name, node, path in self._section(sections, "shaper_rules")
        }
        return Access(Lists(lists, hosts), rules, shapers, choices)

    def _section(self, sections: MapNode, section: str) -> list[tuple[str, Node, str]]:
        """Name, value and path of everything in *section*, what it does not define being filled in."""
        found = {name: (node_of(value), joined(section, name)) for name, value in WELL_KNOWN[section].items()}
        reserved = UNLIMITED if section.startswith("shaper") else frozenset(RESERVED_RULES)
        for key, value in self._reader.entries(sections.get(section), section):
            path = joined(section, key.text)
            if key.text in reserved:
                self._reader.problem(path, "has a reserved name", key.place)
                continue
            found[key.text] = (value, path)
        return [(name, node, path) for name, (node, path) in found.items()]

    def _shaper(self, node: Node, path: str) -> Rate | None:
        """`RATE`, `{rate: RATE, burst_size: BYTES}` or `infinity`."""
        try:
            if isinstance(node, Scalar):
                return None if is_infinity(node) or node.text == "none" else _rate(node, None, path)
            entries = {key.text: (key, value) for key, value in self._reader.entries(node, path)}
            for name in entries.keys() - {"rate", "burst_size"}:
                why = f"unknown option{did_you_mean(name, ('rate', 'burst_size'))}"
                self._reader.problem(joined(path, name), why, entries[name][0].place)
            if "rate" not in entries:
                raise ConfigError(path, "lacks its rate", node.place)
            burst = entries.get("burst_size")
            return _rate(entries["rate"][1], burst[1] if burst else None, path)
        except ConfigError as error:
            self._reader.errors.append(error.problem)
            return None

    def _refuse_circles(self, lists: Mapping[str, tuple[Condition, ...]], node: Node | None) -> None:
        """Lists may stand in lists, but not in themselves."""
        inner = {name: {part.name for part in parts if isinstance(part, Listed)} for name, parts in lists.items()}
        unsettled = set(lists)
        for _level in range(MAXIMUM_LIST_DEPTH):
            unsettled = {name for name in unsettled if inner[name] & unsettled}
        entries = {key.text: key for key, _value in self._reader.entries(node, "acl")}
        for name in sorted(unsettled):
            place = entries[name].place if name in entries else NOWHERE
            self._reader.problem(joined("acl", name), "leads back to itself, or through too many others", place)


def _as_map(sections: Node | Mapping[str, object]) -> MapNode:
    node = node_of(sections)
    return node if isinstance(node, MapNode) else MapNode()


def _rate(rate: Node, burst: Node | None, path: str) -> Rate:
    size = read_size(rate, joined(path, "rate"))
    burst_size = size if burst is None else read_size(burst, joined(path, "burst_size"))
    if size < 1 or burst_size < 1:
        raise ConfigError(path, "must be at least 1 byte a second", rate.place)
    return Rate(size, burst_size)
