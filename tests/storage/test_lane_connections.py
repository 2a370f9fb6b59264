"""A lane with several connections, which come and go; what they do is up to the test."""

from __future__ import annotations

import gc
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from federix.storage.lane import GATHER_FOR, HELP_AFTER, LOOKED_AT, MOST_TRIES, Job, Lane, Lost, NotDone
from federix.storage.sql.archive import COUNTED_PUT, INSERT
from federix.storage.sql.database import Change, Changes, Transaction
from federix.storage.storage import StoreError
from tests.storage.served.case import entry


async def nothing(tx: Transaction) -> None:
    """Only its name counts here: which owner it is for."""


class ConnectionsCase(SynchronousTestCase):
    ordered = True

    def setUp(self) -> None:
        self.clock = Clock()  # type: ignore[no-untyped-call]
        #: What each connection works on: the owners, and how to end it.
        self.working: dict[str, tuple[list[str], Deferred[Any]]] = {}
        self.lane: Lane[str] = Lane(
            self.run_batch,
            ["first", "second"],
            clock=self.clock,
            ordered=self.ordered,
            errors=LookupError,
            most_waiting=100,
            most_together=10,
        )

    def run_batch(self, connection: str, batch: list[Job[Any]]) -> Deferred[Any]:
        for job in batch:
            job.answer = connection
        done: Deferred[Any] = Deferred()
        self.assertNotIn(connection, self.working)
        self.working[connection] = (["+".join(job.owners) for job in batch], done)
        return done

    def submit(self, *owners: str) -> list[Deferred[Any]]:
        """One job for each; of ``a+b`` the second is concerned also."""
        found = []
        for owner in owners:
            name, *also = owner.split("+")
            found.append(self.lane.submit(name, nothing, also))
        return found

    def end(self, connection: str, outcome: object = None) -> None:
        _, done = self.working.pop(connection)
        done.callback(Failure(outcome) if isinstance(outcome, Exception) else outcome)

    def now(self) -> dict[str, list[str]]:
        return {connection: owners for connection, (owners, _) in self.working.items()}


class WritersTest(ConnectionsCase):
    def test_one_does_what_it_can_alone(self) -> None:
        self.submit("a", "b", "c")
        self.assertEqual(self.now(), {"second": ["a"]})
        self.end("second")
        self.assertEqual(self.now(), {"second": ["b", "c"]})

    def test_another_helps_where_that_takes_long(self) -> None:
        self.submit("a", "b", "c")
        self.clock.advance(HELP_AFTER)
        self.assertEqual(self.now(), {"second": ["a"], "first": ["b", "c"]})

    def test_that_helps_who_is_far_behind_those_of_a_busy_owner(self) -> None:
        self.submit("a")
        self.submit(*["a"] * 12, "b", "a", "c")
        self.clock.advance(HELP_AFTER)
        self.assertEqual(self.now(), {"second": ["a"], "first": ["b", "c"]})
        self.end("second")
        self.clock.advance(HELP_AFTER + GATHER_FOR)
        self.assertEqual(self.now()["second"], ["a"] * 10)

    def test_how_far_it_looks_is_bounded(self) -> None:
        self.submit("a")
        self.submit(*["a"] * (10 * LOOKED_AT), "b")
        self.clock.advance(HELP_AFTER)
        self.assertEqual(self.now(), {"second": ["a"]})

    def test_nobody_is_called_when_all_is_done(self) -> None:
        self.submit("a", "b")
        self.end("second")
        self.end("second")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_two_work_for_the_same_owner(self) -> None:
        self.submit("a", "a", "b", "c+a", "c", "d+c", "d", "e")
        self.clock.advance(HELP_AFTER)
        # c waits for its message with a, d for its own with c.
        self.assertEqual(self.now(), {"second": ["a"], "first": ["b", "e"]})
        self.end("second")
        self.clock.advance(HELP_AFTER)
        self.assertEqual(self.now()["second"], ["a", "c+a", "c", "d+c", "d"])

    def test_who_waits_for_an_owner_hears_when_all_is_done(self) -> None:
        self.submit("a", "b+a")
        done = self.lane.finished("a")
        everything = self.lane.finished(None)
        self.submit("a")
        self.end("second")
        self.assertNoResult(done)
        self.assertNoResult(everything)
        self.end("second")
        self.successResultOf(done)
        self.successResultOf(everything)

    def test_who_waits_for_all_waits_for_none_that_come_later(self) -> None:
        self.submit("a", "b", "c")
        before = self.lane.finished(None)
        self.submit("a")
        behind = self.lane.finished(None)
        self.clock.advance(HELP_AFTER)
        self.end("first")
        self.assertNoResult(before)
        self.end("second")
        self.successResultOf(before)
        self.assertNoResult(behind)
        (last,) = self.working
        self.end(last)
        self.successResultOf(behind)
        self.assertFalse(self.lane.is_busy(None))

    def test_who_gives_up_waiting_for_all_hears_so_at_once(self) -> None:
        self.submit("a", "b")
        done = self.lane.finished(None)
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.end("second")
        self.end("second")

    def test_who_waits_for_all_costs_no_more_where_there_are_many(self) -> None:
        def count() -> int:
            return sum(isinstance(each, Deferred) for each in gc.get_objects())

        results = self.submit(*(f"{number}" for number in range(50)))
        before = count()
        waiting = [self.lane.finished(None) for _ in range(50)]
        self.assertLess(count() - before, 2 * len(waiting))
        while self.working:
            self.end("second")
            self.clock.advance(GATHER_FOR)
        for each in (*results, *waiting):
            self.successResultOf(each)

    def test_what_was_surely_not_kept_is_done_again_and_first(self) -> None:
        results = self.submit("a", "a", "b")
        self.end("second", NotDone())
        self.assertEqual(self.now(), {"second": ["a", "a", "b"]})
        self.end("second")
        for result in results:
            self.assertEqual(self.successResultOf(result), "second")

    def test_what_never_gets_done_is_given_up(self) -> None:
        (result,) = self.submit("a")
        for _ in range(MOST_TRIES):
            self.assertNoResult(result)
            self.end("second", NotDone())
        self.failureResultOf(result, StoreError)
        self.assertFalse(self.lane.is_busy("a"))

    def test_a_batch_whose_fate_is_unknown_is_not_done_again(self) -> None:
        (result,) = self.submit("a")
        self.end("second", Lost("who knows"))
        self.assertEqual(str(self.failureResultOf(result, StoreError).value), "who knows")
        self.assertEqual(self.now(), {})

    def test_what_may_be_repeated_is_when_its_fate_is_unknown_and_first(self) -> None:
        keep, put = Change(INSERT, {"id": 1}), Change(COUNTED_PUT, {"key": "k"})
        works: list[Any] = [Changes((keep, put)), nothing, Changes((put,)), Changes((put, entry("d")))]
        self.submit("first")
        results = [self.lane.submit(owner, work) for owner, work in zip("abcd", works, strict=True)]
        self.end("second")
        behind = self.submit(*"dcba")
        self.end("second", Lost("who knows"))
        for result in results[1::2]:
            self.assertEqual(str(self.failureResultOf(result, StoreError).value), "who knows")
        self.assertEqual(self.now(), {"second": [*"ac", *"dcba"]})
        self.end("second")
        for result in (*results[::2], *behind):
            self.successResultOf(result)

    def test_what_is_repeated_in_vain_is_given_up(self) -> None:
        result = self.lane.submit("a", Changes((Change(COUNTED_PUT, {"key": "k"}),)))
        for _ in range(MOST_TRIES):
            self.assertNoResult(result)
            self.end("second", Lost("who knows"))
        self.failureResultOf(result, StoreError)


class ComingAndGoingTest(ConnectionsCase):
    def test_a_connection_that_is_withdrawn_gets_nothing_more_to_do(self) -> None:
        self.submit("a", "b")
        self.lane.withdraw("second")
        self.lane.withdraw("first")
        self.end("second")
        self.assertEqual(self.now(), {})
        self.lane.give("first")
        self.assertEqual(self.now(), {"first": ["b"]})

    def test_what_is_refused_fails_now_and_later_until_it_is_not(self) -> None:
        self.lane.withdraw("first")
        self.lane.withdraw("second")
        (waiting,) = self.submit("a")
        self.lane.refuse("away")
        self.assertEqual(str(self.failureResultOf(waiting, StoreError).value), "away")
        self.assertRaises(StoreError, self.submit, "a")
        self.lane.refuse(None)
        self.submit("a")
        self.lane.give("first")
        self.assertEqual(self.now(), {"first": ["a"]})

    def test_what_was_not_kept_is_not_done_again_where_all_is_refused(self) -> None:
        (result,) = self.submit("a")
        self.lane.withdraw("first")
        self.lane.withdraw("second")
        self.lane.refuse("away")
        self.assertNoResult(result)
        self.end("second", NotDone())
        self.failureResultOf(result, StoreError)

    def test_closing_waits_for_what_runs(self) -> None:
        (result,) = self.submit("a")
        closed = Deferred.fromCoroutine(self.lane.close())
        self.assertNoResult(closed)
        self.end("second")
        self.successResultOf(closed)
        self.successResultOf(result)


class ReadersTest(ConnectionsCase):
    ordered = False

    def test_all_work_at_once_for_whomever(self) -> None:
        self.submit("a", "a", "a")
        self.assertEqual(self.now(), {"second": ["a"], "first": ["a"]})
        self.assertFalse(self.lane.is_busy("a"))
