"""Which statements of many jobs go to the database in one message, and how their rows are joined.

As in `pg/plan.py`: rows for one table become one INSERT, and what touches the same table keeps its order. Here all
statements of a message have their answers, so it does not matter who waits for one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from ..lane import Job
from ..sql.database import Change, Changes, Insertion
from ..sql.plain import InOrder
from .connection import TOO_LONG, MyError
from .statements import Joining, MyStatement, MyStatements

Told: TypeAlias = Callable[[Any], None]
"""Takes the cursor that has the answer."""

#: Bytes of a message past which another one is begun.
MESSAGE_BYTES: Final = 256 * 1024


@dataclass(slots=True)
class _Group:
    """Rows that make one statement, or a statement that stands alone."""

    statement: MyStatement
    joining: Joining | None
    pieces: list[bytes] = field(default_factory=list)
    size: int = 0
    told: Told | None = None

    def sql(self) -> bytes:
        if self.joining is None:
            return self.pieces[0]
        return self.joining.head + b",".join(self.pieces) + self.joining.tail


@dataclass(slots=True)
class Message:
    statements: list[bytes] = field(default_factory=list)
    told: list[Told | None] = field(default_factory=list)
    """For each of them, who wants its answer."""
    size: int = 0


class Plan:
    """How *jobs*, all of plain work, are done. A job that cannot be written down has its error afterwards."""

    def __init__(self, jobs: list[Job[Any]], statements: MyStatements, longest: int) -> None:
        """*longest* is how many bytes a message may have."""
        self._statements = statements
        self._longest = longest
        self._most = min(MESSAGE_BYTES, longest // 4)
        self._groups: InOrder[_Group] = InOrder()
        for job in jobs:
            self._add(job)

    def messages(self) -> list[Message]:
        messages: list[Message] = []
        for group in self._groups.all:
            sql = group.sql()
            if not messages or messages[-1].size + len(sql) > self._most:
                messages.append(Message())
            message = messages[-1]
            message.statements.append(sql)
            message.told.append(group.told)
            message.size += len(sql)
        return messages

    def _add(self, job: Job[Any]) -> None:
        work = job.work
        changes = work.due() if isinstance(work, Changes) else (work,)
        try:
            # All of them first: of a job that fails nothing must be done.
            written = [self._written(change) for change in changes]
        except (MyError, KeyError) as error:
            job.error = error
            return
        job.answer = [1] * len(changes) if isinstance(work, Changes) else 1
        for number, (change, (statement, joining, text)) in enumerate(zip(changes, written, strict=True)):
            if joining is not None:
                self._join(statement, joining, text)
            elif isinstance(change, Insertion):
                self._groups.append(_Group(statement, None, [text], told=_tell_id(job)), statement.tables)
            else:
                place = number if isinstance(work, Changes) else None
                group = _Group(statement, None, [text], told=_tell_count(job, place, statement))
                self._groups.append(group, statement.tables)

    def _written(self, change: Any) -> tuple[MyStatement, Joining | None, bytes]:
        statement = self._statements(change.statement)
        # Of several rows in one statement, only the first one's id is told.
        joining = statement.joining if isinstance(change, Change) else None
        text = statement.text(change.values) if joining is None else statement.row(change.values)
        if len(text) + 1024 > self._longest:
            raise MyError("longer than max_allowed_packet allows", TOO_LONG)
        return statement, joining, text

    def _join(self, statement: MyStatement, joining: Joining, row: bytes) -> None:
        found = self._groups.last(statement.tables)
        if found is None or found.joining is not joining or found.size + len(row) > self._most:
            found = _Group(statement, joining)
            self._groups.append(found, statement.tables)
        found.pieces.append(row)
        found.size += len(row) + 1


def _tell_id(job: Job[Any]) -> Told:
    def tell(cursor: Any) -> None:
        job.answer = cursor.lastrowid

    return tell


def _tell_count(job: Job[Any], place: int | None, statement: MyStatement) -> Told:
    def tell(cursor: Any) -> None:
        count = statement.count(cursor.rowcount)
        if place is None:
            job.answer = count
        else:
            job.answer[place] = count

    return tell
