"""A database on MariaDB or MySQL that is copied into: rows by INSERT, each batch a transaction of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from sqlalchemy import Table

from ..mysql import MySchema
from ..sql.database import Row, Rows
from ..sql.server import SqlServer
from ..storage import StoreError
from .connection import Error, connect, said

#: Seconds that a statement may take: to make an index over many rows is one.
PATIENCE: Final = 24 * 3600.0


class MyTarget:
    """See `federix.storage.sql.copying.Target`. Raises `StoreError` where there is no connection."""

    def __init__(self, server: SqlServer) -> None:
        with _as_store_error(server.name):
            self._connection = connect(replace(server, query_timeout=PATIENCE), writes=True)
        self.schema = _Schema(self._connection, server)

    def insert(self, table: Table, rows: Sequence[Row]) -> None:
        names = ", ".join(f"`{column.name}`" for column in table.columns)
        row = ", ".join(["%s"] * len(table.columns))
        with _as_store_error(table.name), self._connection.cursor() as cursor:
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
        with _as_store_error(self.name):
            return super().execute(sql)


@contextmanager
def _as_store_error(what: str) -> Iterator[None]:
    try:
        yield
    except (Error, OSError) as error:
        raise StoreError(f"{what}: {said(error)}") from error
