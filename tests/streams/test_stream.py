"""One stream by itself: what it hands on and when, what it writes and when, how it ends (RFC 6120 §4)."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Awaitable, Mapping
from typing import Any
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from federix.life.scope import Scope
from federix.streams import stream as stream_module
from federix.streams.shaper import Shaper
from federix.streams.stream import JOIN_AT_MOST, PARSE_AT_MOST, Bounds, Counters, State, XmppStream
from federix.streams.turn import Turn
from federix.testing import Wire
from federix.xmpp import ns
from federix.xmpp.element import Element
from federix.xmpp.errors import StreamCondition, StreamError
from federix.xmpp.parser import Header, Limits, StreamParser
from federix.xmpp.stanza import Message, Stanza

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

    def ended(self, error: StreamError | None) -> None:
        self.told.append("ended")
        self.error = self.error or error

    def disconnected(self) -> None:
        self.told.append("disconnected")


class Canary: ...


def count(cls: type) -> int:
    return sum(1 for thing in gc.get_objects() if isinstance(thing, cls))


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


class ConnectionTests(StreamTestCase):
    def test_the_system_does_not_hold_back_small_stanzas_and_asks_after_the_silent(self) -> None:
        transport = mock.Mock()
        XmppStream(self.clock, self.scope, Turn(self.clock), self.counters, ns.CLIENT, LIMITS).makeConnection(transport)
        transport.setTcpNoDelay.assert_called_once_with(True)
        transport.setTcpKeepAlive.assert_called_once_with(True)

    def test_a_transport_without_address_is_a_unix_socket(self) -> None:
        stream = XmppStream(self.clock, self.scope, Turn(self.clock), self.counters, ns.CLIENT, LIMITS)
        stream.makeConnection(mock.Mock(spec=["getPeer", "registerProducer"], **{"getPeer.return_value": None}))
        self.assertEqual(stream.peer, "unix socket")


class ReadingTests(StreamTestCase):
    def test_the_owner_hears_header_and_stanzas_in_order(self) -> None:
        self.say(HEADER + b"<message id='1'/><a id='2'/>")
        self.say("<iq id='3'/>")
        self.assertEqual(self.owner.headers[0].get("to"), "example.org")
        self.assertEqual(self.owner.told, ["1", "2", "3"])
        self.assertEqual(self.counters.received, 2)

    def test_what_it_hands_on_is_counted_as_it_comes_not_read_ahead(self) -> None:
        """A stanza that waits finds little parsed behind it, however much came at once."""
        self.begin()
        self.owner.answer = lambda element: Deferred()  # type: ignore[method-assign]
        self.say(b"<a id='1'/>" + b"<b/>" * 12_000)
        self.assertEqual(self.owner.told, ["1"])
        self.assertLessEqual(len(self.stream._pending), PARSE_AT_MOST // 4)
        self.assertLessEqual(self.stream.held, JOIN_AT_MOST)

    def test_a_stanza_that_waits_pauses_the_reading(self) -> None:
        self.begin()
        gate: Deferred[None] = Deferred()
        self.owner.answer = lambda element: gate if element.get("id") == "1" else None  # type: ignore[method-assign]
        self.say("<a id='1'/><b id='2'/>")
        self.assertTrue(self.stream.paused)
        self.say("<c id='3'/>")
        self.assertEqual(self.owner.told, ["1"])
        gate.callback(None)
        self.pump()
        self.assertEqual(self.owner.told, ["1", "2", "3"])
        self.assertFalse(self.stream.paused)

    def test_a_stanza_done_at_once_pauses_nothing(self) -> None:
        async def done() -> None: ...

        self.begin()
        self.owner.answer = lambda element: done()  # type: ignore[method-assign]
        with mock.patch.object(self.wire.far, "pauseProducing", side_effect=AssertionError):
            self.say("<a id='1'/><b id='2'/>")
        self.assertEqual(self.owner.told, ["1", "2"])

    def test_a_late_error_ends_the_stream(self) -> None:
        self.begin()
        gate: Deferred[None] = Deferred()
        self.owner.answer = lambda element: gate  # type: ignore[method-assign]
        self.say("<a id='1'/><b id='2'/>")
        gate.errback(StreamError(StreamCondition.INVALID_FROM))
        self.pump()
        self.assertIn("<invalid-from", self.peer.heard)
        self.assertEqual(self.owner.told, ["1", "ended"])

    def test_a_bug_is_logged_and_told_without_detail(self) -> None:
        self.begin()

        def fail(element: Element) -> None:
            raise ZeroDivisionError("detail")

        self.owner.answer = fail  # type: ignore[method-assign]
        self.say("<a id='1'/><b id='2'/>")
        self.assertIn("<internal-server-error", self.peer.heard)
        self.assertNotIn("detail", self.peer.heard)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.owner.told, ["1", "ended"])

    def test_a_late_bug_as_well(self) -> None:
        self.begin()
        gate: Deferred[None] = Deferred()
        self.owner.answer = lambda element: gate  # type: ignore[method-assign]
        self.say("<a id='1'/>")
        gate.errback(ZeroDivisionError("detail"))
        self.pump()
        self.assertIn("<internal-server-error", self.peer.heard)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_what_is_cancelled_with_its_scope_is_no_bug(self) -> None:
        self.begin()
        self.owner.answer = lambda element: Deferred()  # type: ignore[method-assign]
        self.say("<a id='1'/>")
        self.scope.close()
        self.pump()
        self.assertIn("<system-shutdown", self.peer.heard)

    def test_the_scope_forgets_what_is_done(self) -> None:
        self.begin()
        gates: list[Deferred[None]] = [Deferred(), Deferred()]
        waiting = iter(gates)
        self.owner.answer = lambda element: next(waiting)  # type: ignore[method-assign]
        self.say("<a id='1'/><a id='2'/>")
        self.assertEqual(len(self.scope), 1)
        for gate in gates:
            gate.callback(None)
        self.assertEqual(len(self.scope), 0)

    def test_a_shaper_pauses_the_reading(self) -> None:
        self.begin()
        self.stream.shaper = Shaper(10, 10, self.clock.seconds)
        self.say("<a id='1' x=''/>")  # 16 bytes: 6 too many
        self.say("<a id='2'/>")
        self.assertEqual(self.owner.told, ["1"])
        self.assertTrue(self.stream.paused)
        self.pump(0.5)
        self.assertEqual(self.owner.told, ["1"])
        self.pump(0.2)
        self.assertEqual(self.owner.told, ["1", "2"])

    @settings(deadline=None, max_examples=50)
    @given(st.lists(st.integers(1, 400), max_size=30), st.lists(st.booleans(), min_size=20, max_size=20))
    def test_any_cut_and_any_waits_give_the_same_order(self, cuts: list[int], waits: list[bool]) -> None:
        self.setUp()
        self.begin()
        gates: list[Deferred[None]] = []

        def answer(element: Element) -> Deferred[None] | None:
            if not waits[int(element.get("id") or 0)]:
                return None
            gates.append(Deferred())
            return gates[-1]

        self.owner.answer = answer  # type: ignore[method-assign]
        data = "".join(f"<message id='{n}'><body>{'x' * n}</body></message> " for n in range(20)).encode()
        for cut in [*cuts, len(data)]:
            self.say(data[:cut])
            data = data[cut:]
            if len(gates) % 2 and gates:
                gate = gates[-1]
                if not gate.called:
                    gate.callback(None)
        while gates and not gates[-1].called:
            gates[-1].callback(None)
            self.pump()
        self.assertEqual(self.owner.told, [str(n) for n in range(20)])


class WritingTests(StreamTestCase):
    def write(self, *sizes: int) -> None:
        for size in sizes:
            self.stream.write(b"x" * size)

    def cork(self) -> None:
        """The connection takes no more."""
        self.wire.near.pauseProducing()
        self.write(JOIN_AT_MOST + 1)
        self.clock.advance(0)

    def test_what_is_written_in_one_turn_leaves_in_one_write(self) -> None:
        self.begin()
        self.write(1, 2, 3)
        with mock.patch.object(self.wire.far, "write", wraps=self.wire.far.write) as writing:
            self.clock.advance(0)
        self.assertEqual(writing.call_count, 1)
        self.pump()
        self.assertEqual(self.peer.heard, "xxxxxx")

    def test_nothing_leaves_before_the_turn_is_over(self) -> None:
        self.begin()
        self.write(1)
        self.assertEqual(self.wire.far.unsent, 0)

    def test_very_much_does_not_wait_for_the_turn(self) -> None:
        self.begin()
        self.write(JOIN_AT_MOST, 1)
        self.assertEqual(self.wire.far.unsent, JOIN_AT_MOST + 1)
        self.assertEqual(self.stream.held, 0)

    def test_one_stream_that_cannot_write_does_not_hold_up_the_others(self) -> None:
        turn = Turn(self.clock)
        broken, fine = mock.Mock(), mock.Mock()
        broken.flush.side_effect = ZeroDivisionError
        for one in (broken, fine):
            turn.add(one)
        self.clock.advance(0)
        fine.flush.assert_called_once_with()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_stanzas_are_counted_by_how_they_leave(self) -> None:
        self.begin()
        self.stream.send(Message(Element("message", ns.CLIENT), b"<message   />"))
        self.stream.send(Message(Element("message", ns.CLIENT)))
        self.pump()
        self.assertEqual(self.peer.heard, "<message   /><message/>")
        self.assertEqual((self.counters.reused, self.counters.rendered), (1, 1))

    def test_what_a_slow_peer_leaves_waits_here(self) -> None:
        self.begin()
        self.cork()
        self.write(100)
        self.clock.advance(1)
        self.assertEqual(self.stream.held, 100)
        self.wire.near.resumeProducing()
        self.pump()
        self.assertEqual(self.stream.held, 0)
        self.assertEqual(len(self.peer.heard), JOIN_AT_MOST + 101)

    def test_up_to_so_many_bytes(self) -> None:
        self.begin()
        self.stream.bounds = Bounds(queue_bytes=1000)
        self.cork()
        self.write(400, 600)
        self.assertIs(self.stream.state, State.OPEN)
        self.write(1)
        self.assertIs(self.stream.state, State.CLOSING)
        self.wire.near.resumeProducing()
        self.pump()
        self.assertIn("<resource-constraint", self.peer.heard)
        self.assertTrue(self.peer.heard.endswith("</stream:stream>"))

    def test_up_to_so_many_stanzas(self) -> None:
        self.begin()
        self.stream.bounds = Bounds(queue_stanzas=10)
        self.cork()
        self.write(*[1] * 10)
        self.assertIs(self.stream.state, State.OPEN)
        self.write(1)
        self.assertIs(self.stream.state, State.CLOSING)

    def test_who_leaves_half_the_bound_unread_is_not_read(self) -> None:
        self.begin()
        self.stream.bounds = Bounds(queue_bytes=1000)
        self.cork()
        self.write(501)
        self.assertTrue(self.stream.paused)
        self.say("<a id='1'/>")
        self.assertEqual(self.owner.told, [])
        self.wire.near.resumeProducing()
        self.pump()
        self.assertEqual(self.owner.told, ["1"])
        self.assertFalse(self.stream.paused)

    def test_who_reads_nothing_for_too_long_is_cut(self) -> None:
        self.begin()
        self.stream.bounds = Bounds(send_timeout=15)
        self.cork()
        self.pump(14)
        self.assertFalse(self.peer.lost)
        self.pump(1.1)
        self.assertTrue(self.peer.lost)
        assert self.owner.error is not None
        self.assertIs(self.owner.error.condition, StreamCondition.CONNECTION_TIMEOUT)

    def test_after_the_end_nothing_is_written(self) -> None:
        self.begin()
        self.stream.close()
        self.write(1)
        self.pump()
        self.assertEqual(self.peer.heard, "</stream:stream>")

    def test_a_header_is_written_safely(self) -> None:
        self.stream.send_header({"id": "'<&\"", "to": None})
        self.pump()
        self.assertIn("id='&apos;&lt;&amp;", self.peer.heard)
        self.assertNotIn("to=", self.peer.heard)


class EndingTests(StreamTestCase):
    def test_an_error_before_any_header_comes_in_a_stream(self) -> None:
        self.say("oops")
        self.assertIn("id='ours'", self.peer.heard)
        self.assertTrue(self.peer.heard.endswith("</stream:error></stream:stream>"))

    def test_an_error_may_have_a_text(self) -> None:
        self.begin()
        self.stream.fail(StreamError(StreamCondition.RESET, "<because>"))
        self.pump()
        self.assertIn("xml:lang='en'>&lt;because&gt;</text>", self.peer.heard)

    def test_the_owner_hears_of_the_end_before_the_connection_is_gone(self) -> None:
        self.begin()
        self.stream.close()
        self.assertEqual(self.owner.told, ["ended"])
        self.say("</stream:stream>")
        self.assertEqual(self.owner.told[-1], "disconnected")
        self.assertTrue(self.peer.lost)

    def test_we_wait_two_seconds_then_five(self) -> None:
        self.begin()
        self.stream.close()
        self.pump(1.9)
        self.assertIs(self.stream.state, State.CLOSING)
        self.wire.broken = True
        self.pump(0.2)
        self.assertIs(self.stream.state, State.DROPPED)
        self.pump(4.8)
        self.assertFalse(self.peer.lost)
        self.pump(0.3)
        self.assertTrue(self.peer.lost)
        self.assertIs(self.stream.state, State.GONE)

    def test_a_closing_that_came_with_what_failed_is_seen(self) -> None:
        """Else whoever says goodbye behind his mistake would keep his connection two seconds more."""
        self.begin()

        def refuse(element: Element) -> None:
            raise StreamError(StreamCondition.NOT_AUTHORIZED)

        self.owner.answer = refuse  # type: ignore[method-assign]
        self.say("<a id='1'/><b id='2'/></stream:stream>")
        self.assertTrue(self.peer.lost)
        self.assertEqual(self.owner.told.count("1"), 1)
        self.assertNotIn("2", self.owner.told)

    def test_after_an_error_nothing_more_is_handed_on(self) -> None:
        self.begin()
        self.stream.fail(StreamError(StreamCondition.RESET))
        self.say("<a id='1'/>")
        self.assertNotIn("1", self.owner.told)

    def test_only_one_error_is_told(self) -> None:
        self.begin()
        for _ in range(2):
            self.stream.fail(StreamError(StreamCondition.RESET))
            self.stream.close(StreamError(StreamCondition.CONFLICT))
            self.stream.close()
        self.pump()
        self.assertEqual(self.peer.heard.count("<stream:error"), 1)
        self.assertEqual(self.peer.heard.count("</stream:stream>"), 1)

    def test_a_cut_connection_leaves_no_timer(self) -> None:
        for leave in ("close", "abort", "fail", "stall", "shape"):
            self.setUp()
            self.begin()
            if leave == "close":
                self.stream.close()
            elif leave == "abort":
                self.stream.abort()
            elif leave == "fail":
                self.stream.fail(StreamError(StreamCondition.RESET))
            elif leave == "stall":
                self.stream.pauseProducing()
            else:
                self.stream.shaper = Shaper(1, 1, self.clock.seconds)
                self.say("<a id='1'/>")
            self.wire.cut()
            self.pump()
            self.assertEqual(self.clock.getDelayedCalls(), [], leave)
            self.assertEqual(self.owner.told[-1], "disconnected")
            self.assertEqual(self.owner.told.count("disconnected"), 1)

    def test_an_error_raised_from_a_variable_leaves_no_cycle(self) -> None:
        """Its traceback holds the frame it was raised in, and that frame the error."""
        self.begin()
        died: list[str] = []

        def refuse(element: Element) -> None:
            canary = Canary()
            weakref.finalize(canary, died.append, "canary")
            error = StreamError(StreamCondition.NOT_AUTHORIZED)
            raise error

        self.owner.answer = refuse  # type: ignore[method-assign]
        gc.disable()
        self.addCleanup(gc.enable)
        self.say("<a id='1'/>")
        self.assertEqual(died, ["canary"])

    def test_its_parsers_are_freed_with_it(self) -> None:
        """Each holds an expat that holds it, and some 15 KiB."""
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        parsers = count(StreamParser)
        self.begin()
        self.stream.restart(LIMITS)
        self.say(HEADER + b"<message><body>half")
        self.assertEqual(count(StreamParser), parsers, "the old one is still there")
        self.wire.cut()
        del self.stream
        self.assertEqual(count(StreamParser), parsers - 1)

    def test_everything_may_be_called_when_it_is_gone(self) -> None:
        self.begin()
        self.wire.cut()
        self.stream.write(b"x")
        self.stream.flush()
        self.stream.send(Message(Element("message", ns.CLIENT)))
        self.stream.fail(StreamError(StreamCondition.RESET))
        self.stream.close()
        self.stream.abort()
        self.stream.pauseProducing()
        self.stream.resumeProducing()
        self.stream.dataReceived(b"<a/>")
        self.stream.start_tls(mock.Mock())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.stream.held, 0)
        self.assertEqual(self.stream.peer, "192.0.2.1")
        self.assertIsNone(self.stream.tls)

    def test_its_producer_is_gone_before_the_connection_closes(self) -> None:
        """Twisted's TLS would wait for it for ever."""
        self.begin()
        closing: list[Any] = []
        with mock.patch.object(self.wire.far, "loseConnection", lambda: closing.append(self.wire.far.producer)):
            self.say("</stream:stream>")
        self.assertEqual(closing, [None])


class RestartTests(StreamTestCase):
    def test_a_new_header_begins_a_new_stream_with_new_limits(self) -> None:
        self.begin()
        self.stream.restart(Limits(elements=2))
        self.say(HEADER + b"<a id='1'><x/></a>")
        self.assertEqual(len(self.owner.headers), 2)
        self.assertEqual(self.owner.told, ["1"])
        self.say("<a id='2'><x/><x/></a>")
        self.assertIn("<policy-violation", self.peer.heard)

    def test_bytes_ahead_of_it_are_refused(self) -> None:
        def restart(element: Element) -> None:
            self.stream.restart(LIMITS)

        for ahead in ("<b/>", "<b", "</stream:stream>"):
            self.setUp()
            self.begin()
            self.owner.answer = restart  # type: ignore[method-assign]
            self.say(f"<a id='1'/>{ahead}")
            self.assertIn("<policy-violation", self.peer.heard)

    def test_whitespace_ahead_of_it_is_not(self) -> None:
        self.begin()
        gate: Deferred[None] = Deferred()

        async def login() -> None:
            await gate
            self.stream.restart(LIMITS)

        self.owner.answer = lambda element: login()  # type: ignore[method-assign]
        self.say("<a id='1'/> ")
        self.stream.dataReceived(b"\n")
        gate.callback(None)
        self.say(HEADER)
        self.assertEqual(len(self.owner.headers), 2)

    def test_bytes_that_came_meanwhile_are_refused(self) -> None:
        self.begin()
        gate: Deferred[None] = Deferred()

        async def login() -> None:
            await gate
            self.stream.restart(LIMITS)

        self.owner.answer = lambda element: login()  # type: ignore[method-assign]
        self.say("<a id='1'/>")
        self.stream.dataReceived(b"<presence/>")
        gate.callback(None)
        self.pump()
        self.assertIn("<policy-violation", self.peer.heard)

    def test_tls_begins_behind_what_was_written_and_forgets_what_was_read(self) -> None:
        self.begin()
        order: list[str] = []

        def proceed(element: Element) -> None:
            self.stream.write(b"<proceed/>")
            self.stream.start_tls(mock.Mock())

        self.owner.answer = proceed  # type: ignore[method-assign]
        with (
            mock.patch.object(stream_module, "start_tls", lambda *_: order.append(f"tls {self.wire.far.unsent}")),
        ):
            self.say(b"<a id='1'/><b id='2'/><c" + b" " * PARSE_AT_MOST + b"id='3'/>")
        self.assertEqual(order, ["tls 10"])
        self.assertEqual(self.owner.told, ["1"])
        self.assertEqual(self.stream.held, 0)
