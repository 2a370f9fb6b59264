"""ejabberd alone in the world, with accounts that may move: Debian's, for clients and for its own commands."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

from .authority import Authority
from .daemon import Daemon, accepts
from .requirements import requires
from .server import HOST, free_ports

#: Seconds until one of its commands has answered.
PATIENCE: Final = 60.0
MODULES: Final = (
    *(
        "mod_blocking",
        "mod_caps",
        "mod_disco",
        "mod_last",
        "mod_mam",
        "mod_offline",
        "mod_ping",
        "mod_privacy",
        "mod_private",
    ),
    *("mod_roster", "mod_vcard"),
)


class LoneEjabberd:
    """Serves `HOST`; passwords are kept in *password_format*, ``plain`` or ``scram``."""

    def __init__(self, folder: Path, authority: Authority, *, password_format: str) -> None:
        requires("ejabberdctl")
        requires("erl")
        self.starttls_port, self.tls_port, self._http_port = self._ports = free_ports(3)
        self.log = folder / "ejabberd.log"
        configuration = folder / "ejabberd.yml"
        settings = self._settings(authority, password_format)
        configuration.write_text(yaml.safe_dump(settings, sort_keys=False))
        # Without +sbwt its schedulers spin when they have nothing to do.
        flags = ["+K", "true", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"]
        spool = folder / "spool"
        self._daemon = Daemon(
            ["erl", *flags, "-noinput", "-mnesia", "dir", f'"{spool}"', "-s", "ejabberd"],
            folder,
            folder / "ejabberd.out",
            {
                "HOME": str(folder),
                "EJABBERD_CONFIG_PATH": str(configuration),
                "EJABBERD_LOG_PATH": str(self.log),
                "ERL_LIBS": "/usr/lib/x86_64-linux-gnu",
                "ERL_CRASH_DUMP_BYTES": "0",
            },
        )

    def start(self) -> None:
        """Start it and return when all its ports accept connections."""
        self._daemon.start(lambda: all(accepts("127.0.0.1", port) for port in self._ports))

    def command(self, name: str, **arguments: str) -> object:
        """What `ejabberdctl` would answer: the same commands, asked by HTTP."""
        url = f"http://127.0.0.1:{self._http_port}/api/{name}"
        try:
            with urllib.request.urlopen(url, json.dumps(arguments).encode(), PATIENCE) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{name}: {error}: {error.read().decode()}\n{self.tail()}") from None

    def register(self, user: str, password: str) -> None:
        """Make an account while it runs."""
        self.command("register", user=user, host=HOST, password=password)

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

    def _settings(self, authority: Authority, password_format: str) -> Mapping[str, object]:
        listener = {"ip": "127.0.0.1"}
        modules: dict[str, object] = {name: {} for name in MODULES}
        modules["mod_mam"] = {"default": "always"}
        modules["mod_pubsub"] = {"plugins": ["flat", "pep"]}
        return {
            "hosts": [HOST],
            "loglevel": "info",
            "certfiles": [str(authority.server_chain)],
            "auth_password_format": password_format,
            "listen": [
                {**listener, "module": "ejabberd_c2s", "port": self.starttls_port, "starttls_required": True},
                {**listener, "module": "ejabberd_c2s", "port": self.tls_port, "tls": True},
                {
                    **listener,
                    "module": "ejabberd_http",
                    "port": self._http_port,
                    "request_handlers": {"/api": "mod_http_api"},
                },
            ],
            "api_permissions": {"tests": {"who": [{"ip": "127.0.0.1/8"}], "what": ["*"]}},
            "modules": modules,
        }
