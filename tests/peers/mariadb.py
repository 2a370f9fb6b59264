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
        self._programs = requires_program_in("mariadbd", "/usr/sbin", "/usr/libexec")
        install = requires_program_in("mariadb-install-db", "/usr/bin") / "mariadb-install-db"
        requires_python_package("pymysql")
        self._options = options or ("--innodb-flush-log-at-trx-commit=0",)
        self.folder = Path(tempfile.mkdtemp(prefix="federix-my-"))
        self.socket = self.folder / "mysqld.sock"
        (self.port,) = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None
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
        self.start()
        self.admin(f"CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'")

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        self._said_before = len(self.log())
        with (self.folder / "log").open("ab") as output:
            self._process = subprocess.Popen(
                [
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
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

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
        import pymysql

        connection = pymysql.connect(unix_socket=str(self.socket), user="root", database=database, autocommit=True)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall())
        finally:
            connection.close()

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
    server = MariaDb()
    atexit.register(server.remove)
    return server


@cache
def shared_mariadb_database() -> str:
    """One on the shared server, for those that `empty` it first."""
    return shared_mariadb().database()
