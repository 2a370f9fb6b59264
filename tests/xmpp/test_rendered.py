from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.xmpp import ns
from federix.xmpp.element import Element
from federix.xmpp.jid import JID
from federix.xmpp.limits import Limits
from federix.xmpp.parser import StreamParser
from federix.xmpp.stanza import Presence, Stanza

LIMITS = Limits(stanza_bytes=1 << 20, elements=10_000, depth=100, attributes=100)
NAMESPACES = st.sampled_from((ns.CLIENT, ns.SERVER, ns.STREAMS, "urn:x", ""))


def elements(children: st.SearchStrategy[Element]) -> st.SearchStrategy[Element]:
    return st.builds(lambda space, kids: Element("x", space, *kids), NAMESPACES, st.lists(children, max_size=3))


TREES = st.recursive(st.builds(lambda space: Element("y", space, text="<&>"), NAMESPACES), elements, max_leaves=6)


def read(content: str, stanza: bytes) -> Element:
    """The stanza as who reads a stream of that content namespace understands it."""
    parser = StreamParser(LIMITS)
    header = f"<stream:stream xmlns='{content}' xmlns:stream='{ns.STREAMS}'>".encode()
    _, event = parser.feed(header + stanza)
    parser.close()
    assert isinstance(event, Stanza)
    return event.element


class RenderedTest(SynchronousTestCase):
    @given(st.lists(TREES, max_size=3), st.sampled_from((ns.CLIENT, ns.SERVER)))
    def test_it_means_the_same_wherever_it_goes(self, children: list[Element], content: str) -> None:
        stanza = Presence(Element("presence", ns.CLIENT, *children, attrs={"from": "romeo@example.org"}))
        rendered = stanza.rendered().addressed(JID.parse("juliet@example.org"))
        self.assertTrue(rendered.reusable)
        plain = stanza.addressed(JID.parse("juliet@example.org"))
        self.assertEqual(read(content, rendered.to_bytes(content)), read(content, plain.to_bytes(content)))

    def test_what_has_its_bytes_keeps_them(self) -> None:
        stanza = Presence(Element("presence", ns.CLIENT), b"<presence />")
        self.assertIs(stanza.rendered(), stanza)
