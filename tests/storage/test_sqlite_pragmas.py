"""How SQLite is told to keep what it was given: none of this shows before the power goes."""

from __future__ import annotations

import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from sqlalchemy import text
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from federix.life.executor import InlineExecutor
from federix.storage.sql.statement import Statement
from federix.storage.sqlite import SqliteStorage

#: The number SQLite gives to `PRAGMA synchronous=FULL`.
FULL = 2
#: That of `PRAGMA temp_store=MEMORY`.
MEMORY = 2


class PragmaTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.storage = SqliteStorage(str(Path(folder.name, "kept.sqlite")), InlineExecutor())
        self.result(self.storage.start())
        self.addCleanup(lambda: self.result(self.storage.stop()))

    def result(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def of_the_writer(self, name: str) -> object:
        async def asked() -> object:
            statement = Statement(f"writer's {name}", text(f"PRAGMA {name}"))
            ((value,),) = await self.storage.database.write("romeo@example.org", lambda tx: tx.run(statement))
            return value

        return self.result(asked())

    def of_a_reader(self, name: str) -> object:
        async def asked() -> object:
            statement = Statement(f"reader's {name}", text(f"PRAGMA {name}"))
            ((value,),) = await self.storage.database.rows(None, statement)
            return value

        return self.result(asked())

    def test_each_commit_is_on_the_disk_before_it_is_answered(self) -> None:
        self.assertEqual(self.of_the_writer("synchronous"), FULL)

    def test_no_file_is_written_for_what_a_job_might_bring_back(self) -> None:
        self.assertEqual(self.of_the_writer("temp_store"), MEMORY)

    def test_readers_and_the_writer_do_not_wait_for_each_other(self) -> None:
        self.assertEqual(self.of_the_writer("journal_mode"), "wal")

    def test_readers_cannot_write(self) -> None:
        self.assertEqual(self.of_a_reader("query_only"), 1)
        self.assertEqual(self.of_the_writer("query_only"), 0)
