"""A stream by itself: its owner and the other end of its connection, for tests."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping

from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from federix.life.scope import Scope
from federix.streams.owner import Counters
from federix.streams.stream import XmppStream
from federix.streams.turn import Turn
from federix.testing import Wire
from federix.xmpp import ns
from federix.xmpp.element import Element
from federix.xmpp.errors import StreamError
from federix.xmpp.events import Header
from federix.xmpp.limits import Limits
from federix.xmpp.stanza import Stanza

HEADER = f"<stream:stream xmlns='jabber:client' xmlns:stream='{ns.STREAMS}' to='example.org' version='1.0'>".encode()
LIMITS = Limits()


class Peer(Protocol):
    """The other end: keeps what comes."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.pieces.append(data)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.lost = True

    @property
    def heard(self) -> str:
        return b"".join(self.pieces).decode()


class Owner:
    """Keeps what it is told; `answer` says what becomes of a stanza."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.headers: list[Header] = []
        self.error: StreamError | None = None

    def opened(self, header: Header) -> None:
        self.headers.append(header)

    def header(self) -> Mapping[str, str | None]:
        return {"id": "ours", "version": "1.0"}

    def received(self, event: Stanza | Element) -> Awaitable[None] | None:
        element = event.element if isinstance(event, Stanza) else event
        self.told.append(element.get("id") or element.name)
        return self.answer(element)

    def answer(self, element: Element) -> Awaitable[None] | None:
        return None

    def secured(self) -> None:
        self.told.append("secured")

    def last_words(self) -> bytes:
        return b""

    def ended(self, error: StreamError | None) -> None:
        self.told.append("ended")
        self.error = self.error or error

    def disconnected(self) -> None:
        self.told.append("disconnected")


class StreamTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.scope = Scope(self.clock)
        self.counters = Counters()
        self.wire = Wire(self.clock, IPv4Address("TCP", "192.0.2.1", 40000), IPv4Address("TCP", "127.0.0.1", 5222))
        self.owner = Owner()
        self.stream = XmppStream(self.clock, self.scope, Turn(self.clock), self.counters, ns.CLIENT, LIMITS)
        self.stream.owner = self.owner
        self.peer = Peer()
        self.wire.near.attach(self.peer)
        self.wire.far.attach(self.stream)

    def pump(self, seconds: float = 0) -> None:
        self.clock.advance(seconds)
        while self.wire.deliver():
            self.clock.advance(0)

    def say(self, data: bytes | str) -> None:
        self.wire.near.write(data.encode() if isinstance(data, str) else data)
        self.pump()

    def begin(self) -> None:
        self.say(HEADER)
        self.stream.send_header({"version": "1.0"})
        self.pump()
        self.peer.pieces.clear()
