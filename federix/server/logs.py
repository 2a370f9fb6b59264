"""The log: one line an event, for people or as JSON, from one level up.

Federix logs a constant sentence and fields. For people they become ``sentence (field: value, …)``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, Literal, TextIO, cast

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
)
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer

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

#: What an address is replaced with where addresses stay out of the log.
HIDDEN: Final = "(hidden)"
_ADDRESSES: Final = frozenset(("peer", "last"))


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

    def __init__(self, stream: TextIO, form: Format, *, hide: bool) -> None:
        self._stream = stream
        self._write: Callable[[LogEvent], str] = as_json if form == "json" else as_text
        self._hide = hide

    def __call__(self, event: LogEvent) -> None:
        if self._hide:
            event = {key: HIDDEN if key in _ADDRESSES else value for key, value in event.items()}
        self._stream.write(self._write(event))
        self._stream.flush()


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
    told = ", ".join(f"{key}: {_one_line(value)}" for key, value in fields(event).items())
    why = event.get("why")
    if why and "log_format" in event and "{why" not in str(event["log_format"]):
        told = f"{told}, why: {_one_line(why)}" if told else f"why: {_one_line(why)}"
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
    return json.dumps(entry, ensure_ascii=False) + "\n"


def _stamp(event: LogEvent) -> str:
    moment = datetime.fromtimestamp(float(event.get("log_time", 0.0)), UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _level(event: LogEvent) -> str:
    level = event.get("log_level")
    name = str(getattr(level, "name", "info"))
    return "warning" if name == "warn" else name


def _one_line(value: object) -> str:
    """What a peer wrote must not look like a line of ours."""
    return str(value).encode("unicode_escape").decode() if not str(value).isprintable() else str(value)
