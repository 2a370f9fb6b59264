"""Stanzas inside of stanzas (XEP-0297), which keep their bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from . import ns
from .element import Element
from .stanza import Message, Stanza

#: Stands for the forwarded stanza until its bytes do. Markup in texts and values is escaped, so it is the only one.
_HOLE: Final = Element("message", ns.CLIENT)
_HOLE_BYTES: Final = _HOLE.to_bytes()


def forwarding(
    stanza: Stanza, around: Element, attrs: Mapping[str, str | None], delay: Element | None = None
) -> Message:
    """A message with these *attrs* that holds *stanza*, in a ``<forwarded/>`` at the end of *around*.

    §3.2: "the <forwarded/> element SHOULD be a child of a tag of that protocol": that is *around*. *delay* says when
    the stanza came (§3.2, rule 2). Its own bytes are used, and so are those of this message for all who get it.
    """
    forwarded = Element("forwarded", ns.FORWARD, delay, _HOLE)
    outer = Element(around.name, around.ns, *around.children, forwarded, attrs=around.attrs)
    message = Element("message", ns.CLIENT, outer, attrs=attrs)
    before, _, after = message.to_bytes(ns.CLIENT).rpartition(_HOLE_BYTES)
    forwarded.children[-1] = stanza.element
    # "The namespace of the forwarded stanza MUST be preserved": so it has its own, on whatever stream it leaves.
    return Message(message, b"%b%b%b" % (before, stanza.standalone(), after))
