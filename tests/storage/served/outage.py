"""What the tests of a server that does not do as it should have in common."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from tests.storage.served.case import ServedCase
from tests.storage.servers import logged, soon, the_reactor


def begin(coroutine: Coroutine[Any, Any, Any]) -> Deferred[Any]:
    return Deferred.fromCoroutine(coroutine)


async def a_while(seconds: float = 0.3) -> None:
    await deferLater(the_reactor, seconds)


class OutageCase(ServedCase):
    """Its server may be stopped; the log is listened to."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(self.server.start)
        self.told = logged(self)

    def lines(self, text: str) -> int:
        return len([line for line in self.told if text in line])

    async def refused(self, storage: Any) -> str:
        """What the log is told first, while the start of *storage* waits in vain."""
        start = begin(storage.start())
        await soon(lambda: self.told)
        start.cancel()
        await self.assertFailure(start, CancelledError)
        return self.told[0]
