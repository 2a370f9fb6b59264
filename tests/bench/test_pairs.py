"""Two who talk."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench.inbox import LoadFailed
from bench.load import Specification
from bench.pairs import Paced, Pair


class Connection:
    """One end; what it sends the other receives, as the server would have it, when `deliver` is called."""

    def __init__(self, jid: str, waiting: list[tuple[str, bytes]]) -> None:
        self.jid = jid
        self.waiting = waiting
        self.received: Callable[[bytes], object] = lambda data: None

    def send(self, data: bytes) -> None:
        self.waiting.append((self.jid, data.replace(b" to='", b" from='%s' to='" % self.jid.encode(), 1)))


class Loop:
    """A loop in which answers come at once."""

    def __init__(self, count: int) -> None:
        self.specification = Specification([], "PLAIN", "paced", True, 4, count, 0, 10.0, rate=1_000_000.0)
        self.waiting: list[tuple[str, bytes]] = []
        self.ends = {jid: Connection(jid, self.waiting) for jid in ("a@x/r", "b@x/r", "c@x/r", "d@x/r")}
        self.others = {"a@x/r": "b@x/r", "b@x/r": "a@x/r", "c@x/r": "d@x/r", "d@x/r": "c@x/r"}
        self.asked = 0

    def deliver(self) -> None:
        while self.waiting:
            jid, data = self.waiting.pop(0)
            self.asked += b"id='q" in data
            self.ends[self.others[jid]].received(data)

    def run(self, done: Callable[[], bool], every: float = 0.1) -> None:
        for _ in range(100_000):
            if done():
                return
            self.deliver()
        raise LoadFailed("not done")


class PairTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.loop = Loop(0)
        self.times: list[float] = []

    def pair(self, in_flight: int) -> Pair:
        ends: Any = self.loop.ends
        return Pair(ends["a@x/r"], ends["b@x/r"], in_flight, self.times)

    def test_an_answer_brings_the_next_question(self) -> None:
        pair = self.pair(2)
        pair.begin(5)
        self.assertEqual(len(self.loop.waiting), 2)
        self.loop.deliver()
        self.assertEqual((self.loop.asked, pair.left, len(self.times)), (5, 0, 5))
        pair.check()

    def test_who_has_none_in_flight_asks_only_when_told(self) -> None:
        pair = self.pair(0)
        pair.begin(5)
        self.assertEqual(self.loop.waiting, [])
        pair.ask(time.perf_counter())
        self.loop.deliver()
        self.assertEqual((self.loop.asked, pair.left), (1, 4))

    def test_a_round_trip_counts_from_when_it_was_due(self) -> None:
        pair = self.pair(0)
        pair.begin(1)
        pair.ask(time.perf_counter() - 60.0)
        self.loop.deliver()
        self.assertGreater(self.times[0], 59.0)


class PacedTests(SynchronousTestCase):
    def test_everybody_asks_as_often_as_he_should(self) -> None:
        loop: Any = Loop(25)
        paced = Paced(loop)
        ends = loop.ends
        paced.pairs = [
            Pair(ends[one], ends[other], 0, paced.times) for one, other in (("a@x/r", "b@x/r"), ("c@x/r", "d@x/r"))
        ]
        paced.run()
        self.assertEqual([pair.sent for pair in paced.pairs], [25, 25])
        self.assertEqual((paced.done, len(paced.times)), (100, 50))
