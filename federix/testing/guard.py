"""Catches a handler that waits for the very client whose stanza it is handling.

While a stanza waits, nothing more is read from its stream: the client's answer would never be seen, and both would wait
until the request times out. In a World, asking raises.
"""

from __future__ import annotations

from collections.abc import Awaitable
from contextvars import ContextVar
from typing import Any, Final

from twisted.internet.defer import Deferred

from ..core.host import Host
from ..streams.stream import XmppStream
from ..xmpp.element import Element
from ..xmpp.jid import JID
from ..xmpp.stanza import IQ, Stanza

#: The stream whose stanza is being handled. Coroutines that a handler begins see what held when they began.
_HANDLING: Final[ContextVar[XmppStream | None]] = ContextVar("handling", default=None)


class Deadlock(AssertionError):
    """A handler asked the client for whose stanza it waits; answer *detached*, or spawn a task."""


class Watched:
    """A stream's owner that leaves a note of what is being handled."""

    def __init__(self, owner: Any, stream: XmppStream) -> None:
        self._owner = owner
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._owner, name)

    def received(self, event: Stanza | Element) -> Awaitable[None] | None:
        before = _HANDLING.set(self._stream)
        try:
            waiting: Awaitable[None] | None = self._owner.received(event)
        finally:
            _HANDLING.reset(before)
        return None if waiting is None else self._finish(waiting)

    async def _finish(self, waiting: Awaitable[None]) -> None:
        # Runs in a context of its own, which ends with it.
        _HANDLING.set(self._stream)
        await waiting


def refuse_deadlock(host: Host, to: JID, answered: Deferred[IQ]) -> None:
    """What a World's server calls when it asks *to* something."""
    stream = _HANDLING.get()
    session = host.sessions.find(to.local, to.resource) if to.resource else None
    if stream is None or session is None or session.attachment is not stream:
        return

    def check() -> None:
        # Only now it is known whether the stream waits for the handler, or the handler goes on beside it.
        if stream.paused and not answered.called:
            answered.errback(Deadlock(f"{to} is asked while its own stanza waits: it cannot answer"))

    host.clock.callLater(0, check)
