"""TLS over any transport, at less cost than Twisted's class it is made of.

Twisted reads until OpenSSL says that there is no more, and then looks for something to send: two exceptions for each
read, which cost more than the decrypting. Here the records are counted as they arrive (RFC 8446 §5.1: five bytes tell
the length of each), so OpenSSL is asked exactly as often as it has an answer. Whatever is unusual, Twisted handles.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

from OpenSSL import SSL
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IReactorTime,
    ISSLTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from .lean_tls import SCRATCH, Lean, lean

#: What one record holds at most (RFC 8446 §5.1), and how long it is at most (RFC 5246 §6.2.3), its header not counted.
RECORD: Final = 1 << 14
RECORD_BODY: Final = RECORD + 2048
#: What comes and goes in such pieces leaves OpenSSL with little.
LITTLE: Final = 2048
#: The kind of a record, its version, 3 and something, and how long its body is.
_HEADER: Final = Struct(">BBxH")
#: The kinds there are (RFC 8446 §B.1, RFC 6520 §3). A greeting in the way of SSL 2 has none of them.
_KINDS: Final = range(20, 25)
_STRANGE: Final = -1


class Maker:
    """What Twisted's class asks of its factory. One that remembers all its connections costs each of them 1 KiB."""

    __slots__ = ("_client", "_clock", "_creator")

    def __init__(
        self,
        creator: IOpenSSLServerConnectionCreator | IOpenSSLClientConnectionCreator,
        client: bool,
        clock: IReactorTime,
    ) -> None:
        self._creator: Any = creator
        self._client = client
        self._clock = clock

    def _creatorCallable(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection: SSL.Connection
        if self._client:
            connection = self._creator.clientConnectionForTLS(protocol)
            connection.set_connect_state()
        else:
            connection = self._creator.serverConnectionForTLS(protocol)
            connection.set_accept_state()
        connection.set_app_data(protocol)  # where the creators of Twisted's look for it
        return connection

    def registerProtocol(self, protocol: object) -> None: ...

    def unregisterProtocol(self, protocol: object) -> None: ...


@implementer(ISSLTransport)
class TlsTransport(TLSMemoryBIOProtocol):
    """What a protocol writes to once TLS is on, and at the same time the protocol of the plain transport below.

    Twisted's default class joins small writes with a timer for each turn of the reactor; a stream joins its stanzas
    itself, so this is the one below it: no timer, and no reference to itself that would outlive the connection.
    """

    #: Bytes missing of the record under way. Where there is none: the header that is not whole.
    _missing = 0
    _head = b""
    #: OpenSSL, once the handshake is done and until the connection is lost.
    _lean: Lean | None = None
    #: Whether OpenSSL may keep much.
    _grown = False
    #: Whether who sits on top wants to hear nothing at the moment, and whether the other side has closed meanwhile.
    _reading_paused = False
    _closed_meanwhile = False

    def __init__(self, maker: Maker, protocol: IProtocol) -> None:
        super().__init__(maker, protocol, _connectWrapped=False)  # type: ignore[no-untyped-call]

    def dataReceived(self, data: bytes) -> None:
        """Hand on what *data* holds, all of it at once."""
        whole = self._whole_records(data)
        if whole < 0 or not self._handshakeDone or self._appSendBuffer or self._lostTLSConnection or self._aborted:
            super().dataReceived(data)  # type: ignore[no-untyped-call]
            return
        connection = self._lean
        if connection is None:
            connection = self._lean = lean(self._tlsConnection)
        if len(data) > LITTLE:
            self._grown = True
        connection.bio_write(data)
        pieces: list[bytes] = []
        closed = False
        try:
            while len(pieces) < whole:
                pieces.append(connection.recv(RECORD))
        except SSL.WantReadError:
            # Not all was for us: new keys, or a wish that OpenSSL has refused. What it says to that has to leave.
            self._flushSendBIO()  # type: ignore[no-untyped-call]
        except SSL.ZeroReturnError:
            closed = True
        except SSL.Error:
            # Nothing can be sent any more, not even by who is still told what came before.
            self._tlsShutdownFinished(Failure())  # type: ignore[no-untyped-call]
        if pieces:
            self.wrappedProtocol.dataReceived(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if closed and not self._lostTLSConnection:
            self._closed_meanwhile = self._reading_paused
            if not self._closed_meanwhile:
                self._answer_close()

    def _answer_close(self) -> None:
        self._shutdownTLS()  # type: ignore[no-untyped-call]
        self._tlsShutdownFinished(None)

    def pauseProducing(self) -> None:
        self._reading_paused = True
        self.transport.pauseProducing()  # type: ignore[union-attr]

    def resumeProducing(self) -> None:
        """Go on, be it with the end: it came in the same read as what was to be heard first, and on a plain connection
        would not have been read yet.
        """
        self._reading_paused = False
        if self._closed_meanwhile and not self._lostTLSConnection:
            self._answer_close()
        else:
            self.transport.resumeProducing()  # type: ignore[union-attr]

    def write(self, data: bytes) -> None:
        if len(data) > LITTLE:
            self._grown = True
        if not self._handshakeDone or not 0 < len(data) <= RECORD or self.disconnecting or self._lostTLSConnection:
            super().write(data)  # type: ignore[no-untyped-call]
            return
        connection = self._lean
        if connection is None:
            connection = self._lean = lean(self._tlsConnection)
        try:
            sent = connection.send(data)
        except SSL.WantReadError:
            self._bufferedWrite(data)  # type: ignore[no-untyped-call]
        except SSL.Error:
            self._tlsShutdownFinished(Failure())  # type: ignore[no-untyped-call]
        else:
            self.transport.write(connection.bio_read(SCRATCH))  # type: ignore[union-attr]
            if sent < len(data):  # a client may ask for small records (RFC 6066 §4)
                self._write(data[sent:])  # type: ignore[no-untyped-call]

    def rest(self) -> None:
        """Let go of the memory that OpenSSL keeps for more than is said now, if that is worth it.

        What is freed long after it came lies in holes among what others have: the next ones would be scattered there.
        """
        if self._grown:
            self.rest_now()

    def rest_now(self) -> None:
        """Let go of all that memory."""
        if self._lean is not None:
            self._lean = lean(self._tlsConnection)
            self._grown = False

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lean = None  # it knows the connection, and that knows us
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def _whole_records(self, data: bytes) -> int:
        """How many records *data* completes; less than none from the first thing on that is no record."""
        size = len(data)
        end = self._missing
        whole = 0
        if end > 0:
            if size < end:
                self._missing = end - size
                return 0
            whole = 1
        elif end < 0:
            return _STRANGE
        elif self._head:
            data = self._head + data
            size = len(data)
        # *end* is where a record ends, and the next begins.
        while size - end >= _HEADER.size:
            kind, version, body = _HEADER.unpack_from(data, end)
            if kind not in _KINDS or version != 3 or body > RECORD_BODY:
                self._missing = _STRANGE
                return _STRANGE
            end += _HEADER.size + body
            if end > size:
                self._missing = end - size
                return whole
            whole += 1
        self._missing = 0
        self._head = data[end:]
        return whole

    def _tlsShutdownFinished(self, reason: Failure | None) -> None:
        """The connection ended without TLS having been closed, as most that break do.

        Twisted has the failure in a local variable: with its traceback that is a cycle, and OpenSSL's memory in it.
        """
        if reason is not None:
            reason.cleanFailure()  # type: ignore[no-untyped-call]
        # A socket that has told a producer to wait tells it to go on when all is sent, and then waits for it instead of
        # closing. There is nothing to wait for: what is written from here on is dropped.
        self.transport.unregisterProducer()  # type: ignore[union-attr]
        super()._tlsShutdownFinished(reason)  # type: ignore[no-untyped-call]
