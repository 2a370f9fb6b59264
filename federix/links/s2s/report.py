"""What an operator sees of federation: each pair of domains, and the stream it goes over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...core.conditions import NO_ADDRESS
from .link import Link
from .pair import Domains, Pair

if TYPE_CHECKING:
    from .federation import Federation


@dataclass(frozen=True, slots=True)
class Row:
    """One pair of domains on one stream, or without any. Times are in seconds; "" is what there is not."""

    remote: str
    local: str
    direction: str  # "out", "in", "in, both ways", "out, both ways", "none"
    peer: str
    authenticated_by: str
    tls: str
    cipher: str
    certificate: str
    bidi: bool
    sm: bool
    queue: int
    age: float
    unconfirmed: int
    since: float
    last_error: str


def report(federation: Federation) -> list[Row]:
    """All there is, by remote domain."""
    rows = [row for link in federation.links for row in _of_link(federation, link)]
    rows += [_alone(pair) for pair in federation.pairs.values() if pair.link is None]
    return sorted(rows, key=lambda row: (row.remote, row.local, row.direction))


def _of_link(federation: Federation, link: Link) -> Iterator[Row]:
    connection = link.stream.tls
    version = cipher = ""
    if connection is not None:
        version, cipher = connection.get_protocol_version_name(), connection.get_cipher_name() or ""
    direction = "in" if link.incoming else "out"
    for domains, remote in (link.accepts | link.sends).items():
        pair = link.pairs.get(domains)
        yield Row(
            domains.remote,
            domains.local,
            direction,
            link.ip or NO_ADDRESS,
            remote.authenticated_by,
            version,
            cipher,
            _certificate(link, domains),
            link.bidi,
            link.confirmations.is_counted or link.settled is not None,
            0 if pair is None else len(pair.queue),
            0.0 if pair is None else pair.age,
            len(link.confirmations),
            federation.clock.seconds() - link.since,
            "",
        )


def _certificate(link: Link, domains: Domains) -> str:
    """Until when the other side's certificate is good for its domain, or what is wrong with it."""
    verdict = link.verdict(domains.remote)
    if verdict is None:
        return ""
    if verdict.valid and verdict.expires is not None:
        return f"until {verdict.expires:%Y-%m-%d}"
    return verdict.reason


def _alone(pair: Pair) -> Row:
    return Row(
        *(pair.domains.remote, pair.domains.local, "none", "", "", "", "", ""),
        *(False, False, len(pair.queue), pair.age, 0, 0.0, pair.last_error),
    )
