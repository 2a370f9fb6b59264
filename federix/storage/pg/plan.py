"""Which statements of many jobs go to the database in one piece, and how their rows are joined.

Jobs that are statements alone, without code between them, need not be asked one after the other. Rows for one table
become one INSERT, and statements whose counts are known beforehand become one message. What touches the same table
keeps its order; what touches different ones does not care.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ..lane import Job
from ..sql.database import Change, Changes, Insertion
from ..sql.plain import InOrder
from ..sql.statement import Statement, Value
from .statements import PgStatement, PgStatements

Asking: TypeAlias = tuple[Job[Any], int | None]
"""A job that is told how many rows a statement changed, or the id of a new one; where it is several, which of them."""


@dataclass(slots=True)
class _Group:
    """Rows that make one statement, or a statement that stands alone."""

    statement: PgStatement
    ids: bool
    alone: bytes | None
    key: Sequence[str]
    """The columns by which a row replaces another, if any."""
    rows: dict[Any, Mapping[str, Value]] = field(default_factory=dict)
    """The values of each, by those of the key, or else by their number."""
    asking: list[Asking] = field(default_factory=list)

    @property
    def answers(self) -> bool:
        """Whether the database's answer is needed: how many rows, or which ids."""
        return self.ids or self.alone is not None

    def sql(self) -> bytes:
        if self.alone is not None:
            return self.alone
        joining = self.statement.joining
        assert joining is not None
        returning = self.statement.returning if self.ids else b""
        rows = b",".join([self.statement.row(values) for values in self.rows.values()])
        return joining.head + rows + joining.tail + returning

    def answer(self, cursor: Any) -> None:
        if not self.ids:
            for asking in self.asking:
                _tell(asking, cursor.rowcount)
        else:
            # Ids are given to the rows in their order, whichever order they are told in.
            for asking, (id_,) in zip(self.asking, sorted(cursor.fetchall()), strict=True):
                _tell(asking, id_)


@dataclass(frozen=True, slots=True)
class Round:
    """What is sent in one piece; at most the last statement in it has an answer that somebody needs."""

    sql: bytes
    answer: Callable[[Any], None] | None


class Plan:
    """How *jobs*, all of plain work, are done. Where one of them cannot be written down, `PgError` or ``KeyError`` is
    raised, also by `rounds`: which one that is shows when each is done by itself."""

    def __init__(self, jobs: list[Job[Any]], statements: PgStatements) -> None:
        self._statements = statements
        self._groups: InOrder[_Group] = InOrder()
        #: By their statements, those that are the last on their tables: most rows join one of them.
        self._growing: dict[Statement, _Group] = {}
        for job in jobs:
            self._add(job)

    def rounds(self) -> list[Round]:
        rounds: list[Round] = []
        texts: list[bytes] = []
        for group in self._groups.all:
            texts.append(group.sql())
            if group.answers:
                rounds.append(Round(b";".join(texts), group.answer))
                texts = []
        if texts:
            rounds.append(Round(b";".join(texts), None))
        return rounds

    def _add(self, job: Job[Any]) -> None:
        work = job.work
        if isinstance(work, Changes):
            changes = work.due()
            job.answer = [1] * len(changes)
            for number, change in enumerate(changes):
                self._join(change, job, number)
        else:
            job.answer = 1
            self._join(work, job, None)

    def _join(self, change: Any, job: Job[Any], number: int | None) -> None:
        values = change.values
        group = self._growing.get(change.statement)
        if group is None or type(change) is not Change:
            group = self._group(change, job, number)
            if group is None:
                return
        key = group.key
        group.rows[tuple([values[name] for name in key]) if key else len(group.rows)] = values

    def _group(self, change: Any, job: Job[Any], number: int | None) -> _Group | None:
        """The one that a row joins; nothing where it is none, and stands alone."""
        statement = self._statements(change.statement)
        ids = isinstance(change, Insertion)
        joining = statement.joining
        found = self._groups.last(statement.tables) if joining is not None else None
        if found is None or found.statement is not statement or found.ids is not ids:
            alone = statement.text(change.values, returning=ids) if joining is None else None
            found = _Group(statement, ids, alone, () if joining is None else joining.key)
            self._groups.append(found, statement.tables)
            self._growing.clear()
        if found.answers:
            found.asking.append((job, number))
        else:
            self._growing[change.statement] = found
        return None if joining is None else found


def _tell(asking: Asking, number: int) -> None:
    job, index = asking
    if index is None:
        job.answer = number
    else:
        job.answer[index] = number
