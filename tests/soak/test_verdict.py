"""The arithmetic that says whether memory has grown."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from soak.verdict import MIB, MINUTE, Memory, Point, left_open, memory, slope

HOUR = 60 * MINUTE


def series(rise: float, noise: float, seconds: float = HOUR, seed: int = 1) -> list[Point]:
    """Samples every ten seconds of a server of 80 MiB that grows by *rise* bytes an hour."""
    dice = Random(seed)
    return [
        (float(at), 80 * MIB + rise * at / HOUR + dice.uniform(-noise, noise)) for at in range(10, int(seconds) + 1, 10)
    ]


def judged(points: list[Point], seconds: float = HOUR) -> Memory:
    found = memory(points, seconds)
    assert found is not None
    return found


class MemoryTests(SynchronousTestCase):
    def test_a_flat_line_passes(self) -> None:
        found = judged(series(0, 0))
        self.assertTrue(found.passed)
        self.assertEqual(found.growth, 0)

    @given(st.integers(0, 1000))
    def test_noise_alone_passes(self, seed: int) -> None:
        self.assertTrue(judged(series(0, 4 * MIB, seed=seed)).passed)

    @given(st.integers(0, 1000))
    def test_a_leak_fails_even_under_noise(self, seed: int) -> None:
        # 40 minutes lie between the middles of the two windows.
        self.assertFalse(judged(series(12 * MIB, 2 * MIB, seed=seed)).passed)

    def test_what_shrinks_passes(self) -> None:
        self.assertTrue(judged(series(-20 * MIB, 0)).passed)

    def test_the_warm_up_does_not_count(self) -> None:
        points = [(at, size if at >= 10 * MINUTE else size / 2) for at, size in series(0, MIB)]
        found = judged(points)
        self.assertTrue(found.passed)
        assert found.slope is not None
        self.assertLess(abs(found.slope.rise) * HOUR, MIB)

    def test_a_single_peak_at_the_end_does_not_count(self) -> None:
        points = [(at, size * (3 if at > HOUR - MINUTE else 1)) for at, size in series(0, MIB)]
        self.assertTrue(judged(points).passed)

    def test_it_may_grow_by_three_per_cent_and_two_mebibytes(self) -> None:
        found = judged(series(0, 0))
        self.assertAlmostEqual(found.allowed, 80 * MIB * 1.03 + 2 * MIB)
        self.assertFalse(found.is_short)
        self.assertEqual((found.early_window, found.late_window), ((600, 1200), (3000, 3600)))

    def test_a_short_run_says_so_and_catches_gross_leaks_only(self) -> None:
        seconds = 2 * MINUTE
        settling = judged(series(300 * MIB, 0, seconds), seconds)  # ten in two minutes
        self.assertTrue(settling.is_short)
        self.assertTrue(settling.passed)
        self.assertFalse(judged(series(1200 * MIB, 0, seconds), seconds).passed)

    def test_without_samples_in_both_windows_there_is_no_verdict(self) -> None:
        self.assertIsNone(memory([], HOUR))
        self.assertIsNone(memory([(HOUR, 1.0)], HOUR))
        self.assertIsNone(memory([(15 * MINUTE, 1.0)], HOUR))


class SlopeTests(SynchronousTestCase):
    @given(st.floats(-1e3, 1e3), st.floats(-1e6, 1e6))
    def test_a_straight_line_is_found_again(self, rise: float, start: float) -> None:
        found = slope([(float(x), start + rise * x) for x in range(50)])
        assert found is not None
        self.assertAlmostEqual(found.rise, rise, places=5)
        self.assertAlmostEqual(found.error, 0, places=4)

    def test_noise_is_in_the_error(self) -> None:
        found = slope(series(0, MIB))
        assert found is not None
        self.assertLess(abs(found.rise), 4 * found.error)
        self.assertGreater(found.error, 0)

    def test_it_takes_three_points_at_different_times(self) -> None:
        self.assertIsNone(slope([(1, 1), (2, 2)]))
        self.assertIsNone(slope([(1, 1), (1, 2), (1, 3)]))


class DescriptorTests(SynchronousTestCase):
    def test_the_same_ones_again_are_none_too_many(self) -> None:
        self.assertEqual(left_open(["socket", "pipe"], ["pipe", "socket"]), [])

    def test_what_is_there_more_often_is_named(self) -> None:
        self.assertEqual(left_open(["socket"], ["socket", "socket", "file"]), ["file", "socket"])

    def test_fewer_are_fine(self) -> None:
        self.assertEqual(left_open(["socket", "file"], ["socket"]), [])
