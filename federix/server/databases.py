"""The storage that a configuration asks for; a back end is imported where one is chosen."""

from __future__ import annotations

import math
import socket
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from ..life.executor import Executor
from ..life.tree import Node
from ..storage.memory import MemoryStorage
from ..storage.storage import Storage
from .config import Config
from .config.sql_options import DATABASE_SERVERS, DEFAULT_NAME, SqlType
from .directory import make_directory

if TYPE_CHECKING:
    from ..storage.sql.copying import Target

#: Seconds for a database to end: many writes may wait still.
STOP_TIMEOUT: Final = 60.0


class StorageNode(Node):
    """The database: first up, last down. Where it is a server that is away, the start waits for it.

    *read* fetches what all others need of it.
    """

    #: What was to be written by then is written.
    stop_timeout = STOP_TIMEOUT

    def __init__(self, config: Config, storage: Storage, clock: Any, read: Callable[[], Awaitable[None]]) -> None:
        super().__init__("storage", clock)
        self._config = config
        self._storage = storage
        self._read = read

    async def on_start(self) -> None:
        make_directory(self._config.directory)
        await self._storage.start()
        try:
            await self._read()
        except BaseException:
            await self._storage.stop()
            raise

    async def on_stop(self) -> None:
        await self._storage.stop()


def storage_for(config: Config, executor: Executor, reactor: Any) -> Storage:
    """The storage of a server with that configuration, not started yet."""
    if config.server.default_db == "memory":
        return MemoryStorage()
    return _BACK_ENDS[config.server.sql_type](config, executor, reactor)


def _sqlite(config: Config, executor: Executor, reactor: Any) -> Storage:
    from ..storage.sqlite import SqliteStorage

    return SqliteStorage(str(config.database()), executor, clock=reactor)


def _postgres(config: Config, executor: Executor, reactor: Any) -> Storage:
    from ..storage.postgres import PostgresStorage

    return PostgresStorage(_server(config), executor, reactor)


def _mysql(config: Config, executor: Executor, reactor: Any) -> Storage:
    from ..storage.mysql import MysqlStorage

    return MysqlStorage(_server(config), reactor)


_BACK_ENDS: Final[Mapping[SqlType, Callable[[Config, Executor, Any], Storage]]] = MappingProxyType(
    {"sqlite": _sqlite, "pgsql": _postgres, "mysql": _mysql}
)


def copied_into(config: Config) -> Target:
    """The database server that a configuration asks for, connected, to be copied into. Raises `StoreError`."""
    server = _server(config)
    if config.server.sql_type == "pgsql":
        from ..storage.pg.copying import PgTarget

        return PgTarget(server)
    from ..storage.my.copying import MyTarget

    return MyTarget(server)


def _server(config: Config) -> Any:
    """The database server that the options describe."""
    from ..storage.sql.server import SqlServer, SqlTls

    options = config.server
    cafile = options.sql_ssl_cafile or options.ca_file
    certfile = options.sql_ssl_certfile
    tls = SqlTls(
        verify=options.sql_ssl_verify,
        cafile=None if cafile is None else str(config.file(cafile)),
        certfile=None if certfile is None else str(config.file(certfile)),
    )
    keepalive = options.sql_keepalive_interval
    return SqlServer(
        host=options.sql_server,
        port=options.sql_port or DATABASE_SERVERS[options.sql_type].port,
        database=options.sql_database or DEFAULT_NAME,
        username=options.sql_username,
        password=options.sql_password.reveal(),
        pool_size=options.sql_pool_size,
        keepalive_interval=None if math.isinf(keepalive) else keepalive,
        connect_timeout=options.sql_connect_timeout,
        query_timeout=options.sql_query_timeout,
        start_interval=options.sql_start_interval,
        tls=tls if options.sql_ssl else None,
        update_schema=options.update_sql_schema,
        # A data directory belongs to one server alone.
        identity=sha256(f"{socket.gethostname()} {config.directory}".encode()).hexdigest()[:16],
    )
