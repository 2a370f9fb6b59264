"""Ports of all kinds: what holds for clients, servers and components alike."""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from zope.interface import implementer

from federix.server.accepting.kinds import KINDS
from federix.server.config import table
from federix.streams.accepted import AcceptedStream
from federix.testing import Client, World
from federix.testing.component import handshake, open_stream
from federix.xmpp import ns
from tests.links.support import WorldTestCase, stream_of

IRC = "irc.example.org"
#: A port for each kind.
PORTS = {"ejabberd_c2s": 5222, "ejabberd_s2s_in": 5269, "ejabberd_service": 5275}
CONTENT = {5222: ns.CLIENT, 5269: ns.SERVER, 5275: ns.COMPONENT}


@implementer(IOpenSSLClientConnectionCreator)
class Offering:
    """A client's end of TLS that offers application protocols."""

    def __init__(self, *protocols: bytes) -> None:
        self.context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        self.context.set_alpn_protos(list(protocols))

    def clientConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        return SSL.Connection(self.context, None)


def listen(**options: Any) -> list[dict[str, Any]]:
    """A port of each kind, with the same *options*."""
    own: dict[str, dict[str, Any]] = {
        "ejabberd_c2s": {"starttls_required": False},
        "ejabberd_service": {"hosts": {IRC: {"password": "secret"}}},
    }
    return [
        {"module": module, "ip": "127.0.0.1", "port": port, **own.get(module, {}), **options}
        for module, port in PORTS.items()
    ]


class KindTests(WorldTestCase):
    def world(self, config: dict[str, Any] | None = None, **options: Any) -> World:
        return self.make({"listen": listen(**options), **(config or {})})

    def begun(self, world: World, port: int, ip: str = "192.0.2.1") -> Client:
        """A connection whose stream header has been sent."""
        client = world.connect(port, ip=ip)
        to = IRC if port == 5275 else "example.org"
        client.send(
            f"<stream:stream xmlns='{CONTENT[port]}' xmlns:stream='{ns.STREAMS}' xmlns:db='{ns.DIALBACK}'"
            f" to='{to}' from='remote.test' version='1.0'>"
        )
        return client

    def stream(self, client: Client) -> AcceptedStream:
        found = stream_of(client)
        assert isinstance(found, AcceptedStream)
        return found

    def test_every_kind_that_can_be_configured_can_be_started(self) -> None:
        self.assertEqual({name: kind.options for name, kind in KINDS.items()}, dict(table.LISTENERS))
        self.assertEqual(set(PORTS), set(KINDS))

    def test_streams_of_each_kind_stand_in_their_namespace(self) -> None:
        world = self.world()
        for port, content in CONTENT.items():
            header = self.begun(world, port).header
            assert header is not None
            self.assertEqual(header.content, content)

    def test_they_are_bounded_by_the_options_of_their_port(self) -> None:
        world = self.world(max_queue_size=70_000, max_fsm_queue=11, send_timeout=7, pre_auth_max_stanza_size=2000)
        for port in PORTS.values():
            stream = self.stream(self.begun(world, port))
            bounds = stream.bounds
            self.assertEqual((bounds.queue_bytes, bounds.queue_stanzas, bounds.send_timeout), (70_000, 11, 7))
            self.assertEqual(stream._parser.limits.stanza_bytes, 2000)

    def test_they_are_on_their_way_to_a_login_together(self) -> None:
        world = self.world()
        clients = [self.begun(world, port) for port in PORTS.values()]
        arrivals = world.server.listeners.arrivals
        self.assertEqual(len(arrivals), 3)
        for client in clients:
            client.cut()
        self.assertEqual(len(arrivals), 0)
        self.assertEqual(world.server.listeners.streams, set())

    def test_what_they_keep_is_counted_together(self) -> None:
        world = self.world(pre_auth_max_stanza_size=8192)
        for number, port in enumerate(PORTS.values(), 1):
            self.begun(world, port).send(f"<message><body>{'x' * 6000}")
            self.assertGreaterEqual(world.server.listeners.budget.total, number * 6000)

    def test_an_address_has_one_count_for_all(self) -> None:
        world = self.world(max_connections_per_address=2)
        self.begun(world, 5222)
        self.begun(world, 5269)
        self.assertIsNotNone(world.connect(5275).lost)
        self.assertIsNone(world.connect(5275, ip="192.0.2.2").lost)

    def test_who_logs_in_nowhere_is_closed(self) -> None:
        world = self.world({"negotiation_timeout": 30})
        clients = [self.begun(world, port) for port in PORTS.values()]
        world.advance(40)
        for client in clients:
            self.assertIn(b"connection-timeout", client.raw)
            self.assertTrue(client.ended)

    def test_the_end_of_the_server_is_told_to_all(self) -> None:
        world = self.world()
        clients = [self.begun(world, port) for port in PORTS.values()]
        world.stop()
        for client in clients:
            self.assertIn(b"system-shutdown", client.raw)

    def test_each_speaks_its_own_protocol_inside_tls(self) -> None:
        world = self.make({"listen": listen(tls=True)})
        for port, wanted in {5222: b"xmpp-client", 5269: b"xmpp-server", 5275: b""}.items():
            client = world.connect(port)
            client.begin_tls(creator=Offering(b"xmpp-client", b"xmpp-server"))
            self.assertEqual(client.tls.get_alpn_proto_negotiated(), wanted)

    def test_a_reload_gives_each_new_options_in_place(self) -> None:
        world = self.world()
        component = world.component(IRC)
        world.run(world.server.reload(world.configure({**world.settings, "listen": listen(send_timeout=3)})))
        component.nothing()
        for port in PORTS.values():
            self.assertEqual(self.stream(self.begun(world, port)).bounds.send_timeout, 3)

    def test_ciphers_that_openssl_does_not_have_are_told_before_anything_changes(self) -> None:
        for module in PORTS:
            entries = [{**entry, "tls": True} for entry in listen() if entry["module"] == module]
            with self.assertRaisesRegex(Exception, "NONSENSE"):
                World({"listen": [{**entries[0], "ciphers": "NONSENSE"}]}, start=False)


class SlowComponentTests(WorldTestCase):
    def test_a_component_that_reads_nothing_is_gone_in_time_and_what_comes_then_goes_back(self) -> None:
        world = self.make({"listen": listen(send_timeout=15)})
        romeo, component = world.client("romeo@example.org/orchard"), world.component(IRC)
        component.transport.pauseProducing()
        romeo.send(f"<message to='{IRC}' id='held'><body>{'x' * 150_000}</body></message>")
        world.advance(14)
        romeo.nothing()
        world.advance(20)
        romeo.send(f"<message to='{IRC}' id='late'/>")
        self.assertEqual([element.get("id") for element in romeo.drain()], ["late"])

    def test_who_shook_hands_is_not_crowded_out(self) -> None:
        world = self.make({"listen": listen()})
        client = world.connect(5275)
        open_stream(client, IRC)
        client.send(handshake(client, "secret"))
        self.assertEqual(len(world.server.listeners.arrivals), 0)
