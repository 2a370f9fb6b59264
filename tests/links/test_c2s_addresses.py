"""What one IP address may do: connections, connections a minute, failed logins."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import UNIXAddress

from federix.testing import Client, Wire, World
from federix.xmpp import ns
from tests.links.support import WorldTestCase, plain

SOCKET = "/run/federix.sock"
UNLIMITED = {
    "max_connections_per_address": "infinity",
    "max_connections_per_second": "infinity",
    "max_failed_logins_per_address": "infinity",
}


class AddressLimitTests(WorldTestCase):
    def world_with(self, **limits: Any) -> World:
        world = self.make(listener={**UNLIMITED, **limits})
        world.register("romeo@example.org")
        return world

    def is_let_in(self, world: World, ip: str = "192.0.2.1") -> bool:
        return world.connect(ip=ip).lost is None

    def wrong(self, world: World, ip: str = "192.0.2.1") -> Client:
        client = world.connect(ip=ip)
        client.open("example.org")
        client.start_tls("example.org")
        client.open("example.org")
        client.send(plain("romeo", "wrong"))
        return client

    def test_so_many_connections_at_once(self) -> None:
        world = self.world_with(max_connections_per_address=3)
        clients = [world.connect() for _ in range(3)]
        self.assertFalse(self.is_let_in(world))
        self.assertTrue(self.is_let_in(world, "192.0.2.2"), "others are not concerned")
        clients[0].cut()
        self.assertTrue(self.is_let_in(world), "who leaves makes room")
        self.assertFalse(self.is_let_in(world))

    def test_however_a_connection_ends_it_makes_room(self) -> None:
        world = self.world_with(max_connections_per_address=1)
        for leave in (
            lambda client: client.cut(),
            lambda client: client.send("nonsense"),
            lambda client: (client.open("example.org"), client.close()),
            lambda client: (client.open("example.org"), client.start_tls(), client.cut()),
        ):
            client = world.connect()
            self.assertIsNone(client.lost)
            leave(client)
            world.advance(10)
            self.assertIsNotNone(client.lost)

    def test_addresses_of_one_network_count_as_one(self) -> None:
        world = self.world_with(max_connections_per_address=1)
        self.assertTrue(self.is_let_in(world, "2001:db8::1"))
        self.assertFalse(self.is_let_in(world, "2001:db8::2"))
        self.assertTrue(self.is_let_in(world, "2001:db8:0:1::1"))

    def test_so_many_connections_a_second(self) -> None:
        world = self.world_with(max_connections_per_second=1)
        for _ in range(5):
            client = world.connect()
            self.assertIsNone(client.lost)
            client.cut()
        self.assertFalse(self.is_let_in(world))
        world.advance(1)
        self.assertTrue(self.is_let_in(world))
        self.assertFalse(self.is_let_in(world))

    def test_too_many_wrong_passwords_ban_the_address(self) -> None:
        world = self.world_with(max_failed_logins_per_address=3, failed_login_memory=600)
        for _ in range(2):
            self.assert_sasl_failure(self.wrong(world), "not-authorized")
        client = self.wrong(world)
        self.assert_sasl_failure(client, "not-authorized")
        self.assert_stream_error(client, "policy-violation")
        self.assertFalse(self.is_let_in(world))
        self.assertTrue(self.is_let_in(world, "192.0.2.2"))
        world.advance(599)
        self.assertFalse(self.is_let_in(world))
        world.advance(2)
        self.assertTrue(self.is_let_in(world))

    def test_a_ban_holds_at_every_port(self) -> None:
        world = self.world_with(max_failed_logins_per_address=2)
        for _ in range(2):
            self.wrong(world)
        self.assertIsNotNone(world.connect(5223).lost)
        self.assertIsNone(world.connect(5223, ip="192.0.2.9").lost)

    def test_connections_count_at_every_port(self) -> None:
        world = self.world_with(max_connections_per_address=2)
        direct = world.connect(5223)
        self.assertIsNone(direct.lost)
        self.assertTrue(self.is_let_in(world))
        self.assertFalse(self.is_let_in(world))
        direct.cut()
        self.assertTrue(self.is_let_in(world))

    def test_a_ban_holds_for_the_connections_that_are_there(self) -> None:
        world = self.world_with(max_failed_logins_per_address=3)
        waiting = world.connect()
        waiting.open("example.org")
        waiting.start_tls("example.org")
        waiting.open("example.org")
        for _ in range(3):
            self.wrong(world)
        waiting.send(plain("romeo", "wrong"))
        self.assert_sasl_failure(waiting, "not-authorized")
        self.assert_stream_error(waiting, "policy-violation")

    def test_a_login_forgives(self) -> None:
        world = self.world_with(max_failed_logins_per_address=3)
        for _ in range(4):
            for _ in range(2):
                client = self.wrong(world)
            client.drain()
            client.send(plain("romeo"))
            client.expect(f"<success xmlns='{ns.SASL}'/>")

    def test_this_machine_has_no_limits(self) -> None:
        world = self.world_with(
            max_connections_per_address=1, max_connections_per_second=1, max_failed_logins_per_address=1
        )
        for ip in ("127.0.0.1", "::1", "127.3.2.1"):
            for _ in range(3):
                self.assert_sasl_failure(self.wrong(world, ip), "not-authorized")

    def test_a_network_banned_sees_nothing_of_us(self) -> None:
        world = self.world_with(max_failed_logins_per_address=1)
        self.wrong(world)
        client = world.connect()
        self.assertEqual(bytes(client.raw), b"")


class UnixSocketTests(WorldTestCase):
    """Who comes by a Unix socket has no address."""

    def came(self, world: World) -> Client:
        """A client that came so, nothing said yet."""
        wire = Wire(world.clock, UNIXAddress(None), UNIXAddress(SOCKET.encode()))  # type: ignore[arg-type]
        client = Client(world, wire)
        world.wires.append(wire)
        wire.near.attach(client)
        factory = next(factory for path, factory, *_ in world.clock.unixServers if path == SOCKET)
        wire.far.attach(factory.buildProtocol(UNIXAddress(None)))
        return client

    def logged_in(self, rule: list[Any]) -> bool:
        """Whether he may log in under that rule of access."""
        entry = {"module": "ejabberd_c2s", "port": f"unix:{SOCKET}", "access": rule}
        world = self.make(listen=[entry])
        world.register("romeo@example.org")
        client = self.came(world)
        client.open("example.org")
        client.start_tls("example.org")
        client.open("example.org")
        client.send(plain("romeo"))
        return client.receive().name == "success"

    def test_he_is_in_no_network(self) -> None:
        self.assertTrue(self.logged_in([{"deny": {"ip": "192.0.2.0/24"}}, "allow"]))
        self.assertFalse(self.logged_in([{"allow": {"ip": "0.0.0.0/0"}}]))
        self.assert_no_traceback()
