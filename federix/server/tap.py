"""``twistd federix``: a server as a Twisted application."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger, globalLogPublisher
from twisted.python import usage
from twisted.python.failure import Failure
from zope.interface import implementer

from .config import Config, ConfigErrors
from .ctl.commands import Process
from .logs import Levels, Writer
from .server import Server
from .start import load_config

log = Logger()

#: Accounts and passwords of ``--demo``.
DEMO_ACCOUNTS: Final = {"romeo": "wherefore", "juliet": "balcony"}


class Options(usage.Options):
    """What stands behind ``twistd federix``."""

    synopsis = "[-c FILE] [-d DIRECTORY]"
    longdesc = "A federated XMPP server. Without a configuration it serves localhost, on loopback only."
    optFlags = [  # noqa: RUF012
        ["demo", None, "Make the accounts romeo and juliet, for trying things out on loopback."],
    ]
    optParameters = [  # noqa: RUF012 (as Twisted asks for it)
        ["config", "c", None, "The configuration: YAML in the grammar of ejabberd.yml."],
        ["directory", "d", None, "Where the data is kept; ./federix-data otherwise."],
        ["log-format", None, "text", "text or json."],
    ]

    def postOptions(self) -> None:
        if self["log-format"] not in ("text", "json"):
            raise usage.UsageError("--log-format is text or json")


def makeService(options: Options) -> IService:
    """The server that *options* describe; a configuration that is wrong is told in full, and nothing starts."""
    path = Path(options["config"]) if options["config"] else None
    directory = Path(options["directory"]) if options["directory"] else None
    try:
        config = load_config(path, directory)
    except ConfigErrors as errors:
        raise SystemExit("\n".join([str(problem) for problem in errors.problems] + ["federix: not started"])) from None
    if options["demo"] and not all(_is_loopback(listener.ip) for listener in config.listeners):
        raise SystemExit("federix: --demo is for loopback only: everybody knows these passwords")
    return Running(config, path, options["log-format"], DEMO_ACCOUNTS if options["demo"] else {})


def _is_loopback(ip: str) -> bool:
    return ip_address(ip).is_loopback


@implementer(IService)
class Running(Service):
    """A server under twistd: it has the reactor, the log and the process to itself."""

    def __init__(self, config: Config, path: Path | None, log_format: Any, demo: Mapping[str, str]) -> None:
        from twisted.internet import reactor

        self.setName("federix")  # type: ignore[no-untyped-call]
        self._reactor: Any = reactor
        self._config = config
        self._path = path
        self._levels = Levels(config.server.loglevel)
        self._log_format = log_format
        self._demo = demo
        process = Process(lambda: load_config(path, config.directory), self._reactor.stop, self._levels.set)
        self.server = Server(config, reactor, process=process)

    def privilegedStartService(self) -> None:
        raise_open_files()
        self._log_our_way()
        for warning in self._config.warnings:
            log.warn("configuration: {problem}", problem=str(warning))
        try:
            self.server.privilegedStartService()
        except CannotListenError as error:
            raise SystemExit(f"federix: {error}\nIs a server running there already?") from None

    def _log_our_way(self) -> None:
        """Take the place of twistd's own observer, on the same stream."""
        theirs = list(globalLogPublisher._observers)
        stream = _stream_of(theirs) or sys.stdout
        writer = Writer(stream, self._log_format, hide=self._config.server.hide_sensitive_log_data)
        for observer in theirs:
            globalLogPublisher.removeObserver(observer)
        globalLogPublisher.addObserver(self._levels.observe(writer))

    def startService(self) -> Deferred[None]:
        super().startService()  # type: ignore[no-untyped-call]
        starting = ensureDeferred(self._start())
        starting.addCallbacks(self._started, self._could_not_start)
        return starting

    async def _start(self) -> None:
        await self.server.start()
        host = self.server.host(self.server.default_host)
        assert host is not None
        for user, password in self._demo.items():
            if not await host.accounts.exists(user):
                await host.accounts.register(user, password)

    def _started(self, _: object) -> None:
        lines = introduction(self.server, self._path)
        if self._demo:
            lines.extend(demonstration(self.server))
        for line in lines:
            log.info("{line}", line=line)

    def _could_not_start(self, failure: Failure) -> None:
        log.failure("could not start", failure)
        if self._reactor.running:
            self._reactor.stop()
        else:
            self._reactor.callWhenRunning(self._reactor.stop)

    def stopService(self) -> Deferred[None]:
        super().stopService()  # type: ignore[no-untyped-call]
        return ensureDeferred(self.server.stop())


def _stream_of(observers: list[Any]) -> Any:
    """The stream that one of twistd's observers writes to."""
    for observer in observers:
        for candidate in (observer, getattr(observer, "_observer", None), getattr(observer, "__self__", None)):
            stream = getattr(candidate, "_outFile", None)
            if stream is not None:
                return stream
    return None


def introduction(server: Server, path: Path | None) -> list[str]:
    """What runs where and how to add a user, in five lines."""
    config = server.config
    ports = ", ".join(listener.name.removeprefix("ejabberd_c2s at ") for listener in config.listeners)
    option = f" -c {path}" if path else ""
    data = "" if config.directory == Path("federix-data").absolute() else f" -d {config.directory}"
    host = config.hosts[0]
    return [
        f"Federix serves {', '.join(config.hosts)}; data is kept in {config.directory}",
        f"Clients connect to {ports}",
        f"Add a user:   federixctl{option}{data} register romeo {host} PASSWORD",
        f"Look around:  federixctl{option}{data} status, connected_users, tree",
        "Stop it:      Ctrl-C" if sys.stdin and sys.stdin.isatty() else f"Stop it:      federixctl{option}{data} stop",
    ]


def demonstration(server: Server) -> list[str]:
    """What to try with the demo accounts."""
    host = server.default_host
    accounts = ", ".join(f"{user}@{host} (password {password})" for user, password in DEMO_ACCOUNTS.items())
    return [
        f"Demo accounts: {accounts}",
        f"Try it:        profanity -a romeo@{host}, or any client; its certificate is self-signed, so trust it once",
    ]


def raise_open_files() -> int:
    """Each client is an open file: raise the limit as far as we may, and say how far that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError):
            return soft
    return hard
