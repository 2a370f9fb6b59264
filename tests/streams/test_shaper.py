"""A shaped stream passes its rate and no more, and never stands still for ever."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from federix.streams.shaper import Shaper

sizes = st.integers(1, 65536)
rates = st.floats(1.0, 1e8)
bursts = st.integers(0, 200_000)
starts = st.sampled_from([0.0, 1e6, 1e9])  # seconds; the clock's grain grows with them


class ShaperTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def shaper(self, rate: float | None = 1000, burst: float = 4000) -> Shaper:
        return Shaper(rate, burst, self.clock.seconds)

    def test_a_burst_passes_and_what_follows_is_paused_for(self) -> None:
        shaper = self.shaper()
        self.assertEqual(shaper.consume(4000), 0.0)
        self.assertEqual(shaper.consume(500), 0.5)

    def test_after_the_pause_reading_goes_on(self) -> None:
        shaper = self.shaper()
        pause = shaper.consume(6000)
        self.assertEqual(pause, 2.0)
        self.clock.advance(1.5)
        self.assertEqual(shaper.consume(0), 0.5)
        self.clock.advance(0.5)
        self.assertEqual(shaper.consume(0), 0.0)

    def test_a_long_silence_earns_one_burst_and_no_more(self) -> None:
        shaper = self.shaper()
        self.clock.advance(3600)
        self.assertEqual(shaper.consume(5000), 1.0)

    def test_no_rate_is_no_limit(self) -> None:
        self.assertEqual(self.shaper(None, 0).consume(10**9), 0.0)

    def test_a_new_rate_shortens_a_pause_that_has_begun(self) -> None:
        shaper = self.shaper()
        self.assertEqual(shaper.consume(14_000), 10.0)
        self.clock.advance(2)
        shaper.change(4000, 4000)
        self.assertEqual(shaper.consume(0), 2.0)

    def test_a_smaller_burst_holds_at_once(self) -> None:
        shaper = self.shaper()
        shaper.change(1000, 100)
        self.assertEqual(shaper.consume(600), 0.5)

    def test_a_limit_can_be_lifted_and_set_again(self) -> None:
        shaper = self.shaper()
        shaper.consume(100_000)
        shaper.change(None, 4000)
        self.assertEqual(shaper.consume(100_000), 0.0)
        self.clock.advance(100)
        shaper.change(1000, 4000)
        self.assertEqual(shaper.consume(5000), 1.0)

    def test_a_rate_that_would_read_nothing_is_refused(self) -> None:
        for rate, burst in ((0, 10), (-1, 10), (10, -1)):
            self.assertRaises(ValueError, self.shaper, rate, burst)
            self.assertRaises(ValueError, self.shaper().change, rate, burst)

    @settings(deadline=None)
    @given(rates, bursts, starts, st.lists(st.tuples(sizes, st.floats(0, 100)), min_size=1, max_size=30))
    def test_in_no_interval_pass_more_than_burst_and_rate_allow(
        self, rate: float, burst: int, start: float, reads: list[tuple[int, float]]
    ) -> None:
        """A read passes when it is made; the last of an interval may overdraw the bucket, the others may not."""
        clock = Clock()
        clock.advance(start)
        shaper = Shaper(rate, burst, clock.seconds)
        passed: list[tuple[float, int]] = []
        for size, idle in reads:
            passed.append((clock.seconds(), size))
            clock.advance(shaper.consume(size) + idle)
        # Bytes: what rounding and the grain of the clock may let through.
        slack = 2.0 + rate * math.ulp(clock.seconds()) * len(reads)
        for first in range(len(passed)):
            total = 0
            for moment, size in passed[first:]:
                self.assertLessEqual(total, burst + rate * (moment - passed[first][0]) + slack)
                total += size

    @settings(deadline=None)
    @given(rates, bursts, starts, st.lists(sizes, min_size=1, max_size=30))
    def test_an_obeyed_pause_is_never_followed_by_another(
        self, rate: float, burst: int, start: float, reads: list[int]
    ) -> None:
        clock = Clock()
        clock.advance(start)
        shaper = Shaper(rate, burst, clock.seconds)
        for size in reads:
            pause = shaper.consume(size)
            grain = 2 * math.ulp(clock.seconds() + pause)
            # One byte may be owed from before, and a grain of the clock's where the rate is more than a byte in that.
            self.assertLessEqual(pause, (size + 1.0) / rate * (1 + 1e-9) + grain)
            clock.advance(pause)
            self.assertLessEqual(shaper.consume(0), grain)

    @settings(deadline=None)
    @given(rates, st.lists(sizes, min_size=1, max_size=30))
    def test_a_sender_within_the_rate_is_never_paused(self, rate: float, reads: list[int]) -> None:
        clock = Clock()
        shaper = Shaper(rate, 65536, clock.seconds)
        for size in reads:
            self.assertEqual(shaper.consume(size), 0.0)
            clock.advance(size / rate)
