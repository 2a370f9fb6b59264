"""Several clients at once inside TLS, however their bytes are cut and whoever is slow: all arrives once and in order.

The connections below are made like a socket of Twisted's: they read several writes at once, close only when all is
sent, and do not close as long as a producer that was told to wait has not said that it is done.
"""

from __future__ import annotations

from collections.abc import Awaitable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from federix.life.scope import Scope
from federix.streams.owner import Counters
from federix.streams.shaper import Shaper
from federix.streams.stream import Bounds, XmppStream
from federix.streams.tls import start_tls
from federix.streams.turn import Turn
from federix.xmpp import ns
from federix.xmpp.element import Element
from federix.xmpp.limits import Limits
from federix.xmpp.parser import StreamParser
from federix.xmpp.stanza import Message

from .handshakes import Identity, creator_for
from .lone_stream import HEADER, Owner
from .test_tls import Client as Trusting

COURSES = 60
CLIENTS = 3
STEPS = 200
#: Bytes that are on their way at most and in one read, and that a socket keeps before it tells its producer to wait.
ON_THE_WAY = 16 * 1024
BUFFER = 16 * 1024
#: What may wait for a client for longer than a course takes, and the most that is on its way to it: sooner or later it
#: is not read any more, but never cut.
MAY_WAIT = 16 * 1024
AT_MOST = 96 * 1024
SIZES = (1, 1, 10, 10, 100, 100, 1000, 3000, 12_000)


class Socket:
    """One end of a connection, as far as streams and TLS ask for it."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.other: Socket
        self.protocol: Any = None
        self.producer: Any = None
        self.streamingProducer = True
        self.connected = True
        self.reading = True
        self.disconnecting = False
        self._told_to_wait = False
        self._writing = False
        self._unsent = bytearray()
        self.on_the_way = bytearray()

    @property
    def unsent(self) -> int:
        return len(self._unsent)

    def write(self, data: bytes) -> None:
        if not self.connected:
            return
        self._unsent += data
        self._writing = True
        if self.producer is not None and len(self._unsent) > BUFFER:
            self._told_to_wait = True
            self.producer.pauseProducing()

    def loseConnection(self) -> None:
        if self.connected and not self.disconnecting:
            self.disconnecting = self._writing = True
            self.reading = False

    def abortConnection(self) -> None:
        self.reading = False
        self.clock.callLater(0, self.lose, ConnectionAborted())

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        self.reading = self.connected and not self.disconnecting

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None
        self._writing = self._writing or self.disconnecting

    def getPeer(self) -> object:
        return None

    # -- what the reactor does ------------------------------------------------------------------------------------

    def do_write(self, most: int) -> bool:
        room = ON_THE_WAY - len(self.on_the_way)
        if not self._writing or not self.connected or (self._unsent and room <= 0):
            return False
        most = min(most, room)
        self.on_the_way += self._unsent[:most]
        del self._unsent[:most]
        if not self._unsent:
            self._writing = False
            if self.producer is not None and self._told_to_wait:
                self._told_to_wait = False
                self.producer.resumeProducing()
            elif self.disconnecting:
                self.lose(ConnectionDone())
        return True

    def do_read(self, most: int) -> bool:
        if not self.reading or not self.connected:
            return False
        data = bytes(self.other.on_the_way[:most])
        if data:
            del self.other.on_the_way[: len(data)]
            self.protocol.dataReceived(data)
        elif not self.other.connected:
            self.lose(ConnectionDone())
        return bool(data) or not self.connected

    def lose(self, why: Exception) -> None:
        if self.connected:
            self.connected = False
            self.protocol.connectionLost(Failure(why))  # type: ignore[no-untyped-call]


class Talker(Protocol):
    """The client's end: keeps the ids of what comes."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.said: list[str] = []
        self.size = 0
        self.lost: Any = None
        self.has_ended = False
        self._parser = StreamParser(Limits())

    def dataReceived(self, data: bytes) -> None:
        self.size += len(data)
        for event in self._parser.feed(data):
            if isinstance(event, Message):
                self.heard.append(event.element.attrs["id"])

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = reason
        self._parser.close()


class Course(Owner):
    """What the streams of one course share: it hands on what they hear, at once or when it is told to."""

    def __init__(self, creator: Any, seed: int) -> None:
        super().__init__()
        self.random = Random(seed)
        self.clock = Clock()
        self.scope = Scope(self.clock)
        turn, counters = Turn(self.clock), Counters()
        self.waiting: list[Deferred[None]] = []
        self.handed_on: list[list[str]] = [[] for _ in range(CLIENTS)]
        self.bytes_for = [0] * CLIENTS
        self.talkers: list[Talker] = []
        self.sockets: list[Socket] = []
        self.streams: list[XmppStream] = []
        for _ in range(CLIENTS):
            near, far = Socket(self.clock), Socket(self.clock)
            near.other, far.other = far, near
            talker = Talker()
            stream = XmppStream(self.clock, self.scope, turn, counters, ns.CLIENT, Limits())
            stream.bounds = Bounds(MAY_WAIT, 100_000, 1e6)
            if self.random.random() < 0.3:
                stream.shaper = Shaper(100_000, 5000, self.clock.seconds)
            stream.owner = self
            stream.makeConnection(far)  # type: ignore[arg-type]
            stream.start_tls(creator)
            talker.makeConnection(near)  # type: ignore[arg-type]
            start_tls(talker, near, Trusting(), self.clock, client=True)
            self.talkers.append(talker)
            self.sockets += [near, far]
            self.streams.append(stream)
        self.settle()
        for talker, stream in zip(self.talkers, self.streams, strict=True):
            self.write(talker, HEADER)
            stream.send_header({"version": "1.0"})
        self.settle()

    def answer(self, element: Element) -> Awaitable[None] | None:
        if self.random.random() < 0.9:
            self.hand_on(element)
            return None
        return self.hand_on_later(element)

    async def hand_on_later(self, element: Element) -> None:
        gate: Deferred[None] = Deferred()
        self.waiting.append(gate)
        await gate
        self.hand_on(element)

    def hand_on(self, element: Element) -> None:
        to = int(element.attrs["to"])
        self.handed_on[to].append(element.attrs["id"])
        self.streams[to].send(Message(element))

    def write(self, talker: Talker, data: bytes) -> None:
        talker.transport.write(data)  # type: ignore[union-attr]

    # -- what happens ---------------------------------------------------------------------------------------------

    def say(self) -> None:
        """A client says something, some of it in one write."""
        number = self.random.randrange(CLIENTS)
        talker = self.talkers[number]
        if talker.has_ended:
            return
        texts = []
        for _ in range(self.random.choice((1, 1, 1, 2, 5, 30))):
            to, size = self.random.randrange(CLIENTS), self.random.choice(SIZES)
            if self.bytes_for[to] - self.talkers[to].size + size > AT_MOST:
                break
            self.bytes_for[to] += size + 100
            talker.said.append(f"{number}-{len(talker.said)}")
            texts.append(f"<message id='{talker.said[-1]}' to='{to}'><body>{'x' * size}</body></message>")
        self.write(talker, "".join(texts).encode())

    def end(self) -> None:
        """A client ends its stream behind what it said, or closes TLS, or both, and reads on."""
        talker = self.random.choice(self.talkers)
        if talker.has_ended or self.random.random() < 0.95:
            return
        talker.has_ended = True
        how = self.random.choice(("stream", "TLS", "both"))
        if how != "TLS":
            self.write(talker, b"</stream:stream>")
        if how != "stream":
            talker.transport.loseConnection()  # type: ignore[union-attr]

    def listen_or_not(self) -> None:
        """A client reads no more, or again."""
        near = self.random.choice(self.sockets[::2])
        if self.random.random() < 0.3:
            near.resumeProducing()
        else:
            near.pauseProducing()

    def carry(self) -> None:
        """Sockets carry something, the reactor turns."""
        for _ in range(self.random.randrange(1, 5)):
            socket = self.random.choice(self.sockets)
            most = self.random.choice((1, 100, 5000, 1 << 20, 1 << 20))
            self.random.choice((socket.do_write, socket.do_read))(most)
            if self.random.random() < 0.5:
                self.clock.advance(self.random.choice((0, 0, 0.005)))

    def go_on(self) -> None:
        """Something that was waited for is done."""
        if self.waiting:
            self.waiting.pop(self.random.randrange(len(self.waiting))).callback(None)

    def settle(self) -> None:
        """Everybody reads, nobody waits, until nothing moves."""
        for near in self.sockets[::2]:
            near.resumeProducing()
        idle = 0
        while idle < 50:
            moved = [act(1 << 20) for socket in self.sockets for act in (socket.do_write, socket.do_read)]
            moved.append(bool(self.waiting))
            self.go_on()
            idle = 0 if any(moved) else idle + 1
            self.clock.advance(0.02 if idle else 0)

    def go(self) -> None:
        for _ in range(STEPS):
            self.random.choice(
                (self.say, self.carry, self.carry, self.carry, self.listen_or_not, self.go_on, self.end)
            )()
        self.settle()


class CourseTests(SynchronousTestCase):
    def test_all_arrives_once_and_in_order_and_nobody_stalls(self) -> None:
        creator = creator_for(Identity("a", "a.example"))
        for seed in range(COURSES):
            course = Course(creator, seed)
            course.go()
            self.check(course, f"seed {seed}")

    def check(self, course: Course, why: str) -> None:
        told = [word for word in course.told if "-" in word]
        for number, talker in enumerate(course.talkers):
            self.assertEqual([id_ for id_ in told if id_.startswith(f"{number}-")], talker.said, why)
            # Whoever ended it may have lost what came after that.
            self.assertEqual(talker.heard, course.handed_on[number][: len(talker.heard)], why)
            if not talker.has_ended:
                self.assertEqual(len(talker.heard), len(course.handed_on[number]), why)
                self.assertIsNone(talker.lost, why)
                talker.has_ended = True
                course.write(talker, b"</stream:stream>")
        course.settle()
        for talker in course.talkers:
            self.assertIs(talker.lost.type, ConnectionDone, why)
        self.assertIsNone(course.error, why)
        self.assertEqual(course.told.count("disconnected"), CLIENTS, why)
        self.assertEqual(len(course.scope), 0, why)
        self.assertEqual([call for call in course.clock.getDelayedCalls() if call.getTime() < 1e5], [], why)
