"""Whatever happens to the network: each message arrives or comes back, and what arrives does so in its order."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from federix.links.s2s.pair import MOST_TRIES
from federix.testing import Client, Federation

from .reliable import FAULTS, ReliableTestCase, befall

STEP = st.one_of(
    st.tuples(st.sampled_from(("romeo", "juliet")), st.integers(1, 3)),
    st.tuples(st.sampled_from((*FAULTS, "heal")), st.just(0)),
    st.tuples(st.just("wait"), st.sampled_from((1, 3, 20, 70, 200))),
)


@dataclass
class Side:
    """One who sends, and what became of it: the ids in their order."""

    client: Client
    to: str
    sent: list[str] = field(default_factory=list)
    arrived: list[str] = field(default_factory=list)
    bounced: list[str] = field(default_factory=list)


class Chaos(ReliableTestCase):
    def run_steps(self, steps: list[tuple[str, int]], *, bidi: bool) -> tuple[dict[str, Side], Federation]:
        federation = Federation("a.test", "b.test", bidi=bidi)
        sides = {
            "romeo": Side(federation.client("romeo@a.test/x"), "juliet@b.test/y"),
            "juliet": Side(federation.client("juliet@b.test/y"), "romeo@a.test/x"),
        }
        for what, number in steps:
            if what in sides:
                side = sides[what]
                for _ in range(number):
                    id = f"{what}-{len(side.sent)}"
                    side.sent.append(id)
                    side.client.send(f"<message id='{id}' to='{side.to}'><body>{id}</body></message>")
            elif not befall(federation, what):
                federation.advance(number)
        federation.network.heal()
        federation.advance(600)
        other = {"romeo": "juliet", "juliet": "romeo"}
        for name, side in sides.items():
            for element in side.client.drain():
                id = element.get("id") or ""
                if element.get("type") == "error":
                    side.bounced.append(id)
                elif element.name == "message":
                    sides[other[name]].arrived.append(id)
        return sides, federation

    def check(self, steps: list[tuple[str, int]], *, bidi: bool, counted: bool) -> None:
        sides, federation = self.run_steps(steps, bidi=bidi)
        try:
            faults = sum(what in FAULTS for what, _ in steps)
            for side in sides.values():
                lost = [id for id in side.sent if id not in side.arrived and id not in side.bounced]
                self.assertEqual(lost, [])
                self.assertEqual(len(side.bounced), len(set(side.bounced)))
                first = list(dict.fromkeys(side.arrived))
                self.assertEqual(first, [id for id in side.sent if id in first])
                copies = max((side.arrived.count(id) for id in first), default=1)
                self.assertLessEqual(copies, min(MOST_TRIES, faults + 1) if counted else 1)
                if not faults:
                    self.assertEqual((side.arrived, side.bounced), (side.sent, []))
            for world in federation.worlds.values():
                self.assertEqual(world.server.federation.waiting, 0)
        finally:
            federation.stop()
        self.assertEqual(list(federation.network.clock.getDelayedCalls()), [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_connection_that_dies_before_anything_was_answered(self) -> None:
        self.without_counting()
        steps = [("romeo", 1), ("break", 0), ("romeo", 1), ("wait", 70), ("romeo", 1), ("cut", 0)]
        for bidi in (True, False):
            self.check(steps, bidi=bidi, counted=False)

    @settings(max_examples=12, deadline=None)
    @given(st.lists(STEP, max_size=15))
    def test_counted_and_both_ways(self, steps: list[tuple[str, int]]) -> None:
        self.check(steps, bidi=True, counted=True)

    @settings(max_examples=12, deadline=None)
    @given(st.lists(STEP, max_size=15))
    def test_counted_and_one_way(self, steps: list[tuple[str, int]]) -> None:
        self.check(steps, bidi=False, counted=True)

    @settings(max_examples=12, deadline=None)
    @given(st.lists(STEP, max_size=15))
    def test_pinged_and_both_ways(self, steps: list[tuple[str, int]]) -> None:
        self.without_counting()
        self.check(steps, bidi=True, counted=False)

    @settings(max_examples=12, deadline=None)
    @given(st.lists(STEP, max_size=15))
    def test_pinged_and_one_way(self, steps: list[tuple[str, int]]) -> None:
        self.without_counting()
        self.check(steps, bidi=False, counted=False)
