"""What the DNS said, remembered; and what it is being asked, asked once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredSemaphore, ensureDeferred
from twisted.python.failure import Failure

from .name_servers import Answer, DnsError

MAX_CACHED: Final = 2048
"""Answers remembered. Past it the one longest unused is forgotten: a full cache weighs some 10 MiB at the very most."""

MAX_AT_ONCE: Final = 256
"""Questions under way at the same moment; each takes a socket. Others wait for their turn."""

MAX_WAITING: Final = 4096
"""Questions under way or waiting for their turn; and as many may wait for the answer to one of them."""

FAILURE_TTL: Final = 10.0
"""Seconds for which a question that got no answer is not asked again."""

Key = tuple[str, int]
Ask = Callable[[str, int], Coroutine[Any, Any, Answer]]


@dataclass(frozen=True, slots=True)
class _Known:
    """What was said; *error* where nothing was. It is believed *until* then."""

    records: tuple[Any, ...]
    error: str | None
    until: float

    def read(self) -> tuple[Any, ...]:
        if self.error is not None:
            raise DnsError(self.error)
        return self.records


@dataclass(eq=False, slots=True)
class _Question:
    """One that is being asked, and all who wait for the answer."""

    waiting: list[Deferred[tuple[Any, ...]]] = field(default_factory=list)
    task: Deferred[Answer] | None = None


class Answers:
    """The answers to what *ask* asks (by a name and a kind of record); *seconds* is a monotonic clock."""

    def __init__(
        self,
        ask: Ask,
        seconds: Callable[[], float],
        *,
        max_cached: int = MAX_CACHED,
        max_waiting: int = MAX_WAITING,
        max_at_once: int = MAX_AT_ONCE,
    ) -> None:
        self._ask = ask
        self._seconds = seconds
        self._max_cached = max_cached
        self._max_waiting = max_waiting
        self._known: OrderedDict[Key, _Known] = OrderedDict()
        self._asked: dict[Key, _Question] = {}
        self._turns = DeferredSemaphore(max_at_once)

    def __len__(self) -> int:
        """How many answers are remembered."""
        return len(self._known)

    def forget(self) -> None:
        """Remember nothing: whatever comes next is asked."""
        self._known.clear()

    async def get(self, name: str, kind: int) -> tuple[Any, ...]:
        """The records, from memory if they are there; raises `DnsError`.

        Who asks what is being asked waits with the others; when all of them are cancelled the question is.
        """
        known = self._known.get((name, kind))
        if known is not None and self._seconds() < known.until:
            self._known.move_to_end((name, kind))
            return known.read()
        return await self._wait((name, kind))

    def _wait(self, key: Key) -> Deferred[tuple[Any, ...]]:
        question = self._asked.get(key, _Question())
        if len(self._asked if question.task is None else question.waiting) >= self._max_waiting:
            raise DnsError("too many questions wait for the DNS")
        waiter: Deferred[tuple[Any, ...]] = Deferred(partial(self._leave, question))
        question.waiting.append(waiter)
        if question.task is None:
            self._asked[key] = question
            question.task = ensureDeferred(self._in_turn(key))
            question.task.addBoth(partial(self._answered, key, question))
        return waiter

    def _leave(self, question: _Question, waiter: Deferred[tuple[Any, ...]]) -> None:
        question.waiting.remove(waiter)
        if not question.waiting and question.task is not None:
            question.task.cancel()

    async def _in_turn(self, key: Key) -> Answer:
        await self._turns.acquire()
        try:
            return await self._ask(*key)
        finally:
            self._turns.release()

    def _answered(self, key: Key, question: _Question, result: Answer | Failure) -> None:
        del self._asked[key]
        waiting, question.waiting = question.waiting, []
        if not isinstance(result, Failure):
            self._remember(key, _Known(result.records, None, self._seconds() + result.ttl))
            for waiter in waiting:
                waiter.callback(result.records)
            return
        error = result.value
        if isinstance(error, DnsError):
            self._remember(key, _Known((), str(error), self._seconds() + FAILURE_TTL))
        for waiter in waiting:
            # Each its own: an exception keeps the frames of all who raised it.
            waiter.errback(DnsError(str(error)) if isinstance(error, DnsError) else result)

    def _remember(self, key: Key, known: _Known) -> None:
        self._known[key] = known
        self._known.move_to_end(key)
        if len(self._known) > self._max_cached:
            self._known.popitem(last=False)
