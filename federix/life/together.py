"""Several pieces of work at the same time."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import TypeVar

from twisted.internet.defer import Deferred, DeferredList, ensureDeferred
from twisted.python.failure import Failure

T = TypeVar("T")


async def together(work: Iterable[Awaitable[T]]) -> list[T]:
    """Do all of *work* at the same time, begun in its order; what each piece returns, when all have ended.

    Where some fail, what the first of them raised is raised, and none is still under way.
    """
    begun: list[Deferred[T]] = [ensureDeferred(piece) for piece in work]  # type: ignore[arg-type]
    done: list[T] = []
    for _, result in await DeferredList(begun, consumeErrors=True):
        if isinstance(result, Failure):
            result.raiseException()
        done.append(result)
    return done
