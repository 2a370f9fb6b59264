"""XEP-0478: each side says how large a stanza it takes, and how long it stays without one."""

from __future__ import annotations

import re
from math import isinf
from typing import Final

from ...xmpp import ns
from ...xmpp.element import Element
from .link import Link

#: §4: what is larger than the peer takes is not sent; but no peer may make all of it too large.
LEAST_MAX_BYTES: Final = 10_000
_NUMBER: Final = re.compile(r"[0-9]{1,10}", re.ASCII)


def heed(link: Link, parent: Element) -> None:
    """Take in what the peer says about it in *parent*: its features, or what enables bidi (§3.2)."""
    limits = parent.child(ns.LIMITS, "limits")
    text = None if limits is None else limits.text_of(ns.LIMITS, "max-bytes")
    if text is not None and _NUMBER.fullmatch(text.strip()):
        link.max_bytes = max(int(text), LEAST_MAX_BYTES)


def ours(link: Link) -> Element:
    """What we say."""
    idle = link.federation.options(link.local).s2s_timeout
    return Element(
        "limits",
        ns.LIMITS,
        Element("max-bytes", ns.LIMITS, text=str(link.federation.max_bytes(link))),
        None if isinf(idle) else Element("idle-seconds", ns.LIMITS, text=str(int(idle))),
    )
