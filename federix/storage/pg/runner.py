"""How a batch of jobs is run on a connection: as one transaction, and with as few messages as it takes."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred

from ..lane import Job, Lost, NotDone, Outcome
from ..sql.database import Query
from ..sql.plain import sorted_out
from ..sql.pool import Slot
from .connection import PgConnection, PgError
from .plan import Plan
from .statements import PgStatements
from .transaction import Conflict, FateUnknown, PgTransaction

#: How often a job is tried that is in the way of others, or they in its.
_MOST_CONFLICTS: Final = 3

#: The code of a statement that took longer than it may.
_TIMED_OUT: Final = "57014"

_SNAPSHOT: Final = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class Reading:
    """Runs batches of one job that reads; several statements see the same moment."""

    def __init__(self, statements: PgStatements) -> None:
        self._statements = statements

    def __call__(self, slot: Slot[PgConnection], batch: list[Job[Any]]) -> Deferred[Outcome]:
        return Deferred.fromCoroutine(self._run(slot.opened, batch))

    async def _run(self, connection: PgConnection, batch: list[Job[Any]]) -> Outcome:
        for job in batch:
            job.error = None  # it may have been tried before
            transaction = PgTransaction(connection, self._statements)
            if not isinstance(job.work, Query):
                transaction.begin(_SNAPSHOT)
            try:
                await transaction.job(job, saved=False)
            except Conflict as conflict:
                job.error = PgError(conflict)
            await transaction.roll_back()  # there is nothing to commit
        return None


class Writing:
    """Runs batches of jobs that write."""

    def __init__(self, statements: PgStatements) -> None:
        self._statements = statements

    def __call__(self, slot: Slot[PgConnection], batch: list[Job[Any]]) -> Deferred[Outcome]:
        return Deferred.fromCoroutine(self._run(slot.opened, batch))

    async def _run(self, connection: PgConnection, batch: list[Job[Any]]) -> Outcome:
        for job in batch:
            if job.error is not None:
                job.error = None  # it was tried before
        try:
            if not await self._joined(connection, batch):
                await self._one_by_one(connection, batch)
        except FateUnknown:
            return Lost("the connection to the database was lost, and nobody knows whether the write was kept")
        except PgError as error:
            return str(error)
        return None

    async def _joined(self, connection: PgConnection, batch: list[Job[Any]]) -> bool:
        """Run what is plain in few messages, and the rest behind it; false if that failed and nothing is kept."""
        plain, rest = sorted_out(batch)
        if not plain:
            return False
        try:
            rounds = Plan(plain, self._statements).rounds()
        except (PgError, KeyError):
            return False
        transaction = PgTransaction(connection, self._statements)
        # One message alone is a transaction.
        is_whole = len(rounds) <= 1 and not rest
        try:
            if not is_whole:
                transaction.begin()
            for each in rounds:
                cursor = await transaction.execute(each.sql, final=is_whole)
                if each.answer is not None:
                    each.answer(cursor)
            for job in rest:
                await transaction.job(job, saved=True)
            await transaction.commit()
        except (PgError, Conflict) as error:
            await transaction.roll_back()
            if isinstance(error, PgError) and (len(batch) == 1 or error.code == _TIMED_OUT):
                # What waited so long for others would do so again, each by itself.
                for job in batch:
                    job.error = error
                return True
            for job in batch:
                job.error = None
            return False
        return True

    async def _one_by_one(self, connection: PgConnection, batch: list[Job[Any]]) -> None:
        """Run each job behind a savepoint of its own; where others are in the way, in a transaction of its own."""
        transaction = PgTransaction(connection, self._statements)
        transaction.begin()
        try:
            if len(batch) == 1:
                await self._alone(transaction, batch[0])
                return
            timed_out = 0
            for job in batch:
                await transaction.job(job, saved=True)
                if isinstance(job.error, PgError) and job.error.code == _TIMED_OUT:
                    timed_out += 1
                    if timed_out > 1:
                        raise job.error
            await transaction.commit()
        except Conflict:
            await transaction.roll_back()
            for job in batch:
                try:
                    await self._again(connection, job)
                except (FateUnknown, NotDone) as lost:
                    # Those before it are kept already: the batch as a whole is not to be done again.
                    raise FateUnknown from lost
        except PgError:
            await transaction.roll_back()
            raise

    async def _alone(self, transaction: PgTransaction, job: Job[Any]) -> None:
        await transaction.job(job, saved=False)
        if job.error is None:
            await transaction.commit()
        else:
            await transaction.roll_back()

    async def _again(self, connection: PgConnection, job: Job[Any]) -> None:
        """One job in a transaction of its own, a few times if need be; what fails is its own error."""
        for _ in range(_MOST_CONFLICTS):
            job.error = None
            transaction = PgTransaction(connection, self._statements)
            transaction.begin()
            try:
                await self._alone(transaction, job)
                return
            except Conflict as conflict:
                await transaction.roll_back()
                job.error = PgError(conflict)
            except PgError as error:
                await transaction.roll_back()
                job.error = error
                return
