"""Federix on a PostgreSQL of its own, which can be restarted at any moment."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, Final

import psycopg2
import pytest

from bench.process import LOOPBACK
from federix.storage.postgres import PgSchema
from federix.storage.sql.schema import metadata
from federix.storage.sql.versions import bring_up_to_date
from tests.peers.postgres import PASSWORD, USER, Postgres

from .subjects import Federix

#: As durable as it is unless it is told otherwise.
_SETTINGS: Final = {"fsync": "on"}


class FederixOnPostgres(Federix):
    """This tree; the accounts are written to SQLite and copied."""

    name = "federix-postgresql"
    _postgres: Postgres | None = None
    _database = ""

    @classmethod
    def missing(cls) -> str | None:
        try:
            Postgres.require()
        except pytest.skip.Exception as reason:
            return str(reason)
        return super().missing()

    @classmethod
    def storage(cls) -> str:
        return "PostgreSQL"

    def _write(self) -> None:
        self._postgres = Postgres(settings=_SETTINGS, within=self.folder)
        self._database = self._postgres.database()
        super()._write()
        parameters = self._parameters()
        with closing(psycopg2.connect(**parameters)) as connection:
            connection.autocommit = True
            bring_up_to_date(PgSchema(connection, self.name, parameters))
            _copy(self.database, connection)
        self.database.unlink()

    def _settings(self) -> dict[str, object]:
        assert self._postgres is not None
        return super()._settings() | {
            "sql_type": "pgsql",
            "sql_server": LOOPBACK,
            "sql_port": self._postgres.port,
            "sql_database": self._database,
            "sql_username": USER,
            "sql_password": PASSWORD,
            "sql_start_interval": 1,
        }

    @property
    def restart_database(self) -> Callable[[bool], None]:
        return self._restart

    def _restart(self, immediately: bool) -> None:
        assert self._postgres is not None
        if immediately:
            self._postgres.kill()
        else:
            self._postgres.stop()
        self._postgres.start()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with closing(psycopg2.connect(**self._parameters())) as connection, connection.cursor() as cursor:
            # Reading is possible meanwhile, as it is with SQLite.
            # One lock alone: with several it and a transaction of the server may wait for each other.
            cursor.execute("LOCK TABLE archive IN EXCLUSIVE MODE")
            try:
                yield
            finally:
                connection.rollback()

    def _parameters(self) -> dict[str, Any]:
        assert self._postgres is not None
        where = {"host": LOOPBACK, "port": self._postgres.port, "dbname": self._database}
        return where | {"user": USER, "password": PASSWORD}

    def stop(self) -> None:
        super().stop()
        postgres, self._postgres = self._postgres, None
        if postgres is not None:
            postgres.remove()


def _copy(database: Any, connection: Any) -> None:
    """Everything there is in the SQLite file *database*."""
    with closing(sqlite3.connect(database)) as source, connection.cursor() as cursor:
        for table in metadata.sorted_tables:
            columns = [column.name for column in table.columns]
            places = ", ".join(["%s"] * len(columns))
            names = ", ".join(f'"{name}"' for name in columns)
            rows = source.execute(f"SELECT {names} FROM {table.name}").fetchall()
            cursor.executemany(f"INSERT INTO {table.name} ({names}) VALUES ({places})", rows)
