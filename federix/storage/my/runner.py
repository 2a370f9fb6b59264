"""How a batch of jobs is run on a connection, in its thread: as one transaction, in as few messages as it takes."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred

from ..lane import Job, Lost, NotDone, Outcome
from ..sql.database import Query
from ..sql.plain import sorted_out
from ..sql.pool import Slot
from .connection import LOCK_TRIES, LOCKED, TIMED_OUT, MyConnection, MyError
from .plan import Message, Plan
from .statements import MyStatements
from .transaction import Deadlock, FateUnknown, MyTransaction

#: How often a job is tried that is in the way of others, or they in its.
_MOST_CONFLICTS: Final = 3

_SNAPSHOT: Final = b"START TRANSACTION READ ONLY"


class Batches:
    """Runs the batches of a lane that writes, or reads."""

    def __init__(self, statements: MyStatements, *, writes: bool) -> None:
        self._statements = statements
        self._run = _write if writes else _read

    def __call__(self, slot: Slot[MyConnection], batch: list[Job[Any]]) -> Deferred[Outcome]:
        return slot.opened.run(partial(_run_batch, self._run, self._statements, batch))


# What follows runs in the executor.


def _run_batch(run: Any, statements: MyStatements, batch: list[Job[Any]], raw: Any) -> Outcome:
    """Run all jobs. Raises `NotDone` where nothing of it is kept and it may be done again."""
    for job in batch:
        job.error = None
    try:
        run(statements, batch, raw)
    except FateUnknown:
        return Lost("the connection to the database was lost, and nobody knows whether the write was kept")
    except MyError as error:
        return str(error)
    except BaseException:
        raw._force_close()  # and with it the transaction ends
        raise
    return None


def _read(statements: MyStatements, batch: list[Job[Any]], raw: Any) -> None:
    for job in batch:
        transaction = MyTransaction(raw, statements)
        # One statement alone sees one moment, and needs nobody to end it.
        if not isinstance(job.work, Query):
            transaction.begin(_SNAPSHOT)
        try:
            transaction.job(job, saved=False)
        except Deadlock:
            job.error = MyError("others are in the way")
        transaction.roll_back()  # there is nothing to commit


def _write(statements: MyStatements, batch: list[Job[Any]], raw: Any) -> None:
    if not _joined(statements, batch, raw):
        for job in batch:
            job.error = None
        _one_by_one(statements, batch, raw)


def _joined(statements: MyStatements, batch: list[Job[Any]], raw: Any) -> bool:
    """Run what is plain in few messages, and the rest behind it; false if that failed and nothing is kept."""
    plain, rest = sorted_out(batch)
    if not plain:
        return False
    transaction = MyTransaction(raw, statements)
    messages = Plan(plain, statements, raw.max_allowed_packet).messages()
    # One statement alone is a transaction.
    if rest or sum(len(message.statements) for message in messages) > 1:
        transaction.begin()
    try:
        for message in messages:
            _send(transaction, message, final=not rest and message is messages[-1])
        left = _saved(transaction, rest)
        transaction.commit()
    except (MyError, Deadlock) as error:
        transaction.roll_back()
        if isinstance(error, MyError) and (error.code in TIMED_OUT or (len(batch) == 1 and error.code != LOCKED)):
            _fail(batch, error)
            return True
        return False
    except _TooSlow as slow:
        transaction.roll_back()
        _fail(batch, slow.error)
        return True
    _after(statements, left, raw, LOCK_TRIES - 1)
    return True


def _send(transaction: MyTransaction, message: Message, *, final: bool) -> None:
    """Run the statements of *message*; with *final*, commit in the same message."""
    commit = [b"COMMIT"] if final and transaction.has_begun else []
    cursor = transaction.send([*message.statements, *commit], final=final)
    for number, told in enumerate([*message.told, *([None] if commit else [])]):
        if number:
            transaction.next_of(cursor, final=final)
        if told is not None:
            told(cursor)
    if final:
        transaction.was_committed()


def _one_by_one(statements: MyStatements, batch: list[Job[Any]], raw: Any) -> None:
    """Run each job behind a savepoint of its own; where others are in the way, in a transaction of its own."""
    if len(batch) == 1:
        _again(statements, batch[0], raw, _MOST_CONFLICTS)
        return
    transaction = MyTransaction(raw, statements)
    transaction.begin()
    try:
        left = _saved(transaction, batch)
        transaction.commit()
    except Deadlock:
        transaction.roll_back()
        _after(statements, batch, raw, _MOST_CONFLICTS)
    except _TooSlow as slow:
        transaction.roll_back()
        _fail(batch, slow.error)
    except MyError:
        transaction.roll_back()
        raise
    else:
        _after(statements, left, raw, LOCK_TRIES - 1)


class _TooSlow(Exception):
    """Several jobs took longer than they may: the others would only wait for more of them."""

    def __init__(self, error: MyError) -> None:
        self.error = error


def _saved(transaction: MyTransaction, jobs: list[Job[Any]]) -> list[Job[Any]]:
    """Run *jobs*, each behind a savepoint; answers with those that are left for later.

    It is the one that waited too long for a lock, if there is one, and those that must stay behind it.
    """
    slow = 0
    left: list[Job[Any]] = []
    behind: set[str] = set()
    for job in jobs:
        if not behind.isdisjoint(job.owners):
            left.append(job)
            behind.update(job.owners)
            continue
        transaction.job(job, saved=True)
        error = _too_slow(job)
        if error is not None:
            slow += 1
            if slow > 1:
                raise _TooSlow(error)
            if error.code == LOCKED:
                left.append(job)
                behind.update(job.owners)
    return left


def _too_slow(job: Job[Any]) -> MyError | None:
    """The error of a *job* that took longer than it may."""
    error = job.error
    return error if isinstance(error, MyError) and (error.code == LOCKED or error.code in TIMED_OUT) else None


def _fail(batch: list[Job[Any]], error: MyError) -> None:
    """What waited so long for others would do so again, each by itself."""
    for job in batch:
        job.error = job.error or error


def _after(statements: MyStatements, jobs: list[Job[Any]], raw: Any, most: int) -> None:
    """Run *jobs* by themselves, behind a transaction that is kept already, or other jobs of it."""
    slow = 0
    for number, job in enumerate(jobs, 1):
        try:
            _again(statements, job, raw, most)
        except (FateUnknown, NotDone) as lost:
            # The batch as a whole is not to be done again.
            raise FateUnknown from lost
        error = _too_slow(job)
        if error is not None:
            slow += 1
            if slow > 1:
                _fail(jobs[number:], error)
                return


def _again(statements: MyStatements, job: Job[Any], raw: Any, most: int) -> None:
    """One job in a transaction of its own, up to *most* times where others are in its way."""
    for _ in range(most):
        job.error = None
        transaction = MyTransaction(raw, statements)
        transaction.begin()
        is_blocked = False
        try:
            transaction.job(job, saved=False)
            if job.error is None:
                transaction.commit()
                return
            is_blocked = isinstance(job.error, MyError) and job.error.code == LOCKED
        except Deadlock:
            job.error, is_blocked = MyError("others are in the way"), True
        except MyError as error:
            job.error = error
        transaction.roll_back()
        if not is_blocked:
            return
