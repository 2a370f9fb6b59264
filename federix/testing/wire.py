"""A connection in memory, with two ends; it can be delayed, cut, or made to carry one byte at a time."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReactorTime, ITransport
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

if TYPE_CHECKING:
    from .machine import Machine

#: As in a socket of Twisted's: above this its producer is told to wait.
BUFFER = 64 * 1024

Address = IPv4Address | IPv6Address


class Watcher(Protocol):
    """Who watches a wire."""

    def written(self, end: End, data: bytes) -> None:
        """*data* was written at *end*; with TLS, what was written before it was encrypted."""

    def encrypted(self, end: End) -> None:
        """From here on *end* speaks TLS."""

    def lost(self, end: End, why: Exception) -> None:
        """The connection is gone for *end*."""


class Wire:
    """Two ends (*near* is the client's, *far* the server's) and what is on its way between them, on one *clock*.

    *watcher* is told what is written, in plain text.
    """

    def __init__(
        self, clock: IReactorTime, client: Address, server: Address, *, watcher: Watcher | None = None
    ) -> None:
        self.clock = clock
        self.watcher = watcher
        #: Seconds each piece takes.
        self.delay = 0.0
        #: Whether every byte arrives by itself.
        self.byte_by_byte = False
        #: While true nothing arrives, and nobody is told: a cable is out.
        self.broken = False
        #: Whether an end that is aborted meanwhile leaves the other in the belief that all is well, as on a network;
        #: or both are told.
        self.half_open = False
        self.near = End(self, client, server)
        self.far = End(self, server, client)
        self.near.other, self.far.other = self.far, self.near

    def cut(self) -> None:
        """Both ends lose the connection at once, without a word."""
        for end in (self.near, self.far):
            end.lost(ConnectionLost())

    def deliver(self) -> bool:
        """Carry what is due; whether anything moved."""
        near, far = self.near.deliver(), self.far.deliver()
        return near or far

    def due(self) -> list[float]:
        """When something will arrive, on the clock."""
        return [when for end in (self.near, self.far) if (when := end.next_due()) is not None]


@implementer(ITransport)
class End:
    """One end: the transport of the protocol that sits there."""

    disconnecting = False

    def __init__(self, wire: Wire, host: Address, peer: Address) -> None:
        self.wire = wire
        self.other: End = self
        #: The machine it is on.
        self.machine: Machine | None = None
        #: Called with the reason, after the protocol, when the connection is gone.
        self.on_lost: Callable[[Failure], None] | None = None
        #: Whether TLS is spoken here.
        self.encrypted = False
        self._protocol: Any = None
        self.connected = True
        self.reading = True
        self._host = host
        self._peer = peer
        self._on_the_way: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._last = False
        #: As Twisted's transports show it: TLS on top takes it over.
        self.producer: Any = None
        self.streamingProducer = True
        self._told_to_wait = False

    @property
    def protocol(self) -> Any:
        """Who sits here; ``None`` before and after."""
        return self._protocol

    @protocol.setter
    def protocol(self, protocol: Any) -> None:
        self._protocol = protocol
        if isinstance(protocol, TLSMemoryBIOProtocol):
            self.encrypted = True
            if self.wire.watcher is not None:
                _overhear(protocol, self, self.wire.watcher)

    def named(self, host: Address, peer: Address) -> None:
        """Have both ends called so here: a socket for IPv6 has its own way to show addresses of IPv4."""
        self._host, self._peer = host, peer

    def attach(self, protocol: Any) -> None:
        """Have *protocol* sit here."""
        self.protocol = protocol
        protocol.makeConnection(self)

    # -- ITransport and its kin, as Twisted spells them -----------------------------------------------------------

    def write(self, data: bytes) -> None:
        if not self.connected or not data:
            return
        if self.wire.watcher is not None and not self.encrypted:
            self.wire.watcher.written(self, data)
        due = self.wire.clock.seconds() + self.wire.delay
        step = 1 if self.wire.byte_by_byte else BUFFER  # no socket reads more at a time
        self._on_the_way.extend((due, bytes(data[i : i + step])) for i in range(0, len(data), step))
        self._size += len(data)
        if self._size > BUFFER and self.producer is not None and not self._told_to_wait:
            self._told_to_wait = True
            self.producer.pauseProducing()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def loseConnection(self, reason: object = None) -> None:
        """What is written still arrives, then both ends are told."""
        self.disconnecting = True

    def abortConnection(self) -> None:
        """Nothing more arrives, and both ends are told; not before the caller is done, as with a socket."""
        self._on_the_way.clear()
        self._size = 0
        self.disconnecting = True
        self.reading = False
        self.wire.clock.callLater(0, self._abort)

    def _abort(self) -> None:
        if self.wire.broken and self.wire.half_open:
            self.lost(ConnectionLost())
        else:
            self.wire.cut()

    def getPeer(self) -> Address:
        return self._peer

    def getHost(self) -> Address:
        return self._host

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        self.reading = True

    def stopProducing(self) -> None:
        self.loseConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer
        self.streamingProducer = streaming
        if not self.connected:
            producer.stopProducing()

    def unregisterProducer(self) -> None:
        self.producer = None

    # -- carrying -------------------------------------------------------------------------------------------------

    @property
    def unsent(self) -> int:
        """Bytes written here that have not arrived."""
        return self._size

    def next_due(self) -> float | None:
        return self._on_the_way[0][0] if self._on_the_way else None

    def deliver(self) -> bool:
        """Hand to the other end what is due, as much as a socket reads in one turn; whether anything moved."""
        moved = False
        other = self.other
        carried = 0
        while self._on_the_way and other.connected and other.reading and not self.wire.broken and carried < BUFFER:
            due, data = self._on_the_way[0]
            if due > self.wire.clock.seconds():
                break
            self._on_the_way.popleft()
            self._size -= len(data)
            carried += len(data)
            moved = True
            other.protocol.dataReceived(data)
            if not self.connected:
                break
            if self._told_to_wait and self._size <= BUFFER and self.producer is not None:
                self._told_to_wait = False
                self.producer.resumeProducing()
        if self._on_the_way and not other.connected and not self.wire.broken:
            self.lost(ConnectionLost())  # there is nobody to take it, and that is what the other side says now
            return True
        if self.disconnecting and self.connected and not self._on_the_way and not self.wire.broken:
            self.lost(ConnectionDone())
            other.lost(ConnectionDone())
            moved = True
        return moved

    def vanish(self) -> None:
        """Who sits here is gone, and was told nothing; nor is the other end."""
        if self.connected and self.wire.watcher is not None:
            self.wire.watcher.lost(self, ConnectionLost())
        self.connected = False
        self._on_the_way.clear()
        self._size = 0
        self.protocol = self.producer = self.on_lost = None

    def lost(self, why: Exception) -> None:
        """The connection is gone for this end."""
        if not self.connected:
            return
        self.connected = False
        self._on_the_way.clear()
        self._size = 0
        if self.wire.watcher is not None:
            self.wire.watcher.lost(self, why)
        producer, self.producer = self.producer, None
        if producer is not None:
            producer.stopProducing()
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            protocol.connectionLost(Failure(why))  # type: ignore[no-untyped-call]
        on_lost, self.on_lost = self.on_lost, None
        if on_lost is not None:
            on_lost(Failure(why))  # type: ignore[no-untyped-call]


def _overhear(tls: Any, end: End, watcher: Watcher) -> None:
    """Have *watcher* told what *tls*, the protocol at *end*, is given to encrypt."""
    # Written this way no cycle is made that would keep a connection after its end.
    this, write = weakref.ref(tls), type(tls).write

    def written(data: bytes) -> None:
        watcher.written(end, data)
        write(this(), data)

    tls.write = written
    watcher.encrypted(end)
