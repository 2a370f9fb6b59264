"""A storage on an SQL database, whichever."""

from __future__ import annotations

from collections.abc import Mapping

from ..storage import Storage
from .accounts import SqlAccounts
from .ahead import Ahead
from .archive import SqlArchives, forget_archive
from .database import Database, Transaction
from .roster import FLOOR, SqlRosters, forget_roster
from .shapes import FORGET_SHAPES, SqlDocuments, SqlLogs, SqlTables


class SqlStorage(Storage):
    """Keeps everything in *database*; concerns that bring SQL of their own build their repositories on it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ahead = ahead = Ahead(database)
        self.documents = SqlDocuments(database, ahead)
        self.tables = SqlTables(database)
        self.logs = SqlLogs(database)
        self.accounts = SqlAccounts(database)
        self.rosters = SqlRosters(database, ahead)
        self.archives = SqlArchives(database)

    async def start(self) -> None:
        await self._database.start()

    async def stop(self) -> None:
        await self._database.stop()

    async def update_schema(self) -> bool:
        return await self._database.update_schema()

    def figures(self) -> Mapping[str, int]:
        return self._database.figures()

    def read_ahead(self, owner: str) -> None:
        self._ahead.read(owner)

    async def forget(self, owner: str) -> None:
        async def work(tx: Transaction) -> None:
            for statement in FORGET_SHAPES:
                await tx.change(statement, owner=owner)
            await forget_roster(tx, owner)
            await forget_archive(tx, owner)

        self._ahead.forget(owner)
        # All who leave raise the floor of the rosters: one after the other.
        await self._database.write(owner, work, also=(FLOOR,))
