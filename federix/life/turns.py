"""Turns: work on one thing at a time, in the order it was asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred

from .scope import Scope

T = TypeVar("T")


class TooManyWait(Exception):
    """As much work as may wait for one key waits already."""


@dataclass(frozen=True, slots=True)
class Share:
    """On whose behalf (*name*) work is done: at most *most* pieces of it stand in one queue, the running one too."""

    name: str
    most: int


class Turns:
    """For each key, one piece of work after the other; different keys do not wait for each other.

    Whoever is cancelled while it waits no longer hears of its work, but the work is done: it belongs to *scope*. Work
    must not wait for a turn of its own key. At most *most* pieces stand in one queue, and beside them those of other
    shares: each has room of its own, which the others cannot fill.

    Where *together* is given, no more pieces than that are done at the same time: the keys take turns, too, and no work
    may wait for a turn of any key.
    """

    def __init__(self, scope: Scope, *, most: int, together: int | None = None) -> None:
        self._scope = scope
        self._share = Share("", most)
        self._queues: dict[str, deque[_Turn[Any]]] = {}
        #: How many more may begin, and those who wait for that.
        self._room = together
        self._at_the_door: deque[Deferred[None]] = deque()
        self._letting_in = False

    def __len__(self) -> int:
        """How many keys are worked on."""
        return len(self._queues)

    async def take(self, key: str, work: Callable[[], Awaitable[T]], share: Share | None = None) -> T:
        """Do *work* when it is its turn, and return what it returns. Raises `TooManyWait`, or what *work* raises."""
        share = share or self._share
        turn = _Turn(work, share)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = deque([turn])
            self._scope.spawn(self._run(key, queue))
        elif sum(waiting.share == share for waiting in queue) >= share.most:
            raise TooManyWait(key)
        else:
            queue.append(turn)
        return await turn.done

    async def _run(self, key: str, queue: deque[_Turn[Any]]) -> None:
        try:
            while queue:
                turn = queue[0]
                await self._enter()
                try:
                    result = await turn.work()
                except Exception:
                    if self._scope.closed:
                        return
                    queue.popleft()
                    turn.done.errback()
                else:
                    queue.popleft()
                    # Who waits goes on right here, before the next begins: what it sends at once keeps the order.
                    turn.done.callback(result)
                finally:
                    self._leave()
        finally:
            del self._queues[key]
            for turn in queue:
                turn.done.cancel()

    async def _enter(self) -> None:
        """Wait until there is room."""
        if self._room is None:
            return
        if self._room and not self._at_the_door:
            self._room -= 1
            return
        entered: Deferred[None] = Deferred()
        self._at_the_door.append(entered)
        await entered

    def _leave(self) -> None:
        if self._room is None:
            return
        self._room += 1
        # Whoever has nothing to wait for leaves within this loop: that is not to become a tower of calls.
        if not self._letting_in:
            self._letting_in = True
            while self._room and self._at_the_door:
                self._room -= 1
                self._at_the_door.popleft().callback(None)
            self._letting_in = False


class _Turn(Generic[T]):
    """One piece of work. Cancelling *done* lets go of its result, not of the work."""

    __slots__ = ("done", "share", "work")

    def __init__(self, work: Callable[[], Awaitable[T]], share: Share) -> None:
        self.work = work
        self.share = share
        self.done: Deferred[T] = Deferred()
