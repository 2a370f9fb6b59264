"""Twisted's epoll reactor, without what it does around each event.

It notes whose event it is, in case something is logged meanwhile in the old way: four calls and two dictionaries, which
with what else is looked at makes a tenth of what a message costs. Here who has something to read is simply asked to
read; whatever else happens to a descriptor, and what goes wrong, Twisted handles as ever.
"""

from __future__ import annotations

import sys
from select import EPOLLIN
from typing import Any, Final

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import installReactor
from twisted.python import log

#: Events that are handled before timers are due: where thousands of connections are lost at once, what is to be written
#: does not wait for all of them. Who is left out comes first the next time; who has sent something since is behind him.
EVENTS_AT_MOST: Final = 32


class LeanReactor(EPollReactor):
    """For programs whose descriptors are their own: that one was closed behind its back is seen only when it reads."""

    def doPoll(self, timeout: float | None) -> None:
        """Wait for events, *timeout* seconds at most, and have them handled."""
        itself: Any = self
        selectables: dict[int, Any] = itself._selectables
        try:
            ready = itself._poller.poll(-1 if timeout is None else timeout, EVENTS_AT_MOST)
        except InterruptedError:
            return
        for fd, event in ready:
            selectable = selectables.get(fd)
            if selectable is None:
                continue  # it was closed by one of those before it
            if event != EPOLLIN:
                log.callWithLogger(selectable, itself._doReadOrWrite, selectable, fd, event)  # type: ignore[no-untyped-call]
                continue
            try:
                why = selectable.doRead()
            except BaseException:
                why = sys.exc_info()[1]
                log.callWithLogger(selectable, log.err)  # type: ignore[no-untyped-call]
            if why:
                itself._disconnectSelectable(selectable, why, True)

    doIteration = doPoll


def install_unless_chosen() -> bool:
    """Have the program run on a `LeanReactor`, unless it has a reactor already; whether it does now."""
    if "twisted.internet.reactor" in sys.modules:
        return False
    installReactor(LeanReactor())  # type: ignore[no-untyped-call]
    return True
