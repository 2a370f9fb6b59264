"""A real MariaDB server for tests: in a folder of its own, on a port of 127.0.0.1, ended by its process id."""

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
#: As whom it runs where we are root; Debian's package brings that user.
SYSTEM_USER: Final = "mysql"
PATIENCE: Final = 60.0


class MariaDb:
    """A server; `start` and `stop` as often as one likes, what it keeps stays until `remove`."""

    def __init__(self, *options: str) -> None:
        """*options* are its own, as on its command line."""
        try:
            self._programs = requires_program_in("mariadbd", "/usr/sbin", "/usr/libexec")
            install = requires_program_in("mariadb-install-db", "/usr/bin") / "mariadb-install-db"
            requires_python_package("pymysql")
        except pytest.skip.Exception as skipped:
            # Trial knows its own word for it alone.
            raise SkipTest(str(skipped)) from None
        self._options = options or ("--innodb-flush-log-at-trx-commit=2",)
        self.folder = Path(tempfile.mkdtemp(prefix="federix-my-"))
        self.socket = self.folder / "mysqld.sock"
        (self.port,) = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._tls: list[str] = []
        self._numbers = itertools.count(1)
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam(SYSTEM_USER)
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        made = subprocess.run(
            [install, "--no-defaults", f"--datadir={self.folder / 'data'}", "--auth-root-authentication-method=normal"],
            capture_output=True,
            text=True,
            cwd=self.folder,
            check=False,
            **self._as,
        )
        if made.returncode:
            raise AssertionError(f"mariadb-install-db: {made.stdout}{made.stderr}")
        atexit.register(self.remove)
        self.start()
        # Who is nobody in particular would be taken for us where we come by the socket.
        for (host,) in self.admin("SELECT Host FROM mysql.user WHERE User = ''"):
            self.admin(f"DROP USER ''@'{host}'")
        self.admin(f"CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'")

    def start(self) -> None:
        """Start it if it does not run, and return when it takes connections."""
        if self._process is not None:
            return
        self._said_before = len(self.log())
        with (self.folder / "log").open("ab") as output:
            self._process = subprocess.Popen(
                # It ends with this process in any case, however that ends.
                [
                    *dies_with_us(),
                    self._programs / "mariadbd",
                    "--no-defaults",
                    f"--datadir={self.folder / 'data'}",
                    f"--socket={self.socket}",
                    f"--pid-file={self.folder / 'pid'}",
                    f"--port={self.port}",
                    "--bind-address=127.0.0.1",
                    "--skip-name-resolve",
                    "--innodb-buffer-pool-size=16M",
                    "--innodb-log-file-size=8M",
                    *self._options,
                    *self._tls,
                ],
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
                raise AssertionError(f"MariaDB did not start:\n{self.log()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it as a restart does: whoever is connected is thrown out."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Stop it as if it had crashed."""
        self._end(signal.SIGKILL)

    def remove(self) -> None:
        """End it, and forget what it kept."""
        atexit.unregister(self.remove)
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def secure(self, certificate: bytes, authority: bytes) -> None:
        """Restart it with TLS; *certificate* comes with its key, *authority* vouches for clients."""
        self._tls = []
        for option, content in (("cert", certificate), ("key", certificate), ("ca", authority)):
            path = self.folder / f"{option}.pem"
            path.write_bytes(content)
            if self._as:
                os.chown(path, self._as["user"], self._as["group"])
            path.chmod(0o600)
            self._tls.append(f"--ssl-{option}={path}")
        self.stop()
        self.start()

    def insecure(self) -> None:
        """Restart it without TLS."""
        self._tls = []
        self.stop()
        self.start()

    def database(self) -> str:
        """The name of a new, empty database that belongs to `USER`."""
        name = f"federix_{next(self._numbers)}"
        self.admin(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        self.admin(f"GRANT ALL ON {name}.* TO '{USER}'@'%'")
        return name

    def empty(self, database: str) -> None:
        """Remove all that is in *database*."""
        self.admin(f"DROP DATABASE {database}")
        self.admin(f"CREATE DATABASE {database} CHARACTER SET utf8mb4")

    def admin(self, statement: str, database: str | None = None) -> list[Any]:
        """Run a statement as the one who may do everything; the rows it finds."""
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def connect(self, database: str | None = None) -> Any:
        """A connection of the one who may do everything."""
        import pymysql

        return pymysql.connect(
            unix_socket=str(self.socket), user="root", database=database, autocommit=True, ssl_disabled=True
        )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _is_ready(self) -> bool:
        # Not by connecting: what fails leaves PyMySQL's socket behind.
        return "ready for connections" in self.log()[self._said_before :]

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
def shared_mariadb() -> MariaDb:
    """One for all tests of this process that leave it running."""
    return MariaDb()


@cache
def shared_mariadb_database() -> str:
    """One on the shared server, for those that `empty` it first."""
    return shared_mariadb().database()
