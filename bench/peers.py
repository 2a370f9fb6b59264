"""Prosody and ejabberd as Debian has them, set up to be like Federix and one another. Each has Federix's modules."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

from federix.modules import MODULES

from . import people
from .process import Process
from .server import MAX_STANZA, BenchServer

#: What of Federix's modules is called how elsewhere; those that are not here have no counterpart, or no part in this.
PROSODY_MODULES: Final[Mapping[str, str]] = {
    "mod_blocking": "blocklist",
    "mod_carboncopy": "carbons",
    "mod_client_state": "csi_simple",
    "mod_disco": "disco",
    "mod_last": "lastactivity",
    "mod_offline": "offline",
    "mod_ping": "ping",
    "mod_private": "private",
    "mod_register": "register",
    "mod_pubsub": "pep",
    "mod_roster": "roster",
    "mod_s2s_bidi": "s2s_bidi",
    "mod_s2s_dialback": "dialback",
    "mod_stream_mgmt": "smacks",
    "mod_time": "time",
    "mod_vcard": "vcard_legacy",
    "mod_version": "version",
}
EJABBERD_MODULES: Final = (
    *("mod_blocking", "mod_caps", "mod_carboncopy", "mod_client_state", "mod_disco", "mod_last", "mod_offline"),
    *("mod_ping", "mod_private", "mod_pubsub", "mod_register", "mod_roster", "mod_stream_mgmt", "mod_time"),
    *("mod_vcard", "mod_version"),
)
#: What the scenarios need.
NEEDED: Final = ("mod_disco", "mod_ping", "mod_roster")


class Prosody(BenchServer):
    """Debian's Prosody."""

    name = "prosody"
    federates = False
    #: Whether it archives messages.
    archives = False

    @classmethod
    def missing(cls) -> str | None:
        return None if shutil.which("prosody") else "not installed: sh .ci/debian-packages prosody"

    @classmethod
    def version(cls) -> str:
        return f"Prosody {_debian_version('prosody')}"

    def _write(self) -> None:
        data = self.folder / "data"
        people.for_prosody(self.users, data, self.domain)
        self._configuration.write_text(self._settings(data))

    def _run(self) -> Process:
        return Process(self.name, ["prosody", "--config", self._configuration, "-F"], self.folder, {})

    @property
    def _configuration(self) -> Path:
        return self.folder / "prosody.cfg.lua"

    def _settings(self, data: Path) -> str:
        modules = sorted({PROSODY_MODULES[m] for m in (*MODULES, *NEEDED) if m in PROSODY_MODULES})
        if self.archives:
            modules.append("mam")
        absent = {"offline"} - set(modules)
        if not self.federates:
            absent.add("s2s")
        return f"""
daemonize = false
run_as_root = true
data_path = "{data}"
pidfile = "{self.folder}/prosody.pid"
log = {{ {{ levels = {{ min = "warn" }}, to = "console" }} }}
interfaces = {{ "{self.address}" }}
c2s_ports = {{ {self.port} }}
http_ports = {{}}
https_ports = {{}}
c2s_require_encryption = false
c2s_stanza_size_limit = {MAX_STANZA}
network_settings = {{ tcp_backlog = 4096 }}
authentication = "internal_hashed"
password_hash = "SHA-256"
{self._kept()}
modules_enabled = {{ "saslauth"; "tls"; {" ".join(f'"{m}";' for m in modules)} }}
modules_disabled = {{ {" ".join(f'"{m}";' for m in sorted(absent))} }}
{self._between_servers()}
ssl = {{ certificate = "{self.certificate}"; key = "{self.certificate}"; {self._trusting()} }}
VirtualHost "{self.domain}"
"""

    def _kept(self) -> str:
        """Where it keeps things."""
        return 'storage = "internal"'

    def _between_servers(self) -> str:
        """What it is told about others of its kind."""
        return "s2s_ports = {}"

    def _trusting(self) -> str:
        """Whom it trusts."""
        return ""


class Ejabberd(BenchServer):
    """Debian's ejabberd, as a node of its own that knows of no other (so it needs no epmd)."""

    name = "ejabberd"

    @classmethod
    def missing(cls) -> str | None:
        return None if shutil.which("ejabberdctl") else "not installed: sh .ci/debian-packages ejabberd"

    @classmethod
    def version(cls) -> str:
        return f"ejabberd {_debian_version('ejabberd')}"

    def _write(self) -> None:
        people.for_ejabberd(self.users, self._accounts, self.domain)
        self._configuration.write_text(yaml.safe_dump(self._settings()))

    def _run(self) -> Process:
        self._seeded.unlink(missing_ok=True)
        after = (
            f'{{ok,_}} = application:ensure_all_started(ejabberd), {{ok,Records}} = file:consult("{self._accounts}"),'
            f' lists:foreach(fun mnesia:dirty_write/1, Records), ok = file:write_file("{self._seeded}", <<>>).'
        )
        spool = self.folder / "spool"
        # Without +sbwt its schedulers spin when they have nothing to do, and that would be counted.
        flags = ["+K", "true", "+P", "250000", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"]
        command = ["erl", *flags, "-noinput", "-mnesia", "dir", f'"{spool}"', "-s", "ejabberd", "-eval", after]
        environment = {
            "HOME": str(self.folder),
            "EJABBERD_CONFIG_PATH": str(self._configuration),
            "EJABBERD_LOG_PATH": str(self.folder / "ejabberd.log"),
            "ERL_LIBS": "/usr/lib/x86_64-linux-gnu",
            "ERL_MAX_PORTS": "32000",
            "ERL_CRASH_DUMP_BYTES": "0",
        }
        return self._process_of(command, environment)

    def _process_of(self, command: list[str], environment: Mapping[str, str]) -> Process:
        return Process(self.name, command, self.folder, environment)

    @property
    def _configuration(self) -> Path:
        return self.folder / "ejabberd.yml"

    @property
    def _accounts(self) -> Path:
        return self.folder / "accounts.terms"

    @property
    def _seeded(self) -> Path:
        return self.folder / "seeded"

    def _ready(self) -> bool:
        return self._seeded.exists() and super()._ready()

    def said(self) -> str:
        log = self.folder / "ejabberd.log"
        return super().said() + (log.read_text()[-3000:] if log.exists() else "")

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
        }
        modules: dict[str, object] = {name: {} for name in EJABBERD_MODULES if name in MODULES or name in NEEDED}
        if "mod_blocking" in modules:
            modules["mod_privacy"] = {}
        return {
            "hosts": [self.domain],
            "loglevel": "warning",
            "certfiles": [str(self.certificate)],
            "auth_password_format": "scram",
            "auth_scram_hash": "sha256",
            "listen": [listener],
            "modules": modules,
        }


def _debian_version(package: str) -> str:
    done = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Version}", package], capture_output=True, text=True, check=False
    )
    return done.stdout or "?"
