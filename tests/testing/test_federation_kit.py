"""A federation in one line: worlds on one network, each with what the others need to know of it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from cryptography import x509
from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import FailTest, SynchronousTestCase

from federix.api import Module
from federix.server.config import ConfigErrors
from federix.testing import Federation, Network, Peer, PeerStream, World
from federix.testing.certificates import WRONG_NAME
from federix.testing.peer import EXTERNAL, STARTTLS
from federix.xmpp import ns

HELLO = "<message to='{}' type='chat'><body>hello</body></message>"


class FederationTestCase(SynchronousTestCase):
    def federation(self, *domains: str, **options: Any) -> Federation:
        federation = Federation(*(domains or ("a.test", "b.test")), **options)
        self.addCleanup(federation.stop)
        return federation


class Servers(FederationTestCase):
    def test_two_people_chat(self) -> None:
        federation = self.federation()
        romeo = federation.client("romeo@a.test/orchard")
        juliet = federation.client("juliet@b.test/balcony", tls=True)
        romeo.send(HELLO.format(juliet.jid))
        juliet.expect("<message from='romeo@a.test/orchard'><body>hello</body></message>")
        juliet.send(HELLO.format(romeo.jid))
        romeo.expect("<message from='juliet@b.test/balcony'><body>hello</body></message>")
        between = federation.transcript.between("a.test", "b.test")
        self.assertEqual(len(between.elements(ns.CLIENT, "message")), 2)
        self.assertEqual(between.in_clear().elements(ns.CLIENT), [])
        self.assertEqual(len(between.connections()), 1)

    def test_each_has_its_own_accounts_and_ports(self) -> None:
        federation = self.federation()
        federation.client("romeo@a.test/x")
        self.assertRaises(FailTest, self.login, federation["b.test"], "romeo@a.test/x")
        a, b = federation["a.test"], federation["b.test"]
        self.assertEqual(a.run(a.host("a.test").accounts.exists("romeo")), True)
        self.assertEqual(b.run(b.host("b.test").accounts.exists("romeo")), False)
        self.assertEqual({port for port, *_ in b.clock.tcpServers}, {5222, 5223, 5269, 5270})

    def login(self, world: World, jid: str) -> None:
        client = world.connect()
        client.open(jid.partition("@")[2].partition("/")[0])

    def test_time_passes_for_all(self) -> None:
        federation = self.federation("a.test", "b.test", "c.test")
        federation.advance(5)
        federation["b.test"].advance(2)
        self.assertEqual([world.clock.seconds() for world in federation.worlds.values()], [7.0] * 3)
        self.assertEqual(federation["c.test"].server.now(), federation["a.test"].server.now())

    def test_it_is_found_by_any_of_its_domains(self) -> None:
        federation = self.federation(worlds={"a.test": {"hosts": ("a.test", "conference.a.test")}})
        self.assertIs(federation["conference.a.test"], federation["a.test"])
        self.assertRaises(KeyError, lambda: federation["c.test"])
        query = federation.network.dns.srv("_xmpp-server._tcp.conference.a.test")
        (record,) = self.successResultOf(ensureDeferred(query))
        self.assertEqual((record.port, record.target), (5269, "conference.a.test"))

    def test_options_are_for_all_or_for_one(self) -> None:
        federation = self.federation(
            config={"s2s_timeout": 60, "language": "de"},
            modules={"mod_ping": {"ping_interval": 50}, "mod_last": {}},
            dialback=False,
            worlds={"b.test": {"config": {"language": "fr"}, "modules": {"mod_ping": {}, "mod_last": None}}},
        )
        found = {}
        for domain, world in federation.worlds.items():
            config = world.server.config
            modules = config.modules(domain)
            options: Any = modules["mod_ping"].options
            language = config.options(domain).language
            found[domain] = (config.options(domain).s2s_timeout, language, sorted(modules), options.ping_interval)
        self.assertEqual(found["a.test"], (60, "de", ["mod_last", "mod_ping", "mod_s2s_bidi"], 50))
        self.assertEqual(found["b.test"], (60, "fr", ["mod_ping", "mod_s2s_bidi"], 60))

    def test_one_may_join_later(self) -> None:
        federation = self.federation("a.test")
        romeo = federation.client("romeo@a.test/x")
        federation.add("c.test")
        juliet = federation.client("juliet@c.test/y")
        romeo.send(HELLO.format(juliet.jid))
        juliet.expect("<message from='romeo@a.test/x'/>")

    def test_direct_tls_is_preferred_where_it_is_said(self) -> None:
        federation = self.federation(direct_tls=True)
        romeo, juliet = federation.client("romeo@a.test/x"), federation.client("juliet@b.test/y")
        romeo.send(HELLO.format(juliet.jid))
        juliet.expect("<message/>")
        (connection,) = federation.transcript.connections("a.test", "b.test")
        self.assertEqual(connection.port, 5270)
        self.assertEqual(federation.transcript.in_clear().headers(), [])

    def test_nothing_is_left_when_it_ends(self) -> None:
        with Federation("a.test", "b.test") as federation:
            folders = [federation.folder, *(world.directory for world in federation.worlds.values())]
            federation.client("romeo@a.test/x").send(HELLO.format("juliet@b.test"))
            self.assertTrue(all(folder.exists() for folder in folders))
        self.assertFalse(any(folder.exists() for folder in folders))
        self.assertEqual(list(federation.network.clock.getDelayedCalls()), [])
        self.assertEqual(federation.network.wires, [])

    def test_a_wrong_option_leaves_nothing_behind(self) -> None:
        network = Network()
        self.assertRaises(ValueError, Federation, "a.test", "a.test", network=network)
        self.assertEqual(list(network.clock.getDelayedCalls()), [])

    def test_domains_may_be_international(self) -> None:
        federation = self.federation("bücher.test", "b.test", direct_tls=True)
        romeo, juliet = federation.client("romeo@bücher.test/x"), federation.client("juliet@b.test/y")
        for one, other in ((romeo, juliet), (juliet, romeo)):
            one.send(HELLO.format(other.jid))
            other.expect(f"<message from='{one.jid}'/>")

    def test_the_network_may_be_slow_and_cut_everything_to_pieces(self) -> None:
        network = Network()
        network.byte_by_byte, network.delay, network.dns.delay = True, 0.2, 0.5
        federation = self.federation(network=network)
        romeo, juliet = federation.client("romeo@a.test/x"), federation.client("juliet@b.test/y")
        romeo.send(HELLO.format(juliet.jid))
        federation.advance(1)
        juliet.nothing()
        federation.advance(9)
        juliet.expect("<message/>")


class Certificates(FederationTestCase):
    def names(self, stream: PeerStream) -> list[str]:
        assert stream.certificate is not None
        found = stream.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return found.get_values_for_type(x509.DNSName)

    def test_each_may_have_a_wrong_one(self) -> None:
        federation = self.federation(
            "a.test", "b.test", "c.test", certificates={"b.test": "wrong-name", "c.test": None}
        )
        peer = federation.peer("peer.test")
        shown = {}
        for domain in ("a.test", "b.test"):
            stream = peer.dial(domain, tls=True)
            stream.pump()
            shown[domain] = self.names(stream)
        self.assertEqual(shown, {"a.test": ["a.test"], "b.test": [WRONG_NAME]})
        without = federation["c.test"].server.config.options("c.test").s2s_use_starttls
        self.assertEqual(without, "false")

    def test_all_may_have_one_of_a_kind(self) -> None:
        federation = self.federation(certificates="self-signed")
        peer = federation.peer("peer.test")
        stream = peer.dial("b.test", tls=True)
        stream.pump()
        assert stream.certificate is not None
        self.assertEqual(stream.certificate.issuer, stream.certificate.subject)


class Scripted(FederationTestCase):
    """A peer and a server."""

    def setUp(self) -> None:
        self.kit = self.federation("a.test")
        self.romeo = self.kit.client("romeo@a.test/x")
        self.peer: Peer = self.kit.peer("b.test")

    def test_a_server_connects_to_a_peer(self) -> None:
        self.romeo.send(HELLO.format("juliet@b.test"))
        stream = self.peer.accept()
        stream.answer(STARTTLS)
        stream.accept_tls()
        stream.answer(EXTERNAL)
        stream.accept_external()
        stream.answer()
        stream.expect("<message from='romeo@a.test/x' to='juliet@b.test'/>")

    def test_a_peer_connects_to_a_server(self) -> None:
        stream = self.peer.dial("a.test")
        stream.open()
        stream.start_tls()
        stream.open()
        stream.authenticate()
        stream.send("<message from='juliet@b.test/y' to='romeo@a.test/x'/>")
        self.romeo.expect("<message from='juliet@b.test/y'/>")

    def test_a_peer_proves_itself_by_dialback(self) -> None:
        peer = self.kit.peer("c.test", certificate="self-signed")
        stream = peer.dial("a.test")
        stream.open()
        stream.start_tls()
        stream.open()

        def accept(asked: PeerStream) -> None:
            asked.answer(STARTTLS)
            asked.accept_tls()
            asked.answer()

        self.assertEqual(stream.dialback(accept=accept).get("type"), "valid")
        stream.send("<message from='juliet@c.test/y' to='romeo@a.test/x'/>")
        self.romeo.expect("<message from='juliet@c.test/y'/>")


class Ends(FederationTestCase):
    def test_a_server_that_crashed_can_be_started_again(self) -> None:
        federation = self.federation()
        romeo, juliet = federation.client("romeo@a.test/x"), federation.client("juliet@b.test/y")
        romeo.send(HELLO.format(juliet.jid))
        juliet.receive()
        addresses = list(federation["b.test"].clock.addresses)
        federation["b.test"].crash()
        federation.pump()
        self.assertIsNotNone(juliet.lost)
        self.assertEqual(federation.network.connections("a.test", "b.test"), [])
        federation.restart("b.test")
        federation.advance(600)
        juliet = federation.client("juliet@b.test/y")
        romeo.drain()
        romeo.send(HELLO.format(juliet.jid))
        federation.advance(60)
        juliet.expect("<message from='romeo@a.test/x'/>")
        self.assertEqual(federation["b.test"].clock.addresses, addresses)

    def test_they_end_whatever_has_happened_to_them(self) -> None:
        for happens in (
            lambda kit: kit.network.partition("b.test"),
            lambda kit: kit["b.test"].crash(),
            lambda kit: kit["b.test"].crash(silently=True),
            lambda kit: kit.network.cut("a.test", "b.test"),
            lambda kit: kit.network.hold(),
        ):
            federation = Federation("a.test", "b.test")
            romeo, juliet = federation.client("romeo@a.test/x"), federation.client("juliet@b.test/y")
            romeo.send(HELLO.format(juliet.jid))
            happens(federation)
            romeo.send(HELLO.format(juliet.jid))
            federation.stop()
            self.assertEqual(list(federation.network.clock.getDelayedCalls()), [])
            self.assertFalse(federation.folder.exists())

    def test_one_that_has_lost_its_current_says_nothing(self) -> None:
        federation = self.federation()
        romeo, juliet = federation.client("romeo@a.test/x"), federation.client("juliet@b.test/y")
        romeo.send(HELLO.format(juliet.jid))
        juliet.receive()
        federation["b.test"].crash(silently=True)
        federation.advance(1)
        self.assertIsNone(juliet.lost)
        (connection,) = federation.network.transcript.connections("a.test", "b.test")
        assert connection.wire is not None
        self.assertTrue(connection.wire.near.connected)

    def test_a_server_may_be_restarted_in_peace(self) -> None:
        federation = self.federation()
        before = federation["b.test"]
        after = federation.restart("b.test")
        self.assertIsNot(before, after)
        self.assertIs(federation["b.test"], after)
        federation.client("juliet@b.test/y")


class Alone(SynchronousTestCase):
    def test_a_world_alone_has_a_network_of_its_own(self) -> None:
        worlds = [World(), World()]
        for world in worlds:
            self.addCleanup(world.stop)
        self.assertIsNot(worlds[0].network, worlds[1].network)
        worlds[0].advance(5)
        self.assertEqual(worlds[1].clock.seconds(), 0)

    def test_two_worlds_of_one_domain_do_not_fit_on_one_network(self) -> None:
        network = Network()
        world = World(network=network)
        self.addCleanup(world.stop)
        self.assertRaises(ValueError, World, network=network)

    def test_a_world_that_does_not_come_about_leaves_nothing(self) -> None:
        class Broken(Module):
            name = "mod_broken"

            async def on_start(self) -> None:
                raise ZeroDivisionError

        folder = Path(self.mktemp())
        folder.mkdir()
        self.patch(tempfile, "tempdir", str(folder))
        self.assertRaises(ConfigErrors, World, modules={"mod_nowhere": {}})
        self.assertRaises(ZeroDivisionError, World, modules={"mod_broken": {}}, own_modules={"mod_broken": Broken})
        self.assertEqual([*folder.iterdir()], [])
