"""How a client's stream begins and ends: headers, restarts, binding, the closing handshake (RFC 6120 §4, §7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from federix.testing import Client, World
from federix.testing.world import PASSWORD
from federix.xmpp import ns
from federix.xmpp.jid import JID
from tests.links.support import WorldTestCase, names, scram
from tests.xmpp.sasl.support import Client as Scram

CONTENT = f"xmlns='jabber:client' xmlns:stream='{ns.STREAMS}'"


def bind(resource: str | None = None, id: str = "b") -> str:
    wanted = "" if resource is None else f"<resource>{resource}</resource>"
    return f"<iq type='set' id='{id}'><bind xmlns='{ns.BIND}'>{wanted}</bind></iq>"


class HeaderTests(WorldTestCase):
    def setUp(self) -> None:
        self.world = self.make(hosts=("example.org", "example.net"))

    def opened(self, header: str) -> Client:
        client = self.world.connect()
        client.send(header)
        return client

    def assert_refused(self, header: str, condition: str) -> Client:
        client = self.opened(header)
        self.assert_stream_error(client, condition)
        self.assert_complete(client)
        self.world.advance(10)
        self.assertIsNotNone(client.lost)
        return client

    def assert_complete(self, client: Client) -> None:
        """§4.7: what our header must have, whatever else is wrong."""
        header = client.header
        assert header is not None
        self.assertEqual(header.get("version"), "1.0")
        self.assertIn(header.get("from"), ("example.org", "example.net"))
        self.assertRegex(header.get("id") or "", "^[0-9a-f]{30}$")
        self.assertEqual(header.get("xml:lang"), "en")

    def test_the_answer_to_a_good_header(self) -> None:
        client = self.opened(f"<?xml version='1.0'?><stream:stream {CONTENT} to='example.net' version='1.0'>")
        self.assert_complete(client)
        assert client.header is not None
        self.assertEqual(client.header.get("from"), "example.net")
        self.assertIn("mechanisms", names(client.receive()))

    def test_every_stream_has_an_id_of_its_own(self) -> None:
        client = self.world.connect()
        client.open("example.org")
        first = client.header
        client.start_tls("example.org")
        client.open("example.org")
        second = client.header
        assert first is not None and second is not None
        self.assertNotEqual(first.get("id"), second.get("id"))

    def test_the_case_of_the_host_does_not_count(self) -> None:
        client = self.opened(f"<stream:stream {CONTENT} to='EXAMPLE.Org' version='1.0'>")
        assert client.header is not None
        self.assertEqual(client.header.get("from"), "example.org")

    def test_whom_it_is_for(self) -> None:
        for to, condition in (
            ("", "improper-addressing"),
            ("to=''", "improper-addressing"),
            ("to='example.com'", "host-unknown"),
            ("to='romeo@example.org'", "host-unknown"),
            ("to='..'", "host-unknown"),
            (f"to='{'x' * 2000}'", "host-unknown"),
        ):
            self.assert_refused(f"<stream:stream {CONTENT} {to} version='1.0'>", condition)

    def test_its_namespaces(self) -> None:
        for header, condition in (
            ("<stream:stream xmlns='jabber:client' xmlns:stream='urn:wrong'", "invalid-namespace"),
            (f"<stream:stream xmlns='jabber:server' xmlns:stream='{ns.STREAMS}'", "invalid-namespace"),
            (f"<stream:stream xmlns:stream='{ns.STREAMS}'", "invalid-namespace"),
            (f"<stream xmlns='{ns.STREAMS}'", "invalid-namespace"),
            ("<stream xmlns='jabber:client'", "invalid-namespace"),
            (f"<s:stream xmlns='jabber:client' xmlns:s='{ns.STREAMS}'", "bad-namespace-prefix"),
            (f"<stream:features xmlns='jabber:client' xmlns:stream='{ns.STREAMS}'", "bad-format"),
        ):
            self.assert_refused(f"{header} to='example.org' version='1.0'>", condition)

    def test_its_version(self) -> None:
        """§4.7.5: numbers, not strings; who speaks a newer one is answered with ours."""
        for version in ("1.0", "1.10", "2.0", "01.0", "12.3"):
            client = self.opened(f"<stream:stream {CONTENT} to='example.org' version='{version}'>")
            assert client.header is not None
            self.assertEqual(client.header.get("version"), "1.0")
            self.assertEqual(client.receive().name, "features")
        for version in ("version='0.9'", "version='0.10'", "", "version=''", "version='1'", "version='x.y'"):
            self.assert_refused(f"<stream:stream {CONTENT} to='example.org' {version}>", "unsupported-version")

    def test_an_error_before_the_header_is_answered_in_a_stream(self) -> None:
        """§4.9.1.2."""
        for said, condition in (
            ("hello", "not-well-formed"),
            ("GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
            ("<!DOCTYPE x><stream:stream>", "restricted-xml"),
            ("<!-- x -->", "restricted-xml"),
            ("<?xml version='1.0' encoding='UTF-16'?><stream:stream>", "unsupported-encoding"),
            ("<stream:stream>", "not-well-formed"),
            ("</stream:stream>", "not-well-formed"),
        ):
            self.assert_refused(said, condition)

    def test_a_byte_order_mark_or_another_encoding(self) -> None:
        for data in ("\ufeff<stream:stream".encode("utf-16-le"), "<stream:stream".encode("utf-16-be")):
            client = self.world.connect()
            client.send(data)
            self.assert_stream_error(client, "unsupported-encoding")

    def test_who_it_is_from_is_repeated_inside_tls_only(self) -> None:
        client = self.world.connect()
        client.open("example.org", "from='romeo@example.org'")
        assert client.header is not None
        self.assertIsNone(client.header.get("to"))
        client.start_tls("example.org")
        client.open("example.org", "from='romeo@example.org'")
        assert client.header is not None
        self.assertEqual(client.header.get("to"), "romeo@example.org")

    def test_inside_tls_another_host_may_be_meant(self) -> None:
        client = self.world.connect()
        client.open("example.org")
        client.start_tls("example.org")
        client.open("example.net")
        assert client.header is not None
        self.assertEqual(client.header.get("from"), "example.net")

    def test_after_the_login_no_other_host_may_be_meant(self) -> None:
        self.world.register("romeo@example.org")
        for to in ("example.net", "nowhere.example"):
            client = self.world.connect()
            client.open("example.org")
            scram(client, Scram("SHA-1", name="romeo", password=PASSWORD), "SCRAM-SHA-1")
            client.send(f"<?xml version='1.0'?><stream:stream {CONTENT} to='{to}' version='1.0'>")
            self.assert_stream_error(client, "not-authorized")

    def test_a_second_header_where_none_belongs(self) -> None:
        client = self.world.connect()
        client.open("example.org")
        client.send(f"<stream:stream {CONTENT} to='example.org' version='1.0'>")
        self.assert_stream_error(client, "bad-format")


class RestartTests(WorldTestCase):
    """RFC 6120 §4.3.3: after TLS and after the login everything begins anew."""

    def setUp(self) -> None:
        self.world = self.make()
        self.world.register("romeo@example.org")

    def authenticated(self) -> Client:
        client = self.world.connect()
        client.open("example.org")
        self.assertEqual(scram(client, Scram("SHA-1", name="romeo", password=PASSWORD), "SCRAM-SHA-1").name, "success")
        return client

    def test_what_goes_on_without_a_new_header_is_no_stream(self) -> None:
        for said in (
            bind(),
            "<presence/>",
            "<iq type='get' id='1' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>",
        ):
            client = self.authenticated()
            client.send(said)
            self.assert_stream_error(client, "invalid-namespace")

    def test_the_language_is_that_of_the_last_header(self) -> None:
        client = self.world.connect()
        client.open("example.org", "xml:lang='de'")
        scram(client, Scram("SHA-1", name="romeo", password=PASSWORD), "SCRAM-SHA-1")
        client.open("example.org")
        client.bind(JID.parse("romeo@example.org/orchard"))
        client.send("<message to='romeo@example.org/orchard'><body>x</body></message>")
        self.assertIsNone(client.receive().get("xml:lang"))


class BindTests(WorldTestCase):
    def authenticated(self, world: World) -> Client:
        client = world.connect()
        client.open("example.org")
        scram(client, Scram("SHA-1", name="romeo", password=PASSWORD), "SCRAM-SHA-1")
        client.open("example.org")
        return client

    def world_with(self, config: Mapping[str, Any] | None = None) -> World:
        world = self.make(config)
        world.register("romeo@example.org")
        return world

    def jid(self, client: Client, said: str) -> str:
        bound = client.request(said).child(ns.BIND, "bind")
        assert bound is not None
        return bound.text_of(ns.BIND, "jid") or ""

    def test_a_resource_of_the_clients_choice(self) -> None:
        client = self.authenticated(self.world_with())
        self.assertEqual(self.jid(client, bind("orchard")), "romeo@example.org/orchard")

    def test_a_resource_of_our_choice(self) -> None:
        world = self.world_with()
        jids = {self.jid(self.authenticated(world), bind(resource)) for resource in (None, None, "")}
        self.assertEqual(len(jids), 3)
        for jid in jids:
            # RFC 6120 §7.6.1: at least as hard to guess as a random one.
            self.assertRegex(jid, r"^romeo@example.org/[0-9a-f]{30}$")

    def test_what_is_not_allowed_as_one(self) -> None:
        client = self.authenticated(self.world_with())
        for resource in ("x" * 1024, "\u0085", "\ufdd0"):
            answer = client.request(bind(resource))
            self.assertEqual(answer.get("type"), "error")
            self.assertIn("bad-request", answer.to_xml())
        self.assertEqual(self.jid(client, bind("orchard")), "romeo@example.org/orchard")

    def test_requests_that_do_not_bind(self) -> None:
        client = self.authenticated(self.world_with())
        for said in (
            f"<iq type='get' id='b'><bind xmlns='{ns.BIND}'/></iq>",
            f"<iq type='set' id='b'><bind xmlns='{ns.BIND}'/><bind xmlns='{ns.BIND}'/></iq>",
        ):
            self.assertIn("bad-request", client.request(said).to_xml())

    def test_only_an_iq_binds(self) -> None:
        client = self.authenticated(self.world_with())
        client.send(f"<message type='set' id='b'><bind xmlns='{ns.BIND}'/></message>")
        self.assert_stream_error(client, "not-authorized")

    def test_a_second_time_it_is_not_done(self) -> None:
        client = self.authenticated(self.world_with())
        client.request(bind("one"))
        self.assertIn("not-allowed", client.request(bind("two", "c")).to_xml())
        self.assertIn("not-allowed", client.request(bind("one", "d")).to_xml())
        client.send("<message to='romeo@example.org/one'><body>still here</body></message>")
        client.expect("<message from='romeo@example.org/one'><body>still here</body></message>")

    def test_opening_a_session_as_of_old_changes_nothing(self) -> None:
        """RFC 3921 §3; what is offered as optional is answered."""
        client = self.authenticated(self.world_with())
        client.request(bind("one"))
        for to in ("", "to='example.org'"):
            answer = client.request(f"<iq type='set' id='s' {to}><session xmlns='{ns.SESSION}'/></iq>")
            self.assertEqual(answer.get("type"), "result")

    def test_before_it_no_stanza_is_taken(self) -> None:
        world = self.world_with()
        for said in (
            "<presence/>",
            "<message to='romeo@example.org'><body>x</body></message>",
            "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>",
        ):
            client = self.authenticated(world)
            client.send(said)
            self.assert_stream_error(client, "not-authorized")

    def test_the_newcomer_takes_it_over(self) -> None:
        for policy in ("acceptnew", "closeold"):
            world = self.world_with({"resource_conflict": policy})
            old, new = self.authenticated(world), self.authenticated(world)
            old.request(bind("orchard"))
            self.assertEqual(self.jid(new, bind("orchard")), "romeo@example.org/orchard")
            self.assert_stream_error(old, "conflict")
            self.assertEqual(len(world.host("example.org").sessions), 1)

    def test_the_newcomer_is_refused(self) -> None:
        world = self.world_with({"resource_conflict": "closenew"})
        old, new = self.authenticated(world), self.authenticated(world)
        old.request(bind("orchard"))
        self.assertIn("<conflict", new.request(bind("orchard")).to_xml())
        self.assertEqual(self.jid(new, bind("balcony")), "romeo@example.org/balcony")
        self.assertFalse(old.ended)

    def test_the_newcomer_gets_another(self) -> None:
        world = self.world_with({"resource_conflict": "setresource"})
        old, new = self.authenticated(world), self.authenticated(world)
        old.request(bind("orchard"))
        self.assertRegex(self.jid(new, bind("orchard")), r"^romeo@example.org/[0-9a-f]{30}$")
        self.assertFalse(old.ended)

    def test_past_the_limit_the_oldest_goes(self) -> None:
        world = self.world_with({"shaper_rules": {"max_user_sessions": 2}})
        clients = []
        for resource in ("a", "b", "c"):
            client = self.authenticated(world)
            client.request(bind(resource))
            clients.append(client)
            world.advance(1)
        self.assert_stream_error(clients[0], "policy-violation")
        self.assertFalse(clients[1].ended or clients[2].ended)
        self.assertEqual(len(world.host("example.org").sessions), 2)


class ClosingTests(WorldTestCase):
    """RFC 6120 §4.4."""

    def setUp(self) -> None:
        self.world = self.make()
        self.romeo = self.world.client("romeo@example.org/orchard")
        self.sessions = self.world.host("example.org").sessions

    def test_the_client_closes_and_so_do_we(self) -> None:
        self.romeo.close()
        self.assertTrue(self.romeo.ended)
        self.assertIsNotNone(self.romeo.lost)
        self.assertEqual(len(self.sessions), 0)

    def test_inside_tls_as_well(self) -> None:
        client = self.world.client("juliet@example.org/balcony", tls=True)
        client.close()
        self.assertTrue(client.ended)
        self.assertIsNotNone(client.lost)

    def test_what_was_sent_before_the_end_still_arrives(self) -> None:
        juliet = self.world.client("juliet@example.org/balcony")
        body = "<message to='juliet@example.org/balcony' type='chat'><body>bye</body></message>"
        self.romeo.send(body + "</stream:stream>")
        juliet.expect("<message from='romeo@example.org/orchard'><body>bye</body></message>")

    def test_we_close_and_the_client_answers(self) -> None:
        next(iter(self.sessions)).end()
        self.world.pump()
        self.assertTrue(self.romeo.ended)
        self.assertIsNone(self.romeo.lost, "the client has its say")
        self.romeo.close()
        self.assertIsNotNone(self.romeo.lost)

    def test_a_client_that_does_not_answer_is_waited_for_two_seconds(self) -> None:
        next(iter(self.sessions)).end()
        self.world.advance(1.9)
        self.assertIsNone(self.romeo.lost)
        self.world.advance(0.2)
        self.assertIsNotNone(self.romeo.lost)

    def test_a_connection_that_does_not_close_is_cut_after_five_more(self) -> None:
        next(iter(self.sessions)).end()
        self.world.pump()
        self.romeo.wire.broken = True
        self.world.advance(6.9)
        self.assertIsNone(self.romeo.lost)
        self.world.advance(0.2)
        self.assertIsNotNone(self.romeo.lost)

    def test_a_tls_client_that_never_says_goodbye_is_cut(self) -> None:
        client = self.world.client("juliet@example.org/balcony", tls=True)
        client.wire.broken = True
        for session in self.sessions:
            session.end()
        self.world.advance(7.1)
        self.assertIsNotNone(client.lost)

    def test_what_is_sent_after_the_end_is_not_heard(self) -> None:
        juliet = self.world.client("juliet@example.org/balcony")
        self.sessions.of("romeo")[0].end()
        self.romeo.send("<message to='juliet@example.org/balcony'><body>x</body></message>")
        juliet.nothing()

    def test_a_clients_stream_error_ends_the_stream(self) -> None:
        self.romeo.send(f"<stream:error><reset xmlns='{ns.STREAM_ERROR}'/></stream:error>")
        self.assertTrue(self.romeo.ended)
        self.romeo.nothing()
        self.assertEqual(len(self.sessions), 0)

    def test_a_cut_connection_ends_the_session(self) -> None:
        self.romeo.cut()
        self.assertEqual(len(self.sessions), 0)

    def test_a_half_closed_connection_ends_the_session(self) -> None:
        self.romeo.transport.loseConnection()
        self.world.pump()
        self.assertEqual(len(self.sessions), 0)
        self.assertIsNotNone(self.romeo.lost)

    def test_whitespace_keeps_a_stream_alive_and_says_nothing(self) -> None:
        for data in (" ", "\n", "\r\n\t "):
            self.romeo.send(data)
            self.romeo.nothing()
        self.world.advance(3600)
        self.assertIsNone(self.romeo.lost)


class TimeoutTests(WorldTestCase):
    """Until it is bound, a stream has so much time in all."""

    def setUp(self) -> None:
        self.world = self.make({"negotiation_timeout": "60s"})

    def test_a_silent_connection_is_closed(self) -> None:
        client = self.world.connect()
        self.world.advance(59)
        self.assertFalse(client.ended)
        self.world.advance(1.5)
        self.assert_stream_error(client, "connection-timeout")

    def test_so_is_one_that_says_much_and_gets_nowhere(self) -> None:
        client = self.world.connect()
        client.open("example.org")
        for _ in range(60):
            client.send(" ")
            self.world.advance(1)
        self.assert_stream_error(client, "connection-timeout")

    def test_so_is_a_header_byte_after_byte(self) -> None:
        client = self.world.connect()
        for byte in ("<stream:stream " + " " * 100)[:61]:
            client.send(byte)
            self.world.advance(1)
        self.assert_stream_error(client, "connection-timeout")

    def test_a_session_has_all_the_time_in_the_world(self) -> None:
        client = self.world.client("romeo@example.org/orchard")
        self.world.advance(86400)
        self.assertFalse(client.ended)


class SenderTests(WorldTestCase):
    """`from` is ours to write (RFC 6120 §8.1.2.1), `xml:lang` ours to add (§4.7.4)."""

    def setUp(self) -> None:
        self.world = self.make()
        self.juliet = self.world.client("juliet@example.org/balcony")

    def test_whoever_claims_to_be_another_is_thrown_out(self) -> None:
        for claimed in (
            "juliet@example.org",
            "juliet@example.org/balcony",
            "romeo@example.org/other",
            "romeo@example.net/orchard",
            "example.org",
            "",
            "@@",
            "romeo@example.org/",
            "a" * 2000,
        ):
            romeo = self.world.client("romeo@example.org/orchard")
            romeo.send(f"<message from='{claimed}' to='juliet@example.org/balcony'><body>x</body></message>")
            self.assert_stream_error(romeo, "invalid-from")
            self.juliet.nothing()

    def test_the_truth_may_be_told(self) -> None:
        romeo = self.world.client("romeo@example.org/orchard")
        for claimed in ("romeo@example.org/orchard", "romeo@example.org", "ROMEO@Example.ORG/orchard"):
            romeo.send(f"<message from='{claimed}' to='juliet@example.org/balcony'><body>x</body></message>")
            self.juliet.expect("<message from='romeo@example.org/orchard'><body>x</body></message>")

    def client_speaking(self, lang: str) -> Client:
        self.world.register("mercutio@example.org")
        client = self.world.connect()
        client.open("example.org")
        scram(client, Scram("SHA-1", name="mercutio", password=PASSWORD), "SCRAM-SHA-1")
        client.open("example.org", f"xml:lang='{lang}'")
        client.bind(JID.parse("mercutio@example.org/street"))
        return client

    def test_the_language_of_the_stream_is_stamped(self) -> None:
        client = self.client_speaking("de-CH")
        client.send("<message to='juliet@example.org/balcony'><body>x</body></message>")
        self.juliet.expect("<message xml:lang='de-CH'/>")
        client.send("<message to='juliet@example.org/balcony' xml:lang='fr'><body>x</body></message>")
        self.juliet.expect("<message xml:lang='fr'/>")

    def test_what_is_no_language_is_not(self) -> None:
        for lang in ("", "no language", "x" * 65, "-", "de--ch"):
            world, self.world = self.world, self.make()
            del world
            self.juliet = self.world.client("juliet@example.org/balcony")
            client = self.client_speaking(lang)
            client.send("<message to='juliet@example.org/balcony'><body>x</body></message>")
            self.juliet.expect("<message xml:lang='-'/>")
