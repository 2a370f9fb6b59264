"""Handlers that are waited for: who does not come to an end is named in the log.

A handler may wait for a database or another server as long as that takes, and whatever is paused for it stays so. That
is no error, and nothing is given up here. But one that waits for what never comes would be seen by nobody.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ..life.scope import Timer

log = Logger()

T = TypeVar("T")

#: Seconds that a handler is waited for before it is named.
PATIENCE: Final = 60.0
#: Seconds until the same handler may be named again.
AGAIN: Final = 10 * 60.0
#: Seconds between two looks, at least.
LEAST: Final = 1.0


class Unfinished:
    """The handlers of one host that have not answered yet, each with the time since when.

    There are as many as those who wait for them, which have their own bounds; one that was named is forgotten.
    """

    def __init__(self, clock: IReactorTime, later: Callable[[float, Callable[[], object]], Timer]) -> None:
        """*later* calls something after so many seconds, as long as the host runs."""
        self._seconds = clock.seconds
        self._later = later
        #: In the order in which they began, so the oldest come first.
        self._waiting: dict[object, tuple[float, Callable[..., Any], Mapping[str, str]]] = {}
        #: When which handler was named; those of the last minutes.
        self._named: dict[tuple[str, ...], float] = {}
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait_for(self, waiting: Awaitable[T], handler: Callable[..., Any], where: Mapping[str, str]) -> T:
        """What *handler* answers with *waiting*; *where* it stands is for the log: its hook, or its request."""
        if self._timer is None or not self._timer.pending:
            self._timer = self._later(PATIENCE, self._look)
        key = object()
        self._waiting[key] = (self._seconds(), handler, where)
        try:
            return await waiting
        finally:
            self._waiting.pop(key, None)

    def _look(self) -> None:
        now = self._seconds()
        late = []
        for key, (since, _, _) in self._waiting.items():
            if now - since < PATIENCE:
                self._timer = self._later(max(since + PATIENCE - now, LEAST), self._look)
                break
            late.append(key)
        if late:
            self._named = {who: when for who, when in self._named.items() if now - when < AGAIN}
        for key in late:
            _, handler, where = self._waiting.pop(key)
            self._name(now, module_of(handler), where)

    def _name(self, now: float, module: str, where: Mapping[str, str]) -> None:
        who = (module, *where.values())
        if who not in self._named:
            self._named[who] = now
            log.warn("handler does not end", **where, module=module, seconds=PATIENCE)


def module_of(handler: Callable[..., Any]) -> str:
    """The name of the module whose method *handler* is; of another function, its own."""
    name = getattr(getattr(handler, "__self__", None), "name", None)
    return name if isinstance(name, str) else getattr(handler, "__qualname__", repr(handler))
