"""Statistics of repeated measurements."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bench.figures import Figure, figure, percentile, ratio, ratios


class FigureTests(SynchronousTestCase):
    def test_the_least_disturbed_repetition_counts(self) -> None:
        found = figure([3.0, 2.0, 2.5])
        self.assertEqual(found.cost, 2.0)
        self.assertAlmostEqual(found.spread, 0.5)

    def test_nothing_measured_is_an_error(self) -> None:
        self.assertRaises(ValueError, figure, [])

    def test_what_costs_nothing_has_no_spread(self) -> None:
        self.assertEqual(figure([0.0, 1.0]), Figure(0.0, 0.0))


class RatioTests(SynchronousTestCase):
    def test_it_is_our_cost_by_theirs(self) -> None:
        self.assertEqual(ratio(Figure(3.0, 0.0), Figure(2.0, 0.0)), 1.5)

    def test_it_needs_both(self) -> None:
        some = Figure(1.0, 0.0)
        self.assertIsNone(ratio(None, some))
        self.assertIsNone(ratio(some, None))
        self.assertIsNone(ratio(some, Figure(0.0, 0.0)))

    def test_we_are_not_compared_with_ourselves(self) -> None:
        figures = {"ours": Figure(2.0, 0.0), "theirs": Figure(4.0, 0.0), "nobody's": Figure(0.0, 0.0)}
        self.assertEqual(ratios(figures, "ours"), {"theirs": 0.5})


class PercentileTests(SynchronousTestCase):
    @given(st.lists(st.integers(), min_size=1), st.floats(0, 1))
    def test_so_many_values_lie_below(self, values: list[int], part: float) -> None:
        found = percentile(values, part)
        self.assertIn(found, values)
        self.assertLessEqual(sum(value < found for value in values), len(values) * part)

    def test_of_a_hundred(self) -> None:
        values = list(range(100))
        self.assertEqual((percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1.0)), (50, 99, 99))

    def test_of_nothing_it_is_nothing(self) -> None:
        self.assertEqual(percentile([], 0.5), 0.0)
