"""XEP-0288: what bidirectional streams of other servers were known to do wrong, each a test of ours.

The namespaces are spelled out here, since it was their mixing up that kept servers apart.
"""

from __future__ import annotations

from federix.testing import Client, PeerStream
from federix.testing.peer import BIDI, DIALBACK, EXTERNAL, STARTTLS
from federix.xmpp.element import Element

from .bidi import BidiTestCase, message
from .logs import Logged, sentences, troubles

FEATURE = "urn:xmpp:features:bidi"
ENABLING = "urn:xmpp:bidi"


def offers(features: Element | None) -> list[str]:
    """The namespaces in which bidi is offered."""
    assert features is not None
    return [child.ns for child in features.elements() if child.name == "bidi"]


class Offers(BidiTestCase):
    """§2.1: the feature, and where it is told of."""

    def test_it_is_offered_in_its_own_namespace_before_and_after_tls_and_not_after_the_login(self) -> None:
        self.begin()
        theirs = self.peer.dial("a.test")
        self.assertEqual(offers(theirs.open()), [FEATURE])
        theirs.start_tls()
        self.assertEqual(offers(theirs.open()), [FEATURE])
        self.assertEqual(offers(theirs.authenticate()), [])

    def test_it_is_offered_where_tls_came_first(self) -> None:
        self.begin()
        self.assertEqual(offers(self.peer.dial("a.test", tls=True).open()), [FEATURE])

    def test_it_is_not_offered_without_the_module(self) -> None:
        self.begin(bidi=False)
        theirs = self.peer.dial("a.test")
        self.assertEqual(offers(theirs.open()), [])
        theirs.start_tls()
        self.assertEqual(offers(theirs.open()), [])

    def test_it_is_never_offered_to_clients(self) -> None:
        self.begin()
        client = self.federation["a.test"].connect()
        self.assertEqual(offers(client.open("a.test")), [])
        client.start_tls("a.test")
        self.assertEqual(offers(client.open("a.test")), [])
        self.assert_unmentioned(self.romeo, "client")

    def test_it_is_never_offered_to_components(self) -> None:
        self.begin(worlds={"a.test": {"components": {"irc.a.test": "secret"}}})
        irc = self.federation["a.test"].component("irc.a.test")
        self.assert_unmentioned(irc, "component")

    def assert_unmentioned(self, client: Client, what: str) -> None:
        self.assertIn(f"jabber:{what}".encode(), client.raw.replace(b":component:accept", b":component"))
        self.assertNotIn(b"bidi", client.raw)


class Enabling(BidiTestCase):
    """§2.2: what is sent to enable it, and to whom."""

    def offered(self, *features: str) -> list[Element]:
        """What we say to who offers these *features* inside TLS, up to where we log in."""
        self.begin()
        self.romeo.send(message("1", "romeo@a.test/x", "juliet@b.test/y"))
        self.stream = self.peer.accept()
        self.stream.answer(STARTTLS)
        self.stream.accept_tls()
        self.stream.answer(*features, EXTERNAL)
        *said, auth = self.stream.drain()
        self.assertEqual(auth.name, "auth")
        self.stream.send("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
        self.stream.answer()
        self.stream.expect("<message><body>1</body></message>")
        return said

    def test_it_is_enabled_in_the_other_namespace_once_before_the_login(self) -> None:
        (said,) = self.offered(f"<bidi xmlns='{FEATURE}'/>")
        self.assertEqual((said.ns, said.name), (ENABLING, "bidi"))
        self.assertIn(f"<bidi xmlns='{ENABLING}'".encode(), self.stream.raw)
        self.assertNotIn(FEATURE.encode(), self.stream.raw)
        self.assertEqual(self.federation.transcript.elements(ENABLING), [said])

    def test_a_server_without_it_gets_its_stanzas_and_nothing_breaks(self) -> None:
        # Report A: there the code that looked for the feature crashed where there was none.
        logged = Logged(self)
        self.assertEqual(self.offered(DIALBACK), [])
        self.assertEqual(troubles(logged), [])
        self.stream.send(message("over the wrong stream"))
        self.assert_ended(self.stream, "invalid-from")
        self.assert_unheard(self.romeo)

    def test_the_feature_in_the_namespace_of_the_enabling_is_understood(self) -> None:
        # COMPAT(ejabberd 24.12 with its library 1.10): it announces itself so.
        (said,) = self.offered(f"<bidi xmlns='{ENABLING}'/>")
        self.assertEqual((said.ns, said.name), (ENABLING, "bidi"))
        self.stream.send(message("and back"))
        self.romeo.expect("<message><body>and back</body></message>")

    def test_the_feature_in_any_other_namespace_is_none(self) -> None:
        self.assertEqual(self.offered("<bidi xmlns='urn:xmpp:bidi:1'/>", "<bidi xmlns='jabber:server'/>"), [])

    def test_a_name_that_is_not_bidi_is_none(self) -> None:
        self.assertEqual(self.offered(f"<both xmlns='{FEATURE}'/>"), [])

    def test_it_is_enabled_for_the_features_of_prosody(self) -> None:
        # Report D: servers that looked for the wrong element never did it with a right peer.
        (said,) = self.offered(
            "<dialback xmlns='urn:xmpp:features:dialback'/>",
            f"<bidi xmlns='{FEATURE}'/>",
            "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>524288</max-bytes></limits>",
        )
        self.assertEqual((said.ns, said.name), (ENABLING, "bidi"))
        self.stream.send(message("and back"))
        self.romeo.expect("<message><body>and back</body></message>")
        self.peer.nobody()


class WrongNamespace(BidiTestCase):
    """Report B: there both elements had one namespace, and peers closed the stream."""

    def test_the_feature_sent_to_us_is_as_if_not_said(self) -> None:
        self.begin()
        theirs = self.secured()
        theirs.send(f"<bidi xmlns='{FEATURE}'/>")
        theirs.nothing()
        theirs.authenticate()
        theirs.send(message("one way"))
        self.romeo.expect("<message><body>one way</body></message>")
        self.romeo.send(message("the other", "romeo@a.test/x", "juliet@b.test/y"))
        theirs.nothing()
        self.reached().expect("<message><body>the other</body></message>")

    def test_nor_does_it_undo_what_was_said_rightly(self) -> None:
        self.begin()
        theirs = self.secured()
        theirs.send(f"<bidi xmlns='{ENABLING}'/><bidi xmlns='{FEATURE}'/>")
        theirs.authenticate()
        self.romeo.send(message("back", "romeo@a.test/x", "juliet@b.test/y"))
        theirs.expect("<message><body>back</body></message>")

    def test_what_is_neither_ends_the_stream(self) -> None:
        self.begin()
        theirs = self.secured()
        theirs.send("<bidi xmlns='urn:xmpp:bidi:1'/>")
        self.assert_ended(theirs, "unsupported-stanza-type")

    def test_an_answer_to_ours_is_as_if_not_said(self) -> None:
        self.begin()
        self.romeo.send(message("1", "romeo@a.test/x", "juliet@b.test/y"))
        ours = self.peer.accept()
        ours.answer(STARTTLS)
        ours.accept_tls()
        ours.answer(BIDI, EXTERNAL)
        ours.expect(f"<bidi xmlns='{ENABLING}'/>")
        ours.send(f"<bidi xmlns='{ENABLING}'/><bidi xmlns='{FEATURE}'/>")
        ours.accept_external()
        ours.answer()
        ours.send(f"<bidi xmlns='{ENABLING}'/><bidi xmlns='{FEATURE}'/>")
        ours.expect("<message><body>1</body></message>")
        ours.nothing()
        ours.send(message("2"))
        self.romeo.expect("<message><body>2</body></message>")


class Quiet(BidiTestCase):
    """Report C: there everything that went back was sent, and then written down as a surprise."""

    #: What a contact's server says all day long, in both directions.
    STANZAS = (
        "<iq type='result' id='keepalive:1' {}/>",
        "<iq type='error' id='keepalive:2' {}><error type='cancel'>"
        "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
        "<presence {}><show>away</show></presence>",
        "<iq type='get' id='caps' {}><query xmlns='http://jabber.org/protocol/disco#info'"
        " node='https://conversations.im#ver'/></iq>",
        "<presence {}><x xmlns='vcard-temp:x:update'><photo>da39a3ee</photo></x>"
        "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://gajim.org' ver='ver'/></presence>",
        "<message type='chat' {}><active xmlns='http://jabber.org/protocol/chatstates'/></message>",
    )

    def test_three_minutes_on_a_stream_of_the_peers_leave_nothing_in_the_log(self) -> None:
        self.begin()
        self.assert_quiet(self.connected())

    def test_three_minutes_on_a_stream_of_ours_leave_nothing_in_the_log(self) -> None:
        self.begin()
        self.romeo.send(message("1", "romeo@a.test/x", "juliet@b.test/y"))
        ours = self.reached()
        ours.expect("<message><body>1</body></message>")
        self.assert_quiet(ours)

    def assert_quiet(self, stream: PeerStream) -> None:
        logged = Logged(self)
        for _ in range(9):
            for stanza in self.STANZAS:
                self.romeo.send(stanza.format("to='juliet@b.test/y'"))
                stream.send(stanza.format("from='juliet@b.test/y' to='romeo@a.test/x'"))
            self.federation.advance(20)
            *got, ping = stream.drain()
            self.assertEqual(len(got), len(self.STANZAS))
            self.assertEqual(len(self.romeo.drain()), len(self.STANZAS))
            stream.send(f"<iq type='result' from='b.test' to='a.test' id='{ping.get('id')}'/>")
        self.peer.nobody()
        self.assertEqual(sentences(logged), [])
