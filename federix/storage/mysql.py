"""The back end for MariaDB and MySQL, over PyMySQL: its connections work in threads of their own.

As with PostgreSQL, some connections write and others read, what waits is written in one transaction (`lane.py`), and a
read whose owner has writes under way waits for them. What happens when the database is away stands in `sql/pool.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Dialect
from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ..life.executor import ThreadExecutor
from .lane import Lane
from .my.connection import Error, MyConnection, connect, said
from .my.runner import Batches, MyStatements
from .sql.database import Database, Rows, Work
from .sql.outage import Outage, pause
from .sql.pool import Pool, Slot
from .sql.server import SqlServer
from .sql.statement import Compiler
from .sql.storage import SqlStorage
from .sql.versions import SchemaOutdated, bring_up_to_date
from .storage import StoreError

T = TypeVar("T")

log = Logger()

#: Of so many connections one writes.
WRITE_SHARE: Final = 3
#: How many jobs may wait for the connections that write, and how many for those that read.
MOST_WAITING: Final = 20_000
#: How many jobs that write share a transaction.
MOST_TOGETHER: Final = 500
#: Seconds between two looks whether an operator has brought the schema up to date.
LOOK_EVERY: Final = 1.0
#: Seconds that whoever changes the schema waits for others who do.
LOCK_TIMEOUT: Final = 300


class MysqlStorage(SqlStorage):
    """Keeps everything in the database of MariaDB or MySQL that *server* names."""

    def __init__(self, server: SqlServer, reactor: Any) -> None:
        self.database = MysqlDatabase(server, reactor)
        super().__init__(self.database)


class MysqlDatabase(Database):
    """Transactions over a pool of connections, each with a thread."""

    def __init__(self, server: SqlServer, reactor: Any) -> None:
        self._server = server
        self._reactor = reactor
        self._executor = ThreadExecutor(reactor, threads=server.pool_size + 1, name="database")
        self._outage = Outage(reactor, server.name)
        statements = MyStatements(Compiler(MySQLDialect_pymysql()))
        writers = max(1, server.pool_size // WRITE_SHARE)
        self._writer: Lane[Slot[MyConnection]] = Lane(
            Batches(statements, writes=True),
            (),
            clock=reactor,
            ordered=True,
            errors=Error,
            most_waiting=MOST_WAITING,
            most_together=MOST_TOGETHER,
        )
        self._reader: Lane[Slot[MyConnection]] = Lane(
            Batches(statements, writes=False),
            (),
            clock=reactor,
            ordered=False,
            errors=Error,
            most_waiting=MOST_WAITING,
            most_together=1,
        )
        writing: list[Slot[MyConnection]] = [Slot() for _ in range(writers)]
        reading: list[Slot[MyConnection]] = [Slot() for _ in range(max(1, server.pool_size - writers))]
        self._pool: Pool[MyConnection] = Pool(
            reactor,
            server,
            self._outage,
            [(self._writer, writing), (self._reader, reading)],
            self._connect,
            said,
        )
        #: How many reads wait for writes of their owners.
        self._behind = 0
        self._running = False

    async def start(self) -> None:
        """Returns when the database is there and its schema up to date, however long that takes."""
        self._executor.start()
        try:
            await self._wait_for_schema()
            await self._pool.start()
        except BaseException:
            await self._pool.stop()
            self._executor.stop()
            raise
        self._running = True

    async def stop(self) -> None:
        if self._running:
            self._running = False
            await self._pool.stop()
            self._executor.stop()

    async def update_schema(self) -> bool:
        try:
            return await self._executor.run(_bring_up_to_date, self._server, True)
        except (Error, OSError) as error:
            raise StoreError(said(error)) from error

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

        def read(_: object) -> Deferred[T]:
            self._behind -= 1
            return self._reader.submit(owner or "", work)

        return self._writer.finished(owner).addCallback(read)

    def _check(self) -> None:
        if not self._running:
            raise StoreError("the storage is not open")

    async def _connect(self, lane: Lane[Slot[MyConnection]], on_lost: Callable[[str], None]) -> MyConnection:
        connection = MyConnection(self._executor, self._reactor, on_lost)
        await connection.open(self._server, writes=lane is self._writer)
        return connection

    async def _wait_for_schema(self) -> None:
        """Bring the schema up to date, as soon as the database lets us, or wait until somebody has done it."""
        attempt, told = 0, False
        while True:
            try:
                await self._executor.run(_bring_up_to_date, self._server, self._server.update_schema)
                return
            except SchemaOutdated as outdated:
                if not told:
                    log.error("{reason}", reason=str(outdated))
                told, longest = True, LOOK_EVERY
            except (Error, OSError) as error:
                self._outage.is_away(said(error))
                longest = self._server.start_interval
            await pause(self._reactor, attempt, longest)
            attempt += 1


# What follows runs in the executor.


def _bring_up_to_date(server: SqlServer, update: bool) -> bool:
    connection = connect(server, writes=True)
    try:
        return bring_up_to_date(MySchema(connection, server), update=update)
    finally:
        connection.close()


class MySchema:
    """The database as it is brought up to date."""

    dialect: Dialect = MySQLDialect_pymysql()

    def __init__(self, connection: Any, server: SqlServer) -> None:
        self._connection = connection
        self.name = server.name
        self.url = URL.create(
            "mysql+pymysql",
            username=server.username,
            password=server.password,
            host=None if server.host.startswith("/") else server.host,
            port=None if server.host.startswith("/") else server.port,
            database=server.database,
            query={"charset": "utf8mb4"},
        )

    def execute(self, sql: str) -> Rows:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def tables(self) -> set[str]:
        return {name for (name,) in self.execute("SHOW TABLES")}

    @contextmanager
    def alone(self) -> Iterator[None]:
        """It makes tables outside of any transaction: so a lock is all there is."""
        lock = f"'federix {self.name}'"[:64]
        ((got,),) = self.execute(f"SELECT GET_LOCK({lock}, {LOCK_TIMEOUT})")
        if not got:
            raise StoreError(f"somebody else changes the schema of {self.name}")
        try:
            yield
        finally:
            self.execute(f"SELECT RELEASE_LOCK({lock})")
