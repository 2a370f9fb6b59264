"""What is done at the end of the reactor's turn, and what has to wait for the next one."""

from __future__ import annotations

from unittest import mock

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from federix.streams.turn import GO_ON_AT_MOST, HEARD_AT_MOST, MUCH_FOR, Turn


class TurnTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.turn = Turn(self.clock)

    def test_all_of_a_turn_share_one_timer(self) -> None:
        streams = [mock.Mock() for _ in range(5)]
        for stream in streams:
            self.turn.add(stream)
            self.turn.again(stream)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(0)
        for stream in streams:
            stream.flush.assert_called_once_with()
            stream.go_on.assert_called_once_with()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_only_so_many_go_on_in_one_turn_and_in_their_order(self) -> None:
        order: list[int] = []
        for number in range(2 * GO_ON_AT_MOST + 1):
            self.turn.again(mock.Mock(go_on=lambda number=number: order.append(number)))
        for turn in (1, 2, 3):
            self.turn._end()
            self.assertEqual(order, list(range(min(turn * GO_ON_AT_MOST, 2 * GO_ON_AT_MOST + 1))))

    def test_where_one_takes_long_the_others_go_on_in_the_next_turn(self) -> None:
        order: list[int] = []
        seconds = 0.0

        def go_on(number: int) -> None:
            nonlocal seconds
            order.append(number)
            seconds += MUCH_FOR / 2
            if number == 0:
                self.turn.again(mock.Mock(go_on=lambda: go_on(9)))

        for number in range(3):
            self.turn.again(mock.Mock(go_on=lambda number=number: go_on(number)))
        with mock.patch.object(self.clock, "seconds", lambda: seconds):
            self.turn._end()
            self.assertEqual(order, [0, 1])
            self.turn._end()
        self.assertEqual(order, [0, 1, 2, 9])

    def test_of_those_who_have_sent_much_a_turn_hears_no_more_than_it_can(self) -> None:
        self.assertTrue(self.turn.hears(HEARD_AT_MOST))
        self.assertFalse(self.turn.hears(1))
        self.clock.advance(0)
        self.assertTrue(self.turn.hears(1))

    def test_where_that_takes_long_it_hears_less_and_none_of_those_goes_on(self) -> None:
        waits = mock.Mock()
        self.assertTrue(self.turn.hears(1))
        self.turn.again(waits)
        self.clock.rightNow += MUCH_FOR
        self.assertFalse(self.turn.hears(1))
        self.turn._end()
        waits.go_on.assert_not_called()
        self.turn._end()
        waits.go_on.assert_called_once_with()
        self.assertTrue(self.turn.hears(1))
        self.clock.rightNow += MUCH_FOR
        self.assertFalse(self.turn.hears(1))

    def test_who_has_sent_much_does_not_pass_those_who_wait(self) -> None:
        for _ in range(GO_ON_AT_MOST + 1):
            self.turn.again(mock.Mock())
        self.assertFalse(self.turn.hears(1))
        self.turn._end()
        self.assertFalse(self.turn.hears(1))
        self.turn._end()
        self.assertTrue(self.turn.hears(1))

    def test_one_stream_that_cannot_write_does_not_hold_up_the_others(self) -> None:
        broken, fine = mock.Mock(), mock.Mock()
        broken.flush.side_effect = ZeroDivisionError
        broken.go_on.side_effect = ZeroDivisionError
        for one in (broken, fine):
            self.turn.add(one)
            self.turn.again(one)
        self.clock.advance(0)
        fine.flush.assert_called_once_with()
        fine.go_on.assert_called_once_with()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_what_one_writes_that_goes_on_leaves_in_the_same_turn(self) -> None:
        stream = mock.Mock()
        stream.go_on.side_effect = lambda: self.turn.add(stream)
        self.turn.again(stream)
        self.turn._end()
        stream.flush.assert_called_once_with()

    def test_what_is_written_leaves_before_others_go_on(self) -> None:
        order: list[str] = []
        self.turn.again(mock.Mock(go_on=lambda: order.append("goes on")))
        self.turn.add(mock.Mock(flush=lambda: order.append("leaves")))
        self.turn._end()
        self.assertEqual(order, ["leaves", "goes on"])

    def test_who_goes_on_and_on_lets_the_others_in_between(self) -> None:
        order: list[str] = []
        greedy, other = mock.Mock(), mock.Mock()

        def go_on() -> None:
            order.append("greedy")
            if len(order) < 5:
                self.turn.again(greedy)
                self.clock.callLater(0, order.append, "other")

        greedy.go_on.side_effect = go_on
        self.turn.again(greedy)
        self.clock.advance(0)
        self.assertEqual(order, ["greedy", "other", "greedy", "other", "greedy"])
        other.flush.assert_not_called()

    def test_what_a_flush_asks_for_is_not_forgotten(self) -> None:
        first, second = mock.Mock(), mock.Mock()
        first.flush.side_effect = lambda: self.turn.add(second)
        self.turn.add(first)
        self.clock.advance(0)
        second.flush.assert_called_once_with()
