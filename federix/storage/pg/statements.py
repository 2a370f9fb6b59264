"""Statements as PostgreSQL gets them: text with its values in it, and rows for one table joined into one INSERT."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Insert, Table
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2

from ..sql.statement import Compiler, Statement, Upsert, Value
from .connection import Error, PgError

_ONE_ROW: Final = re.compile(r"(INSERT INTO .*? VALUES )(\((?:%\(\w+\)s(?:, )?)+\))( ON CONFLICT .*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Joining:
    """How rows are joined into one INSERT: *head*, rows, *tail*; where a key comes twice the later row replaces."""

    head: bytes
    row: str
    tail: bytes
    key: tuple[str, ...]
    """The columns by which a row replaces another, if any."""


@dataclass(frozen=True, slots=True, eq=False)
class PgStatement:
    name: str
    sql: str
    returning: str
    """The same with the id of the new row as its answer, where that is asked for."""
    defaults: Mapping[str, Value]
    tables: frozenset[str] | None
    """The tables it touches; ``None`` if that is not known."""
    joining: Joining | None

    def text(self, cursor: Any, values: Mapping[str, Value], *, returning: bool = False) -> bytes:
        """The statement with its values; raises ``KeyError`` for a missing one, `PgError` for one that cannot be."""
        if self.defaults:
            values = {**self.defaults, **values}
        return mogrified(cursor, self.returning if returning else self.sql, values)


def mogrified(cursor: Any, text: str, values: Mapping[str, Value]) -> bytes:
    """*text* with *values* in it, quoted."""
    try:
        written: bytes = cursor.mogrify(text, values)
    except (ValueError, Error) as error:
        # A NUL in a text, for one, which PostgreSQL cannot hold.
        raise PgError(error) from error
    return written


class PgStatements:
    """The statements of this dialect, each prepared once."""

    def __init__(self) -> None:
        self._compiler = Compiler(PGDialect_psycopg2())  # type: ignore[no-untyped-call]
        self._known: dict[Statement, PgStatement] = {}

    def __call__(self, statement: Statement) -> PgStatement:
        known = self._known.get(statement)
        if known is None:
            known = self._known[statement] = self._prepared(statement)
        return known

    def _prepared(self, statement: Statement) -> PgStatement:
        compiled = self._compiler(statement)
        clause: Any = statement.clause
        table = clause.table if isinstance(clause, Upsert | Insert) else None
        assert table is None or isinstance(table, Table)
        # Among joined rows the later one replaces the earlier.
        keeps = isinstance(clause, Upsert) and clause.keeps
        # For a lone row SQLAlchemy asks for its key, whether anybody wants it or not.
        sql = compiled.sql.partition(" RETURNING ")[0] if table is not None else compiled.sql
        return PgStatement(
            statement.name,
            sql,
            sql if table is None else f"{sql} RETURNING {_id_of(table)}",
            compiled.defaults,
            statement.tables,
            None if table is None or keeps else _joining(sql, table, isinstance(clause, Upsert), compiled.defaults),
        )


def _id_of(table: Table) -> str:
    column = table.autoincrement_column
    return "NULL" if column is None else column.name


def _joining(sql: str, table: Table, replaces: bool, defaults: Mapping[str, Value]) -> Joining | None:
    found = _ONE_ROW.fullmatch(sql)
    if found is None or defaults or bool(found[3]) != replaces:
        return None
    key = tuple(column.name for column in table.primary_key) if replaces else ()
    head, tail = (part.replace("%%", "%").encode() for part in (found[1], found[3] or ""))
    return Joining(head, found[2], tail, key)
