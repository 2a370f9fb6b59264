"""Sockets that are written at once: nothing is lost, doubled or put out of order, and slow readers are noticed."""

from __future__ import annotations

import hashlib
import socket
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from federix.streams.eager import READ_AT_MOST, EagerWrites, write_eagerly

reactor: Any = global_reactor


class Served(Protocol):
    """The server's end, held by the test."""

    def __init__(self) -> None:
        self.lost: Deferred[type[Exception]] = Deferred()
        self.pauses = 0
        self.flowing = Deferred[None]()

        self.read: list[int] = []

    def dataReceived(self, data: bytes) -> None:
        self.read.append(len(data))

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.registerProducer(self, True)
        self.factory.made.callback(self)  # type: ignore[union-attr]

    def pauseProducing(self) -> None:
        self.pauses += 1

    def resumeProducing(self) -> None:
        if not self.flowing.called:
            self.flowing.callback(None)

    def stopProducing(self) -> None:
        pass

    def connectionLost(self, reason: Any = None) -> None:
        self.lost.callback(reason.type)


class EagerTests(TestCase):
    timeout = 30

    def setUp(self) -> None:
        factory: Any = Factory.forProtocol(Served)  # type: ignore[no-untyped-call]
        factory.noisy = False
        factory.made = self.made = Deferred[Served]()
        self.port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        write_eagerly(self.port)
        self.addCleanup(self.port.stopListening)

    async def connect(self) -> tuple[socket.socket, Served]:
        client = socket.create_connection(("127.0.0.1", self.port.getHost().port), timeout=20)
        self.addCleanup(client.close)
        served = await self.made
        self.assertIsInstance(served.transport, EagerWrites)
        return client, served

    async def test_a_small_write_is_sent_before_the_reactor_turns(self) -> None:
        client, served = await self.connect()
        served.transport.write(b"at once")  # type: ignore[union-attr]
        # The reactor has not run since: whatever is here left within the call.
        client.setblocking(False)
        self.assertEqual(client.recv(100), b"at once")
        served.transport.loseConnection()  # type: ignore[union-attr]
        await served.lost

    async def test_no_read_is_larger_than_what_openssl_is_to_keep_for_good(self) -> None:
        client, served = await self.connect()
        client.sendall(b"x" * 100_000)
        client.close()
        await served.lost
        self.assertEqual(sum(served.read), 100_000)
        self.assertLessEqual(max(served.read), READ_AT_MOST)

    async def test_more_than_the_socket_takes_arrives_whole_and_in_order(self) -> None:
        client, served = await self.connect()
        pieces = [bytes([n % 256]) * 30_000 for n in range(400)]  # 12 MB
        for piece in pieces:
            served.transport.write(piece)  # type: ignore[union-attr]
        self.assertGreater(served.pauses, 0)
        served.transport.unregisterProducer()  # type: ignore[union-attr]
        served.transport.loseConnection()  # type: ignore[union-attr]

        def read_all() -> str:
            digest = hashlib.sha256()
            while data := client.recv(65536):
                digest.update(data)
            return digest.hexdigest()

        got = await deferToThread(read_all)
        self.assertEqual(got, hashlib.sha256(b"".join(pieces)).hexdigest())
        self.assertIs(await served.lost, ConnectionDone)

    async def test_who_was_told_to_wait_is_told_to_go_on(self) -> None:
        client, served = await self.connect()
        while not served.pauses:
            served.transport.write(b"x" * 100_000)  # type: ignore[union-attr]
        await deferToThread(lambda: [client.recv(1 << 20) for _ in range(3)])
        client.setblocking(False)
        while not served.flowing.called:
            try:
                client.recv(1 << 20)
            except BlockingIOError:
                pass
            await deferLater(reactor, 0.01, lambda: None)
        served.transport.abortConnection()  # type: ignore[union-attr]
        await served.lost

    async def test_what_the_system_has_not_taken_is_known(self) -> None:
        client, served = await self.connect()
        transport: Any = served.transport
        self.assertEqual(transport.unsent, 0)
        transport.write(b"x" * 20_000_000)
        before = transport.unsent
        self.assertGreater(before, 0)
        self.assertLess(before, 20_000_000)
        await deferToThread(lambda: [client.recv(1 << 20) for _ in range(20)])
        while transport.unsent == before:
            await deferLater(reactor, 0.01, lambda: None)
        self.assertLess(transport.unsent, before)
        transport.abortConnection()
        await served.lost

    async def test_a_peer_that_is_gone_is_told_once(self) -> None:
        client, served = await self.connect()
        client.close()
        for _ in range(50):
            if served.lost.called:
                break
            served.transport.write(b"into the void")  # type: ignore[union-attr]
            await deferLater(reactor, 0.01, lambda: None)
        self.assertTrue(served.lost.called)
        await served.lost

    def test_a_port_that_is_no_socket_is_left_alone(self) -> None:
        stub: Any = object()
        write_eagerly(stub)
