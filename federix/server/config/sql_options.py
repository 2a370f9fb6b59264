"""Where things are kept: the options of databases, and what each kind of them needs."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from federix.core.options import Options, option
from federix.core.options.values import Secret

SqlType = Literal["sqlite", "pgsql", "mysql"]

DEFAULT_NAME: Final = "federix"
"""What the database of a server is called, and who owns it, unless said otherwise."""


@dataclass(frozen=True, slots=True)
class DatabaseServer:
    """What a kind of database server needs: the packages of an *extra* of ours; and the *port* it has by default."""

    port: int
    extra: str
    packages: tuple[str, ...]

    def missing(self) -> tuple[str, ...]:
        """The packages that are not installed."""
        return tuple(name for name in self.packages if importlib.util.find_spec(name) is None)


DATABASE_SERVERS: Final[Mapping[SqlType, DatabaseServer]] = MappingProxyType(
    {
        "pgsql": DatabaseServer(5432, "postgres", ("psycopg2", "txpostgres")),
        "mysql": DatabaseServer(3306, "mysql", ("pymysql",)),
    }
)
"""The kinds of databases that are servers of their own."""


@dataclass(frozen=True)
class SqlOptions(Options):
    """Part of `ServerOptions`; read once, at the start."""

    default_db: Literal["sql", "memory"] = option(
        "sql", "Where things are kept; `memory` forgets them when the server stops."
    )
    sql_type: SqlType = option(
        "sqlite", "The kind of database: a file, or a server of PostgreSQL (`pgsql`), of MariaDB or MySQL (`mysql`)."
    )
    sql_database: str | None = option(
        None,
        "SQLite: the file; none: federix.sqlite in the data directory. On a server: the name of the database; none:"
        " federix.",
    )
    sql_server: str = option("localhost", "The database server: a name, an address, or the folder of its socket.")
    sql_port: int | None = option(
        None, "The port of the database server; none: its usual one.", minimum=1, maximum=65535
    )
    sql_username: str = option(DEFAULT_NAME, "Who logs in to the database server.")
    sql_password: Secret = option(Secret(""), "The password for the database server.")
    sql_pool_size: int = option(
        10,
        "How many connections to the database server; a third of them write, the others read. Two are the least.",
        minimum=1,
    )
    sql_keepalive_interval: float = option(
        math.inf,
        "Seconds after which something is asked on a connection to the database server that has nothing to do.",
        unit="s",
        minimum=1,
        infinity=True,
    )
    sql_connect_timeout: float = option(
        5.0, "Seconds a connection to the database server may take.", unit="s", minimum=0.1
    )
    sql_query_timeout: float = option(
        60.0, "Seconds one statement may take in the database server.", unit="s", minimum=1
    )
    sql_start_interval: float = option(
        30.0,
        "Seconds until a database server that is away is tried again, at most; the first attempts follow sooner.",
        unit="s",
        minimum=0.1,
    )
    sql_ssl: bool = option(False, "Whether to speak TLS to the database server.")
    sql_ssl_verify: bool = option(False, "Whether its certificate must be good, and name `sql_server`.")
    sql_ssl_cafile: str | None = option(
        None, "File of the authorities (PEM) that its certificate is checked with; none: ca_file."
    )
    sql_ssl_certfile: str | None = option(
        None, "File with a certificate of our own and its key (PEM), for a database server that asks for one."
    )
    update_sql_schema: bool = option(
        True,
        "Whether the tables are made and brought up to date at the start. If not, a server waits with its start until"
        " `federixctl update_sql_schema`. A SQLite file is always brought up to date.",
    )

    def check_sql(self, ca_file: str | None) -> Iterable[tuple[str, str]]:
        """What is wrong between these options, and *ca_file*."""
        server = DATABASE_SERVERS.get(self.sql_type)
        missing = server.missing() if server is not None and self.default_db == "sql" else ()
        if server is not None and missing:
            yield (
                "sql_type",
                f"{self.sql_type} needs {' and '.join(missing)}, not installed: pip install 'federix[{server.extra}]'",
            )
        if self.sql_ssl_verify and not self.sql_ssl:
            yield "sql_ssl_verify", "has no meaning without sql_ssl: there is no certificate"
        elif self.sql_ssl_verify and not (self.sql_ssl_cafile or ca_file):
            yield "sql_ssl_verify", "needs sql_ssl_cafile, or ca_file: the authorities to check certificates with"


AT_START: Final = tuple(SqlOptions.__dataclass_fields__)
"""Their names."""
