"""A transaction on one connection. What needs no answer is not sent alone, but before the next statement that does."""

from __future__ import annotations

from collections.abc import Generator
from types import coroutine
from typing import Any, Final, TypeVar

from ..lane import Job, NotDone
from ..sql.database import Rows, Work
from ..sql.statement import Statement, Value
from .connection import PgConnection, PgError
from .statements import PgStatements

T = TypeVar("T")

_SAVEPOINT: Final = b"SAVEPOINT job"
_RELEASE: Final = b"RELEASE SAVEPOINT job"
_BACK: Final = b"ROLLBACK TO SAVEPOINT job"

#: The codes of errors that come from what others do at the same time: two that wait for each other, for one.
_CONFLICTS: Final = ("40P01", "40001")


class FateUnknown(Exception):
    """The connection was lost while the transaction was being committed."""


class Conflict(Exception):
    """What others do at the same time is in the way; alone, and again, it may succeed."""


class PgTransaction:
    """Runs the statements of jobs. Its methods raise `PgError`, `FateUnknown`, and `NotDone`."""

    def __init__(self, connection: PgConnection, statements: PgStatements) -> None:
        self._connection = connection
        self._statements = statements
        self._pending: list[bytes] = []
        self._begun = False

    # -- for what runs in it --------------------------------------------------------------------------------------

    async def run(self, statement: Statement, /, **values: Value) -> Rows:
        cursor = await _ask(self._text(statement, values))
        rows: Rows = cursor.fetchall() if cursor.description else []
        return rows

    async def change(self, statement: Statement, /, **values: Value) -> int:
        count: int = (await _ask(self._text(statement, values))).rowcount
        return count

    async def insert(self, statement: Statement, /, **values: Value) -> int:
        text = self._statements(statement).text(values, returning=True)
        ((new,),) = (await _ask(text)).fetchall()
        return int(new)

    def _text(self, statement: Statement, values: dict[str, Value]) -> bytes:
        return self._statements(statement).text(values)

    # -- for who runs it ------------------------------------------------------------------------------------------

    def begin(self, how: bytes = b"BEGIN") -> None:
        self._pending.append(how)

    async def execute(self, sql: bytes, *, final: bool = False) -> Any:
        """Run *sql* behind what is pending; answers with the cursor. With *final* it commits, by itself or in it."""
        if self._pending:
            sql = b";".join([*self._pending, sql])
            self._pending.clear()
            self._begun = True
        try:
            return await self._connection.run(sql)
        except Exception as error:
            if self._connection.is_open:
                raise PgError(error) from error
            raise (FateUnknown if final else NotDone)() from error

    async def job(self, job: Job[T], *, saved: bool) -> None:
        """Run one job, and give it its answer or error. With *saved*, one that fails leaves the others as they are."""
        if saved:
            self._pending.append(_SAVEPOINT)
        try:
            job.answer = await self._drive(job.work)
        except Exception as error:
            if not self._connection.is_open:
                # Even if the job caught what it was told.
                raise (error if isinstance(error, NotDone) else NotDone()) from None
            if isinstance(error, PgError) and error.code in _CONFLICTS:
                raise Conflict from error
            job.error = error
            if saved and self._pending[-1:] == [_SAVEPOINT]:
                self._pending.pop()
            elif saved:
                self._pending += [_BACK, _RELEASE]
        else:
            if saved:
                self._pending.append(_RELEASE)

    async def commit(self) -> None:
        """Raises `PgError` too if PostgreSQL rolled back instead, because of an error nobody had noticed."""
        if not self._begun:
            self._pending.clear()
            return
        cursor = await self.execute(b"COMMIT", final=True)
        self._begun = False
        if cursor.statusmessage != "COMMIT":
            raise PgError(RuntimeError(f"the transaction ended with {cursor.statusmessage}"))

    async def roll_back(self) -> None:
        self._pending.clear()
        if self._begun:
            self._begun = False
            await self.execute(b"ROLLBACK")

    async def _drive(self, work: Work[T]) -> T:
        """Run a coroutine that awaits nothing but its own statements."""
        running = work(self)
        try:
            asked = running.send(None)
            while True:
                if not isinstance(asked, bytes):
                    running.close()
                    raise RuntimeError("a transaction may await nothing but its own statements")
                try:
                    cursor = await self.execute(asked)
                except Exception as error:
                    asked = running.throw(error)
                else:
                    asked = running.send(cursor)
        except StopIteration as done:
            result: T = done.value
            return result


@coroutine
def _ask(sql: bytes) -> Generator[bytes, Any, Any]:
    """Have whoever drives the transaction run *sql*."""
    return (yield sql)
