"""A PostgreSQL database that is copied into: all in one transaction, and rows by COPY."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import psycopg2
from sqlalchemy import Table

from ..postgres import PgSchema, parameters
from ..sql.copying import as_store_error
from ..sql.database import Row, Rows
from ..sql.server import SqlServer
from .connection import PgError

_failing = partial(as_store_error, errors=(psycopg2.Error, UnicodeError), explain=PgError)


class PgTarget:
    """See `federix.storage.sql.copying.Target`. Raises `StoreError` where there is no connection."""

    def __init__(self, server: SqlServer) -> None:
        told = parameters(server)
        with _failing(server.name):
            self._connection = psycopg2.connect(**told, connect_timeout=max(2, round(server.connect_timeout)))
        self._connection.autocommit = True  # the transaction begins with `alone`
        self.schema = _Schema(self._connection, server.name, told)

    def insert(self, table: Table, rows: Sequence[Row]) -> None:
        names = ", ".join(f'"{column.name}"' for column in table.columns)
        lines = io.StringIO("".join("\t".join(map(_written, row)) + "\n" for row in rows))
        with _failing(table.name), self._connection.cursor() as cursor:
            cursor.copy_expert(f"COPY {table.name} ({names}) FROM STDIN", lines)

    def begin_ids(self, table: Table, past: int) -> None:
        (column,) = table.primary_key
        sequence = f"pg_get_serial_sequence('{table.name}', '{column.name}')"
        self.schema.execute(f"SELECT setval({sequence}, {max(past, 1)}, {'true' if past else 'false'})")

    def close(self) -> None:
        self._connection.close()


class _Schema(PgSchema):
    def execute(self, sql: str) -> Rows:
        with _failing(self.name):
            return super().execute(sql)


#: What stands for itself in no line of COPY.
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _written(value: Any) -> str:
    """A value as COPY reads it."""
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    if isinstance(value, bytes):
        return f"\\\\x{value.hex()}"
    return "\\N" if value is None else repr(value)
