"""What is settled out of turn is not counted before all that came earlier."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.core.settled import MODULUS, Mark, Settled


class SettledTests(SynchronousTestCase):
    def test_nothing_is_settled_at_first(self) -> None:
        self.assertEqual(Settled().handled, 0)

    def test_what_is_settled_at_once_is_counted_at_once_and_nothing_is_kept_of_it(self) -> None:
        settled = Settled()
        for _ in range(3):
            settled.at_once()
        self.assertEqual((settled.handled, settled._unsettled), (3, None))

    def test_what_is_settled_at_once_waits_for_those_before_it(self) -> None:
        settled = Settled()
        mark = settled.begin()
        settled.at_once()
        self.assertEqual(settled.handled, 0)
        self.assertTrue(settled.settle(mark))
        self.assertEqual(settled.handled, 2)

    def test_one_settled_out_of_turn_moves_nothing(self) -> None:
        settled = Settled()
        first, second = settled.begin(), settled.begin()
        self.assertFalse(settled.settle(second))
        self.assertEqual(settled.handled, 0)
        self.assertTrue(settled.settle(first))
        self.assertEqual(settled.handled, 2)

    def test_one_is_counted_once(self) -> None:
        settled = Settled()
        first, second = settled.begin(), settled.begin()
        settled.settle(first)
        self.assertFalse(settled.settle(first))
        settled.settle(second)
        self.assertFalse(settled.settle(second))
        self.assertEqual(settled.handled, 2)

    @given(st.data(), st.lists(st.booleans(), max_size=40))
    def test_in_whatever_order_it_counts_the_longest_settled_beginning(
        self, data: st.DataObject, waits: list[bool]
    ) -> None:
        """*waits* tells of each stanza whether it has to wait; those that do are settled in any order, at any time."""
        settled = Settled()
        done: list[bool] = []
        open_: dict[int, Mark] = {}

        def settle_one() -> None:
            number = data.draw(st.sampled_from(sorted(open_)))
            before, done[number] = prefix(done), True
            moved = settled.settle(open_.pop(number))
            self.assertEqual(moved, prefix(done) != before)

        for wait in waits:
            done.append(not wait)
            if wait:
                open_[len(done) - 1] = settled.begin()
            else:
                settled.at_once()
            self.assertEqual(settled.handled, prefix(done))
            while open_ and data.draw(st.booleans()):
                settle_one()
                self.assertEqual(settled.handled, prefix(done))
        while open_:
            settle_one()
            self.assertEqual(settled.handled, prefix(done))
        self.assertEqual((settled.handled, settled._unsettled), (len(waits), None))

    @given(st.integers(0, 5), st.lists(st.booleans(), max_size=10))
    def test_it_begins_anew_at_2_to_the_32(self, short: int, waits: list[bool]) -> None:
        """XEP-0198 §4: "the value of 'h' SHALL be reset from 2^32-1 back to zero"."""
        settled = Settled()
        settled.handled = MODULUS - 1 - short
        marks = [settled.begin() if wait else settled.at_once() for wait in waits]
        for mark in reversed(marks):
            if mark is not None:
                settled.settle(mark)
        self.assertEqual(settled.handled, (MODULUS - 1 - short + len(waits)) % (1 << 32))
        self.assertLess(settled.handled, 1 << 32)


def prefix(done: list[bool]) -> int:
    """How many are done before the first that is not."""
    return done.index(False) if False in done else len(done)
