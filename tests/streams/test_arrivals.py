"""Who may be on the way to a login, and who must go."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from federix.life.scope import Scope
from federix.streams.arrivals import LOOK_EVERY, STALLED, Arrivals

MOST = 10


class Guest:
    """A stream on its way."""

    def __init__(self, arrivals: Arrivals) -> None:
        self.arrivals = arrivals
        self.gone = False

    def crowd_out(self) -> None:
        self.gone = True


class ArrivalsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.scope = Scope(self.clock)
        self.open = True
        self.arrivals = Arrivals(self.clock.seconds, self.close_doors, self.open_doors, MOST)

    def close_doors(self) -> None:
        self.open = False

    def open_doors(self) -> None:
        self.open = True

    def come(self, count: int) -> list[Guest]:
        guests = [Guest(self.arrivals) for _ in range(count)]
        for guest in guests:
            self.arrivals.step(guest, self.scope)
        return guests

    def look(self, seconds: float) -> None:
        for _ in range(round(seconds / LOOK_EVERY)):
            self.clock.advance(LOOK_EVERY)

    def test_the_doors_close_when_there_are_many(self) -> None:
        self.come(MOST - 1)
        self.assertTrue(self.open)
        self.come(1)
        self.assertFalse(self.open)
        self.assertTrue(self.arrivals.full)

    def test_they_open_when_somebody_has_logged_in(self) -> None:
        guests = self.come(MOST)
        self.arrivals.left(guests[5])
        self.look(2 * LOOK_EVERY)
        self.assertTrue(self.open)
        self.assertFalse(any(guest.gone for guest in guests))

    def test_who_stalls_goes_first_and_only_as_many_as_must(self) -> None:
        guests = self.come(MOST)
        self.look(STALLED / 2)
        self.arrivals.step(guests[0], self.scope)
        self.look(STALLED / 2 - 2 * LOOK_EVERY)
        self.assertFalse(self.open)
        self.look(4 * LOOK_EVERY)
        self.assertTrue(self.open)
        self.assertEqual([guest.gone for guest in guests[:3]], [False, True, False])
        self.assertEqual(sum(guest.gone for guest in guests), 1)

    def test_nobody_who_goes_on_has_to_go(self) -> None:
        guests = self.come(MOST)
        for _ in range(10):
            self.look(STALLED / 2)
            for guest in guests:
                self.arrivals.step(guest, self.scope)
        self.assertFalse(any(guest.gone for guest in guests))

    def test_nobody_has_to_go_while_there_is_room(self) -> None:
        guests = self.come(MOST - 1)
        self.look(10 * STALLED)
        self.assertFalse(any(guest.gone for guest in guests))

    def test_nothing_is_left_of_those_who_went(self) -> None:
        for guest in self.come(MOST):
            self.arrivals.left(guest)
        self.look(STALLED)
        self.assertEqual(len(self.arrivals), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
