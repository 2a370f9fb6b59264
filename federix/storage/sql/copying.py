"""A whole SQLite database, copied into an empty one on a database server.

The copy is marked as unfinished until every row is counted: no server starts with it meanwhile, and whoever copies
again begins anew. Rows go in batches, so it takes the same memory whatever their number.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from sqlalchemy import Table
from sqlalchemy.schema import CreateIndex, CreateTable

from ..sqlite import SqliteSchema
from ..storage import StoreError
from .database import Row
from .schema import VERSION, metadata
from .versions import UNFINISHED, VERSION_TABLE, Schema, bring_up_to_date

#: Rows of one batch, and bytes, about.
MOST_ROWS: Final = 1000
MOST_BYTES: Final = 1024 * 1024
#: Bytes that a number or a short text is reckoned to take.
_SMALL: Final = 16

Told: TypeAlias = Callable[[int, int, str], object]
"""Hears how many rows are copied, of how many, and of which table the last ones were."""


class Target(Protocol):
    """The database that is copied into, over a connection that blocks. Its methods raise `StoreError`."""

    @property
    def schema(self) -> Schema: ...

    def insert(self, table: Table, rows: Sequence[Row]) -> None:
        """Put rows into a table: all columns in their order."""
        ...

    def begin_ids(self, table: Table, past: int) -> None:
        """Give new rows ids that are greater than *past*."""
        ...

    def close(self) -> None: ...


@contextmanager
def as_store_error(
    what: str, *, errors: tuple[type[Exception], ...], explain: Callable[[Exception], object]
) -> Iterator[None]:
    """A driver's *errors* about *what* are raised as `StoreError`, in the words that *explain* has for them."""
    try:
        yield
    except errors as error:
        raise StoreError(f"{what}: {explain(error)}") from error


def copy(path: Path, target: Target, told: Told) -> Mapping[str, int]:
    """Copy all that the SQLite file *path* has; how many rows that were, by table. Raises `StoreError`.

    Nobody else may use the file, or the target. The file is brought up to date first.
    """
    try:
        source = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    except sqlite3.Error as error:
        raise StoreError(f"the database {path} cannot be opened: {error}") from error
    try:
        bring_up_to_date(SqliteSchema(source, str(path)))
        with target.schema.alone():
            return _copy(source, target, told)
    except sqlite3.Error as error:
        raise StoreError(f"the database {path} cannot be read: {error}") from error
    finally:
        source.close()


def _copy(source: sqlite3.Connection, target: Target, told: Told) -> Mapping[str, int]:
    schema, tables = target.schema, metadata.sorted_tables
    _prepare(schema)
    source.execute("BEGIN")  # one moment for all tables
    counts = {table.name: int(source.execute(f"SELECT COUNT(*) FROM {table.name}").fetchone()[0]) for table in tables}
    total, done = sum(counts.values()), 0
    told(0, total, "")
    for table in tables:
        for rows in _batches(source, table):
            target.insert(table, rows)
            done += len(rows)
            told(done, total, table.name)
    for table in tables:
        # When all is there, an index is made in a fraction of the time that it takes row by row.
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            schema.execute(str(CreateIndex(index).compile(dialect=schema.dialect)))
        if table.dialect_options["sqlite"]["autoincrement"]:
            target.begin_ids(table, _last_id(source, table))
    _check(schema, counts)
    schema.execute(f"UPDATE alembic_version SET version_num = '{VERSION}'")
    return counts


def _prepare(schema: Schema) -> None:
    """Make the tables anew, and mark them as unfinished. Raises `StoreError` where there is something already."""
    there = schema.tables()
    ours = [table.name for table in metadata.sorted_tables if table.name in there]
    if "alembic_version" in there:
        version = [str(row[0]) for row in schema.execute("SELECT version_num FROM alembic_version")]
        if version != [UNFINISHED] and any(schema.execute(f"SELECT 1 FROM {name} LIMIT 1") for name in ours):
            raise StoreError(
                f"the database {schema.name} is not empty: it is copied into an empty one alone. A server that has"
                " started with it has written there already"
            )
        schema.execute("DELETE FROM alembic_version")
    elif there:
        raise StoreError(f"the database {schema.name} is not one of Federix, and not empty")
    else:
        schema.execute(VERSION_TABLE)
    # First of all, so that who comes after us knows what it is, wherever we end.
    schema.execute(f"INSERT INTO alembic_version VALUES ('{UNFINISHED}')")
    for name in ours:
        schema.execute(f"DROP TABLE {name}")
    for table in metadata.sorted_tables:
        schema.execute(str(CreateTable(table).compile(dialect=schema.dialect)))


def _batches(source: sqlite3.Connection, table: Table) -> Iterator[Sequence[Row]]:
    """The rows of a table in the order of its key: some databases keep them so."""
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    order = ", ".join(f'"{column.name}"' for column in table.primary_key)
    rows: list[Row] = []
    size = 0
    for row in source.execute(f"SELECT {names} FROM {table.name} ORDER BY {order}"):
        rows.append(row)
        size += sum(len(value) if isinstance(value, str | bytes) else _SMALL for value in row)
        if len(rows) >= MOST_ROWS or size >= MOST_BYTES:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def _last_id(source: sqlite3.Connection, table: Table) -> int:
    """The greatest id that was ever given there: none is given twice, be its row gone or not."""
    found = source.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table.name,)).fetchone()
    return int(found[0]) if found else 0


def _check(schema: Schema, counts: Mapping[str, int]) -> None:
    for name, count in counts.items():
        ((arrived,),) = schema.execute(f"SELECT COUNT(*) FROM {name}")
        if int(arrived) != count:
            raise StoreError(f"of {count} rows of {name} {arrived} are there: the copy is not whole")
