"""How batches are run on a connection to PostgreSQL, where others are in the way and the connection breaks besides."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from federix.storage.lane import Job, Lost, NotDone
from federix.storage.pg.connection import PgConnection
from federix.storage.pg.runner import Reading, Writing
from federix.storage.pg.statements import PgStatements
from federix.storage.sql.database import Transaction
from federix.storage.sql.pool import Slot
from tests.storage.served.case import cell

DEADLOCK = "40P01"
TIMED_OUT = "57014"
LOST = "08006"


class Said(Exception):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.pgcode = code


class FakeConnection:
    """Has the errors for the messages that come, in their order, ``None`` where there is none."""

    def __init__(self, *errors: str | None) -> None:
        self.errors = list(errors)
        self.is_open = True
        self.sent: list[bytes] = []

    def run(self, sql: bytes) -> Deferred[Any]:
        self.sent.append(sql)
        error = self.errors.pop(0) if self.errors else None
        if error is None:
            said = "COMMIT" if sql.endswith(b"COMMIT") else ""
            return succeed(SimpleNamespace(statusmessage=said, rowcount=1, description=None))
        self.is_open = error != LOST
        return fail(Said(error))


async def work(tx: Transaction) -> int:
    change = cell("romeo@example.org")
    return await tx.change(change.statement, **change.values)


class BatchesTest(SynchronousTestCase):
    def run_on(self, connection: FakeConnection, jobs: list[Job[Any]], kind: Any = Writing) -> Deferred[Any]:
        slot: Slot[PgConnection] = Slot()
        slot.connection = cast(PgConnection, connection)
        outcome: Deferred[Any] = kind(PgStatements())(slot, jobs)
        self.assertEqual(connection.errors, [])
        return outcome

    def test_what_is_kept_already_is_not_done_again_with_what_is_not(self) -> None:
        """The first is kept, in a transaction of its own; the connection breaks as the second is undone."""
        jobs = [Job(("a",), work), Job(("b",), work)]
        connection = FakeConnection(DEADLOCK, None, None, None, DEADLOCK, LOST)
        outcome = self.run_on(connection, jobs)
        self.assertIsInstance(self.successResultOf(outcome), Lost)

    def test_what_is_done_again_has_no_error_of_an_earlier_time(self) -> None:
        jobs = [Job(("a",), work), Job(("b",), work)]
        # The first waits for others too long, and with the second the connection breaks.
        self.failureResultOf(self.run_on(FakeConnection(TIMED_OUT, LOST), jobs), NotDone)
        self.assertIsNone(self.successResultOf(self.run_on(FakeConnection(), jobs)))
        self.assertEqual([(job.answer, job.error) for job in jobs], [(1, None)] * 2)

    def test_what_is_joined_again_has_no_error_of_an_earlier_time(self) -> None:
        jobs = [Job((owner,), cell(owner)) for owner in "ab"]
        self.failureResultOf(self.run_on(FakeConnection("22001", TIMED_OUT, LOST), jobs), NotDone)
        self.assertIsNone(self.successResultOf(self.run_on(FakeConnection(), jobs)))
        self.assertEqual([(job.answer, job.error) for job in jobs], [(1, None)] * 2)

    def test_a_read_that_is_done_again_has_no_error_of_an_earlier_time(self) -> None:
        jobs = [Job(("a",), work)]
        self.failureResultOf(self.run_on(FakeConnection(TIMED_OUT, LOST), jobs, Reading), NotDone)
        self.assertIsNone(self.successResultOf(self.run_on(FakeConnection(), jobs, Reading)))
        self.assertEqual([(job.answer, job.error) for job in jobs], [(1, None)])
