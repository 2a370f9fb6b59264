"""Batches of jobs on a connection to MariaDB: one transaction each, and a savepoint for each job that writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import LargeBinary
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ..lane import Job, Lost, NotDone, Outcome
from ..sql.blocking import step
from ..sql.database import Query, Row, Rows
from ..sql.pool import Slot
from ..sql.statement import Compiler, Statement, Value
from .connection import CONFLICTS, Error, MyConnection, code_of, is_over, said

T = TypeVar("T")


class Batches:
    """Runs the batches of a lane that writes, or reads."""

    def __init__(self, statements: MyStatements, *, writes: bool) -> None:
        self._statements = statements
        self._writes = writes

    def __call__(self, slot: Slot[MyConnection], batch: list[Job[Any]]) -> Deferred[Outcome]:
        running = slot.opened.run(partial(_run_batch, self._statements, self._writes, batch))
        return running.addErrback(_closed)


def _closed(failure: Failure) -> Failure:
    """The connection was closed before the batch began."""
    if isinstance(failure.value, AttributeError):
        raise NotDone from failure.value
    return failure


class MyStatements:
    """The compiled statements, and which columns of their answers are texts that are kept as bytes."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self._texts: dict[Statement, tuple[int, ...]] = {}

    def texts(self, statement: Statement) -> tuple[int, ...]:
        """The places of the columns that are texts."""
        known = self._texts.get(statement)
        if known is None:
            columns: Sequence[Any] = getattr(statement.clause, "selected_columns", ())
            known = tuple(
                place
                for place, column in enumerate(columns)
                if column.type.python_type is str and not isinstance(column.type, LargeBinary)
            )
            self._texts[statement] = known
        return known


class MyTransaction:
    """Runs statements on a connection, at once; awaiting them is a formality here."""

    __slots__ = ("_raw", "_statements")

    def __init__(self, raw: Any, statements: MyStatements) -> None:
        self._raw = raw
        self._statements = statements

    async def run(self, statement: Statement, /, **values: Value) -> Rows:
        rows = self._execute(statement, values).fetchall()
        texts = self._statements.texts(statement)
        return [_decoded(row, texts) for row in rows] if texts else list(rows)

    async def change(self, statement: Statement, /, **values: Value) -> int:
        count: int = self._execute(statement, values).rowcount
        return count

    async def insert(self, statement: Statement, /, **values: Value) -> int:
        new: int = self._execute(statement, values).lastrowid
        return new

    def _execute(self, statement: Statement, values: dict[str, Value]) -> Any:
        compiled = self._statements.compiler(statement)
        cursor = self._raw.cursor()
        cursor.execute(compiled.sql, compiled.parameters(values))
        return cursor


def _decoded(row: Row, texts: tuple[int, ...]) -> Row:
    found = list(row)
    for place in texts:
        value = found[place]
        if isinstance(value, bytes):
            found[place] = value.decode()
    return tuple(found)


# What follows runs in the executor.


def _run_batch(statements: MyStatements, writes: bool, batch: list[Job[Any]], raw: Any) -> Outcome:
    """Run all jobs in one transaction. Raises `NotDone` where nothing of it is kept and it may be done again."""
    transaction = MyTransaction(raw, statements)
    execute: Callable[[str], object] = raw.cursor().execute
    for job in batch:
        job.error = None
    committing = False
    # One statement alone sees one moment, and needs nobody to end it.
    alone = not writes and len(batch) == 1 and isinstance(batch[0].work, Query)
    try:
        if not alone:
            execute("START TRANSACTION" if writes else "START TRANSACTION READ ONLY")
        for job in batch:
            _run_job(execute, transaction, job, saved=writes and len(batch) > 1)
        if writes and len(batch) == 1 and batch[0].error is not None:
            execute("ROLLBACK")
        elif not alone:
            committing = True
            execute("COMMIT")
    except Error as error:
        if is_over(error):
            raw._force_close()
            if committing and writes:
                return Lost("the connection to the database was lost, and nobody knows whether the write was kept")
            raise NotDone from error
        execute("ROLLBACK")
        if code_of(error) in CONFLICTS:
            raise NotDone from error
        return said(error)
    except BaseException:
        raw._force_close()  # and with it the transaction ends
        raise
    return None


def _run_job(execute: Callable[[str], object], transaction: MyTransaction, job: Job[T], *, saved: bool) -> None:
    if saved:
        execute("SAVEPOINT job")
    try:
        job.answer = step(job.work(transaction))
    except Exception as error:
        if is_over(error) or code_of(error) in CONFLICTS:
            raise  # the whole transaction is gone
        job.error = error
        if saved:
            execute("ROLLBACK TO SAVEPOINT job")
    if saved:
        execute("RELEASE SAVEPOINT job")
