"""What another server or a component sends: each recipient's stanzas in their order, and nobody waits for another's."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from ..core.settled import Mark, Settled
from ..life.scope import Scope
from ..xmpp.jid import JID
from ..xmpp.stanza import Stanza

log = Logger()

#: Stanzas, and bytes of them, that may be on their way from one stream before it is read on.
MOST_STANZAS: Final = 64
MOST_BYTES: Final = 256 * 1024
#: Seconds after which one whose waiting was cancelled is counted as settled. Not at once: where the whole server ends,
#: its peer is not told that it was taken, and sends it again. Where the server goes on, so must the count.
COUNTED_AFTER: Final = 30.0


class Lanes:
    """Hands stanzas on. What one has to wait for holds up what comes later to the same account, and nothing else.

    RFC 6120 §10.1 wants the order kept between two entities. Past its bounds the stream waits: `full` tells so.
    """

    __slots__ = ("_lanes", "_relief", "_route", "_scope", "_size", "_waiting", "settled")

    def __init__(self, scope: Scope, route: Callable[[Stanza], Awaitable[None] | None]) -> None:
        self._scope = scope
        self._route = route
        #: How many stanzas are settled, once somebody wants to know.
        self.settled: Settled | None = None
        self._lanes: dict[JID, deque[tuple[Stanza, int, Mark | None]]] = {}
        self._waiting = 0
        self._size = 0
        self._relief: Deferred[None] | None = None

    def __len__(self) -> int:
        return self._waiting

    @property
    def size(self) -> int:
        """Bytes of what is on its way."""
        return self._size

    def take(self, stanza: Stanza, to: JID) -> Awaitable[None] | None:
        """Hand *stanza* on; the stream waits for what is returned, if anything is."""
        settled = self.settled
        if self._lanes:
            lane = self._lanes.get(to.bare)
            if lane is not None:
                lane.append((stanza, self._enter(stanza), None if settled is None else settled.begin()))
                return self._until_relieved()
        going = self._route(stanza)
        if going is None:
            if settled is not None:
                settled.at_once()
            return None
        self._lanes[to.bare] = deque()
        mark = None if settled is None else settled.begin()
        self._scope.spawn(self._run(to.bare, going, self._enter(stanza), mark))
        return self._until_relieved()

    async def _run(self, to: JID, going: Awaitable[None], size: int, mark: Mark | None) -> None:
        lane = self._lanes[to]
        following: Awaitable[None] | None = going
        try:
            while True:
                try:
                    if following is not None:
                        await following
                    self._settle(mark)
                except CancelledError:
                    if self._scope.closed:
                        raise
                    # Only what this one waited for has ended: those behind it are not to vanish with it.
                    if mark is not None:
                        self._scope.later(COUNTED_AFTER, self._settle, mark)
                except Exception:
                    log.failure("could not hand on a stanza")
                    self._settle(mark)  # it would fare no better if it were sent again
                finally:
                    self._leave(size)
                if not lane:
                    return
                stanza, size, mark = lane.popleft()
                following = self._route(stanza)
        finally:
            if self._lanes.get(to) is lane:
                del self._lanes[to]

    def _settle(self, mark: Mark | None) -> None:
        if mark is not None and self.settled is not None:
            self.settled.settle(mark)

    def _enter(self, stanza: Stanza) -> int:
        size = len(stanza.raw or b"") or 1024
        self._waiting += 1
        self._size += size
        return size

    def _leave(self, size: int) -> None:
        self._waiting -= 1
        self._size -= size
        if self._relief is not None and self._waiting < MOST_STANZAS // 2 and self._size < MOST_BYTES // 2:
            relief, self._relief = self._relief, None
            relief.callback(None)

    def _until_relieved(self) -> Awaitable[None] | None:
        if self._waiting < MOST_STANZAS and self._size < MOST_BYTES:
            return None
        if self._relief is None:
            self._relief = Deferred()
        return self._relief
