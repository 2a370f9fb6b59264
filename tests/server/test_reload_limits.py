"""What a reload changes for addresses: the limits of a listener, not what was counted, nor who is connected."""

from __future__ import annotations

from typing import Any

from federix.testing import Client, World
from tests.links.support import WorldTestCase, plain

PORT = 5222


class ReloadedLimitsTests(WorldTestCase):
    def reload(self, world: World, **options: Any) -> None:
        listen = [{**entry, **options} if entry["port"] == PORT else entry for entry in world.settings["listen"]]
        world.run(world.server.reload(world.configure({**world.settings, "listen": listen})))

    def opened(self, world: World) -> Client:
        client = world.connect(PORT)
        self.assertIsNone(client.lost, "refused")
        client.open("example.org")
        return client

    def assert_refused(self, world: World) -> None:
        self.assertIsNotNone(world.connect(PORT).lost, "admitted")

    def test_connections_at_once(self) -> None:
        world = self.make()
        clients = [self.opened(world) for _ in range(2)]
        self.reload(world, max_connections_per_address=2)
        self.assert_refused(world)
        self.assertEqual([client.lost for client in clients], [None, None])
        self.reload(world, max_connections_per_address=3)
        self.opened(world)
        self.assert_refused(world)

    def test_new_connections_a_second(self) -> None:
        world = self.make()
        self.opened(world).cut()
        self.reload(world, max_connections_per_second=1)
        for _ in range(5):
            self.opened(world).cut()
        self.assert_refused(world)
        self.reload(world, max_connections_per_second="infinity")
        self.opened(world)

    def test_failed_logins_and_how_long_they_count(self) -> None:
        world = self.make(listener={"max_failed_logins_per_address": "infinity"})
        self.reload(world, max_failed_logins_per_address=2, failed_login_memory=30)
        for _ in range(2):
            client = self.opened(world)
            client.start_tls("example.org")
            client.open("example.org")
            client.send(plain("romeo", "wrong"))
            client.cut()
        self.assert_refused(world)
        world.advance(31)
        self.opened(world)

    def test_options_of_another_kind_leave_the_limits_alone(self) -> None:
        world = self.make(listener={"max_connections_per_address": 1})
        self.opened(world)
        self.reload(world, max_stanza_size=20000)
        self.assert_refused(world)
