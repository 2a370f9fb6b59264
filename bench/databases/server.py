"""A real database server: in a folder of its own, on a port of 127.0.0.1, ended by its process id."""

from __future__ import annotations

import atexit
import glob
import importlib.util
import itertools
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from ..process import Process, ServerFailed, free_port

#: Whom databases belong to.
USER: Final = "federix"
PASSWORD: Final = "wherefore art thou"
#: Seconds a server has for ending.
PATIENCE: Final = 60.0


class Missing(Exception):
    """A database server, or its driver, is not installed here; the text says which."""


class DatabaseServer(ABC):
    """A server; `start` and `stop` as often as one likes, what it keeps stays until `remove`."""

    name: ClassVar[str]
    #: As whom it runs where we are root; Debian's package brings that user.
    system_user: ClassVar[str]
    #: How it is told to throw out whoever is connected, and to end; and how it ends as if it had crashed.
    stopping: ClassVar[signal.Signals]
    crashing: ClassVar[signal.Signals]

    def __init__(self, within: Path | None = None) -> None:
        """Its folder is made *within* that one, which its user must be able to enter. Raises `Missing`."""
        self._programs = self.require()
        self.folder = Path(tempfile.mkdtemp(prefix="federix-db-", dir=within))
        self.data = self.folder / "data"
        self.port = free_port()
        self._process: Process | None = None
        self._numbers = itertools.count(1)
        self._user = pwd.getpwnam(self.system_user) if os.geteuid() == 0 else None
        self._own(self.folder)
        self._make()
        atexit.register(self.remove)
        self.start()
        self._let_in()

    @staticmethod
    @abstractmethod
    def require() -> Path:
        """Where its programs are. Raises `Missing` where it cannot be had."""

    @abstractmethod
    def _make(self) -> None:
        """Make what it starts on."""

    @abstractmethod
    def _command(self) -> Sequence[str | Path]: ...

    @abstractmethod
    def _is_ready(self, process: Process) -> bool: ...

    @abstractmethod
    def _let_in(self) -> None:
        """Make `USER`, just after its first start."""

    @property
    def pid(self) -> int:
        """That of the process all others of it descend from."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, if it does not run, and return when it takes connections. Raises `ServerFailed`."""
        if self._process is None:
            self._process = process = Process(self.name, self._command(), self.folder, {}, self._user)
            process.wait_for(lambda: self._is_ready(process))

    def stop(self) -> None:
        """Stop it as a restart does: whoever is connected is thrown out."""
        self._end(self.stopping)

    def kill(self) -> None:
        """Stop it as if it had crashed."""
        self._end(self.crashing)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.stop(how, PATIENCE)

    def remove(self) -> None:
        """End it, and forget what it kept."""
        atexit.unregister(self.remove)
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @abstractmethod
    def database(self) -> str:
        """The name of a new, empty database that belongs to `USER`."""

    @abstractmethod
    def empty(self, database: str) -> None:
        """Remove all that `USER` has in *database*."""

    @abstractmethod
    def connect(self, database: str | None = None) -> Any:
        """A connection of the one who may do everything. It begins no transaction by itself."""

    def admin(self, statement: str, database: str | None = None) -> list[Any]:
        """Run a statement as the one who may do everything; the rows it finds."""
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def _new_name(self) -> str:
        return f"federix_{next(self._numbers)}"

    def _run(self, *command: str | Path) -> None:
        """Run one of its programs to its end."""
        user = self._user
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd=self.folder,
            check=False,
            user=user and user.pw_uid,
            group=user and user.pw_gid,
            extra_groups=[] if user else None,
        )
        if done.returncode:
            raise ServerFailed(f"{command[0]}: {done.stdout}{done.stderr}")

    def _install(self, name: str, content: bytes) -> Path:
        """Put a file into its folder that it alone may read."""
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(0o600)
        self._own(path)
        return path

    def _own(self, path: Path) -> None:
        if self._user is not None:
            os.chown(path, self._user.pw_uid, self._user.pw_gid)


def require_program(program: str, *folders: str) -> Path:
    """The folder that holds *program*: one of *folders*, patterns of paths, the last version of it; or on the PATH."""
    found = [Path(match) for pattern in folders for match in glob.glob(f"{pattern}/{program}")]
    on_path = shutil.which(program)
    if not found and on_path is None:
        raise Missing(f"{program} is not installed")
    by_version = sorted(found, key=lambda path: [int(number) for number in re.findall(r"\d+", str(path))])
    return (by_version[-1] if by_version else Path(str(on_path)).resolve()).parent


def require_package(name: str) -> None:
    if importlib.util.find_spec(name) is None:
        raise Missing(f"the Python package {name} is not installed")
