"""What another server or a component sends: each recipient's stanzas in their order, and nobody waits for another's."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from ..core.passage import Keeping
from ..core.settled import Mark, Settled
from ..life.scope import Scope
from ..xmpp.jid import JID
from ..xmpp.stanza import Message, Stanza
from .recent import Taken

log = Logger()

#: Stanzas, and bytes of them, that may be on their way from one stream before it is read on.
MOST_STANZAS: Final = 64
MOST_BYTES: Final = 256 * 1024
#: Seconds after which one whose waiting was cancelled is counted as settled. Not at once: where the whole server ends,
#: its peer is not told that it was taken, and sends it again. Where the server goes on, so must the count.
COUNTED_AFTER: Final = 30.0


class Routes(Protocol):
    """Where stanzas are handed on: the router."""

    def route(self, stanza: Stanza) -> Awaitable[None] | None:
        """Send *stanza* to where its `to` says. Nothing is raised."""

    def route_behind(
        self, message: Message, before: Keeping | None, delivered: Callable[[], object] | None
    ) -> Awaitable[None] | None:
        """As `route`, while *before*, whose place is taken, may still be on its way to the same account."""


class Lanes:
    """Hands stanzas on. What one has to wait for holds up what comes later to the same account, and nothing else.

    A message is handed on as soon as the one before it has its place among what is kept, so that many are kept in one
    step. RFC 6120 §10.1 wants the order kept between two entities. Past its bounds the stream waits.
    """

    __slots__ = ("_lanes", "_relief", "_router", "_scope", "_size", "_waiting", "settled")

    def __init__(self, scope: Scope, router: Routes) -> None:
        self._scope = scope
        self._router = router
        #: How many stanzas are settled, once somebody wants to know.
        self.settled: Settled | None = None
        self._lanes: dict[JID, _Lane] = {}
        self._waiting = 0
        self._size = 0
        self._relief: Deferred[None] | None = None

    def __len__(self) -> int:
        return self._waiting

    @property
    def size(self) -> int:
        """Bytes of what is on its way."""
        return self._size

    def take(self, stanza: Stanza, to: JID, taken: Taken | None = None) -> Awaitable[None] | None:
        """Hand *stanza* on; the stream waits for what is returned, if anything is.

        Where *taken* says what a message is known by, one that has come before is not delivered twice.
        """
        account = to.bare
        lane = self._lanes.get(account) if self._lanes else None
        if lane is not None:
            lane.behind.append(self._enter(stanza, taken))
            self._go_on(account, lane)
            return self._until_relieved()
        going = self._hand_on(stanza, None, taken)
        if going is None:
            if taken is not None:
                taken.end()
            if self.settled is not None:
                self.settled.at_once()
            return None
        lane = self._lanes[account] = _Lane()
        self._fly(account, lane, self._enter(stanza, taken), going)
        return self._until_relieved()

    def _hand_on(self, stanza: Stanza, before: Keeping | None, taken: Taken | None) -> Awaitable[None] | None:
        if not isinstance(stanza, Message) or (before is None and taken is None):
            return self._router.route(stanza)
        if taken is None:
            return self._router.route_behind(stanza, before, None)
        earlier = taken.earlier
        if earlier is not None:
            if not earlier.over:
                return self._hand_on_later(stanza, before, taken, earlier)
            if earlier.delivered:
                taken.deliver()
                return None
        return self._router.route_behind(stanza, before, taken.deliver)

    async def _hand_on_later(self, message: Message, before: Keeping | None, taken: Taken, earlier: Taken) -> None:
        """It came before, and is on its way still: what becomes of it is known when that is settled."""
        await earlier.ended(self._scope)
        if not earlier.over:
            taken.earlier = None
        going = self._hand_on(message, before, taken)
        if going is not None:
            await going

    def _go_on(self, account: JID, lane: _Lane) -> None:
        """Hand on what waits in *lane* and need wait no more."""
        if lane.busy:
            return
        lane.busy = True
        while lane.behind and lane.lets(lane.behind[0].stanza):
            one = lane.behind.popleft()
            going = self._hand_on(one.stanza, lane.latest, one.taken)
            if going is None:
                self._settle(one)
                self._leave(one)
            else:
                self._fly(account, lane, one, going)
        lane.busy = False
        if lane.latest is None and self._lanes.get(account) is lane:
            del self._lanes[account]

    def _fly(self, account: JID, lane: _Lane, one: _Underway, going: Awaitable[None]) -> None:
        """*one* is on its way, and settled when *going* has come to its end."""
        is_keeping = isinstance(going, Keeping)
        keeping = going if isinstance(going, Keeping) else Keeping.of(self._wait(one, going), self._scope)
        lane.latest = keeping

        def landed() -> None:
            if self._scope.closed:
                return
            if is_keeping:
                self._settle(one)
            if lane.latest is keeping:
                lane.latest = None
                self._go_on(account, lane)
            self._leave(one)

        keeping.then(landed)

    async def _wait(self, one: _Underway, going: Awaitable[None]) -> None:
        try:
            await going
            self._settle(one)
        except CancelledError:
            if self._scope.closed:
                raise
            # Only what this one waited for has ended: those behind it are not to vanish with it.
            self._scope.later(COUNTED_AFTER, self._settle, one)
        except Exception:
            log.failure("could not hand on a stanza")
            self._settle(one)  # it would fare no better if it were sent again

    def _settle(self, one: _Underway) -> None:
        if one.taken is not None:
            one.taken.end()
        if one.mark is not None and self.settled is not None:
            self.settled.settle(one.mark)

    def _enter(self, stanza: Stanza, taken: Taken | None) -> _Underway:
        size = len(stanza.raw or b"") or 1024
        self._waiting += 1
        self._size += size
        return _Underway(stanza, size, None if self.settled is None else self.settled.begin(), taken)

    def _leave(self, one: _Underway) -> None:
        self._waiting -= 1
        self._size -= one.size
        if self._relief is not None and self._waiting < MOST_STANZAS // 2 and self._size < MOST_BYTES // 2:
            relief, self._relief = self._relief, None
            relief.callback(None)

    def _until_relieved(self) -> Awaitable[None] | None:
        if self._waiting < MOST_STANZAS and self._size < MOST_BYTES:
            return None
        if self._relief is None:
            self._relief = Deferred()
        return self._relief


class _Underway:
    """A stanza that was taken, its size in bytes, and what it is counted by and known by."""

    __slots__ = ("mark", "size", "stanza", "taken")

    def __init__(self, stanza: Stanza, size: int, mark: Mark | None, taken: Taken | None) -> None:
        self.stanza = stanza
        self.size = size
        self.mark = mark
        self.taken = taken


class _Lane:
    """What is on its way to one account: the last that was handed on, and those behind that wait for it."""

    __slots__ = ("behind", "busy", "latest")

    def __init__(self) -> None:
        self.latest: Keeping | None = None
        self.behind: deque[_Underway] = deque()
        #: Whether it is being worked on: what comes meanwhile is handed on in its turn.
        self.busy = False

    def lets(self, stanza: Stanza) -> bool:
        """Whether *stanza* may be handed on now. A message stays behind one that has its place by itself."""
        return self.latest is None or (self.latest.placed and isinstance(stanza, Message))
