"""Streams on their way to a login: how many of them there may be, and who must go so that others can come.

What somebody costs who only connects (7 KiB, and 40 with TLS) costs him nothing, so there must be a bound. When it is
reached nobody is let in: who knocks waits in the queue of the system, as in the minute after a restart when all clients
come at once. And whoever has made no step for a while goes, so those who mean it get in.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

from twisted.logger import Logger

from ..life.scope import Scope, Timer

log = Logger()

#: How many streams may be on their way to a login: all of them together take some 50 MiB at the very most.
ARRIVING_AT_MOST: Final = 512
#: Seconds without a step after which a stream must go when others knock.
STALLED: Final = 3.0
#: Seconds between two looks for room, and the part of all that goes in one: others are to be heard in between.
LOOK_EVERY: Final = 0.0125
PART: Final = 128
#: Crowds are logged together, once in so many seconds.
TOLD_EVERY: Final = 60.0


class Arriving(Protocol):
    """A stream on its way to a login."""

    def crowd_out(self) -> None:
        """End: it has stalled, and others knock."""


class Arrivals:
    """The streams on their way, those first whose last step is longest ago.

    *close_doors* is called when there are *most* of them, *open_doors* when there is room again.
    """

    def __init__(
        self,
        seconds: Callable[[], float],
        close_doors: Callable[[], None],
        open_doors: Callable[[], None],
        most: int = ARRIVING_AT_MOST,
    ) -> None:
        self._seconds = seconds
        self._close_doors = close_doors
        self._open_doors = open_doors
        self._most = most
        #: When each made its last step.
        self._steps: OrderedDict[Arriving, float] = OrderedDict()
        self._looking: Timer | None = None
        self._crowded_out = 0
        self._told = float("-inf")

    def __len__(self) -> int:
        return len(self._steps)

    @property
    def full(self) -> bool:
        """Whether nobody is let in at the moment."""
        return self._looking is not None

    def step(self, stream: Arriving, scope: Scope) -> None:
        """*stream* has come, or come a step further; what must be done later is done in *scope*."""
        self._steps[stream] = self._seconds()
        self._steps.move_to_end(stream)
        if len(self._steps) >= self._most and self._looking is None:
            self._close_doors()
            self._looking = scope.later(LOOK_EVERY, self._look, scope)

    def left(self, stream: Arriving) -> None:
        """*stream* is logged in, or gone."""
        self._steps.pop(stream, None)

    def _look(self, scope: Scope) -> None:
        """Make some room, if that can be done."""
        room = self._most // PART or 1
        stalled = self._seconds() - STALLED
        while len(self._steps) > self._most - room:
            stream, step = next(iter(self._steps.items()))
            if step > stalled:
                break
            del self._steps[stream]
            self._crowded_out += 1
            stream.crowd_out()
        if len(self._steps) <= self._most - room:
            self._looking = None
            self._open_doors()
        else:
            self._looking = scope.later(LOOK_EVERY, self._look, scope)
        self._tell()

    def _tell(self) -> None:
        now = self._seconds()
        if now - self._told >= TOLD_EVERY:
            log.info("too many are logging in: those who stall are closed", count=self._crowded_out)
            self._told, self._crowded_out = now, 0
