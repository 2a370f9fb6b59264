"""Access rules and shaper rules as options: the name of one, or one written on the spot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from federix.core.conditions import Condition, FromNetwork, Listed, Lists, Who, read_conditions
from federix.core.options import ConfigError, ListNode, MapNode, Node, Reader, Reference, Scalar, joined
from federix.core.options.reader import plain
from federix.core.options.values import INFINITY_WORDS, read_integer, word

RESERVED_RULES = ("all", "none")
UNLIMITED = INFINITY_WORDS | {"none"}
"""The words for "no shaper" and "no limit"."""

EVERYBODY: tuple[Condition, ...] = (Listed("all"),)


@dataclass(frozen=True, slots=True)
class Clause:
    """Allow or deny those for whom all *conditions* hold."""

    allow: bool
    conditions: tuple[Condition, ...]

    def applies(self, who: Who, lists: Lists) -> bool:
        return all(condition.holds(who, lists) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class AccessRule:
    """Who may: the *name* of a rule (`c2s`, `all`, `none`), or the *clauses* of one written on the spot.

    As the type of an option; `AccessRule("none")` is a default. `Host.allows` asks it.
    """

    name: str
    clauses: tuple[Clause, ...] = ()
    source: Node | None = field(default=None, compare=False, repr=False)
    """What was written, where it was more than a name."""

    @classmethod
    def read_node(cls, node: Node, path: str, reader: Reader) -> AccessRule:
        """Read what may stand wherever an access rule is expected."""
        if isinstance(node, ListNode | MapNode):
            return cls("", read_clauses(node, path, reader), node)
        name = word(node, path, "an access rule")
        if name not in RESERVED_RULES:
            reader.references.append(Reference("access", name, path, node.place))
        return cls(name)

    def written(self) -> object:
        """As it stands in a configuration."""
        return plain(self.source) if self.source is not None else self.name


@dataclass(frozen=True, slots=True)
class Choice:
    """*value* (a shaper's name, a number, None for no limit) for those for whom all *conditions* hold."""

    value: str | int | None
    conditions: tuple[Condition, ...]

    def applies(self, who: Who, lists: Lists) -> bool:
        return all(condition.holds(who, lists) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class ShaperRule:
    """How much: the *name* of a shaper rule or shaper, `none`, or the *choices* of one written on the spot.

    As the type of an option. *source* is what was written, where it was more than a name.
    """

    name: str
    choices: tuple[Choice, ...] = ()
    source: Node | None = field(default=None, compare=False, repr=False)

    @classmethod
    def read_node(cls, node: Node, path: str, reader: Reader) -> ShaperRule:
        """Read what may stand wherever a shaper rule is expected."""
        if isinstance(node, Scalar) and not node.text.isdigit():
            name = word(node, path, "a shaper rule")
            if name not in UNLIMITED:
                reader.references.append(Reference("shaper", name, path, node.place))
            return cls(name)
        return cls("", read_choices(node, path, reader), node)

    def written(self) -> object:
        """As it stands in a configuration."""
        return plain(self.source) if self.source is not None else self.name


def read_clauses(node: Node, path: str, reader: Reader) -> tuple[Clause, ...]:
    """The clauses of an access rule: `allow`, `{allow: WHO}`, or a list of these."""
    clauses = []
    for verdict, who, where in _steps(node, path, "'allow' or 'deny'", reader):
        if verdict.text not in ("allow", "deny"):
            reader.problem(where, f"must be 'allow' or 'deny', not {verdict.kind}", verdict.place)
            continue
        conditions = EVERYBODY if who is None else read_conditions(who, joined(where, verdict.text), reader)
        _warn_of_never(conditions, where, who, reader)
        clauses.append(Clause(verdict.text == "allow", conditions))
    return tuple(clauses)


def read_choices(node: Node, path: str, reader: Reader) -> tuple[Choice, ...]:
    """The choices of a shaper rule: `VALUE`, `{VALUE: WHO}`, or a list of these."""
    choices = []
    for key, who, where in _steps(node, path, "a shaper's name or a number", reader):
        conditions = EVERYBODY if who is None else read_conditions(who, joined(where, key.text), reader)
        _warn_of_never(conditions, where, who, reader)
        try:
            choices.append(Choice(_choice(key, where, reader), conditions))
        except ConfigError as error:
            reader.errors.append(error.problem)
    return tuple(choices)


def _choice(key: Scalar, path: str, reader: Reader) -> str | int | None:
    text = word(key, path, "a shaper's name or a number")
    if text.lower() in UNLIMITED:
        return None
    if text[:1].isdigit() or text[:1] in "+-":
        number = read_integer(key, path)
        if number < 1:
            raise ConfigError(path, f"must be at least 1, not {key.kind}", key.place)
        return number
    reader.references.append(Reference("rate", text, path, key.place))
    return text


def _steps(
    node: Node, path: str, wanted: str, reader: Reader, depth: int = 0
) -> Iterator[tuple[Scalar, Node | None, str]]:
    """The steps of a rule in their order, each with whom it is for; None is everybody."""
    if isinstance(node, ListNode) and depth == 0:
        for index, item in enumerate(node.items):
            yield from _steps(item, f"{path}[{index}]", wanted, reader, depth + 1)
    elif isinstance(node, MapNode):
        for key, value in node:
            yield key, None if isinstance(value, Scalar) and value.is_null else value, path
    elif isinstance(node, Scalar) and not node.is_null:
        yield node, None, path
    else:
        reader.problem(path, f"must be {wanted}, not {node.kind}", node.place)


def _warn_of_never(conditions: tuple[Condition, ...], path: str, node: Node | None, reader: Reader) -> None:
    """All conditions of one clause must hold, so two accounts, servers or separate networks never do: a common trap."""
    if node is None:
        return
    exact = [condition for condition in conditions if not isinstance(condition, Listed | FromNetwork)]
    names = [type(condition) for condition in exact if "Matching" not in type(condition).__name__]
    networks = [condition.network for condition in conditions if isinstance(condition, FromNetwork)]
    apart = any(one.version != two.version or not one.overlaps(two) for one in networks for two in networks)
    if apart or len(set(names)) < len(names):
        why = "never holds: one rule wants all its conditions at once. Name them in an acl, where one is enough"
        reader.warn(path, why, node.place)
