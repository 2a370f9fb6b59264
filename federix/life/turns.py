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
    """

    def __init__(self, scope: Scope, *, most: int) -> None:
        self._scope = scope
        self._share = Share("", most)
        self._queues: dict[str, deque[_Turn[Any]]] = {}

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
            del self._queues[key]
            for turn in queue:
                turn.done.cancel()


class _Turn(Generic[T]):
    """One piece of work. Cancelling *done* lets go of its result, not of the work."""

    __slots__ = ("done", "share", "work")

    def __init__(self, work: Callable[[], Awaitable[T]], share: Share) -> None:
        self.work = work
        self.share = share
        self.done: Deferred[T] = Deferred()
