"""What an access list can ask of somebody: account, server, resource, patterns of them, address, another list."""

from __future__ import annotations

import fnmatch
import ipaddress
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from federix.core.options import ConfigError, ListNode, MapNode, Node, Reader, Reference, Scalar, did_you_mean, joined
from federix.core.options.values import word
from federix.xmpp.jid import JID, prepare_domain, prepare_local, prepare_resource

MAXIMUM_PATTERN = 1000
"""Characters of a regular expression or glob."""

RESERVED_LISTS = ("all", "none")

ANYWHERE = "*"
"""In place of an IP address that is not known yet: what it may be from is asked, and not refused too early."""

NO_ADDRESS = "unix socket"
"""In place of an IP address where there is none, as streams call such a peer: it is in no network."""


@dataclass(frozen=True, slots=True)
class Who:
    """Whom a rule is asked about: an address, the IP address of the connection (None or `NO_ADDRESS`
    where there is none, `ANYWHERE` where it is not known yet), the host."""

    jid: JID | None = None
    ip: str | None = None
    host: str = ""


@dataclass(frozen=True, slots=True)
class Lists:
    """What conditions look things up in: the named lists, and the hosts that are ours."""

    named: Mapping[str, tuple[Condition, ...]] = field(default_factory=dict)
    hosts: frozenset[str] = frozenset()


class Condition(Protocol):
    """One question. It may raise: whoever asks must then refuse."""

    def holds(self, who: Who, lists: Lists) -> bool: ...


@dataclass(frozen=True, slots=True)
class Listed:
    """On the list *name*."""

    name: str

    def holds(self, who: Who, lists: Lists) -> bool:
        if self.name in RESERVED_LISTS:
            return self.name == "all"
        return any(condition.holds(who, lists) for condition in lists.named[self.name])


@dataclass(frozen=True, slots=True)
class Account:
    """This account; with no domain, the account of that name on any of our hosts."""

    local: str
    domain: str | None

    def holds(self, who: Who, lists: Lists) -> bool:
        if who.jid is None or who.jid.local != self.local:
            return False
        return who.jid.domain in lists.hosts if self.domain is None else who.jid.domain == self.domain


@dataclass(frozen=True, slots=True)
class AccountMatching:
    """An account whose name matches, on this domain, on a domain that matches, or (None) on any of our hosts."""

    local: re.Pattern[str]
    domain: re.Pattern[str] | str | None

    def holds(self, who: Who, lists: Lists) -> bool:
        jid = who.jid
        if jid is None or not jid.local or not self.local.search(jid.local):
            return False
        if self.domain is None:
            return jid.domain in lists.hosts
        if isinstance(self.domain, str):
            return jid.domain == self.domain
        return self.domain.search(jid.domain) is not None


@dataclass(frozen=True, slots=True)
class PartMatching:
    """A domain or a resource that is this or matches this."""

    part: Literal["domain", "resource"]
    text: re.Pattern[str] | str

    def holds(self, who: Who, lists: Lists) -> bool:
        if who.jid is None:
            return False
        part = who.jid.domain if self.part == "domain" else who.jid.resource
        return part == self.text if isinstance(self.text, str) else bool(part) and bool(self.text.search(part))


@dataclass(frozen=True, slots=True)
class FromNetwork:
    """Connected from this network. IPv4 addresses written as IPv6 ones (`::ffff:192.0.2.1`) count as IPv4."""

    network: ipaddress.IPv4Network | ipaddress.IPv6Network

    def holds(self, who: Who, lists: Lists) -> bool:
        if who.ip is None or who.ip == NO_ADDRESS:
            return False
        if who.ip == ANYWHERE:
            return True
        address = ipaddress.ip_address(who.ip.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return address in self.network


@dataclass(frozen=True, slots=True)
class InSharedGroup:
    """A member of a shared roster group. Not there yet, so every rule that comes to ask it refuses."""

    name: str

    def holds(self, who: Who, lists: Lists) -> bool:
        raise NotImplementedError("shared roster groups are not supported yet")


def read_conditions(node: Node, path: str, reader: Reader) -> tuple[Condition, ...]:
    """Every condition written in *node*: a list's name, a map of kinds and values, or a list of these.

    In `acl:` they are alternatives; inside one rule all must hold. What is wrong is noted in *reader*.
    """
    return tuple(_conditions(node, path, reader))


def _conditions(node: Node, path: str, reader: Reader) -> Iterator[Condition]:
    if isinstance(node, ListNode):
        for index, item in enumerate(node.items):
            yield from _conditions(item, f"{path}[{index}]", reader)
        return
    if isinstance(node, MapNode):
        for key, value in node:
            kind = _KINDS.get(key.text)
            where = joined(path, key.text)
            if kind is None:
                reader.problem(where, f"unknown kind of condition{did_you_mean(key.text, _KINDS)}", key.place)
                continue
            for index, item in enumerate(value.items if isinstance(value, ListNode) else [value]):
                try:
                    yield kind(item, f"{where}[{index}]" if isinstance(value, ListNode) else where, reader)
                except ConfigError as error:
                    reader.errors.append(error.problem)
        return
    try:
        yield _listed(node, path, reader)
    except ConfigError as error:
        reader.errors.append(error.problem)


def _listed(node: Node, path: str, reader: Reader) -> Condition:
    name = word(node, path, "the name of an acl")
    if name not in RESERVED_LISTS:
        reader.references.append(Reference("acl", name, path, node.place))
    return Listed(name)


def _pair(node: Node, path: str, wanted: str) -> tuple[Scalar, Scalar | None]:
    """`word`, or `{word: word}`."""
    if isinstance(node, MapNode) and len(node.entries) == 1 and isinstance(node.entries[0][1], Scalar):
        return node.entries[0][0], node.entries[0][1]
    if isinstance(node, Scalar):
        word(node, path, wanted)
        return node, None
    raise ConfigError(path, f"must be {wanted}, not {node.kind}", node.place)


def _user(node: Node, path: str, reader: Reader) -> Condition:
    user, server = _pair(node, path, "a user, 'user@host' or {user: host}")
    try:
        if server is not None:
            return Account(prepare_local(user.text), prepare_domain(server.text))
        if "@" not in user.text:
            return Account(prepare_local(user.text), None)
        jid = JID.parse(user.text)
    except ValueError as error:
        raise ConfigError(path, f"is not an account: {error}", node.place) from None
    if jid.resource or not jid.local:
        raise ConfigError(path, f"must be an account, not {node.kind}", node.place)
    return Account(jid.local, jid.domain)


_Kind = Callable[[Node, str, Reader], Condition]
_Pattern = Callable[[Scalar, str], re.Pattern[str]]


def _user_matching(pattern: _Pattern) -> _Kind:
    def read(node: Node, path: str, reader: Reader) -> Condition:
        user, server = _pair(node, path, "a pattern, or {pattern: host}")
        if server is None and "@" in user.text:
            text, _, domain = user.text.rpartition("@")
            user, server = Scalar(text, user.place, user.style), Scalar(domain, user.place, user.style)
        return AccountMatching(pattern(user, path), None if server is None else _domain(server, path))

    return read


def _node_matching(pattern: _Pattern) -> _Kind:
    def read(node: Node, path: str, reader: Reader) -> Condition:
        user, server = _pair(node, path, "{user pattern: server pattern}")
        if server is None:
            raise ConfigError(path, f"must be {{user pattern: server pattern}}, not {node.kind}", node.place)
        return AccountMatching(pattern(user, path), pattern(server, path))

    return read


def _part_matching(part: Literal["domain", "resource"], pattern: _Pattern) -> _Kind:
    def read(node: Node, path: str, reader: Reader) -> Condition:
        return PartMatching(part, pattern(Scalar(word(node, path, "a pattern"), node.place), path))

    return read


def _server(node: Node, path: str, reader: Reader) -> Condition:
    return PartMatching("domain", _domain(Scalar(word(node, path, "a domain"), node.place), path))


def _resource(node: Node, path: str, reader: Reader) -> Condition:
    try:
        return PartMatching("resource", prepare_resource(word(node, path, "a resource")))
    except ValueError as error:
        raise ConfigError(path, f"is not a resource: {error}", node.place) from None


def _ip(node: Node, path: str, reader: Reader) -> Condition:
    text = word(node, path, "an IP address or network")
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ConfigError(path, f"must be an IP address or network, not {node.kind}", node.place) from None
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is not None and network.prefixlen >= 96:
        return FromNetwork(ipaddress.IPv4Network((mapped, network.prefixlen - 96), strict=False))
    return FromNetwork(network)


def _shared_group(node: Node, path: str, reader: Reader) -> Condition:
    group, _host = _pair(node, path, "a group, or {group: host}")
    reader.warn(path, "shared roster groups are not supported yet: rules that ask for one refuse", node.place)
    return InSharedGroup(group.text)


def _domain(scalar: Scalar, path: str) -> str:
    try:
        return prepare_domain(scalar.text)
    except ValueError as error:
        raise ConfigError(path, f"is not a domain: {error}", scalar.place) from None


def _regexp(scalar: Scalar, path: str) -> re.Pattern[str]:
    if len(scalar.text) > MAXIMUM_PATTERN:
        raise ConfigError(path, f"is longer than {MAXIMUM_PATTERN} characters", scalar.place)
    try:
        with warnings.catch_warnings():
            # Python warns of what future versions may read differently: nothing an operator can use.
            warnings.simplefilter("ignore")
            return re.compile(scalar.text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigError(path, f"is not a regular expression: {error}", scalar.place) from None


def _glob(scalar: Scalar, path: str) -> re.Pattern[str]:
    return _regexp(Scalar(fnmatch.translate(scalar.text), scalar.place), path)


_KINDS: dict[str, _Kind] = {
    "acl": _listed,
    "user": _user,
    "user_regexp": _user_matching(_regexp),
    "user_glob": _user_matching(_glob),
    "server": _server,
    "server_regexp": _part_matching("domain", _regexp),
    "server_glob": _part_matching("domain", _glob),
    "resource": _resource,
    "resource_regexp": _part_matching("resource", _regexp),
    "resource_glob": _part_matching("resource", _glob),
    "node_regexp": _node_matching(_regexp),
    "node_glob": _node_matching(_glob),
    "shared_group": _shared_group,
    "ip": _ip,
}

CONDITION_KINDS = tuple(_KINDS)
"""The words that may stand for a kind of condition."""
