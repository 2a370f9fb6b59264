"""A silent client costs less, and notices nothing of it."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from federix.server import listeners
from federix.server.listeners import REST_EVERY, REST_PAUSE
from federix.testing import Client, World


class RestTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.addCleanup(self.world.stop)
        self.romeo = self.world.client("romeo@example.org/r", tls=True)
        self.juliet = self.world.client("juliet@example.org/j")

    def asleep(self, client: Client) -> bool:
        parsers: list[Any] = [s._parser for s in self.world.server.listeners.streams if s.owner is not None]
        owners: list[Any] = [s.owner for s in self.world.server.listeners.streams if s.owner is not None]
        [parser] = [p for p, owner in zip(parsers, owners, strict=True) if owner.session.jid == client.jid]
        rests: bool = parser.rests
        return rests

    def test_who_is_silent_rests_and_who_talks_does_not(self) -> None:
        for _ in range(5):
            self.romeo.send("<message to='juliet@example.org/j'><body>awake?</body></message>")
            self.assertFalse(self.asleep(self.romeo))
            self.world.advance(REST_EVERY / 2)
        self.assertTrue(self.asleep(self.juliet))
        self.assertEqual(len(self.juliet.drain()), 5)

    def test_who_rested_is_understood(self) -> None:
        self.world.advance(3 * REST_EVERY)
        self.assertTrue(self.asleep(self.romeo))
        self.romeo.send(" ")
        self.assertTrue(self.asleep(self.romeo))
        self.romeo.send("<message to='juliet@example.org/j'><body>a &lt; b</body></message>")
        self.juliet.expect("<message from='romeo@example.org/r'><body>a &lt; b</body></message>")
        self.romeo.close()
        self.assertTrue(self.romeo.ended)

    def test_many_go_to_rest_in_portions(self) -> None:
        self.patch(listeners, "REST_TOGETHER", 1)
        self.world.advance(2 * REST_EVERY - self.world.clock.seconds())
        awake = [client for client in (self.romeo, self.juliet) if not self.asleep(client)]
        self.assertEqual(len(awake), 1)
        self.world.advance(REST_PAUSE)
        self.assertTrue(self.asleep(awake[0]))

    def test_a_mistake_after_the_rest_is_told(self) -> None:
        self.world.advance(3 * REST_EVERY)
        self.romeo.send("<message></presence>")
        self.assertIn(b"<not-well-formed", bytes(self.romeo.raw))
