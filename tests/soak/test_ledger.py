"""What notices that a message was lost must notice it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from soak.ledger import Ledger

WAY = ("romeo", "juliet", "message")


class LedgerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.ledger = Ledger(self.clock.seconds)

    def post(self, count: int) -> None:
        for number in range(1, count + 1):
            self.assertEqual(self.ledger.post(WAY, f"text {number}"), number)

    def arrived(self, number: int, text: str | None = None, *, may_repeat: bool = False) -> str | None:
        return self.ledger.arrived(WAY, number, text or f"text {number}", may_repeat=may_repeat)

    def test_what_arrives_once_and_in_order_is_well(self) -> None:
        self.post(3)
        self.clock.advance(2)
        self.assertEqual([self.arrived(number) for number in (1, 2, 3)], [None, None, None])
        self.assertEqual((self.ledger.arrived_well, self.ledger.slowest, self.ledger.on_their_way()), (3, 2.0, 0))

    def test_a_lost_one_is_noticed_by_the_next(self) -> None:
        self.post(3)
        self.assertIsNone(self.arrived(1))
        self.assertIn("number 2 is due", str(self.arrived(3)))
        self.assertEqual(self.ledger.on_their_way(), 0)

    def test_a_lost_one_that_nothing_follows_is_overdue(self) -> None:
        self.post(1)
        self.clock.advance(10)
        self.assertEqual(self.ledger.overdue(10), [])
        self.clock.advance(1)
        self.assertEqual(len(self.ledger.overdue(10)), 1)
        self.assertEqual(self.ledger.overdue(10), [])

    def test_one_that_comes_twice_is_noticed(self) -> None:
        self.post(2)
        self.arrived(1)
        self.assertIn("came again", str(self.arrived(1)))
        self.arrived(2)
        self.assertIn("came again", str(self.arrived(2)))

    def test_presence_may_come_again(self) -> None:
        self.post(2)
        self.arrived(1)
        self.assertIsNone(self.arrived(1, may_repeat=True))
        self.arrived(2)
        self.assertIsNone(self.arrived(1, may_repeat=True))
        self.assertIn("never sent", str(self.arrived(7, may_repeat=True)))

    def test_another_order_is_noticed(self) -> None:
        self.post(2)
        self.assertIsNotNone(self.arrived(2))
        self.assertIsNotNone(self.arrived(1))

    def test_another_text_is_noticed(self) -> None:
        self.post(1)
        self.assertIn("not what was sent", str(self.arrived(1, "another text")))

    def test_what_was_never_sent_is_noticed(self) -> None:
        self.assertIn("never sent", str(self.arrived(1)))

    def test_both_ends_are_concerned_until_it_has_arrived(self) -> None:
        self.post(2)
        self.arrived(1)
        self.assertEqual((self.ledger.concerning("romeo"), self.ledger.concerning("juliet")), (1, 1))
        self.arrived(2)
        self.assertEqual((self.ledger.concerning("romeo"), self.ledger.concerning("juliet")), (0, 0))

    @given(st.lists(st.integers(1, 6), max_size=8))
    def test_nothing_but_the_right_sequence_goes_unnoticed(self, numbers: list[int]) -> None:
        ledger = Ledger(self.clock.seconds)
        for number in range(1, 7):
            ledger.post(WAY, f"text {number}")
        problems = [ledger.arrived(WAY, number, f"text {number}") for number in numbers]
        is_well = not any(problems) and not ledger.overdue(-1)
        self.assertEqual(is_well, numbers == [1, 2, 3, 4, 5, 6])
