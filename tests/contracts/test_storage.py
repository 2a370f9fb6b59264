"""Every storage back end, held to the same contract."""

from __future__ import annotations

import tempfile
from pathlib import Path
from secrets import token_bytes
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from federix.core.archive_ids import ArchiveIds
from federix.life.executor import InlineExecutor
from federix.storage.memory import MemoryStorage
from federix.storage.sqlite import IN_MEMORY, SqliteStorage
from federix.storage.storage import Storage
from tests.contracts.accounts import AccountsContract
from tests.contracts.ahead import AheadContract
from tests.contracts.archives import ArchivesContract
from tests.contracts.rosters import RostersContract
from tests.contracts.shapes import ShapesContract
from tests.contracts.storage import together
from tests.peers.databases import (
    shared_mariadb,
    shared_mariadb_database,
    shared_postgres,
    shared_postgres_database,
)
from tests.storage.servers import mysql_storage, postgres_storage, sql_server, started_executor


class StorageContract(ShapesContract, AccountsContract, RostersContract, ArchivesContract, AheadContract):
    """All of it."""

    def make_path(self) -> str:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return str(Path(folder.name, "federix.db"))


class MemoryContract(StorageContract, TestCase):
    def make_storage(self) -> Storage:
        return MemoryStorage()


class SqliteInMemoryContract(StorageContract, TestCase):
    def make_storage(self) -> Storage:
        return SqliteStorage(IN_MEMORY, InlineExecutor())


class SqliteInlineContract(StorageContract, TestCase):
    def make_storage(self) -> Storage:
        return SqliteStorage(self.make_path(), InlineExecutor())


class DatabaseServerContract(StorageContract):
    """A database that several servers may use at once."""

    def another(self) -> Storage:
        """A storage of another server, on the same database."""
        raise NotImplementedError

    async def test_servers_that_start_at_once_have_one_key_for_the_ids_of_archives(self) -> None:
        other = self.another()
        self.addCleanup(other.stop)
        await other.start()
        for _ in range(20):
            made = [ArchiveIds.kept_in(storage, token_bytes) for storage in (self.storage, other)]
            one, two = await together(made)
            self.assertEqual(one.encode(1), two.encode(1))
            await self.storage.forget("")


class PostgresContract(DatabaseServerContract, TestCase):
    def make_storage(self) -> Storage:
        postgres, database = shared_postgres(), shared_postgres_database()
        postgres.empty(database)
        return self.another()

    def another(self) -> Storage:
        return postgres_storage(self, sql_server(shared_postgres(), database=shared_postgres_database()))


class MariaDbContract(DatabaseServerContract, TestCase):
    def make_storage(self) -> Storage:
        mariadb, database = shared_mariadb(), shared_mariadb_database()
        mariadb.empty(database)
        return self.another()

    def another(self) -> Storage:
        return mysql_storage(sql_server(shared_mariadb(), database=shared_mariadb_database()))


class SqliteInThreadsContract(StorageContract, TestCase):
    def make_storage(self) -> Storage:
        any_reactor: Any = reactor
        return SqliteStorage(self.make_path(), started_executor(self, any_reactor))
