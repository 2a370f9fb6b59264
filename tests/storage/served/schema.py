"""The tables are made and brought up to date."""

from __future__ import annotations

from twisted.internet.defer import Deferred, gatherResults

from federix.storage.sql.schema import VERSION
from federix.storage.sql.storage import SqlStorage
from federix.storage.storage import StoreError
from tests.storage.served.case import PAGE, ROMEO, ServedCase
from tests.storage.servers import logged, soon


class Schema(ServedCase):
    async def run_once(self, storage: SqlStorage) -> None:
        await storage.start()
        await PAGE.bind(storage).put(ROMEO, "new")
        await storage.stop()

    async def test_servers_that_start_at_once_make_it_once(self) -> None:
        storages = [self.make(pool_size=2) for _ in range(4)]
        await gatherResults([Deferred.fromCoroutine(self.run_once(storage)) for storage in storages])
        self.assertEqual(self.server.admin("SELECT version_num FROM alembic_version", self.name), [(VERSION,)])

    async def test_the_steps_lead_to_the_schema_that_a_new_database_gets(self) -> None:
        await self.run_once(self.make())
        made = self.schema()
        self.server.empty(self.name)
        self.create_version_table()
        storages = [self.make(pool_size=2) for _ in range(2)]
        await gatherResults([Deferred.fromCoroutine(self.run_once(storage)) for storage in storages])
        self.assertEqual(self.schema(), made)

    async def test_where_the_operator_wants_it_so_the_start_waits_for_the_schema(self) -> None:
        told = logged(self)
        storage = self.make(update_schema=False)
        start = Deferred.fromCoroutine(storage.start())
        await soon(lambda: any("update_sql_schema" in line for line in told))
        self.assertFalse(start.called)
        self.assertEqual(self.schema(), {"columns": [], "indexes": []})
        self.assertIs(await storage.update_schema(), True)
        await start
        self.assertIs(await storage.update_schema(), False)
        await PAGE.bind(storage).put(ROMEO, "new")
        await storage.stop()
        self.assertEqual(len([line for line in told if "update_sql_schema" in line]), 1)

    async def test_a_database_of_a_newer_version_or_another_program_is_refused(self) -> None:
        self.as_ourselves("CREATE TABLE spool (username text)")
        for update in (True, False):
            refused = await self.assertFailure(
                Deferred.fromCoroutine(self.make(update_schema=update).start()), StoreError
            )
            self.assertIn("not one of Federix", str(refused))
        self.create_version_table("0999")
        refused = await self.assertFailure(Deferred.fromCoroutine(self.make().start()), StoreError)
        self.assertIn("newer", str(refused))
        self.assertEqual({row[0] for row in self.schema()["columns"]}, {"alembic_version", "spool"})

    def create_version_table(self, version: str | None = None) -> None:
        self.as_ourselves("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        if version is not None:
            self.as_ourselves(f"INSERT INTO alembic_version VALUES ('{version}')")
