"""One stream by itself: what it hands on and when, what it writes and when, how it ends (RFC 6120 §4)."""

from __future__ import annotations

import gc
import weakref
from typing import Any
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from federix.streams import reading
from federix.streams import stream as stream_module
from federix.streams.outbox import JOIN_AT_MOST
from federix.streams.owner import State
from federix.streams.reading import HANDLE_AT_MOST, LITTLE, PARSE_AT_MOST, WORK_FOR
from federix.streams.shaper import Shaper
from federix.streams.stream import XmppStream
from federix.streams.turn import HEARD_AT_MOST, Turn
from federix.xmpp import ns
from federix.xmpp.element import Element
from federix.xmpp.errors import StreamCondition, StreamError
from federix.xmpp.events import Event
from federix.xmpp.limits import Limits
from federix.xmpp.parser import StreamParser
from federix.xmpp.readers import Readers
from federix.xmpp.stanza import Message
from tests.streams.lone_stream import HEADER, LIMITS, Owner, StreamTestCase


class Canary: ...


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
        self.assertLessEqual(len(self.stream._pending or ()), LITTLE // 4)
        self.assertLessEqual(self.stream.held, JOIN_AT_MOST)

    def test_who_sends_much_leaves_the_others_their_turn(self) -> None:
        """Of one read no more is taken in a turn than is done quickly; meanwhile the connection is not read."""
        self.begin()
        data = b"<a id='x'" + b" " * (PARSE_AT_MOST // HANDLE_AT_MOST - 11) + b"/>"
        self.stream.dataReceived(data * 8 * HANDLE_AT_MOST)
        for turn in range(1, 9):
            self.assertEqual(len(self.owner.told), HANDLE_AT_MOST * turn)
            self.assertEqual(self.wire.far.reading, turn == 8)
            self.assertFalse(self.stream.paused)
            (call,) = self.clock.getDelayedCalls() or [None]
            if call is not None:
                call.cancel()
                self.stream._turn._end()
        self.assertEqual(self.stream.held, 0)

    def test_who_sends_much_waits_where_others_do_and_who_sends_little_does_not(self) -> None:
        self.begin()
        self.stream._turn.again(mock.Mock())
        much = b"<a id='much'/>" + b" " * LITTLE
        self.stream.dataReceived(much[:LITTLE])
        self.assertEqual(self.owner.told, ["much"])
        self.stream.dataReceived(much)
        self.assertEqual(self.owner.told, ["much"])
        self.assertFalse(self.wire.far.reading)
        self.stream.dataReceived(b"<a id='behind'/>")
        self.assertEqual(self.owner.told, ["much"])
        self.pump()
        self.assertEqual(self.owner.told, ["much", "much", "behind"])
        self.assertTrue(self.wire.far.reading)

    def test_who_sends_what_takes_long_leaves_the_others_their_turn(self) -> None:
        self.begin()
        self.owner.answer = lambda element: self.clock.advance(WORK_FOR / 2)  # type: ignore[method-assign]
        self.stream.dataReceived(b"<a id='x'/>" * 8)
        # The clock moves in the middle of a turn, and the next one is in it.
        self.assertLess(len(self.owner.told), 8)
        self.pump()
        self.assertEqual(len(self.owner.told), 8)

    def test_of_what_takes_long_to_parse_no_more_is_parsed_in_a_turn(self) -> None:
        self.begin()
        parser = self.stream._parser
        fed: list[int] = []

        def feed(data: bytes) -> list[Event]:
            fed.append(len(data))
            seconds[0] += WORK_FOR / 2
            return parser.feed(data)

        seconds = [0.0]
        with (
            mock.patch.object(self.stream, "_parser", mock.Mock(wraps=parser, feed=feed, between=False, weight=0)),
            mock.patch.object(self.clock, "seconds", lambda: seconds[0]),
        ):
            self.stream.dataReceived(b"<ab>" * (PARSE_AT_MOST // 4))
        self.assertEqual(fed, [LITTLE, LITTLE])

    def test_it_is_cut_behind_tags_where_there_are_any(self) -> None:
        self.begin()
        parser = self.stream._parser
        fed: list[bytes] = []

        def feed(data: bytes) -> list[Event]:
            fed.append(data)
            return parser.feed(data)

        message = b"<message id='0123456789'><body>" + b"x" * 300 + b"</body></message>"
        long = b"<message><body>" + b"x" * 2 * LITTLE + b"</body></message>"
        with mock.patch.object(self.stream, "_parser", mock.Mock(wraps=parser, feed=feed, between=True, weight=0)):
            self.stream.dataReceived(4 * message + long)
            self.pump()
        self.assertEqual(b"".join(fed), 4 * message + long)
        self.assertLessEqual(max(map(len, fed)), LITTLE)
        self.assertEqual([data[-1:] for data in fed if data[-1:] != b"x"], [b">"] * 3)

    def test_of_all_who_send_much_at_once_not_all_are_heard_in_that_turn(self) -> None:
        self.begin()
        turn, told = self.stream._turn, []
        for _ in range(10):
            stream = XmppStream(self.clock, self.scope, turn, self.counters, ns.CLIENT, LIMITS)
            stream.owner = owner = Owner()
            stream.transport = mock.Mock()
            stream.dataReceived(HEADER.ljust(PARSE_AT_MOST))
            told.append(owner.headers)
        self.assertEqual(sum(map(len, told)), HEARD_AT_MOST // PARSE_AT_MOST)
        self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual(sum(map(len, told)), 10)

    def test_so_does_who_sends_many_small_ones(self) -> None:
        self.begin()
        self.stream.dataReceived(b"<a/>" * (3 * HANDLE_AT_MOST - 1))
        self.assertEqual(len(self.owner.told), HANDLE_AT_MOST)
        self.stream._turn._end()
        self.assertEqual(len(self.owner.told), 2 * HANDLE_AT_MOST)
        self.assertFalse(self.wire.far.reading)
        self.stream._turn._end()
        self.assertEqual(len(self.owner.told), 3 * HANDLE_AT_MOST - 1)
        self.assertTrue(self.wire.far.reading)

    def test_what_comes_in_between_comes_behind(self) -> None:
        self.begin()
        self.stream.dataReceived(b"".join(b"<a id='%d'/>" % n for n in range(100)))
        self.stream.dataReceived(b"".join(b"<a id='%d'/>" % n for n in range(100, 200)))
        self.stream.relieved()
        self.assertEqual(len(self.owner.told), HANDLE_AT_MOST)
        self.pump()
        self.assertEqual(self.owner.told, [str(n) for n in range(200)])
        self.assertTrue(self.wire.far.reading)

    def test_a_stream_may_end_before_it_has_its_turn(self) -> None:
        for end in ("close", "abort", "cut", "bye"):
            self.setUp()
            self.begin()
            self.stream.dataReceived(b"<a/>" * 100 + b"</stream:stream>")
            if end == "close":
                self.stream.close()
            elif end == "abort":
                self.stream.abort()
            elif end == "cut":
                self.wire.cut()
            self.pump()
            self.assertTrue(self.peer.lost, end)
            self.assertEqual(self.owner.told.count("a"), 100 if end == "bye" else HANDLE_AT_MOST, end)
            self.assertEqual(self.clock.getDelayedCalls(), [], end)

    def test_a_stream_dropped_before_it_has_its_turn_is_read_all_the_same(self) -> None:
        """TLS has yet to hear the other side's close."""
        self.begin()
        self.stream.dataReceived(b"<a/>" * 100)
        self.assertFalse(self.wire.far.reading)
        self.stream.close()
        self.stream._drop()
        self.assertTrue(self.wire.far.reading)

    def test_a_stanza_that_waits_is_no_reason_to_go_on_early(self) -> None:
        """Nor is its end."""
        self.begin()
        gate: Deferred[None] = Deferred()
        self.owner.answer = lambda element: gate if element.get("id") == "last" else None  # type: ignore[method-assign]
        self.stream.dataReceived(b"<a/>" * (HANDLE_AT_MOST - 1) + b"<a id='last'/>" + b"<b/>" * (HANDLE_AT_MOST - 1))
        self.assertTrue(self.stream.paused)
        self.clock.advance(0)
        self.assertNotIn("b", self.owner.told)
        gate.callback(None)
        self.assertEqual(self.owner.told.count("b"), HANDLE_AT_MOST - 1)
        self.assertTrue(self.wire.far.reading)

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
        for _ in range(21):  # any of the twenty may wait
            self.pump()
            if gates and not gates[-1].called:
                gates[-1].callback(None)
        self.assertEqual(self.owner.told, [str(n) for n in range(20)])


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
                self.stream._outbox.pauseProducing()
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
        parsers: weakref.WeakSet[StreamParser] = weakref.WeakSet()

        class Watched(StreamParser):
            def __init__(self, limits: Limits, readers: Readers | None = None) -> None:
                super().__init__(limits, readers)
                parsers.add(self)

        self.patch(reading, "StreamParser", Watched)
        self.setUp()
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        first = weakref.ref(next(iter(parsers)))
        self.begin()
        self.stream.restart(LIMITS)
        self.say(HEADER + b"<message><body>half")
        self.assertIsNone(first(), "the old one is still there")
        self.assertEqual(len(parsers), 1)
        self.wire.cut()
        del self.stream
        self.assertEqual(len(parsers), 0)

    def test_everything_may_be_called_when_it_is_gone(self) -> None:
        self.begin()
        self.wire.cut()
        self.stream.write(b"x")
        self.stream.send(Message(Element("message", ns.CLIENT)))
        self.stream.fail(StreamError(StreamCondition.RESET))
        self.stream.close()
        self.stream.abort()
        self.stream._outbox.flush()
        self.stream._outbox.pauseProducing()
        self.stream._outbox.resumeProducing()
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
            mock.patch.object(stream_module, "start_tls", lambda *_, **__: order.append(f"tls {self.wire.far.unsent}")),
        ):
            self.say(b"<a id='1'/><b id='2'/><c" + b" " * PARSE_AT_MOST + b"id='3'/>")
        self.assertEqual(order, ["tls 10"])
        self.assertEqual(self.owner.told, ["1"])
        self.assertEqual(self.stream.held, 0)
