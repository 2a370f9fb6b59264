"""Statements as MariaDB gets them: bytes with their values in them, and rows for one table joined into one INSERT."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Insert, LargeBinary
from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql

from ..sql.database import Row, Rows
from ..sql.statement import Compiler, Statement, Upsert, Value
from .connection import MyError

_ONE_ROW: Final = re.compile(r"(INSERT INTO .*? VALUES )\(%s(?:, %s)*\)( ON DUPLICATE KEY UPDATE .*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Joining:
    """How rows are joined into one INSERT: *head*, rows, *tail*."""

    head: bytes
    tail: bytes


@dataclass(frozen=True, slots=True, eq=False)
class MyStatement:
    parts: Sequence[bytes]
    """What stands around the values."""
    names: Sequence[str]
    defaults: Mapping[str, Value]
    tables: frozenset[str] | None
    """The tables it touches; ``None`` if that is not known."""
    replaces: bool
    """Whether it puts a row in the place of another: MariaDB counts that as two."""
    joining: Joining | None
    texts: Sequence[int]
    """The places of the columns that are texts, and are kept as bytes."""

    def text(self, values: Mapping[str, Value]) -> bytes:
        """The statement with its values; raises ``KeyError`` for a missing one, `MyError` for one that cannot be."""
        if self.defaults:
            values = {**self.defaults, **values}
        pieces = [self.parts[0]]
        for name, part in zip(self.names, self.parts[1:], strict=True):
            pieces += (literal(values[name]), part)
        return b"".join(pieces)

    def row(self, values: Mapping[str, Value]) -> bytes:
        """The row that is inserted, in brackets; for those that can be joined."""
        return b"(" + b",".join([literal(values[name]) for name in self.names]) + b")"

    def count(self, rowcount: int) -> int:
        """How many rows were written, when MariaDB says *rowcount*."""
        return 1 if self.replaces else rowcount

    def decoded(self, rows: Sequence[Row]) -> Rows:
        """*rows* with their texts as such."""
        return [self._decoded(row) for row in rows] if self.texts else list(rows)

    def _decoded(self, row: Row) -> Row:
        found = list(row)
        for place in self.texts:
            if isinstance(found[place], bytes):
                found[place] = found[place].decode()
        return tuple(found)


def literal(value: Value) -> bytes:
    """*value* as it stands in a statement, where ``sql_mode`` is what `connection.py` sets and the charset utf8mb4."""
    match value:
        case str():
            try:
                return b"'" + _escaped(value.encode()) + b"'"
            except UnicodeEncodeError as error:
                raise MyError("a text cannot be written as UTF-8") from error
        case bytes():
            return b"_binary'" + _escaped(value) + b"'"
        case int():
            return b"%d" % value
        case float():
            if not math.isfinite(value):
                raise MyError("a number is not finite")
            # With an exponent it is a double, without one a decimal.
            written = repr(value)
            return (written if "e" in written else f"{written}e0").encode()
        case None:
            return b"NULL"


def _escaped(value: bytes) -> bytes:
    # No byte of a character beyond ASCII is one of these, in UTF-8.
    return value.replace(b"\\", b"\\\\").replace(b"'", b"\\'").replace(b"\0", b"\\0")


class MyStatements:
    """The statements of this dialect, each prepared once; may be asked from any thread."""

    def __init__(self) -> None:
        self._compiler = Compiler(MySQLDialect_pymysql())
        self._known: dict[Statement, MyStatement] = {}

    def __call__(self, statement: Statement) -> MyStatement:
        known = self._known.get(statement)
        if known is None:
            known = self._known[statement] = self._prepared(statement)
        return known

    def _prepared(self, statement: Statement) -> MyStatement:
        compiled = self._compiler(statement)
        clause: Any = statement.clause
        replaces = isinstance(clause, Upsert)
        columns: Sequence[Any] = getattr(clause, "selected_columns", ())
        return MyStatement(
            [part.replace("%%", "%").encode() for part in compiled.sql.split("%s")],
            compiled.names,
            compiled.defaults,
            statement.tables,
            replaces,
            None if compiled.defaults else _joining(compiled.sql, clause),
            [place for place, column in enumerate(columns) if _is_text(column)],
        )


def _is_text(column: Any) -> bool:
    return column.type.python_type is str and not isinstance(column.type, LargeBinary)


def _joining(sql: str, clause: object) -> Joining | None:
    found = _ONE_ROW.fullmatch(sql) if isinstance(clause, Upsert | Insert) else None
    if found is None or "%s" in (found[2] or ""):
        return None
    head, tail = (part.replace("%%", "%").encode() for part in (found[1], found[2] or ""))
    return Joining(head, tail)
