"""Statements as PostgreSQL gets them: text with its values in it, and rows for one table joined into one INSERT."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Insert, Table
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2

from ..sql.statement import Compiler, Statement, Upsert, Value
from .connection import PgError
from .literals import literal

_ONE_ROW: Final = re.compile(r"(INSERT INTO .*? VALUES )\(%s(?:, %s)*\)( ON CONFLICT .*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Joining:
    """How rows are joined into one INSERT: *head*, rows, *tail*; where a key comes twice the later row replaces."""

    head: bytes
    tail: bytes
    key: tuple[str, ...]
    """The columns by which a row replaces another, if any."""


@dataclass(frozen=True, slots=True, eq=False)
class PgStatement:
    name: str
    parts: Sequence[bytes]
    """What stands around the values."""
    names: Sequence[str]
    returning: bytes
    """What is added where the id of the new row is asked for."""
    defaults: Mapping[str, Value]
    tables: frozenset[str] | None
    """The tables it touches; ``None`` if that is not known."""
    joining: Joining | None

    def text(self, values: Mapping[str, Value], *, returning: bool = False) -> bytes:
        """The statement with its values; raises ``KeyError`` for a missing one, `PgError` for one that cannot be."""
        if self.defaults:
            values = {**self.defaults, **values}
        pieces = [self.parts[0]]
        try:
            for name, part in zip(self.names, self.parts[1:], strict=True):
                pieces += (literal(values[name]), part)
        except ValueError as error:
            raise PgError(error) from error
        if returning:
            pieces.append(self.returning)
        return b"".join(pieces)

    def row(self, values: Mapping[str, Value]) -> bytes:
        """The row that is inserted, in brackets, for those that can be joined; raises as `text` does."""
        try:
            return b"(%b)" % b",".join([literal(values[name]) for name in self.names])
        except ValueError as error:
            raise PgError(error) from error


class PgStatements:
    """The statements of this dialect, each prepared once."""

    def __init__(self) -> None:
        self._compiler = Compiler(PGDialect_psycopg2(paramstyle="format"))  # type: ignore[no-untyped-call]
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
            [part.replace("\0", "%").encode() for part in sql.replace("%%", "\0").split("%s")],
            compiled.names,
            b"" if table is None else f" RETURNING {_id_of(table)}".encode(),
            compiled.defaults,
            statement.tables,
            None
            if table is None or keeps or compiled.defaults
            else _joining(sql, table, replaces=isinstance(clause, Upsert)),
        )


def _id_of(table: Table) -> str:
    column = table.autoincrement_column
    return "NULL" if column is None else column.name


def _joining(sql: str, table: Table, *, replaces: bool) -> Joining | None:
    found = _ONE_ROW.fullmatch(sql)
    if found is None or bool(found[2]) != replaces or "%s" in (found[2] or ""):
        return None
    key = tuple(column.name for column in table.primary_key) if replaces else ()
    head, tail = (part.replace("%%", "%").encode() for part in (found[1], found[2] or ""))
    return Joining(head, tail, key)
