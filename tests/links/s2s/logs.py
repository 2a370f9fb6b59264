"""What is logged while a test runs."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer


@implementer(ILogObserver)
class Logged(list[LogEvent]):
    """A list that fills with all that is logged until *test* ends."""

    def __init__(self, test: SynchronousTestCase) -> None:
        super().__init__()
        globalLogPublisher.addObserver(self)
        test.addCleanup(globalLogPublisher.removeObserver, self)

    def __call__(self, event: LogEvent) -> None:
        self.append(event)


def sentences(events: Iterable[LogEvent]) -> list[str]:
    """What *events* say, their fields not filled in."""
    return [str(event.get("log_format")) for event in events]


def troubles(events: Iterable[LogEvent]) -> list[str]:
    """What of *events* is a warning or worse."""
    return sentences(event for event in events if event.get("log_level", LogLevel.info) >= LogLevel.warn)
