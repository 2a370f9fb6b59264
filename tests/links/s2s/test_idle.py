"""Streams on which nothing is said: asked whether somebody is there, and closed after a while."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from federix.testing import Client, Federation

from .bidi import bodies, message
from .reliable import ENABLE, ENABLED, ReliableTestCase

BOTH: tuple[dict[str, Any], ...] = ({"bidi": True}, {"bidi": False})


class Idle(ReliableTestCase):
    """Two whole servers, with and without bidi; they count stanzas."""

    def both(self, **options: Any) -> tuple[Federation, Client, Client]:
        federation = self.make("a.test", "b.test", **options)
        romeo, juliet = federation.client("romeo@a.test/x"), federation.client("juliet@b.test/y")
        romeo.send("<message to='juliet@b.test/y'><body>1</body></message>")
        juliet.expect("<message><body>1</body></message>")
        juliet.send("<message to='romeo@a.test/x'><body>2</body></message>")
        romeo.expect("<message><body>2</body></message>")
        return federation, romeo, juliet

    def open(self, federation: Federation) -> int:
        return len(federation.network.connections("a.test", "b.test"))

    def test_they_are_closed_by_the_book_when_nothing_is_said(self) -> None:
        for options in BOTH:
            federation, romeo, juliet = self.both(config={"s2s_timeout": 1000}, **options)
            federation.advance(900)
            self.assertEqual(self.open(federation), 1 if options["bidi"] else 2)
            federation.advance(400)
            self.assertEqual(self.open(federation), 0, options)
            lost = [entry.text for entry in federation.transcript if "disconnected" in (entry.text or "")]
            self.assertEqual(set(lost), {"is disconnected (ConnectionDone)"})
            self.assertEqual(romeo.drain() + juliet.drain(), [])
            for world in federation.worlds.values():
                self.assertEqual(len(world.server.federation.links), 0)
            federation.advance(200)
            for world in federation.worlds.values():
                self.assertEqual(world.server.federation.pairs, {})
            federation.stop()

    def test_any_stanza_keeps_them_open(self) -> None:
        for options in BOTH:
            federation, romeo, juliet = self.both(config={"s2s_timeout": 1000}, **options)
            for _ in range(4):
                federation.advance(900)
                romeo.send("<message to='juliet@b.test/y'><body>again</body></message>")
                juliet.expect("<message><body>again</body></message>")
            connections = federation.transcript.connections("a.test", "b.test")
            self.assertEqual([each.number for each in connections if each.client == "a.test"], [1])
            federation.stop()

    def test_without_a_limit_they_stay(self) -> None:
        for options in BOTH:
            federation, _, _ = self.both(config={"s2s_timeout": "infinity"}, **options)
            federation.advance(10_000)
            self.assertEqual(self.open(federation), 1 if options["bidi"] else 2)
            self.assertEqual(len(federation.transcript.connections("a.test", "b.test")), self.open(federation))
            federation.stop()

    def test_what_is_said_next_opens_another(self) -> None:
        for options in BOTH:
            federation, romeo, juliet = self.both(config={"s2s_timeout": 60}, **options)
            federation.advance(200)
            juliet.send("<message to='romeo@a.test/x'><body>3</body></message>")
            romeo.expect("<message><body>3</body></message>")
            federation.stop()


class IdlePinged(Idle):
    """They do not count stanzas, but ping each other."""

    def setUp(self) -> None:
        self.without_counting()


class Alive(ReliableTestCase):
    def test_a_silent_peer_is_asked_each_five_minutes(self) -> None:
        for options in BOTH:
            self.begin()
            self.say("1")
            stream = self.reached(bidi=options["bidi"])
            self.wait(1)
            back = stream if options["bidi"] else self.connected(bidi=False)
            for ping in self.pings(stream):
                self.pong(back, ping)
            times = []
            for _ in range(1000):
                self.wait(1)
                for ping in self.pings(stream):
                    times.append(self.federation.network.clock.seconds())
                    self.pong(back, ping)
            self.assertEqual([round(b - a) for a, b in pairwise(times)], [300, 300], options)
            self.federation.stop()

    def test_one_that_speaks_is_not(self) -> None:
        self.begin()
        stream = self.connected()
        for _ in range(10):
            self.wait(200)
            stream.send("<message from='juliet@b.test' to='romeo@a.test/x'/>")
        self.assertEqual(self.pings(stream), [])

    def test_a_stream_for_one_direction_is_kept_open_by_blanks(self) -> None:
        self.begin()
        stream = self.connected(bidi=False)
        stream.raw.clear()
        self.wait(301)
        self.assertEqual(bytes(stream.raw), b" ")
        stream.nothing()

    def test_a_dead_peer_is_noticed_also_by_who_was_connected_to(self) -> None:
        self.begin()
        stream = self.connected()
        self.federation.network.partition("a.test", "b.test")
        self.wait(359)
        self.assertIsNotNone(self.route() or next(iter(self.core.links)))
        self.wait(3)
        self.assertEqual(len(self.core.links), 0)
        del stream


class Closing(ReliableTestCase):
    def test_what_comes_while_it_is_closed_is_heard_unless_it_is_sent_again(self) -> None:
        for counted in (False, True):
            self.begin(config={"s2s_timeout": 60})
            stream = self.connected(bidi=False)
            if counted:
                stream.send(ENABLE)
                stream.expect(ENABLED)
            self.wait(59)
            stream.wire.delay = 0.5
            self.wait(0.7)
            stream.write(message("late"))
            self.wait(5)
            self.assertTrue(stream.ended)
            self.assertEqual(bodies(self.romeo.drain()), [] if counted else ["late"])
            self.federation.stop()


class Resting(ReliableTestCase):
    def asleep(self) -> list[bool]:
        """Of each link, whether it has let go of what it does not need."""
        streams: list[Any] = [link.stream for link in self.core.links]
        return [stream._parser.rests for stream in streams]

    def test_one_that_is_opened_to_us_rests_until_something_is_said(self) -> None:
        self.begin()
        stream = self.connected()
        self.assertEqual(self.asleep(), [True])
        stream.send("<message from='juliet@b.test' to='romeo@a.test/x'><body>a &lt; b</body></message>")
        self.romeo.expect("<message><body>a &lt; b</body></message>")
        self.assertEqual(self.asleep(), [False])

    def test_one_that_we_open_rests_again_when_all_that_was_sent_has_arrived(self) -> None:
        self.begin()
        self.say("1")
        stream = self.reached(bidi=True)
        self.assertEqual(self.asleep(), [True])
        self.wait(1)
        for ping in self.pings(stream):
            stream.send("<message from='juliet@b.test' to='romeo@a.test/x'/>")
            self.assertEqual(self.asleep(), [False])
            self.pong(stream, ping)
        self.assertEqual(self.asleep(), [True])

    def test_not_in_the_middle_of_a_stanza(self) -> None:
        self.begin()
        self.say("1")
        stream = self.reached(bidi=True)
        self.wait(1)
        [ping] = self.pings(stream)
        answer = f"<iq type='result' id='{ping.get('id')}' from='b.test' to='a.test'/>"
        stream.send(f"{answer}<message from='juliet@b.test' to='romeo@a.test/x'><body>Good ")
        self.assertEqual(self.asleep(), [False])
        stream.send("night</body></message>")
        self.romeo.expect("<message><body>Good night</body></message>")
