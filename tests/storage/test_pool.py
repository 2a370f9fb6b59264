"""The connections to a database server as they come and go; how they are opened and what they do is up to the test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from federix.storage.lane import Job, Lane, NotDone
from federix.storage.sql.database import Transaction
from federix.storage.sql.outage import Outage
from federix.storage.sql.pool import Pool, Slot
from federix.storage.sql.server import SqlServer


async def nothing(tx: Transaction) -> None:
    """What is done does not matter here."""


class FakeConnection:
    idle_since = 0.0
    busy_since: float | None = None
    is_open = True

    def __init__(self, on_lost: Callable[[str], None]) -> None:
        self.on_lost = on_lost

    def ping(self) -> Deferred[Any]:
        return Deferred()

    def close(self) -> None:
        self.is_open = False

    def break_off(self, reason: str) -> None:
        self.close()
        self.on_lost(reason)


class PoolTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()  # type: ignore[no-untyped-call]
        #: Those that are being opened, and whom to tell of their end.
        self.opening: list[tuple[Deferred[FakeConnection], Callable[[str], None]]] = []
        #: The batches under way, each with its slot.
        self.working: list[tuple[Slot[FakeConnection], Deferred[Any]]] = []
        self.lane: Lane[Slot[FakeConnection]] = Lane(
            self.run_batch, (), clock=self.clock, ordered=False, errors=LookupError, most_waiting=9, most_together=1
        )
        server = SqlServer("localhost", 1, "federix", "federix", "", 3, None, 5.0, 5.0, 5.0, None, True)
        outage = Outage(self.clock, "federix")
        self.slots: list[Slot[FakeConnection]] = [Slot() for _ in range(3)]
        self.pool: Pool[FakeConnection] = Pool(self.clock, server, outage, [(self.lane, self.slots)], self.open, str)
        self.started = Deferred.fromCoroutine(self.pool.start())

    def run_batch(self, slot: Slot[FakeConnection], batch: list[Job[Any]]) -> Deferred[Any]:
        for job in batch:
            job.answer = None
        self.working.append((slot, Deferred()))
        return self.working[-1][1]

    async def open(self, _: object, on_lost: Callable[[str], None]) -> FakeConnection:
        opened: Deferred[FakeConnection] = Deferred()
        self.opening.append((opened, on_lost))
        return await opened

    def opens(self) -> None:
        """The first of those that are being opened is."""
        opened, on_lost = self.opening.pop(0)
        opened.callback(FakeConnection(on_lost))

    def test_who_stops_while_one_cannot_be_had_and_another_is_waited_for_goes_on_with_none(self) -> None:
        self.opens()
        self.successResultOf(self.started)
        refused, _ = self.opening.pop(0)
        refused.errback(OSError("too many connections"))
        self.successResultOf(Deferred.fromCoroutine(self.pool.stop()))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.pool.open, 0)

    def test_a_connection_that_comes_back_early_waits_for_what_was_done_on_the_one_before(self) -> None:
        for _ in range(3):
            self.opens()
        self.lane.submit("", nothing)
        ((slot, before),) = self.working
        slot.opened.break_off("no answer")
        self.clock.advance(0)
        self.opens()
        self.assertEqual(self.pool.open, 3)
        results = [self.lane.submit("", nothing) for _ in range(4)]
        before.errback(NotDone())
        busy = [slot for slot, done in self.working if not done.called]
        self.assertEqual(len(busy), len(set(busy)))
        while self.working:
            _, done = self.working.pop(0)
            if not done.called:
                done.callback(None)
        for each in results:
            self.successResultOf(each)
