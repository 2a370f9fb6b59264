"""A storage on an empty database of a shared server, and what differs from server to server."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import text
from twisted.trial.unittest import TestCase

from bench.databases.server import DatabaseServer
from federix.storage.codec import TEXT
from federix.storage.shapes import Document, Log, Table
from federix.storage.sql.database import Change
from federix.storage.sql.server import SqlServer
from federix.storage.sql.shapes import CELL_PUT, ENTRY_APPEND
from federix.storage.sql.statement import Statement
from tests.storage.servers import soon, sql_server

if TYPE_CHECKING:
    from federix.storage.mysql import MysqlDatabase, MysqlStorage
    from federix.storage.postgres import PostgresDatabase, PostgresStorage

    ServedStorage: TypeAlias = PostgresStorage | MysqlStorage

ROMEO = "romeo@example.org"
JULIET = "juliet@example.org"
NOTES = Table("notes", TEXT)
LOG = Log("log", TEXT)
PAGE = Document("page", TEXT)

NONSENSE = Statement("test.nonsense", text("SELECT nothing FROM nowhere"))


def entry(owner: str, value: bytes = b"one", store: str = "log") -> Change:
    return Change(ENTRY_APPEND, {"owner": owner, "store": store, "value": value})


def cell(owner: str, key: str = "key", value: bytes = b"one") -> Change:
    return Change(CELL_PUT, {"owner": owner, "store": "notes", "key": key, "value": value})


class Differences:
    """What `OnPostgres` and `OnMariaDb` say."""

    server: DatabaseServer
    name: str

    #: A statement that takes *seconds*, and what it calls for nine.
    sleep: Statement
    nine_seconds: str
    #: A text that cannot be kept.
    unwritable: str
    #: What is said of a row that is there already, of a password and a certificate that are wrong, and of none.
    duplicate: str
    wrong_password: str
    bad_certificate: str
    no_certificate: str

    def shared(self) -> tuple[DatabaseServer, str]:
        """The server, and a database there."""
        raise NotImplementedError

    def storage_on(self, server: SqlServer) -> ServedStorage:
        """Not started yet."""
        raise NotImplementedError

    def sender(self, connection: Any) -> tuple[object, str]:
        """What gets all that is sent over a connection: an object, and which method of it."""
        raise NotImplementedError

    def sockets(self) -> Collection[Mapping[str, Any]]:
        """How the server is reached by its socket: options."""
        raise NotImplementedError

    def schema(self) -> dict[str, list[Any]]:
        """What the database says of its own tables and indexes."""
        raise NotImplementedError

    def as_ourselves(self, statement: str) -> None:
        """Run it as who owns the database."""
        raise NotImplementedError

    def lock(self, table: str) -> Callable[[], object]:
        """Nobody gets at *table* until what is returned is called, or the test ends."""
        raise NotImplementedError

    def end_connections(self, asking: str) -> None:
        """Cut those that run a statement with *asking* in it."""
        raise NotImplementedError

    def lose_answers(self, connection: Any) -> None:
        """Cut it when the server has done what it is told next, and before anybody hears so."""
        raise NotImplementedError

    def pids(self) -> Sequence[int]:
        """The processes that work for us, and are to be found silent."""
        raise NotImplementedError

    def check_kept_alive(self) -> None:
        """The server was asked by all idle connections, and for nothing."""
        raise NotImplementedError

    def allow_connections(self, most: int | None) -> None:
        """So many may be open at once; without a number as many as one likes."""
        raise NotImplementedError

    def secure(self, certificate: bytes, authority: bytes) -> None:
        """Offer TLS until the test ends."""
        raise NotImplementedError

    def ask_for_certificates(self, authority: bytes) -> None:
        """Let in who shows one of that authority alone, until the test ends."""
        raise NotImplementedError

    async def check_encrypted(self, storage: Any, encrypted: bool) -> None:
        """Start it; all its connections are encrypted, or none, and it works."""
        raise NotImplementedError


class ServedCase(Differences, TestCase):
    def setUp(self) -> None:
        self.server, self.name = self.shared()
        self.server.empty(self.name)

    def make(self, **changes: Any) -> ServedStorage:
        """A storage on the database, not started yet; it is stopped when the test ends."""
        storage = self.storage_on(sql_server(self.server, database=self.name, **changes))
        self.addCleanup(storage.stop)
        return storage

    async def started(self, **changes: Any) -> ServedStorage:
        storage = self.make(**changes)
        await storage.start()
        await soon(lambda: self.connections(storage) == 6)
        return storage

    def connections(self, storage: ServedStorage) -> int:
        return storage.figures()["database_connections"]

    def counted(self, table: str) -> int:
        ((number,),) = self.server.admin(f"SELECT count(*) FROM {table}", self.name)
        return int(number)


class StartedCase(ServedCase):
    """The storage is open."""

    async def setUp(self) -> None:  # type: ignore[override]
        super().setUp()
        self.sent: list[bytes] = []
        self.storage = await self.started()

    @property
    def database(self) -> PostgresDatabase | MysqlDatabase:
        return self.storage.database

    def watch(self) -> None:
        """Note from now on what is sent to the database."""
        for slot in self.database._pool._slots:
            where, method = self.sender(slot.opened)
            self.patch(where, method, partial(self.noted, getattr(where, method)))

    def noted(self, send: Callable[[bytes], Any], sql: bytes) -> Any:
        self.sent.append(sql)
        return send(sql)
