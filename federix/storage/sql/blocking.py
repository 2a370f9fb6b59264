"""Batches of jobs on connections of a blocking driver (DB-API 2.0), stepped through in the threads of an executor."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred

from ...life.executor import Executor
from ..chain import Chain, Link
from ..lane import Job, Outcome
from .database import Change, Changes, Rows, Work
from .statement import Compiler, Statement, Value

T = TypeVar("T")

#: So many rows are inserted by one statement: the driver remembers some that differ, not any number.
MOST_AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True)
class Driver:
    """What differs between blocking drivers. Their connections begin no transaction by themselves."""

    compiler: Compiler
    errors: type[Exception]
    begin_writing: str
    begin_reading: str
    roll_back: Callable[[Any], object]
    """Ends the transaction of a connection, if it is in one."""


class BlockingRunner:
    """Runs the batches of a lane that writes, or reads."""

    def __init__(self, executor: Executor, driver: Driver, *, writes: bool) -> None:
        self._executor = executor
        self._driver = driver
        self._writes = writes

    def __call__(self, connection: Any, batch: list[Job[Any]]) -> Deferred[Outcome]:
        return self._executor.run(_run_batch, self._driver, connection, batch, self._writes)


def glance(driver: Driver, connection: Any, work: Work[T]) -> T:
    """Run one job that reads, here and now. Raises what it raises, and the driver's errors."""
    connection.cursor().execute(driver.begin_reading)
    try:
        return step(work(BlockingTransaction(connection, driver.compiler)))
    finally:
        driver.roll_back(connection)  # there is nothing to commit


class BlockingTransaction:
    """Runs statements on a connection, at once; awaiting them is a formality here."""

    __slots__ = ("_compiler", "_connection")

    def __init__(self, connection: Any, compiler: Compiler) -> None:
        self._connection = connection
        self._compiler = compiler

    async def run(self, statement: Statement, /, **values: Value) -> Rows:
        rows: Rows = list(self._execute(statement, values).fetchall())
        return rows

    async def change(self, statement: Statement, /, **values: Value) -> int:
        count: int = self._execute(statement, values).rowcount
        return count

    async def insert(self, statement: Statement, /, **values: Value) -> int:
        new: int | None = self._execute(statement, values).lastrowid
        assert new is not None
        return new

    def at_once(self, changes: Sequence[Change]) -> list[int] | None:
        """Make *changes* with one statement, all or none, and count them; nothing is done where that is not possible.

        A savepoint around them would cost as much again.
        """
        first = changes[0].statement
        compiled = self._compiler(first)
        others = len(changes) - 1
        if others and (
            not compiled.row or others >= MOST_AT_ONCE or any(change.statement is not first for change in changes)
        ):
            return None
        values = [value for change in changes for value in compiled.parameters(change.values)]
        count: int = self._connection.cursor().execute(compiled.sql + compiled.row * others, values).rowcount
        return [1] * len(changes) if others else [count]

    def all_of(self, statement: Statement, changes: Iterable[Change]) -> None:
        """Make *changes*, all by *statement*."""
        compiled = self._compiler(statement)
        self._connection.cursor().executemany(compiled.sql, [compiled.parameters(each.values) for each in changes])

    @property
    def is_open(self) -> bool:
        """Whether the transaction goes on: SQLite ends it where the disk is full, for one."""
        return bool(self._connection.in_transaction)

    def _execute(self, statement: Statement, values: dict[str, Value]) -> Any:
        compiled = self._compiler(statement)
        cursor = self._connection.cursor()
        cursor.execute(compiled.sql, compiled.parameters(values))
        return cursor


class _Refused(Exception):
    """A count could not be written, and nobody knows any more which jobs it was joined from."""


class _Counts:
    """What many jobs of a batch write over each other: how far the streams are settled whose messages they keep.

    A batch is kept whole or not at all, so of each count only the last is written, behind the jobs that it tells of.
    Whatever else touches the database finds it written.
    """

    __slots__ = ("_last", "_transaction")

    def __init__(self, transaction: BlockingTransaction) -> None:
        self._transaction = transaction
        # Of each writer the last: all of its own overwrite one row.
        self._last: dict[Chain, Change] = {}

    def add(self, link: Link, count: Change) -> None:
        """The job is done that says *count*, which depends on that *link*."""
        self._last[link.chain] = count

    def write(self) -> None:
        """Write what was added; raises `_Refused`."""
        together: dict[Statement, list[Change]] = {}
        for count in self._last.values():
            together.setdefault(count.statement, []).append(count)
        try:
            for statement, counts in together.items():
                self._transaction.all_of(statement, counts)
        except Exception as error:
            raise _Refused from error
        self._last.clear()


# What follows runs in the executor.


def _run_batch(driver: Driver, connection: Any, batch: list[Job[Any]], writes: bool) -> Outcome:
    """Run all jobs in one transaction. Returns ``None`` when it is committed, else why nothing of it is kept."""
    try:
        return _try_batch(driver, connection, batch, writes, joined=True)
    except _Refused:
        for job in batch:
            job.error = None
        return _try_batch(driver, connection, batch, writes, joined=False)


def _try_batch(driver: Driver, connection: Any, batch: list[Job[Any]], writes: bool, *, joined: bool) -> Outcome:
    """Run all jobs: with the counts that they have in common *joined*, or each with its own."""
    transaction = BlockingTransaction(connection, driver.compiler)
    execute = connection.cursor().execute
    # A lone job is undone with its transaction.
    alone = not writes or len(batch) == 1
    counts = _Counts(transaction) if joined and not alone else None
    try:
        execute(driver.begin_writing if writes else driver.begin_reading)
        for job in batch:
            if alone:
                _do(job, job.work, transaction)
            else:
                _run_job(execute, transaction, job, counts)
        if counts is not None:
            counts.write()
        if writes and len(batch) == 1 and batch[0].error is not None:
            driver.roll_back(connection)
        else:
            execute("COMMIT")
    except driver.errors as error:
        driver.roll_back(connection)
        return str(error)
    except BaseException:
        driver.roll_back(connection)
        raise
    return None


def _run_job(
    execute: Callable[[str], object], transaction: BlockingTransaction, job: Job[Any], counts: _Counts | None
) -> None:
    """Run one of several jobs, which may have their *counts* in common."""
    work, link, count = job.work, None, None
    changes: tuple[Change, ...] = ()
    if isinstance(work, Changes):
        changes, link = work.due(), work.link
        if counts is not None and link is not None and len(changes) == len(work.all):
            changes, count = changes[:-1], changes[-1]
    if counts is not None and count is None:
        counts.write()
    if not (changes and _make_at_once(job, changes, transaction)):
        execute("SAVEPOINT job")
        _do(job, work if count is None else Changes(changes), transaction)
        if job.error is not None:
            # A full disk, for one, makes SQLite roll back everything. There is no savepoint then, and this raises:
            # all jobs of the batch are lost.
            execute("ROLLBACK TO SAVEPOINT job")
        execute("RELEASE SAVEPOINT job")
    if counts is not None and link is not None and count is not None and job.error is None:
        counts.add(link, count)
        job.answer.append(1)


def _make_at_once(job: Job[Any], changes: Sequence[Change], transaction: BlockingTransaction) -> bool:
    """Run a job that is nothing but *changes*; whether that needs no more than one statement."""
    try:
        counts = transaction.at_once(changes)
    except Exception as error:
        if not transaction.is_open:
            raise
        job.error = error
        return True
    if counts is None:
        return False
    job.answer = counts
    return True


def _do(job: Job[T], work: Work[T], transaction: BlockingTransaction) -> None:
    try:
        job.answer = step(work(transaction))
    except Exception as error:
        job.error = error


def step(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never really waits, here and now."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError("a transaction may await nothing but its own statements")
