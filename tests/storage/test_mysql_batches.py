"""How batches are run on a connection to MariaDB, where others hold rows for a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pymysql.constants import ER
from pymysql.err import OperationalError
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from federix.storage.lane import Job
from federix.storage.my.connection import LOCK_TRIES, LOCKED, MyError
from federix.storage.my.runner import Batches
from federix.storage.my.statements import MyStatements
from federix.storage.sql.database import Transaction
from federix.storage.sql.pool import Slot
from tests.storage.served.case import cell


class FakeRaw:
    """PyMySQL's connection and its cursor; who waits for a row hears so from *locked*."""

    max_allowed_packet = 1_000_000
    open = True
    rowcount = 1

    def __init__(self, locked: Callable[[bytes], int | None]) -> None:
        self.locked = locked
        self.sent: list[bytes] = []

    def cursor(self) -> FakeRaw:
        return self

    def execute(self, message: bytes) -> None:
        self.sent.append(message)
        code = self.locked(message)
        if code is not None:
            raise OperationalError(code, "others are in the way")

    def nextset(self) -> None:
        pass


class FakeConnection:
    def __init__(self, raw: FakeRaw) -> None:
        self.raw = raw

    def run(self, work: Callable[[Any], Any]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        done.callback(work(self.raw))
        return done


def put(owner: str, value: str) -> Callable[[Transaction], Any]:
    async def work(tx: Transaction) -> int:
        change = cell(owner, "key", value.encode())
        return await tx.change(change.statement, **change.values)

    return work


class LockedTest(SynchronousTestCase):
    def run_jobs(self, *jobs: Job[Any], locked: Callable[[bytes], int | None]) -> list[bytes]:
        """Answers with what was sent."""
        raw, slot = FakeRaw(locked), Slot[Any]()
        slot.connection = FakeConnection(raw)
        self.assertIsNone(self.successResultOf(Batches(MyStatements(), writes=True)(slot, list(jobs))))
        return raw.sent

    def values(self, sent: list[bytes]) -> list[str]:
        """Which of the values were sent, in their order."""
        return [value for message in sent for value in ("one", "two", "other") if value.encode() in message]

    def test_what_is_behind_a_job_that_waits_for_others_stays_behind_it(self) -> None:
        waits = iter([LOCKED])
        jobs = [Job(("romeo",), put("romeo", "one")), Job(("romeo", "nurse"), put("romeo", "two"))]
        jobs += [Job(("nurse",), put("nurse", "other")), Job(("juliet",), put("juliet", "other"))]
        sent = self.run_jobs(*jobs, locked=lambda message: next(waits, None) if b"'one'" in message else None)
        self.assertEqual(self.values(sent), ["one", "other", "one", "two", "other"])
        self.assertEqual([(job.answer, job.error) for job in jobs], [(1, None)] * 4)

    def test_those_that_are_behind_it_do_not_all_wait_one_by_one(self) -> None:
        jobs = [Job(("romeo",), put("romeo", "one")) for _ in range(20)]
        sent = self.run_jobs(*jobs, locked=lambda message: LOCKED if b"'one'" in message else None)
        self.assertLessEqual(len(self.values(sent)), 2 * LOCK_TRIES)
        for job in jobs:
            assert isinstance(job.error, MyError)
            self.assertEqual(job.error.code, LOCKED)

    def test_after_a_deadlock_not_all_wait_one_by_one(self) -> None:
        codes = iter([ER.LOCK_DEADLOCK])
        jobs = [Job((f"{number}",), put("romeo", "one")) for number in range(20)]
        sent = self.run_jobs(*jobs, locked=lambda message: next(codes, LOCKED) if b"'one'" in message else None)
        self.assertLessEqual(len(self.values(sent)), 1 + 2 * LOCK_TRIES)
        self.assertNotIn(None, [job.error for job in jobs])
