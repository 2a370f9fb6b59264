"""PostgreSQL: few messages, several connections, its dialect, and its schema."""

from __future__ import annotations

from twisted.internet.defer import Deferred

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
