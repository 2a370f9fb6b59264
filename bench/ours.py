"""Federix, out of this tree, and the relay that is the floor."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from federix.modules import MODULES

from . import people
from .names import DOMAIN
from .process import LOOPBACK, Process
from .server import MAX_STANZA, BenchServer


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

    def _start(self) -> Process:
        command: list[str | Path] = [sys.executable, "-m", "bench.relay", str(self.port), self.certificate]
        return Process(self.name, command, self.folder, {"PYTHONPATH": str(Path(__file__).parent.parent)})


class Federix(BenchServer):
    """This tree."""

    name = "federix"

    @classmethod
    def missing(cls) -> str | None:
        return None

    @classmethod
    def version(cls) -> str:
        import federix

        return f"Federix {federix.__version__}"

    def _start(self) -> Process:
        people.for_federix(self.users, self.folder / "federix.sqlite")
        configuration = self.folder / "federix.yml"
        configuration.write_text(yaml.safe_dump(self._settings()))
        twistd = Path(sys.executable).parent / "twistd"
        command: list[str | Path] = [
            twistd,
            "--nodaemon",
            "--pidfile=",
            "federix",
            "-c",
            configuration,
            "-d",
            self.folder,
        ]
        return Process(self.name, command, self.folder, {})

    def _settings(self) -> dict[str, object]:
        listener = {
            "module": "ejabberd_c2s",
            "port": self.port,
            "ip": LOOPBACK,
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
            "hosts": [DOMAIN],
            "loglevel": "warning",
            "certfiles": [str(self.certificate)],
            "listen": [listener],
            "modules": {name: {} for name in sorted(MODULES)},
        }
