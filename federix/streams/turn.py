"""Turns of the reactor: what is written in one leaves in one write, and what takes long goes on in the next."""

from __future__ import annotations

from typing import Final, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

log = Logger()

#: How many go on in one turn of the reactor.
GO_ON_AT_MOST: Final = 8


class Flushable(Protocol):
    def flush(self) -> None: ...


class Yielding(Protocol):
    def go_on(self) -> None: ...


class Turn:
    """Calls at the end of the reactor's turn whoever has something to write or to go on with; one timer for all."""

    __slots__ = ("_clock", "_due", "_waiting", "_yielding")

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._due = False
        self._waiting: list[Flushable] = []
        self._yielding: list[Yielding] = []

    def add(self, stream: Flushable) -> None:
        """Have *stream* flushed; it asks once per turn."""
        if not self._due:
            self._due = True
            self._clock.callLater(0, self._end)
        self._waiting.append(stream)

    def again(self, stream: Yielding) -> None:
        """Have *stream* go on when the others have had their turn."""
        if not self._due:
            self._due = True
            self._clock.callLater(0, self._end)
        self._yielding.append(stream)

    def _end(self) -> None:
        # One that fails is not to be the others' loss.
        if self._yielding:
            # Those who are left are the first of the next turn: who has just connected is not to wait for all of them.
            yielding, self._yielding = self._yielding[:GO_ON_AT_MOST], self._yielding[GO_ON_AT_MOST:]
            for one in yielding:
                try:
                    one.go_on()
                except Exception:
                    log.failure("could not go on")
        # What they wrote leaves with the rest.
        waiting, self._waiting = self._waiting, []
        self._due = False
        if self._yielding:
            self._due = True
            self._clock.callLater(0, self._end)
        for stream in waiting:
            try:
                stream.flush()
            except Exception:
                log.failure("could not send")
