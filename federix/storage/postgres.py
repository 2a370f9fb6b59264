"""The back end for PostgreSQL, over txpostgres: nothing here waits in a thread, but for the schema at the start.

Some connections write and others read. What waits is written in one transaction (`lane.py`), in as few messages as it
takes (`pg/plan.py`). A read whose owner has writes under way waits for them, so everybody sees what they wrote. What
happens when the database is away stands in `pg/pool.py`.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, Final, TypeVar

import psycopg2
from sqlalchemy import URL, Dialect
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ..life.executor import Executor
from .lane import Lane
from .pg.connection import PgConnection, PgError
from .pg.runner import Reading, Writing
from .pg.statements import PgStatements
from .sql.database import Database, Rows, Work
from .sql.outage import Outage, pause
from .sql.pool import Pool, Slot
from .sql.server import SqlServer
from .sql.storage import SqlStorage
from .sql.versions import SCHEMA_LOCK, SchemaOutdated, bring_up_to_date
from .storage import StoreError

T = TypeVar("T")

log = Logger()

#: Of so many connections one writes.
WRITE_SHARE: Final = 3

#: How many jobs may wait for the connections that write, and how many for those that read; past it the database is too
#: slow for its load, and a quick "try later" is better than a queue that only grows.
MOST_WAITING: Final = 20_000

#: How many jobs that write share a transaction.
MOST_TOGETHER: Final = 500

#: Seconds between two looks whether an operator has brought the schema up to date.
LOOK_EVERY: Final = 1.0


class PostgresStorage(SqlStorage):
    """Keeps everything in the PostgreSQL database that *server* names."""

    def __init__(self, server: SqlServer, executor: Executor, reactor: Any) -> None:
        self.database = PostgresDatabase(server, executor, reactor)
        super().__init__(self.database)


class PostgresDatabase(Database):
    """Transactions over a pool of connections."""

    def __init__(self, server: SqlServer, executor: Executor, reactor: Any) -> None:
        self._server = server
        self._executor = executor
        self._reactor = reactor
        self._outage = Outage(reactor, server.name)
        statements = PgStatements()
        self._writer: Lane[Slot[PgConnection]] = Lane(
            Writing(statements),
            (),
            clock=reactor,
            ordered=True,
            errors=PgError,
            most_waiting=MOST_WAITING,
            most_together=MOST_TOGETHER,
        )
        self._reader: Lane[Slot[PgConnection]] = Lane(
            Reading(statements),
            (),
            clock=reactor,
            ordered=False,
            errors=PgError,
            most_waiting=MOST_WAITING,
            most_together=1,
        )
        #: How many reads wait for writes of their owners.
        self._behind = 0
        writers = max(1, server.pool_size // WRITE_SHARE)
        self._pool: Pool[PgConnection] = Pool(
            reactor,
            server,
            self._outage,
            [
                (self._writer, [Slot() for _ in range(writers)]),
                (self._reader, [Slot() for _ in range(max(1, server.pool_size - writers))]),
            ],
            self._connect,
            lambda error: str(PgError(error)),
        )
        self._running = False

    async def start(self) -> None:
        """Returns when the database is there and its schema up to date, however long that takes."""
        try:
            await self._wait_for_schema()
            await self._pool.start()
        except BaseException:
            await self._pool.stop()
            raise
        self._running = True

    async def stop(self) -> None:
        if self._running:
            self._running = False
            await self._pool.stop()

    async def update_schema(self) -> bool:
        try:
            return await self._executor.run(_bring_up_to_date, self._server, await self._parameters(), True)
        except (psycopg2.Error, OSError) as error:
            raise StoreError(str(PgError(error))) from error

    def figures(self) -> Mapping[str, int]:
        return {
            "database_connections": self._pool.open,
            "database_jobs_waiting": self._writer.waiting + self._reader.waiting + self._behind,
        }

    def read(self, owner: str | None, work: Work[T]) -> Awaitable[T]:
        self._check()
        if self._writer.is_busy(owner):
            return self._read_behind(owner, work)
        return self._reader.submit(owner or "", work)

    def write(self, owner: str, work: Work[T], also: Collection[str] = ()) -> Awaitable[T]:
        self._check()
        return self._writer.submit(owner, work, also)

    def _read_behind(self, owner: str | None, work: Work[T]) -> Deferred[T]:
        if self._behind >= MOST_WAITING:
            raise StoreError("too many jobs wait for the database")
        self._behind += 1

        def waited(result: object) -> object:
            self._behind -= 1
            return result

        return (
            self._writer.finished(owner).addBoth(waited).addCallback(lambda _: self._reader.submit(owner or "", work))
        )

    def _check(self) -> None:
        if not self._running:
            raise StoreError("the storage is not open")

    # -- connecting -----------------------------------------------------------------------------------------------

    async def _wait_for_schema(self) -> None:
        """Bring the schema up to date, as soon as the database lets us, or wait until somebody has done it."""
        attempt, told = 0, False
        while True:
            try:
                parameters = await self._parameters()
                await self._executor.run(_bring_up_to_date, self._server, parameters, self._server.update_schema)
                return
            except SchemaOutdated as outdated:
                if not told:
                    log.error("{reason}", reason=str(outdated))
                told, longest = True, LOOK_EVERY
            except (psycopg2.Error, OSError) as error:
                self._outage.is_away(str(PgError(error)))
                longest = self._server.start_interval
            await pause(self._reactor, attempt, longest)
            attempt += 1

    async def _connect(self, _: Lane[Slot[PgConnection]], on_lost: Callable[[str], None]) -> PgConnection:
        connection = PgConnection(self._reactor, lambda _, reason: on_lost(reason))
        limit = int(self._server.query_timeout * 1000)
        settings = f"SET statement_timeout = {limit}; SET idle_in_transaction_session_timeout = {limit}"
        await connection.open(await self._parameters(), timeout=self._server.connect_timeout, settings=settings)
        return connection

    async def _parameters(self) -> dict[str, Any]:
        """What libpq is to be told. A name is looked up in a thread: libpq would block until that is done."""
        server = self._server
        parameters: dict[str, Any] = {
            "host": server.host,
            "port": server.port,
            "dbname": server.database,
            "user": server.username,
            "password": server.password,
            "application_name": "federix",
            "client_encoding": "UTF8",
            "gssencmode": "disable",
            **_tls(server),
        }
        if not server.host.startswith("/") and not _is_address(server.host):
            found = await self._executor.run(socket.getaddrinfo, server.host, server.port, type=socket.SOCK_STREAM)
            addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
            parameters["host"] = ",".join([server.host] * len(addresses))
            parameters["hostaddr"] = ",".join(addresses)
        return parameters


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


def _bring_up_to_date(server: SqlServer, parameters: Mapping[str, Any], update: bool) -> bool:
    connection = psycopg2.connect(**parameters, connect_timeout=max(2, round(server.connect_timeout)))
    try:
        connection.autocommit = True  # transactions begin where we say so
        return bring_up_to_date(PgSchema(connection, server.name, parameters), update=update)
    finally:
        connection.close()


class PgSchema:
    """The database as it is brought up to date."""

    dialect: Dialect = PGDialect_psycopg2()  # type: ignore[no-untyped-call]

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
