"""A real PostgreSQL server for tests: in a folder of its own, on a port of 127.0.0.1, ended by its process id.

PostgreSQL refuses to run as root, so there it runs as the user `postgres`, whom Debian's package brings.
"""

from __future__ import annotations

import atexit
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final
from unittest import SkipTest

import pytest

from .daemon import dies_with_us
from .requirements import requires_program_in, requires_python_package
from .server import free_ports

USER: Final = "federix"
PASSWORD: Final = "wherefore art thou"
#: Who made the database cluster, and may connect without a password over the socket alone.
ADMIN: Final = "postgres"
PATIENCE: Final = 60.0

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


class Postgres:
    """A server; `start` and `stop` as often as one likes, what it keeps stays until `remove`."""

    def __init__(self, *, settings: Mapping[str, str] | None = None, within: Path | None = None) -> None:
        """*settings* go into its configuration; without any it may forget what it said when the machine stops.

        Its folder is made *within* that one, which its user must be able to enter.
        """
        try:
            self._programs = self.require()
        except pytest.skip.Exception as skipped:
            # Trial knows its own word for it alone.
            raise SkipTest(str(skipped)) from None
        self.folder = Path(tempfile.mkdtemp(prefix="federix-pg-", dir=within))
        self._data = self.folder / "data"
        (self.port,) = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam(ADMIN)
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._run("initdb", "--no-sync", "--auth=trust", f"--username={ADMIN}", "--encoding=UTF8", *_LANGUAGE)
        lines = [f"{name} = '{value}'" for name, value in (settings or {"fsync": "off"}).items()]
        with (self._data / "postgresql.conf").open("a") as configuration:
            configuration.write(_CONFIGURATION.format(folder=self.folder) + "\n".join([*lines, ""]))
        (self._data / "pg_hba.conf").write_text(_ACCESS)
        atexit.register(self.remove)
        self.start()
        self.admin(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")

    @property
    def pid(self) -> int:
        """That of the process all others of it descend from."""
        assert self._process is not None
        return self._process.pid

    @staticmethod
    def require() -> Path:
        """Where its programs are. Skips the test where it cannot be had."""
        programs = requires_program_in("postgres", *_FOLDERS)
        requires_python_package("psycopg2")
        requires_python_package("txpostgres")
        return programs

    def start(self) -> None:
        """Start it, if it does not run, and return when it takes connections."""
        if self._process is not None:
            return
        with (self.folder / "log").open("ab") as output:
            self._process = subprocess.Popen(
                # It ends with this process in any case, however that ends.
                [*dies_with_us(), self._programs / "postgres", "-D", self._data, "-p", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
                **self._as,
            )
        end = time.monotonic() + PATIENCE
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"PostgreSQL did not start:\n{self.log()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it as a restart does: whoever is connected is thrown out."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Stop it as if it had crashed."""
        self._end(signal.SIGQUIT)

    def remove(self) -> None:
        """End it, and forget what it kept."""
        atexit.unregister(self.remove)
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def database(self) -> str:
        """The name of a new, empty database that belongs to `USER`."""
        name = f"federix_{next(self._numbers)}"
        self.admin(f"CREATE DATABASE {name} OWNER {USER} TEMPLATE template0")
        return name

    def empty(self, database: str) -> None:
        """Remove all that `USER` has in *database*; that is quicker than to make another one."""
        self.admin(f"DROP OWNED BY {USER}", database)

    def admin(self, statement: str, database: str = "postgres") -> list[Any]:
        """Run a statement as the one who may do everything; the rows it finds."""
        connection = self.connect(database)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def connect(self, database: str) -> Any:
        """A connection of the one who may do everything."""
        import psycopg2

        return psycopg2.connect(host=str(self.folder), port=self.port, user=ADMIN, dbname=database)

    def secure(self, chain: bytes) -> None:
        """Offer TLS with that certificate and key (PEM)."""
        path = self._install("server.pem", chain)
        for setting in ("ssl_cert_file", "ssl_key_file"):
            self.admin(f"ALTER SYSTEM SET {setting} = '{path}'")
        self._set_tls("on")

    def insecure(self) -> None:
        """Offer no TLS any more, nor ask for certificates."""
        (self._data / "pg_hba.conf").write_text(_ACCESS)
        self._set_tls("off")

    def ask_for_certificates(self, authority: bytes) -> None:
        """Let in only who comes with TLS and a certificate of that *authority* (PEM); the password is needed too."""
        self.admin(f"ALTER SYSTEM SET ssl_ca_file = '{self._install('clients.pem', authority)}'")
        (self._data / "pg_hba.conf").write_text(_ACCESS_WITH_CERTIFICATES)
        self._set_tls("on")

    def _set_tls(self, word: str) -> None:
        self.admin(f"ALTER SYSTEM SET ssl = {word}")
        self.admin("SELECT pg_reload_conf()")
        end = time.monotonic() + PATIENCE
        while self.admin("SHOW ssl") != [(word,)] and time.monotonic() < end:
            time.sleep(0.02)

    def _install(self, name: str, content: bytes) -> Path:
        """Put a file into its folder that it alone may read."""
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(0o600)
        if self._as:
            os.chown(path, self._as["user"], self._as["group"])
        return path

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def _is_ready(self) -> bool:
        asked = [self._programs / "pg_isready", "-q", "-h", self.folder, "-p", str(self.port)]
        return subprocess.run(asked, check=False).returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs / program, "-D", self._data, *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder,
            check=False,
            **self._as,
        )
        if done.returncode:
            raise AssertionError(f"{program}: {done.stdout}{done.stderr}")

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@cache
def shared_postgres() -> Postgres:
    """One for all tests of this process that leave it running."""
    return Postgres()


@cache
def shared_database() -> str:
    """One on the shared server, for those that `empty` it first."""
    return shared_postgres().database()
