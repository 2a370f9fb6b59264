"""What can wait a moment leaves with what is written next, or alone."""

from __future__ import annotations

from unittest import mock

from federix.streams.outbox import JOIN_AT_MOST
from federix.streams.turn import BUSY, SOON, WHILE_BUSY
from federix.xmpp.errors import StreamCondition, StreamError
from tests.streams.lone_stream import StreamTestCase


class RidingTests(StreamTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.begin()
        self.asked = 0

    def say_it(self) -> bytes:
        self.asked += 1
        return b"<a/>"

    def wait(self, seconds: float) -> None:
        """Let time pass, timer by timer."""
        for _ in range(4):
            self.pump(seconds / 4 + 1e-9)  # whatever that is in binary

    def test_it_leaves_in_one_write_with_what_is_written_next(self) -> None:
        self.stream.write_soon(self.say_it)
        self.wait(SOON / 4)
        self.assertEqual(self.asked, 0)
        self.stream.write(b"<message/>")
        with mock.patch.object(self.wire.far, "write", wraps=self.wire.far.write) as writing:
            self.clock.advance(0)
        self.assertEqual(writing.call_count, 1)
        self.wait(2 * SOON)
        self.assertEqual((self.peer.heard, self.asked), ("<message/><a/>", 1))

    def test_and_with_what_is_written_already(self) -> None:
        self.stream.write(b"<message/>")
        self.stream.write_soon(self.say_it)
        self.pump()
        self.assertEqual(self.peer.heard, "<message/><a/>")

    def test_alone_where_nothing_is(self) -> None:
        self.stream.write_soon(self.say_it)
        self.wait(SOON)
        self.assertEqual((self.peer.heard, self.asked), ("<a/>", 1))
        self.wait(SOON)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_it_waits_no_longer_whenever_it_came(self) -> None:
        for quarter in range(8):
            with self.subTest(quarter=quarter):
                self.peer.pieces.clear()
                other = mock.Mock()
                self.stream._turn.soon(other)
                self.wait(quarter * SOON / 4)
                self.stream.write_soon(self.say_it)
                self.wait(SOON)
                self.assertEqual(self.peer.heard, "<a/>")
                self.wait(SOON)

    def test_one_that_has_left_does_not_hurry_the_next_one(self) -> None:
        self.stream.write_soon(self.say_it)
        self.stream.write(b"<message/>")
        self.pump(SOON * 3 / 4)
        self.stream.write_soon(self.say_it)
        self.pump(SOON / 2 - SOON / 100)
        self.assertEqual(self.asked, 1)
        self.wait(SOON)
        self.assertEqual(self.peer.heard, "<message/><a/><a/>")

    def half(self, writes: int) -> None:
        """Half of `SOON` passes, in which so many streams write something."""
        for _ in range(writes):
            self.stream._turn.add(mock.Mock())
        self.pump(SOON / 2 + 1e-9)

    def test_while_much_is_written_it_waits_longer(self) -> None:
        self.stream.write_soon(self.say_it)
        for _ in range(WHILE_BUSY):
            self.half(BUSY)
            self.assertEqual(self.asked, 0)
        self.half(BUSY)
        self.assertEqual((self.peer.heard, self.asked), ("<a/>", 1))

    def test_where_that_ends_it_does_not(self) -> None:
        self.stream.write_soon(self.say_it)
        self.half(2 * BUSY)
        self.half(0)
        self.assertEqual(self.peer.heard, "")
        for _ in range(4):
            self.half(0)
        self.assertEqual(self.peer.heard, "<a/>")

    def test_what_came_in_each_half_leaves_in_its_turn(self) -> None:
        others = [mock.Mock() for _ in range(4)]
        turn, since = self.stream._turn, []
        for other in others:
            since.append(turn.soon(other))
            self.half(BUSY)
        for _ in range(WHILE_BUSY):
            self.half(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        for other, half in zip(others, since, strict=True):
            other.ride_no_more.assert_called_once_with(half)

    def test_all_streams_share_one_timer(self) -> None:
        for _ in range(5):
            self.stream._turn.soon(mock.Mock())
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_one_that_fails_is_not_the_others_loss(self) -> None:
        self.stream._turn.soon(mock.Mock(ride_no_more=mock.Mock(side_effect=ValueError)))
        self.stream.write_soon(self.say_it)
        self.wait(SOON)
        self.assertEqual(self.peer.heard, "<a/>")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_it_is_said_before_the_stream_ends(self) -> None:
        self.stream.write_soon(self.say_it)
        self.stream.close()
        self.pump()
        self.assertEqual(self.peer.heard, "<a/></stream:stream>")

    def test_and_before_an_error(self) -> None:
        self.stream.write(b"<message/>")
        self.stream.write_soon(self.say_it)
        self.stream.fail(StreamError(StreamCondition.CONFLICT))
        self.pump()
        self.assertTrue(self.peer.heard.startswith("<message/><a/><stream:error>"), self.peer.heard)

    def test_once_the_stream_has_ended_it_is_not_asked_for(self) -> None:
        self.stream.write_soon(self.say_it)
        self.stream.abort()
        self.wait(SOON)
        self.stream.write_soon(self.say_it)
        self.wait(SOON)
        self.assertEqual((self.asked, self.stream._outbox._riding), (0, None))

    def test_while_the_connection_takes_nothing_it_waits_with_the_rest(self) -> None:
        self.wire.near.pauseProducing()
        self.stream.write(b"x" * (JOIN_AT_MOST + 1))
        self.clock.advance(0)
        self.stream.write_soon(self.say_it)
        self.wait(SOON)
        self.assertEqual(self.stream.held, len(b"<a/>"))
        self.wire.near.resumeProducing()
        self.pump()
        self.assertTrue(self.peer.heard.endswith("xx<a/>"))
