"""A database on MariaDB or MySQL that is copied into: rows by INSERT, each batch a transaction of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from sqlalchemy import Table

from ..mysql import MySchema
from ..sql.copying import as_store_error
from ..sql.database import Row, Rows
from ..sql.server import SqlServer
from .connection import Error, connect, said

#: Seconds that a statement may take: to make an index over many rows is one.
PATIENCE: Final = 24 * 3600.0

_failing = partial(as_store_error, errors=(Error, OSError), explain=said)


class MyTarget:
    """See `federix.storage.sql.copying.Target`. Raises `StoreError` where there is no connection."""

    def __init__(self, server: SqlServer) -> None:
        with _failing(server.name):
            self._connection = connect(replace(server, query_timeout=PATIENCE), writes=True)
        self.schema = _Schema(self._connection, server)

    def insert(self, table: Table, rows: Sequence[Row]) -> None:
        names = ", ".join(f"`{column.name}`" for column in table.columns)
        row = ", ".join(["%s"] * len(table.columns))
        with _failing(table.name), self._connection.cursor() as cursor:
            cursor.execute("START TRANSACTION")
            # It joins them, as many as the server takes in one piece.
            cursor.executemany(f"INSERT INTO `{table.name}` ({names}) VALUES ({row})", rows)
            cursor.execute("COMMIT")

    def begin_ids(self, table: Table, past: int) -> None:
        self.schema.execute(f"ALTER TABLE `{table.name}` AUTO_INCREMENT = {past + 1}")

    def close(self) -> None:
        self._connection.close()


class _Schema(MySchema):
    def execute(self, sql: str) -> Rows:
        with _failing(self.name):
            return super().execute(sql)
