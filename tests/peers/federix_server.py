"""Federix as the server under test: `twistd federix` in a process of its own, on free loopback ports."""

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import yaml

from .authority import Authority
from .server import HOST, accepts, free_ports

PROGRAMS = Path(sys.executable).parent
"""Where the virtual environment keeps `twistd` and `federixctl`."""
START_TIMEOUT = 30.0
STOP_TIMEOUT = 20.0
COMMAND_TIMEOUT = 30.0

Options = Mapping[str, object]


class FederixServer:
    """Keeps configuration, data and log of one server in *folder*, so that it can be started there again."""

    def __init__(self, folder: Path, authority: Authority, module_options: Mapping[str, Options] | None = None) -> None:
        self.starttls_port, self.tls_port = free_ports(2)
        self._folder = folder
        self._configuration = folder / "federix.yml"
        self._configuration.write_text(yaml.safe_dump(self._settings(authority, module_options or {})))
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def start(self) -> None:
        """Start it and return when both ports accept connections."""
        self._log = (self._folder / "federix.log").open("ab")
        # twistd refuses to start beside the pid file that a killed server left behind: keep none.
        command: list[str | Path] = [
            PROGRAMS / "twistd",
            "--nodaemon",
            "--pidfile=",
            "federix",
            "-c",
            self._configuration,
        ]
        self._process = subprocess.Popen(
            command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT
        )
        deadline = time.monotonic() + START_TIMEOUT
        while not (accepts(self.starttls_port) and accepts(self.tls_port)):
            if self._process.poll() is not None:
                raise AssertionError(f"Federix ended on starting:\n{self._log_tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"Federix did not listen within {START_TIMEOUT:g} s:\n{self._log_tail()}")
            time.sleep(0.05)

    def register(self, user: str, password: str) -> None:
        """Make an account through `federixctl`, as an operator would."""
        command: list[str | Path] = [
            PROGRAMS / "federixctl",
            "-c",
            self._configuration,
            "register",
            user,
            HOST,
            password,
        ]
        done = subprocess.run(
            command, cwd=self._folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_TIMEOUT
        )
        if done.returncode != 0:
            said = (done.stdout + done.stderr).decode(errors="replace")
            raise AssertionError(f"federixctl register answered {done.returncode}:\n{said}")

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        if self._process is None:
            return
        self._process.kill()
        self._ended()

    def stop(self) -> None:
        """Ask it to end (SIGTERM); one that does not within the time allowed is a failure."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"Federix did not stop within {STOP_TIMEOUT:g} s:\n{self._log_tail()}") from None
        self._ended()

    def _ended(self) -> None:
        assert self._process is not None
        assert self._log is not None
        self._process.wait()
        self._process = None
        self._log.close()

    def _log_tail(self) -> str:
        return "\n".join((self._folder / "federix.log").read_text(errors="replace").splitlines()[-60:])

    def _settings(self, authority: Authority, module_options: Mapping[str, Options]) -> dict[str, object]:
        listener = {"module": "ejabberd_c2s", "ip": "127.0.0.1"}
        modules: dict[str, Options] = {"mod_disco": {}, "mod_ping": {}, "mod_roster": {}}
        return {
            "hosts": [HOST],
            "certfiles": [str(authority.server_chain)],
            "sql_type": "sqlite",
            "sql_database": str(self._folder / "federix.db"),
            "listen": [
                {**listener, "port": self.starttls_port, "starttls_required": True},
                {**listener, "port": self.tls_port, "tls": True},
            ],
            "modules": modules | dict(module_options),
        }
