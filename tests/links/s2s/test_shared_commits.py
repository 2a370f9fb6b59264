"""What a peer sends to one user shares commits, each of which waits for the disk (SQLite, mod_mam)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from federix.life.executor import InlineExecutor
from federix.links.lanes import MOST_STANZAS
from federix.storage.sql import blocking
from federix.testing import PeerStream

from .bidi import BidiTestCase, bodies, message
from .reliable import numbers

#: Seconds that a commit takes, as on a disk.
COMMIT_TAKES = 0.005
BURST = 200


class SharedCommits(BidiTestCase):
    """Romeo and Mercutio are at a.test; b.test is a scripted server."""

    def setUp(self) -> None:
        self.begin(modules={"mod_mam": {"default": "always"}})
        self.world = self.federation["a.test"]
        self.mercutio = self.federation.client("mercutio@a.test/x")
        self.stream = self.connected(bidi=False)
        self.stream.send(message("first") + message("first", to="mercutio@a.test/x"))
        self.assertEqual(bodies(self.romeo.drain() + self.mercutio.drain()), ["first", "first"])
        self.commits = 0
        self.patch(InlineExecutor, "run", self.run_slowly)

    def run_slowly(self, function: Callable[..., Any], /, *args: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        writes = function is blocking._run_batch and args[-1]
        self.commits += bool(writes)
        self.world.clock.callLater(COMMIT_TAKES if writes else 0, lambda: done.callback(function(*args)))
        return done

    def burst(self, stream: PeerStream, *to: str) -> None:
        for number in numbers(1, BURST):
            stream.send("".join(message(number, to=each) for each in to))
        for _ in range(100):
            self.federation.advance(0.1)

    def test_a_burst_to_one_user_shares_commits_and_keeps_its_order(self) -> None:
        self.burst(self.stream, "romeo@a.test/x")
        self.assertEqual(bodies(self.romeo.drain()), numbers(1, BURST))
        # The first alone, then what came meanwhile; the stream is read on when half of what may be under way is kept.
        self.assertLessEqual(self.commits, 1 + 2 * BURST // MOST_STANZAS + 1)

    def test_so_does_one_to_two_users_in_turn(self) -> None:
        self.burst(self.stream, "romeo@a.test/x", "mercutio@a.test/x")
        self.assertEqual(bodies(self.romeo.drain()), numbers(1, BURST))
        self.assertEqual(bodies(self.mercutio.drain()), numbers(1, BURST))
        self.assertLessEqual(self.commits, 1 + 4 * BURST // MOST_STANZAS + 1)
