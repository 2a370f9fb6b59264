"""Joins what is written within one turn of the reactor into one write per stream."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

log = Logger()


class Flushable(Protocol):
    def flush(self) -> None: ...


class Turn:
    """Flushes at the end of the reactor's turn whoever has something to write; one timer for all."""

    __slots__ = ("_clock", "_waiting")

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: list[Flushable] = []

    def add(self, stream: Flushable) -> None:
        """Have *stream* flushed; it asks once per turn."""
        if not self._waiting:
            self._clock.callLater(0, self._end)
        self._waiting.append(stream)

    def _end(self) -> None:
        waiting, self._waiting = self._waiting, []
        for stream in waiting:
            try:
                stream.flush()
            except Exception:
                log.failure("could not send")  # the others of this turn are not to suffer for it
