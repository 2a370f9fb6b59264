from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.xmpp import ns
from federix.xmpp.delay import delay
from federix.xmpp.element import Element
from federix.xmpp.forward import forwarding
from federix.xmpp.jid import JID
from federix.xmpp.parser import StreamParser
from federix.xmpp.stanza import Message, message

from .test_rendered import LIMITS, TREES, read

JULIET = JID.parse("juliet@example.com")
RESULT = Element("result", "urn:xmpp:mam:2", attrs={"id": "28482-98726-73623"})


def arrived(raw: bytes, content: str = ns.CLIENT) -> Message:
    """A message as it came on a stream."""
    header = f"<stream:stream xmlns='{content}' xmlns:stream='{ns.STREAMS}' xmlns:x='urn:x'>".encode()
    parser = StreamParser(LIMITS)
    _, event = parser.feed(header + raw)
    parser.close()
    assert isinstance(event, Message)
    return event


class ForwardTests(SynchronousTestCase):
    """XEP-0297 §3."""

    def test_a_forwarded_stanza_keeps_its_bytes(self) -> None:
        original = arrived(b"<message   type = 'chat'><body>Hark&#33;</body ></message >")
        wrapped = forwarding(original, RESULT, {"to": "juliet@example.com"})
        self.assertEqual(
            wrapped.to_bytes(),
            b"<message to='juliet@example.com'><result xmlns='urn:xmpp:mam:2' id='28482-98726-73623'>"
            b"<forwarded xmlns='urn:xmpp:forward:0'>"
            b"<message xmlns='jabber:client'   type = 'chat'><body>Hark&#33;</body ></message >"
            b"</forwarded></result></message>",
        )

    def test_the_namespace_of_the_forwarded_stanza_must_be_preserved(self) -> None:
        for raw in (b"<message><body>Hark!</body></message>", b"<message><x:y/><body>Hark!</body></message>"):
            for content in (ns.CLIENT, ns.SERVER, ns.COMPONENT):
                wrapped = forwarding(arrived(raw), RESULT, {})
                self.assertEqual(read(content, wrapped.to_bytes(content)), wrapped.element)
                inner = wrapped.element.children[0].children[0].children[0]  # type: ignore[union-attr]
                self.assertEqual(inner.ns, ns.CLIENT)  # type: ignore[union-attr]

    def test_what_came_from_a_server_is_forwarded_as_it_stands_inside(self) -> None:
        wrapped = forwarding(arrived(b"<message><body>Hark!</body></message>", ns.SERVER), RESULT, {})
        self.assertIn(b"<message xmlns='jabber:client'><body>", wrapped.to_bytes())

    def test_a_delay_tells_when_it_came(self) -> None:
        wrapped = forwarding(message(None, body="Hark!"), RESULT, {}, delay(JULIET, 0.0))
        before, stamp, after = wrapped.to_bytes().partition(b"<delay xmlns='urn:xmpp:delay' ")
        self.assertTrue(before.endswith(b"<forwarded xmlns='urn:xmpp:forward:0'>") and stamp)
        self.assertIn(b"/><message xmlns='jabber:client'>", after)
        self.assertEqual(read(ns.CLIENT, wrapped.to_bytes()), wrapped.element)

    def test_a_text_that_looks_like_a_stanza_is_none(self) -> None:
        forged = Element("result", "urn:xmpp:mam:2", text="<message xmlns='jabber:client'/>")
        wrapped = forwarding(message(None, body="Hark!"), forged, {"id": "<message xmlns='jabber:client'/>"})
        self.assertEqual(read(ns.CLIENT, wrapped.to_bytes()), wrapped.element)

    def test_what_is_around_it_is_not_changed(self) -> None:
        forwarding(message(None, body="Hark!"), RESULT, {})
        self.assertEqual(RESULT.children, [])

    @given(st.lists(TREES, max_size=3), st.sampled_from((ns.CLIENT, ns.SERVER)), st.booleans())
    def test_it_means_the_same_wherever_it_goes(self, children: list[Element], content: str, kept: bool) -> None:
        original = Message(Element("message", ns.CLIENT, *children, attrs={"type": "chat"}))
        wrapped = forwarding(original.rendered() if kept else original, RESULT, {"from": "romeo@example.org"})
        addressed = wrapped.addressed(JULIET)
        plain = Message(wrapped.element).addressed(JULIET)
        self.assertEqual(read(content, addressed.to_bytes(content)), read(content, plain.to_bytes(content)))
