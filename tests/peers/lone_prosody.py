"""Prosody alone in the world, with accounts that may move: Debian's, for clients, and its migrator."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from .authority import Authority
from .daemon import Daemon, accepts, dies_with_us
from .requirements import requires, requires_mount_namespace
from .server import HOST, free_ports

PATIENCE: Final = 60.0
MODULES: Final = (
    *("blocklist", "disco", "mam", "offline", "pep", "ping", "private", "roster", "saslauth", "tls", "vcard"),
)
#: What its format of files for XEP-0227 has, in the migrator's words.
STORES: Final = ("accounts", "roster", "vcard", "private", "archive-archive", "pep-pubsub")
#: Where Debian's migrator reads and writes files of XEP-0227, whatever its configuration says.
_DATA: Final = "/var/lib/prosody"


class LoneProsody:
    """Serves `HOST`; *authentication* is ``internal_plain`` or ``internal_hashed``."""

    def __init__(self, folder: Path, authority: Authority, *, authentication: str) -> None:
        requires("prosody")
        requires("prosodyctl")
        requires("prosody-migrator")
        requires_mount_namespace()
        self.starttls_port, self.tls_port = self._ports = free_ports(2)
        self._folder = folder
        self.data = folder / "data"
        self.data.mkdir()
        self.log = folder / "prosody.log"
        self._configuration = folder / "prosody.cfg.lua"
        self._configuration.write_text(self._settings(authority, authentication))
        command: list[str | Path] = ["prosody", "--config", self._configuration, "-F"]
        self._daemon = Daemon(command, folder, folder / "prosody.out", {})

    def start(self) -> None:
        """Start it and return when both ports accept connections."""
        self._daemon.start(lambda: all(accepts("127.0.0.1", port) for port in self._ports))

    def register(self, user: str, password: str) -> None:
        """Make an account, as an operator would."""
        _run(["prosodyctl", "--root", "--config", self._configuration, "register", user, HOST, password])

    def write(self, folder: Path) -> None:
        """Write all accounts into *folder*, each as a file of XEP-0227; it does not run."""
        self._migrate(folder, f'type = "internal"; path = "{self.data}"', 'type = "xep0227"')

    def read(self, folder: Path) -> None:
        """Take the accounts from the files in *folder*; it does not run."""
        self._migrate(folder, 'type = "xep0227"', f'type = "internal"; path = "{self.data}"')

    def kill(self) -> None:
        """End it at once."""
        self._daemon.kill()

    def stop(self) -> None:
        """Ask it to end."""
        self._daemon.stop()

    def tail(self, lines: int = 80) -> str:
        """The end of its log, for whoever reads a failure."""
        log = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([self._daemon.tail(), *log[-lines:]])

    def _migrate(self, folder: Path, source: str, target: str) -> None:
        configuration = self._folder / "migrator.cfg.lua"
        stores = " ".join(f'"{store}";' for store in STORES)
        hosts = f'hosts = {{ ["{HOST}"] = {{ {stores} }} }}'
        configuration.write_text(f"input {{ {hosts}; {source} }}\noutput {{ {target} }}\n")
        # It has a view of the file system of its own, in which *folder* is Prosody's.
        mount = f"mount --bind '{folder}' {_DATA} && exec \"$@\""
        namespace = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh"]
        # Of an account without an archive, and of what it takes for the host itself, it says that nothing is found.
        _run([*namespace, "prosody-migrator", "--root", "--keep-going", "--config", configuration])

    def _settings(self, authority: Authority, authentication: str) -> str:
        return f"""
daemonize = false
run_as_root = true
data_path = "{self.data}"
pidfile = "{self._folder}/prosody.pid"
log = {{ {{ levels = {{ min = "info" }}, to = "file", filename = "{self.log}", timestamps = "%X" }} }}
interfaces = {{ "127.0.0.1" }}
use_ipv6 = false
c2s_ports = {{ {self.starttls_port} }}
c2s_direct_tls_ports = {{ {self.tls_port} }}
s2s_ports = {{}}
http_ports = {{}}
https_ports = {{}}
modules_disabled = {{ "s2s" }}
authentication = "{authentication}"
storage = "internal"
default_archive_policy = true
modules_enabled = {{ {" ".join(f'"{module}";' for module in MODULES)} }}
ssl = {{ certificate = "{authority.server_certificate}"; key = "{authority.server_key}"; }}
c2s_direct_tls_ssl = ssl
VirtualHost "{HOST}"
"""


def _run(command: list[str | Path]) -> str:
    done = subprocess.run(
        [*dies_with_us(), *map(str, command)], stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE
    )
    said = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode == 0, said
    return said
