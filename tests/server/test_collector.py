"""When the garbage collector does what."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from federix.server.collector import (
    COLLECT_EVERY,
    GROWTH,
    HAND_BACK_EVERY,
    LEAST,
    LOOK_EVERY,
    NEVER,
    YOUNG,
    YOUNGEST,
    Collector,
    peak_memory,
)

from .processes import ProcessCase


class Garbage:
    """Notes what is asked of it."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def collect(self) -> int:
        self.told.append("collect")
        return 0

    def freeze(self) -> None:
        self.told.append("freeze")

    def unfreeze(self) -> None:
        self.told.append("unfreeze")

    def set_threshold(self, youngest: int, young: int, old: int, /) -> None:
        self.told.append((youngest, young, old))


NEW = ["collect", "freeze"]
EVERYTHING = ["unfreeze", "collect", "freeze"]


class CollectorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.clock = Clock()
        self.garbage = Garbage()
        self.peak = 1_000_000
        self.handed_back: list[float] = []
        self.collector = Collector(
            self.clock, self.garbage, lambda: self.peak, lambda: self.handed_back.append(self.clock.seconds())
        )
        self.collector.start()
        self.begun = self.told()

    def told(self) -> list[object]:
        """What it was told to do since the last time."""
        told, self.garbage.told = self.garbage.told, []
        return told

    def test_what_is_there_at_the_start_is_frozen(self) -> None:
        self.assertEqual(self.begun, [(YOUNGEST, YOUNG, NEVER), *NEW])

    def test_what_is_new_is_looked_through_once_in_a_while(self) -> None:
        self.clock.pump([LOOK_EVERY] * int(COLLECT_EVERY / LOOK_EVERY - 1))
        self.assertEqual(self.told(), [])
        self.clock.advance(LOOK_EVERY)
        self.assertEqual(self.told(), NEW)
        self.clock.pump([LOOK_EVERY] * int(COLLECT_EVERY / LOOK_EVERY))
        self.assertEqual(self.told(), NEW)

    def test_everything_is_when_memory_has_grown_by_much(self) -> None:
        self.peak = int(1_000_000 * (1 + GROWTH))
        self.clock.advance(LOOK_EVERY)
        self.assertEqual(self.told(), [])
        self.peak += 1
        self.clock.advance(LOOK_EVERY)
        self.assertEqual(self.told(), EVERYTHING)
        self.clock.advance(LOOK_EVERY)
        self.assertEqual(self.told(), [])

    def test_what_is_new_does_not_count_as_everything(self) -> None:
        self.peak = 1_400_000
        self.clock.pump([LOOK_EVERY] * int(COLLECT_EVERY / LOOK_EVERY))
        self.assertEqual(self.told(), NEW)
        self.peak = 1_600_000
        self.clock.advance(LOOK_EVERY)
        self.assertEqual(self.told(), EVERYTHING)

    def test_a_small_server_that_grows_is_left_alone(self) -> None:
        self.peak = 40 * 1024
        self.collector.stop()
        self.collector = Collector(self.clock, self.garbage, lambda: self.peak, lambda: None)
        self.collector.start()
        self.told()
        self.peak += LEAST
        self.clock.advance(LOOK_EVERY)
        self.assertEqual(self.told(), [])
        self.peak += 1
        self.clock.advance(LOOK_EVERY)
        self.assertEqual(self.told(), EVERYTHING)

    @given(st.lists(st.integers(0, 400_000), max_size=100))
    def test_garbage_has_a_bound_and_passes_are_few(self, made: list[int]) -> None:
        """After each look there is no more of it than a part of the memory at the last pass, even if all is garbage."""
        self.begin()
        seen, passes = self.peak, 0
        for more in made:
            self.peak += more
            self.clock.advance(LOOK_EVERY)
            if "unfreeze" in self.told():
                self.assertGreater(self.peak, seen * (1 + GROWTH))
                seen, passes = self.peak, passes + 1
            self.assertLessEqual(self.peak, seen * (1 + GROWTH))
        self.assertLessEqual(1_000_000 * (1 + GROWTH) ** passes, self.peak)

    def test_what_the_allocator_keeps_is_handed_back_again_and_again(self) -> None:
        self.clock.pump([1.0] * int(3 * HAND_BACK_EVERY))
        self.assertEqual(self.handed_back, [HAND_BACK_EVERY, 2 * HAND_BACK_EVERY, 3 * HAND_BACK_EVERY])

    def test_it_ends(self) -> None:
        self.collector.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class MemoryTests(SynchronousTestCase):
    def test_the_peak_rises_with_what_is_taken(self) -> None:
        before = peak_memory()
        taken = b"\1" * (before + 10_000) * (1 if sys.platform == "darwin" else 1024)  # bytes there, KiB elsewhere
        self.assertGreater(peak_memory(), before)
        del taken
        self.assertGreater(peak_memory(), before)


SHOW = """
import gc
from twisted.logger import Logger
from federix.api import Module

class Show(Module):
    name = "show"

    async def start(self):
        self.show()

    def show(self):
        if gc.get_freeze_count():
            Logger().info("thresholds: {told}", told=gc.get_threshold())
        else:
            self.scope.later(0.05, self.show)
"""


class ProcessTests(ProcessCase):
    def test_twistd_sets_the_collector_up_once_all_has_started(self) -> None:
        (self.folder / "modules").mkdir()
        (self.folder / "modules" / "show.py").write_text(SHOW)
        path = self.write("modules: {show: {}}\n")
        with self.twistd("-c", str(path), "-d", str(self.folder / "data")) as process:
            told = self.until("thresholds: ", process)
        self.assertIn(f"thresholds: {(YOUNGEST, YOUNG, NEVER)}", told)
