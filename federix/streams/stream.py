"""One XML stream over one connection: bytes in, stanzas out, and back (RFC 6120 §4).

The stream knows nothing of accounts or hosts. How it is read is in `reading`, what it writes goes through its `outbox`.
Here it begins, with TLS or without, and here it is seen to that it ends as the RFC says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from OpenSSL import SSL
from twisted.internet.interfaces import (
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IReactorTime,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ..life.scope import Scope, Timer
from ..xmpp.element import Element
from ..xmpp.errors import StreamCondition, StreamError
from ..xmpp.limits import Limits
from ..xmpp.stanza import Stanza
from .headers import header_bytes, stream_error
from .outbox import Bounds as Bounds
from .outbox import Outbox
from .owner import OPEN, Counters, State
from .reading import ReadingStream
from .tls import start_tls
from .turn import Turn

log = Logger()

#: Seconds the peer has to close its side after us; then as many until the connection is cut.
CLOSE_TIMEOUT: Final = 2.0
ABORT_TIMEOUT: Final = 5.0


@implementer(IHandshakeListener)
class XmppStream(ReadingStream):
    """A stream as its server side speaks it."""

    def __init__(
        self, clock: IReactorTime, scope: Scope, turn: Turn, counters: Counters, content: str, limits: Limits
    ) -> None:
        """*scope* owns what a stanza of this stream set going; *content* is the namespace of its stanzas."""
        super().__init__(clock, scope, turn, counters, limits)
        self.content = content
        self.bounds = Bounds()
        self.secure = False
        #: The address of the other end; where it has none, `NO_ADDRESS` of `core/conditions.py`.
        self.peer = "unix socket"
        self._header_sent = False
        self._closing: Timer | None = None
        self._outbox = Outbox(self, turn, scope)

    def __repr__(self) -> str:
        return f"<XmppStream {self.peer}>"

    # -- facts ----------------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Bytes that are sent and that the connection has not taken yet."""
        return self._outbox.size

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
        self._begin_anew()
        self._header_sent = False
        self._outbox.hand_over()
        start_tls(self, self.transport, creator, self.clock, client=client)

    def handshakeCompleted(self) -> None:
        self.secure = True
        if self.owner is not None:
            self.owner.secured()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.state = State.GONE
        self._ended(None)
        # Nothing may be left that refers back to us: the cyclic collector is too slow to find thousands of streams.
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        self._stop_reading()
        self._outbox.close()
        self.transport = None
        owner, self.owner = self.owner, None
        if owner is not None:
            owner.disconnected()

    # -- writing --------------------------------------------------------------------------------------------------

    def send(self, stanza: Stanza) -> None:
        raw = stanza.raw
        if raw is None:
            self.counters.rendered += 1
            raw = stanza.to_bytes(self.content)
        else:
            self.counters.reused += 1
        if self.state is OPEN:
            self._outbox.put(raw)

    def send_element(self, element: Element) -> None:
        self.write(element.to_bytes(self.content))

    def write(self, data: bytes) -> None:
        """Have *data* sent with what else is written in this turn."""
        if self.state is OPEN:
            self._outbox.put(data)

    def write_soon(self, say: Callable[[], bytes]) -> None:
        """Have what *say* answers then sent with what is written next, or alone in a moment."""
        if self.state is OPEN:
            self._outbox.put_soon(say)

    def stalled(self) -> None:
        """The peer takes nothing."""
        log.info("peer does not read: closed", peer=self.peer)
        self._ended(StreamError(StreamCondition.CONNECTION_TIMEOUT))
        self.abort()

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

    def restart(self, limits: Limits) -> None:
        """Wait for a new header (RFC 6120 §4.3.3), within new limits.

        The peer sends it only when it has read our answer: what it sent before is against the rule and would mean
        something else now, so the stream ends.
        """
        if self._is_ahead:
            raise StreamError(StreamCondition.POLICY_VIOLATION, "nothing may be sent ahead of a stream restart")
        self._begin_anew()
        self._header_sent = False
        self.limit(limits)

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
        self._hear_the_end()
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
