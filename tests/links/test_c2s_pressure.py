"""Who waits for whom: handlers, shapers, slow readers (`Bounds`), and what a connection costs meanwhile."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone

from federix.api import Module, Session, Stanza, hooks
from federix.testing import Client, World
from tests.links.support import MOST, WorldTestCase, held, stream_of


class Slow(Module):
    """Lets messages that say "wait" wait until it is told to go on."""

    name = "mod_slow"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waiting: list[Deferred[None]] = []

    @hooks.user_send_packet
    def check(self, session: Session, stanza: Stanza) -> Any:
        body = stanza.element.text_of("jabber:client", "body") or ""
        return self.wait(body) if body.startswith("wait") else None

    async def wait(self, body: str) -> None:
        gate: Deferred[None] = Deferred()
        self.waiting.append(gate)
        await gate
        if body == "wait and fail":
            raise ZeroDivisionError

    def go_on(self) -> None:
        self.waiting.pop(0).callback(None)


def chat(body: str, to: str = "juliet@example.org/balcony") -> str:
    return f"<message to='{to}' type='chat'><body>{body}</body></message>"


def bodies(client: Client) -> list[str]:
    return [e.text_of("jabber:client", "body") or "" for e in client.drain()]


def say_and_close_at_once(client: Client, text: str) -> None:
    """Say *text* and close TLS; the server reads both in one go."""
    near, pieces = client.wire.near, list[bytes]()
    near.write = pieces.append  # type: ignore[method-assign]
    client.transport.write(text.encode())  # type: ignore[union-attr]
    client.transport.loseConnection()  # type: ignore[union-attr]
    del near.write
    near.write(b"".join(pieces))
    client.world.pump()


class WaitingTests(WorldTestCase):
    def setUp(self) -> None:
        self.world = self.make(modules={"mod_slow": {}}, own_modules={"mod_slow": Slow})
        self.slow = self.world.host("example.org").module(Slow)
        self.romeo = self.world.client("romeo@example.org/orchard")
        self.juliet = self.world.client("juliet@example.org/balcony")

    def test_what_is_sent_behind_a_stanza_that_waits_waits_with_it(self) -> None:
        self.romeo.send(chat("wait 1") + chat("2") + chat("3"))
        self.romeo.send(chat("4"))
        self.juliet.nothing()
        self.slow.go_on()
        self.assertEqual(bodies(self.juliet), ["wait 1", "2", "3", "4"])

    def test_one_wait_after_the_other(self) -> None:
        self.romeo.send("".join(chat(body) for body in ("1", "wait 2", "3", "wait 4", "5")))
        self.assertEqual(bodies(self.juliet), ["1"])
        self.slow.go_on()
        self.assertEqual(bodies(self.juliet), ["wait 2", "3"])
        self.slow.go_on()
        self.assertEqual(bodies(self.juliet), ["wait 4", "5"])

    def test_others_do_not_wait(self) -> None:
        self.romeo.send(chat("wait"))
        self.juliet.send(chat("hello"))
        self.assertEqual(bodies(self.juliet), ["hello"])

    def test_while_it_waits_nothing_more_is_read(self) -> None:
        self.romeo.send(chat("wait"))
        for _ in range(100):
            self.romeo.send(chat("x" * 100_000))
        self.assertTrue(stream_of(self.romeo).paused)
        self.assertLessEqual(stream_of(self.romeo).held, 128 * 1024)
        self.slow.go_on()
        self.assertFalse(stream_of(self.romeo).paused)
        self.assertEqual(len(bodies(self.juliet)), 101)

    def test_so_it_is_inside_tls(self) -> None:
        mercutio = self.world.client("mercutio@example.org/street", tls=True)
        mercutio.send(chat("wait 0"))
        for n in range(1, 40):
            mercutio.send(chat(f"{n}" + "x" * 100_000))
        self.assertLessEqual(stream_of(mercutio).held, 256 * 1024)
        self.slow.go_on()
        self.assertEqual([body.rstrip("x") for body in bodies(self.juliet)], ["wait 0", *map(str, range(1, 40))])

    def test_what_a_wait_does_is_not_undone_by_the_end_of_the_stream(self) -> None:
        self.romeo.send(chat("wait"))
        self.romeo.cut()
        self.slow.go_on()
        self.assertEqual(bodies(self.juliet), ["wait"])

    def test_what_waits_behind_it_is_lost_with_the_stream(self) -> None:
        self.romeo.send(chat("wait") + chat("lost"))
        self.romeo.cut()
        self.slow.go_on()
        self.assertEqual(bodies(self.juliet), ["wait"])

    def test_a_handler_that_fails_late_costs_its_stanza(self) -> None:
        self.romeo.send(chat("wait and fail") + chat("2"))
        self.slow.go_on()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIn("internal-server-error", self.romeo.receive().to_xml())
        self.assertEqual(bodies(self.juliet), ["2"])

    def test_an_end_of_stream_behind_a_wait_comes_in_its_turn(self) -> None:
        self.romeo.send(chat("wait") + "</stream:stream>")
        self.assertFalse(self.romeo.ended)
        self.slow.go_on()
        self.world.pump()
        self.assertTrue(self.romeo.ended)
        self.assertEqual(bodies(self.juliet), ["wait"])

    def test_so_does_an_end_of_tls(self) -> None:
        mercutio = self.world.client("mercutio@example.org/street", tls=True)
        last_words = chat("wait") + "".join(map(chat, "123456789")) + chat("x" * 10_000) + "</stream:stream>"
        say_and_close_at_once(mercutio, last_words)
        self.assertIsNone(mercutio.lost)
        self.slow.go_on()
        self.world.pump()
        self.assertIsNotNone(mercutio.lost)
        self.assertEqual(bodies(self.juliet), ["wait", *"123456789", "x" * 10_000])

    def test_after_an_end_of_tls_it_does_not_wait_for_ever(self) -> None:
        mercutio = self.world.client("mercutio@example.org/street", tls=True)
        say_and_close_at_once(mercutio, chat("wait"))
        self.world.host("example.org").sessions.of("mercutio")[0].end()
        self.world.advance(2.5)
        self.assertIsNotNone(mercutio.lost)

    def test_a_stream_that_waits_can_be_ended_by_the_server(self) -> None:
        self.romeo.send(chat("wait") + chat("2"))
        self.world.host("example.org").sessions.of("romeo")[0].end()
        self.world.advance(10)
        self.assertIsNotNone(self.romeo.lost)
        self.slow.go_on()
        self.assertEqual(bodies(self.juliet), ["wait"])

    def test_inside_tls_it_does_not_take_longer_for_that(self) -> None:
        """TLS is closed when the other side's close was read."""
        mercutio = self.world.client("mercutio@example.org/street", tls=True)
        mercutio.send(chat("wait"))
        self.world.host("example.org").sessions.of("mercutio")[0].end()
        self.world.advance(2.5)
        self.assertIsNotNone(mercutio.lost)

    def test_nor_where_the_end_comes_behind_more_than_is_handled_at_once(self) -> None:
        for size in (10, 5000):
            mercutio = self.world.client("mercutio@example.org/street", tls=True)
            mercutio.send(chat("x" * size) * 20 + "</stream:stream>")
            self.world.pump()
            self.assertIsNotNone(mercutio.lost)
            self.assertIs(mercutio.lost.type, ConnectionDone)  # type: ignore[union-attr]
            self.assertEqual(len(bodies(self.juliet)), 20)

    def test_a_server_that_stops_leaves_no_wait_behind(self) -> None:
        world = World(modules={"mod_slow": {}}, own_modules={"mod_slow": Slow})
        world.client("romeo@example.org/orchard").send(chat("wait"))
        world.stop()
        self.assert_no_traceback()


class ShaperTests(WorldTestCase):
    def world_with(self, **shaper: Any) -> World:
        return self.make(
            {
                "acl": {"vip": {"user": "tybalt@example.org"}},
                "shaper": shaper,
                "shaper_rules": {"c2s_shaper": [{"fast": "vip"}, {"normal": "all"}]},
            },
            listener={"shaper": "c2s_shaper"},
        )

    def assert_near(self, seconds: float, expected: float, difference: float) -> None:
        self.assertLessEqual(abs(seconds - expected), difference, f"{seconds} s")

    def seconds_for(self, world: World, client: Client, count: int, reader: Client) -> float:
        """How long it takes until *count* messages of 1000 bytes have arrived."""
        message = chat("x" * (1000 - len(chat(""))))
        for _ in range(count):
            client.send(message)
        start = world.clock.seconds()
        arrived = 0
        while arrived < count:
            arrived += len(reader.drain())
            world.advance(0.1)
            self.assertLess(world.clock.seconds() - start, 1000)
        elapsed: float = world.clock.seconds() - start
        return elapsed

    def test_a_client_is_read_so_many_bytes_a_second(self) -> None:
        world = self.world_with(normal=1000, fast=10_000)
        juliet = world.client("juliet@example.org/balcony")
        romeo = world.client("romeo@example.org/orchard")
        self.assert_near(self.seconds_for(world, romeo, 30, juliet), 29, 2.5)

    def test_a_vip_is_read_faster(self) -> None:
        world = self.world_with(normal=1000, fast=10_000)
        juliet = world.client("juliet@example.org/balcony")
        tybalt = world.client("tybalt@example.org/street")
        self.assert_near(self.seconds_for(world, tybalt, 100, juliet), 9, 1.5)

    def test_a_burst_is_let_through(self) -> None:
        world = self.world_with(normal={"rate": 1000, "burst_size": 20_000}, fast=10_000)
        juliet = world.client("juliet@example.org/balcony")
        romeo = world.client("romeo@example.org/orchard")
        self.assert_near(self.seconds_for(world, romeo, 30, juliet), 10, 2.5)

    def test_meanwhile_little_is_kept_and_others_are_not_slowed(self) -> None:
        world = self.world_with(normal=1000, fast=10_000)
        juliet = world.client("juliet@example.org/balcony")
        romeo = world.client("romeo@example.org/orchard")
        for _ in range(20):
            romeo.send(chat("x" * 50_000))
        self.assertTrue(stream_of(romeo).paused)
        self.assertLessEqual(stream_of(romeo).held, 128 * 1024)
        juliet.send(chat("me"))
        self.assertIn("me", bodies(juliet))

    def test_a_shaped_stream_ends_in_time_and_leaves_no_timer(self) -> None:
        world = self.world_with(normal=1000, fast=10_000)
        before = len(world.clock.getDelayedCalls())
        romeo = world.client("romeo@example.org/orchard")
        romeo.send(chat("x" * 50_000) + "</stream:stream>")
        world.host("example.org").sessions.of("romeo")[0].end()
        world.advance(3)
        self.assertIsNotNone(romeo.lost)
        self.assertEqual(len(world.clock.getDelayedCalls()), before)


class SlowReaderTests(WorldTestCase):
    def setUp(self) -> None:
        self.world = self.make(listener={"max_queue_size": 200_000, "max_fsm_queue": 50, "send_timeout": 15})
        self.romeo = self.world.client("romeo@example.org/orchard")
        self.juliet = self.world.client("juliet@example.org/balcony")

    def stop_reading(self) -> None:
        self.juliet.transport.pauseProducing()

    def send(self, count: int, size: int) -> None:
        for _ in range(count):
            self.romeo.send(chat("x" * size))
            self.assertLessEqual(held(self.juliet), MOST)

    def fill(self) -> None:
        """The connection itself takes no more."""
        self.send(7, 10_000)
        self.assertGreater(self.juliet.wire.far.unsent, 65_536)

    def assert_ended(self) -> None:
        self.assertEqual(self.world.host("example.org").sessions.of("juliet"), [])
        self.juliet.transport.resumeProducing()
        self.assertIn("resource-constraint", self.juliet.drain()[-1].to_xml())
        self.assertTrue(self.juliet.ended)

    def test_too_many_bytes_end_the_stream(self) -> None:
        self.stop_reading()
        self.send(30, 10_000)
        self.assertNotEqual(self.world.host("example.org").sessions.of("juliet"), [])
        self.world.advance(6)
        self.assert_ended()

    def test_far_too_many_end_it_at_once(self) -> None:
        self.stop_reading()
        self.send(200, 10_000)
        self.assert_ended()

    def test_too_many_stanzas_end_the_stream(self) -> None:
        self.stop_reading()
        self.fill()
        self.send(50, 1)
        self.world.advance(6)
        self.assertNotEqual(self.world.host("example.org").sessions.of("juliet"), [])
        self.send(1, 1)
        self.world.advance(6)
        self.assert_ended()

    def test_what_one_turn_writes_to_a_client_that_reads_arrives(self) -> None:
        """In the middle of a turn the connection can take nothing more, however fast its client reads."""
        message = chat("x" * 10_000).encode()
        for _ in range(77):
            stream_of(self.juliet).write(message)
        self.assertLessEqual(held(self.juliet), MOST)
        self.assertEqual(len(self.juliet.drain()), 77)
        self.assertFalse(self.juliet.ended)

    def test_so_it_does_inside_tls(self) -> None:
        self.juliet.close()
        self.juliet = self.world.client("juliet@example.org/balcony", tls=True)
        self.test_what_one_turn_writes_to_a_client_that_reads_arrives()

    def test_one_answer_that_is_larger_than_all_bounds_ends_the_stream(self) -> None:
        stream_of(self.juliet).write(chat("x" * 24_000_000).encode())
        self.assertLessEqual(held(self.juliet), MOST)
        self.assert_ended()

    def test_one_that_reads_slowly_but_steadily_is_not_cut(self) -> None:
        """25 KB/s, for longer than it may take nothing at all."""
        self.stop_reading()
        self.send(26, 10_000)
        for _ in range(10):
            self.world.advance(2.5)
            self.juliet.transport.resumeProducing()
            self.world.clock.advance(0)
            self.juliet.wire.far.deliver()
            self.stop_reading()
        self.assertIsNone(self.juliet.lost)
        self.juliet.transport.resumeProducing()
        self.assertEqual(len(self.juliet.drain()), 26)

    def test_up_to_the_bound_nothing_is_lost(self) -> None:
        self.stop_reading()
        self.fill()
        self.send(15, 10_000)
        self.juliet.transport.resumeProducing()
        self.assertEqual(len(self.juliet.drain()), 22)
        self.assertFalse(self.juliet.ended)

    def test_a_client_that_reads_nothing_for_too_long_is_cut(self) -> None:
        self.stop_reading()
        self.fill()
        self.world.advance(14.5)
        self.assertIsNone(self.juliet.lost)
        self.world.advance(1)
        self.assertIsNotNone(self.juliet.lost)
        self.assertEqual(self.world.host("example.org").sessions.of("juliet"), [])

    def test_so_is_one_inside_tls(self) -> None:
        self.juliet.close()
        self.juliet = self.world.client("juliet@example.org/balcony", tls=True)
        self.stop_reading()
        self.send(8, 10_000)
        self.world.advance(16)
        self.assertIsNotNone(self.juliet.lost)

    def test_one_that_reads_again_in_time_goes_on(self) -> None:
        self.stop_reading()
        self.fill()
        self.send(3, 10_000)
        self.world.advance(14)
        self.juliet.transport.resumeProducing()
        self.world.advance(60)
        self.assertEqual(len(self.juliet.drain()), 10)
        self.assertIsNone(self.juliet.lost)

    def test_its_senders_are_never_made_to_wait(self) -> None:
        mercutio = self.world.client("mercutio@example.org/street")
        self.stop_reading()
        for _ in range(30):
            self.romeo.send(chat("x" * 10_000) + chat("hello", "mercutio@example.org/street"))
            self.assertFalse(stream_of(self.romeo).paused)
            self.assertEqual(bodies(mercutio), ["hello"])

    def test_who_does_not_read_the_answers_is_asked_for_no_more_questions(self) -> None:
        self.stop_reading()
        ping = "<iq type='get' id='1' to='example.org'><ping xmlns='urn:xmpp:nothing'/></iq>"
        for _ in range(200):
            self.juliet.send(ping * 20)
        self.assertTrue(stream_of(self.juliet).paused)
        self.assertLessEqual(held(self.juliet), MOST)
        self.assertFalse(self.juliet.ended)
        self.juliet.transport.resumeProducing()
        self.assertEqual(len(self.juliet.drain()), 4000)
        self.assertFalse(stream_of(self.juliet).paused)
