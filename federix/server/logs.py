"""The log: one line an event, for people or as JSON, from one level up.

Federix logs a constant sentence and fields. For people they become ``sentence (field: value, …)``.
"""

from __future__ import annotations

import json
import re
import sys
import syslog
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, cast

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
)
from twisted.python.failure import Failure
from twisted.python.logfile import LogFile
from zope.interface import directlyProvides, implementer

from .config import ServerOptions

log = Logger()

Format = Literal["text", "json"]

#: ejabberd's levels, by the ones there are here.
LEVELS: Final[Mapping[str, LogLevel]] = {
    "emergency": LogLevel.critical,
    "alert": LogLevel.critical,
    "critical": LogLevel.critical,
    "error": LogLevel.error,
    "warning": LogLevel.warn,
    "notice": LogLevel.info,
    "info": LogLevel.info,
    "debug": LogLevel.debug,
}

_ORDER: Final = list(LogLevel.iterconstants())

#: What separates fields and lines: a peer's word that has it could pose as another field.
_AMBIGUOUS: Final = re.compile(r'[,()\[\]"]|: ')

#: What an address is replaced with where addresses stay out of the log.
HIDDEN: Final = "(hidden)"
_ADDRESSES: Final = frozenset(("peer", "last"))


class ProcessLog:
    """The log of a whole process, in the place where `twistd` would write it."""

    def __init__(self, twistd: Mapping[str, Any], form: Format, options: ServerOptions) -> None:
        """*twistd* are its options: `nodaemon`, `logfile`, `syslog`, `prefix`, `logger`."""
        self.levels = Levels(options.loglevel)
        self._twistd = twistd
        self._form: Format = form
        self._hide = options.hide_sensitive_log_data
        self._stream: Any = None
        self._writer: Writer | None = None

    def observer(self) -> ILogObserver | None:
        """What is to hear of everything; None where the operator has given twistd a logger of his own."""
        if self._twistd.get("logger"):
            return None
        file, here = self._twistd.get("logfile"), self._twistd.get("nodaemon", True)
        if self._twistd.get("syslog"):
            self._stream = Syslog(self._twistd.get("prefix") or "federix")
        elif here and file in (None, "", "-"):
            self._stream = sys.stdout
        elif file == "-":
            return None  # a process in the background has no standard output, as twistd will say
        else:
            self._stream = _log_file(file or "twistd.log", None)
        self._writer = Writer(self._stream, self._form, hide=self._hide)
        return self.levels.observe(self._writer)

    @property
    def on_terminal(self) -> bool:
        """Whether the log is where problems are told anyway."""
        return self._stream is sys.__stdout__

    def adopt(self, options: ServerOptions) -> None:
        """Log from now on as *options* say."""
        self.levels.set(options.loglevel)
        if self._writer is not None:
            self._writer.hide = options.hide_sensitive_log_data

    def reopen(self) -> None:
        """The file may have been moved away: write to one of the old name, or else to the old one still."""
        old = self._stream
        if not isinstance(old, LogFile) or self._writer is None:
            return
        try:
            self._stream = self._writer.stream = _log_file(old.path, old.defaultMode)
        except OSError as error:
            # It may have been opened with rights that were given up since.
            log.error("the log cannot be opened again: {reason}", reason=str(error))
            return
        old.close()  # type: ignore[no-untyped-call]

    def rotate(self) -> None:
        """Move the file aside, and begin another."""
        if isinstance(self._stream, LogFile):
            self._stream.rotate()  # type: ignore[no-untyped-call]


def _log_file(path: str, mode: int | None) -> LogFile:
    # By itself it would be moved aside at a megabyte, and again and again: that is for the system.
    file: LogFile = LogFile.fromFullPath(path, rotateLength=None, defaultMode=mode)  # type: ignore[no-untyped-call]
    return file


class Syslog:
    """The system's log as a stream of lines."""

    def __init__(self, name: str) -> None:
        syslog.openlog(name, syslog.LOG_PID, syslog.LOG_DAEMON)

    def write(self, text: str) -> None:
        for line in text.splitlines():
            syslog.syslog(line)

    def flush(self) -> None:
        """Nothing waits."""


class Levels:
    """Which events are logged; to be changed while the server runs."""

    def __init__(self, level: str = "info") -> None:
        self._predicate = LogLevelFilterPredicate(defaultLogLevel=LogLevel.info)
        self._silent = False
        self.set(level)

    def set(self, level: str) -> None:
        """Log from *level* up: an ejabberd level's name; KeyError for what is none."""
        self._silent = level == "none"
        if not self._silent:
            self._predicate.setLogLevelForNamespace("", LEVELS[level])
            # Twisted tells of every port it opens, here and through its older interface.
            for chatty in ("twisted", "log_legacy"):
                self._predicate.setLogLevelForNamespace(chatty, max(LEVELS[level], LogLevel.warn, key=_ORDER.index))

    def observe(self, observer: ILogObserver) -> ILogObserver:
        """*observer*, hearing only what is to be logged."""
        filtered = FilteringLogObserver(observer, [self._predicate])

        def heard(event: LogEvent) -> None:
            if not self._silent:
                filtered(event)

        directlyProvides(heard, ILogObserver)
        return cast("ILogObserver", heard)


@implementer(ILogObserver)
class Writer:
    """Writes events as lines."""

    def __init__(self, stream: Any, form: Format, *, hide: bool) -> None:
        self.stream = stream
        self._write: Callable[[LogEvent], str] = as_json if form == "json" else as_text
        self.hide = hide

    def __call__(self, event: LogEvent) -> None:
        event = {key: self._address(value) if key in _ADDRESSES else value for key, value in event.items()}
        self.stream.write(self._write(event))
        self.stream.flush()

    def _address(self, address: object) -> object:
        """An IPv4 peer of an IPv6 socket is told by its IPv4 address."""
        return HIDDEN if self.hide else str(address).removeprefix("::ffff:")


def fields(event: LogEvent) -> dict[str, object]:
    """What an event says beside its sentence."""
    text = str(event.get("log_format") or "")
    hidden = ("log_", "isError", "why", "message", "time", "system", "format", "log", "source", "_")
    return {
        key: value
        for key, value in event.items()
        if not key.startswith(hidden) and key != "failure" and f"{{{key}" not in text
    }


def as_text(event: LogEvent) -> str:
    """``2026-11-20T09:30:00Z [info] client session opened (session: …)``."""
    told = ", ".join(f"{key}: {_field(value)}" for key, value in fields(event).items())
    why = event.get("why")
    if why and "log_format" in event and "{why" not in str(event["log_format"]):
        told = f"{told}, why: {_field(why)}" if told else f"why: {_field(why)}"
    sentence = _one_line(formatEvent(event)) or "(no text)"
    line = f"{_stamp(event)} [{_level(event)}] {sentence}{f' ({told})' if told else ''}\n"
    failure = event.get("log_failure")
    if isinstance(failure, Failure):
        line += failure.getTraceback()
    return line


def as_json(event: LogEvent) -> str:
    """One JSON object a line."""
    entry: dict[str, object] = {
        "time": _stamp(event),
        "level": _level(event),
        "event": formatEvent(event),
        "from": str(event.get("log_namespace", "")),
    }
    for key, value in fields(event).items():
        entry.setdefault(key, value if isinstance(value, bool | int | float | str | None) else str(value))
    if event.get("why") and "log_format" in event:
        entry["why"] = str(event["why"])
    failure = event.get("log_failure")
    if isinstance(failure, Failure):
        entry["traceback"] = failure.getTraceback()
    return json.dumps(entry) + "\n"


def _stamp(event: LogEvent) -> str:
    moment = datetime.fromtimestamp(float(event.get("log_time", 0.0)), UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _level(event: LogEvent) -> str:
    level = event.get("log_level")
    name = str(getattr(level, "name", "info"))
    return "warning" if name == "warn" else name


def _field(value: object) -> str:
    """A value among others: in quotes where it could be taken for more than one."""
    text = _one_line(value)
    return json.dumps(text, ensure_ascii=False) if _AMBIGUOUS.search(text) and text != HIDDEN else text


def _one_line(value: object) -> str:
    """What a peer wrote must not look like a line of ours."""
    return str(value).encode("unicode_escape").decode() if not str(value).isprintable() else str(value)
