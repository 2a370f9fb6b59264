"""What is written: joined, cut into pieces, kept within bounds, and how long it waits for a peer that does not read."""

from __future__ import annotations

from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from federix.streams.outbox import BURST, BURST_TIME, JOIN_AT_MOST, Bounds, Outbox
from federix.streams.owner import State
from federix.streams.turn import Turn
from federix.xmpp import ns
from federix.xmpp.element import Element
from federix.xmpp.errors import StreamCondition, StreamError
from federix.xmpp.stanza import Message
from tests.streams.lone_stream import StreamTestCase


class WritingTests(StreamTestCase):
    def write(self, *sizes: int) -> None:
        for size in sizes:
            self.stream.write(b"x" * size)

    def cork(self) -> None:
        """The connection takes no more."""
        self.wire.near.pauseProducing()
        self.write(JOIN_AT_MOST + 1)
        self.clock.advance(0)
        self.assertGreater(self.wire.far.unsent, JOIN_AT_MOST)

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

    def assert_overflow(self) -> None:
        """The stream has ended as it should, and who reads again is told."""
        self.assertIs(self.stream.state, State.CLOSING)
        assert self.owner.error is not None
        self.assertIs(self.owner.error.condition, StreamCondition.RESOURCE_CONSTRAINT)
        self.wire.near.resumeProducing()
        self.pump()
        self.assertIn("<resource-constraint", self.peer.heard)
        self.assertTrue(self.peer.heard.endswith("</stream:stream>"))

    def test_up_to_so_many_bytes_for_longer_than_a_burst(self) -> None:
        self.begin()
        self.stream.bounds = Bounds(queue_bytes=1000)
        self.cork()
        self.write(400, 600)
        self.pump(BURST_TIME + 1)
        self.assertIs(self.stream.state, State.OPEN)
        self.write(1)
        self.pump(BURST_TIME - 0.1)
        self.assertIs(self.stream.state, State.OPEN)
        self.pump(0.2)
        self.assert_overflow()

    def test_up_to_so_many_bytes_in_a_burst(self) -> None:
        self.begin()
        self.stream.bounds = Bounds(queue_bytes=1000)
        self.cork()
        self.write(1000, BURST)
        self.assertIs(self.stream.state, State.OPEN)
        self.write(1)
        self.assert_overflow()

    def test_up_to_so_many_stanzas(self) -> None:
        self.begin()
        self.stream.bounds = Bounds(queue_stanzas=10)
        self.cork()
        self.write(*[1] * 10)
        self.pump(BURST_TIME + 1)
        self.assertIs(self.stream.state, State.OPEN)
        self.write(1)
        self.pump(BURST_TIME + 1)
        self.assert_overflow()

    def test_twice_as_many_stanzas_in_a_burst(self) -> None:
        self.begin()
        self.stream.bounds = Bounds(queue_stanzas=10)
        self.cork()
        self.write(*[1] * 20)
        self.assertIs(self.stream.state, State.OPEN)
        self.write(1)
        self.assert_overflow()

    def test_a_burst_that_is_read_in_time_is_forgotten(self) -> None:
        self.begin()
        self.stream.bounds = Bounds(queue_bytes=1000)
        self.write(*[10_000] * 77)
        self.pump()
        self.assertEqual(len(self.peer.heard), 770_000)
        self.pump(60)
        self.assertIs(self.stream.state, State.OPEN)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_many_small_ones_in_one_turn_are_no_queue(self) -> None:
        self.begin()
        self.stream.bounds = Bounds(queue_stanzas=10)
        self.write(*[10] * 5000)
        self.pump()
        self.assertEqual(len(self.peer.heard), 50_000)
        self.assertIs(self.stream.state, State.OPEN)

    def test_the_connection_is_handed_no_more_than_it_takes(self) -> None:
        self.begin()
        self.wire.near.pauseProducing()
        self.write(*[250_000] * 6)
        self.clock.advance(0)
        self.assertLessEqual(self.wire.far.unsent, 2 * JOIN_AT_MOST)
        self.assertEqual(self.stream.held + self.wire.far.unsent, 1_500_000)
        self.wire.near.resumeProducing()
        while self.stream.held:
            self.assertLessEqual(self.wire.far.unsent, 2 * JOIN_AT_MOST)
            self.wire.deliver()
        self.pump()
        self.assertEqual(self.peer.heard, "x" * 1_500_000)

    def test_one_thing_may_be_as_large_as_a_burst(self) -> None:
        self.begin()
        self.write(Bounds().queue_bytes + BURST)
        self.pump()
        self.assertEqual(len(self.peer.heard), Bounds().queue_bytes + BURST)
        self.assertIs(self.stream.state, State.OPEN)

    def test_nothing_is_sent_of_what_is_larger(self) -> None:
        self.begin()
        self.write(24_000_000)
        self.assertLess(self.stream.held + self.wire.far.unsent, 1000)
        self.assert_overflow()
        self.assertNotIn("x" * 10, self.peer.heard)

    def test_what_has_left_in_part_is_sent_whole_before_the_error(self) -> None:
        self.begin()
        self.wire.near.pauseProducing()
        self.stream.write(b"<a>" + b"x" * 500_000 + b"</a>")
        self.write(*[200_000] * 8)
        self.assert_overflow()
        self.assertTrue(self.peer.heard.startswith("<a>" + "x" * 500_000 + "</a><stream:error>"))

    def test_what_came_behind_it_is_dropped(self) -> None:
        self.begin()
        self.cork()
        self.stream.write(b"<a>" + b"x" * 500_000 + b"</a>")
        self.stream.write(b"<b>" + b"y" * 500_000 + b"</b>")
        self.wire.near.resumeProducing()
        self.wire.deliver()
        self.wire.near.pauseProducing()
        self.assertGreater(self.stream.held, 900_000)  # some of the first has left
        self.stream.outweighed()
        self.wire.near.resumeProducing()
        self.pump()
        sent, _, _ = self.peer.heard.partition("<stream:error>")
        self.assertEqual(sent[-5:], "x</a>")

    def test_an_error_that_comes_with_an_overflow_is_told_once(self) -> None:
        self.begin()
        self.stream.bounds = Bounds(queue_bytes=1000)
        self.cork()
        self.write(1000 + BURST)
        self.stream.fail(StreamError(StreamCondition.RESET))
        self.wire.near.resumeProducing()
        self.pump(BURST_TIME + 1)
        self.assertEqual(self.peer.heard.count("<stream:error>"), 1)
        self.assertIn("<reset", self.peer.heard)

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.tuples(st.integers(1, 300_000), st.sampled_from(["", "turn", "deliver", "all"])), max_size=12))
    def test_whatever_is_written_whenever_arrives_whole_and_in_order(self, steps: list[tuple[int, str]]) -> None:
        self.setUp()
        self.begin()
        self.stream.bounds = Bounds(queue_bytes=1 << 30)
        for number, (size, then) in enumerate(steps):
            self.stream.write(bytes([65 + number]) * size)
            if then == "turn":
                self.clock.advance(0)
            elif then == "deliver":
                self.wire.deliver()
            elif then == "all":
                self.pump()
        self.pump()
        self.assertEqual(self.peer.heard, "".join(chr(65 + n) * size for n, (size, _) in enumerate(steps)))
        self.assertEqual(self.stream.held, 0)

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

    def test_he_is_read_again_when_he_has_read_half_of_it(self) -> None:
        self.begin()
        self.stream.bounds = Bounds(queue_bytes=400_000)
        self.cork()
        self.write(390_000)
        self.assertTrue(self.stream.paused)
        self.wire.near.resumeProducing()
        self.wire.deliver()
        self.assertGreater(self.stream.held, 200_000)
        self.assertTrue(self.stream.paused)
        while self.stream.held > 200_000:
            self.wire.deliver()
        self.assertFalse(self.stream.paused)
        self.assertTrue(self.wire.far.reading)

    def test_a_stream_that_ends_is_read_again(self) -> None:
        """Or its peer's own end would not be seen."""
        self.begin()
        self.stream.bounds = Bounds(queue_bytes=1000)
        self.cork()
        self.write(501)
        self.stream.close()
        self.say("</stream:stream>")
        self.wire.near.resumeProducing()
        self.pump()
        self.assertTrue(self.peer.lost)

    def test_what_a_connection_is_given_while_it_says_that_it_is_full_counts(self) -> None:
        """TLS says so in the middle of what it is given, and takes the rest as well."""
        writer = mock.Mock(bounds=Bounds(send_timeout=15))
        outbox = Outbox(writer, Turn(self.clock), self.scope)

        def write(data: bytes) -> None:
            writer.transport.unsent = 70_000
            outbox.pauseProducing()
            writer.transport.unsent = 100_000

        writer.transport.write = write
        outbox.put(b"x" * JOIN_AT_MOST + b"x")
        writer.transport.unsent = 90_000
        self.clock.advance(15)
        writer.stalled.assert_not_called()
        self.clock.advance(15)
        writer.stalled.assert_called_once_with()

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

    def test_who_reads_slowly_but_steadily_is_not_cut(self) -> None:
        """Not even one that takes longer for a single piece than it may take nothing."""
        self.begin()
        self.stream.bounds = Bounds(send_timeout=15)
        self.wire.near.pauseProducing()
        self.write(*[10_000] * 60)
        for _ in range(20):
            self.pump(10)
            self.take()
        self.assertFalse(self.peer.lost)
        self.assertGreater(self.stream.held, 0)
        for _ in range(4):
            self.pump(10)
        self.assertTrue(self.peer.lost)

    def take(self) -> None:
        """The system takes some bytes of what the connection has, which is not enough to be handed more."""
        far = self.wire.far
        when, data = far._on_the_way[0]
        far._on_the_way[0] = when, data[1000:]
        far._size -= 1000

    def test_where_a_connection_does_not_tell_what_is_unsent_it_is_cut_all_the_same(self) -> None:
        self.begin()
        with mock.patch.object(type(self.wire.far), "unsent", None):
            self.cork_unseen()
            self.pump(15.1)
        self.assertTrue(self.peer.lost)

    def cork_unseen(self) -> None:
        self.wire.near.pauseProducing()
        self.write(JOIN_AT_MOST + 1)
        self.clock.advance(0)

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
