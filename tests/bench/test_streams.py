"""The servers that the load plays."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench import streams
from bench.inbox import LoadFailed
from bench.load import Dialogue, Specification
from bench.place import Peers, Place
from bench.streams import Answering, StreamsIn, StreamsOut

PEERS = Peers("127.78.1.2", "peers.test", "certificate.pem", "authority.pem")
PLACE = Place(5222, "127.78.1.1", "servers.test")
OFFER = b"<mechanism>EXTERNAL</mechanism><bidi xmlns='urn:xmpp:features:bidi'/></stream:features>"


class Connection:
    def __init__(self) -> None:
        self.place = PLACE
        self.jid = ""
        self.received: Any = None
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.sent.append(data)


class Loop:
    def __init__(self) -> None:
        self.specification = Specification([PLACE], "SCRAM-SHA-256", "streams", True, 2, 1, 1, 10.0, peers=PEERS)


class StreamTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.handshakes: list[bool] = []
        self.patch(streams, "handshake", self.handshake)
        self.patch(streams, "context", lambda peers, they_connected: None)
        self.connection: Any = Connection()

    def handshake(self, connection: object, context: object, they_connected: bool = False) -> Dialogue:
        self.handshakes.append(they_connected)
        yield from ()

    def go(self, dialogue: Dialogue, *told: bytes) -> None:
        """Go through *dialogue*; of what is *told* it gets as much as it waits for each time."""
        mark, rest = next(dialogue), b"".join(told)
        try:
            while True:
                assert mark is not None
                at = rest.index(mark) + len(mark)
                piece, rest = rest[:at], rest[at:]
                mark = dialogue.send(piece)
        except StopIteration:
            pass

    def opening(self, *told: bytes) -> None:
        self.go(StreamsIn(self.loop()).opening(self.connection, "p1.peers.test"), *told)

    def loop(self) -> Any:
        return Loop()

    def test_a_stream_is_opened_and_may_be_used_in_both_directions(self) -> None:
        tls = b"<stream:features><starttls/></stream:features><proceed xmlns='tls'/>"
        self.opening(tls, b"<stream:features>", OFFER, b"<success xmlns='sasl'/>", b"<stream:features/>")
        self.assertEqual((self.connection.jid, self.handshakes), ("p1.peers.test", [False]))
        sent = b"".join(self.connection.sent)
        self.assertEqual(sent.count(b"from='p1.peers.test' to='servers.test'"), 3)
        self.assertLess(sent.index(b"<bidi xmlns='urn:xmpp:bidi'/>"), sent.index(b"<auth"))

    def test_bidi_is_not_taken_where_it_is_not_offered(self) -> None:
        tls = b"<stream:features><starttls/></stream:features><proceed/>"
        offer = b"<stream:features><mechanism>EXTERNAL</mechanism></stream:features>"
        self.opening(tls, offer, b"<success/>", b"<stream:features></stream:features>")
        self.assertNotIn(b"bidi", b"".join(self.connection.sent))

    def test_who_is_not_believed_fails(self) -> None:
        tls = b"<stream:features><starttls/></stream:features><proceed/>"
        self.assertRaises(LoadFailed, self.opening, tls, b"<stream:features><dialback/></stream:features>")

    def accepting(self, message: bytes) -> StreamsOut:
        work = StreamsOut(self.loop())
        work.open_ones = {}
        work.client = Connection()  # type: ignore[assignment]
        work.client.jid = "u0@servers.test/bench"
        head = b"<stream:stream from='servers.test' to='p1.peers.test'>"
        auth = b"<auth mechanism='EXTERNAL'>=</auth>"
        self.go(work.accepting(self.connection), head, b"<starttls/>", head, auth, head, message)
        return work

    def test_a_stream_is_accepted_and_counts_when_the_message_has_come(self) -> None:
        work = self.accepting(b"<message from='u0@servers.test/bench'><body>Hello</body></message>")
        self.assertEqual(work.open_ones, {"p1.peers.test": self.connection})
        self.assertEqual(self.handshakes, [True])
        sent = b"".join(self.connection.sent)
        self.assertEqual(sent.count(b"from='p1.peers.test' to='servers.test'"), 3)
        self.assertIn(b"urn:xmpp:features:bidi", sent)

    def test_a_message_of_somebody_else_fails(self) -> None:
        self.assertRaises(LoadFailed, self.accepting, b"<message from='u1@servers.test/bench'/></message>")

    def test_questions_are_answered_however_they_are_cut(self) -> None:
        ping = b'<iq type="get" id="a&amp;b" to="p1.peers.test" from="servers.test"><ping xmlns="urn:xmpp:ping"/></iq>'
        answering = Answering(self.connection)
        for at in range(len(ping)):
            answering.take(ping[:at])
            answering.take(ping[at:])
        answer = b"<iq type='result' id='a&amp;b' from='p1.peers.test' to='servers.test'/>"
        self.assertEqual(self.connection.sent, [answer] * len(ping))

    def test_what_is_no_question_is_not_answered(self) -> None:
        Answering(self.connection).take(b" <iq type='result' id='1'/><message type='get'/>")
        self.assertEqual(self.connection.sent, [])
