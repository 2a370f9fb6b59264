"""The embedded back end: one SQLite file, nothing to install, nothing to run beside it.

One connection writes, with group commit (`lane.py`); others read meanwhile, each from a snapshot of its own (WAL). A
read whose owner has writes under way goes behind them through the writer's queue, so everybody sees what they wrote.

To look something up by its key takes some 20 µs, and to have a thread do it ten times as much. So that is done on the
spot, on a connection of its own: readers wait for nobody here, and where one would, it is handed to a thread after all.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Awaitable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import URL
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from twisted.internet.defer import succeed
from twisted.internet.interfaces import IReactorTime

from ..life.executor import Executor
from .lane import Lane
from .sql.blocking import BlockingRunner, Driver, glance
from .sql.database import Database, Row, Rows, Work
from .sql.statement import Compiler, Statement, Value
from .sql.storage import SqlStorage
from .sql.versions import bring_up_to_date
from .storage import StoreError

T = TypeVar("T")

IN_MEMORY = ":memory:"

READERS = 4
"""How many connections read; an executor for them and the writer has one thread more."""

WRITER_CACHE = 2048
READER_CACHE = 256
"""KiB of pages that a connection keeps; SQLite would have 2000. The system has them all in its own cache, and to fetch
one from there takes a microsecond; here each of six connections would keep its own copy. The writer's holds what a
commit under load changes, or pages would be written before it, fetched and written again."""

MOST_WAITING = 20_000
"""How many jobs may wait for the writer, and how many for the readers; past it the database is too slow for its load,
and a quick "try later" is better than a queue that only grows."""

MOST_WRITES_TOGETHER = 1_000
MOST_READS_TOGETHER = 8
"""How many jobs share a transaction. Reads share little but the hop to the thread, and better spread over readers."""

BUSY_TIMEOUT = 5.0
"""Seconds to wait for another process that has the file locked, an operator's tool say."""


class SqliteStorage(SqlStorage):
    """Keeps everything in the file *path*, made if it is not there, or in memory if that is ``:memory:``.

    *clock* is that of the reactor which is to stay responsive, if there is one.
    """

    def __init__(
        self, path: str, executor: Executor, *, readers: int = READERS, clock: IReactorTime | None = None
    ) -> None:
        self.database = SqliteDatabase(path, executor, readers=readers, clock=clock)
        super().__init__(self.database)


class SqliteDatabase(Database):
    """Transactions over the connections to one file."""

    def __init__(self, path: str, executor: Executor, *, readers: int, clock: IReactorTime | None) -> None:
        self._path = path
        self._executor = executor
        self._clock = clock
        # A database in memory belongs to its connection, so that one does everything.
        self._readers = 0 if path == IN_MEMORY else readers
        self._compiler = Compiler(SQLiteDialect_pysqlite())
        self._driver = Driver(self._compiler, sqlite3.Error, "BEGIN IMMEDIATE", "BEGIN", _roll_back)
        self._connections: list[sqlite3.Connection] = []
        self._writer: Lane[sqlite3.Connection] | None = None
        self._reader: Lane[sqlite3.Connection] | None = None
        self._looker: sqlite3.Connection | None = None

    async def start(self) -> None:
        self._connections = await self._executor.run(_open, self._path, self._readers)
        writer, *others = self._connections
        self._writer = self._lane([writer], writes=True, most_together=MOST_WRITES_TOGETHER)
        if others:
            self._looker, *readers = others
            self._looker.execute("PRAGMA busy_timeout=0")
            self._reader = self._lane(readers, writes=False, most_together=MOST_READS_TOGETHER)

    async def stop(self) -> None:
        self._looker = None
        for lane in (self._reader, self._writer):
            if lane is not None:
                await lane.close()
        connections, self._connections = self._connections, []
        await self._executor.run(_close, connections)

    def figures(self) -> Mapping[str, int]:
        lanes = [lane for lane in (self._reader, self._writer) if lane is not None]
        return {"database_jobs_waiting": sum(lane.waiting for lane in lanes)}

    def read(self, owner: str | None, work: Work[T]) -> Awaitable[T]:
        writer = self._started()
        if self._reader is None or writer.is_busy(owner):
            return writer.submit(owner or "", work)
        return self._reader.submit(owner or "", work)

    def look_up(self, owner: str | None, work: Work[T]) -> Awaitable[T]:
        looker = self._looker
        if looker is None or self._started().is_busy(owner):
            return self.read(owner, work)
        try:
            return succeed(glance(self._driver, looker, work))
        except sqlite3.Error:
            # Another process has the file to itself, say, and only a thread may wait. What is broken shows there, too.
            return self.read(owner, work)

    async def row(self, owner: str, statement: Statement, /, **values: Value) -> Row | None:
        looker = self._looker
        if looker is None or self._started().is_busy(owner):
            return await super().row(owner, statement, **values)
        compiled = self._compiler(statement)
        try:
            # All rows are fetched: a statement that is not finished would hold on to its moment.
            rows: Rows = looker.execute(compiled.sql, compiled.parameters(values)).fetchall()
        except sqlite3.Error:
            return await super().row(owner, statement, **values)
        return rows[0] if rows else None

    def write(self, owner: str, work: Work[T], also: Collection[str] = ()) -> Awaitable[T]:
        return self._started().submit(owner, work, also)

    def _started(self) -> Lane[sqlite3.Connection]:
        if self._writer is None:
            raise StoreError("the storage is not open")
        return self._writer

    def _lane(
        self, connections: list[sqlite3.Connection], *, writes: bool, most_together: int
    ) -> Lane[sqlite3.Connection]:
        return Lane(
            BlockingRunner(self._executor, self._driver, writes=writes),
            connections,
            clock=self._clock,
            ordered=writes,
            errors=sqlite3.Error,
            most_waiting=MOST_WAITING,
            most_together=most_together,
        )


# What follows runs in the executor.


def _open(path: str, readers: int) -> list[sqlite3.Connection]:
    """Connect and bring the schema up to date: the writer, then what looks up, then the *readers*."""
    connections: list[sqlite3.Connection] = []
    try:
        if path != IN_MEMORY:
            # Stored secrets are nobody else's to read; SQLite gives its other files the same permissions.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        writer = _connect(path)
        connections.append(writer)
        writer.execute("PRAGMA journal_mode=WAL")
        # In WAL mode anything less than FULL loses the last commits when the power goes.
        writer.execute("PRAGMA synchronous=FULL")
        bring_up_to_date(SqliteSchema(writer, path))
        writer.execute(f"PRAGMA cache_size=-{WRITER_CACHE}")
        # What a savepoint could bring back is kept in memory, not in a file: each job has one. Not while the schema is
        # brought up to date: what is sorted for an index may be large.
        writer.execute("PRAGMA temp_store=MEMORY")
        for _ in range(1 + readers if readers else 0):
            reader = _connect(path)
            connections.append(reader)
            reader.execute("PRAGMA query_only=ON")
            reader.execute(f"PRAGMA cache_size=-{READER_CACHE}")
    except (OSError, sqlite3.Error) as error:
        _close(connections)
        raise StoreError(f"the database {path} cannot be opened: {error}") from error
    except BaseException:
        _close(connections)
        raise
    return connections


def _connect(path: str) -> sqlite3.Connection:
    # One job at a time uses a connection, but from any thread of the executor. isolation_level=None: transactions
    # begin where we say so, and not where the driver thinks they should.
    return sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


class SqliteSchema:
    """The database as it is brought up to date."""

    dialect = SQLiteDialect_pysqlite()
    creator = None

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection = connection
        self.name = path
        self.url = URL.create("sqlite", database=path)

    def execute(self, sql: str) -> Rows:
        return self._connection.execute(sql).fetchall()

    def tables(self) -> set[str]:
        return {name for (name,) in self.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}

    @contextmanager
    def alone(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            _roll_back(self._connection)
            raise


def _close(connections: list[sqlite3.Connection]) -> None:
    # The writer last: the last connection to go folds the write-ahead log into the file.
    for connection in reversed(connections):
        connection.close()
