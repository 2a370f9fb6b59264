"""How a stream is read: parsed within limits, handed on in order, and no faster than everybody can bear.

What comes is parsed in small pieces, and each stanza is handed to the stream's owner. Reading pauses while the owner
waits, while the shaper says so, while the peer does not read what is sent to it, and when others are to have their
turn. What was read before that waits here, within bounds.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..life.scope import Scope, Timer
from ..xmpp.element import Element
from ..xmpp.errors import StreamCondition, StreamError
from ..xmpp.events import Event, Footer, Header
from ..xmpp.limits import Limits
from ..xmpp.parser import StreamParser
from ..xmpp.stanza import Stanza
from .budget import Budget
from .outbox import Outbox
from .owner import OPEN, Counters, Owner, State
from .shaper import Shaper
from .turn import Turn

log = Logger()

#: Bytes that a peer may still send when we have closed our side, before the connection is closed on it.
HEAR_OUT_AT_MOST: Final = 256 * 1024
#: Seconds that what a stanza set going may go on when its stream is gone.
LEFT_BEHIND: Final = 60.0
#: Bytes parsed, and stanzas handed on, before others have their turn; and seconds after which they have it all the
#: same, as some elements and stanzas are dear.
PARSE_AT_MOST: Final = 8 * 1024
HANDLE_AT_MOST: Final = 8
WORK_FOR: Final = 0.0003
#: Bytes that are parsed when they come, whatever else there is to do; for more there may be no room in the turn.
#: They are parsed in pieces of so many: a stanza that waits finds no more parsed behind it.
LITTLE: Final = 1024


class ReadingStream(TwistedProtocol):
    """A stream as far as it is read; `XmppStream` opens, writes and closes it."""

    transport: Any = None
    #: The address of the other end.
    peer: str
    secure: bool
    #: What is written; while it is full, nothing is read.
    _outbox: Outbox
    #: Whether stanzas are handed on though we have closed our side.
    hears_out = False

    def __init__(self, clock: IReactorTime, scope: Scope, turn: Turn, counters: Counters, limits: Limits) -> None:
        """*scope* owns what a stanza of this stream set going."""
        self.clock = clock
        self.scope = scope
        self.counters = counters
        self.shaper: Shaper | None = None
        self.owner: Owner | None = None
        self.state = State.OPEN
        self._turn = turn
        self._parser = StreamParser(limits, turn.readers)
        # What is parsed and not yet handed on, the first last; and what was read and not yet parsed.
        self._pending: list[Event] | None = None
        self._unread: bytearray | None = None
        self._working = False
        self._yielded = False
        self._counted = False
        self._heard = True
        self._heard_out = 0
        self._waiting: Deferred[None] | None = None
        self._shaped: Timer | None = None

    # -- what else a stream does ----------------------------------------------------------------------------------

    def fail(self, error: StreamError) -> None:
        """End the stream with a stream error (RFC 6120 §4.9)."""
        raise NotImplementedError

    def _peer_closed(self) -> None:
        """The peer has closed its side."""
        raise NotImplementedError

    def _drop(self) -> None:
        """Close the connection."""
        raise NotImplementedError

    # -- facts ----------------------------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether it is not reading: a stanza of its own waits, its shaper says so, or its peer does not read."""
        return self._waiting is not None or self._shaped is not None or self._outbox.full

    @property
    def held(self) -> int:
        """Bytes this stream keeps in memory, for its bounds to be tested."""
        return self._parser.held + len(self._unread or b"") + self._outbox.size

    @property
    def budget(self) -> Budget | None:
        """Where what is kept here is counted with what others keep."""
        return None

    def limit(self, limits: Limits) -> None:
        """Be within other *limits* from now on, though nothing begins anew."""
        self._parser.limits = limits

    def rest(self) -> None:
        """Let go of what an idle stream does not need, unless it has heard something since this was last called."""
        if self._heard:
            self._heard = False
        elif self._parser.rest() and self.secure and self.transport is not None:
            self.transport.rest()

    def rest_now(self) -> None:
        """Let go of all that an idle stream does not need: it comes back with the next byte."""
        if self._parser.rest() and self.secure and self.transport is not None:
            self.transport.rest_now()

    def weigh(self) -> None:
        """Have what is kept here counted."""
        budget = self.budget
        if budget is not None and self.state is not State.GONE:
            kept = self._parser.weight + len(self._unread or b"") + self._outbox.size
            self._counted = budget.weigh(self, kept)

    def outweighed(self) -> None:
        """This keeps more than any other stream, and all together keep too much."""
        self._counted = False
        self._outbox.shed()
        self.fail(StreamError(StreamCondition.RESOURCE_CONSTRAINT, "the server keeps too much, and most of it for you"))
        self._let_go()

    # -- what comes -----------------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        size = len(data)
        if self.state is not OPEN:
            # Only the end of the peer's side is still of interest, and not at any price.
            self._heard_out += size
            if self._heard_out > HEAR_OUT_AT_MOST:
                self._drop()
            if self.state > State.CLOSING:
                return
        self._heard = True
        if (
            size <= LITTLE
            and self._unread is None
            and not self._yielded
            and self._waiting is None
            and self._shaped is None
            and not self._outbox.full
        ):
            self._read(data)
            return
        # While it is paused: bounded by what the connection reads at once, since that has been told.
        if self._unread is None:
            self._unread = bytearray()
        self._unread += data
        if size <= LITTLE or self._turn.hears(min(size, PARSE_AT_MOST)):
            self._read_on()
        else:
            self._yield()
        self.weigh()

    def _read(self, data: bytes) -> None:
        shaper = self.shaper
        if shaper is not None and (pause := shaper.consume(len(data))) > 0:
            self._shaped = self.scope.later(pause, self._unshaped)
            self._pause()
        parser = self._parser
        events = parser.feed(data)
        if self._counted or not parser.between:
            self.weigh()
        if not events:
            return
        if len(events) == 1 and self._pending is None and not self._working and self._shaped is None:
            self._working = True
            self._handle(events[0])
            self._working = False
            return
        events.reverse()
        if self._pending is not None:
            events += self._pending
        self._pending = events
        if not self._working:
            self._work()

    def _read_on(self) -> None:
        """Parse some of what waits, if that may be parsed now; the rest has its turn later."""
        unread = self._unread
        if unread is None or self._yielded or self.paused or self.state > State.CLOSING:
            return
        end = self.clock.seconds() + WORK_FOR
        left = PARSE_AT_MOST
        while left > 0:
            size = len(unread)
            if size > LITTLE:
                # Behind a tag, where there is one: what is cut in two is dearer to parse.
                size = unread.rfind(b">", 0, LITTLE) + 1 or LITTLE
            data = bytes(unread[:size])
            if size == len(unread):
                self._unread = None
                self._read(data)
                return
            del unread[:size]
            left -= size
            self._read(data)
            if self._unread is not unread or self._yielded or self.paused or self.clock.seconds() >= end:
                break
        if self._unread is not None:
            self._yield()

    # -- handing it on --------------------------------------------------------------------------------------------

    def _work(self) -> None:
        """Hand on what is parsed, until something has to wait."""
        self._working = True
        left = HANDLE_AT_MOST
        seconds = self.clock.seconds
        end = seconds() + WORK_FOR
        try:
            while (pending := self._pending) and self._waiting is None and not self._outbox.full:
                self._handle(pending.pop())
                left -= 1
                if pending and (not left or seconds() >= end):
                    self._yield()
                    return
        finally:
            self._working = False
            if not self._pending:
                self._pending = None

    def _handle(self, event: Event) -> None:
        try:
            owner = self.owner
            if self.state is not OPEN or owner is None:
                # RFC 6120 §4.9.1.1: after a stream error nothing more is processed.
                if isinstance(event, Footer):
                    self._peer_closed()
                    return
                if not self.hears_out or owner is None or not isinstance(event, Stanza):
                    return
            if isinstance(event, Stanza):
                self.counters.received += 1
            elif not isinstance(event, Element):
                self._begun_or_over(event, owner)
                return
            waiting = owner.received(event)
            if waiting is not None:
                self._wait(waiting)
        except StreamError as error:
            self.fail(error)
        except Exception:
            log.failure("stream failed", peer=self.peer)
            self.fail(StreamError(StreamCondition.INTERNAL_SERVER_ERROR))

    def _begun_or_over(self, event: Header | Footer | StreamError, owner: Owner) -> None:
        if isinstance(event, Header):
            owner.opened(event)
        elif isinstance(event, Footer):
            self._peer_closed()
        else:
            # Not raised: the traceback of an exception that is a local variable is a cycle.
            self.fail(event)

    # -- waiting, and going on ------------------------------------------------------------------------------------

    def _wait(self, waiting: Awaitable[None]) -> None:
        """Read on when *waiting* is done. The end of the stream does not undo it, but gives it little time to end."""
        done: Deferred[None] = ensureDeferred(waiting)  # type: ignore[arg-type]
        if done.called:
            done.addErrback(self._failed)
            return
        self._waiting = done
        self._pause()
        forget = self.scope.add(done.cancel)

        def go_on(result: object) -> None:
            forget()
            self._waiting = None
            if isinstance(result, Failure):
                self._failed(result)
            self._go_on()

        done.addBoth(go_on)

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, StreamError):
            self.fail(error)
        elif isinstance(error, CancelledError):
            self.fail(StreamError(StreamCondition.SYSTEM_SHUTDOWN))  # only the end of the scope cancels
        else:
            log.failure("stream failed", failure, peer=self.peer)
            self.fail(StreamError(StreamCondition.INTERNAL_SERVER_ERROR))

    def _yield(self) -> None:
        """Go on when others have had their turn: whoever sends much is not to hold them up."""
        if not self._yielded and self.state <= State.CLOSING:
            self._yielded = True
            self._pause()
            self._turn.again(self)

    def go_on(self) -> None:
        """It is its turn again."""
        self._yielded = False
        self._go_on()

    def _unshaped(self) -> None:
        self._shaped = None
        self._go_on()

    def crowded(self) -> None:
        """The peer takes too little of what is sent to it: nothing more is read until it does."""
        self._pause()

    def relieved(self) -> None:
        self._go_on()

    def _pause(self) -> None:
        if self.transport is not None:
            self.transport.pauseProducing()

    def _go_on(self) -> None:
        if self.state > State.CLOSING or self._working or self._yielded:
            return
        if self._waiting is None:
            self._work()
        self._read_on()
        if not (self._yielded or self.paused) and self.state <= State.CLOSING:
            self.transport.resumeProducing()

    # -- beginning anew, and the end ------------------------------------------------------------------------------

    @property
    def _is_ahead(self) -> bool:
        """Whether the peer has sent more than was handed on."""
        return bool(self._pending or (self._unread or b"").strip() or not self._parser.between)

    def _begin_anew(self) -> None:
        """Forget what was read; what comes next is a header."""
        old = self._parser
        self._parser = StreamParser(old.limits, old.readers)
        old.close()
        self._pending = self._unread = None

    def _let_go(self) -> None:
        """Keep nothing of what the peer has sent, and understand nothing more."""
        self._parser.close()
        self._pending = self._unread = None
        if self._counted and self.budget is not None:
            self._counted = self.budget.weigh(self, 0)

    def _hear_the_end(self) -> None:
        """The connection is being closed: read it all, whatever was to be waited for."""
        # TLS has yet to hear the other side's close. Where this end was heard in a later turn, reading is paused though
        # nothing is waited for any more.
        self.transport.resumeProducing()
        self._shape_no_more()

    def _stop_reading(self) -> None:
        """The connection is gone. What a stanza waits for has little time left."""
        self._shape_no_more()
        self._let_go()
        if self._waiting is not None:
            overtime = self.scope.later(LEFT_BEHIND, self._waiting.cancel)
            self._waiting.addBoth(lambda _: overtime.cancel())

    def _shape_no_more(self) -> None:
        if self._shaped is not None:
            self._shaped.cancel()
            self._shaped = None
