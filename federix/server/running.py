"""A server under `twistd`: it has the reactor, the log, the signals and the process to itself."""

from __future__ import annotations

import os
import pwd
import resource
import signal
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.error import ReactorNotRunning
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized
from twisted.python.failure import Failure
from zope.interface import implementer

from ..core.commands import CommandError
from .allocator import settle_allocator
from .collector import Collector
from .config import Config
from .ctl.commands import Process
from .directory import make_directory
from .failures import NotStarted, explained
from .introduction import demo_accounts, demonstration, free_name, introduction
from .logs import ProcessLog
from .reloading import reread
from .server import Server
from .standstill import Standstill
from .start import load_config

log = Logger()

#: Seconds between two looks whether a start is done, or given up by a signal.
_LOOK: Final = 0.05
#: Seconds a start that was given up has to come to its end.
_GIVING_UP: Final = 5.0


@implementer(IService)
class Running(Service):
    """A whole process of `twistd`.

    The server has started when `startService` returns, or `NotStarted` is raised: only then does `twistd` tell who
    waits for it in the foreground, and that is by the exit code.
    """

    def __init__(
        self, config: Config, path: Path | None, twistd: Mapping[str, Any], log_format: Any, demo: Mapping[str, str]
    ) -> None:
        """*twistd* are its own options: who is to run the server, and where the log goes."""
        from twisted.internet import reactor

        self.setName("federix")  # type: ignore[no-untyped-call]
        self._reactor: Any = reactor
        self._config = config
        self._path = path
        self._demo = demo
        self._uid, self._gid = twistd.get("uid"), twistd.get("gid")
        if self._uid is not None and self._gid is None:
            self._gid = pwd.getpwuid(self._uid).pw_gid  # as twistd does it
        self._log = ProcessLog(twistd, log_format, config.server)
        # In the background there is no terminal any more, and twistd tells it 100 bytes of what went wrong.
        self._terminal = None if twistd.get("nodaemon", True) else os.dup(2)
        self._in_terminal = _has_terminal()
        self._process = Process(
            lambda: load_config(path, config.directory),
            self._end,
            self._log.levels.set,
            lambda new: self._log.adopt(new.server),
        )
        #: Who has ended the process before it ran: signals, by their names, or the operator.
        self._ended_by: list[str] = []
        self.server = Server(config, reactor, process=self._process)
        self._collector = Collector(self._reactor)
        self._standstill = Standstill(self._reactor)

    def setServiceParent(self, parent: Any) -> None:
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]
        try:
            observer = self._log.observer()
        except OSError as error:
            raise SystemExit("\n".join([*explained(error), "federix: not started"])) from None
        if observer is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, observer)  # type: ignore[no-untyped-call]

    # -- starting -------------------------------------------------------------------------------------------------

    def privilegedStartService(self) -> None:
        """With all rights: bind ports, read keys, make what the server will own. Raises `NotStarted`."""
        settle_allocator()
        raise_open_files()
        for warning in self._config.warnings:
            log.warn("configuration: {problem}", problem=str(warning))
        try:
            make_directory(self._config.directory, self._uid, self._gid)
            self.server.privilegedStartService()
        except Exception as error:
            self._give_up(error)

    def startService(self) -> None:
        """Raises `NotStarted`."""
        super().startService()  # type: ignore[no-untyped-call]
        for number, what in ((signal.SIGHUP, self._hang_up), (signal.SIGUSR1, self._log.rotate)):
            self._at(number, what)
        try:
            self._wait_for(self._start())
        except Exception as error:
            self._give_up(error)
        self._collector.start()
        self._standstill.start()
        if self._terminal is not None:
            os.close(self._terminal)

    async def _start(self) -> None:
        await self.server.start()
        accounts = await demo_accounts(self.server, self._demo)
        lines = introduction(self.server, self._path, await free_name(self.server))
        if self._demo:
            lines.extend(demonstration(self.server, accounts))
        for line in lines:
            log.info("{line}", line=line)

    def _wait_for(self, start: Coroutine[Any, Any, None]) -> None:
        """Turn the reactor, which does not run yet, until the start is done; raise what it raises."""
        outcome = _outcome(start)
        with _signals(self._ended_by):
            while not outcome and not self._ended_by:
                self._reactor.iterate(_LOOK)
            if self._ended_by:
                ended = _outcome(self.server.stop())
                deadline = self._reactor.seconds() + _GIVING_UP
                while not (outcome and ended) and self._reactor.seconds() < deadline:
                    self._reactor.iterate(_LOOK)
                raise InterruptedError(None, f"stopped by {self._ended_by[0]} before it had started")
        if isinstance(outcome[0], Failure):
            outcome[0].raiseException()

    def _give_up(self, error: Exception) -> NoReturn:
        problems = explained(error)
        if not self._log.on_terminal:
            for problem in problems:
                log.critical("not started: {problem}", problem=problem)
        told = "".join(f"{line}\n" for line in [*problems, "federix: not started"])
        os.write(2 if self._terminal is None else self._terminal, told.encode("utf-8", "replace"))
        raise NotStarted(problems[0]) from None

    def _at(self, number: signal.Signals, what: Callable[[], None]) -> None:
        """Do *what* at a signal, unless whoever started us wants it ignored, as `nohup` does."""
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: self._reactor.callFromThread(what))

    # -- running --------------------------------------------------------------------------------------------------

    def _hang_up(self) -> None:
        """SIGHUP: read the configuration again; unless it is the end of the terminal that the server was started in."""
        if not self._reactor.running:
            self._reactor.callWhenRunning(self._hang_up)  # the start comes first
            return
        if self._in_terminal and not _has_terminal():
            log.info("the terminal is gone: stopping")
            self._reactor.stop()
            return
        self._log.reopen()
        ensureDeferred(reread(self.server, self._process)).addErrback(_told)

    def _end(self) -> None:
        """End the process, as the operator wishes."""
        try:
            self._reactor.stop()
        except ReactorNotRunning:  # it starts still, or ends already
            self._ended_by.append("federixctl")

    def stopService(self) -> Deferred[None]:
        super().stopService()  # type: ignore[no-untyped-call]
        self._standstill.stop()
        self._collector.stop()
        for number in (signal.SIGINT, signal.SIGTERM):
            self._at(number, self._ends_already)
        return ensureDeferred(self.server.stop())

    def _ends_already(self) -> None:
        """Somebody is impatient: the reactor would call that an error."""
        log.info("the server is stopping already")


def _outcome(task: Coroutine[Any, Any, object]) -> list[object]:
    """Run *task*; the list has its result, or its failure, as soon as there is one."""
    outcome: list[object] = []
    ensureDeferred(task).addBoth(outcome.append)
    return outcome


def _told(failure: Failure) -> None:
    # What is wrong with the configuration is in the log already.
    if not isinstance(failure.value, CommandError):
        log.failure("could not reload", failure)


def _has_terminal() -> bool:
    """Whether the process belongs to a terminal; one that was closed is none."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


@contextmanager
def _signals(received: list[str]) -> Iterator[None]:
    """Collect the signals that end a process, as long as the reactor does not yet wait for them."""
    ending = (signal.SIGINT, signal.SIGTERM)
    note: Callable[[int, object], None] = lambda number, _: received.append(signal.Signals(number).name)  # noqa: E731
    before = {number: signal.signal(number, note) for number in ending}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def raise_open_files() -> int:
    """Each client is an open file: raise the limit as far as we may, and say how far that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError):
            return soft
    return hard
