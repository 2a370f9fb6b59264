"""The server that is soaked: `twistd federix` out of this tree, with a configuration that has every module."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from bench import certificate
from bench.names import DOMAIN, HEADER
from bench.process import LOOPBACK, Process, answers, free_port
from federix.modules import MODULES
from federix.server.ctl.asking import Connection

from . import people
from .log import LogReader
from .login import Ports

_ROOT: Final = Path(__file__).resolve().parent.parent
#: Bytes of the largest stanza: small, so that one that is too large is cheap.
MAX_STANZA: Final = 64 * 1024
#: Seconds for a new log to be there after it was asked for.
LOG_TIMEOUT: Final = 30.0


class Soaked:
    """The server's process, in a folder of its own."""

    def __init__(self, folder: Path, residents: int, visitors: int, negotiation_timeout: float) -> None:
        self.folder = folder
        self._negotiation_timeout = negotiation_timeout
        self.ports = Ports(free_port(), free_port())
        self._log = folder / "federix.log"
        self.log = LogReader(self._log)
        self._configuration = folder / "federix.yml"
        self._certificate = certificate.make(folder / "certificate.pem")
        self._reloads = 0
        self._moved = 0
        people.write(residents, visitors, folder / "federix.sqlite")
        self._write_configuration()
        twistd = Path(sys.executable).parent / "twistd"
        command: list[str | Path] = [twistd, "--nodaemon", "--pidfile="]
        command += ["--logfile", self._log, "federix", "-c", self._configuration, "-d", folder]
        self._process = Process("federix", command, folder, {"PYTHONPATH": str(_ROOT)})
        self.pid = self._process.pid
        try:
            self._process.wait_for(lambda: answers(self.ports.plain, HEADER))
        except BaseException:
            self._process.stop()
            raise

    def stop(self) -> None:
        self._process.stop()

    @property
    def running(self) -> bool:
        state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"

    def said(self) -> str:
        """What it wrote beside its log, where nothing belongs."""
        return self._process.said()

    def database_bytes(self) -> int:
        return sum(file.stat().st_size for file in self.folder.glob("federix.sqlite*"))

    # -- what an operator does ----------------------------------------------------------------------------------------

    def command(self, name: str, **arguments: object) -> Any:
        """What `federixctl` would do; waits for the answer."""
        with Connection(self.folder, "make soak") as connection:
            return connection.run(name, arguments)

    def stats(self) -> Mapping[str, int]:
        figures: Mapping[str, int] = self.command("stats")
        return figures

    def change_configuration(self) -> None:
        """Write another configuration; it is in force after a reload."""
        self._reloads += 1
        self._write_configuration()

    def hang_up(self) -> None:
        """Move the log away, as a log rotation does, and have it reopened; the configuration is read as well.

        Raises OSError where no new log comes.
        """
        self._moved += 1
        self._log.rename(self._log.with_name(f"{self._log.name}.moved-{self._moved}"))
        os.kill(self.pid, signal.SIGHUP)
        deadline = time.monotonic() + LOG_TIMEOUT
        while not self._log.exists():
            if time.monotonic() > deadline:
                raise OSError(f"no new log {LOG_TIMEOUT:g} s after SIGHUP")
            time.sleep(0.05)

    def _write_configuration(self) -> None:
        new = self._configuration.with_suffix(".new")
        new.write_text(yaml.safe_dump(self._settings()))
        new.replace(self._configuration)

    def _settings(self) -> dict[str, object]:
        odd = self._reloads % 2
        listener = {
            "module": "ejabberd_c2s",
            "ip": LOOPBACK,
            "access": "all",
            "shaper": "none",
            "starttls_required": False,
            "max_stanza_size": MAX_STANZA,
            "backlog": 1024,
            "send_timeout": 15 + odd,
        }
        modules: dict[str, dict[str, object]] = {name: {} for name in sorted(MODULES)}
        modules["mod_ping"] = {"send_pings": True, "ping_interval": 30 + odd, "timeout_action": "kill"}
        modules["mod_roster"] = {"max_requests": 250 + odd}
        if odd:
            del modules["mod_time"]  # a module that comes and goes
        return {
            "hosts": [DOMAIN],
            "loglevel": "info",
            "negotiation_timeout": self._negotiation_timeout,
            # One address registers them all.
            "registration_timeout": "infinity",
            "certfiles": [str(self._certificate)],
            "listen": [
                {**listener, "port": self.ports.plain, "starttls": True},
                {**listener, "port": self.ports.tls, "tls": True},
            ],
            "modules": modules,
        }
