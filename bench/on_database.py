"""Servers with a database server of their own beside them; what that uses is counted with them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from .databases.server import PASSWORD, USER, DatabaseServer, Missing
from .process import LOOPBACK
from .server import BenchServer

D = TypeVar("D", bound=DatabaseServer)


class OnDatabase(BenchServer, Generic[D]):
    """A server with a database server beside it, which is started before it and ends after it."""

    #: Of which kind that is, and what ejabberd's options call it.
    kind: ClassVar[type[DatabaseServer]]
    sql_type: ClassVar[str]
    _server: D | None = None
    _database = ""

    @classmethod
    def missing(cls) -> str | None:
        try:
            cls.kind.require()
        except Missing as reason:
            return str(reason)
        return super().missing()

    @abstractmethod
    def make_server(self) -> D:
        """Have one start that keeps nothing yet."""

    def start_database(self) -> D:
        """Have it start, with an empty database."""
        self._server = server = self.make_server()
        self._database = server.database()
        return server

    @property
    def server(self) -> D:
        """That of the database."""
        assert self._server is not None
        return self._server

    def sql_settings(self) -> dict[str, object]:
        """How the database is reached, in the words of ejabberd's options."""
        return {
            "sql_type": self.sql_type,
            "sql_server": LOOPBACK,
            "sql_port": self.server.port,
            "sql_database": self._database,
            "sql_username": USER,
            "sql_password": PASSWORD,
        }

    @property
    def pids(self) -> Sequence[int]:
        return (*super().pids, self.server.pid)

    def stop(self) -> None:
        super().stop()
        server, self._server = self._server, None
        if server is not None:
            server.remove()
