"""The connections of a server to its database: opened, watched, and opened again when they are lost.

While none is there, what waits is held back for a while, and refused after that. The log is told once that the database
is away, and once that it is back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..lane import Lane
from .outage import Outage, pause
from .server import SqlServer

log = Logger()

#: Seconds for which jobs wait for a database that is away, before they are refused.
PATIENCE: Final = 5.0
#: Seconds a pause must have come to before the log is told that some connections are missing.
WORTH_TELLING: Final = 1.0
#: Seconds between two looks at the connections.
WATCH_EVERY: Final = 2.0
#: Seconds past its own time limit that a statement is waited for; then the connection is taken for dead.
GRACE: Final = 5.0
#: Seconds that what was begun may take when the pool is closed.
CLOSE_WITHIN: Final = 10.0


class Connection(Protocol):
    """One connection to a database server, whose driver it knows."""

    idle_since: float
    """When it last ended something."""

    @property
    def busy_since(self) -> float | None:
        """Since when it waits for an answer, by the reactor's clock."""

    @property
    def is_open(self) -> bool: ...

    def ping(self) -> Deferred[Any]:
        """Have the server say something."""

    def close(self) -> None:
        """Close it; what runs fails. Nobody is told."""

    def break_off(self, reason: str) -> None:
        """Close it as if it had broken."""


K = TypeVar("K", bound=Connection)


class Slot(Generic[K]):
    """A place for one connection, and the lane it works for."""

    __slots__ = ("connection", "lane")

    def __init__(self) -> None:
        self.lane: Lane[Slot[K]]
        self.connection: K | None = None

    @property
    def opened(self) -> K:
        assert self.connection is not None
        return self.connection


Connect = Callable[[Lane[Slot[K]], Callable[[str], None]], Awaitable[K]]
"""Opens a connection for a lane, or raises why it cannot; it is given whom to tell why when the connection breaks."""


class Pool(Generic[K]):
    """Keeps the *slots* of *lanes* connected; *explain* says in words what `connect` has raised."""

    def __init__(
        self,
        reactor: Any,
        server: SqlServer,
        outage: Outage,
        lanes: Sequence[tuple[Lane[Slot[K]], Sequence[Slot[K]]]],
        connect: Connect[K],
        explain: Callable[[Exception], str],
    ) -> None:
        self._reactor = reactor
        self._server = server
        self._outage = outage
        self._lanes = [lane for lane, _ in lanes]
        self._slots: list[Slot[K]] = []
        for lane, slots in lanes:
            for slot in slots:
                slot.lane = lane
                self._slots.append(slot)
        self._open = connect
        self._explain = explain
        self._mending: Deferred[None] | None = None
        self._patience: IDelayedCall | None = None
        self._watching: IDelayedCall | None = None
        self._told_missing = False
        self._closed = False
        self._ready: Deferred[None] = Deferred()

    @property
    def open(self) -> int:
        """How many connections there are."""
        return sum(slot.connection is not None for slot in self._slots)

    async def start(self) -> None:
        """Connect; returns when each lane has a connection at least."""
        self._closed = False
        self._ready = Deferred()
        self._watching = self._reactor.callLater(WATCH_EVERY, self._watch)
        self._mend()
        await self._ready

    async def stop(self) -> None:
        """Finish what was begun, if that is possible, and disconnect."""
        self._closed = True
        for call in (self._patience, self._watching):
            if call is not None and call.active():
                call.cancel()
        if self._mending is not None:
            self._mending.cancel()
        self._refuse()
        deadline = self._reactor.callLater(CLOSE_WITHIN, self._disconnect, "the server stops")
        try:
            for lane in self._lanes:
                await lane.close()
        finally:
            if deadline.active():
                deadline.cancel()
            for slot in self._slots:
                if slot.connection is not None:
                    slot.lane.withdraw(slot)
                    slot.connection.close()
                    slot.connection = None

    # -- connecting -----------------------------------------------------------------------------------------------

    def _mend(self) -> None:
        if self._mending is None and not self._closed:
            self._mending = Deferred.fromCoroutine(self._connect_all())
            self._mending.addBoth(self._mended)

    def _mended(self, result: object) -> None:
        self._mending = None
        if isinstance(result, Failure) and not isinstance(result.value, CancelledError):
            log.failure("the connections to the database are not looked after any more", result)

    async def _connect_all(self) -> None:
        """Connect until nothing is missing."""
        attempt = 0
        # Who stops may be told what one came to, in the place of that the others were cancelled.
        while not self._closed and (missing := [slot for slot in self._slots if slot.connection is None]):
            if attempt:
                paused = await pause(self._reactor, attempt - 1, self._server.start_interval)
                missing = [slot for slot in self._slots if slot.connection is None]
            else:
                paused = 0.0
            try:
                if not self.open:
                    # While nobody is there, one knocks.
                    await self._connect(missing.pop(0))
                connecting = [Deferred.fromCoroutine(self._connect(slot)) for slot in missing]
                for _, failed in await DeferredList(connecting, consumeErrors=True):
                    if isinstance(failed, Failure):
                        failed.raiseException()
            except CancelledError:
                raise
            except Exception as error:
                self._say(self._explain(error), paused)
            attempt += 1
        self._told_missing = False

    async def _connect(self, slot: Slot[K]) -> None:
        slot.connection = await self._open(slot.lane, lambda reason: self._lost(slot, reason))
        self._outage.is_back()
        slot.lane.refuse(None)
        slot.lane.give(slot)
        if not self._without():
            if self._patience is not None:
                self._patience.cancel()
                self._patience = None
            if not self._ready.called:
                self._ready.callback(None)

    def _without(self) -> list[Lane[Slot[K]]]:
        """The lanes that have no connection."""
        having = {slot.lane for slot in self._slots if slot.connection is not None}
        return [lane for lane in self._lanes if lane not in having]

    def _say(self, reason: str, paused: float) -> None:
        if not self.open:
            self._outage.is_away(reason)
        elif paused >= WORTH_TELLING and not self._told_missing:
            self._told_missing = True
            log.warn(
                "only {open} of {size} connections to the database: {reason}",
                open=self.open,
                size=len(self._slots),
                reason=reason,
            )

    # -- losing ---------------------------------------------------------------------------------------------------

    def _lost(self, slot: Slot[K], reason: str) -> None:
        slot.lane.withdraw(slot)
        slot.connection = None
        if self._closed:
            self._refuse()
            return
        if not self.open:
            self._outage.is_away(reason)
        if self._patience is None and slot.lane in self._without():
            self._patience = self._reactor.callLater(PATIENCE, self._refuse)
        # What is lost at the same time is mended together.
        self._reactor.callLater(0, self._mend)

    def _refuse(self) -> None:
        """Let fail what waits in the lanes that have no connection."""
        self._patience = None
        for lane in self._without():
            lane.refuse("the database is away")

    def _disconnect(self, reason: str) -> None:
        for slot in self._slots:
            if slot.connection is not None:
                slot.connection.break_off(reason)

    # -- watching -------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Give up connections that do not answer, and let idle ones show that they live."""
        self._watching = self._reactor.callLater(WATCH_EVERY, self._watch)
        now, server = self._reactor.seconds(), self._server
        for slot in self._slots:
            connection = slot.connection
            if connection is None:
                continue
            if connection.busy_since is not None:
                if now - connection.busy_since > server.query_timeout + GRACE:
                    connection.break_off("no answer")
            elif (
                server.keepalive_interval is not None
                and now - connection.idle_since >= server.keepalive_interval
                and slot.lane.is_free(slot)
            ):
                slot.lane.withdraw(slot)
                connection.ping().addBoth(self._kept_alive, slot, connection)

    def _kept_alive(self, _: object, slot: Slot[K], connection: K) -> None:
        if slot.connection is connection and connection.is_open:
            slot.lane.give(slot)
