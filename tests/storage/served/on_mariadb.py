"""What the suites are to know of MariaDB."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import pymysql
from pymysql.constants import CR
from sqlalchemy import bindparam, text

from bench.databases.mariadb import MariaDb
from bench.databases.server import DatabaseServer
from federix.storage.mysql import MysqlStorage
from federix.storage.sql.server import SqlServer
from federix.storage.sql.statement import Statement
from tests.peers.databases import shared_mariadb, shared_mariadb_database
from tests.storage.served.case import NOTES, ROMEO, ServedCase
from tests.storage.servers import mysql_storage, soon


class OnMariaDb(ServedCase):
    server: MariaDb
    sleep = Statement("test.sleep", text("SELECT SLEEP(:seconds)").bindparams(bindparam("seconds")))
    nine_seconds = "SLEEP(9)"
    unwritable = "\ud800"
    duplicate = "Duplicate entry (error 1062)"
    wrong_password = no_certificate = "Access denied"
    bad_certificate = "certificate verify failed"

    def shared(self) -> tuple[DatabaseServer, str]:
        return shared_mariadb(), shared_mariadb_database()

    def storage_on(self, server: SqlServer) -> MysqlStorage:
        return mysql_storage(server)

    def sender(self, connection: Any) -> tuple[object, str]:
        return connection._raw, "query"

    def sockets(self) -> Collection[Mapping[str, Any]]:
        return [{"host": str(path), "port": 1} for path in (self.server.folder, self.server.socket)]

    def schema(self) -> dict[str, list[Any]]:
        columns = self.server.admin(
            "SELECT c.table_name, column_name, column_type, is_nullable, collation_name, extra, engine, row_format"
            " FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)"
            f" WHERE table_schema = '{self.name}' ORDER BY c.table_name, ordinal_position"
        )
        indexes = self.server.admin(
            "SELECT table_name, index_name, seq_in_index, column_name, sub_part, non_unique"
            f" FROM information_schema.statistics WHERE table_schema = '{self.name}' ORDER BY 1, 2, 3"
        )
        return {"columns": columns, "indexes": indexes}

    def as_ourselves(self, statement: str) -> None:
        self.server.admin(statement, self.name)

    def lock(self, table: str) -> Callable[[], object]:
        return self.hold(f"LOCK TABLES {table} WRITE")._force_close  # type: ignore[no-any-return]

    def hold(self, *statements: str) -> Any:
        """A connection that has run *statements*, and stays open until the test ends."""
        connection = self.server.connect(self.name)
        self.addCleanup(connection._force_close)
        for statement in statements:
            connection.cursor().execute(statement)
        return connection

    def end_connections(self, asking: str) -> None:
        for (number,) in self.server.admin(
            f"SELECT id FROM information_schema.processlist WHERE db = '{self.name}' AND info LIKE '%{asking}%'"
            " AND id <> CONNECTION_ID()"
        ):
            self.server.admin(f"KILL CONNECTION {number}")

    def lose_answers(self, connection: Any) -> None:
        raw = connection._raw
        query = raw.query

        def cut(sql: bytes, *more: Any) -> None:
            query(sql, *more)
            raise pymysql.err.OperationalError(CR.CR_SERVER_LOST, "cut")

        self.patch(raw, "query", cut)

    def pids(self) -> Sequence[int]:
        return [self.server.pid]

    def check_kept_alive(self) -> None:
        ((_, asked),) = self.server.admin("SHOW GLOBAL STATUS LIKE 'Com_admin_commands'")
        self.assertGreaterEqual(int(asked), 6)

    def allow_connections(self, most: int | None) -> None:
        self.server.admin(f"ALTER USER federix WITH MAX_USER_CONNECTIONS {most or 0}")

    def secure(self, certificate: bytes, authority: bytes) -> None:
        self.server.secure(certificate, authority)
        self.addCleanup(self.server.insecure)
        self.addCleanup(self.require, "NONE")

    def ask_for_certificates(self, authority: bytes) -> None:
        self.require("X509")

    def require(self, what: str) -> None:
        """What a connection must bring with it."""
        self.server.admin(f"ALTER USER federix REQUIRE {what}")

    async def check_encrypted(self, storage: Any, encrypted: bool) -> None:
        # One more looks at the schema.
        self.assertEqual(await self.accepted(storage), 7 if encrypted else 0)

    async def accepted(self, storage: Any) -> int:
        """How many connections of *storage* were encrypted, after some work over them."""
        before = self._accepts()
        await storage.start()
        await NOTES.bind(storage).put(ROMEO, "a", "one")
        self.assertEqual(await NOTES.bind(storage).get(ROMEO, "a"), "one")
        await soon(lambda: self.connections(storage) == 6)
        await storage.stop()
        return self._accepts() - before

    def _accepts(self) -> int:
        ((_, number),) = self.server.admin("SHOW GLOBAL STATUS LIKE 'Ssl_finished_accepts'")
        return int(number)
