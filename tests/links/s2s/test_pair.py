"""What waits for another server: within bounds, in its order, and back to whom it came from when it cannot go."""

from __future__ import annotations

import gc
from unittest import mock

from federix.links.s2s import federation as federation_module
from federix.links.s2s.confirm import MOST_STANZAS
from federix.links.s2s.pair import Domains, Waiting
from federix.streams.outbox import Bounds as StreamBounds
from federix.testing import Client
from federix.xmpp import ns
from federix.xmpp.reading import read_stanza

from .reliable import ReliableTestCase, numbers

#: Less than this takes the rest of a message of so many bytes.
ENVELOPE = 300


class Bounds(ReliableTestCase):
    """The peer takes a connection, and says nothing on it."""

    def full(self, client: Client, id: str, size: int, to: str = "juliet@b.test/y") -> None:
        client.send(f"<message id='{id}' to='{to}'><body>{'x' * size}</body></message>")

    def test_so_many_stanzas_wait_and_no_more(self) -> None:
        self.begin(config={"s2s_max_queue": 5})
        self.say(*numbers(1, 7))
        self.assertEqual(self.errors(), [("6", "resource-constraint"), ("7", "resource-constraint")])
        stream = self.reached()
        self.assertEqual(self.said(stream), numbers(1, 5))
        self.say("8")
        self.assertEqual(self.said(stream), ["8"])
        self.assertEqual(self.errors(), [])

    def test_so_many_bytes_wait_and_no_more(self) -> None:
        self.begin(config={"s2s_max_queue_size": 65536})
        for number in range(1, 5):
            self.full(self.romeo, str(number), 20_000)
        self.say("5")
        self.assertEqual(self.errors(), [("4", "resource-constraint")])
        self.reached()
        pair = self.core.pairs[Domains("a.test", "b.test")]
        self.assertEqual((pair.size, len(pair.queue)), (0, 0))

    def test_what_waits_when_our_server_stops_is_freed(self) -> None:
        self.begin()
        self.say("1")
        self.counting()
        self.say(*numbers(2, MOST_STANZAS + 2))
        self.assertEqual(len(self.core.pairs[Domains("a.test", "b.test")].queue), 2)
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        self.federation.stop()
        self.assertEqual([each for each in gc.get_objects() if isinstance(each, Waiting)], [])

    def test_what_is_too_large_for_any_stream_goes_back_and_ends_none(self) -> None:
        self.begin()
        self.say("1")
        stream = self.counting()
        self.acknowledge(stream, 1)
        start = "<message id='2' from='romeo@a.test/x' to='juliet@b.test/y'><body>"
        large = read_stanza(f"{start}{'x' * 3_000_000}</body></message>".encode())
        self.federation["a.test"].server.router.route(large)  # as a module may
        self.assertEqual(self.errors(), [("2", "policy-violation")])
        self.assertEqual(self.core.waiting, 0)
        self.say("3")
        self.assertEqual(self.said(stream), ["1", "3"])

    def test_an_address_is_sent_as_the_other_server_knows_it(self) -> None:
        """What it does not know to be its own ends the stream of all (RFC 6120 §8.1.1.2)."""
        self.begin()
        for to in ("juliet@b.test/y", "Juliet@b.test./y", "juliet@B.test/y", "juliet@\uff42\u3002test/y"):
            self.say("1", to=to)
        stream = self.reached()
        for _ in range(4):
            stream.expect("<message to='juliet@b.test/y'/>")

    def test_what_ends_its_stream_because_too_much_waits_there_goes_back(self) -> None:
        self.begin()
        stream = self.connected()
        link = next(iter(self.core.links))
        link.stream.bounds = StreamBounds(queue_stanzas=5)
        stream.stop_reading()
        sent = numbers(1, 40)
        for id in sent:
            self.full(self.romeo, id, 30_000)
        self.assertTrue(link.over)
        self.wait(200)
        self.assertEqual(sorted(id for id, _ in self.errors()), sorted(sent))
        self.assertEqual(self.core.waiting, 0)

    def test_the_bounds_are_those_of_one_pair(self) -> None:
        self.begin(config={"s2s_max_queue": 1})
        self.say("1", "2")
        self.say("3", to="juliet@rooms.b.test/y")
        self.assertEqual(self.errors(), [("2", "resource-constraint")])

    def test_what_waits_too_long_goes_back_once(self) -> None:
        self.begin(config={"s2s_queue_timeout": 60})
        self.say("1")
        self.wait(30)
        self.say("2")
        self.wait(29)
        self.assertEqual(self.errors(), [])
        self.wait(2)
        self.assertEqual(self.errors(), [("1", "remote-server-timeout")])
        self.wait(29)
        self.assertEqual(self.errors(), [("2", "remote-server-timeout")])
        self.wait(600)
        self.assertEqual(self.errors(), [])
        self.assertEqual(self.core.waiting, 0)

    def test_what_was_sent_once_has_waited_since_then(self) -> None:
        """Stanzas from a link that died come before what waits; their time is up before that of the others."""
        self.begin(config={"s2s_queue_timeout": 100})
        self.say("1")
        stream = self.counting()
        self.wait(50)
        stream.cut()
        self.say("2")
        self.wait(49)
        self.assertEqual(self.errors(), [])
        self.wait(2)
        self.assertEqual(self.errors(), [("1", "remote-server-timeout")])
        self.wait(50)
        self.assertEqual(self.errors(), [("2", "remote-server-timeout")])

    def test_so_it_is_when_more_waits_already(self) -> None:
        self.begin(config={"s2s_queue_timeout": 100})
        self.say("0")
        stream = self.counting()
        self.wait(1)
        for number in range(1, 30):
            self.full(self.romeo, str(number), 50_000)
            self.wait(2)
        self.assertGreater(len(self.core.pairs[Domains("a.test", "b.test")].queue), 3)
        self.said(stream)
        stream.cut()
        self.wait(43)
        self.assertEqual([id for id, _ in self.errors()], numbers(0, 1))
        self.wait(10)
        self.assertEqual([id for id, _ in self.errors()], numbers(2, 6))

    def test_no_error_answers_an_answer(self) -> None:
        """RFC 6120 §8.3.1."""
        self.begin(config={"s2s_queue_timeout": 10, "s2s_max_queue": 5})
        for kind in (
            "<iq type='result' id='1'",
            "<iq type='error' id='2'",
            "<message type='error' id='3'",
            "<presence type='error' id='4'",
            "<presence id='5'",
            "<iq type='result' id='6'",
            "<presence id='7'",
        ):
            self.romeo.send(f"{kind} to='juliet@b.test/y'/>")
        self.assertEqual(self.errors(), [("7", "resource-constraint")])
        self.wait(11)
        self.assertEqual(self.errors(), [("5", "remote-server-timeout")])

    def test_all_pairs_together_are_bounded_and_each_has_its_share(self) -> None:
        with (
            mock.patch.object(federation_module, "MOST_WAITING", 200_000),
            mock.patch.object(federation_module, "SHARE", 20_000),
        ):
            self.begin()
            for number in range(3):
                self.full(self.romeo, str(number), 60_000)
            self.full(self.romeo, "3", 30_000)
            self.assertEqual(self.errors(), [("3", "resource-constraint")])
            self.full(self.romeo, "4", 15_000, "juliet@rooms.b.test")
            self.full(self.romeo, "5", 15_000, "juliet@rooms.b.test")
            self.assertEqual(self.errors(), [("5", "resource-constraint")])
            self.full(self.romeo, "6", 15_000, "juliet@more.b.test")
            self.assertGreater(self.core.waiting, 200_000)
            # What is sent and not confirmed counts, too: the rest waits for that.
            stream = self.reached()
            messages, pings = 0, 0
            while elements := stream.drain():
                messages += len([each for each in elements if each.name == "message"])
                for ping in [each for each in elements if each.child(ns.PING, "ping") is not None]:
                    self.assertLess(messages, 4)
                    pings += 1
                    self.pong(stream, ping)
                self.wait(0.5)
            self.assertEqual((messages, pings), (3, 2))
            self.assertLess(self.core.waiting, 50_000)
