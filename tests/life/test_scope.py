"""Scope: what its owner started ends with it."""

from __future__ import annotations

import gc
import weakref

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from federix.life.scope import Scope, Told


class ScopeTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.scope = Scope(self.clock, "test")
        self.heard: list[object] = []

    def empty(self) -> None:
        """Nothing is owned, and nothing is left on the clock."""
        self.assertEqual(len(self.scope), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class UndoTests(ScopeTestCase):
    def test_the_last_that_was_begun_is_undone_first(self) -> None:
        for number in range(3):
            self.scope.add(lambda number=number: self.heard.append(number))  # type: ignore[misc]
        self.scope.close()
        self.assertEqual(self.heard, [2, 1, 0])
        self.assertTrue(self.scope.closed)
        self.empty()

    def test_what_is_undone_by_hand_is_not_undone_again(self) -> None:
        undo = self.scope.add(lambda: self.heard.append("undone"))
        undo()
        undo()
        self.scope.close()
        self.assertEqual(self.heard, ["undone"])

    def test_closing_twice_is_harmless(self) -> None:
        self.scope.add(lambda: self.heard.append("undone"))
        self.scope.close()
        self.scope.close()
        self.assertEqual(self.heard, ["undone"])

    def test_what_cannot_be_undone_is_logged_and_the_rest_is_undone(self) -> None:
        self.scope.add(lambda: self.heard.append("first"))
        self.scope.add(lambda: 1 / 0)
        self.scope.add(lambda: self.heard.append("last"))
        self.scope.close()
        self.assertEqual(self.heard, ["last", "first"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_what_comes_too_late_is_undone_at_once(self) -> None:
        self.scope.close()
        self.scope.add(lambda: self.heard.append("undone"))()
        self.assertEqual(self.heard, ["undone"])
        self.empty()

    def test_what_is_begun_while_it_closes_is_undone_too(self) -> None:
        self.scope.add(lambda: self.scope.add(lambda: self.heard.append("inner")))
        self.scope.add(lambda: self.scope.later(1, self.heard.append, "late"))
        self.scope.close()
        self.assertEqual(self.heard, ["inner"])
        self.empty()

    def test_closing_from_within_is_harmless(self) -> None:
        self.scope.add(lambda: self.heard.append("first"))
        self.scope.add(self.scope.close)
        self.scope.close()
        self.assertEqual(self.heard, ["first"])


class TimerTests(ScopeTestCase):
    def test_it_fires_once_in_time(self) -> None:
        timer = self.scope.later(5, lambda *args: self.heard.append(args), 1, 2)
        self.assertTrue(timer.pending)
        self.clock.advance(4.9)
        self.assertEqual(self.heard, [])
        self.clock.advance(0.2)
        self.assertEqual(self.heard, [(1, 2)])
        self.assertFalse(timer.pending)
        self.empty()

    def test_it_does_not_fire_when_the_scope_is_closed(self) -> None:
        timer = self.scope.later(5, self.heard.append, "x")
        self.scope.close()
        self.assertFalse(timer.pending)
        self.empty()

    def test_a_closed_scope_calls_nothing(self) -> None:
        self.scope.close()
        timer = self.scope.later(5, self.heard.append, "x")
        self.assertFalse(timer.pending)
        timer.reset(1)
        timer.cancel()
        self.empty()

    def test_it_is_cancelled_by_hand(self) -> None:
        timer = self.scope.later(5, self.heard.append, "x")
        timer.cancel()
        timer.cancel()
        self.clock.advance(10)
        self.assertEqual(self.heard, [])
        self.empty()

    def test_it_counts_anew(self) -> None:
        timer = self.scope.later(5, self.heard.append, "x")
        self.clock.advance(4)
        timer.reset(5)
        self.clock.advance(4)
        self.assertEqual(self.heard, [])
        self.clock.advance(1)
        self.assertEqual(self.heard, ["x"])
        timer.reset(5)
        self.empty()

    def test_it_may_come_sooner_than_it_was_to(self) -> None:
        timer = self.scope.later(5, self.heard.append, "x")
        timer.reset(60)
        timer.reset(1)
        self.clock.advance(0.9)
        self.assertEqual(self.heard, [])
        self.clock.advance(0.1)
        self.assertEqual(self.heard, ["x"])
        self.clock.advance(100)
        self.assertEqual(self.heard, ["x"])
        self.empty()

    def test_it_may_come_later_and_then_sooner_than_that(self) -> None:
        timer = self.scope.later(5, self.heard.append, "x")
        timer.reset(60)
        self.clock.advance(6)
        timer.reset(2)
        self.clock.advance(1.9)
        self.assertEqual(self.heard, [])
        self.clock.advance(0.2)
        self.assertEqual(self.heard, ["x"])
        self.empty()

    def test_one_that_came_sooner_is_cancelled(self) -> None:
        timer = self.scope.later(60, self.heard.append, "x")
        timer.reset(1)
        self.scope.close()
        self.empty()

    def test_it_may_close_its_own_scope(self) -> None:
        self.scope.later(1, self.scope.close)
        self.clock.advance(1)
        self.assertTrue(self.scope.closed)
        self.empty()

    def test_one_that_will_not_fire_any_more_keeps_nobody_alive(self) -> None:
        class Owner:
            def __init__(self, scope: Scope) -> None:
                self.timer = scope.later(1, self.late, self)

            def late(self, other: Owner) -> None: ...

        for end in (lambda: self.clock.advance(1), self.scope.close):
            owner = Owner(self.scope)
            gone = weakref.ref(owner)
            gc.disable()
            self.addCleanup(gc.enable)
            del owner
            end()
            self.assertIsNone(gone())


class TaskTests(ScopeTestCase):
    async def work(self, waiting: Deferred[str]) -> str:
        try:
            return await waiting
        finally:
            self.heard.append("ended")

    def test_its_result_is_there_when_it_is_done(self) -> None:
        waiting: Deferred[str] = Deferred()
        done = self.scope.spawn(self.work(waiting))
        self.assertEqual(len(self.scope), 1)
        waiting.callback("result")
        self.assertEqual(self.successResultOf(done), "result")
        self.empty()

    def test_one_that_need_not_wait_is_done_at_once(self) -> None:
        async def quick() -> str:
            return "result"

        self.assertEqual(self.successResultOf(self.scope.spawn(quick())), "result")
        self.empty()

    def test_it_is_cancelled_with_its_scope(self) -> None:
        waiting: Deferred[str] = Deferred()
        done = self.scope.spawn(self.work(waiting))
        self.scope.close()
        self.assertEqual(self.heard, ["ended"])
        self.assertIsNone(self.successResultOf(done))
        self.empty()

    def test_what_it_raises_is_logged(self) -> None:
        waiting: Deferred[str] = Deferred()
        done = self.scope.spawn(self.work(waiting))
        waiting.errback(ZeroDivisionError())
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.empty()

    def test_what_the_log_knows_already_it_is_not_told_again(self) -> None:
        class Away(ValueError, Told):
            pass

        waiting: Deferred[str] = Deferred()
        done = self.scope.spawn(self.work(waiting))
        waiting.errback(Away())
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual(self.flushLoggedErrors(), [])
        self.empty()

    def test_one_that_comes_too_late_is_cancelled(self) -> None:
        self.scope.close()
        waiting: Deferred[str] = Deferred()
        self.scope.spawn(self.work(waiting))
        self.assertEqual(self.heard, ["ended"])
        self.empty()

    def test_a_deferred_is_a_task_as_well(self) -> None:
        waiting: Deferred[str] = Deferred()
        self.scope.spawn(waiting)
        self.scope.close()
        self.assertTrue(waiting.called)
        self.empty()

    def test_a_task_may_close_its_own_scope(self) -> None:
        waiting: Deferred[str] = Deferred()

        async def work() -> None:
            await waiting
            self.scope.close()
            self.heard.append("went on")

        self.scope.spawn(work())
        waiting.callback("")
        self.assertEqual(self.heard, ["went on"])
        self.empty()
