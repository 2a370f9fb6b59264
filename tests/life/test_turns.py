from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from federix.life.scope import Scope
from federix.life.turns import Share, TooManyWait, Turns


class TurnsTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.scope = Scope(Clock())  # type: ignore[no-untyped-call]
        self.addCleanup(self.scope.close)
        self.turns = Turns(self.scope, most=3)
        self.done: list[str] = []
        self.gates: dict[str, Deferred[None]] = {}

    def take(self, key: str, name: str, share: Share | None = None) -> Deferred[str]:
        """Ask for a turn; the work waits until its gate is opened."""
        self.gates[name] = Deferred()

        async def work() -> str:
            self.done.append(f"{name} begins")
            await self.gates[name]
            self.done.append(f"{name} ends")
            return name

        turn = ensureDeferred(self.turns.take(key, work, share))
        self.addCleanup(turn.addErrback, lambda _: None)
        return turn

    def test_work_that_need_not_wait_is_done_at_once(self) -> None:
        async def work() -> int:
            return 7

        self.assertEqual(self.successResultOf(ensureDeferred(self.turns.take("a", work))), 7)
        self.assertEqual(len(self.turns), 0)

    def test_of_one_key_one_follows_the_other(self) -> None:
        first, second = self.take("a", "first"), self.take("a", "second")
        self.gates["second"].callback(None)
        self.assertEqual(self.done, ["first begins"])
        self.gates["first"].callback(None)
        self.assertEqual(self.done, ["first begins", "first ends", "second begins", "second ends"])
        self.assertEqual([self.successResultOf(first), self.successResultOf(second)], ["first", "second"])
        self.assertEqual(len(self.turns), 0)

    def test_other_keys_do_not_wait(self) -> None:
        self.take("a", "first")
        self.take("b", "second")
        self.assertEqual(self.done, ["first begins", "second begins"])

    def test_who_waits_goes_on_before_the_next_begins(self) -> None:
        first = self.take("a", "first")
        first.addCallback(lambda _: self.done.append("first is told"))
        self.take("a", "second")
        self.gates["first"].callback(None)
        self.assertEqual(self.done, ["first begins", "first ends", "first is told", "second begins"])

    def test_what_work_raises_is_raised_and_the_next_has_its_turn(self) -> None:
        first, second = self.take("a", "first"), self.take("a", "second")
        self.gates["first"].errback(ValueError())
        self.failureResultOf(first, ValueError)
        self.gates["second"].callback(None)
        self.assertEqual(self.successResultOf(second), "second")

    def test_who_is_cancelled_hears_no_more_but_its_work_is_done(self) -> None:
        first, second = self.take("a", "first"), self.take("a", "second")
        first.cancel()
        second.cancel()
        self.failureResultOf(first, CancelledError)
        self.failureResultOf(second, CancelledError)
        self.gates["first"].callback(None)
        self.gates["second"].callback(None)
        self.assertEqual(self.done, ["first begins", "first ends", "second begins", "second ends"])

    def test_no_more_wait_than_may(self) -> None:
        for name in ("first", "second", "third"):
            self.take("a", name)
        self.failureResultOf(self.take("a", "fourth"), TooManyWait)
        self.assertNoResult(self.take("b", "other"))

    def test_what_some_have_waiting_takes_no_room_from_others(self) -> None:
        guests = Share("guests", 2)
        for name in ("one", "two"):
            self.take("a", name, guests)
        self.failureResultOf(self.take("a", "three", guests), TooManyWait)
        for name in ("first", "second", "third"):
            self.assertNoResult(self.take("a", name))
        self.failureResultOf(self.take("a", "fourth"), TooManyWait)
        self.failureResultOf(self.take("a", "three", guests), TooManyWait)

    def test_a_share_has_room_again_when_its_work_is_done_and_the_order_stays(self) -> None:
        guests = Share("guests", 1)
        for name, share in (("one", guests), ("first", None)):
            self.take("a", name, share)
        self.gates["one"].callback(None)
        self.take("a", "two", guests)
        for name in ("first", "two"):
            self.gates[name].callback(None)
        order = [line.split()[0] for line in self.done if line.endswith("begins")]
        self.assertEqual(order, ["one", "first", "two"])

    def test_the_end_of_the_scope_ends_all(self) -> None:
        turns: list[Deferred[Any]] = [self.take("a", "first"), self.take("a", "second")]
        self.scope.close()
        for turn in turns:
            self.failureResultOf(turn, CancelledError)
        self.assertEqual(self.done, ["first begins"])
        self.assertEqual(len(self.turns), 0)


class TogetherTest(TurnsTest):
    """The same rules, where there is room for two at a time."""

    def setUp(self) -> None:
        super().setUp()
        self.turns = Turns(self.scope, most=3, together=2)

    def test_no_more_are_worked_on_than_there_is_room_for_and_keys_take_turns(self) -> None:
        for key in "abc":
            for number in (1, 2):
                self.take(key, f"{key}{number}")
        self.assertEqual(self.begun(), ["a1", "b1"])
        for name in ("a1", "b1", "c1", "a2", "b2", "c2"):
            self.gates[name].callback(None)
        self.assertEqual(self.begun(), ["a1", "b1", "c1", "a2", "b2", "c2"])
        self.assertEqual(len(self.turns), 0)

    def test_what_fails_makes_room(self) -> None:
        for number in range(5):
            turn = self.take(str(number), str(number))
            self.gates[str(number)].errback(ValueError())
            self.failureResultOf(turn, ValueError)

    def test_many_who_need_not_wait_do_not_pile_up(self) -> None:
        done: list[int] = []
        self.take("a", "first")
        self.take("b", "second")

        async def work(number: int) -> None:
            done.append(number)

        for number in range(2000):
            self.addCleanup(ensureDeferred(self.turns.take(str(number), partial(work, number))).addErrback, print)
        self.assertEqual(done, [])
        self.gates["first"].callback(None)
        self.assertEqual(done, list(range(2000)))

    def test_who_waits_for_room_ends_with_the_scope(self) -> None:
        turns = [self.take(name, name) for name in "abc"]
        self.scope.close()
        for turn in turns:
            self.failureResultOf(turn, CancelledError)
        self.assertEqual(self.begun(), ["a", "b"])
        self.assertEqual(len(self.turns), 0)

    def begun(self) -> list[str]:
        return [line.split()[0] for line in self.done if line.endswith("begins")]
