"""PostgreSQL: few messages, several connections, its dialect, and its schema."""

from __future__ import annotations

import psycopg2
from twisted.internet.defer import Deferred

from bench.databases.server import PASSWORD, USER
from federix.storage.storage import StoreError
from tests.storage.served import messages, order, schema, spoilt
from tests.storage.served.on_postgres import OnPostgres


class MessagesTest(OnPostgres, messages.Messages):
    pass


class SpoiltTest(OnPostgres, spoilt.Spoilt):
    pass


class OrderTest(OnPostgres, order.Order):
    pass


class SchemaTest(OnPostgres, schema.Schema):
    async def test_text_is_compared_by_code_points(self) -> None:
        await self.run_once(self.make())
        collations = {
            collation for table, _, kind, _, collation, _ in self.schema()["columns"]
            if kind == "text" and table != "alembic_version"
        }  # fmt: skip
        self.assertEqual(collations, {"C"})

    async def test_a_step_that_breaks_leaves_the_database_as_it_was(self) -> None:
        self.create_version_table()
        self.as_ourselves("CREATE TABLE roster_version (owner text)")
        before = self.schema()
        refused = await self.assertFailure(Deferred.fromCoroutine(self.make().start()), StoreError)
        self.assertIn("roster_version", str(refused))
        self.assertEqual(self.schema(), before)


class OrphansTest(OnPostgres):
    """A server was killed, and PostgreSQL goes on with what it was told."""

    async def test_what_a_killed_server_has_left_running_ends_before_anything_is_read(self) -> None:
        names = ("federix here", "federix elsewhere")
        for other in names:
            left = psycopg2.connect(
                host="127.0.0.1",
                port=self.server.port,
                dbname=self.name,
                user=USER,
                password=PASSWORD,
                application_name=other,
            )
            self.addCleanup(left.close)
        await self.started(identity="here")
        left_over = self.server.admin(
            "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'federix %'"
        )
        self.assertEqual(sorted(each for (each,) in left_over), ["federix elsewhere", *["federix here"] * 6])
