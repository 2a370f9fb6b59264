"""A transaction on one connection, in a thread. What needs no answer goes along with the next statement that does."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import pymysql
from pymysql.constants import CR

from ..lane import Job, NotDone
from ..sql.blocking import step
from ..sql.database import Rows
from ..sql.statement import Statement, Value
from .connection import DEADLOCKS, TOO_LONG, MyError, code_of, is_over
from .statements import MyStatement, MyStatements

T = TypeVar("T")

_SAVEPOINT: Final = b"SAVEPOINT job"
_RELEASE: Final = b"RELEASE SAVEPOINT job"
_BACK: Final = b"ROLLBACK TO SAVEPOINT job"


class FateUnknown(Exception):
    """The connection was lost while the transaction was being committed."""


class Deadlock(Exception):
    """What others do at the same time is in the way, and the transaction is gone; alone, and again, it may succeed."""


class MyTransaction:
    """Runs the statements of jobs, at once. Its methods raise `MyError`, `FateUnknown`, `Deadlock` and `NotDone`."""

    def __init__(self, raw: Any, statements: MyStatements) -> None:
        self._raw = raw
        self._statements = statements
        self._pending: list[bytes] = []
        self._begun = False
        self._is_gone = False

    # -- for what runs in it ------------------------------------------------------------------------------------------

    async def run(self, statement: Statement, /, **values: Value) -> Rows:
        prepared, cursor = self._run(statement, values)
        return prepared.decoded(cursor.fetchall())

    async def change(self, statement: Statement, /, **values: Value) -> int:
        prepared, cursor = self._run(statement, values)
        return prepared.count(cursor.rowcount)

    async def insert(self, statement: Statement, /, **values: Value) -> int:
        _, cursor = self._run(statement, values)
        new: int = cursor.lastrowid
        return new

    def _run(self, statement: Statement, values: dict[str, Value]) -> tuple[MyStatement, Any]:
        prepared = self._statements(statement)
        return prepared, self.send([prepared.text(values)])

    # -- for who runs it ----------------------------------------------------------------------------------------------

    def begin(self, how: bytes = b"START TRANSACTION") -> None:
        self._pending.append(how)

    @property
    def has_begun(self) -> bool:
        """Whether there is a transaction, or will be with what is sent next."""
        return self._begun or bool(self._pending)

    def was_committed(self) -> None:
        """What was sent has committed."""
        self._begun = False

    def send(self, statements: list[bytes], *, final: bool = False) -> Any:
        """Run *statements* behind what is pending, in one message; with *final* they commit.

        Answers with the cursor, at the first of *statements*; `next_of` leads to the others.
        """
        if self._is_gone:
            raise Deadlock
        message = b";".join([*self._pending, *statements])
        if len(message) >= self._raw.max_allowed_packet:
            # The server would throw us out, with all that is in this transaction.
            raise MyError("longer than max_allowed_packet allows", TOO_LONG)
        first = len(self._pending)
        if first:
            self._pending.clear()
            self._begun = True
        cursor = self._raw.cursor()
        try:
            cursor.execute(message)
            for _ in range(first):
                cursor.nextset()
        except Exception as error:
            raise self._meant(error, final) from error
        return cursor

    def next_of(self, cursor: Any, *, final: bool = False) -> None:
        """Lead *cursor* to what the next statement of its message answered."""
        try:
            cursor.nextset()
        except Exception as error:
            raise self._meant(error, final) from error

    def _meant(self, error: Exception, final: bool) -> Exception:
        code = code_of(error)
        if is_over(error) or not self._raw.open:
            self._raw._force_close()
            # What could not be sent whole was not done.
            was_sent = code != CR.CR_SERVER_GONE_ERROR and not isinstance(error, pymysql.err.InterfaceError)
            return FateUnknown() if final and was_sent else NotDone()
        if code in DEADLOCKS:
            self._is_gone = True
            return Deadlock()
        return MyError.of(error) if code is not None else error

    def job(self, job: Job[T], *, saved: bool) -> None:
        """Run one job, and give it its answer or error. With *saved*, one that fails leaves the others as they are."""
        if saved:
            self._pending.append(_SAVEPOINT)
        try:
            job.answer = step(job.work(self))
        except Exception as error:
            job.error = error
        if not self._raw.open:
            raise NotDone  # even if the job caught what it was told
        if self._is_gone:
            raise Deadlock
        if not saved:
            return
        if job.error is None:
            self._pending.append(_RELEASE)
        elif self._pending[-1:] == [_SAVEPOINT]:
            self._pending.pop()
        else:
            self._pending += [_BACK, _RELEASE]

    def commit(self) -> None:
        if self._begun:
            self.send([b"COMMIT"], final=True)
        self._pending.clear()
        self._begun = False

    def roll_back(self) -> None:
        self._pending.clear()
        if self._begun and self._raw.open:
            self._begun = self._is_gone = False
            self.send([b"ROLLBACK"])
