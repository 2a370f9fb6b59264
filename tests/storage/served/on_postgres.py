"""What the suites are to know of PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, text
from twisted.internet.defer import fail

from bench.databases.postgres import Postgres
from bench.databases.server import DatabaseServer
from federix.storage.postgres import PostgresStorage
from federix.storage.sql.server import SqlServer
from federix.storage.sql.statement import Statement
from tests.peers.databases import shared_postgres, shared_postgres_database
from tests.storage.served.case import NOTES, ROMEO, ServedCase
from tests.storage.servers import postgres_storage


class OnPostgres(ServedCase):
    server: Postgres
    sleep = Statement("test.sleep", text("SELECT pg_sleep(:seconds)").bindparams(bindparam("seconds")))
    nine_seconds = "pg_sleep(9)"
    unwritable = "nul\0"
    duplicate = "duplicate key"
    wrong_password = "password authentication failed"
    bad_certificate = "SSL error"
    no_certificate = "valid client certificate"

    def shared(self) -> tuple[DatabaseServer, str]:
        return shared_postgres(), shared_postgres_database()

    def storage_on(self, server: SqlServer) -> PostgresStorage:
        return postgres_storage(self, server)

    def sender(self, connection: Any) -> tuple[object, str]:
        return connection, "run"

    def sockets(self) -> Collection[Mapping[str, Any]]:
        return [{"host": str(self.server.folder)}]

    def schema(self) -> dict[str, list[Any]]:
        columns = self.server.admin(
            "SELECT table_name, column_name, data_type, is_nullable, collation_name, column_default LIKE 'nextval%'"
            " FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position",
            self.name,
        )
        indexes = self.server.admin(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname", self.name
        )
        return {"columns": columns, "indexes": indexes}

    def as_ourselves(self, statement: str) -> None:
        self.server.admin(f"SET ROLE federix; {statement}", self.name)

    def lock(self, table: str) -> Callable[[], object]:
        connection = self.server.connect(self.name)
        self.addCleanup(connection.close)
        connection.cursor().execute(f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        return connection.close  # type: ignore[no-any-return]

    def end_connections(self, asking: str) -> None:
        self.server.admin(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE datname = '{self.name}' AND state = 'active' AND query LIKE '%{asking}%'"
            " AND pid <> pg_backend_pid()"
        )

    def lose_answers(self, connection: Any) -> None:
        run = connection.run

        def cut(answer: object) -> Any:
            connection.break_off("cut")
            return fail(ConnectionError())

        self.patch(connection, "run", lambda sql: run(sql).addCallback(cut))

    def pids(self) -> Sequence[int]:
        found = self.server.admin(f"SELECT pid FROM pg_stat_activity WHERE datname = '{self.name}'")
        return [pid for (pid,) in found]

    def check_kept_alive(self) -> None:
        asked = self.server.admin(f"SELECT DISTINCT query FROM pg_stat_activity WHERE datname = '{self.name}'")
        self.assertEqual(asked, [("SELECT 1",)])

    def allow_connections(self, most: int | None) -> None:
        self.server.admin(f"ALTER ROLE federix CONNECTION LIMIT {-1 if most is None else most}")

    def secure(self, certificate: bytes, authority: bytes) -> None:
        self.server.secure(certificate)
        self.addCleanup(self.server.insecure)

    def ask_for_certificates(self, authority: bytes) -> None:
        self.server.ask_for_certificates(authority)

    async def check_encrypted(self, storage: Any, encrypted: bool) -> None:
        await storage.start()
        await NOTES.bind(storage).put(ROMEO, "a", "one")
        found = self.server.admin(
            "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
            f" WHERE datname = '{self.name}' AND usename = 'federix'"
        )
        self.assertEqual(found, [(encrypted,)])
