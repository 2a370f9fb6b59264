"""Federix as the server under test: `twistd federix` in a process of its own, on free loopback ports."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

import yaml

from federix.server.ctl.asking import Connection, NoServer, Refused

from .authority import Authority
from .daemon import accepts
from .domains import CLIENT_PORT, DIRECT_TLS_PORT, PASSWORD, Domain
from .server import HOST, free_ports
from .zone import Zone

PROGRAMS = Path(sys.executable).parent
"""Where the virtual environment keeps `twistd` and `federixctl`."""
SOURCE = Path(__file__).parents[2]
START_TIMEOUT = 30.0
STOP_TIMEOUT = 20.0
COMMAND_TIMEOUT = 30.0
DATA: Final = "federix-data"
"""The folder of its data, in the folder it is started in."""

Options = Mapping[str, object]


class Federix:
    """Keeps configuration, data and log of one server in *folder*, so that it can be started there again."""

    def __init__(self, folder: Path, settings: Options, ports: Sequence[tuple[str, int]]) -> None:
        self._folder = folder
        self._configuration = folder / "federix.yml"
        self._configuration.write_text(yaml.safe_dump(dict(settings), sort_keys=False))
        self._ports = ports
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def start(self) -> None:
        """Start it and return when all its ports accept connections and its hosts are served."""
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
            command,
            cwd=self._folder,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + START_TIMEOUT
        while not all(accepts(*port) for port in self._ports):
            if self._process.poll() is not None:
                raise AssertionError(f"Federix ended on starting:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"Federix did not listen within {START_TIMEOUT:g} s:\n{self.log_tail()}")
            time.sleep(0.05)
        # Its ports are open before anything behind them is there: who connects early waits.
        while not self._is_running():
            assert time.monotonic() < deadline, f"Federix did not start:\n{self.log_tail()}"
            time.sleep(0.05)

    @property
    def pid(self) -> int:
        """The id of its process."""
        assert self._process is not None, "it does not run"
        return self._process.pid

    def command(self, *words: str) -> str:
        """Run `federixctl`, as an operator would; what it prints."""
        command: list[str | Path] = [PROGRAMS / "federixctl", "-c", self._configuration, *words]
        done = subprocess.run(
            command, cwd=self._folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_TIMEOUT
        )
        said = (done.stdout + done.stderr).decode(errors="replace")
        if done.returncode != 0:
            raise AssertionError(f"federixctl {words[0]} answered {done.returncode}:\n{said}")
        return said

    def configure(self, settings: Options) -> None:
        """Change some of its *settings*; it does not run."""
        assert self._process is None
        known = yaml.safe_load(self._configuration.read_text())
        self._configuration.write_text(yaml.safe_dump(known | dict(settings), sort_keys=False))

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
            raise AssertionError(f"Federix did not stop within {STOP_TIMEOUT:g} s:\n{self.log_tail()}") from None
        self._ended()

    def log_tail(self, lines: int = 60) -> str:
        """The end of its log."""
        return "\n".join((self._folder / "federix.log").read_text(errors="replace").splitlines()[-lines:])

    def _is_running(self) -> bool:
        try:
            with Connection(self._folder / DATA, "") as ctl:
                return bool(ctl.run("status", {})["state"] == "running")
        except NoServer:
            return False

    def _ended(self) -> None:
        assert self._process is not None
        assert self._log is not None
        self._process.wait()
        self._process = None
        self._log.close()


COMPONENT: Final = f"echo.{HOST}"
"""The domain that a component may have on the server for clients."""
COMPONENT_PASSWORD: Final = "what-light"


class FederixServer(Federix):
    """One server for `HOST` and its clients, alone in the world."""

    def __init__(self, folder: Path, authority: Authority, module_options: Mapping[str, Options] | None = None) -> None:
        self.starttls_port, self.tls_port, self.component_port = ports = free_ports(3)
        settings = self._settings(folder, authority, module_options or {})
        super().__init__(folder, settings, [("127.0.0.1", port) for port in ports])

    def register(self, user: str, password: str) -> None:
        """Make an account through `federixctl`, as an operator would."""
        self.command("register", user, HOST, password)

    def _settings(self, folder: Path, authority: Authority, module_options: Mapping[str, Options]) -> Options:
        listener = {"module": "ejabberd_c2s", "ip": "127.0.0.1"}
        modules: dict[str, Options] = {"mod_disco": {}, "mod_mam": {}, "mod_ping": {}, "mod_roster": {}}
        return {
            "hosts": [HOST],
            "certfiles": [str(authority.server_chain)],
            "sql_type": "sqlite",
            "sql_database": str(folder / "federix.db"),
            "listen": [
                {**listener, "port": self.starttls_port, "starttls_required": True},
                {**listener, "port": self.tls_port, "tls": True},
                {
                    "module": "ejabberd_service",
                    "ip": "127.0.0.1",
                    "port": self.component_port,
                    "hosts": {COMPONENT: {"password": COMPONENT_PASSWORD}},
                },
            ],
            "modules": modules | dict(module_options),
        }


class FederatingServer(Federix):
    """One server for *domains*, which finds others by *zone* and trusts those that *authority* vouches for.

    *components* may connect, each with `PASSWORD`, at the address of the first domain; *options* are further ones of
    the whole server.
    """

    def __init__(
        self,
        folder: Path,
        zone: Zone,
        authority: Path,
        domains: Sequence[Domain],
        *,
        components: Sequence[Domain] = (),
        options: Options | None = None,
    ) -> None:
        self.domains = domains
        self._folder = folder
        listeners: list[Options] = []
        for domain in domains:
            listeners += [
                {"module": "ejabberd_c2s", "ip": domain.address, "port": CLIENT_PORT, "starttls": True},
                {"module": "ejabberd_s2s_in", "ip": domain.address, "port": DIRECT_TLS_PORT, "tls": True},
            ]
        for address, port in dict.fromkeys(domain.place for domain in domains):
            listeners.append({"module": "ejabberd_s2s_in", "ip": address, "port": port})
        if components:
            hosts = {component.name: {"password": PASSWORD} for component in components}
            listeners.append(
                {"module": "ejabberd_service", "ip": domains[0].address, "port": COMPONENT_PORT, "hosts": hosts}
            )
        settings: dict[str, object] = {
            "hosts": [domain.name for domain in domains],
            "certfiles": [str(domain.certificate) for domain in (*domains, *components)],
            "ca_file": str(authority),
            "sql_type": "sqlite",
            "sql_database": str(folder / "federix.db"),
            "s2s_use_starttls": "required",
            "dns_servers": [zone.address],
            "s2s_dns_timeout": 2,
            "s2s_max_retry_delay": 1,
            "outgoing_s2s_families": ["ipv4" if all(domain.ipv6_port is None for domain in domains) else "ipv6"],
            "listen": listeners,
            "modules": {
                name: {} for name in ("mod_disco", "mod_last", "mod_ping", "mod_roster", "mod_time", "mod_version")
            },
            "append_host_config": {domain.name: {"modules": _switches(domain)} for domain in domains},
        }
        ports = [port for domain in domains for port in ((domain.address, CLIENT_PORT), domain.place)]
        super().__init__(folder, settings | dict(options or {}), ports)

    def start(self) -> None:
        """Start it with the account of each domain, and return when these may log in."""
        super().start()
        with Connection(self._folder / DATA, "") as ctl:
            for domain in self.domains:
                try:
                    ctl.run("register", {"user": domain.user, "host": domain.name, "password": PASSWORD})
                except Refused as refused:
                    # Started again, it knows them.
                    assert "already" in str(refused), refused

    def ask(self, command: str, **arguments: object) -> str:
        """What the running server answers to a command of `federixctl`, as JSON."""
        with Connection(self._folder / DATA, "") as ctl:
            return json.dumps(ctl.run(command, arguments))


COMPONENT_PORT: Final = 5347


def _switches(domain: Domain) -> Options:
    return {
        **({"mod_s2s_dialback": {}} if domain.dialback else {}),
        **({"mod_s2s_bidi": {}} if domain.bidi else {}),
    }
