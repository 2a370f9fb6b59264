"""A server's process: started, waited for, ended."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from pwd import struct_passwd
from typing import Final

LOOPBACK: Final = "127.0.0.1"
#: Seconds a server has for starting and for ending.
START_TIMEOUT: Final = 60.0
STOP_TIMEOUT: Final = 15.0
#: Before a command: it is ended when we are, however that happens.
_DIES_WITH_US: Final = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()


class ServerFailed(Exception):
    """A server did not start, or ended by itself; the text says what it said."""


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def raise_open_files() -> None:
    """As many open files as we may have; the servers and the load inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Process:
    """One server's process, with its output in a file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        folder: Path,
        environment: Mapping[str, str],
        user: struct_passwd | None = None,
    ) -> None:
        """It runs as *user*, or as we do."""
        self.name = name
        self._output = folder / f"{name}.out"
        with self._output.open("ab") as output:
            self._begins = output.tell()
            self._process = subprocess.Popen(
                [*_DIES_WITH_US, *map(str, command)],
                cwd=folder,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user and user.pw_uid,
                group=user and user.pw_gid,
                extra_groups=[] if user else None,
            )
        self.pid = self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait_for(self, ready: Callable[[], bool], every: float = 0.05) -> None:
        """Return when *ready*, asked *every* so many seconds, says yes.

        Raises `ServerFailed` where it does not come to that.
        """
        deadline = time.monotonic() + START_TIMEOUT
        while not ready():
            if self._process.poll() is not None:
                raise ServerFailed(f"{self.name} ended on starting:\n{self.said()}")
            if time.monotonic() > deadline:
                raise ServerFailed(f"{self.name} is not ready after {START_TIMEOUT:g} s:\n{self.said()}")
            time.sleep(every)

    def said(self, most: int = 3000) -> str:
        """The end of what it printed."""
        return self._output.read_bytes()[-most:].decode(errors="replace")

    def has_said(self, text: str) -> bool:
        """Whether it has printed *text*, since it was started."""
        return text.encode() in self._output.read_bytes()[self._begins :]

    def stop(self, how: signal.Signals = signal.SIGTERM, within: float = STOP_TIMEOUT) -> None:
        """End it and whatever it started: politely, then not."""
        if self._process.poll() is None:
            self._process.send_signal(how)
            try:
                self._process.wait(within)
            except subprocess.TimeoutExpired:
                pass
        self.kill()

    def kill(self) -> None:
        """End it and whatever it started at once, without a chance to tidy up."""
        try:
            os.killpg(self.pid, signal.SIGKILL)  # its own session: nobody else is in that group
        except ProcessLookupError:
            pass
        self._process.wait()


def answers(port: int, greeting: bytes, address: str = LOOPBACK) -> bool:
    """Whether somebody on that loopback port has an answer to *greeting*: who only listens may not be ready yet."""
    try:
        with socket.create_connection((address, port), 1.0) as connection:
            connection.sendall(greeting)
            return bool(connection.recv(1))
    except OSError:
        return False
