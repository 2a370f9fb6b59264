"""One XML stream over one connection: bytes in, stanzas out, and back (RFC 6120 §4).

The stream knows nothing of accounts or hosts. It parses within limits, hands each stanza to its owner, waits while
the owner must wait, joins what it writes, and sees to it that a stream ends as the RFC says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Protocol

from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.interfaces import (
    IHandshakeListener,
    IOpenSSLServerConnectionCreator,
    IPushProducer,
    IReactorTime,
)
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..life.scope import Scope, Timer
from ..xmpp import ns
from ..xmpp.element import Element, escape_value
from ..xmpp.errors import StreamCondition, StreamError
from ..xmpp.parser import Event, Footer, Header, Limits, StreamParser
from ..xmpp.stanza import Stanza
from .shaper import Shaper
from .tls import start_tls
from .turn import Turn

log = Logger()

#: Seconds the peer has to close its side after us; then as many until the connection is cut.
CLOSE_TIMEOUT: Final = 2.0
ABORT_TIMEOUT: Final = 5.0
#: Bytes joined before they are handed to the connection, turn or no turn.
JOIN_AT_MOST: Final = 64 * 1024
#: Bytes parsed before what they hold is handed on: a stanza that waits finds no more than so many parsed behind it.
PARSE_AT_MOST: Final = 8 * 1024


class State(IntEnum):
    """Where a stream stands."""

    OPEN = 0  # both sides may send
    CLOSING = 1  # we have closed; the peer has not
    DROPPED = 2  # the connection is being closed
    GONE = 3


class Owner(Protocol):
    """What a stream asks of the link that owns it."""

    def opened(self, header: Header) -> None:
        """The peer's stream header is here. Raises `StreamError`."""

    def header(self) -> Mapping[str, str | None]:
        """The attributes of our own header, where an error comes before the peer's could be read."""

    def received(self, event: Stanza | Element) -> Awaitable[None] | None:
        """A stanza or another top-level element; reading pauses until the answer is done. Raises `StreamError`."""

    def secured(self) -> None:
        """The TLS handshake is done."""

    def ended(self, error: StreamError | None) -> None:
        """Nothing more will be received or sent: called once, before `disconnected`."""

    def disconnected(self) -> None:
        """The connection is gone."""


@dataclass(slots=True)
class Counters:
    """What all streams of a server count together."""

    received: int = 0
    reused: int = 0  # stanzas sent in the bytes they came in
    rendered: int = 0  # stanzas sent that had to be written anew


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may wait for a peer that reads too slowly, and for how long (seconds) it may read nothing."""

    queue_bytes: int = 1024 * 1024
    queue_stanzas: int = 10_000
    send_timeout: float = 15.0


@implementer(IPushProducer, IHandshakeListener)
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
        self.trace = False
        #: The address of the other end.
        self.peer = "unix socket"
        self._turn = turn
        self._parser = StreamParser(limits)
        self._header_sent = False
        # Reading. What is parsed and not yet handed on, and what was read and not yet parsed.
        self._pending: deque[Event] = deque()
        self._unread: deque[bytes] = deque()
        self._working = False
        self._waiting = False
        self._shaped: Timer | None = None
        # Writing. What is not yet handed to the connection.
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._corked = False
        self._full = False
        self._stalled: Timer | None = None
        self._closing: Timer | None = None

    def __repr__(self) -> str:
        return f"<XmppStream {self.peer}>"

    # -- facts ----------------------------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether it is not reading: a stanza of its own waits, its shaper says so, or its peer does not read."""
        return self._waiting or self._full or self._shaped is not None

    @property
    def held(self) -> int:
        """Bytes this stream keeps in memory, for its bounds to be tested."""
        return self._parser.held + sum(map(len, self._unread)) + self._out_bytes

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
        self.transport.registerProducer(self, True)

    def start_tls(self, creator: IOpenSSLServerConnectionCreator) -> None:
        """Begin TLS; whatever the peer sent before that is forgotten (RFC 6120 §5.4.3.3)."""
        if self.state is not State.OPEN:
            return
        self._restart()
        self._unread.clear()
        self._flow()
        start_tls(self, self.transport, creator, self.clock)

    def handshakeCompleted(self) -> None:
        self.secure = True
        if self.owner is not None:
            self.owner.secured()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.state = State.GONE
        self._ended(None)
        for timer in (self._shaped, self._stalled, self._closing):
            if timer is not None:
                timer.cancel()
        self._shaped = self._stalled = self._closing = None
        # Nothing may be left that refers back to us: the cyclic collector is too slow to find thousands of streams.
        self._parser.close()
        self._pending.clear()
        self._unread.clear()
        self._out.clear()
        self._out_bytes = 0
        self.transport = None
        owner, self.owner = self.owner, None
        if owner is not None:
            owner.disconnected()

    # -- reading --------------------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        if self.state > State.CLOSING:
            return
        if self._waiting or self._full or self._shaped is not None:
            # Bounded by what the connection reads at once: it has been told to pause.
            self._unread.append(data)
            return
        if len(data) <= PARSE_AT_MOST:
            self._read(data)
            return
        self._unread.append(data)
        self._read_on()

    def _read(self, data: bytes) -> None:
        shaper = self.shaper
        if shaper is not None and (pause := shaper.consume(len(data))) > 0:
            self._shaped = self.scope.later(pause, self._unshaped)
            self._pause()
        events = self._parser.feed(data)
        if events:
            self._pending.extend(events)
            if not self._working:
                self._work()

    def _read_on(self) -> None:
        """Parse what waits, as far as it may be parsed now."""
        unread = self._unread
        while unread and not self.paused and self.state <= State.CLOSING:
            data = unread.popleft()
            if len(data) > PARSE_AT_MOST:
                unread.appendleft(data[PARSE_AT_MOST:])
                data = data[:PARSE_AT_MOST]
            self._read(data)

    def _work(self) -> None:
        """Hand on what is parsed, until something has to wait."""
        pending = self._pending
        self._working = True
        try:
            while pending and not (self._waiting or self._full):
                try:
                    self._handle(pending.popleft())
                except StreamError as error:
                    self.fail(error)
                except Exception:
                    log.failure("stream failed", peer=self.peer)
                    self.fail(StreamError(StreamCondition.INTERNAL_SERVER_ERROR))
        finally:
            self._working = False

    def _handle(self, event: Event) -> None:
        if isinstance(event, Footer):
            self._peer_closed()
            return
        owner = self.owner
        if self.state is not State.OPEN or owner is None:
            return  # RFC 6120 §4.9.1.1: after a stream error nothing more is processed
        if isinstance(event, Stanza):
            self.counters.received += 1
            waiting = owner.received(event)
        elif isinstance(event, Element):
            waiting = owner.received(event)
        elif isinstance(event, Header):
            owner.opened(event)
            return
        else:
            # Not raised: the traceback of an exception that is a local variable is a cycle.
            self.fail(event)
            return
        if waiting is not None:
            self._wait(waiting)

    def _wait(self, waiting: Awaitable[None]) -> None:
        """Read on when *waiting* is done. What it does is not undone by the end of the stream."""
        done: Deferred[None] = ensureDeferred(waiting)  # type: ignore[arg-type]
        if done.called:
            done.addErrback(self._failed)
            return
        self._waiting = True
        self._pause()
        forget = self.scope.add(done.cancel)

        def go_on(result: object) -> None:
            forget()
            self._waiting = False
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
        if self.state > State.CLOSING or self._working:
            return
        if not self._waiting:
            self._work()
        self._read_on()
        if not self.paused and self.state <= State.CLOSING:
            self.transport.resumeProducing()

    # -- writing --------------------------------------------------------------------------------------------------

    def send(self, stanza: Stanza) -> None:
        raw = stanza.raw
        if raw is None:
            self.counters.rendered += 1
            raw = stanza.to_bytes(self.content)
        else:
            self.counters.reused += 1
        self.write(raw)

    def send_element(self, element: Element) -> None:
        self.write(element.to_bytes(self.content))

    def write(self, data: bytes) -> None:
        """Have *data* sent with what else is written in this turn."""
        if self.state is not State.OPEN:
            return
        if self.trace:
            log.info("sent", peer=self.peer, data=data)
        if not self._out and not self._corked:
            self._turn.add(self)
        self._out.append(data)
        self._out_bytes += len(data)
        if not self._corked:
            if self._out_bytes > JOIN_AT_MOST:
                self.flush()
            return
        bounds = self.bounds
        if self._out_bytes > bounds.queue_bytes or len(self._out) > bounds.queue_stanzas:
            self._overflow()
        elif not self._full and (2 * self._out_bytes > bounds.queue_bytes or 2 * len(self._out) > bounds.queue_stanzas):
            # Who does not read is not read: or the answers to what it asks in one go would be its end. The other half
            # is for what others send to it.
            self._full = True
            self._pause()

    def flush(self) -> None:
        """Hand what is written to the connection."""
        if not self._out or self._corked or self.transport is None:
            return
        out = self._out
        data = out[0] if len(out) == 1 else b"".join(out)
        self._out = []
        self._out_bytes = 0
        self.transport.write(data)

    def pauseProducing(self) -> None:
        """The connection has enough to send for now: the peer is slow."""
        self._corked = True
        if self._stalled is None and self.state is not State.GONE:
            self._stalled = self.scope.later(self.bounds.send_timeout, self._stall)

    def resumeProducing(self) -> None:
        """The connection has sent what it had."""
        was_full = self._full
        self._flow()
        if was_full:
            self._go_on()

    def _flow(self) -> None:
        """Hand over what waits, whatever the connection said."""
        self._corked = self._full = False
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        self.flush()

    def stopProducing(self) -> None:
        """The connection is lost; `connectionLost` follows."""

    def _stall(self) -> None:
        self._stalled = None
        log.info("client does not read: closed", peer=self.peer)
        self._ended(StreamError(StreamCondition.CONNECTION_TIMEOUT))
        self.abort()

    def _overflow(self) -> None:
        """The peer does not read what is sent to it."""
        log.info("too much waits for a slow client: closed", peer=self.peer, bytes=self._out_bytes)
        self._out.clear()
        self._out_bytes = 0
        self.fail(StreamError(StreamCondition.RESOURCE_CONSTRAINT, "what is sent to you is not read"))

    # -- opening and closing --------------------------------------------------------------------------------------

    def send_header(self, attrs: Mapping[str, str | None]) -> None:
        """Open our side (RFC 6120 §4.7)."""
        self._header_sent = True
        written = "".join(f" {k}='{escape_value(v)}'" for k, v in attrs.items() if v is not None)
        self.write(
            f"<?xml version='1.0'?><stream:stream xmlns='{self.content}' xmlns:stream='{ns.STREAMS}'{written}>".encode()
        )

    def _restart(self) -> None:
        old = self._parser
        self._parser = StreamParser(old.limits)
        old.close()
        self._pending.clear()
        self._header_sent = False

    def restart(self, limits: Limits) -> None:
        """Wait for a new header (RFC 6120 §4.3.3), within new limits.

        The peer sends it only when it has read our answer: what it sent before is against the rule and would mean
        something else now, so the stream ends.
        """
        if self._pending or any(map(bytes.strip, self._unread)) or not self._parser.between:
            raise StreamError(StreamCondition.POLICY_VIOLATION, "nothing may be sent ahead of a stream restart")
        self._unread.clear()
        self._restart()
        self._parser.limits = limits

    def fail(self, error: StreamError) -> None:
        """End the stream with a stream error (RFC 6120 §4.9)."""
        error.__traceback__ = None  # where it was raised from a variable, that is a cycle through us
        if self.state is not State.OPEN:
            return
        if not self._header_sent:
            # §4.9.1.2: an error during set-up still comes inside a stream.
            self.send_header(self.owner.header() if self.owner is not None else {"version": "1.0"})
        element = Element("error", ns.STREAMS, Element(error.condition.value, ns.STREAM_ERROR))
        if error.text:
            element.children.append(Element("text", ns.STREAM_ERROR, text=error.text, attrs={"xml:lang": "en"}))
        self.send_element(element)
        self._close(error)

    def close(self, error: StreamError | None = None) -> None:
        """End the stream with its closing handshake (RFC 6120 §4.4)."""
        if error is not None:
            self.fail(error)
        elif self.state is State.OPEN:
            self._close(None)

    def _close(self, error: StreamError | None) -> None:
        if self._header_sent:
            self.write(b"</stream:stream>")
        self.state = State.CLOSING
        self._flow()
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
        if self.paused:
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
