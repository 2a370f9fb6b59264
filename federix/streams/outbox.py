"""What is written to a peer and not yet taken by its connection: joined, cut into pieces, bounded and timed.

Small things written in one turn of the reactor leave in one write. Much of it leaves piece by piece, as the connection
takes it: so a peer that reads slowly is seen to read, and what is kept for one that does not read stays within bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from ..life.scope import Scope, Timer
from .turn import Turn

#: Bytes joined before they are handed to the connection, turn or no turn, and the most it is handed at once.
JOIN_AT_MOST: Final = 64 * 1024
#: Bytes that may be written beyond the bound for a moment: within a turn the connection can take nothing.
BURST: Final = 768 * 1024
#: Seconds until what is written must be within the bound again.
BURST_TIME: Final = 5.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may wait for a peer that reads too slowly, and for how long (seconds) it may take nothing.

    Twice *queue_stanzas* and `BURST` more than *queue_bytes* may wait for `BURST_TIME`, and never more. So a single
    stanza larger than that is not sent to anybody: the stream ends instead.
    """

    queue_bytes: int = 1024 * 1024
    queue_stanzas: int = 10_000
    send_timeout: float = 15.0


class Writer(Protocol):
    """What an outbox asks of its stream."""

    transport: Any
    bounds: Bounds

    def crowded(self) -> None:
        """Half of what may wait does; `relieved` follows unless the stream ends."""

    def relieved(self) -> None:
        """The connection takes something again."""

    def stalled(self) -> None:
        """The peer has taken nothing for too long."""

    def weigh(self) -> None:
        """How much waits here has changed."""

    def overflowed(self, size: int) -> None:
        """More waits than may; all of the *size* bytes were dropped but what is needed to end a stanza begun."""


@implementer(IPushProducer)
class Outbox:
    """The queue of one stream, and what its connection asks for more.

    It holds its stream, and that holds it, until `close`.
    """

    __slots__ = (
        "_begun",
        "_corked",
        "_over",
        "_pieces",
        "_riding",
        "_scope",
        "_since",
        "_stalled",
        "_turn",
        "_unsent",
        "_writer",
        "full",
        "size",
    )

    def __init__(self, writer: Writer, turn: Turn, scope: Scope) -> None:
        self._writer: Writer | None = writer
        self._turn = turn
        self._scope = scope
        self._pieces: list[bytes] | None = None
        #: Bytes that wait here.
        self.size = 0
        #: How many of the first pieces are the rest of something that has left in part.
        self._begun = 0
        #: The connection takes nothing more for now.
        self._corked = False
        #: The stream was told that much waits.
        self.full = False
        self._stalled: Timer | None = None
        self._over: Timer | None = None
        #: What the connection had left to send when it was last looked at, where it can tell.
        self._unsent: int | None = None
        #: Says what rides with what is written next, and since when.
        self._riding: Callable[[], bytes] | None = None
        self._since = 0

    def put(self, data: bytes) -> None:
        """Have *data* sent with what else is written in this turn."""
        pieces = self._pieces
        if pieces is None:
            self._pieces = [data]
            self.size = len(data)
            if not self._corked:
                self._turn.add(self)
        else:
            pieces.append(data)
            self.size += len(data)
        if self._corked or self.size > JOIN_AT_MOST:
            self._crowd()

    def put_soon(self, say: Callable[[], bytes]) -> None:
        """Have what *say* answers then sent with what is written next, or alone in a moment (see `Turn.soon`).

        It is short, and does not count as what waits here. Until it has left, no other may be put so.
        """
        if self._riding is None:
            self._since = self._turn.soon(self)
        self._riding = say

    def ride_no_more(self, since: int) -> None:
        """Nothing was written for a while."""
        if self._riding is not None and self._since == since:
            self.put(self._ridden())

    def _ridden(self) -> bytes:
        say, self._riding = self._riding, None
        return b"" if say is None else say()

    def put_last(self, data: bytes) -> None:
        """Have *data* sent whatever waits: the stream ends with it, and `hand_over` follows."""
        self._pieces = [*(self._pieces or ()), self._ridden(), data]
        self.size += len(data)

    def flush(self) -> None:
        """Hand to the connection what it takes."""
        while not self._corked and (pieces := self._pieces) is not None:
            writer = self._writer
            if writer is None or writer.transport is None:
                return
            if self.size <= JOIN_AT_MOST:
                self._pieces = None
                self.size = self._begun = 0
                if self._riding is not None:
                    pieces.append(self._ridden())
                data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            else:
                data = self._next(pieces)
            writer.transport.write(data)
            if self._stalled is not None:
                self._unsent = self._left()  # it may have said that it is full in the middle of this

    def hand_over(self) -> None:
        """Hand over all that waits, whatever the connection said."""
        self._flow()
        writer, pieces = self._writer, self._pieces
        if pieces is not None and writer is not None and writer.transport is not None:
            self._pieces = None
            self.size = self._begun = 0
            writer.transport.write(b"".join(pieces))

    def close(self) -> None:
        """The connection is gone."""
        self._flow()
        self._writer = None
        self._pieces = self._riding = None
        self.size = self._begun = 0

    # -- what the connection says ---------------------------------------------------------------------------------

    def pauseProducing(self) -> None:
        """The connection has enough to send for now: the peer is slow."""
        self._corked = True
        writer = self._writer
        if self._stalled is None and writer is not None:
            self._unsent = self._left()
            self._stalled = self._scope.later(writer.bounds.send_timeout, self._look)

    def resumeProducing(self) -> None:
        """The connection has sent what it had."""
        waited = self.size
        self._corked = False
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        self.flush()
        if waited and self._writer is not None:
            self._writer.weigh()
        if self._over is not None and self._within(1):
            self._over.cancel()
            self._over = None
        if self.full and self._within(2):
            self.full = False
            if self._writer is not None:
                self._writer.relieved()

    def stopProducing(self) -> None:
        """The connection is lost; `close` follows."""

    def _look(self) -> None:
        """See whether the peer has taken anything since the connection was last looked at."""
        self._stalled = None
        writer, before = self._writer, self._unsent
        if writer is None:
            return
        self._unsent = self._left()
        if before is None or self._unsent is None or self._unsent >= before:
            writer.stalled()
        else:
            self._stalled = self._scope.later(writer.bounds.send_timeout, self._look)

    def _left(self) -> int | None:
        writer = self._writer
        left = None if writer is None else getattr(writer.transport, "unsent", None)
        return left if isinstance(left, int) else None

    def _flow(self) -> None:
        """Forget what the connection said."""
        self._corked = self.full = False
        for timer in (self._stalled, self._over):
            if timer is not None:
                timer.cancel()
        self._stalled = self._over = None

    # -- bounds ---------------------------------------------------------------------------------------------------

    def _crowd(self) -> None:
        """Much is written: hand on what the connection takes, and judge what is left."""
        writer = self._writer
        if writer is None:
            return
        bounds = writer.bounds
        most = bounds.queue_bytes + BURST
        if self.size <= most:
            self.flush()
        if self.size > most or len(self._pieces or ()) > 2 * bounds.queue_stanzas:
            self._overflow()
            return
        if self._over is None and not self._within(1):
            self._over = self._scope.later(BURST_TIME, self._overflow)
        if self.size:
            writer.weigh()
        if not self.full and not self._within(2):
            # Who does not read is not read: or the answers to what it asks in one go would be its end. The other half
            # is for what others send to it.
            self.full = True
            writer.crowded()

    def _within(self, parts: int) -> bool:
        """Whether no more waits than one of so many *parts* of what may."""
        writer = self._writer
        if writer is None or self._pieces is None:
            return True
        bounds = writer.bounds
        return parts * self.size <= bounds.queue_bytes and parts * len(self._pieces) <= bounds.queue_stanzas

    def _overflow(self) -> None:
        """The peer does not read what is sent to it."""
        size, writer = self.size, self._writer
        self.shed()
        if writer is not None:
            writer.weigh()
            writer.overflowed(size)

    def shed(self) -> None:
        """Drop all that waits. What has left in part is sent whole, or an error behind it would be no XML."""
        self._pieces = (self._pieces or [])[: self._begun] or None
        self.size = sum(map(len, self._pieces or ()))

    # -- pieces ---------------------------------------------------------------------------------------------------

    def _next(self, pieces: list[bytes]) -> bytes:
        """As much as is handed on at once."""
        first = pieces[0]
        if len(first) > JOIN_AT_MOST:
            pieces[:1] = parts = [first[at : at + JOIN_AT_MOST] for at in range(0, len(first), JOIN_AT_MOST)]
            self._begun = len(parts)
        count = size = 0
        while size + len(pieces[count]) <= JOIN_AT_MOST:
            size += len(pieces[count])
            count += 1
        data = b"".join(pieces[:count])
        del pieces[:count]
        if not pieces:
            self._pieces = None
        self.size -= size
        self._begun = max(self._begun - count, 0)
        return data
