from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from federix.storage.chain import Chain
from federix.storage.lane import GATHER_FOR, HAND_OUT_FOR, MANY, Lane
from federix.storage.sql.blocking import BlockingRunner, Driver
from federix.storage.sql.database import Change, Changes, Rows, Transaction
from federix.storage.sql.statement import Compiler, Statement
from federix.storage.storage import StoreError
from tests.storage.held import HeldExecutor

ADD = Statement("add", text("INSERT INTO numbers VALUES (:number)").bindparams(bindparam("number")))
ALL = Statement("all", text("SELECT number FROM numbers ORDER BY number"))
ROLLBACK = Statement("rollback", text("ROLLBACK"))
NONSENSE = Statement("nonsense", text("SELECT nothing FROM nowhere"))
ADD_ORPHAN = Statement("orphan", text("INSERT INTO children VALUES (77)"))


class Refused(Exception):
    pass


def add(number: int, then: Callable[[Transaction], Any] | None = None) -> Callable[[Transaction], Any]:
    async def work(tx: Transaction) -> int:
        await tx.change(ADD, number=number)
        if then is not None:
            await then(tx)
        return number

    return work


async def refuse(_: Transaction) -> None:
    raise Refused


def numbers(tx: Transaction) -> Any:
    return tx.run(ALL)


def roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def driver() -> Driver:
    return Driver(Compiler(SQLiteDialect_pysqlite()), sqlite3.Error, "BEGIN IMMEDIATE", "BEGIN", roll_back)


class LaneCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.addCleanup(self.connection.close)
        self.connection.execute("PRAGMA foreign_keys=ON")
        self.connection.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")
        self.connection.execute(
            "CREATE TABLE children (parent INTEGER REFERENCES numbers DEFERRABLE INITIALLY DEFERRED)"
        )
        self.executor = HeldExecutor()
        self.executor.holds = True
        self.lane = self.make_lane()

    def make_lane(
        self, *, most_waiting: int = 100, most_together: int = 100, clock: IReactorTime | None = None
    ) -> Lane[sqlite3.Connection]:
        return Lane(
            BlockingRunner(self.executor, driver(), writes=True),
            [self.connection],
            clock=clock,
            ordered=True,
            errors=sqlite3.Error,
            most_waiting=most_waiting,
            most_together=most_together,
        )

    def kept(self) -> list[int]:
        return [number for (number,) in self.connection.execute("SELECT number FROM numbers ORDER BY number")]


class LaneTest(LaneCase):
    def test_what_comes_while_a_batch_is_under_way_goes_together_next(self) -> None:
        results = [self.lane.submit("", add(number)) for number in range(5)]
        self.assertEqual(len(self.executor.held), 1)
        self.executor.step()
        self.assertEqual(self.successResultOf(results[0]), 0)
        self.assertNoResult(results[1])
        self.executor.step()
        self.assertEqual([self.successResultOf(result) for result in results[1:]], [1, 2, 3, 4])
        self.assertEqual(len(self.executor.held), 0)

    def test_the_next_batch_is_under_way_before_the_answers_are_handed_out(self) -> None:
        seen: list[int] = []
        first = self.lane.submit("", add(1))
        first.addCallback(lambda _: seen.append(len(self.executor.held)))
        self.lane.submit("", add(2))
        self.executor.step()
        self.assertEqual(seen, [1])
        self.executor.go_on()

    def test_a_batch_is_bounded(self) -> None:
        lane = self.make_lane(most_together=2)
        results = [lane.submit("", add(number)) for number in range(4)]
        for done in (1, 3, 4):
            self.executor.step()
            self.assertEqual(sum(result.called for result in results), done)

    def test_a_job_keeps_all_busy_whom_it_concerns_until_it_is_done(self) -> None:
        self.lane.submit("a", add(1), ("b", "c"))
        self.lane.submit("b", add(2), ("b",))
        self.assertEqual([self.lane.is_busy(owner) for owner in ("a", "b", "c", "d", None)], [True] * 3 + [False, True])
        self.executor.step()
        self.assertEqual([self.lane.is_busy(owner) for owner in "abc"], [False, True, False])
        self.executor.step()
        self.assertEqual([self.lane.is_busy(owner) for owner in ("b", None)], [False, False])

    def test_the_queue_is_bounded_and_has_room_again(self) -> None:
        lane = self.make_lane(most_waiting=2)
        for number in range(3):
            lane.submit("", add(number))
        self.assertRaises(StoreError, lane.submit, "", add(3))
        self.executor.step()
        lane.submit("", add(4))
        self.executor.go_on()
        self.assertEqual(self.kept(), [0, 1, 2, 4])

    def test_a_job_that_fails_takes_nothing_else_with_it(self) -> None:
        self.lane.submit("", add(0))
        results = [self.lane.submit("", work) for work in (add(1), add(2, refuse), add(1), add(3))]
        self.executor.go_on()
        self.assertEqual(self.successResultOf(results[0]), 1)
        self.failureResultOf(results[1], Refused)
        self.failureResultOf(results[2], StoreError)
        self.assertEqual(self.successResultOf(results[3]), 3)
        self.assertEqual(self.kept(), [0, 1, 3])

    def test_an_error_of_the_database_is_a_store_error(self) -> None:
        result = self.lane.submit("", lambda tx: tx.run(NONSENSE))
        self.executor.go_on()
        self.assertIsInstance(self.failureResultOf(result, StoreError).value.__cause__, sqlite3.OperationalError)

    def test_if_the_database_gives_up_the_transaction_nobody_is_told_yes(self) -> None:
        async def lose_all(tx: Transaction) -> None:
            await tx.run(ROLLBACK)
            raise Refused

        self.lane.submit("", add(0))
        results = [self.lane.submit("", work) for work in (add(1), add(2, lose_all), add(3))]
        self.executor.go_on()
        for result in results:
            self.failureResultOf(result, StoreError)
        self.assertEqual(self.kept(), [0])
        self.assertEqual(self.successResultOf(self.lane.submit("", add(4))), 4)

    def test_if_the_commit_fails_nobody_is_told_yes(self) -> None:
        self.lane.submit("", add(0))
        results = [self.lane.submit("", work) for work in (add(1), lambda tx: tx.change(ADD_ORPHAN))]
        self.executor.go_on()
        for result in results:
            self.failureResultOf(result, StoreError)
        self.assertEqual(self.kept(), [0])
        self.assertEqual(self.successResultOf(self.lane.submit("", add(4))), 4)

    def test_who_is_cancelled_hears_no_more_but_the_work_is_done(self) -> None:
        results = [self.lane.submit("", add(number)) for number in range(3)]
        results[1].cancel()
        self.failureResultOf(results[1], CancelledError)
        self.executor.go_on()
        self.assertEqual(self.successResultOf(results[2]), 2)
        self.assertEqual(self.kept(), [0, 1, 2])

    def test_a_transaction_that_waits_for_something_else_is_refused(self) -> None:
        never: Deferred[None] = Deferred()

        async def wait(_: Transaction) -> None:
            await never

        result = self.lane.submit("", add(1, wait))
        self.executor.go_on()
        self.failureResultOf(result, RuntimeError)
        self.assertEqual(self.kept(), [])

    def test_an_owner_is_busy_until_the_last_job_is_done(self) -> None:
        self.assertFalse(self.lane.is_busy(None))
        self.lane.submit("romeo", add(1))
        self.lane.submit("romeo", add(2))
        self.executor.step()
        self.assertTrue(self.lane.is_busy("romeo"))
        self.assertTrue(self.lane.is_busy(None))
        self.assertFalse(self.lane.is_busy("juliet"))
        self.executor.step()
        self.assertFalse(self.lane.is_busy("romeo"))
        self.assertFalse(self.lane.is_busy(None))

    def test_all_whom_a_job_concerns_are_busy_until_it_is_done(self) -> None:
        self.lane.submit("romeo", add(1), also=["juliet", "romeo"])
        self.lane.submit("juliet", add(2))
        for busy in ({"romeo", "juliet"}, {"juliet"}, set()):
            self.assertEqual({owner for owner in ("romeo", "juliet", "nurse") if self.lane.is_busy(owner)}, busy)
            if busy:
                self.executor.step()
        self.assertFalse(self.lane.is_busy(None))

    def test_jobs_see_those_before_them(self) -> None:
        self.lane.submit("", add(1))
        self.lane.submit("", add(2))
        result: Deferred[Rows] = self.lane.submit("", numbers)
        self.executor.go_on()
        self.assertEqual(self.successResultOf(result), [(1,), (2,)])

    def test_closing_waits_for_what_was_begun_and_takes_nothing_more(self) -> None:
        results = [self.lane.submit("", add(number)) for number in range(2)]
        closed = Deferred.fromCoroutine(self.lane.close())
        self.assertRaises(StoreError, self.lane.submit, "", add(3))
        self.executor.step()
        self.assertNoResult(closed)
        self.executor.step()
        self.successResultOf(closed)
        self.assertEqual(self.successResultOf(results[1]), 1)

    def test_an_executor_that_breaks_fails_the_batch(self) -> None:
        class BrokenExecutor(HeldExecutor):
            def run(self, *_: Any, **__: Any) -> Any:
                return succeed(None).addCallback(lambda _: 1 / 0)

        self.executor = BrokenExecutor()
        self.failureResultOf(self.make_lane().submit("", add(1)), StoreError)

    def test_two_statements_of_one_name_are_an_error(self) -> None:
        twin = Statement("add", text("DELETE FROM numbers"))
        result = self.lane.submit("", add(1, lambda tx: tx.run(twin)))
        self.executor.go_on()
        self.failureResultOf(result, ValueError)


class LinkedTest(LaneCase):
    """The last change of each is only made where none before it failed, but for those that its writer knows of."""

    def setUp(self) -> None:
        super().setUp()
        self.chain = Chain()

    def submit(self, number: int) -> Deferred[Any]:
        changes = Change(ADD, {"number": number}), Change(ADD, {"number": number + 100})
        return self.lane.submit("", Changes(changes, self.chain.next()))

    def test_behind_one_that_fails(self) -> None:
        self.submit(0)
        failed, behind = self.submit(0), self.submit(1)
        self.executor.go_on()
        self.failureResultOf(failed, StoreError)
        self.successResultOf(behind)
        self.assertEqual(self.kept(), [0, 1, 100])
        self.chain.known = 1
        self.submit(2)
        self.assertEqual(self.kept(), [0, 1, 2, 100, 102])

    def test_one_whose_count_the_database_refuses_spoils_no_other(self) -> None:
        refused: Any = "no number"
        changes = Change(ADD, {"number": 2}), Change(ADD, {"number": refused})
        self.lane.submit("", add(0))
        before = self.lane.submit("", add(1))
        failed = self.lane.submit("", Changes(changes, self.chain.next()))
        other = self.lane.submit("", add(4))
        behind = self.submit(3)
        self.executor.go_on()
        self.failureResultOf(failed, StoreError)
        self.assertEqual([self.successResultOf(each) for each in (before, other, behind)], [1, 4, [1]])
        self.assertEqual(self.kept(), [0, 1, 3, 4])

    def test_behind_a_batch_that_fails_whole(self) -> None:
        """The next one is under way before anybody is told."""

        async def lose_all(tx: Transaction) -> None:
            await tx.run(ROLLBACK)
            raise Refused

        self.lane.submit("", add(0))
        failed = self.submit(1)
        self.lane.submit("", lose_all).addErrback(lambda _: None)
        self.executor.step()
        behind = self.submit(2)
        self.executor.go_on()
        self.failureResultOf(failed, StoreError)
        self.successResultOf(behind)
        self.assertEqual(self.kept(), [0, 2])

    def test_behind_two_that_fail_with_their_batch_where_one_is_known(self) -> None:
        """Between two answers the writer may say something."""
        behind: list[Deferred[Any]] = []

        async def lose_all(tx: Transaction) -> None:
            await tx.run(ROLLBACK)
            raise Refused

        def told(_: object) -> None:
            self.chain.known += 1
            behind.append(self.submit(3))

        self.lane.submit("", add(0))
        self.submit(1).addErrback(told)
        second = self.submit(2)
        self.lane.submit("", lose_all).addErrback(lambda _: None)
        self.executor.go_on()
        self.failureResultOf(second, StoreError)
        self.successResultOf(behind[0])
        self.assertEqual(self.kept(), [0, 3])

    def test_behind_what_waited_in_vain(self) -> None:
        self.lane.submit("", add(0))
        failed = self.submit(1)
        self.lane.refuse("away")
        self.failureResultOf(failed, StoreError)
        self.lane.refuse(None)
        self.submit(2)
        self.executor.go_on()
        self.assertEqual(self.kept(), [0, 2])


class GatheringTest(LaneCase):
    """A commit costs few jobs what it costs many."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()  # type: ignore[no-untyped-call]
        self.lane = self.make_lane(clock=self.clock)
        self.executor.holds = False
        self.submitted = 0

    def submit(self, count: int) -> None:
        for _ in range(count):
            self.lane.submit("", add(self.submitted))
            self.submitted += 1

    def write_together(self, count: int) -> None:
        """Have a batch of so many done, after one of the first alone."""
        self.executor.holds = True
        self.submit(1 + count)
        self.executor.step()
        self.executor.step()
        self.executor.holds = False

    def assert_kept(self, count: int) -> None:
        self.assertEqual(self.kept(), list(range(count)))

    def test_a_job_alone_leaves_at_once(self) -> None:
        for number in range(3):
            self.submit(1)
            self.assert_kept(number + 1)

    def test_after_a_batch_of_many_the_next_is_gathered_for_a_moment(self) -> None:
        self.write_together(MANY)
        self.submit(3)
        self.clock.advance(GATHER_FOR * 0.9)
        self.assert_kept(MANY + 1)
        self.executor.holds = True
        self.clock.advance(GATHER_FOR * 0.1)
        self.assertEqual(len(self.executor.held), 1)
        self.executor.step()
        self.assert_kept(MANY + 4)

    def test_a_job_that_comes_after_that_moment_leaves_at_once(self) -> None:
        self.write_together(MANY)
        self.clock.advance(GATHER_FOR)
        self.submit(1)
        self.assert_kept(MANY + 2)

    def test_after_a_batch_of_few_nothing_is_gathered(self) -> None:
        self.write_together(MANY - 1)
        self.submit(1)
        self.assert_kept(MANY + 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_makes_a_full_batch_does_not_wait(self) -> None:
        self.lane = self.make_lane(clock=self.clock, most_together=MANY)
        self.write_together(MANY)
        self.submit(MANY - 1)
        self.assert_kept(MANY + 1)
        self.submit(1)
        self.assert_kept(2 * MANY + 1)

    def test_who_closes_does_not_wait_for_more(self) -> None:
        self.write_together(MANY)
        self.submit(2)
        self.successResultOf(Deferred.fromCoroutine(self.lane.close()))
        self.assert_kept(MANY + 3)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_is_refused_leaves_nothing_to_gather(self) -> None:
        self.write_together(MANY)
        result = self.lane.submit("", add(100))
        self.lane.refuse("the database is away")
        self.failureResultOf(result, StoreError)
        self.clock.advance(GATHER_FOR)
        self.lane.refuse(None)
        self.submit(1)
        self.assert_kept(MANY + 2)


class SlowAnswersTest(LaneCase):
    """Whoever gets an answer takes a while with it, a third of the time there is in one turn."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()  # type: ignore[no-untyped-call]
        self.lane = self.make_lane(clock=self.clock)
        self.told: list[int] = []

    def submit(self, number: int) -> Deferred[Any]:
        return self.lane.submit("romeo", add(number)).addCallback(self.take_long)

    def take_long(self, number: int) -> None:
        self.told.append(number)
        self.clock.rightNow += HAND_OUT_FOR / 2.9

    def turn(self) -> None:
        """The reactor's next turn; an advance of the clock would run what is asked for in it as well."""
        (due,) = self.clock.getDelayedCalls()
        function = due.func  # type: ignore[attr-defined]
        due.cancel()
        function()

    def test_no_more_answers_are_handed_out_than_there_is_time_for_in_a_turn(self) -> None:
        for number in range(8):
            self.submit(number)
        self.executor.go_on()
        self.assertEqual(self.told, [0, 1, 2])
        self.assertEqual(self.kept(), list(range(8)))
        self.turn()
        self.assertEqual(self.told, [0, 1, 2, 3, 4, 5])
        self.turn()
        self.assertEqual(self.told, list(range(8)))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_answers_of_the_next_batch_stand_behind(self) -> None:
        for number in range(6):
            self.submit(number)
        self.executor.step()
        self.executor.step()
        self.submit(6)
        self.executor.step()
        self.assertEqual(self.told, [0, 1, 2, 3])
        self.turn()
        self.assertEqual(self.told, list(range(7)))

    def test_whose_answers_wait_is_not_busy_and_reads_what_is_kept(self) -> None:
        for number in range(8):
            self.submit(number)
        self.executor.go_on()
        self.assertFalse(self.lane.is_busy("romeo"))

    def test_answers_that_wait_take_room_in_the_queue(self) -> None:
        self.lane = self.make_lane(most_waiting=7, clock=self.clock)
        for number in range(8):
            self.submit(number)
        self.executor.step()
        self.executor.step()
        self.assertEqual(self.told, [0, 1, 2, 3])
        for number in (8, 9, 10, 11):
            self.submit(number)
        self.assertRaises(StoreError, self.submit, 12)
        self.turn()
        self.submit(12)

    def test_closing_waits_until_all_have_their_answers(self) -> None:
        for number in range(8):
            self.submit(number)
        self.executor.go_on()
        closed = Deferred.fromCoroutine(self.lane.close())
        self.turn()
        self.assertNoResult(closed)
        self.turn()
        self.successResultOf(closed)
        self.assertEqual(len(self.told), 8)

    def test_without_a_clock_all_are_handed_out_at_once(self) -> None:
        self.lane = self.make_lane()
        for number in range(8):
            self.submit(number)
        self.executor.go_on()
        self.assertEqual(len(self.told), 8)


class LockedTest(SynchronousTestCase):
    def test_a_database_locked_by_another_is_a_store_error_until_it_is_free(self) -> None:
        path = self.make_path()
        mine = sqlite3.connect(path, isolation_level=None, timeout=0)
        self.addCleanup(mine.close)
        mine.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")
        other = sqlite3.connect(path, isolation_level=None, timeout=0)
        self.addCleanup(other.close)
        lane = Lane(
            BlockingRunner(HeldExecutor(), driver(), writes=True),
            [mine],
            clock=None,
            ordered=True,
            errors=sqlite3.Error,
            most_waiting=10,
            most_together=10,
        )
        other.execute("BEGIN IMMEDIATE")
        self.failureResultOf(lane.submit("", add(1)), StoreError)
        other.execute("ROLLBACK")
        self.assertEqual(self.successResultOf(lane.submit("", add(1))), 1)

    def make_path(self) -> str:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return f"{folder.name}/numbers.db"
