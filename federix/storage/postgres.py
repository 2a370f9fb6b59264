"""The back end for PostgreSQL, over txpostgres: nothing here waits in a thread, but for the schema at the start.

How connections are shared, and what happens when the database is away, stands in `sql/served.py` and `sql/pool.py`.
What is written in one transaction takes as few messages as it can (`pg/plan.py`).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, Final

import psycopg2
from sqlalchemy import URL, Dialect
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2

from ..life.executor import Executor
from .lane import Lane
from .pg.connection import PgConnection, PgError
from .pg.runner import Reading, Writing
from .pg.statements import PgStatements
from .sql.database import Rows
from .sql.pool import Slot
from .sql.served import ServedDatabase
from .sql.server import SqlServer
from .sql.storage import SqlStorage
from .sql.versions import SCHEMA_LOCK, bring_up_to_date

_ORPHANS: Final = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
    " AND datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
)


class PostgresStorage(SqlStorage):
    """Keeps everything in the PostgreSQL database that *server* names."""

    def __init__(self, server: SqlServer, executor: Executor, reactor: Any) -> None:
        self.database = PostgresDatabase(server, executor, reactor)
        super().__init__(self.database)


class PostgresDatabase(ServedDatabase[PgConnection]):
    """Transactions over a pool of connections."""

    def __init__(self, server: SqlServer, executor: Executor, reactor: Any) -> None:
        self._executor = executor
        statements = PgStatements()
        super().__init__(server, reactor, Writing(statements), Reading(statements), PgError, psycopg2.Error, 1)

    async def _connect(self, lane: Lane[Slot[PgConnection]], on_lost: Callable[[str], None]) -> PgConnection:
        connection = PgConnection(self._reactor, lambda _, reason: on_lost(reason))
        limit = int(self._server.query_timeout * 1000)
        settings = f"SET statement_timeout = {limit}; SET idle_in_transaction_session_timeout = {limit}"
        await connection.open(await self._parameters(), timeout=self._server.connect_timeout, settings=settings)
        return connection

    def _explain(self, error: Exception) -> str:
        return str(PgError(error))

    async def _bring_up_to_date(self, update: bool) -> bool:
        told = await self._parameters()
        return await self._executor.run(_bring_up_to_date, self._server, told, update)

    async def _have_orphans_end(self) -> bool:
        return await self._executor.run(_have_orphans_end, self._server, await self._parameters())

    async def _parameters(self) -> dict[str, Any]:
        """What libpq is to be told. A name is looked up in a thread: libpq would block until that is done."""
        server = self._server
        told = parameters(server)
        if not server.host.startswith("/") and not _is_address(server.host):
            found = await self._executor.run(socket.getaddrinfo, server.host, server.port, type=socket.SOCK_STREAM)
            addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
            told["host"] = ",".join([server.host] * len(addresses))
            told["hostaddr"] = ",".join(addresses)
        return told


def parameters(server: SqlServer) -> dict[str, Any]:
    """What libpq is to be told; it looks up a name by itself."""
    return {
        "host": server.host,
        "port": server.port,
        "dbname": server.database,
        "user": server.username,
        "password": server.password,
        "application_name": f"federix {server.identity}".rstrip(),
        "client_encoding": "UTF8",
        "gssencmode": "disable",
        **_tls(server),
    }


def _tls(server: SqlServer) -> dict[str, str]:
    tls = server.tls
    if tls is None or server.host.startswith("/"):
        return {"sslmode": "disable"}
    parameters = {"sslmode": "verify-full" if tls.verify else "require"}
    if tls.verify and tls.cafile is not None:
        parameters["sslrootcert"] = tls.cafile
    if tls.certfile is not None:
        parameters.update(sslcert=tls.certfile, sslkey=tls.certfile)
    return parameters


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


# What follows runs in the executor.


@contextmanager
def _connected(server: SqlServer, parameters: Mapping[str, Any]) -> Iterator[Any]:
    """A connection that begins no transaction by itself."""
    connection = psycopg2.connect(**parameters, connect_timeout=max(2, round(server.connect_timeout)))
    try:
        connection.autocommit = True
        yield connection
    finally:
        connection.close()


def _bring_up_to_date(server: SqlServer, parameters: Mapping[str, Any], update: bool) -> bool:
    with _connected(server, parameters) as connection:
        return bring_up_to_date(PgSchema(connection, server.name, parameters), update=update)


def _have_orphans_end(server: SqlServer, parameters: Mapping[str, Any]) -> bool:
    """Those are ended that have our name; whether there were any."""
    with _connected(server, parameters) as connection, connection.cursor() as cursor:
        cursor.execute(_ORPHANS, (parameters["application_name"],))
        return bool(cursor.fetchall())


class PgSchema:
    """The database as it is brought up to date."""

    dialect: Dialect = PGDialect_psycopg2()  # type: ignore[no-untyped-call]
    creator = None

    def __init__(self, connection: Any, name: str, parameters: Mapping[str, Any]) -> None:
        self._connection = connection
        self.name = name
        self.url = URL.create("postgresql+psycopg2", query={key: str(value) for key, value in parameters.items()})

    def execute(self, sql: str) -> Rows:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []

    def tables(self) -> set[str]:
        return {name for (name,) in self.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")}

    @contextmanager
    def alone(self) -> Iterator[None]:
        self.execute(f"BEGIN; SELECT pg_advisory_xact_lock({SCHEMA_LOCK})")
        try:
            yield
        except BaseException:
            self.execute("ROLLBACK")
            raise
        self.execute("COMMIT")
