"""The DNS, as the rest of the server sees it: where a domain's servers are, and what addresses a host has."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from twisted.names import dns

from ..xmpp.srv import Srv
from .answers import Answers
from .name_servers import Answer, DnsError, NameServers

__all__ = ["DnsError", "DnsResolver", "Family", "Resolver", "Srv", "read_hosts", "read_name_servers"]

Family = Literal["ipv4", "ipv6"]

MAX_RECORDS: Final = 16
"""Records of one answer that are used: whoever has more servers than this does not need us to know them all."""

MAX_FILE: Final = 1024 * 1024
"""Characters of /etc/hosts that are read: some 30 000 names."""

MAX_NAME_SERVERS: Final = 3
"""Name servers of /etc/resolv.conf that are asked, as everywhere."""

DNS_PORT: Final = 53

_LOOPBACK: Final = ("127.0.0.1", "::1")
#: RFC 6761 §6.4, RFC 7686 §2: names that the DNS has not, and that it must not be asked for.
_NOWHERE: Final = frozenset(("invalid", "onion"))
_KINDS: Final[dict[Family, int]] = {"ipv4": dns.A, "ipv6": dns.AAAA}


class Resolver(Protocol):
    """Answers what is in the DNS. Both raise `DnsError` where there is no answer, for whatever reason."""

    async def srv(self, name: str) -> Sequence[Srv]:
        """The SRV records of *name*, in A-labels; empty where there are none."""
        ...

    async def addresses(self, host: str, families: Sequence[Family]) -> Sequence[str]:
        """The IP addresses of *host*, in A-labels, in the order of *families*; empty where there are none."""
        ...


class DnsResolver:
    """Asks name servers, and remembers what they say for as long as they say, within bounds.

    *reactor* has UDP, TCP and a clock. *servers* are IP addresses and ports, without them those of /etc/resolv.conf,
    which is read now. *timeout* is in seconds, and *retries* is how many times as long a question may take: both as in
    ejabberd, where two retries are two attempts. *hosts* are addresses by name that come before the DNS; without them
    those of /etc/hosts, which is read now, too.
    """

    def __init__(
        self,
        reactor: Any,
        servers: Sequence[tuple[str, int]] | None = None,
        *,
        timeout: float,
        retries: int,
        hosts: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        found = read_name_servers(_contents("/etc/resolv.conf")) if servers is None else servers
        self._asker = NameServers(reactor, found, timeout * max(retries, 1))
        self._hosts = read_hosts(_contents("/etc/hosts")) if hosts is None else hosts
        self._answers = Answers(self._ask, reactor.seconds)

    def forget(self) -> None:
        """Remember nothing: whatever comes next is asked."""
        self._answers.forget()

    async def srv(self, name: str) -> Sequence[Srv]:
        """See `Resolver.srv`."""
        name = _canonical(name)
        if _is_literal(name) or _is_local(name) or _is_nowhere(name):
            return ()
        return await self._answers.get(name, dns.SRV)

    async def addresses(self, host: str, families: Sequence[Family]) -> Sequence[str]:
        """See `Resolver.addresses`. It asks for one family after the other: who is in a hurry asks for each apart."""
        host = _canonical(host)
        found: list[str] = []
        for family in families:
            known = self._without_asking(host, family)
            found += await self._answers.get(host, _KINDS[family]) if known is None else known
        return found

    def _without_asking(self, host: str, family: Family) -> Sequence[str] | None:
        """What is known of *host* without the DNS; ``None`` where that has to be asked."""
        if _is_literal(host):
            known: Sequence[str] = (host,)
        elif host in self._hosts:
            known = self._hosts[host]
        elif _is_local(host):
            known = _LOOPBACK
        elif _is_nowhere(host):
            known = ()
        else:
            return None
        return [address for address in known if (":" in address) == (family == "ipv6")]

    async def _ask(self, name: str, kind: int) -> Answer:
        answer = await self._asker.ask(name, kind)
        if kind == dns.SRV:
            records = sorted(filter(None, map(_srv, answer.records)), key=attrgetter("priority"))
            return Answer(tuple(records[:MAX_RECORDS]), answer.ttl)
        addresses = [str(ipaddress.ip_address(record.address)) for record in answer.records]
        return Answer(tuple(addresses[:MAX_RECORDS]), answer.ttl)


def read_name_servers(text: str) -> list[tuple[str, int]]:
    """The name servers of a file like /etc/resolv.conf; this machine itself where there are none (resolv.conf(5))."""
    words = [line.split() for line in text.splitlines()]
    found = [line[1] for line in words if len(line) > 1 and line[0] == "nameserver" and _is_literal(line[1])]
    return [(address, DNS_PORT) for address in found[:MAX_NAME_SERVERS] or ["127.0.0.1"]]


def read_hosts(text: str) -> dict[str, list[str]]:
    """The addresses by name of a file like /etc/hosts (hosts(5))."""
    hosts: dict[str, list[str]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if _is_literal(address):
            for name in names:
                hosts.setdefault(_canonical(name), []).append(address)
    return hosts


def _contents(path: str) -> str:
    """The beginning of the file, up to its last whole line; empty where there is none."""
    try:
        with Path(path).open(encoding="utf-8", errors="replace") as file:
            return file.read(MAX_FILE).rpartition("\n")[0]
    except OSError:
        return ""


def _canonical(name: str) -> str:
    return name.removesuffix(".").strip("[]").lower()


def _is_literal(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_local(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost")


def _is_nowhere(name: str) -> bool:
    return name.rpartition(".")[2] in _NOWHERE


def _srv(record: dns.Record_SRV) -> Srv | None:
    target = record.target.name.decode("ascii", "replace").lower()
    if not target.isascii():
        return None
    return Srv(record.priority, record.weight, record.port, target or ".")
