"""One XML stream over one connection: bytes in, stanzas out, and back (RFC 6120 §4).

The stream knows nothing of accounts or hosts. It parses within limits, hands each stanza to its owner, waits while
the owner must wait, leaves others their turn, and sees to it that a stream ends as the RFC says. What it writes goes
through its `outbox`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Final

from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.interfaces import (
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IReactorTime,
)
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..life.scope import Scope, Timer
from ..xmpp.element import Element
from ..xmpp.errors import StreamCondition, StreamError
from ..xmpp.events import Event, Footer, Header
from ..xmpp.limits import Limits
from ..xmpp.parser import StreamParser
from ..xmpp.stanza import Stanza
from .budget import Budget
from .headers import header_bytes, stream_error
from .outbox import Bounds as Bounds
from .outbox import Outbox
from .owner import Counters, Owner, State
from .shaper import Shaper
from .tls import start_tls
from .turn import Turn

log = Logger()

#: Seconds the peer has to close its side after us; then as many until the connection is cut.
CLOSE_TIMEOUT: Final = 2.0
ABORT_TIMEOUT: Final = 5.0
#: Bytes that a peer may still send when we have closed our side, before the connection is closed on it.
HEAR_OUT_AT_MOST: Final = 256 * 1024
#: Seconds that what a stanza set going may go on when its stream is gone.
LEFT_BEHIND: Final = 60.0
#: Bytes parsed, and stanzas handed on, before others have their turn. And a stanza that waits finds no more than so
#: many bytes parsed behind it.
PARSE_AT_MOST: Final = 8 * 1024
HANDLE_AT_MOST: Final = 8
#: Bytes that are parsed when they come, whatever else there is to do; for more there may be no room in the turn.
LITTLE: Final = 1024
#: In CPython 3.11 to find a member of an enumeration takes longer than a call.
_OPEN: Final = State.OPEN


@implementer(IHandshakeListener)
class XmppStream(TwistedProtocol):
    """A stream as its server side speaks it."""

    transport: Any = None

    def __init__(
        self, clock: IReactorTime, scope: Scope, turn: Turn, counters: Counters, content: str, limits: Limits
    ) -> None:
        """*scope* owns what a stanza of this stream set going; *content* is the namespace of its stanzas."""
        self.clock = clock
        self.scope = scope
        self.content = content
        self.counters = counters
        self.bounds = Bounds()
        self.shaper: Shaper | None = None
        self.owner: Owner | None = None
        self.state = State.OPEN
        self.secure = False
        #: The address of the other end.
        self.peer = "unix socket"
        self._turn = turn
        self._parser = StreamParser(limits)
        self._header_sent = False
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
        self._closing: Timer | None = None
        self._outbox = Outbox(self, turn, scope)

    def __repr__(self) -> str:
        return f"<XmppStream {self.peer}>"

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
    def waiting(self) -> int:
        """Bytes that are sent and that the connection has not taken yet."""
        return self._outbox.size

    @property
    def budget(self) -> Budget | None:
        """Where what is kept here is counted with what others keep."""
        return None

    @property
    def tls(self) -> SSL.Connection | None:
        """The OpenSSL end of a stream that is secure."""
        return self.transport.getHandle() if self.secure and self.transport is not None else None

    # -- connection -----------------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        self.peer = str(getattr(self.transport.getPeer(), "host", self.peer))
        for option in ("setTcpNoDelay", "setTcpKeepAlive"):
            setting = getattr(self.transport, option, None)  # a Unix socket has neither
            if setting is not None:
                setting(True)
        self.transport.registerProducer(self._outbox, True)

    def start_tls(
        self,
        creator: IOpenSSLServerConnectionCreator | IOpenSSLClientConnectionCreator,
        *,
        client: bool = False,
    ) -> None:
        """Begin TLS; whatever the peer sent before that is forgotten (RFC 6120 §5.4.3.3)."""
        if self.state is not State.OPEN:
            return
        self._restart()
        self._unread = None
        self._outbox.hand_over()
        start_tls(self, self.transport, creator, self.clock, client=client)

    def handshakeCompleted(self) -> None:
        self.secure = True
        if self.owner is not None:
            self.owner.secured()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.state = State.GONE
        self._ended(None)
        for timer in (self._shaped, self._closing):
            if timer is not None:
                timer.cancel()
        self._shaped = self._closing = None
        # Nothing may be left that refers back to us: the cyclic collector is too slow to find thousands of streams.
        self._let_go()
        self._outbox.close()
        if self._waiting is not None:
            overtime = self.scope.later(LEFT_BEHIND, self._waiting.cancel)
            self._waiting.addBoth(lambda _: overtime.cancel())
        self.transport = None
        owner, self.owner = self.owner, None
        if owner is not None:
            owner.disconnected()

    # -- reading --------------------------------------------------------------------------------------------------

    def rest(self) -> None:
        """Let go of what an idle stream does not need, unless it has heard something since this was last called."""
        if self._heard:
            self._heard = False
        else:
            self.rest_now()

    def rest_now(self) -> None:
        """Let go of what an idle stream does not need: it comes back with the next byte."""
        if self._parser.hibernate() and self.secure and self.transport is not None:
            self.transport.rest()

    def dataReceived(self, data: bytes) -> None:
        size = len(data)
        if self.state is not _OPEN:
            # Only the end of the peer's side is still of interest, and not at any price.
            self._heard_out += size
            if self._heard_out > HEAR_OUT_AT_MOST:
                self._drop()
            if self.state > State.CLOSING:
                return
        self._heard = True
        at_once = size <= LITTLE or self._turn.hears(min(size, PARSE_AT_MOST))
        if (
            at_once
            and self._unread is None
            and size <= PARSE_AT_MOST
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
        if at_once:
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

    def weigh(self) -> None:
        """Have what is kept here counted."""
        budget = self.budget
        if budget is not None and self.state is not State.GONE:
            kept = self._parser.weight + len(self._unread or b"") + self._outbox.size
            self._counted = budget.weigh(self, kept)

    def _let_go(self) -> None:
        """Keep nothing of what the peer has sent, and understand nothing more."""
        self._parser.close()
        self._pending = self._unread = None
        if self._counted and self.budget is not None:
            self._counted = self.budget.weigh(self, 0)

    def _read_on(self) -> None:
        """Parse some of what waits, if that may be parsed now; the rest has its turn later."""
        unread = self._unread
        if unread is None or self._yielded or self.paused or self.state > State.CLOSING:
            return
        data = bytes(unread[:PARSE_AT_MOST])
        if len(data) == len(unread):
            self._unread = None
        else:
            del unread[:PARSE_AT_MOST]
        self._read(data)
        if self._unread is not None:
            self._yield()

    def _work(self) -> None:
        """Hand on what is parsed, until something has to wait."""
        self._working = True
        left = HANDLE_AT_MOST
        try:
            while (pending := self._pending) and self._waiting is None and not self._outbox.full:
                if not left:
                    self._yield()
                    return
                left -= 1
                self._handle(pending.pop())
        finally:
            self._working = False
            if not self._pending:
                self._pending = None

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

    def _handle(self, event: Event) -> None:
        try:
            owner = self.owner
            if self.state is not _OPEN or owner is None:
                # RFC 6120 §4.9.1.1: after a stream error nothing more is processed.
                if isinstance(event, Footer):
                    self._peer_closed()
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

    def _pause(self) -> None:
        if self.transport is not None:
            self.transport.pauseProducing()

    def _unshaped(self) -> None:
        self._shaped = None
        self._go_on()

    def _go_on(self) -> None:
        if self.state > State.CLOSING or self._working or self._yielded:
            return
        if self._waiting is None:
            self._work()
        self._read_on()
        if not (self._yielded or self.paused) and self.state <= State.CLOSING:
            self.transport.resumeProducing()

    # -- writing --------------------------------------------------------------------------------------------------

    def send(self, stanza: Stanza) -> None:
        raw = stanza.raw
        if raw is None:
            self.counters.rendered += 1
            raw = stanza.to_bytes(self.content)
        else:
            self.counters.reused += 1
        if self.state is _OPEN:
            self._outbox.put(raw)

    def send_element(self, element: Element) -> None:
        self.write(element.to_bytes(self.content))

    def write(self, data: bytes) -> None:
        """Have *data* sent with what else is written in this turn."""
        if self.state is _OPEN:
            self._outbox.put(data)

    def crowded(self) -> None:
        """The peer takes too little of what is sent to it: nothing more is read until it does."""
        self._pause()

    def relieved(self) -> None:
        self._go_on()

    def stalled(self) -> None:
        """The peer takes nothing."""
        log.info("peer does not read: closed", peer=self.peer)
        self._ended(StreamError(StreamCondition.CONNECTION_TIMEOUT))
        self.abort()

    def outweighed(self) -> None:
        """This keeps more than any other stream, and all together keep too much."""
        self._counted = False
        self._outbox.shed()
        self.fail(StreamError(StreamCondition.RESOURCE_CONSTRAINT, "the server keeps too much, and most of it for you"))
        self._let_go()

    def overflowed(self, size: int) -> None:
        """The peer does not read what is sent to it."""
        log.info("too much waits for a slow peer: closed", peer=self.peer, bytes=size)
        self.fail(StreamError(StreamCondition.RESOURCE_CONSTRAINT, "what is sent to you is not read"))

    # -- opening and closing --------------------------------------------------------------------------------------

    def send_header(self, attrs: Mapping[str, str | None]) -> None:
        """Open our side (RFC 6120 §4.7)."""
        self.write(self._header(attrs))

    def _header(self, attrs: Mapping[str, str | None]) -> bytes:
        self._header_sent = True
        return header_bytes(self.content, attrs)

    def _restart(self) -> None:
        old = self._parser
        self._parser = StreamParser(old.limits)
        old.close()
        self._pending = None
        self._header_sent = False

    def restart(self, limits: Limits) -> None:
        """Wait for a new header (RFC 6120 §4.3.3), within new limits.

        The peer sends it only when it has read our answer: what it sent before is against the rule and would mean
        something else now, so the stream ends.
        """
        if self._pending or (self._unread or b"").strip() or not self._parser.between:
            raise StreamError(StreamCondition.POLICY_VIOLATION, "nothing may be sent ahead of a stream restart")
        self._unread = None
        self._restart()
        self._parser.limits = limits

    def limit(self, limits: Limits) -> None:
        """Be within other *limits* from now on, though nothing begins anew."""
        self._parser.limits = limits

    def fail(self, error: StreamError) -> None:
        """End the stream with a stream error (RFC 6120 §4.9)."""
        error.__traceback__ = None  # where it was raised from a variable, that is a cycle through us
        if self.state is not State.OPEN:
            return
        if not self._header_sent:
            # §4.9.1.2: an error during set-up still comes inside a stream.
            self._outbox.put_last(self._header(self.owner.header() if self.owner is not None else {"version": "1.0"}))
        self._say_last()
        self._outbox.put_last(stream_error(error).to_bytes(self.content))
        self._close(error)

    def close(self, error: StreamError | None = None) -> None:
        """End the stream with its closing handshake (RFC 6120 §4.4)."""
        if error is not None:
            self.fail(error)
        elif self.state is State.OPEN:
            self._close(None)

    def _say_last(self) -> None:
        words = self.owner.last_words() if self._header_sent and self.owner is not None else b""
        if words:
            self._outbox.put_last(words)

    def _close(self, error: StreamError | None) -> None:
        if error is None:
            self._say_last()
        if self._header_sent:
            self._outbox.put_last(b"</stream:stream>")
        self.state = State.CLOSING
        if self._outbox.full:
            self._yield()  # it is to be read again: it may have closed, too
        self._outbox.hand_over()
        self._closing = self.scope.later(CLOSE_TIMEOUT, self._drop)
        self._ended(error)

    def _peer_closed(self) -> None:
        if self.state is State.OPEN:
            self._close(None)
        self._drop()

    def _drop(self) -> None:
        """Close the connection, and cut it when that takes too long."""
        if self.state >= State.DROPPED:
            return
        self.state = State.DROPPED
        if self._closing is not None:
            self._closing.cancel()
        if self._yielded or self.paused:
            self.transport.resumeProducing()  # TLS has yet to hear the other side's close
        if self._shaped is not None:
            self._shaped.cancel()
            self._shaped = None
        self._closing = self.scope.later(ABORT_TIMEOUT, self.abort)
        # Twisted's TLS begins its shutdown only when no producer is registered.
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def abort(self) -> None:
        """Cut the connection: its peer is silent."""
        if self.state is State.GONE:
            return
        self.state = State.DROPPED
        self.transport.abortConnection()

    def _ended(self, error: StreamError | None) -> None:
        owner = self.owner
        if owner is not None:
            owner.ended(error)
