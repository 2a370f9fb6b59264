"""The back end for MariaDB and MySQL, over PyMySQL: its connections work in threads of their own.

How connections are shared, and what happens when the database is away, stands in `sql/served.py` and `sql/pool.py`.
What is written in one transaction takes as few messages as it can (`my/plan.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import URL, Dialect
from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql

from ..life.executor import ThreadExecutor
from .lane import Lane
from .my.connection import Error, MyConnection, MyError, connect, said
from .my.orphans import end_orphans
from .my.runner import Batches
from .my.statements import MyStatements
from .sql.database import Rows
from .sql.pool import Slot
from .sql.schema import metadata
from .sql.served import ServedDatabase
from .sql.server import SqlServer
from .sql.storage import SqlStorage
from .sql.versions import MYSQL_LOCK, bring_up_to_date

#: How many jobs that read go to a thread at once: the way there and back costs more than a look-up.
READS_TOGETHER: Final = 8
#: Seconds that whoever changes the schema waits for others who do; then it is tried again.
LOCK_TIMEOUT: Final = 10
#: Seconds that one statement may take which changes the schema.
SCHEMA_TIMEOUT: Final = 3600.0
#: The table that is there while the first ones are made.
UNFINISHED: Final = "federix_unfinished"


class MysqlStorage(SqlStorage):
    """Keeps everything in the database of MariaDB or MySQL that *server* names."""

    def __init__(self, server: SqlServer, reactor: Any) -> None:
        self.database = MysqlDatabase(server, reactor)
        super().__init__(self.database)


class MysqlDatabase(ServedDatabase[MyConnection]):
    """Transactions over a pool of connections, each with a thread."""

    def __init__(self, server: SqlServer, reactor: Any) -> None:
        self._opened = 0
        # One more for the schema.
        self._executor = ThreadExecutor(reactor, threads=max(2, server.pool_size) + 1, name="database")
        statements = MyStatements()
        writing, reading = Batches(statements, writes=True), Batches(statements, writes=False)
        super().__init__(server, reactor, writing, reading, MyError, Error, READS_TOGETHER)

    async def start(self) -> None:
        self._executor.start()
        try:
            await super().start()
        except BaseException:
            self._executor.stop()
            raise

    async def stop(self) -> None:
        was_running = self._running
        await super().stop()
        if was_running:
            self._executor.stop()

    async def _connect(self, lane: Lane[Slot[MyConnection]], on_lost: Callable[[str], None]) -> MyConnection:
        connection = MyConnection(self._executor, self._reactor, on_lost)
        self._opened += 1
        await connection.open(self._server, writes=lane is self._writer, number=self._opened)
        return connection

    def _explain(self, error: Exception) -> str:
        return said(error)

    async def _bring_up_to_date(self, update: bool) -> bool:
        return await self._executor.run(_bring_up_to_date, self._server, update)

    async def _have_orphans_end(self) -> bool:
        return await self._executor.run(_have_orphans_end, self._server)


# What follows runs in the executor.


def _bring_up_to_date(server: SqlServer, update: bool) -> bool:
    connection = connect(server, writes=True, patience=SCHEMA_TIMEOUT)
    try:
        return bring_up_to_date(MySchema(connection, server), update=update)
    finally:
        connection.close()


def _have_orphans_end(server: SqlServer) -> bool:
    connection = connect(server, writes=True)
    try:
        return end_orphans(connection, server)
    finally:
        connection.close()


class MySchema:
    """The database as it is brought up to date.

    Tables are made and changed outside of transactions here. So a table of its own marks a database whose first tables
    are being made: where it is left behind, they are made anew. A later step that breaks leaves what it has done.
    """

    dialect: Dialect = MySQLDialect_pymysql()
    url = URL.create("mysql+pymysql")

    def __init__(self, connection: Any, server: SqlServer) -> None:
        self._connection = connection
        self._server = server
        self.name = server.name

    def creator(self) -> Any:
        return connect(self._server, writes=True, patience=SCHEMA_TIMEOUT)

    def execute(self, sql: str) -> Rows:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def tables(self) -> set[str]:
        found = self._found()
        return set() if self._is_unfinished(found) else found - {UNFINISHED}

    def _found(self) -> set[str]:
        return {name for (name,) in self.execute("SHOW TABLES")}

    def _is_unfinished(self, found: set[str]) -> bool:
        # The version is written when all is made.
        return UNFINISHED in found and not (
            "alembic_version" in found and self.execute("SELECT version_num FROM alembic_version")
        )

    @contextmanager
    def alone(self) -> Iterator[None]:
        ((got,),) = self.execute(f"SELECT GET_LOCK({MYSQL_LOCK}, {LOCK_TIMEOUT})")
        if not got:
            raise TimeoutError(f"somebody else changes the schema of {self.name}")
        try:
            found = self._found()
            if self._is_unfinished(found):
                for name in ("alembic_version", *(table.name for table in reversed(metadata.sorted_tables))):
                    self.execute(f"DROP TABLE IF EXISTS `{name}`")
            elif not found:
                self.execute(f"CREATE TABLE {UNFINISHED} (nothing INTEGER)")
            yield
            self.execute(f"DROP TABLE IF EXISTS {UNFINISHED}")
        finally:
            if self._connection.open:
                self.execute(f"SELECT RELEASE_LOCK({MYSQL_LOCK})")
