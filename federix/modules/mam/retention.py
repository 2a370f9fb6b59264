"""What grows too old, too long or too large in an archive goes, the oldest first (XEP-0313 §3.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ...api import Archives, Host, Scope, Span, StoreError
from .query import MICROSECONDS

log = Logger()

#: Seconds from the start until archives are looked at, and from one look to the next.
FIRST: Final = 600.0
AGAIN: Final = 3600.0
#: To see how many messages an archive has, or how large they are, it must be gone through: that is for one look in so
#: many, a day. The oldest message is at hand.
THOROUGH: Final = 24
#: How many archives are looked at, and how many messages are removed, in one step; and the seconds between two steps.
ARCHIVES: Final = 100
MESSAGES: Final = 500
BETWEEN: Final = 0.25
#: How many archives may fail, one after the other, before the rest is left to the next look: storage is away then, and
#: not one archive damaged.
MOST_FAILED: Final = 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What is kept of one archive: messages of *age* seconds at most, that *number*, so many bytes (*size*)."""

    age: float = math.inf
    number: int | None = None
    size: int | None = None

    @property
    def any(self) -> bool:
        """Whether there is something to look at."""
        return self.age < math.inf or self.number is not None or self.size is not None


class Retention:
    """Looks at the archives of a host, one after the other, for as long as *scope* lives."""

    def __init__(self, host: Host, scope: Scope, limits: Limits) -> None:
        self._host = host
        self._scope = scope
        self.limits = limits
        self._looks = 0
        scope.later(FIRST, self._begin)

    def _begin(self) -> None:
        self._scope.spawn(self._look())

    async def _look(self) -> None:
        limits = self.limits if self._looks % THOROUGH == 0 else Limits(self.limits.age)
        self._looks += 1
        try:
            if limits.any:
                await self.apply(limits)
        except StoreError as error:
            log.warn("could not remove old messages from archives: {reason}", reason=error.reason)
        finally:
            self._scope.later(AGAIN, self._begin)

    async def apply(self, limits: Limits) -> int:
        """Hold every archive to *limits*; returns how many messages went.

        One that fails does not keep it from the others; then the first `StoreError` is raised behind them.
        """
        removed = in_a_row = 0
        failed: StoreError | None = None
        past = ""
        domain = f"@{self._host.name}"
        archives = self._host.storage.archives
        while found := await archives.owners(past, ARCHIVES):
            for owner, oldest in found:
                if not owner.endswith(domain):
                    continue
                try:
                    removed += await self._hold(owner, oldest, limits)
                    in_a_row = 0
                except StoreError as error:
                    failed = failed or error
                    in_a_row += 1
                    if in_a_row >= MOST_FAILED:
                        raise failed from None
            past = found[-1].owner
            await self._pause()
        if failed is not None:
            raise failed
        return removed

    async def _hold(self, owner: str, oldest: int, limits: Limits) -> int:
        archives = self._host.storage.archives
        before = 0
        if limits.age < math.inf:
            before = round((self._host.now() - limits.age) * MICROSECONDS)
        if limits.number is not None:
            past = await archives.newest_but(owner, limits.number)
            before = max(before, 0 if past is None else past + 1)
        if limits.size is not None:
            before = max(before, await self._too_large(archives, owner, limits.size))
        return await self.remove(owner, Span(before=before)) if oldest < before else 0

    async def _too_large(self, archives: Archives, owner: str, size: int) -> int:
        """The id from which on the newest messages are no more than *size* bytes; 0 where all are."""
        before: int | None = None
        while rows := await archives.sizes(owner, Span(before=before), limit=MESSAGES, reverse=True):
            for row in rows:
                size -= row.size
                if size < 0:
                    return row.id + 1
            before = rows[-1].id
            await self._pause()
        return 0

    async def remove(self, owner: str, span: Span) -> int:
        """Remove the messages of *span* piece by piece; returns how many there were."""
        removed = 0
        while gone := await self._host.storage.archives.remove(owner, span, limit=MESSAGES):
            removed += gone
            if gone < MESSAGES:
                break
            await self._pause()
        return removed

    async def _pause(self) -> None:
        over: Deferred[None] = Deferred()
        timer = self._scope.later(BETWEEN, over.callback, None)
        try:
            await over
        finally:
            timer.cancel()
