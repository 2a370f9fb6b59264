"""Finding a domain's server and connecting to it: RFC 6120 §3.2, XEP-0368, RFC 8305."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from twisted.internet.defer import ensureDeferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTCP, IReactorTime

from ..xmpp.errors import Condition
from ..xmpp.srv import Service, ascii_domain, in_order
from .race import DialError, Race, Step, abandon
from .resolver import DnsError, Family, Resolver, Srv

__all__ = ["DialError", "Step", "Target", "connect", "targets"]

MAX_TARGETS: Final = 10
"""Targets tried for one domain. Others are left out: a domain must not have us knock at a hundred doors."""

STARTTLS: Final = "_xmpp-server._tcp"
DIRECT_TLS: Final = "_xmpps-server._tcp"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a domain's server may be: a *host* (in A-labels, or an IP address) and its *port*.

    With *direct_tls* TLS begins at once. *source* says how it was found, in plain words.
    """

    host: str
    port: int
    direct_tls: bool
    source: str


async def targets(
    resolver: Resolver, domain: str, *, port: int, random: Callable[[int], bytes], step: Step
) -> list[Target]:
    """Where the server of *domain* (prepared) may be, in the order in which to try; never empty.

    *port* is for a domain without SRV records. *random* gives so many random bytes. Raises `DialError`.
    """
    name = ascii_domain(domain)
    if (address := _address(name)) is not None:
        return [Target(address, port, False, "the address itself")]
    asked = [ensureDeferred(_records(resolver, f"{service}.{name}", step)) for service in (DIRECT_TLS, STARTTLS)]
    try:
        direct_tls, starttls = [await one for one in asked]
    finally:
        for one in asked:
            abandon(one)
    services = in_order(starttls or (), direct_tls or (), random)
    if services:
        return [_target(service) for service in services[:MAX_TARGETS]]
    if starttls or direct_tls:
        # RFC 6120 §3.2.1: "the initiating entity MUST abort SRV processing at this point because […] such a Target
        # 'means that the service is decidedly not available at this domain'". XEP-0368 §5: who finds the root among
        # the records of direct TLS "MUST NOT perform A/AAAA fallback", either.
        raise DialError(
            f"{domain} says in the DNS that it has no server", Condition.REMOTE_SERVER_NOT_FOUND, final=True
        )
    # RFC 2782 falls back where there are no records, and RFC 6120 §3.2.1 where "the initiating entity does not receive
    # a response to its SRV query", too.
    step(f"{domain} has no SRV records that are known, so its own addresses count")
    return [Target(name, port, False, "the domain itself, without SRV records")]


async def connect(
    reactor: IReactorTCP,
    clock: IReactorTime,
    resolver: Resolver,
    target: Target,
    factory: IProtocolFactory,
    *,
    families: Sequence[Family],
    timeout: float,
    bind_ipv4: str | None,
    bind_ipv6: str | None,
    step: Step,
) -> IProtocol:
    """A connection to *target*, by whichever of its addresses answers first (RFC 8305), made by *factory*.

    *families* are those that may be used, the preferred one first. *timeout* is for all of it, in seconds. Raises
    `DialError`. Cancelled, it leaves nothing behind.
    """
    bind: dict[Family, str | None] = {"ipv4": bind_ipv4, "ipv6": bind_ipv6}
    race = Race(reactor, clock, target.host, target.port, factory, families, bind, step)
    return await race.run(resolver, timeout)


async def _records(resolver: Resolver, name: str, step: Step) -> Sequence[Srv] | None:
    """The SRV records of *name*; ``None`` where the DNS does not say."""
    try:
        records = await resolver.srv(name)
    except DnsError as error:
        step(f"{name} could not be looked up: {error}")
        return None
    for record in records:
        step(f"{name} is {record.target} port {record.port}, priority {record.priority}, weight {record.weight}")
    if not records:
        step(f"{name} does not exist")
    return records


def _target(service: Service) -> Target:
    record = service.record
    name = DIRECT_TLS if service.direct_tls else STARTTLS
    return Target(record.target.removesuffix("."), record.port, service.direct_tls, f"the SRV record {name}")


def _address(domain: str) -> str | None:
    """The IP address that *domain* is; ``None`` where it is a name."""
    text = domain.strip("[]")
    try:
        ip_address(text)
    except ValueError:
        return None
    return text
