"""Federix, out of this tree, and the relay that is the floor."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import yaml

from federix.modules import MODULES

from . import people, watched
from .process import Process
from .server import MAX_STANZA, BenchServer

ROOT: Final = Path(__file__).parent.parent
TWISTD: Final = Path(sys.executable).parent / "twistd"


class Relay(BenchServer):
    """The floor; see `relay.py`."""

    name = "relay"
    mechanism = "PLAIN"

    @classmethod
    def missing(cls) -> str | None:
        return None

    @classmethod
    def version(cls) -> str:
        import twisted

        return f"bare relay on Twisted {twisted.__version__}"

    def _write(self) -> None:
        pass

    def _run(self) -> Process:
        command: list[str | Path] = [sys.executable, "-m", "bench.relay", str(self.port), self.certificate]
        return Process(self.name, command, self.folder, {"PYTHONPATH": str(ROOT)})


class Federix(BenchServer):
    """This tree."""

    name = "federix"
    #: Whether it archives messages.
    archives = False
    #: Virtual hosts beside the one that the clients use.
    more_hosts = 0
    #: Rosters beside those that every server has.
    rosters: Mapping[str, list[str]] = MappingProxyType({})

    @classmethod
    def missing(cls) -> str | None:
        return None

    @classmethod
    def version(cls) -> str:
        import federix

        return f"Federix {federix.__version__}"

    @property
    def database(self) -> Path:
        """The file of its accounts, rosters and archives."""
        return self.folder / "federix.sqlite"

    def _write(self) -> None:
        people.for_federix(self.users, self.database, self.rosters, self.domain)
        self._configuration.write_text(yaml.safe_dump(self._settings()))

    def _run(self) -> Process:
        told: list[str | Path] = ["federix", "-c", self._configuration, "-d", self.folder]
        command = [*self._twistd(), "--nodaemon", "--pidfile=", *told]
        return Process(self.name, command, self.folder, {"PYTHONPATH": str(ROOT)})

    @property
    def _configuration(self) -> Path:
        return self.folder / "federix.yml"

    def _twistd(self) -> list[str | Path]:
        return [TWISTD]

    def _settings(self) -> dict[str, object]:
        listener = {
            "module": "ejabberd_c2s",
            "port": self.port,
            "ip": self.address,
            "starttls": True,
            "starttls_required": False,
            "shaper": "none",
            "access": "all",
            "backlog": 4096,
            "max_stanza_size": MAX_STANZA,
            "max_connections_per_address": "infinity",
            "max_connections_per_second": "infinity",
        }
        return {
            "hosts": [self.domain, *(f"h{number}.{self.domain}" for number in range(self.more_hosts))],
            "loglevel": "warning",
            "certfiles": [str(self.certificate)],
            "listen": [listener],
            "modules": {name: {} for name in sorted(MODULES) if self.archives or name != "mod_mam"},
        }


class Watched(Federix):
    """This tree, with the pauses of its garbage collector noted."""

    def _twistd(self) -> list[str | Path]:
        return [sys.executable, "-m", "bench.watched", self.folder / "pauses"]

    def pauses(self, since: float) -> list[watched.Pause]:
        """The longer ones that ended after *since*, by the clock all processes share."""
        return watched.pauses(self.folder / "pauses", since)
