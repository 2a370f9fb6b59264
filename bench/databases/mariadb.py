"""A real MariaDB server for whoever needs one to itself."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..process import Process
from .server import PASSWORD, USER, DatabaseServer, require_package, require_program


class MariaDb(DatabaseServer):
    name = "mariadb"
    system_user = "mysql"
    stopping = signal.SIGTERM
    crashing = signal.SIGKILL

    def __init__(self, *options: str, within: Path | None = None) -> None:
        """*options* are its own, as on its command line."""
        self._options = options or ("--innodb-flush-log-at-trx-commit=2",)
        self._tls: list[str] = []
        super().__init__(within)

    @staticmethod
    def require() -> Path:
        programs = require_program("mariadbd", "/usr/sbin", "/usr/libexec")
        require_program("mariadb-install-db", "/usr/bin")
        require_package("pymysql")
        return programs

    @property
    def socket(self) -> Path:
        return self.folder / "mysqld.sock"

    def _make(self) -> None:
        install = require_program("mariadb-install-db", "/usr/bin") / "mariadb-install-db"
        how = ("--no-defaults", f"--datadir={self.data}", "--auth-root-authentication-method=normal")
        self._run(install, *how)

    def _command(self) -> Sequence[str | Path]:
        return [
            self._programs / "mariadbd",
            "--no-defaults",
            f"--datadir={self.data}",
            f"--socket={self.socket}",
            f"--pid-file={self.folder / 'pid'}",
            # Where it starts it removes what others of its kind have left there, and what they are about to use.
            f"--tmpdir={self.folder}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--innodb-buffer-pool-size=16M",
            "--innodb-log-file-size=8M",
            *self._options,
            *self._tls,
        ]

    def _is_ready(self, process: Process) -> bool:
        # Not by connecting: what fails leaves PyMySQL's socket behind.
        return process.has_said("ready for connections")

    def _let_in(self) -> None:
        # Who is nobody in particular would be taken for us where we come by the socket.
        for (host,) in self.admin("SELECT Host FROM mysql.user WHERE User = ''"):
            self.admin(f"DROP USER ''@'{host}'")
        self.admin(f"CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'")

    def database(self) -> str:
        name = self._new_name()
        self.admin(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        self.admin(f"GRANT ALL ON {name}.* TO '{USER}'@'%'")
        return name

    def empty(self, database: str) -> None:
        self.admin(f"DROP DATABASE {database}")
        self.admin(f"CREATE DATABASE {database} CHARACTER SET utf8mb4")

    def connect(self, database: str | None = None) -> Any:
        import pymysql

        return pymysql.connect(
            unix_socket=str(self.socket), user="root", database=database, autocommit=True, ssl_disabled=True
        )

    def secure(self, certificate: bytes, authority: bytes) -> None:
        """Restart it with TLS; *certificate* comes with its key, *authority* vouches for clients."""
        files = (("cert", certificate), ("key", certificate), ("ca", authority))
        self._restart([f"--ssl-{option}={self._install(f'{option}.pem', content)}" for option, content in files])

    def insecure(self) -> None:
        """Restart it without TLS."""
        self._restart([])

    def _restart(self, tls: list[str]) -> None:
        self._tls = tls
        self.stop()
        self.start()
