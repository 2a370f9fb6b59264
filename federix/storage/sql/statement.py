"""SQL written once for all dialects, compiled once for each.

Compiling costs some 70 µs and SQLAlchemy's own cache as much again for every look-up, so compiled statements are found
by name, in 0.2 µs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ClauseElement, Dialect, Insert, Table, bindparam, func
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.sql import visitors

Value = str | int | float | bytes | None

#: The row of an INSERT that has nothing behind it.
_ROW: Final = re.compile(r" VALUES (\(\?(?:, \?)*\))$")


@dataclass(frozen=True, slots=True)
class Upsert:
    """Insert a row, or overwrite all that is not its primary key; each dialect says it in its own words.

    *keeps*: a row that is there stays as it is, also one that another server is writing at that moment. The columns
    *once* are never overwritten, because they go with the key: a database writes their indexes anew with them. With
    *grows*, of what is there and what is new the greater value stays, whoever is first.
    """

    table: Table
    keeps: bool = False
    once: tuple[str, ...] = ()
    grows: bool = False

    def written_for(self, dialect: str) -> ClauseElement:
        values: dict[str, Any] = {column.name: bindparam(column.name) for column in self.table.columns}
        others = [
            column.name for column in self.table.columns if not column.primary_key and column.name not in self.once
        ]
        if dialect == "mysql":
            replacing = mysql.insert(self.table).values(values)
            new = self.table.c if self.keeps else replacing.inserted
            return replacing.on_duplicate_key_update({name: self._put(new[name], func.greatest) for name in others})
        insert = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[dialect]
        upsert: Any = insert(self.table).values(values)
        greatest = func.max if dialect == "sqlite" else func.greatest
        # Not "do nothing": that would not show a row to this transaction which another one has just written.
        new = self.table.c if self.keeps else upsert.excluded
        clause: ClauseElement = upsert.on_conflict_do_update(
            index_elements=list(self.table.primary_key), set_={name: self._put(new[name], greatest) for name in others}
        )
        return clause

    def _put(self, new: Any, greatest: Callable[[Any, Any], Any]) -> Any:
        """What a column has afterwards."""
        return greatest(new, self.table.c[new.name]) if self.grows else new


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """A statement with a name of its own. Its parameters are given by name when it is run."""

    name: str
    clause: ClauseElement | Upsert
    upsert: Statement | None = None
    """Of one that inserts a row whose key nobody else gives to another: that which overwrites it with the same."""

    @property
    def repeated(self) -> Statement | None:
        """What comes to the same where this may have been done already."""
        return self if isinstance(self.clause, Upsert) else self.upsert

    @property
    def tables(self) -> frozenset[str] | None:
        """The tables it touches; ``None`` if that is not known."""
        if isinstance(self.clause, Upsert):
            return frozenset({self.clause.table.name})
        named = (each for each in visitors.iterate(self.clause) if isinstance(each, Table))
        return frozenset(table.name for table in named) or None


@dataclass(frozen=True, slots=True)
class Compiled:
    statement: Statement
    sql: str
    names: Sequence[str]
    """The parameters in the order of the question marks."""
    defaults: Mapping[str, Value]
    """Parameters that stand in the statement itself, such as constants."""
    row: str
    """What is added for each further row that is to be inserted with the first; nothing where that is not possible."""

    def parameters(self, values: Mapping[str, Value]) -> tuple[Value, ...]:
        """*values* in order; raises ``KeyError`` for a missing one."""
        if self.defaults:
            values = {**self.defaults, **values}
        return tuple([values[name] for name in self.names])


class Compiler:
    """The compiled statements of one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._known: dict[str, Compiled] = {}

    def __call__(self, statement: Statement) -> Compiled:
        """May be called from any thread; at worst two compile the same statement."""
        known = self._known.get(statement.name)
        if known is None:
            known = self._known[statement.name] = self._compile(statement)
        if known.statement is not statement:
            raise ValueError(f"two statements are called {statement.name}")
        return known

    def _compile(self, statement: Statement) -> Compiled:
        clause = statement.clause
        replaces = isinstance(clause, Upsert)
        if isinstance(clause, Upsert):
            clause = clause.written_for(self._dialect.name)
        compiled: Any = clause.compile(dialect=self._dialect)
        defaults = {name: value for name, value in compiled.params.items() if value is not None}
        row = _ROW.search(compiled.string) if isinstance(clause, Insert) and not replaces else None
        names = tuple(compiled.positiontup or ())
        return Compiled(statement, compiled.string, names, defaults, f", {row[1]}" if row else "")
