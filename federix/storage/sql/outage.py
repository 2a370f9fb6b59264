"""A database server that is away: what the log is told, and when to try again."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.task import deferLater
from twisted.logger import Logger

log = Logger()

#: Seconds before the first new attempt; each further one waits twice as long, up to `SqlServer.start_interval`.
FIRST_PAUSE: Final = 0.1


class Outage:
    """Tells the log once that the database is away and once that it is back."""

    def __init__(self, reactor: Any, name: str) -> None:
        self._reactor = reactor
        self._name = name
        self._since: float | None = None

    def is_away(self, reason: str) -> None:
        if self._since is None:
            self._since = self._reactor.seconds()
            log.error("the database {name} cannot be used, trying again: {reason}", name=self._name, reason=reason)

    def is_back(self) -> None:
        if self._since is not None:
            seconds = self._reactor.seconds() - self._since
            self._since = None
            log.warn("the database {name} is back after {seconds:.1f} seconds", name=self._name, seconds=seconds)


async def pause(reactor: Any, attempt: int, longest: float) -> float:
    """Wait before attempt number *attempt*; answers how long that was."""
    seconds = min(FIRST_PAUSE * float(2 ** min(attempt, 20)), longest)
    await deferLater(reactor, seconds)
    return seconds
