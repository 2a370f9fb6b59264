"""The lean ways through TLS: what goes in comes out, however the wire cuts it and whoever ends it when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from federix.streams.certificates import VirtualHosts
from federix.streams.tls import start_tls
from tests.streams.handshakes import Identity, client_end, creator_for
from tests.streams.test_tls import MemoryTransport, Talker

SERVER = Identity("a", "a.example")
VERSIONS = (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION)
SIZES = st.one_of(st.integers(1, 300), st.sampled_from([16383, 16384, 16385, 32768, 40_000]))
#: Who does what: writes so much, has at most so many bytes carried from it to the other, or rests.
STEPS = st.lists(
    st.tuples(st.sampled_from(["client", "server"]), st.sampled_from(["write", "carry", "rest"]), SIZES), max_size=25
)


@implementer(IOpenSSLClientConnectionCreator)
class Client:
    def __init__(self, version: int) -> None:
        self.version = version

    def clientConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        return client_end("a.example", [b"xmpp-client"], self.version)


class Counting:
    """An OpenSSL connection that notes what was asked of it in vain."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.in_vain: list[str] = []
        self.reads = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.connection, name)

        def call(*arguments: object) -> object:
            self.reads += name == "recv"
            try:
                return found(*arguments)
            except SSL.Error:
                self.in_vain.append(name)
                raise

        return call


class End:
    """One end: its talker, TLS, and the bytes it has on the wire."""

    def __init__(self, start: Callable[[Talker, Any], Any]) -> None:
        self.talker = Talker()
        self.plain = MemoryTransport(self.talker)
        self.talker.makeConnection(self.plain)  # type: ignore[arg-type]
        self.tls: Any = start(self.talker, self.plain)
        self.wire = bytearray()
        self.said = bytearray()

    def write(self, data: bytes) -> None:
        self.said += data
        self.talker.transport.write(data)  # type: ignore[union-attr]

    def take(self, most: int) -> bytes:
        """Some of what is on its way from here."""
        self.wire += b"".join(self.plain.written)
        self.plain.written.clear()
        taken = bytes(self.wire[:most])
        del self.wire[:most]
        return taken

    def lose(self) -> None:
        self.tls.connectionLost(Failure(ConnectionDone()))


class Both:
    """A client and a server, joined by what the test carries."""

    def __init__(self, creator: VirtualHosts, version: int, *, shaken: bool = True) -> None:
        clock = Clock()
        self.server = End(lambda talker, plain: start_tls(talker, plain, creator, clock))
        self.client = End(lambda talker, plain: start_tls(talker, plain, Client(version), clock, client=True))
        self.ends = {"client": self.client, "server": self.server}
        if shaken:
            self.settle()

    def carry(self, name: str, most: int) -> bool:
        source = self.ends[name]
        target = self.server if source is self.client else self.client
        data = source.take(most)
        if data:
            target.plain.protocol.dataReceived(data)
        return bool(data)

    def settle(self) -> None:
        while self.carry("client", 1 << 30) | self.carry("server", 1 << 30):
            pass


class TlsTransportTests(SynchronousTestCase):
    creator: VirtualHosts

    @classmethod
    def setUpClass(cls) -> None:
        cls.creator = creator_for(SERVER)

    def both(self, version: int = SSL.TLS1_3_VERSION) -> Both:
        return Both(self.creator, version)

    def counted(self, version: int) -> tuple[Both, Counting]:
        both = self.both(version)
        counting = both.server.tls._tlsConnection = Counting(both.server.tls._tlsConnection)
        return both, counting

    def test_in_ordinary_traffic_openssl_is_asked_nothing_in_vain(self) -> None:
        for version in VERSIONS:
            both, counting = self.counted(version)
            for size in (1, 200, 16384):
                both.client.write(b"c" * size)
                both.carry("client", 1 << 30)
                both.server.write(b"s" * size)
                both.settle()
            self.assertEqual(counting.in_vain, [])
            self.assertEqual(counting.reads, 3)
            self.assertEqual(both.server.talker.received, both.client.said)
            self.assertEqual(both.client.talker.received, both.server.said)

    def test_nor_when_records_come_in_parts_or_many_at_once(self) -> None:
        for version in VERSIONS:
            both, counting = self.counted(version)
            for _ in range(7):
                both.client.write(b"x" * 100)
            while both.carry("client", 3):
                pass
            for _ in range(7):
                both.client.write(b"x" * 100)
            both.carry("client", 1 << 30)
            self.assertEqual(counting.in_vain, [])
            self.assertEqual(counting.reads, 14)
            self.assertEqual(both.server.talker.received, both.client.said)

    def test_many_records_of_one_read_are_handed_on_at_once(self) -> None:
        """Whoever sends each byte in a record of its own is not to cost a turn of the parser for each."""
        both = self.both()
        pieces: list[bytes] = []
        both.server.talker.dataReceived = pieces.append  # type: ignore[method-assign,assignment]
        for _ in range(2000):
            both.client.write(b"x")
        both.carry("client", 1 << 30)
        self.assertEqual(pieces, [b"x" * 2000])

    @settings(deadline=None, max_examples=120)
    @given(st.sampled_from(VERSIONS), st.booleans(), STEPS)
    def test_what_goes_in_comes_out(self, version: int, shaken: bool, steps: list[tuple[str, str, int]]) -> None:
        both = Both(self.creator, version, shaken=shaken)
        for name, action, size in steps:
            if action == "write":
                both.ends[name].write(bytes([len(both.ends[name].said) % 251]) * size)
            elif action == "rest":
                both.ends[name].tls.rest_now()
            else:
                both.carry(name, size)
        both.settle()
        self.assertEqual(both.server.talker.received, both.client.said)
        self.assertEqual(both.client.talker.received, both.server.said)
        both.server.talker.transport.loseConnection()  # type: ignore[union-attr]
        both.settle()
        for end in (both.server, both.client):
            self.assertIn("lose", end.plain.calls)
            end.lose()
            self.assertEqual(end.talker.events, ["made", "secure", ConnectionDone])

    @settings(deadline=None, max_examples=120)
    @given(
        st.sampled_from(VERSIONS),
        STEPS,
        st.sampled_from(["loseConnection", "abortConnection", "cut"]),
        st.sampled_from(["client", "server"]),
        STEPS,
    )
    def test_an_end_at_any_point_loses_what_it_must_and_no_more(
        self, version: int, before: list[tuple[str, str, int]], how: str, who: str, after: list[tuple[str, str, int]]
    ) -> None:
        """The same is done with Twisted's own class: the same is heard, the same calls are made on the connection."""
        seen = []
        for lean in (True, False):
            both = self.both(version)
            if not lean:
                for end in both.ends.values():
                    end.tls.__class__ = _Plain
            for steps in (before, after):
                for name, action, size in steps:
                    end = both.ends[name]
                    if action == "write":
                        end.talker.transport.write(bytes([size % 251]) * size)  # type: ignore[union-attr]
                    elif action == "rest":
                        if lean:
                            end.tls.rest_now()
                    elif both.client.tls.connected and both.server.tls.connected:
                        both.carry(name, size)
                if steps is before:
                    end = both.ends[who]
                    if how == "cut":
                        both.server.lose()
                        both.client.lose()
                    else:
                        getattr(end.talker.transport, how)()
            if how == "loseConnection":
                both.settle()
            seen.append(
                [
                    (bytes(end.talker.received), [str(e) for e in end.talker.events], sorted(set(end.plain.calls)))
                    for end in both.ends.values()
                ]
            )
        self.assertEqual(seen[0], seen[1])

    def test_who_aborts_in_the_middle_of_a_read_hears_nothing_more(self) -> None:
        for version in VERSIONS:
            both = self.both(version)
            heard: list[bytes] = []

            def hear(data: bytes, both: Both = both, heard: list[bytes] = heard) -> None:
                heard.append(data)
                both.server.talker.transport.abortConnection()  # type: ignore[union-attr]

            both.server.talker.dataReceived = hear  # type: ignore[method-assign]
            both.client.write(b"x")
            both.carry("client", 1 << 30)
            both.client.write(b"y")
            both.carry("client", 1 << 30)
            self.assertEqual(heard, [b"x"])
            self.assertEqual(both.server.plain.calls, ["abort"])

    def test_a_connection_may_be_lost_in_the_middle_of_a_read(self) -> None:
        for version in VERSIONS:
            for closed, why in ((False, ConnectionLost), (True, ConnectionDone)):
                both = self.both(version)

                def hear(data: bytes, both: Both = both) -> None:
                    both.server.lose()

                both.server.talker.dataReceived = hear  # type: ignore[method-assign]
                both.client.write(b"x")
                both.client.write(b"y")
                if closed:
                    both.client.talker.transport.loseConnection()  # type: ignore[union-attr]
                both.carry("client", 1 << 30)
                self.assertEqual(both.server.talker.events, ["made", "secure", why])

    def test_answers_to_what_came_with_the_end_still_leave(self) -> None:
        for version in VERSIONS:
            both = self.both(version)
            both.server.talker.dataReceived = both.server.write  # type: ignore[method-assign]
            both.client.write(b"ping")
            both.client.talker.transport.loseConnection()  # type: ignore[union-attr]
            both.settle()
            self.assertEqual(both.server.plain.calls, ["lose"] * len(both.server.plain.calls))
            self.assertTrue(both.server.plain.calls)
            self.assertEqual(both.client.talker.received, b"ping")

    def test_what_came_before_a_forged_record_is_heard_and_the_connection_ends(self) -> None:
        for version in VERSIONS:
            both = self.both(version)
            both.client.write(b"good")
            both.client.write(b"forged")
            data = bytearray(both.client.take(1 << 30))
            data[-1] ^= 1
            both.server.tls.dataReceived(bytes(data))
            both.server.talker.transport.write(b"answer")  # type: ignore[union-attr]
            self.assertEqual(both.server.talker.received, b"good")
            both.client.write(b"more")
            both.carry("client", 1 << 30)
            self.assertEqual(both.server.talker.received, b"good")
            self.assertEqual(both.server.plain.calls, ["lose"])
            both.server.lose()
            self.assertEqual(both.server.talker.events[2:], [SSL.Error])

    def test_what_is_no_record_ends_the_connection_at_once(self) -> None:
        for version in VERSIONS:
            for rubbish in (b"<message/>", b"\x17\x03\x03\xff\xff", b"\x17\x02\x03\x00\x10", b"\x63\x03\x03\x00\x01x"):
                both = self.both(version)
                both.client.write(b"good")
                both.server.tls.dataReceived(both.client.take(1 << 30) + rubbish)
                self.assertEqual(both.server.talker.received, b"good")
                self.assertEqual(both.server.plain.calls, ["lose"], rubbish)

    def test_a_greeting_in_the_way_of_ssl_2_is_not_taken_for_a_record(self) -> None:
        """Or the records behind it would be counted wrongly."""
        both = Both(self.creator, SSL.TLS1_2_VERSION, shaken=False)
        self.assertLess(both.server.tls._whole_records(b"\x81\x03\x01\x03\x01"), 0)
        self.assertLess(both.server.tls._whole_records(b"\x17\x03\x03\x00\x01x"), 0)

    def test_what_openssl_cannot_send_yet_leaves_with_the_next_read(self) -> None:
        both = self.both()

        class Waiting(Counting):
            waits = True

            def send(self, data: bytes) -> int:
                if self.waits:
                    raise SSL.WantReadError
                return int(self.connection.send(data))

        connection = both.server.tls._tlsConnection = Waiting(both.server.tls._tlsConnection)
        both.server.write(b"1")
        both.server.write(b"2")
        connection.waits = False
        both.client.write(b"go on")
        both.settle()
        self.assertEqual(both.client.talker.received, b"12")
        self.assertEqual(both.server.talker.received, b"go on")

    def test_a_wish_for_new_keys_is_answered(self) -> None:
        """A renegotiation, which is refused: its record holds nothing for us, and OpenSSL's answer must leave."""
        both = self.both(SSL.TLS1_2_VERSION)
        client = both.client.tls._tlsConnection
        client.renegotiate()
        self.assertRaises(SSL.Error, client.do_handshake)
        wish = client.bio_read(1 << 16)
        both.server.plain.written.clear()
        both.server.tls.dataReceived(wish)
        self.assertTrue(both.server.plain.written, "no answer")
        self.assertEqual(both.server.plain.calls, [])
        both.server.write(b"still there")
        self.assertEqual(both.server.tls._missing, 0)

    def test_small_records_may_be_asked_for(self) -> None:
        """RFC 6066 §4: OpenSSL then takes no more than one such record at once."""
        both = self.both()
        taken: list[bytes] = []

        class Stingy(Counting):
            def send(self, data: bytes) -> int:
                taken.append(data[:512])
                return int(self.connection.send(data[:512]))

        both.server.tls._tlsConnection = Stingy(both.server.tls._tlsConnection)
        both.server.write(b"x" * 2000)
        both.settle()
        self.assertEqual(len(taken), 4)
        self.assertEqual(both.client.talker.received, both.server.said)

    def test_what_a_handshake_needs_room_for_is_not_kept_nor_is_what_a_burst_does(self) -> None:
        def buffers(end: End) -> tuple[Any, Any]:
            connection = end.tls._tlsConnection
            return connection._into_ssl, connection._from_ssl

        for version in VERSIONS:
            both = self.both(version)
            shaken = buffers(both.server)
            both.server.write(b"s")
            both.settle()
            begun = buffers(both.server)
            self.assertFalse(set(begun) & set(shaken))
            both.client.write(b"c" * 100_000)
            both.settle()
            self.assertEqual(buffers(both.server), begun)
            both.server.tls.rest_now()
            rested = buffers(both.server)
            self.assertFalse(set(rested) & set(begun))
            # Little is not worth it, much is, whoever has said it.
            for end, said, let_go in (
                (both.client, 500, False),
                (both.server, 500, False),
                (both.client, 5000, True),
                (both.server, 5000, True),
            ):
                before = buffers(both.server)
                end.write(b"x" * said)
                both.settle()
                both.server.tls.rest()
                self.assertEqual(not set(buffers(both.server)) & set(before), let_go)

    def test_nothing_is_lost_by_a_rest_in_the_middle_of_a_record(self) -> None:
        for version in VERSIONS:
            both = self.both(version)
            both.client.write(b"c" * 1000)
            while both.carry("client", 100):
                both.server.tls.rest_now()
            self.assertEqual(both.server.talker.received, both.client.said)

    def test_after_the_end_nothing_is_written(self) -> None:
        both = self.both()
        both.server.talker.transport.loseConnection()  # type: ignore[union-attr]
        both.server.plain.written.clear()
        both.server.write(b"x")
        self.assertEqual(both.server.plain.written, [])

    def test_writing_nothing_sends_nothing(self) -> None:
        both = self.both()
        both.server.plain.written.clear()
        both.server.write(b"")
        self.assertEqual(both.server.plain.written, [])


class _Plain(TLSMemoryBIOProtocol):
    """Twisted's own class, for comparison."""
