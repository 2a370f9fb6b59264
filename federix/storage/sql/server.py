"""Where a database server is found, and how it is to be treated: the options whose names begin with ``sql_``."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SqlTls:
    """TLS to the database. With *verify* its certificate must be one of *cafile*'s, and name the server."""

    verify: bool
    cafile: str | None
    certfile: str | None
    """Our own certificate and its key, in one file."""


@dataclass(frozen=True, slots=True)
class SqlServer:
    """A database server. Times are in seconds."""

    host: str
    """A name, an address, or the folder of a Unix socket."""
    port: int
    database: str
    username: str
    password: str = field(repr=False)
    pool_size: int
    keepalive_interval: float | None
    connect_timeout: float
    query_timeout: float
    start_interval: float
    tls: SqlTls | None
    update_schema: bool
    identity: str = ""
    """What tells this server from others that use the same database, after a crash as before; "" where nothing does."""

    @property
    def name(self) -> str:
        """What the operator calls it."""
        return f"{self.database} at {self.host}:{self.port}"
