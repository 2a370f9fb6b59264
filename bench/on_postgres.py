"""Servers that keep archives in a PostgreSQL of their own; what that uses is counted with them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import psycopg2

from federix.storage.postgres import PgSchema
from federix.storage.sql.schema import metadata
from federix.storage.sql.versions import bring_up_to_date

from .databases.postgres import Postgres
from .databases.server import PASSWORD, USER
from .on_database import OnDatabase
from .ours import Federix
from .peers import Ejabberd
from .process import LOOPBACK
from .server import BenchServer

#: As durable as it is unless it is told otherwise.
_SETTINGS: Final = {"fsync": "on"}
#: Where Debian has Erlang's packages.
_ERLANG: Final = Path("/usr/lib/erlang/lib")
#: The tables of ejabberd, as its package has them.
_EJABBERD_TABLES: Final = Path("/usr/share/ejabberd/sql/pg.sql")


class OnPostgres(OnDatabase[Postgres]):
    """A server with a PostgreSQL beside it."""

    kind = Postgres
    sql_type = "pgsql"
    #: Whether the database lies in the server's own folder, which its user must be able to enter then.
    database_inside = False

    def make_server(self) -> Postgres:
        return Postgres(settings=_SETTINGS, within=self.folder if self.database_inside else None)

    @property
    def parameters(self) -> dict[str, Any]:
        """How the database is reached, for libpq."""
        where = {"host": LOOPBACK, "port": self.server.port, "dbname": self._database}
        return where | {"user": USER, "password": PASSWORD}


class FederixOnPostgres(OnPostgres, Federix):
    """This tree; the accounts are written to SQLite and copied."""

    archives = True

    def _write(self) -> None:
        self.start_database()
        super()._write()
        parameters = self.parameters
        with closing(psycopg2.connect(**parameters)) as connection:
            connection.autocommit = True
            bring_up_to_date(PgSchema(connection, self.name, parameters))
            _copy(self.database, connection)
        self.database.unlink()

    def _settings(self) -> dict[str, object]:
        return super()._settings() | self.sql_settings()


class EjabberdOnPostgres(OnPostgres, Ejabberd):
    """Accounts in Mnesia, as ever; the archive in PostgreSQL."""

    @classmethod
    def missing(cls) -> str | None:
        problem = super().missing()
        if problem is None and not list(_ERLANG.glob("p1_pgsql-*")):
            return "it needs erlang-p1-pgsql: sh .ci/debian-packages erlang-p1-pgsql"
        return problem

    def _write(self) -> None:
        self.start_database()
        super()._write()
        with closing(psycopg2.connect(**self.parameters)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(_EJABBERD_TABLES.read_text())

    def _settings(self) -> dict[str, object]:
        settings = super()._settings()
        modules = settings["modules"]
        assert isinstance(modules, dict)
        archive = {"mod_mam": {"default": "always", "db_type": "sql"}}
        return settings | self.sql_settings() | {"modules": modules | archive}


ON_POSTGRES: Final[Mapping[str, type[BenchServer]]] = {
    kind.name: kind for kind in (FederixOnPostgres, EjabberdOnPostgres)
}


def _copy(database: Any, connection: Any) -> None:
    """Everything there is in the SQLite file *database*."""
    with closing(sqlite3.connect(database)) as source, connection.cursor() as cursor:
        for table in metadata.sorted_tables:
            columns = [column.name for column in table.columns]
            places = ", ".join(["%s"] * len(columns))
            names = ", ".join(f'"{name}"' for name in columns)
            rows = source.execute(f"SELECT {names} FROM {table.name}").fetchall()
            cursor.executemany(f"INSERT INTO {table.name} ({names}) VALUES ({places})", rows)
