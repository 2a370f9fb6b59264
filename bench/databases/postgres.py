"""A real PostgreSQL server for whoever needs one to itself.

PostgreSQL refuses to run as root, so there it runs as the user `postgres`, whom Debian's package brings.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ..process import Process
from .server import PASSWORD, PATIENCE, USER, DatabaseServer, require_package, require_program

#: Who made the database cluster, and may connect without a password over the socket alone.
ADMIN: Final = "postgres"

#: It sorts as people do, as on most machines, and not by code points.
_LANGUAGE: Final = ("--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US")

_FOLDERS: Final = ("/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin", "/usr/pgsql-*/bin")

_CONFIGURATION: Final = """
listen_addresses = '127.0.0.1'
unix_socket_directories = '{folder}'
max_connections = 60
shared_buffers = 16MB
log_min_messages = warning
"""

_ACCESS: Final = """
local all postgres trust
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
"""

_ACCESS_WITH_CERTIFICATES: Final = """
local all postgres trust
hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca
"""


class Postgres(DatabaseServer):
    name = "postgres"
    system_user = "postgres"
    stopping = signal.SIGINT
    crashing = signal.SIGQUIT

    def __init__(self, *, settings: Mapping[str, str] | None = None, within: Path | None = None) -> None:
        """*settings* go into its configuration; without any it may forget what it said when the machine stops."""
        self._settings = settings or {"fsync": "off"}
        super().__init__(within)

    @staticmethod
    def require() -> Path:
        programs = require_program("postgres", *_FOLDERS)
        require_package("psycopg2")
        require_package("txpostgres")
        return programs

    def _make(self) -> None:
        how = ("--no-sync", "--auth=trust", f"--username={ADMIN}", "--encoding=UTF8", *_LANGUAGE)
        self._run(self._programs / "initdb", "-D", self.data, *how)
        lines = [f"{name} = '{value}'" for name, value in self._settings.items()]
        with (self.data / "postgresql.conf").open("a") as configuration:
            configuration.write(_CONFIGURATION.format(folder=self.folder) + "\n".join([*lines, ""]))
        self._set_access(_ACCESS)

    def _command(self) -> Sequence[str | Path]:
        return [self._programs / "postgres", "-D", self.data, "-p", str(self.port)]

    def _is_ready(self, process: Process) -> bool:
        asked: list[str | Path] = [self._programs / "pg_isready", "-q", "-h", self.folder, "-p", str(self.port)]
        return subprocess.run(asked, check=False).returncode == 0

    def _let_in(self) -> None:
        self.admin(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")

    def database(self) -> str:
        name = self._new_name()
        self.admin(f"CREATE DATABASE {name} OWNER {USER} TEMPLATE template0")
        return name

    def empty(self, database: str) -> None:
        # That is quicker than to make another one.
        self.admin(f"DROP OWNED BY {USER}", database)

    def connect(self, database: str | None = None) -> Any:
        import psycopg2

        connection = psycopg2.connect(host=str(self.folder), port=self.port, user=ADMIN, dbname=database or "postgres")
        connection.autocommit = True
        return connection

    def secure(self, chain: bytes) -> None:
        """Offer TLS with that certificate and key (PEM)."""
        path = self._install("server.pem", chain)
        for setting in ("ssl_cert_file", "ssl_key_file"):
            self.admin(f"ALTER SYSTEM SET {setting} = '{path}'")
        self._set_tls("on")

    def insecure(self) -> None:
        """Offer no TLS any more, nor ask for certificates."""
        self._set_access(_ACCESS)
        self._set_tls("off")

    def ask_for_certificates(self, authority: bytes) -> None:
        """Let in only who comes with TLS and a certificate of that *authority* (PEM); the password is needed too."""
        self.admin(f"ALTER SYSTEM SET ssl_ca_file = '{self._install('clients.pem', authority)}'")
        self._set_access(_ACCESS_WITH_CERTIFICATES)
        self._set_tls("on")

    def _set_access(self, lines: str) -> None:
        (self.data / "pg_hba.conf").write_text(lines)

    def _set_tls(self, word: str) -> None:
        self.admin(f"ALTER SYSTEM SET ssl = {word}")
        self.admin("SELECT pg_reload_conf()")
        end = time.monotonic() + PATIENCE
        while self.admin("SHOW ssl") != [(word,)] and time.monotonic() < end:
            time.sleep(0.02)
