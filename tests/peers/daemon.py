"""A server as a process with a group of its own, its output in a file; ended by its id, with all it started.

It ends with this process in any case, so that no run of the tests leaves servers behind for the next one to meet.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

START_TIMEOUT: Final = 60.0
STOP_TIMEOUT: Final = 15.0
#: Seconds between two looks.
_PERIOD: Final = 0.05
_TAIL: Final = 6000


class Daemon:
    """Runs *command* in *folder* whenever it is started; what it prints is added to *log*."""

    def __init__(self, command: Sequence[str | Path], folder: Path, log: Path, environment: Mapping[str, str]) -> None:
        self._command = [*dies_with_us(), *map(str, command)]
        self._name = str(command[0])
        self._folder = folder
        self._log = log
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, is_ready: Callable[[], bool]) -> None:
        """Start it and return when *is_ready* says so; a failure shows what it printed."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT
        while not is_ready():
            if self._process.poll() is not None:
                raise AssertionError(f"{self._name} ended on starting:\n{self.tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"{self._name} is not ready after {START_TIMEOUT:g} s:\n{self.tail()}")
            time.sleep(_PERIOD)

    @property
    def pid(self) -> int:
        """The id of its process."""
        assert self._process is not None, "it does not run"
        return self._process.pid

    def kill(self) -> None:
        """End it and what it started at once, without a chance to say goodbye."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            # It began its own session, so nobody else is in this group.
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()

    def stop(self) -> None:
        """Ask it to end, and kill it where it does not."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            pass
        self.kill()

    def tail(self) -> str:
        """The end of what it printed."""
        return self._log.read_bytes()[-_TAIL:].decode(errors="replace") if self._log.exists() else ""


def dies_with_us() -> list[str]:
    """What stands before a command whose process is to end with this one."""
    return ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


def accepts(address: str, port: int) -> bool:
    """Tell whether somebody accepts connections there."""
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True
