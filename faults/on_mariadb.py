"""Federix on a MariaDB of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

from bench.databases.mariadb import MariaDb
from bench.databases.server import PASSWORD, USER
from bench.on_database import OnDatabase
from bench.process import LOOPBACK
from federix.storage.my.copying import MyTarget
from federix.storage.sql.copying import copy
from federix.storage.sql.server import SqlServer

from .on_server import FederixOnServer

#: As durable as it is unless it is told otherwise.
_SETTING: Final = "--innodb-flush-log-at-trx-commit=1"
#: Seconds for the accounts to be copied, each statement of that.
_PATIENCE: Final = 60.0


class FederixOnMariaDb(OnDatabase[MariaDb], FederixOnServer):
    """This tree; the accounts are written to SQLite and copied."""

    name = "federix-mariadb"
    kind = MariaDb
    sql_type = "mysql"

    @classmethod
    def storage(cls) -> str:
        return "MariaDB"

    def make_server(self) -> MariaDb:
        return MariaDb(_SETTING, within=self.folder)

    def _write(self) -> None:
        self.start_database()
        super()._write()
        target = MyTarget(self._address())
        with closing(target):
            copy(self.database, target, lambda done, total, table: None)
        self.database.unlink()

    def _address(self) -> SqlServer:
        return SqlServer(
            LOOPBACK,
            self.server.port,
            self._database,
            USER,
            PASSWORD,
            pool_size=1,
            keepalive_interval=None,
            connect_timeout=_PATIENCE,
            query_timeout=_PATIENCE,
            start_interval=_PATIENCE,
            tls=None,
            update_schema=True,
        )

    def _settings(self) -> dict[str, object]:
        return super()._settings() | self.sql_settings()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with closing(self.server.connect(self._database)) as connection, connection.cursor() as cursor:
            # Reading is possible meanwhile, as it is with SQLite.
            # One lock alone: with several it and a transaction of the server may wait for each other.
            cursor.execute("LOCK TABLES archive READ")
            try:
                yield
            finally:
                cursor.execute("UNLOCK TABLES")
