from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from federix.modules.allowances import Allowances


class AllowancesTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()  # type: ignore[no-untyped-call]
        self.allowances = Allowances(self.clock.seconds)

    def taken(self, account: str, times: int, *, most: int | None = None) -> int:
        """Of so many times how often there was something left."""
        return sum(self.allowances.take(account, at_once=10, per_minute=6, most=most) for _ in range(times))

    def test_so_much_can_be_taken_at_once_and_no_more(self) -> None:
        self.assertEqual(self.taken("romeo", 12), 10)

    def test_nobody_takes_from_anybody_elses(self) -> None:
        self.taken("romeo", 12)
        self.assertEqual(self.taken("juliet", 12), 10)

    def test_it_comes_back_little_by_little(self) -> None:
        self.taken("romeo", 12)
        self.clock.advance(9.5)
        self.assertEqual(self.taken("romeo", 1), 0)
        self.clock.advance(0.75)
        self.assertEqual(self.taken("romeo", 2), 1)
        self.clock.advance(30)
        self.assertEqual(self.taken("romeo", 5), 3)

    def test_to_ask_in_vain_costs_nothing(self) -> None:
        self.taken("romeo", 1000)
        self.clock.advance(10.25)
        self.assertEqual(self.taken("romeo", 2), 1)

    def test_for_now_it_may_be_less(self) -> None:
        self.assertEqual(self.taken("romeo", 12, most=4), 4)
        self.assertEqual(self.taken("romeo", 12), 6)
        self.assertEqual(self.taken("romeo", 12, most=1000), 0)

    def test_who_has_all_of_it_again_is_forgotten(self) -> None:
        self.taken("romeo", 1)
        self.clock.advance(60)
        self.taken("juliet", 1)
        self.assertEqual(len(self.allowances), 2)
        self.clock.advance(40)
        self.taken("juliet", 1)
        self.assertEqual(len(self.allowances), 1)

    def test_who_asks_in_vain_keeps_nobody_else_remembered(self) -> None:
        self.taken("romeo", 10)
        self.taken("juliet", 1)
        for _ in range(10):
            self.clock.advance(10)
            self.taken("romeo", 3)
        self.assertEqual(len(self.allowances), 1)

    @given(
        st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 200)), max_size=60),
        st.integers(1, 20),
        st.integers(1, 600),
    )
    def test_never_is_more_taken_than_at_once_and_what_came_back(
        self, asked: list[tuple[str, float]], at_once: int, per_minute: int
    ) -> None:
        clock = Clock()  # type: ignore[no-untyped-call]
        allowances = Allowances(clock.seconds)
        taken = {"a": 0, "b": 0}
        for account, pause in asked:
            clock.advance(pause)
            taken[account] += allowances.take(account, at_once=at_once, per_minute=per_minute)
            self.assertLessEqual(taken[account], at_once + clock.seconds() * per_minute / 60 + 1e-6)
