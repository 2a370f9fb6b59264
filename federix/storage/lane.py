"""A queue in front of database connections, and what makes writing cheap: group commit.

While a connection works on one batch, further jobs wait and are taken together as its next one. So a lone job is never
delayed, and under load one commit, with its costly wait for the disk, is shared by hundreds of jobs. Each job stands
behind a savepoint of its own: one that fails takes nothing else with it.

This is not built on ``twisted.enterprise.adbapi``: that hands one function to one thread with one transaction, so a
batch would have to be gathered before it just the same, and its connections belong to threads, not to roles.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, deque
from collections.abc import Collection, Coroutine, Sequence
from typing import Any, Final, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..life.executor import Executor
from .sql.database import Rows, Work
from .sql.statement import Compiler, Statement, Value
from .storage import StoreError

T = TypeVar("T")

log = Logger()

#: Seconds in one turn of the reactor after which no further answer is handed out: with each of them somebody goes on
#: who had waited, and a commit may answer hundreds.
HAND_OUT_FOR: Final = 0.003


class _Job(Generic[T]):
    __slots__ = ("answer", "error", "owners", "result", "work")

    def __init__(self, owners: tuple[str, ...], work: Work[T]) -> None:
        self.owners = owners
        self.work = work
        self.result: Deferred[T] = Deferred()
        # What the batch writes down for the reactor's thread to hand out.
        self.answer: T
        self.error: Exception | None = None


class Lane:
    """Runs jobs on connections that all do the same: the one that writes, or those that read.

    At most *most_waiting* jobs wait, those included whose answers wait to be handed out, and at most *most_together*
    share a transaction. Everything but the batches themselves happens in the reactor's thread. Without a *clock* there
    is no reactor that others wait for: the answers of a batch are handed out at once.
    """

    def __init__(
        self,
        executor: Executor,
        connections: Sequence[sqlite3.Connection],
        compiler: Compiler,
        *,
        clock: IReactorTime | None,
        writes: bool,
        most_waiting: int,
        most_together: int,
    ) -> None:
        self._executor = executor
        self._clock = clock
        self._free = list(connections)
        self._compiler = compiler
        self._writes = writes
        self._most_waiting = most_waiting
        self._most_together = most_together
        self._waiting: deque[_Job[Any]] = deque()
        self._unfinished: Counter[str] = Counter()
        #: Jobs that are done and whose answers wait, each with what became of its transaction.
        self._answers: deque[tuple[_Job[Any], Failure | str | None]] = deque()
        self._due = False
        self._closed = False
        self._idle: list[Deferred[None]] = []

    def submit(self, owner: str, work: Work[T], also: Collection[str] = ()) -> Deferred[T]:
        """Run *work* for *owner* and those in *also*; answers when it is committed.

        Raises :class:`StoreError` when too much waits.

        Who is cancelled no longer hears of it, but what is queued is done.
        """
        if self._closed:
            raise StoreError("the storage is closed")
        if len(self._waiting) + len(self._answers) >= self._most_waiting:
            raise StoreError("too many jobs wait for the database")
        job = _Job((owner, *also), work)
        for each in job.owners:
            self._unfinished[each] += 1
        self._waiting.append(job)
        self._dispatch()
        return job.result

    def is_busy(self, owner: str | None) -> bool:
        """Whether a job of that owner, or any if ``None``, is not finished yet."""
        return bool(self._unfinished) if owner is None else owner in self._unfinished

    async def close(self) -> None:
        """Accept nothing more, and wait until all is done."""
        self._closed = True
        if self._unfinished or self._answers:
            idle: Deferred[None] = Deferred()
            self._idle.append(idle)
            await idle

    def _dispatch(self) -> None:
        while self._waiting and self._free:
            connection = self._free.pop()
            together = min(len(self._waiting), self._most_together)
            batch = [self._waiting.popleft() for _ in range(together)]
            running = self._executor.run(_run_batch, connection, self._compiler, batch, self._writes)
            running.addBoth(self._finished, connection, batch)

    def _finished(self, outcome: Failure | str | None, connection: sqlite3.Connection, batch: list[_Job[Any]]) -> None:
        self._free.append(connection)
        for job in batch:
            for owner in job.owners:
                self._unfinished[owner] -= 1
                if not self._unfinished[owner]:
                    del self._unfinished[owner]
        self._answers.extend((job, outcome) for job in batch)
        # First the next batch: the disk is busy again while the answers are handed out.
        self._dispatch()
        if outcome is not None:
            log.error("a database transaction failed: {reason}", reason=outcome)
        if not self._due:
            self._hand_out()

    def _hand_out(self) -> None:
        """Hand out the answers that wait, as many as may be in one turn of the reactor."""
        self._due = False
        clock, answers = self._clock, self._answers
        end = None if clock is None else clock.seconds() + HAND_OUT_FOR
        while answers:
            _answer(*answers.popleft())
            if answers and clock is not None and end is not None and clock.seconds() >= end:
                if not self._due:
                    self._due = True
                    clock.callLater(0, self._hand_out)
                return
        if not self._unfinished:
            idle, self._idle = self._idle, []
            for waiting in idle:
                waiting.callback(None)


def _answer(job: _Job[T], outcome: Failure | str | None) -> None:
    if outcome is not None:
        job.result.errback(StoreError("the transaction failed"))
    elif isinstance(job.error, sqlite3.Error):
        log.error("a database statement failed: {error}", error=job.error)
        failed = StoreError(f"a statement failed: {job.error}")
        failed.__cause__ = job.error
        job.result.errback(failed)
    elif job.error is not None:
        job.result.errback(job.error)
    else:
        job.result.callback(job.answer)


# What follows runs in the executor.


def _run_batch(connection: sqlite3.Connection, compiler: Compiler, batch: list[_Job[Any]], writes: bool) -> str | None:
    """Run all jobs in one transaction. Returns ``None`` when it is committed, else why nothing of it is kept."""
    transaction = SqliteTransaction(connection, compiler)
    try:
        connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        for job in batch:
            _run_job(connection, transaction, job, writes)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        _roll_back(connection)
        return str(error)
    except BaseException:
        _roll_back(connection)
        raise
    return None


def glance(connection: sqlite3.Connection, compiler: Compiler, work: Work[T]) -> T:
    """Run one job that reads, here and now. Raises what it raises, and :class:`sqlite3.Error`."""
    connection.execute("BEGIN")
    try:
        return step(work(SqliteTransaction(connection, compiler)))
    finally:
        _roll_back(connection)  # there is nothing to commit


def _run_job(connection: sqlite3.Connection, transaction: SqliteTransaction, job: _Job[T], writes: bool) -> None:
    if writes:
        connection.execute("SAVEPOINT job")
    try:
        job.answer = step(job.work(transaction))
    except Exception as error:
        job.error = error
        if writes:
            # A full disk, for one, makes SQLite roll back everything. There is no savepoint then, and this raises:
            # all jobs of the batch are lost.
            connection.execute("ROLLBACK TO job")
    if writes:
        connection.execute("RELEASE job")


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def step(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never really waits, here and now."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError("a transaction may await nothing but its own statements")


class SqliteTransaction:
    """Runs statements on a connection, at once; awaiting them is a formality here."""

    __slots__ = ("_compiler", "_connection")

    def __init__(self, connection: sqlite3.Connection, compiler: Compiler) -> None:
        self._connection = connection
        self._compiler = compiler

    async def run(self, statement: Statement, /, **values: Value) -> Rows:
        return self._execute(statement, values).fetchall()

    async def change(self, statement: Statement, /, **values: Value) -> int:
        return self._execute(statement, values).rowcount

    async def insert(self, statement: Statement, /, **values: Value) -> int:
        new = self._execute(statement, values).lastrowid
        assert new is not None
        return new

    def _execute(self, statement: Statement, values: dict[str, Value]) -> sqlite3.Cursor:
        compiled = self._compiler(statement)
        return self._connection.execute(compiled.sql, compiled.parameters(values))
