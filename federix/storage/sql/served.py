"""What databases have in common that are servers of their own: a pool of connections, and a start that waits for them.

Some connections write and others read. What waits is written in one transaction (`lane.py`). A read whose owner has
writes under way waits for them, so everybody sees what they wrote. What happens when the server is away stands in
`pool.py`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from ..lane import Job, Lane, Outcome
from ..storage import StoreError
from .database import Database, Work
from .outage import Outage, pause
from .pool import Connection, Pool, Slot
from .server import SqlServer
from .versions import SchemaOutdated

T = TypeVar("T")
K = TypeVar("K", bound=Connection)

log = Logger()

#: Of so many connections one writes.
WRITE_SHARE: Final = 3

#: How many jobs may wait for the connections that write, and how many for those that read; past it the database is too
#: slow for its load, and a quick "try later" is better than a queue that only grows.
MOST_WAITING: Final = 20_000

#: How many jobs that write share a transaction.
MOST_TOGETHER: Final = 500

#: Seconds for which the start waits for what a server before this one has left running in the database.
ORPHANS_END_WITHIN: Final = 10.0
#: Seconds between two looks whether it has ended.
LOOK_AGAIN_AFTER: Final = 0.05

#: Seconds between two looks whether an operator has brought the schema up to date.
LOOK_EVERY: Final = 1.0


class ServedDatabase(Database, Generic[K]):
    """Transactions over a pool of connections to *server*.

    *writing* and *reading* run batches on them. *errors* is what jobs fail with, and *driver_errors* what connecting
    raises, apart from OSError. *reads_together* jobs that read may go to a connection at once.
    """

    def __init__(
        self,
        server: SqlServer,
        reactor: Any,
        writing: Callable[[Slot[K], list[Job[Any]]], Deferred[Outcome]],
        reading: Callable[[Slot[K], list[Job[Any]]], Deferred[Outcome]],
        errors: type[Exception],
        driver_errors: type[Exception],
        reads_together: int,
    ) -> None:
        self._server = server
        self._reactor = reactor
        self._driver_errors = (driver_errors, OSError)
        self._outage = Outage(reactor, server.name)
        self._writer: Lane[Slot[K]] = Lane(
            writing,
            (),
            clock=reactor,
            ordered=True,
            errors=errors,
            most_waiting=MOST_WAITING,
            most_together=MOST_TOGETHER,
        )
        self._reader: Lane[Slot[K]] = Lane(
            reading,
            (),
            clock=reactor,
            ordered=False,
            errors=errors,
            most_waiting=MOST_WAITING,
            most_together=reads_together,
        )
        #: How many reads wait for writes of their owners.
        self._behind = 0
        writers = max(1, server.pool_size // WRITE_SHARE)
        self._pool: Pool[K] = Pool(
            reactor,
            server,
            self._outage,
            [
                (self._writer, [Slot() for _ in range(writers)]),
                (self._reader, [Slot() for _ in range(max(1, server.pool_size - writers))]),
            ],
            self._connect,
            self._explain,
        )
        self._running = False

    # -- what each kind of server does in its own way ---------------------------------------------------------------

    @abstractmethod
    async def _connect(self, lane: Lane[Slot[K]], on_lost: Callable[[str], None]) -> K:
        """A connection for *lane*; *on_lost* is to be told why it breaks."""

    @abstractmethod
    def _explain(self, error: Exception) -> str:
        """What the driver's *error* says, without what users wrote."""

    @abstractmethod
    async def _bring_up_to_date(self, update: bool) -> bool:
        """As `versions.bring_up_to_date`, on a connection of its own."""

    @abstractmethod
    async def _have_orphans_end(self) -> bool:
        """End connections of a server with the same identity that are there still; whether there were any."""

    # -- starting and stopping --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Returns when the database is there and its schema up to date, however long that takes."""
        try:
            await self._wait_for_schema()
            await self._pool.start()
        except BaseException:
            await self._pool.stop()
            raise
        self._running = True

    async def stop(self) -> None:
        if self._running:
            self._running = False
            await self._pool.stop()

    async def update_schema(self) -> bool:
        try:
            return await self._bring_up_to_date(True)
        except self._driver_errors as error:
            raise StoreError(self._explain(error)) from error

    async def _wait_for_schema(self) -> None:
        """Bring the schema up to date, as soon as the database lets us, or wait until somebody has done it."""
        attempt, told, orphans_ended = 0, False, not self._server.identity
        while True:
            try:
                if not orphans_ended:
                    await self._end_orphans()
                    orphans_ended = True
                await self._bring_up_to_date(self._server.update_schema)
                return
            except SchemaOutdated as outdated:
                if not told:
                    log.error("{reason}", reason=str(outdated))
                told, longest = True, LOOK_EVERY
            except self._driver_errors as error:
                self._outage.is_away(self._explain(error))
                longest = self._server.start_interval
            await pause(self._reactor, attempt, longest)
            attempt += 1

    async def _end_orphans(self) -> None:
        """End what a server that was killed has left running in the database, and wait until it has ended.

        The database goes on with what it was told, and commits it, though nobody is there to hear of it: a message that
        its sender has sent again meanwhile would be kept twice.
        """
        until = self._reactor.seconds() + ORPHANS_END_WITHIN
        while await self._have_orphans_end():
            if self._reactor.seconds() >= until:
                log.warn("connections to {database} that look like ours do not end", database=self._server.name)
                return
            await deferLater(self._reactor, LOOK_AGAIN_AFTER)

    # -- working ----------------------------------------------------------------------------------------------------

    def figures(self) -> Mapping[str, int]:
        return {
            "database_connections": self._pool.open,
            "database_jobs_waiting": self._writer.waiting + self._reader.waiting + self._behind,
        }

    def read(self, owner: str | None, work: Work[T]) -> Awaitable[T]:
        self._check()
        if self._writer.is_busy(owner):
            return self._read_behind(owner, work)
        return self._reader.submit(owner or "", work)

    def write(self, owner: str, work: Work[T], also: Collection[str] = ()) -> Awaitable[T]:
        self._check()
        return self._writer.submit(owner, work, also)

    def _read_behind(self, owner: str | None, work: Work[T]) -> Deferred[T]:
        if self._behind >= MOST_WAITING:
            raise StoreError("too many jobs wait for the database")
        self._behind += 1

        def waited(result: object) -> object:
            self._behind -= 1
            return result

        return (
            self._writer.finished(owner).addBoth(waited).addCallback(lambda _: self._reader.submit(owner or "", work))
        )

    def _check(self) -> None:
        if not self._running:
            raise StoreError("the storage is not open")
