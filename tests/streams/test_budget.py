"""What all streams keep together, and which of them must go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.streams.budget import LIGHT, Budget

MOST = 100 * LIGHT


class Heavy:
    """Something that keeps bytes, and lets go of them when it is told to."""

    def __init__(self) -> None:
        self.outweighed_by: int | None = None

    def outweighed(self) -> None:
        self.outweighed_by = 1


class BudgetTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.budget = Budget(MOST)

    def test_who_holds_most_goes(self) -> None:
        small, large, new = Heavy(), Heavy(), Heavy()
        self.assertTrue(self.budget.weigh(small, 40 * LIGHT))
        self.assertTrue(self.budget.weigh(large, 50 * LIGHT))
        self.assertTrue(self.budget.weigh(new, 20 * LIGHT))
        self.assertEqual([heavy.outweighed_by for heavy in (small, large, new)], [None, 1, None])
        self.assertEqual(self.budget.total, 60 * LIGHT)

    def test_that_may_be_the_one_who_has_grown(self) -> None:
        one, other = Heavy(), Heavy()
        self.budget.weigh(one, 10 * LIGHT)
        self.budget.weigh(other, 20 * LIGHT)
        self.assertFalse(self.budget.weigh(one, 90 * LIGHT))
        self.assertEqual((one.outweighed_by, other.outweighed_by), (1, None))
        self.assertEqual(self.budget.total, 20 * LIGHT)

    def test_up_to_the_bound_all_stay(self) -> None:
        heavy = [Heavy() for _ in range(10)]
        for one in heavy:
            self.budget.weigh(one, 10 * LIGHT)
        self.assertEqual(self.budget.total, MOST)
        self.assertFalse(any(one.outweighed_by for one in heavy))

    def test_what_is_light_does_not_count(self) -> None:
        for _ in range(1000):
            self.assertFalse(self.budget.weigh(Heavy(), LIGHT - 1))
        self.assertEqual((len(self.budget), self.budget.total), (0, 0))

    def test_who_lets_go_is_forgotten(self) -> None:
        heavy = Heavy()
        self.budget.weigh(heavy, 50 * LIGHT)
        self.assertFalse(self.budget.weigh(heavy, 0))
        self.assertEqual((len(self.budget), self.budget.total), (0, 0))

    @given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2 * MOST))))
    def test_the_sum_is_right_and_within_the_bound(self, changes: list[tuple[int, int]]) -> None:
        budget = Budget(MOST)
        streams = [Heavy() for _ in range(10)]
        weights: dict[int, int] = {}
        for number, weight in changes:
            streams[number].outweighed_by = None
            counted = budget.weigh(streams[number], weight)
            weights[number] = weight if counted else 0
            for other, stream in enumerate(streams):
                if stream.outweighed_by is not None:
                    weights[other] = 0
            self.assertEqual(budget.total, sum(weights.values()))
            self.assertLessEqual(budget.total, MOST)
