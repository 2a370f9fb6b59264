"""Every storage back end, held to the same contract."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from federix.life.executor import InlineExecutor, ThreadExecutor
from federix.storage.memory import MemoryStorage
from federix.storage.sqlite import IN_MEMORY, SqliteStorage
from federix.storage.storage import Storage
from tests.contracts.accounts import AccountsContract
from tests.contracts.rosters import RostersContract
from tests.contracts.shapes import ShapesContract


class StorageContract(ShapesContract, AccountsContract, RostersContract):
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


class SqliteInThreadsContract(StorageContract, TestCase):
    def make_storage(self) -> Storage:
        any_reactor: Any = reactor
        executor = ThreadExecutor(any_reactor, threads=5, name="storage under test")
        executor.start()
        self.addCleanup(executor.stop)
        return SqliteStorage(self.make_path(), executor)
