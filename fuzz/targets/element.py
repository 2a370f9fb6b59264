"""Writing: whatever was parsed is written so that it is parsed to the same, on a stream of any namespace.

That goes for the tree, for the bytes that are reused, and for both after the changes a server makes.
"""

from __future__ import annotations

from typing import Final

from federix.xmpp import ns
from federix.xmpp.element import Element
from federix.xmpp.jid import JID
from federix.xmpp.limits import AFTER_AUTHENTICATION
from federix.xmpp.parser import StreamParser
from federix.xmpp.stanza import Stanza

from ..mutation import WIDE, elements_changed

changed = elements_changed

_ROMEO: Final = JID.parse("romeo@example.org/a\"b'<>&")
_ADDED: Final = Element("added", "urn:example:added", Element("delay", ns.DELAY), text="<&")


def check(data: bytes) -> None:
    parser = StreamParser(AFTER_AUTHENTICATION)
    # With a prefix of the peer's own: what uses it means nothing elsewhere.
    parser.feed(_header(ns.CLIENT, " xmlns:p='urn:example:p'"))
    for event in parser.feed(data):
        if isinstance(event, Stanza):
            _check_stanza(event)
            _check_stanza(event.stamped(_ROMEO, "de"))
            _check_stanza(event.addressed(_ROMEO).stamped(_ROMEO))
            _check_stanza(event.with_attrs({"id": None, "to": "\t'\"\n", "xml:lang": None}))
            _check_stanza(event.appending(_ADDED))
            _check_stanza(event.stamped(_ROMEO).appending(_ADDED, Element("body", ns.CLIENT, text="]]>")))
            _check_stanza(event.dropping(lambda child: child.ns == ns.CLIENT))
            _check_stanza(event.rendered().appending(_ADDED))
        elif isinstance(event, Element):
            _same(event, event.to_bytes(ns.CLIENT), ns.CLIENT)
            if event.ns:  # else it stays in the default namespace around it
                _same(event, event.to_bytes(), ns.CLIENT)
    parser.close()


def _check_stanza(stanza: Stanza) -> None:
    element = stanza.element
    _same(element, element.to_bytes(ns.CLIENT), ns.CLIENT)
    _same(element, stanza.standalone(), ns.CLIENT)
    for content in (ns.CLIENT, "jabber:server"):
        _same(element, stanza.to_bytes(content), content)


def _same(expected: Element, written: bytes, content: str) -> None:
    parser = StreamParser(WIDE)
    parser.feed(_header(content))
    events = parser.feed(written)
    parser.close()
    assert len(events) == 1, (expected, written, events)
    event = events[0]
    found = event.element if isinstance(event, Stanza) else event
    assert found == expected, (expected, written, found)


def _header(content: str, more: str = "") -> bytes:
    return f"<stream:stream xmlns='{content}' xmlns:stream='{ns.STREAMS}'{more}>".encode()
