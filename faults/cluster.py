"""A PostgreSQL of our own that can be restarted at any moment. Needs root, to run it as somebody else."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Final

from bench.process import LOOPBACK, Process, ServerFailed, free_port

USER: Final = "postgres"
DATABASE: Final = "federix"
#: Where Debian keeps what it does not put on the path; the newest version counts.
_INSTALLED: Final = Path("/usr/lib/postgresql")
#: As that user, and never longer than we.
_AS_USER: Final = ("setpriv", "--reuid", USER, "--regid", USER, "--clear-groups")
#: Seconds for what is run once.
_PATIENCE: Final = 60.0


def missing() -> str | None:
    """Why there can be none here; ``None`` where there can."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return "a PostgreSQL of its own needs root and setpriv"
    return None if _programs() is not None else "not installed: sh .ci/debian-packages postgresql"


class Cluster:
    """Keeps everything in *folder*, and durably, as it does unless it is told otherwise."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: Process | None = None

    def start(self) -> None:
        """Make it, with an empty database, and start it. Raises `ServerFailed`."""
        self._folder.mkdir(parents=True)
        shutil.chown(self._folder, USER, USER)
        _run("initdb", "--pgdata", self._data, "--auth", "trust", "--username", USER, "--no-instructions")
        self.start_again()
        _run("createdb", *self._where, DATABASE)

    def start_again(self) -> None:
        """Start it with what it holds. Raises `ServerFailed`."""
        programs = _programs()
        assert programs is not None
        settings = {"listen_addresses": LOOPBACK, "unix_socket_directories": "", "max_connections": 50}
        told = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [*_AS_USER, "--pdeathsig", "KILL", programs / "postgres", "-D", self._data, "-p", self.port, *told]
        self._process = Process("postgres", list(map(str, command)), self._folder, {})
        self._process.wait_for(lambda: _is_ready(*self._where))

    def restart(self, immediately: bool) -> None:
        """End it and start it again; *immediately*, as after a crash, or so that it leaves everything tidy."""
        self._end(signal.SIGQUIT if immediately else signal.SIGINT)
        self.start_again()

    def stop(self) -> None:
        if self._process is not None:
            self._end(signal.SIGQUIT)

    def said(self) -> str:
        return self._process.said() if self._process is not None else ""

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _where(self) -> tuple[str, ...]:
        return ("--host", LOOPBACK, "--port", str(self.port), "--username", USER)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        assert process is not None
        if process.running:
            # It waits for its own children.
            os.kill(process.pid, number)
        process.stop()


def _programs() -> Path | None:
    found = sorted(_INSTALLED.glob("*/bin/initdb"), key=lambda program: float(program.parts[-3]))
    return found[-1].parent if found else None


def _run(name: str, *arguments: str | Path) -> None:
    programs = _programs()
    assert programs is not None
    done = subprocess.run(
        [*_AS_USER, programs / name, *arguments],
        capture_output=True,
        text=True,
        cwd="/",
        timeout=_PATIENCE,
        check=False,
    )
    if done.returncode != 0:
        raise ServerFailed(f"{name}: {done.stderr or done.stdout}")


def _is_ready(*where: str) -> bool:
    programs = _programs()
    assert programs is not None
    return subprocess.run([programs / "pg_isready", *where], capture_output=True, check=False).returncode == 0
