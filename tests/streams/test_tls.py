"""TLS put on an open connection: over sockets and in memory alike, with the clock that was given."""

from __future__ import annotations

import gc
import weakref
from typing import Any
from unittest import mock

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IPushProducer,
    ISSLTransport,
)
from twisted.internet.protocol import ClientCreator, Factory, Protocol
from twisted.internet.task import Clock
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from federix.streams import tls as tls_module
from federix.streams.certificates import VirtualHosts
from federix.streams.tls import channel_bindings, start_tls
from tests.streams.handshakes import Identity, client_end, creator_for

SERVER = Identity("a", "a.example")


@implementer(IOpenSSLClientConnectionCreator)
class Client:
    """Makes the client's ends; trusts everybody."""

    def clientConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        return client_end("a.example", [b"xmpp-client"])


class MemoryTransport:
    """One end of a connection in memory, as plain as a transport may be."""

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self.written: list[bytes] = []
        self.calls: list[str] = []
        self.producer: Any = None

    def write(self, data: bytes) -> None:
        assert data and isinstance(data, bytes)
        self.written.append(data)

    def loseConnection(self) -> None:
        self.calls.append("lose")

    def abortConnection(self) -> None:
        self.calls.append("abort")

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert self.producer is None and streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def getPeer(self) -> str:
        return "the peer"


@implementer(IHandshakeListener)
class Talker(Protocol):
    """Remembers all that happens to it."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.received = bytearray()

    def connectionMade(self) -> None:
        self.events.append("made")

    def handshakeCompleted(self) -> None:
        self.events.append("secure")

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = mock.sentinel.none) -> None:
        self.events.append(reason.type)


class Pair:
    """Two talkers joined in memory, TLS just started on both."""

    def __init__(self, creator: VirtualHosts) -> None:
        self.clock = Clock()
        self.server, self.client = Talker(), Talker()
        self.server_plain, self.client_plain = MemoryTransport(self.server), MemoryTransport(self.client)
        self.server.makeConnection(self.server_plain)  # type: ignore[arg-type]
        self.client.makeConnection(self.client_plain)  # type: ignore[arg-type]
        self.server_tls: Any = start_tls(self.server, self.server_plain, creator, self.clock)
        self.client_tls: Any = start_tls(self.client, self.client_plain, Client(), self.clock, client=True)

    def pump(self) -> None:
        while self.server_plain.written or self.client_plain.written:
            for source, target in ((self.client_plain, self.server_plain), (self.server_plain, self.client_plain)):
                data, source.written = b"".join(source.written), []
                if data:
                    target.protocol.dataReceived(data)


class MemoryTests(SynchronousTestCase):
    creator: VirtualHosts

    @classmethod
    def setUpClass(cls) -> None:
        cls.creator = creator_for(SERVER)

    def pair(self) -> Pair:
        return Pair(self.creator)

    def test_both_ends_talk_and_are_not_connected_twice(self) -> None:
        pair = self.pair()
        pair.pump()
        self.assertEqual((pair.server.events, pair.client.events), (["made", "secure"], ["made", "secure"]))
        self.assertIs(pair.server.transport, pair.server_tls)
        self.assertTrue(ISSLTransport.providedBy(pair.server_tls))
        self.assertEqual(pair.server_tls.getPeer(), "the peer")
        pair.server.transport.write(b"x" * 100_000)
        pair.client.transport.writeSequence([b"a", b"b"])
        self.assertNotIn(b"x" * 10, b"".join(pair.server_plain.written))
        pair.pump()
        self.assertEqual((pair.client.received, pair.server.received), (b"x" * 100_000, b"ab"))

    def test_what_is_written_before_the_handshake_waits_for_it(self) -> None:
        pair = self.pair()
        pair.server.transport.write(b"early")
        pair.client.transport.write(b"bird")
        pair.pump()
        self.assertEqual((pair.client.received, pair.server.received), (b"early", b"bird"))

    def test_neither_the_global_reactor_nor_any_timer_is_used(self) -> None:
        self.patch(__import__("twisted.protocols.tls").protocols.tls, "_get_default_clock", self.fail)
        pair = self.pair()
        pair.pump()
        pair.server.transport.write(b"hello")
        pair.server.transport.loseConnection()
        pair.pump()
        self.assertEqual(pair.clock.getDelayedCalls(), [])

    def test_closing_says_so_inside_tls_and_waits_for_the_answer(self) -> None:
        pair = self.pair()
        pair.pump()
        pair.server.transport.write(b"bye")
        pair.server.transport.loseConnection()
        self.assertEqual(pair.server_plain.calls, [])
        pair.pump()
        self.assertEqual(pair.client.received, b"bye")
        self.assertEqual((set(pair.server_plain.calls), set(pair.client_plain.calls)), ({"lose"}, {"lose"}))
        for end in (pair.server_plain, pair.client_plain):
            end.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual((pair.server.events[2:], pair.client.events[2:]), ([ConnectionDone], [ConnectionDone]))

    def test_a_peer_that_never_answers_the_closing_can_be_aborted(self) -> None:
        pair = self.pair()
        pair.pump()
        pair.server.transport.loseConnection()
        self.assertEqual(pair.server_plain.calls, [])
        pair.server.transport.abortConnection()
        self.assertEqual(pair.server_plain.calls, ["abort"])

    def test_a_connection_cut_off_is_lost_not_done(self) -> None:
        pair = self.pair()
        pair.pump()
        pair.server_plain.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(pair.server.events[2:], [ConnectionLost])

    def test_a_closing_before_the_handshake_is_done_cuts_the_connection(self) -> None:
        pair = self.pair()
        pair.server.transport.loseConnection()
        self.assertEqual(pair.server_plain.calls[0], "abort")

    def test_garbage_instead_of_a_handshake_ends_the_connection(self) -> None:
        pair = self.pair()
        pair.server_plain.protocol.dataReceived(b"<message><body>not TLS at all</body></message>")
        self.assertEqual(pair.server_plain.calls, ["lose"])
        pair.server_plain.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(pair.server.events, ["made", SSL.Error])
        self.assertEqual(pair.server.received, b"")

    def test_a_client_with_another_protocol_is_lost_with_a_reason_that_names_it(self) -> None:
        pair = self.pair()
        pair.client_plain.written.clear()
        stranger = client_end("a.example", [b"h2"])
        stranger.set_connect_state()
        self.assertRaises(SSL.WantReadError, stranger.do_handshake)
        pair.server_plain.protocol.dataReceived(stranger.bio_read(65536))
        pair.server_plain.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(pair.server.events, ["made", tls_module.NoApplicationProtocol])

    def test_reading_pauses_on_the_connection_below(self) -> None:
        pair = self.pair()
        pair.server.transport.pauseProducing()
        pair.server.transport.resumeProducing()
        self.assertEqual(pair.server_plain.calls, ["pause", "resume"])

    def test_a_full_connection_below_pauses_who_writes_on_top(self) -> None:
        pair = self.pair()
        pair.pump()
        writer = mock.Mock()
        pair.server.transport.registerProducer(writer, True)
        pair.server_plain.producer.pauseProducing()
        pair.server_plain.producer.resumeProducing()
        self.assertEqual([call[0] for call in writer.method_calls], ["pauseProducing", "resumeProducing"])
        pair.server.transport.loseConnection()
        self.assertEqual(pair.server_plain.written, [])  # Twisted waits for the producer: unregister it first
        pair.server.transport.unregisterProducer()
        self.assertIsNone(pair.server_plain.producer)
        pair.pump()
        self.assertEqual(set(pair.server_plain.calls), {"lose"})

    def test_a_producer_registered_in_plain_text_moves_along(self) -> None:
        protocol, writer = Talker(), mock.Mock()
        plain = MemoryTransport(protocol)
        protocol.makeConnection(plain)  # type: ignore[arg-type]
        plain.registerProducer(writer, True)
        tls: Any = start_tls(protocol, plain, self.creator, Clock())
        self.assertIsNot(plain.producer, writer)
        plain.producer.pauseProducing()
        writer.pauseProducing.assert_called_once_with()
        tls.unregisterProducer()
        self.assertIsNone(plain.producer)

    def test_a_wrapper_of_another_kind_may_lie_below(self) -> None:
        """As with the PROXY protocol, where the transport is itself a protocol."""
        talker = Talker()
        wrapper = ProtocolWrapper(WrappingFactory(Factory()), talker)  # type: ignore[no-untyped-call]
        plain = MemoryTransport(wrapper)
        wrapper.makeConnection(plain)  # type: ignore[no-untyped-call]
        start_tls(talker, talker.transport, self.creator, Clock())
        client = client_end("a.example")
        client.set_connect_state()
        for _ in range(3):
            try:
                client.do_handshake()
            except SSL.WantReadError:
                wrapper.dataReceived(client.bio_read(65536))
                if plain.written:
                    client.bio_write(b"".join(plain.written))
                    plain.written.clear()
        wrapper.dataReceived(client.bio_read(65536))
        self.assertEqual(talker.events, ["made", "secure"])

    def test_nothing_is_left_for_the_cyclic_collector(self) -> None:
        pair = self.pair()
        pair.pump()
        pair.server.transport.loseConnection()
        pair.pump()
        plain, tls, talker = pair.server_plain, weakref.ref(pair.server_tls), weakref.ref(pair.server)
        connection = weakref.ref(pair.server_tls.getHandle())
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        protocol = plain.protocol
        del plain.protocol  # as a socket of the reactor does
        protocol.connectionLost(Failure(ConnectionDone()))
        del pair, protocol
        self.assertEqual((tls(), connection(), talker()), (None, None, None))


class Starter(Talker):
    """Speaks plain text first and TLS after ``<proceed/>``, or TLS from the first byte; echoes what it hears."""

    def __init__(self, creator: Any, clock: Any, *, client: bool, direct: bool) -> None:
        super().__init__()
        self.arguments, self.client, self.direct = (creator, clock), client, direct
        self.lost: Deferred[None] = Deferred()
        self.heard: Deferred[None] = Deferred()
        self.wanted = 0

    def connectionMade(self) -> None:
        super().connectionMade()
        if self.direct:
            start_tls(self, self.transport, *self.arguments, client=self.client)
        elif self.client:
            self.transport.write(b"<starttls/>")

    def dataReceived(self, data: bytes) -> None:
        if "secure" in self.events:
            self.received += data
            if not self.client:
                self.transport.write(data)
            elif len(self.received) == self.wanted:
                self.heard.callback(None)
            return
        self.events.append(data)
        if not self.client:
            self.transport.write(b"<proceed/>")
        start_tls(self, self.transport, *self.arguments, client=self.client)

    def connectionLost(self, reason: Failure = mock.sentinel.none) -> None:
        super().connectionLost(reason)
        self.lost.callback(None)


@implementer(IPushProducer)
class Pusher:
    """Writes pieces until all are written, as fast as it is let."""

    def __init__(self, transport: Any, clock: Any, pieces: int) -> None:
        self.transport, self.clock, self.pieces = transport, clock, pieces
        self.paused, self.pauses = False, 0

    def pauseProducing(self) -> None:
        self.paused, self.pauses = True, self.pauses + 1

    def resumeProducing(self) -> None:
        self.paused = False
        self.clock.callLater(0, self.push)

    def stopProducing(self) -> None:
        self.pieces = 0

    def push(self) -> None:
        while self.pieces and not self.paused:
            self.pieces -= 1
            self.transport.write(b"p" * 65536)
        if not self.pieces:
            self.transport.unregisterProducer()


class SocketTests(TestCase):
    """The same over the loopback device and the reactor's own transports."""

    timeout = 30

    async def join(self, *, direct: bool) -> tuple[Starter, Starter]:
        from twisted.internet import reactor

        creator = creator_for(SERVER)
        servers: list[Starter] = []

        class Servers(Factory[Starter]):
            noisy = False

            def buildProtocol(self, addr: object) -> Starter:
                servers.append(Starter(creator, reactor, client=False, direct=direct))
                return servers[-1]

        port = reactor.listenTCP(0, Servers(), interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        self.reactor: Any = reactor
        connector = ClientCreator(reactor, lambda: Starter(Client(), reactor, client=True, direct=direct))
        client: Starter = await connector.connectTCP("127.0.0.1", port.getHost().port)
        client.wanted = 4
        while "secure" not in client.events:
            await self.turn()
        client.transport.write(b"ping")
        await client.heard
        return servers[0], client

    def turn(self) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self.reactor.callLater(0, done.callback, None)
        return done

    async def test_starttls_and_an_orderly_end(self) -> None:
        server, client = await self.join(direct=False)
        self.assertEqual(server.events, ["made", b"<starttls/>", "secure"])
        server_tls, client_tls = server.transport, client.transport
        bindings = channel_bindings(server_tls.getHandle())  # type: ignore[union-attr]
        self.assertEqual(bindings, channel_bindings(client_tls.getHandle(), client=True))  # type: ignore[union-attr]
        self.assertEqual(client.transport.getPeer().host, "127.0.0.1")  # type: ignore[union-attr]
        client.transport.loseConnection()
        await client.lost
        await server.lost
        self.assertEqual((server.events[3:], client.events[3:]), ([ConnectionDone], [ConnectionDone]))

    async def test_direct_tls_goes_the_same_way(self) -> None:
        server, client = await self.join(direct=True)
        self.assertEqual(server.events, ["made", "secure"])
        server.transport.loseConnection()
        await server.lost
        await client.lost

    async def test_a_peer_that_closes_without_a_word_is_lost(self) -> None:
        server, client = await self.join(direct=False)
        client.transport.transport.loseWriteConnection()  # type: ignore[union-attr]
        await server.lost
        await client.lost
        self.assertEqual(server.events[3:], [ConnectionLost])

    async def test_a_slow_reader_pauses_the_producer_and_gets_every_byte(self) -> None:
        server, client = await self.join(direct=False)
        client.wanted, client.heard = 4 + 100 * 65536, Deferred()
        pusher = Pusher(server.transport, self.reactor, 100)
        client.transport.pauseProducing()  # type: ignore[union-attr]
        server.transport.registerProducer(pusher, True)  # type: ignore[union-attr]
        pusher.push()
        while not pusher.paused:
            await self.turn()
        self.assertGreater(pusher.pieces, 0)
        client.transport.resumeProducing()  # type: ignore[union-attr]
        await client.heard
        self.assertEqual(client.received[4:], b"p" * (100 * 65536))
        self.assertGreater(pusher.pauses, 0)
        server.transport.loseConnection()
        await server.lost
        await client.lost

    async def test_a_peer_that_closes_before_it_has_read_all_is_lost_when_it_has(self) -> None:
        server, client = await self.join(direct=False)
        client.wanted = 0
        pusher = Pusher(server.transport, self.reactor, 1000)
        client.transport.pauseProducing()  # type: ignore[union-attr]
        server.transport.registerProducer(pusher, True)  # type: ignore[union-attr]
        pusher.push()
        before = 0
        while before != pusher.pieces or not pusher.paused:  # until nobody in between takes any more
            before = pusher.pieces
            for _ in range(10):
                await self.turn()
        written = 4 + (1000 - pusher.pieces) * 65536
        pusher.push = lambda: None  # type: ignore[method-assign]  # like most it stays, though it has no more to say
        client.transport.loseConnection()  # type: ignore[union-attr]
        while not server.transport.transport.disconnecting:  # type: ignore[union-attr]
            await self.turn()
        client.transport.resumeProducing()  # type: ignore[union-attr]
        await client.lost
        await server.lost
        self.assertEqual(len(client.received), written)

    async def test_an_abort_ends_both_ends_at_once(self) -> None:
        server, client = await self.join(direct=False)
        server.transport.abortConnection()  # type: ignore[union-attr]
        await server.lost
        await client.lost
        self.assertEqual(len(server.events), 4)
