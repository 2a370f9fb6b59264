"""Is the schema in a database the one this program knows? If not, make it so.

The look costs two queries. Alembic, which takes a second and 45 MiB to import, is imported only when an older database
is to be brought up to date. A new database needs no steps: it is made as it is today.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import URL, Dialect
from sqlalchemy.schema import CreateIndex, CreateTable

from ..storage import StoreError
from .database import Rows
from .schema import VERSION, metadata

MIGRATIONS = Path(__file__).parent.parent / "migrations"

SCHEMA_LOCK = 0x466564_65726978
"""The number of the lock that whoever changes the schema of a database server holds."""

MYSQL_LOCK = "LEFT(CONCAT('federix ', DATABASE()), 64)"
"""The name of that lock in MariaDB, as an expression."""

UNFINISHED = "unfinished copy"
"""Stands in place of the version of a database that another is being copied into (`copying.py`)."""

VERSION_TABLE = "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"


class Schema(Protocol):
    """A database that is to be brought up to date, over a connection that blocks."""

    @property
    def name(self) -> str:
        """What the operator calls it."""
        ...

    @property
    def url(self) -> URL:
        """Where Alembic finds it."""
        ...

    @property
    def creator(self) -> Callable[[], Any] | None:
        """Makes Alembic's connection, where *url* does not say all of it."""
        ...

    @property
    def dialect(self) -> Dialect: ...

    def execute(self, sql: str) -> Rows: ...

    def tables(self) -> set[str]:
        """The names of its tables."""
        ...

    def alone(self) -> AbstractContextManager[None]:
        """A transaction while which nobody else changes the schema; where that is impossible, at least a lock."""
        ...


class SchemaOutdated(StoreError):
    """The schema is not there, or older than this program, and is not to be brought up to date without being asked."""


def bring_up_to_date(schema: Schema, *, update: bool = True) -> bool:
    """Leave the database with the schema of :data:`VERSION`; true if it was not there. Nothing is changed if it fails.

    Raises :class:`StoreError` if the database is of a newer version, or not ours, and :class:`SchemaOutdated` where
    something is to be done, but *update* is false.
    """
    tables = schema.tables()
    version = _stored_version(schema, tables)
    if version == VERSION:
        return False
    if not update:
        _check(schema, tables)
        there = "has no tables yet" if not tables else f"is of version {version or 'none'}, this one needs {VERSION}"
        raise SchemaOutdated(f"the database {schema.name} {there}: run 'federixctl update_sql_schema'")
    # From here on nobody else may write: two servers that start at once must not both create it.
    with schema.alone():
        is_old = not _is_done(schema)
    if is_old:
        _upgrade(schema)
    return True


def _is_done(schema: Schema) -> bool:
    """Create the schema in an empty database; false if there is an older one."""
    tables = schema.tables()
    if not tables:
        for statement in creation(schema.dialect):
            schema.execute(statement)
        schema.execute(f"INSERT INTO alembic_version VALUES ('{VERSION}')")
        return True
    return _check(schema, tables) == VERSION


def _check(schema: Schema, tables: set[str]) -> str | None:
    """The version of the schema that is there; raises :class:`StoreError` if it is none that this program can use."""
    if tables and "alembic_version" not in tables:
        raise StoreError(f"the database {schema.name} is not one of Federix")
    version = _stored_version(schema, tables)
    if version == UNFINISHED:
        raise StoreError(f"the database {schema.name} is an unfinished copy: run 'federixctl convert_to_sql' again")
    if version is not None and (not version.isdecimal() or int(version) > int(VERSION)):
        raise StoreError(
            f"the database {schema.name} was written by a newer Federix: its version is {version},"
            f" this one knows {VERSION}"
        )
    return version


def _stored_version(schema: Schema, tables: set[str]) -> str | None:
    if "alembic_version" not in tables:
        return None
    rows = schema.execute("SELECT version_num FROM alembic_version")
    return str(rows[0][0]) if rows else None


@cache
def creation(dialect: Dialect) -> tuple[str, ...]:
    """The statements that make an empty database one of today's version, but for the version itself."""
    tables = [str(CreateTable(table).compile(dialect=dialect)) for table in metadata.sorted_tables]
    indexes = [
        str(CreateIndex(index).compile(dialect=dialect))
        for table in metadata.sorted_tables
        for index in sorted(table.indexes, key=lambda index: str(index.name))
    ]
    return (*tables, *indexes, VERSION_TABLE)


def _upgrade(schema: Schema) -> None:
    """Run the steps that the database has not seen."""
    from ..migrations.upgrade import MigrationError, upgrade

    try:
        upgrade(schema.url, schema.creator)
    except MigrationError as error:
        raise StoreError(f"the database {schema.name} cannot be brought up to date: {error}") from error
