"""XEP-0288 §2.2, rule 5: on a stream that a server has opened to us we may prove other domains of ours."""

from __future__ import annotations

from federix.testing import PeerStream
from federix.xmpp import ns

from .bidi import BidiTestCase, bodies


class Unreachable(BidiTestCase):
    """The peer can connect to us, and nobody to it."""

    def setUp(self) -> None:
        self.begin("a.test", worlds={"a.test": {"hosts": ("a.test", "also.test")}}, peer={"listen": False})
        self.mercutio = self.federation.client("mercutio@also.test/x")

    def asked(self, stream: PeerStream) -> str:
        """The key that is shown for our other domain, once it was tried to connect."""
        self.mercutio.send("<message to='juliet@b.test/y'><body>hi</body></message>")
        self.federation.advance(1)
        return stream.expect("<db:result xmlns:db='jabber:server:dialback' from='also.test' to='b.test'/>").text

    def test_another_domain_of_ours_proves_itself_on_the_streams_it_has_opened(self) -> None:
        stream = self.connected()
        key = self.asked(stream)
        stream.nothing()
        stream.send("<db:result from='b.test' to='also.test' type='valid'/>")
        self.assertEqual(bodies([stream.receive()]), ["hi"])
        self.assertTrue(self.core.keys.matches(key, "b.test", "also.test", stream.header.get("id") or ""))
        stream.send("<message from='juliet@b.test/y' to='mercutio@also.test/x'><body>ho</body></message>")
        self.assertEqual(bodies([self.mercutio.receive()]), ["ho"])

    def test_an_error_ends_no_stream_and_the_message_goes_back(self) -> None:
        stream = self.connected()
        self.asked(stream)
        stream.send(
            "<db:result from='b.test' to='also.test' type='error'><error type='cancel'>"
            f"<item-not-found xmlns='{ns.STANZA_ERROR}'/></error></db:result>"
        )
        self.federation.advance(300)
        self.mercutio.expect("<message type='error' from='juliet@b.test/y'/>")
        self.romeo.send("<message to='juliet@b.test/y'><body>still</body></message>")
        self.assertIn("still", bodies(stream.drain()))

    def test_without_bidi_nothing_is_said_on_it(self) -> None:
        stream = self.connected(bidi=False)
        self.mercutio.send("<message to='juliet@b.test/y'><body>hi</body></message>")
        self.federation.advance(300)
        self.assertEqual([e for e in stream.drain() if e.ns == ns.DIALBACK], [])
        self.mercutio.expect("<message type='error'/>")
