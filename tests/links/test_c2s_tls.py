"""TLS for clients: negotiated inside the stream or spoken from the first byte (RFC 6120 §5, XEP-0368, XEP-0170)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from OpenSSL import SSL

from federix.api import HANDLED, IQ, Candidate, Handled, Module, Stanza, hooks
from federix.testing import Client, World
from federix.testing.world import PASSWORD
from federix.xmpp import ns
from federix.xmpp.jid import JID
from tests.links.support import Tls, WorldTestCase, deafen, names, plain, secured, stream_of
from tests.streams.handshakes import Identity

STARTTLS = f"<starttls xmlns='{ns.TLS}'/>"
REQUIRED = {"starttls_required": True}


class Welcome(Module):
    """Answers whoever is not logged in."""

    name = "mod_welcome"

    @hooks.c2s_unauthenticated_packet
    def answer(self, candidate: Candidate, stanza: Stanza) -> Handled:
        assert isinstance(stanza, IQ)
        candidate.stream.send(stanza.result())
        return HANDLED


class StrangerTests(WorldTestCase):
    """What modules may do for clients that have not logged in, they do inside TLS, where that is required."""

    REQUEST = "<iq type='get' id='1'><query xmlns='urn:welcome'/></iq>"

    def world_with(self, **listener: bool) -> World:
        return self.make(modules={"mod_welcome": {}}, own_modules={"mod_welcome": Welcome}, listener=listener)

    def test_without_tls_they_are_not_asked(self) -> None:
        client = self.world_with(starttls_required=True).connect()
        client.open("example.org")
        client.send(self.REQUEST)
        self.assert_stream_error(client, "not-authorized")

    def test_inside_tls_they_are(self) -> None:
        client = secured(self.world_with(starttls_required=True))
        client.send(self.REQUEST)
        client.expect("<iq type='result' id='1'/>")

    def test_where_tls_is_not_required_they_are(self) -> None:
        client = self.world_with().connect()
        client.open("example.org")
        client.send(self.REQUEST)
        client.expect("<iq type='result' id='1'/>")

    def test_of_messages_and_presence_they_do_not_hear(self) -> None:
        for said in ("<message/>", "<presence/>"):
            client = self.world_with().connect()
            client.open("example.org")
            client.send(said)
            self.assert_stream_error(client, "not-authorized")


class StartTlsTests(WorldTestCase):
    def test_without_tls_a_client_is_offered_nothing_else_by_default(self) -> None:
        world = self.make(listener={"starttls_required": True})
        features = world.connect().open("example.org")
        self.assertEqual(names(features), ["starttls", "limits"])
        starttls = features.child(ns.TLS, "starttls")
        assert starttls is not None
        self.assertIsNotNone(starttls.child(ns.TLS, "required"))

    def test_requiring_tls_is_the_default(self) -> None:
        world = self.make({"listen": [{"module": "ejabberd_c2s", "port": 5222, "ip": "127.0.0.1"}]})
        self.assertEqual(names(world.connect().open("example.org")), ["starttls", "limits"])

    def test_where_it_is_not_required_it_is_offered_first(self) -> None:
        features = self.make().connect().open("example.org")
        self.assertEqual(names(features), ["starttls", "mechanisms", "limits"])
        starttls = features.child(ns.TLS, "starttls")
        assert starttls is not None
        self.assertIsNone(starttls.child(ns.TLS, "required"))

    def test_the_features_of_each_stage(self) -> None:
        """XEP-0170 §1.1: TLS, then SASL, then the resource."""
        world = self.make(listener=REQUIRED)
        world.register("romeo@example.org")
        client = world.connect()
        self.assertEqual(names(client.open("example.org")), ["starttls", "limits"])
        client.start_tls("example.org")
        self.assertEqual(names(client.open("example.org")), ["mechanisms", "sasl-channel-binding", "limits"])
        client.send(plain("romeo"))
        client.expect(f"<success xmlns='{ns.SASL}'/>")
        self.assertEqual(names(client.open("example.org")), ["bind", "session", "limits"])

    def test_where_tls_is_required_nothing_else_works_without(self) -> None:
        world = self.make(listener=REQUIRED)
        for stanza in ("<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>", "<presence/>"):
            client = world.connect()
            client.open("example.org")
            client.send(stanza)
            self.assert_stream_error(client, "not-authorized")

    def test_whoever_offers_none_is_asked_for_none(self) -> None:
        world = self.make(listener={"starttls": False})
        client = world.connect()
        self.assertEqual(names(client.open("example.org")), ["mechanisms", "limits"])
        client.send(STARTTLS)
        client.expect(f"<failure xmlns='{ns.TLS}'/>")
        self.assertTrue(client.ended, "RFC 6120 §5.4.2.2: the stream is closed after a failure")

    def test_bytes_sent_ahead_of_tls_do_not_come_to_life_in_it(self) -> None:
        """RFC 6120 §5.4.3.3: what was injected before the handshake must not be taken for the client's."""
        world = self.make()
        world.register("romeo@example.org")
        client = world.connect()
        client.open("example.org")
        client.send(STARTTLS + plain("romeo") + "<iq type='get' id='spy'><query xmlns='jabber:iq:auth'/></iq>")
        client.expect(f"<proceed xmlns='{ns.TLS}'/>")
        client.nothing()
        client.begin_tls("example.org")
        self.assertEqual(names(client.open("example.org")), ["mechanisms", "sasl-channel-binding", "limits"])
        client.nothing()

    def test_however_much_is_sent_ahead_of_tls_is_forgotten(self) -> None:
        """More than is parsed at once: what waits unread behind it is forgotten as well."""
        spy = "<iq type='get' id='spy'><query xmlns='jabber:iq:auth'/></iq>"
        for ahead in (" " * 20_480 + spy, spy * 400, " " * 20_480 + "<iq type='get' id='half'><que"):
            world = self.make()
            world.register("romeo@example.org")
            client = world.connect()
            client.open("example.org")
            client.send(STARTTLS + ahead + plain("romeo"))
            client.expect(f"<proceed xmlns='{ns.TLS}'/>")
            self.assertEqual(stream_of(client).held, 0)
            client.begin_tls("example.org")
            self.assertEqual(names(client.open("example.org")), ["mechanisms", "sasl-channel-binding", "limits"])
            client.nothing()
            self.assertFalse(client.ended)

    def test_half_a_stanza_ahead_of_tls_is_forgotten_too(self) -> None:
        world = self.make()
        client = world.connect()
        client.open("example.org")
        client.send(STARTTLS + "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mecha")
        client.expect(f"<proceed xmlns='{ns.TLS}'/>")
        client.begin_tls("example.org")
        self.assertIn("mechanisms", names(client.open("example.org")))

    def test_plain_text_where_tls_should_begin_ends_the_connection(self) -> None:
        world = self.make()
        client = world.connect()
        client.open("example.org")
        deafen(client)
        client.wire.byte_by_byte = True
        client.send(STARTTLS + "<auth/>")
        world.advance(10)
        self.assertIsNotNone(client.lost)
        self.assert_no_traceback()

    def test_a_second_starttls_is_refused(self) -> None:
        client = secured(self.make())
        client.send(STARTTLS)
        self.assert_stream_error(client, "policy-violation")

    def test_starttls_after_the_login_is_refused(self) -> None:
        world = self.make()
        world.register("romeo@example.org")
        client = world.connect()
        client.open("example.org")
        client.login(JID.parse("romeo@example.org/orchard"), PASSWORD)
        client.send(STARTTLS)
        self.assert_stream_error(client, "policy-violation")

    def test_starttls_before_the_header_is_no_stream(self) -> None:
        client = self.make().connect()
        client.send(STARTTLS)
        self.assert_stream_error(client, "invalid-namespace")

    def test_features_after_tls_are_sent_anew(self) -> None:
        client = secured(self.make())
        self.assertNotIn("starttls", names(client.features))

    def test_a_client_that_breaks_off_the_handshake_leaves_no_traceback(self) -> None:
        world = self.make()
        client = world.connect()
        client.open("example.org")
        client.send(STARTTLS)
        client.receive()
        deafen(client)
        client.send(b"\x16\x03\x01\x00\x05hello")
        world.advance(10)
        self.assertIsNotNone(client.lost)
        self.assert_no_traceback()

    def test_a_handshake_that_never_comes_ends_in_time(self) -> None:
        world = self.make({"negotiation_timeout": "20s"})
        client = world.connect()
        client.open("example.org")
        client.send(STARTTLS)
        client.receive()
        world.advance(19)
        self.assertIsNone(client.lost)
        world.advance(9)
        self.assertIsNotNone(client.lost)
        self.assert_no_traceback()


class CertificateTests(WorldTestCase):
    """Which certificate a client sees: the one it asks for by name, or that of the host its stream is for."""

    def common_name(self, client: Client) -> str:
        tls: Any = client.tls
        certificate: x509.Certificate = tls.get_peer_certificate(as_cryptography=True)
        return certificate.subject.rfc4514_string().removeprefix("CN=")

    def two_hosts(self) -> World:
        world = self.make(hosts=("example.org", "example.net"))
        now = datetime.fromtimestamp(world.server.now(), UTC)
        self.folder = world.directory / "certificates"
        self.folder.mkdir()
        for name in ("example.org", "example.net"):
            (self.folder / f"{name}.pem").write_bytes(Identity(name, name, now=now).both)
        self.reload(world)
        return world

    def reload(self, world: World) -> None:
        settings = {**world.settings, "certfiles": [str(self.folder / "*.pem")]}
        world.run(world.server.reload(world.configure(settings)))

    def test_the_name_in_the_handshake_chooses_it(self) -> None:
        world = self.two_hosts()
        for name in ("example.org", "example.net"):
            client = world.connect(5223)
            client.begin_tls(creator=Tls(name))
            self.assertEqual(self.common_name(client), name)

    def test_without_one_the_stream_chooses_it(self) -> None:
        world = self.two_hosts()
        for name in ("example.org", "example.net"):
            client = world.connect()
            client.open(name)
            client.send(STARTTLS)
            client.receive()
            client.begin_tls(creator=Tls())
            self.assertEqual(self.common_name(client), name)

    def test_a_host_without_certificate_fails_the_handshake_and_nothing_else(self) -> None:
        world = self.make({"certfiles": ["/nowhere/*.pem"]})
        client = world.connect()
        client.open("example.org")
        client.send(STARTTLS)
        client.receive()
        client.begin_tls(creator=Tls("example.org"))
        world.advance(10)
        self.assertIsNotNone(client.lost)
        self.assert_no_traceback()
        self.assertIn("mechanisms", names(world.connect().open("example.org")))


class DirectTlsTests(WorldTestCase):
    """XEP-0368: TLS from the first byte."""

    def test_the_port_speaks_tls_and_offers_no_more_of_it(self) -> None:
        world = self.make()
        client = world.connect(5223)
        client.begin_tls("example.org")
        self.assertEqual(names(client.open("example.org")), ["mechanisms", "sasl-channel-binding", "limits"])

    def test_a_whole_login(self) -> None:
        world = self.make()
        address = world.register("romeo@example.org").with_resource("orchard")
        client = world.connect(5223)
        client.begin_tls("example.org")
        client.open("example.org")
        client.login(address, PASSWORD)
        self.assertEqual(client.jid, address)

    def test_the_application_protocol_is_agreed_on(self) -> None:
        """XEP-0368 §3: the ALPN protocol is xmpp-client."""
        client = self.make().connect(5223)
        client.begin_tls(creator=Tls("example.org", alpn=[b"h2", b"xmpp-client"]))
        self.assertEqual(client.tls.get_alpn_proto_negotiated(), b"xmpp-client")

    def test_another_application_protocol_is_refused(self) -> None:
        world = self.make()
        client = world.connect(5223)
        client.begin_tls(creator=Tls("example.org", alpn=[b"http/1.1"]))
        world.advance(10)
        self.assertIsNotNone(client.lost)
        self.assert_no_traceback()

    def test_tls_1_2_is_spoken_and_nothing_older(self) -> None:
        world = self.make()
        client = world.connect(5223)
        client.begin_tls(creator=Tls("example.org", version=SSL.TLS1_2_VERSION))
        self.assertEqual(client.tls.get_protocol_version_name(), "TLSv1.2")
        old = world.connect(5223)
        old.begin_tls(creator=Tls("example.org", version=SSL.TLS1_1_VERSION))
        world.advance(10)
        self.assertIsNotNone(old.lost)
        self.assert_no_traceback()

    def test_a_plain_stream_there_gets_no_answer_and_is_ended(self) -> None:
        world = self.make()
        client = world.connect(5223)
        client.transport.write(b"<stream:stream xmlns='jabber:client' to='example.org'>")
        deafen(client)
        world.advance(10)
        self.assertIsNotNone(client.lost)
        self.assert_no_traceback()
