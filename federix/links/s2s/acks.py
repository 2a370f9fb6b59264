"""Stream management between servers (XEP-0198): both count what they take, and tell when they are asked.

What an archive keeps is counted when it is kept.

A stream that goes both ways counts in both. Streams between servers are not resumed: what was not acknowledged when one
dies is sent again over the next (`confirm`, `pair`), and known again there (`recent`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ...core.settled import Settled
from ...xmpp import ns
from ...xmpp.element import Element
from ...xmpp.errors import StreamCondition, StreamError
from .confirm import Way

if TYPE_CHECKING:
    from .link import Link

_NUMBER: Final = re.compile(r"[0-9]{1,10}", re.ASCII)


def manage(link: Link, element: Element) -> None:
    """The peer of *link* said something about it; raises `StreamError`."""
    confirmations = link.confirmations
    match element.name:
        case "enable":
            _enable(link)
        case "enabled" if link.settled is None and confirmations.way is Way.ACKS and not link.incoming:
            confirmations.is_counted = True
            link.lanes.settled = Settled()
        case "failed" if confirmations.way is Way.ACKS:
            confirmations.counts_not()
        case "r" if link.settled is not None:
            link.write(acknowledgement(link.settled.handled))
        case "a" if confirmations.way is Way.ACKS:
            h = element.get("h") or ""
            if not _NUMBER.fullmatch(h) or not confirmations.acknowledged(int(h)):
                # §6: more than was sent.
                raise StreamError(StreamCondition.UNDEFINED_CONDITION, "you acknowledge what was not sent")


def acknowledgement(handled: int) -> bytes:
    """So many of the peer's stanzas were taken."""
    return Element("a", ns.SM, attrs={"h": str(handled)}).to_bytes()


def _enable(link: Link) -> None:
    """The peer asks us to count. §3: not before it is authenticated, and once at most."""
    if not link.authorised or link.settled is not None or not link.incoming:
        failed = Element("failed", ns.SM, Element("unexpected-request", ns.STANZA_ERROR))
        link.write(failed.to_bytes())
        return
    link.lanes.settled = Settled()
    link.write(Element("enabled", ns.SM).to_bytes())
    link.confirmations.counts()
    link.confirmations.is_counted = True
