"""Where a server lives: SRV records (RFC 2782) of both kinds (XEP-0368), in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import idna

#: How many random bytes one choice takes: so many that no weight is favoured by what is left over.
_CHOICE_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Srv:
    """One SRV record: the smallest *priority* is tried first, *weight* is the share among those of one priority."""

    priority: int
    weight: int
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class Service:
    """A record, and whether TLS begins at once there (``_xmpps-server``) or by STARTTLS (``_xmpp-server``)."""

    record: Srv
    direct_tls: bool


def ascii_domain(domain: str) -> str:
    """The domain in A-labels, as DNS and TLS know it; *domain* was prepared (`prepare_domain`)."""
    return ".".join(label if label.isascii() else idna.alabel(label).decode() for label in domain.split("."))


def is_refused(records: Sequence[Srv]) -> bool:
    """Whether they say that there is no such service.

    RFC 2782: "if there is precisely one SRV RR, and its Target is '.' (the root domain), abort".
    """
    return len(records) == 1 and _is_root(records[0])


def in_order(starttls: Iterable[Srv], direct_tls: Iterable[Srv], random: Callable[[int], bytes]) -> list[Service]:
    """All of them, in the order in which they are to be tried.

    XEP-0368 §3: both kinds "SHOULD be treated as the same record with regard to connection order […] all priorities and
    weights are mixed". *random* gives so many random bytes. What cannot be connected to (port 0, the root) is left out.
    """
    waiting = [Service(record, False) for record in starttls] + [Service(record, True) for record in direct_tls]
    waiting = [one for one in waiting if one.record.port and not _is_root(one.record)]
    # RFC 2782: "those with weight 0 are placed at the beginning of the list".
    waiting.sort(key=lambda one: (one.record.priority, one.record.weight > 0))
    ordered: list[Service] = []
    while waiting:
        priority = waiting[0].record.priority
        rivals = [one for one in waiting if one.record.priority == priority]
        waiting = waiting[len(rivals) :]
        while rivals:
            ordered.append(rivals.pop(_choice(rivals, random)))
    return ordered


def _choice(rivals: Sequence[Service], random: Callable[[int], bytes]) -> int:
    # RFC 2782: "choose a uniform random number between 0 and the sum computed (inclusive), and select the RR whose
    # running sum value is the first in the selected order which is greater than or equal to the random number".
    total = sum(one.record.weight for one in rivals)
    number = int.from_bytes(random(_CHOICE_BYTES), "big") % (total + 1)
    running = 0
    for place, one in enumerate(rivals):
        running += one.record.weight
        if running >= number:
            return place
    raise AssertionError("the last running sum is the total")


def _is_root(record: Srv) -> bool:
    return record.target in ("", ".")
