"""Real database servers for tests, which are skipped where there are none."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeVar
from unittest import SkipTest

import pytest

from bench.databases.mariadb import MariaDb
from bench.databases.postgres import Postgres
from bench.databases.server import PASSWORD, USER, Missing

from .requirements import missing

T = TypeVar("T")


def required(make: Callable[[], T]) -> T:
    """What *make* gives; skips the test where the server is not installed; where CI=true, fails it."""
    try:
        return make()
    except Missing as reason:
        try:
            missing(str(reason))
        except pytest.skip.Exception as skipped:
            # Trial knows its own word for it alone.
            raise SkipTest(str(skipped)) from None


@cache
def shared_postgres() -> Postgres:
    """One for all tests of this process that leave it running."""
    return required(Postgres)


@cache
def shared_postgres_database() -> str:
    """One on the shared server, for those that `empty` it first."""
    return shared_postgres().database()


@cache
def shared_mariadb() -> MariaDb:
    """One for all tests of this process that leave it running."""
    return required(MariaDb)


@cache
def shared_mariadb_database() -> str:
    """One on the shared server, for those that `empty` it first."""
    return shared_mariadb().database()


def empty_database(sql_type: str) -> tuple[str, dict[str, object]]:
    """The name of an empty database, *sql_type* being ``pgsql`` or ``mysql``, and Federix's options for it."""
    server = _shared(sql_type)
    database = shared_postgres_database() if sql_type == "pgsql" else shared_mariadb_database()
    server.empty(database)
    return database, {
        "sql_type": sql_type,
        "sql_server": "127.0.0.1",
        "sql_port": server.port,
        "sql_database": database,
        "sql_username": USER,
        "sql_password": PASSWORD,
    }


def texts_of(sql_type: str, database: str, statement: str) -> list[str]:
    """The texts that the one who may do everything finds there, one in a row."""
    found = [row[0] for row in _shared(sql_type).admin(statement, database)]
    # MariaDB keeps names as bytes, so that no two are taken for one.
    return [text.decode() if isinstance(text, bytes) else str(text) for text in found]


def _shared(sql_type: str) -> Postgres | MariaDb:
    return shared_postgres() if sql_type == "pgsql" else shared_mariadb()
