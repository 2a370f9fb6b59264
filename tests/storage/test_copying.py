"""A SQLite database copied to a real PostgreSQL and a real MariaDB: everything is there, and nothing by halves."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from secrets import token_bytes
from typing import Any, ClassVar

from sqlalchemy import Table
from twisted.trial.unittest import TestCase

from bench.databases.server import DatabaseServer
from federix.core.archive_ids import ArchiveIds
from federix.life.executor import InlineExecutor
from federix.storage.accounts import Account
from federix.storage.archive import ArchiveRow, Counted
from federix.storage.roster import Contact, RosterItem
from federix.storage.sql import copying
from federix.storage.sql.copying import Target, copy
from federix.storage.sql.schema import metadata
from federix.storage.sql.server import SqlServer
from federix.storage.sql.versions import SchemaOutdated
from federix.storage.sqlite import SqliteStorage
from federix.storage.storage import Storage, StoreError
from tests.peers.databases import (
    shared_mariadb,
    shared_mariadb_database,
    shared_postgres,
    shared_postgres_database,
)

from .servers import mysql_storage, postgres_storage, sql_server

OWNER = "жульетта@example.org"
NASTY = "tab\t newline\n return\r backslash \\ \\N quote ' \" percent % %s {} é ☂ 𝄞 "


class CopyingContract:
    """What holds wherever it is copied to."""

    database: ClassVar[Callable[[], DatabaseServer]]
    name: ClassVar[Callable[[], str]]

    def target(self) -> Target:
        raise NotImplementedError

    def storage(self) -> Storage:
        raise NotImplementedError

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)  # type: ignore[attr-defined]
        self.path = Path(folder.name, "federix.sqlite")
        database, name = type(self).database(), type(self).name()
        database.empty(name)
        self.server: SqlServer = sql_server(database, database=name)
        self.told: list[tuple[int, int, str]] = []

    async def fill(self) -> None:
        storage = SqliteStorage(str(self.path), InlineExecutor())
        await storage.start()
        for number in range(30):
            await storage.accounts.create(Account(f"user{number}", "example.org", {"PLAIN": NASTY}, 1e9 + number / 3))
        await storage.documents.put("last", OWNER, bytes(range(256)))
        await storage.tables.put("private", OWNER, NASTY, NASTY.encode())
        ids = [await storage.logs.append("offline", OWNER, b"%d" % number) for number in range(5)]
        await storage.logs.remove("offline", OWNER, ids[-1:])
        item = RosterItem("nurse@example.net", NASTY, "both", groups=frozenset({NASTY, "b"}))
        await storage.rosters.transition(OWNER, item.jid, lambda _: Contact(item, b"<presence/>"))
        rows = [
            ArchiveRow(OWNER, 10**15 + number, "romeo@example.net", "orchard", number % 2 == 0, "f", b"<message/>\n\\")
            for number in range(2500)
        ]
        await storage.archives.keep(rows, Counted("key", OWNER, 2**40))
        self.first_id = (await ArchiveIds.kept_in(storage, token_bytes)).encode(10**15)
        await storage.stop()

    def rows(self, table: Table) -> list[Any]:
        """What the file has in a table."""
        with closing(sqlite3.connect(self.path)) as source:
            names = ", ".join(f'"{column.name}"' for column in table.columns)
            return sorted(source.execute(f"SELECT {names} FROM {table.name}"))

    def arrived(self, table: Table) -> list[Any]:
        with closing(self.target()) as target:
            quote = target.schema.dialect.identifier_preparer.quote
            names = ", ".join(quote(column.name) for column in table.columns)
            found = target.schema.execute(f"SELECT {names} FROM {table.name}")
        texts = [column.type.python_type is str for column in table.columns]
        return sorted(tuple(_plain(value, text) for value, text in zip(row, texts, strict=True)) for row in found)

    def copy(self) -> Any:
        with closing(self.target()) as target:
            return copy(self.path, target, lambda *how_far: self.told.append(how_far))

    async def test_all_rows_of_all_tables_are_there(self: Any) -> None:
        await self.fill()
        counts = self.copy()
        self.assertEqual(counts["archive"], 2500)
        for table in metadata.sorted_tables:
            before = self.rows(table)
            self.assertTrue(before, table.name)
            self.assertEqual(self.arrived(table), before, table.name)

    async def test_a_server_goes_on_where_the_other_ended(self: Any) -> None:
        await self.fill()
        last = max(row[0] for row in self.rows(metadata.tables["entry"]))
        self.copy()
        storage = self.storage()
        await storage.start()
        try:
            self.assertEqual((await storage.accounts.get("user7", "example.org")).credentials, {"PLAIN": NASTY})
            self.assertEqual(await storage.archives.count(OWNER), 2500)
            # Clients know messages by these ids.
            self.assertEqual((await ArchiveIds.kept_in(storage, token_bytes)).encode(10**15), self.first_id)
            # The id of the last entry that is gone is not given again.
            self.assertEqual(await storage.logs.append("offline", OWNER, b"new"), last + 2)
            self.assertEqual((await storage.rosters.item(OWNER, "nurse@example.net")).name, NASTY)
        finally:
            await storage.stop()

    async def test_it_tells_how_far_it_is(self: Any) -> None:
        await self.fill()
        total = sum(self.copy().values())
        done = [done for done, of, _ in self.told if of == total]
        self.assertEqual((done[0], done[-1]), (0, total))
        self.assertEqual(done, sorted(done))
        self.assertGreater(len(done), len(metadata.sorted_tables))

    async def test_what_is_not_empty_is_not_copied_into(self: Any) -> None:
        await self.fill()
        self.copy()
        with self.assertRaisesRegex(StoreError, "is not empty"):
            self.copy()
        self.assertEqual(len(self.arrived(metadata.tables["account"])), 30)

    async def test_a_database_of_somebody_else_is_left_alone(self: Any) -> None:
        await self.fill()
        with closing(self.target()) as target:
            target.schema.execute("CREATE TABLE theirs (a INTEGER)")
        with self.assertRaisesRegex(StoreError, "not one of Federix"):
            self.copy()

    async def test_empty_tables_are_copied_into(self: Any) -> None:
        await self.fill()
        await self.with_empty_tables()
        self.copy()
        self.assertEqual(len(self.arrived(metadata.tables["account"])), 30)

    async def with_empty_tables(self: Any) -> None:
        storage = self.storage()
        await storage.start()
        await storage.stop()

    async def test_what_broke_off_is_begun_anew(self: Any) -> None:
        await self.fill()

        def break_off(done: int, of: int, table: str) -> None:
            if done > 1000:
                raise KeyboardInterrupt

        with closing(self.target()) as target, self.assertRaises(KeyboardInterrupt):
            copy(self.path, target, break_off)
        await self.check_unfinished()
        self.copy()
        self.assertEqual(len(self.arrived(metadata.tables["archive"])), 2500)

    async def check_unfinished(self: Any) -> None:
        raise NotImplementedError

    async def test_a_row_too_few_is_noticed(self: Any) -> None:
        await self.fill()
        batches = copying._batches

        def without_the_last(source: sqlite3.Connection, table: Table) -> Any:
            for rows in batches(source, table):
                yield rows[:-1]

        self.patch(copying, "_batches", without_the_last)
        with self.assertRaisesRegex(StoreError, "of 30 rows of account 29 are there"):
            self.copy()

    async def test_batches_are_bounded_in_rows_and_bytes(self: Any) -> None:
        await self.fill()
        with closing(sqlite3.connect(self.path)) as source:
            source.execute("UPDATE account SET credentials = ?", ("x" * 300_000,))
            source.commit()
            sizes = [len(rows) for rows in copying._batches(source, metadata.tables["account"])]
            self.assertEqual(sizes, [4, 4, 4, 4, 4, 4, 4, 2])
            sizes = [len(rows) for rows in copying._batches(source, metadata.tables["archive"])]
            self.assertEqual(sizes, [copying.MOST_ROWS, copying.MOST_ROWS, 500])

    async def test_a_file_that_is_none_is_said(self: Any) -> None:
        self.path.write_bytes(b"no database" * 1000)
        with self.assertRaisesRegex(StoreError, "federix.sqlite"):
            self.copy()


class PostgresCopyingTest(CopyingContract, TestCase):
    database = staticmethod(shared_postgres)
    name = staticmethod(shared_postgres_database)

    def target(self) -> Target:
        from federix.storage.pg.copying import PgTarget

        return PgTarget(self.server)

    def storage(self) -> Storage:
        return postgres_storage(self, self.server)

    async def check_unfinished(self) -> None:
        """It was one transaction."""
        with closing(self.target()) as target:
            self.assertEqual(target.schema.tables(), set())

    async def test_a_text_that_cannot_be_kept_is_told_without_it(self) -> None:
        await self.fill()
        with closing(sqlite3.connect(self.path)) as source:
            source.execute("UPDATE account SET credentials = ? WHERE local = 'user3'", ("secret\0",))
            source.commit()
        with self.assertRaisesRegex(StoreError, "^account: ") as refused:
            self.copy()
        self.assertNotIn("secret", str(refused.exception))


class MariaDbCopyingTest(CopyingContract, TestCase):
    database = staticmethod(shared_mariadb)
    name = staticmethod(shared_mariadb_database)

    def target(self) -> Target:
        from federix.storage.my.copying import MyTarget

        return MyTarget(self.server)

    def storage(self) -> Storage:
        return mysql_storage(self.server)

    async def check_unfinished(self) -> None:
        """No server starts with it."""
        storage = self.storage()
        with self.assertRaisesRegex(StoreError, "unfinished copy: run 'federixctl convert_to_sql' again") as refused:
            await storage.start()
        self.assertNotIsInstance(refused.exception, SchemaOutdated)

    async def test_an_address_that_is_too_long_is_told(self) -> None:
        await self.fill()
        with closing(sqlite3.connect(self.path)) as source:
            source.execute("UPDATE document SET owner = ?", ("x" * 2000,))
            source.commit()
        with self.assertRaisesRegex(StoreError, "^document: Data too long for column 'owner'"):
            self.copy()


def _plain(value: Any, is_text: bool) -> Any:
    if isinstance(value, memoryview):
        return bytes(value)
    return value.decode() if is_text and isinstance(value, bytes) else value
