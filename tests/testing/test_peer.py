"""Scripted servers: two of them talk with each other, and every word of it is known."""

from __future__ import annotations

from cryptography import x509
from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import FailTest, SynchronousTestCase

from federix.testing import Network, Peer, PeerStream, transcript
from federix.testing.peer import BIDI, DIALBACK, EXTERNAL, STARTTLS
from federix.testing.transcript import Entry
from federix.xmpp import ns
from federix.xmpp.element import Element


class TwoPeers(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = Network()
        self.a = Peer(self.network, "a.test")
        self.b = Peer(self.network, "b.test", direct_tls=True)

    def connected(self) -> tuple[PeerStream, PeerStream]:
        return self.a.dial("b.test"), self.b.accept()

    def opened(self, *features: str) -> tuple[PeerStream, PeerStream]:
        ours, theirs = self.connected()
        ours.send_header()
        theirs.answer(*features)
        ours.expect_header(from_="b.test", to=self.a.domain, id=theirs.id)
        ours.expect_features()
        return ours, theirs

    def encrypted(self, *features: str) -> tuple[PeerStream, PeerStream]:
        ours, theirs = self.opened(STARTTLS)
        ours.write(f"<starttls xmlns='{ns.TLS}'/>")
        theirs.accept_tls()
        ours.proceed_tls()
        ours.send_header()
        theirs.answer(*features)
        ours.expect_header()
        ours.expect_features()
        return ours, theirs


class Talking(TwoPeers):
    def test_what_one_sends_the_other_receives(self) -> None:
        ours, theirs = self.opened(DIALBACK, BIDI)
        assert ours.features is not None
        self.assertIsNotNone(ours.features.child(ns.BIDI_FEATURE, "bidi"))
        ours.send("<message to='x@b.test' from='y@a.test'><body>1</body></message>")
        theirs.send("<presence to='y@a.test' from='x@b.test'/>")
        theirs.expect("<message to='x@b.test'><body>1</body></message>")
        ours.expect("<presence from='x@b.test'/>", exact=False)
        theirs.nothing()
        ours.send(Element("message", ns.CLIENT, attrs={"id": "e"}))
        self.assertTrue(bytes(theirs.raw).endswith(b"<message id='e'/>"))

    def test_what_is_missing_or_different_fails_the_test(self) -> None:
        ours, theirs = self.opened()
        self.assertRaises(FailTest, theirs.receive)
        self.assertRaises(FailTest, theirs.expect_header)
        ours.send("<presence/>")
        self.assertRaises(FailTest, theirs.nothing)
        self.assertRaises(FailTest, theirs.expect, "<message/>")

    def test_the_header_is_what_one_wants_to_see(self) -> None:
        ours, theirs = self.connected()
        ours.send_header(attrs="xml:lang='de'")
        header = theirs.expect_header(from_="a.test", to="b.test", id=None)
        self.assertEqual((header.content, header.get("version")), (ns.SERVER, "1.0"))
        ours, theirs = self.connected()
        ours.send_header()
        self.assertRaises(FailTest, theirs.expect_header, to="c.test")

    def test_a_stream_without_a_version_is_of_the_times_before(self) -> None:
        ours, theirs = self.connected()
        ours.remote = ours.local = ""
        ours.send_header(attrs="version='0.9'")
        self.assertEqual(theirs.expect_header(from_=None, to=None).get("version"), "0.9")

    def test_a_stream_may_begin_anew_without_a_declaration(self) -> None:
        ours, theirs = self.opened()
        ours.send("<pres")
        ours.send("ence/>")
        ours.write(f"<stream:stream xmlns='jabber:server' xmlns:stream='{ns.STREAMS}' to='again'><message/>")
        theirs.expect("<presence/>")
        theirs.expect_header(to="again")
        theirs.expect("<message/>")

    def test_what_is_no_xml_is_kept_apart(self) -> None:
        ours, theirs = self.opened()
        ours.send("<message></presence>")
        theirs.nothing()
        self.assertEqual(theirs.garbage, ["<message></presence>"])

    def test_the_end_is_seen(self) -> None:
        ours, theirs = self.opened()
        ours.close()
        self.assertTrue(theirs.ended)
        self.assertIsNone(theirs.lost)
        ours.cut()
        self.assertIsNotNone(theirs.lost)

    def test_who_does_not_read_receives_nothing_until_he_does(self) -> None:
        ours, theirs = self.opened()
        theirs.stop_reading()
        ours.send("<presence/>")
        theirs.nothing()
        theirs.resume_reading()
        theirs.expect("<presence/>")


class Connections(TwoPeers):
    def test_one_is_found_by_the_dns(self) -> None:
        ask = self.network.dns.srv("_xmpps-server._tcp.b.test")
        (record,) = self.successResultOf(ensureDeferred(ask))
        self.assertEqual((record.port, record.target), (5270, "b.test"))

    def test_who_does_not_listen_is_not_connected_to(self) -> None:
        self.b.stop_listening()
        self.assertRaises(FailTest, self.a.dial, "b.test")
        self.b.nobody()
        self.assertRaises(FailTest, self.b.accept)

    def test_a_connection_nobody_took_is_noticed(self) -> None:
        self.a.dial("b.test")
        self.assertRaises(FailTest, self.b.nobody)

    def test_a_connection_may_take_its_time(self) -> None:
        self.network.set_delay("a.test", "b.test", 1)
        stream = self.a.dial("b.test")
        self.assertIsNone(stream.transport)
        self.network.advance(1)
        self.assertIsNotNone(stream.transport)


class Tls(TwoPeers):
    def names(self, certificate: x509.Certificate | None) -> list[str]:
        assert certificate is not None
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return found.get_values_for_type(x509.DNSName)

    def test_both_show_their_certificates(self) -> None:
        ours, theirs = self.encrypted(EXTERNAL)
        self.assertEqual(self.names(ours.certificate), ["b.test"])
        self.assertEqual(self.names(theirs.certificate), ["a.test"])
        self.assertEqual(theirs.tls.get_servername(), b"b.test")
        ours.send("<presence/>")
        theirs.expect("<presence/>")

    def test_direct_tls(self) -> None:
        ours, theirs = self.a.dial("b.test", tls=True), self.b.accept()
        ours.send_header()
        theirs.answer()
        ours.expect_header(from_="b.test")
        self.assertEqual(self.names(ours.certificate), ["b.test"])

    def test_one_without_a_certificate_shows_none(self) -> None:
        self.a = Peer(self.network, "c.test", certificate=None)
        _, theirs = self.encrypted()
        self.assertIsNone(theirs.certificate)

    def test_one_without_a_certificate_cannot_be_a_server(self) -> None:
        self.b = Peer(self.network, "c.test", certificate=None, direct_tls=True)
        ours = self.a.dial("c.test", tls=True)
        ours.send_header()
        self.assertIsNotNone(ours.lost)

    def test_any_certificate_may_be_given(self) -> None:
        issued = self.network.authority.issue("somewhere.test", srv=["_xmpp-server.c.test"])
        self.b = Peer(self.network, "c.test", certificate=issued)
        ours = self.a.dial("c.test")
        theirs = self.b.accept()
        ours.send_header()
        theirs.answer(STARTTLS)
        ours.write(f"<starttls xmlns='{ns.TLS}'/>")
        theirs.accept_tls()
        ours.expect_header()
        ours.expect_features()
        ours.proceed_tls()
        self.assertEqual(self.names(ours.certificate), ["somewhere.test"])
        self.assertEqual(ours.tls.get_state_string(), b"SSL negotiation finished successfully")


class LoggingIn(TwoPeers):
    def test_external(self) -> None:
        ours, theirs = self.encrypted(EXTERNAL)
        ours.write(f"<auth xmlns='{ns.SASL}' mechanism='EXTERNAL'>=</auth>")
        self.assertEqual(theirs.accept_external().text, "=")
        ours.expect(f"<success xmlns='{ns.SASL}'/>")
        ours.send_header()
        theirs.answer(BIDI)
        ours.expect_header()
        ours.expect_features(BIDI)

    def test_dialback_says_what_it_is_told(self) -> None:
        ours, theirs = self.opened(DIALBACK)
        ours.send("<db:result from='a.test' to='b.test'>key</db:result>")
        self.assertEqual(theirs.accept_dialback("invalid").text, "key")
        ours.expect("<db:result from='b.test' to='a.test' type='invalid'/>")
        theirs.send("<db:verify from='b.test' to='a.test' id='1&apos;'>key</db:verify>")
        ours.answer_verify("valid")
        theirs.expect("<db:verify from='a.test' to='b.test' id=\"1'\" type='valid'/>")

    def test_keys_are_those_of_the_specification(self) -> None:
        self.assertEqual(
            self.a.keys.key("b.test", "a.test", "1"), Peer(Network(), "a.test").keys.key("b.test", "a.test", "1")
        )


class Transcripts(TwoPeers):
    def test_every_word_is_written_down_also_inside_tls(self) -> None:
        self.network.advance(1.5)
        ours, theirs = self.encrypted(EXTERNAL)
        self.network.advance(2)
        theirs.send("<message from='x@b.test' to='y@a.test'><body>hello</body></message>")
        ours.close()
        ours.transport.loseConnection()
        self.network.pump()
        transcript = self.network.transcript
        (connection,) = transcript.connections("b.test", "a.test")
        self.assertTrue(connection.tls)
        self.assertEqual((connection.opened, connection.closed, connection.port), (1.5, 3.5, 5269))
        said = [(entry.time, entry.sender, entry.encrypted, _name(entry)) for entry in transcript]
        self.assertEqual(
            said,
            [
                (1.5, "a.test", False, "connects to port 5269"),
                (1.5, "a.test", False, "header"),
                (1.5, "b.test", False, "header"),
                (1.5, "b.test", False, "features"),
                (1.5, "a.test", False, "starttls"),
                (1.5, "b.test", False, "proceed"),
                (1.5, "b.test", True, "begins TLS"),
                (1.5, "a.test", True, "begins TLS"),
                (1.5, "a.test", True, "header"),
                (1.5, "b.test", True, "header"),
                (1.5, "b.test", True, "features"),
                (3.5, "b.test", True, "message"),
                (3.5, "a.test", True, "</stream:stream>"),
                (3.5, said[-1][1], True, "is disconnected (ConnectionDone)"),
            ],
        )

    def test_it_is_asked_for_parts(self) -> None:
        Peer(self.network, "c.test", "d.test")
        ours, theirs = self.opened()
        self.a.dial("c.test")
        ours.send("<presence id='1'/>")
        self.network.advance(1)
        theirs.send("<presence id='2'/><db:result>key</db:result>")
        transcript = self.network.transcript
        self.assertEqual(len(transcript.connections()), 2)
        self.assertEqual(len(transcript.connections("a.test", "d.test")), 1)
        self.assertEqual(transcript.connections("b.test", "d.test"), [])
        self.assertEqual([e.get("id") for e in transcript.elements(ns.CLIENT, "presence")], ["1", "2"])
        self.assertEqual([e.get("id") for e in transcript.sent_by("b.test").elements(name="presence")], ["2"])
        self.assertEqual(len(transcript.between("b.test", "a.test").elements(ns.DIALBACK)), 1)
        self.assertEqual(transcript.between("a.test", "d.test").elements(), [])
        self.assertEqual(len(transcript.since(1)), 2)
        self.assertEqual(len(transcript.on(transcript.connections()[1])), 1)
        self.assertEqual(len(transcript.in_clear()), len(transcript))
        self.assertEqual([h.get("to") for h in transcript.headers()], ["b.test", "a.test"])
        transcript.clear()
        self.assertEqual((len(transcript), len(transcript.connections())), (0, 2))

    def test_it_has_an_end(self) -> None:
        self.patch(transcript, "ENTRIES", 3)
        self.network = Network()
        peers = Peer(self.network, "a.test"), Peer(self.network, "b.test")
        stream = peers[0].dial("b.test")
        stream.send_header()
        for number in range(5):
            stream.send(f"<presence id='{number}'/>")
        self.assertEqual([e.get("id") for e in self.network.transcript.elements()], ["2", "3", "4"])

    def test_it_can_be_read(self) -> None:
        ours, _ = self.opened(BIDI)
        ours.send("<message to='x@b.test'><body>a &amp; b</body></message>")
        lines = str(self.network.transcript).splitlines()
        self.assertEqual(lines[0], "     0.000  a.test -> b.test  #1  connects to port 5269")
        self.assertIn(f"<stream:features>{BIDI}</stream:features>", lines[3])
        self.assertTrue(lines[4].endswith("#1  <message to='x@b.test'><body>a &amp; b</body></message>"))

    def test_what_is_written_in_pieces_is_one_element(self) -> None:
        ours, theirs = self.connected()
        header = f"<?xml version=\"1.0\"?>\n<stream:stream xmlns='jabber:server' xmlns:stream='{ns.STREAMS}'>"
        for byte in f"{header}<message/>".encode():
            ours.write(bytes([byte]))
        theirs.pump()
        transcript = self.network.transcript
        self.assertEqual(theirs.garbage, [])
        self.assertEqual([_name(entry) for entry in transcript][1:], ["header", "message"])

    def test_what_is_no_stream_is_shown_as_it_is(self) -> None:
        ours, _ = self.connected()
        ours.send(b"GET / HTTP/1.0\r\n\r\n\xff")
        ours.send(b"x" * 1000)
        texts = [entry.text or "" for entry in self.network.transcript]
        self.assertEqual(texts[1], "GET / HTTP/1.0\r\n\r\n\\xff")
        self.assertTrue(texts[2].endswith("x…"))


def _name(entry: Entry) -> str:
    if entry.element is not None:
        return entry.element.name
    return "header" if entry.header is not None else str(entry.text)
