"""What all clients together make the server keep: `Budget`."""

from __future__ import annotations

from federix.streams.budget import HELD_AT_MOST
from federix.testing import Client
from tests.links.support import MOST, WorldTestCase, stream_of

MIB = 1024 * 1024


class HeldTogetherTests(WorldTestCase):
    def setUp(self) -> None:
        self.world = self.make()
        self.budget = self.world.server.listeners.budget

    def hold(self, client: Client, kib: int) -> None:
        """Send a stanza of that size, and not its end."""
        client.send("<message to='juliet@example.org'><body>")
        for _ in range(kib // 8):
            client.send("x" * 8192)

    def test_what_is_finished_does_not_count(self) -> None:
        romeo = self.world.client("romeo@example.org/orchard")
        self.hold(romeo, 64)
        self.assertGreater(self.budget.total, 64 * 1024)
        self.assertLess(self.budget.total, 4 * 64 * 1024)
        romeo.send("</body></message>")
        self.assertEqual((len(self.budget), self.budget.total), (0, 0))

    def test_nor_what_went_with_its_stream(self) -> None:
        romeo = self.world.client("romeo@example.org/orchard")
        self.hold(romeo, 64)
        romeo.cut()
        self.assertEqual((len(self.budget), self.budget.total), (0, 0))

    def test_what_is_not_read_counts(self) -> None:
        romeo = self.world.client("romeo@example.org/orchard")
        juliet = self.world.client("juliet@example.org/balcony")
        juliet.transport.pauseProducing()
        for _ in range(40):
            romeo.send(f"<message to='juliet@example.org/balcony' type='chat'><body>{'x' * 10_000}</body></message>")
        self.assertGreater(self.budget.total, 200_000)
        self.assertLess(self.budget.total, MOST)
        juliet.transport.resumeProducing()
        self.world.pump()
        self.assertEqual((len(self.budget), self.budget.total), (0, 0))

    def test_past_the_bound_of_all_whoever_holds_most_must_go(self) -> None:
        romeo = self.world.client("romeo@example.org/orchard")
        self.hold(romeo, 64)
        crowd = [self.world.client(f"u{n}@example.org/r") for n in range(1 + HELD_AT_MOST // (480 * 1024))]
        for client in crowd:
            self.hold(client, 248)
            self.assertLessEqual(self.budget.total, HELD_AT_MOST)
        ended = [client for client in crowd if client.ended]
        self.assertTrue(ended)
        self.assert_stream_error(ended[0], "resource-constraint")
        self.assertEqual(stream_of(romeo).state, 0)
        romeo.send("</body></message>")
        self.world.advance(10)
        self.assertIsNotNone(ended[0].lost)
        for client in (romeo, *crowd):
            client.cut()
        self.assertEqual((len(self.budget), self.budget.total), (0, 0))
