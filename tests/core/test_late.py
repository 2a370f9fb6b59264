"""How long an answer waits for what it is to tell of."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from federix.core.late import ANSWER_IN, APART, MOST, TICK, Late
from federix.life.scope import Scope


class Somebody:
    """Whose client asked."""

    def __init__(self) -> None:
        self.answers = 0
        self.error: Exception | None = None

    def answer_late(self) -> None:
        self.answers += 1
        if self.error is not None:
            raise self.error


class LateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()  # type: ignore[no-untyped-call]
        self.late = Late(Scope(self.clock))
        self.first, self.second = Somebody(), Somebody()

    def ticks(self, number: float, settled: bool = False) -> list[int]:
        """Let that many pass, with something *settled* in each; how many answers there are then."""
        for _ in range(round(number * 2)):
            if settled:
                self.late.settled()
            self.clock.advance(TICK / 2 + 1e-9)  # whatever that is in binary
        return [self.first.answers, self.second.answers]

    def test_where_nothing_is_settled_it_waits_a_moment(self) -> None:
        self.late.wait(self.first)
        self.clock.advance(0.5 * ANSWER_IN)
        self.assertEqual(self.first.answers, 0)
        self.clock.advance(0.5 * ANSWER_IN)
        self.assertEqual(self.first.answers, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_each_waits_by_itself(self) -> None:
        self.late.wait(self.first)
        self.ticks(1)
        self.late.wait(self.second)
        self.assertEqual(self.ticks(1), [1, 0])
        self.assertEqual(self.ticks(1), [1, 1])

    def test_one_that_comes_between_two_ticks_waits_no_longer(self) -> None:
        self.late.wait(self.first)
        self.ticks(0.5)
        self.late.wait(self.second)
        self.assertEqual(self.ticks(1.5), [1, 1])

    def test_one_that_cannot_answer_holds_up_nobody(self) -> None:
        self.first.error = ValueError("cannot")
        self.late.wait(self.first)
        self.ticks(1)
        self.late.wait(self.second)
        self.assertEqual(self.ticks(2), [1, 1])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_as_long_as_something_is_settled_it_waits(self) -> None:
        self.late.wait(self.first)
        self.assertEqual(self.ticks(MOST - 1, settled=True), [0, 0])
        self.assertEqual(self.ticks(1, settled=True), [1, 0])

    def test_when_nothing_more_is_settled_it_has_waited_enough(self) -> None:
        self.late.wait(self.first)
        self.ticks(3, settled=True)
        self.late.settled()
        self.assertEqual(self.ticks(APART), [0, 0])
        self.assertEqual(self.ticks(1), [1, 0])

    def test_what_was_settled_long_before_is_no_reason_to_wait(self) -> None:
        self.late.wait(self.second)
        self.ticks(APART, settled=True)
        self.late.done(self.second)
        self.ticks(APART)
        self.late.wait(self.first)
        self.assertEqual(self.ticks(2), [1, 0])

    def test_nor_where_nobody_has_waited_since(self) -> None:
        self.ticks(1, settled=True)
        self.late.wait(self.first)
        self.assertEqual(self.ticks(2), [1, 0])

    def test_who_has_answered_is_left_alone_until_asked_again(self) -> None:
        self.late.wait(self.first)
        self.ticks(1)
        self.late.done(self.first)
        self.late.done(self.first)
        self.assertEqual(self.ticks(5), [0, 0])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.late.wait(self.first)
        self.assertEqual(self.ticks(2), [1, 0])

    def test_who_is_asked_again_counts_from_then(self) -> None:
        self.late.wait(self.first)
        self.ticks(1)
        self.late.done(self.first)
        self.late.wait(self.first)
        self.assertEqual(self.ticks(1), [0, 0])
        self.assertEqual(self.ticks(1), [1, 0])
