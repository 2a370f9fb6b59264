"""The DNS of a network in memory: records that can be set and changed, answers that can be late or fail."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Literal

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from ..streams.resolver import DnsError, Family, Srv
from .machine import LOOPBACK

#: Queries that are remembered.
QUERIES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Query:
    """Somebody asked: at what *time* on the network's clock, what *kind* of record, of what *name*."""

    time: float
    kind: Literal["SRV", "ipv4", "ipv6"]
    name: str


class Dns:
    """A `Resolver` that knows what it was told, and caches nothing: what changes is seen at once.

    ``dns.set_srv("_xmpp-server._tcp.b.test", Srv(0, 0, 5269, "xmpp.b.test"))`` and
    ``dns.set_addresses("xmpp.b.test", "198.51.100.2", "2001:db8::2")`` set records in place of those there were;
    without records after the name there are none any more. *delay*: seconds each answer takes.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.delay = 0.0
        #: What was asked, the first one first.
        self.queries: deque[Query] = deque(maxlen=QUERIES)
        self._clock = clock
        self._srv: dict[str, tuple[Srv, ...]] = {}
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._failures: dict[str, str] = {}
        self._delays: dict[str, float] = {}

    # -- for the test -------------------------------------------------------------------------------------------------

    def set_srv(self, name: str, *records: Srv) -> None:
        """The SRV records of *name*; none for a name without."""
        self._srv[_key(name)] = records

    def set_addresses(self, host: str, *addresses: str) -> None:
        """The IPv4 and IPv6 addresses of *host*; none for a host without."""
        self._addresses[_key(host)] = addresses

    def fail(self, name: str, why: str = "the name server does not answer") -> None:
        """Have what is asked about *name* fail from now on, as a `DnsError` that says *why*."""
        self._failures[_key(name)] = why

    def slow(self, name: str, seconds: float) -> None:
        """Have answers about *name* take so long from now on."""
        self._delays[_key(name)] = seconds

    def heal(self) -> None:
        """Answer at once again, and without failures."""
        self._failures.clear()
        self._delays.clear()
        self.delay = 0.0

    def asked(self, name: str) -> list[Query]:
        """What was asked about *name*."""
        return [query for query in self.queries if query.name == _key(name)]

    # -- for servers --------------------------------------------------------------------------------------------------

    async def srv(self, name: str) -> Sequence[Srv]:
        """The SRV records of *name*; `DnsError` where it was told to fail."""
        await self._ask("SRV", name)
        return self._srv.get(_key(name), ())

    async def addresses(self, host: str, families: Sequence[Family]) -> Sequence[str]:
        """The addresses of *host*, of those families, in their order; `DnsError` where it was told to fail."""
        try:
            known: tuple[str, ...] = (str(ip_address(host.strip("[]"))),)
        except ValueError:
            found = LOOPBACK.get(host)
            for family in families if found is None else ():
                await self._ask(family, host)
            known = self._addresses.get(_key(host), ()) if found is None else (found,)
        return [ip for family in families for ip in known if (":" in ip) == (family == "ipv6")]

    async def _ask(self, kind: Literal["SRV", "ipv4", "ipv6"], name: str) -> None:
        key = _key(name)
        self.queries.append(Query(self._clock.seconds(), kind, key))
        delay = self._delays.get(key, self.delay)
        if delay:
            await deferLater(self._clock, delay, lambda: None)
        why = self._failures.get(key)
        if why is not None:
            raise DnsError(why)


def _key(name: str) -> str:
    return a_labels(name.rstrip(".").lower())


def a_labels(name: str) -> str:
    """*name* as the DNS has it (RFC 5890)."""
    return ".".join(label if label.isascii() else label.encode("idna").decode() for label in name.split("."))
