"""Is the schema in a database the one this program knows? If not, make it so.

The look costs two queries. Alembic, which takes a second and 45 MiB to import, is imported only when an older database
is to be brought up to date. A new database needs no steps: it is made as it is today.
"""

from __future__ import annotations

import sqlite3
from functools import cache
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from ..storage import StoreError
from .schema import VERSION, metadata

MIGRATIONS = Path(__file__).parent.parent / "migrations"

_VERSION_TABLE = "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"


def bring_up_to_date(connection: sqlite3.Connection, path: str) -> None:
    """Leave the database with the schema of :data:`VERSION`; nothing is changed if that fails.

    Raises :class:`StoreError` if the database is of a newer version, or not ours.
    """
    if _stored_version(connection) == VERSION:
        return
    # From here on nobody else may write: two servers that start at once must not both create it.
    connection.execute("BEGIN IMMEDIATE")
    try:
        is_old = not _is_done(connection, path)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    if is_old:
        _upgrade(path)


def _is_done(connection: sqlite3.Connection, path: str) -> bool:
    """Create the schema in an empty database; false if there is an older one."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        for statement in creation():
            connection.execute(statement)
        connection.execute("INSERT INTO alembic_version VALUES (?)", (VERSION,))
        return True
    if "alembic_version" not in tables:
        raise StoreError(f"the database {path} is not one of Federix")
    version = _stored_version(connection)
    if version is not None and (not version.isdecimal() or int(version) > int(VERSION)):
        raise StoreError(
            f"the database {path} was written by a newer Federix: its version is {version}, this one knows {VERSION}"
        )
    return version == VERSION


def _stored_version(connection: sqlite3.Connection) -> str | None:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchall():
        return None
    rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    return str(rows[0][0]) if rows else None


@cache
def creation() -> tuple[str, ...]:
    """The statements that make an empty database one of today's version, but for the version itself."""
    dialect = SQLiteDialect_pysqlite()
    tables = [str(CreateTable(table).compile(dialect=dialect)) for table in metadata.sorted_tables]
    indexes = [
        str(CreateIndex(index).compile(dialect=dialect))
        for table in metadata.sorted_tables
        for index in sorted(table.indexes, key=lambda index: str(index.name))
    ]
    return (*tables, *indexes, _VERSION_TABLE)


def _upgrade(path: str) -> None:
    """Run the steps that the database has not seen."""
    from ..migrations.upgrade import MigrationError, upgrade

    try:
        upgrade(URL.create("sqlite", database=path))
    except MigrationError as error:
        raise StoreError(f"the database {path} cannot be brought up to date: {error}") from error
