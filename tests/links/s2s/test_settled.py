"""A peer's stanza is acknowledged (XEP-0198) when it is settled: where an archive keeps it, when that has kept it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from federix.api import HANDLED, Message, Module, Outcome, RemoteServer, Stanza, StanzaError, hooks
from federix.core.resending import PATIENCE
from federix.links.recent import KNOWN_FOR
from federix.testing import PeerStream
from federix.xmpp import ns
from federix.xmpp.errors import Condition

from ...core.passage_case import Keeper, SlowArchives
from .bidi import bodies, message
from .reliable import ENABLE, ENABLED, REQUEST, ReliableTestCase, numbers


class Judge(Module):
    """Refuses, takes or delays what says so."""

    name = "mod_judge"

    async def on_start(self) -> None:
        self.asked: list[Deferred[Outcome]] = []

    @hooks.s2s_receive_packet.only(Message)
    def judge(self, remote: RemoteServer, stanza: Stanza) -> Any:
        assert isinstance(stanza, Message)
        if stanza.body == "refused":
            raise StanzaError(Condition.NOT_ACCEPTABLE)
        if stanza.body == "judge":
            self.asked.append(Deferred())
            return self.asked[-1]
        return HANDLED if stanza.body == "taken" else None


class SettledTestCase(ReliableTestCase):
    """Romeo and Mercutio are at a.test, whose archive takes its time; b.test is a scripted server that counts."""

    def setUp(self) -> None:
        self.begin(
            modules={"mod_keeper": {}, "mod_judge": {}},
            worlds={"a.test": {"own_modules": {"mod_keeper": Keeper, "mod_judge": Judge}}},
        )
        self.world = self.federation["a.test"]
        self.archives = SlowArchives()
        self.world.server.storage.archives = self.archives
        self.mercutio = self.federation.client("mercutio@a.test/x")
        self.archives.slow = True

    def counted(self) -> PeerStream:
        """The peer has connected to us and has asked us to count."""
        stream = self.connected(bidi=False)
        stream.send(ENABLE)
        stream.expect(ENABLED)
        return stream

    def tell(self, stream: PeerStream, *texts: str, to: str = "romeo@a.test/x") -> None:
        """The peer sends a message for each of *texts*."""
        for text in texts:
            stream.send(message(text, to=to))

    def assert_acknowledged(self, stream: PeerStream, count: int) -> None:
        """Asked, we say that so many are settled."""
        stream.send(REQUEST)
        stream.expect(f"<a xmlns='{ns.SM}' h='{count}'/>")

    def kept(self) -> list[str]:
        """What the archive of an account at a.test has kept, as often as it has."""
        return [row.stanza.partition(b"<body>")[2].partition(b"</body>")[0].decode() for row in self.archives.kept]


class WhenKept(SettledTestCase):
    def test_what_an_archive_keeps_is_acknowledged_when_it_is_kept_and_not_before(self) -> None:
        stream = self.counted()
        self.tell(stream, "hark")
        self.assert_acknowledged(stream, 0)
        self.wait(30)
        self.assert_acknowledged(stream, 0)
        self.archives.commit()
        self.assertEqual(bodies(self.romeo.drain()), ["hark"])
        self.assert_acknowledged(stream, 1)

    def test_so_is_what_is_kept_for_one_who_is_not_there(self) -> None:
        self.world.register("juliet@a.test")
        stream = self.counted()
        self.tell(stream, "hark", to="juliet@a.test")
        self.assert_acknowledged(stream, 0)
        self.archives.commit()
        self.assert_acknowledged(stream, 1)

    def test_what_nobody_keeps_is_acknowledged_at_once(self) -> None:
        stream = self.counted()
        stream.send("<message from='juliet@b.test/y' to='romeo@a.test/x'><subject>no body</subject></message>")
        stream.send("<presence from='juliet@b.test/y' to='romeo@a.test/x'/>")
        self.assert_acknowledged(stream, 2)

    def test_one_that_is_kept_later_than_what_came_after_it_holds_the_count_back(self) -> None:
        stream = self.counted()
        self.tell(stream, "1")
        self.archives.slow = False
        self.tell(stream, "2", to="mercutio@a.test/x")
        stream.send("<presence from='juliet@b.test/y' to='mercutio@a.test/x'/>")
        self.assertEqual(self.kept(), ["2"])
        self.assert_acknowledged(stream, 0)
        self.archives.commit()
        self.assert_acknowledged(stream, 3)

    def test_what_waits_behind_it_for_the_same_recipient_is_not_counted_with_it(self) -> None:
        stream = self.counted()
        self.tell(stream, *numbers(1, 3))
        for count in (1, 2, 3):
            self.archives.commit(1)
            self.assert_acknowledged(stream, count)
        self.assertEqual(self.kept(), numbers(1, 3))
        self.assertEqual(bodies(self.romeo.drain()), numbers(1, 3))

    def test_what_cannot_be_kept_goes_back_and_is_settled_with_that(self) -> None:
        stream = self.counted()
        self.tell(stream, *numbers(1, 2))
        self.archives.fail(1)
        self.archives.commit()
        self.assert_acknowledged(stream, 2)
        back = self.peer.accept()
        self.assertEqual(self.kept(), ["2"])
        self.assertIsNotNone(back)

    def test_who_asks_again_gets_the_rest(self) -> None:
        stream = self.counted()
        self.tell(stream, "1")
        self.tell(stream, *numbers(2, 4), to="mercutio@a.test/x")
        self.assert_acknowledged(stream, 0)
        self.archives.commit(2)
        self.assert_acknowledged(stream, 2)
        self.archives.commit()
        self.assert_acknowledged(stream, 4)
        stream.nothing()

    def test_who_closes_hears_what_is_settled_and_no_more(self) -> None:
        stream = self.counted()
        self.tell(stream, "1")
        self.archives.commit()
        self.tell(stream, "2")
        stream.send("</stream:stream>")
        stream.expect(f"<a xmlns='{ns.SM}' h='1'/>")

    def test_when_the_server_stops_it_says_what_is_settled_and_no_more(self) -> None:
        stream = self.counted()
        self.tell(stream, "1")
        self.archives.commit()
        self.tell(stream, "2")
        self.world.stop()
        said = [element.get("h") for element in stream.drain() if element.ns == ns.SM]
        self.assertEqual(said, ["1"])

    def test_more_than_may_be_on_its_way_is_not_read_and_all_of_it_is_counted_in_the_end(self) -> None:
        stream = self.counted()
        self.tell(stream, *numbers(1, 100))
        stream.send(REQUEST)
        stream.nothing()
        while self.archives.jobs:
            self.archives.commit()
            self.wait(0.1)
        self.assertEqual(self.kept(), numbers(1, 100))
        self.assertTrue(stream.drain())
        self.assert_acknowledged(stream, 100)

    def test_very_much_that_nobody_keeps_goes_behind_one_that_is_kept_late(self) -> None:
        stream = self.counted()
        self.tell(stream, "1")
        stream.send("".join(f"<message from='j@b.test' to='romeo@a.test/x' id='{n}'/>" for n in range(2000)))
        self.assertEqual(self.romeo.drain(), [])
        self.archives.commit()
        self.wait(5)
        self.assertEqual([e.get("id") for e in self.romeo.drain()], [None, *map(str, range(2000))])
        self.assert_acknowledged(stream, 2001)


class OfOneThatWeOpened(SettledTestCase):
    def test_a_stream_that_goes_both_ways_is_counted_so_too(self) -> None:
        self.archives.slow = False
        self.say("0")
        stream = self.counting(bidi=True)
        self.said(stream)
        self.archives.slow = True
        self.tell(stream, "hark")
        self.assert_acknowledged(stream, 0)
        self.archives.commit()
        self.assert_acknowledged(stream, 1)


class WhatEndsHere(SettledTestCase):
    def test_an_answer_to_our_ping_is_counted(self) -> None:
        self.archives.slow = False
        self.say("0")
        stream = self.reached()
        self.wait(1)
        (ping,) = self.pings(stream)
        back = self.counted()
        self.pong(back, ping)
        self.assert_acknowledged(back, 1)

    def test_one_that_a_check_refuses_is_counted(self) -> None:
        stream = self.counted()
        self.tell(stream, "refused")
        self.assert_acknowledged(stream, 1)

    def test_one_that_a_module_takes_is_counted(self) -> None:
        stream = self.counted()
        self.tell(stream, "taken")
        self.assert_acknowledged(stream, 1)

    def test_they_wait_for_what_came_before_them(self) -> None:
        stream = self.counted()
        self.tell(stream, "1", "refused", "taken")
        self.assert_acknowledged(stream, 0)
        self.archives.commit()
        self.assert_acknowledged(stream, 3)

    def test_one_that_is_judged_slowly_is_counted_when_it_is_judged(self) -> None:
        judge = self.world.host("a.test").module(Judge)
        for outcome in (HANDLED, StanzaError(Condition.NOT_ACCEPTABLE)):
            stream = self.counted()
            self.tell(stream, "judge")
            stream.send(REQUEST)
            stream.nothing()  # what comes behind it is not read
            asked = judge.asked.pop()
            if isinstance(outcome, StanzaError):
                asked.errback(outcome)
            else:
                asked.callback(outcome)
            self.federation.pump()
            stream.expect(f"<a xmlns='{ns.SM}' h='1'/>")

    def test_one_that_is_judged_slowly_and_passes_is_counted_when_it_is_kept(self) -> None:
        stream = self.counted()
        self.tell(stream, "judge")
        self.world.host("a.test").module(Judge).asked.pop().callback(None)
        self.federation.pump()
        self.assert_acknowledged(stream, 0)
        self.archives.commit()
        self.assert_acknowledged(stream, 1)


class WhenTheLinkIsCut(ReliableTestCase):
    """Two servers; Romeo at a.test writes to Juliet at b.test, whose archive takes its time."""

    def setUp(self) -> None:
        self.federation = self.make(
            "a.test",
            "b.test",
            modules={"mod_keeper": {}},
            worlds={domain: {"own_modules": {"mod_keeper": Keeper}} for domain in ("a.test", "b.test")},
        )
        self.romeo = self.federation.client("romeo@a.test/x")
        self.archives = self.slow_archives()

    def slow_archives(self) -> SlowArchives:
        archives = SlowArchives()
        archives.slow = True
        self.federation["b.test"].server.storage.archives = archives
        return archives

    def commit(self) -> None:
        while self.archives.jobs:
            self.archives.commit()
            self.wait(1)

    def ids(self) -> list[bytes]:
        return [row.stanza.partition(b"<body>")[2].partition(b"</body>")[0] for row in self.archives.kept]

    def test_what_was_not_kept_when_the_other_server_died_is_sent_again_and_kept(self) -> None:
        juliet = self.federation.client("juliet@b.test/y")
        self.say(*numbers(1, 3))
        self.wait(5)
        self.archives.commit(1)
        self.wait(5)
        self.assertEqual((self.ids(), bodies(juliet.drain())), ([b"1"], ["1"]))
        self.federation["b.test"].crash()
        self.federation.restart("b.test")
        self.archives = self.slow_archives()
        juliet = self.federation.client("juliet@b.test/y")
        self.wait(30)
        self.commit()
        self.assertEqual((self.ids(), bodies(juliet.drain())), ([b"2", b"3"], ["2", "3"]))
        self.wait(600)
        self.assertEqual(self.errors(), [])

    def test_what_is_kept_after_the_link_was_cut_is_sent_again_and_comes_once(self) -> None:
        juliet = self.federation.client("juliet@b.test/y")
        self.say("1")
        self.wait(5)
        self.federation.network.cut("a.test", "b.test")
        self.wait(5)
        self.commit()
        self.wait(60)
        self.commit()
        self.assertEqual((self.ids(), bodies(juliet.drain())), ([b"1"], ["1"]))
        self.assert_quiet()

    def assert_quiet(self) -> None:
        """Nothing comes back to Romeo, and what he says next arrives."""
        self.wait(600)
        self.assertEqual(self.errors(), [])

    def test_so_does_what_is_still_being_kept_when_it_is_sent_again_and_nothing_overtakes_it(self) -> None:
        juliet = self.federation.client("juliet@b.test/y")
        self.say("1", "2")
        self.wait(5)
        self.federation.network.cut("a.test", "b.test")
        self.say("3")
        self.wait(20)
        self.assertEqual(len(self.archives.jobs), 2)
        self.commit()
        self.assertEqual((self.ids(), bodies(juliet.drain())), ([b"1", b"2", b"3"], ["1", "2", "3"]))
        self.assert_quiet()

    def test_so_does_what_is_sent_a_third_time(self) -> None:
        juliet = self.federation.client("juliet@b.test/y")
        self.say("1")
        for _ in range(2):
            self.wait(20)
            self.federation.network.cut("a.test", "b.test")
        self.wait(20)
        self.commit()
        self.assertEqual((self.ids(), bodies(juliet.drain())), ([b"1"], ["1"]))
        self.assert_quiet()

    def test_so_does_what_was_kept_and_not_acknowledged_before_the_cut(self) -> None:
        juliet = self.federation.client("juliet@b.test/y")
        self.archives.slow = False
        self.say("0")
        self.wait(5)
        self.say("1")  # and we are asked for it only half a second later
        self.federation.network.cut("a.test", "b.test")
        self.wait(30)
        self.assertEqual((self.ids(), bodies(juliet.drain())), ([b"0", b"1"], ["0", "1"]))
        self.assert_quiet()

    def test_so_does_what_comes_by_another_link_before_the_loss_of_the_first_is_noticed(self) -> None:
        juliet = self.federation.client("juliet@b.test/y")
        self.archives.slow = False
        self.say("0")
        self.wait(5)
        self.say("1")
        self.federation.network.partition("a.test", "b.test")
        self.wait(90)
        self.federation.network.heal()
        self.wait(30)
        self.assertEqual((self.ids(), bodies(juliet.drain())), ([b"0", b"1"], ["0", "1"]))

    def test_what_could_not_be_kept_is_taken_when_it_is_sent_again(self) -> None:
        juliet = self.federation.client("juliet@b.test/y")
        self.say("1")
        self.wait(5)
        self.federation.network.cut("a.test", "b.test")
        self.wait(20)
        self.archives.fail()
        self.wait(5)
        self.commit()
        self.assertEqual((self.ids(), bodies(juliet.drain())), ([b"1"], ["1"]))

    def test_one_that_hangs_holds_up_what_is_sent_again_only_for_a_while(self) -> None:
        juliet = self.federation.client("juliet@b.test/y")
        self.say("1")
        self.wait(5)
        self.federation.network.cut("a.test", "b.test")
        self.wait(20)
        self.archives.jobs.clear()
        self.wait(PATIENCE)
        self.commit()
        self.assertEqual((self.ids(), bodies(juliet.drain())), ([b"1"], ["1"]))

    def test_what_has_no_id_comes_twice(self) -> None:
        """Nobody knows whether it was said twice, and at least once is what acknowledgements promise."""
        juliet = self.federation.client("juliet@b.test/y")
        self.romeo.send(message("1", "romeo@a.test/x", "juliet@b.test/y"))
        self.wait(5)
        self.federation.network.cut("a.test", "b.test")
        self.wait(30)
        self.commit()
        self.assertEqual(bodies(juliet.drain()), ["1", "1"])


class SentAgain(SettledTestCase):
    """What a scripted server says over two streams, of which the first is cut."""

    def say_and_say(self, first: str, second: str, how: str = "cut") -> list[str]:
        """The bodies that Romeo gets."""
        self.archives.slow = False
        stream = self.counted()
        stream.send(first)
        self.assert_acknowledged(stream, 1)
        self.break_off(stream, how)
        stream = self.counted()
        stream.send(second)
        self.assert_acknowledged(stream, 1)
        return bodies(self.romeo.drain())

    def with_id(self, text: str, id: str = "i", origin: str = "", sender: str = "juliet@b.test/y") -> str:
        given = f"<origin-id xmlns='{ns.SID}' id='{origin}'/>" if origin else ""
        attrs = f" id='{id}'" if id else ""
        return f"<message from='{sender}' to='romeo@a.test/x'{attrs}><body>{text}</body>{given}</message>"

    def test_what_has_the_same_id_and_says_the_same_is_the_same(self) -> None:
        self.assertEqual(self.say_and_say(self.with_id("hark"), self.with_id("hark")), ["hark"])

    def test_so_is_what_has_the_same_origin_id_and_says_the_same(self) -> None:
        again = self.with_id("hark", id="other", origin="o")
        self.assertEqual(self.say_and_say(self.with_id("hark", origin="o"), again), ["hark"])

    def test_what_has_neither_is_never_the_same(self) -> None:
        self.assertEqual(self.say_and_say(self.with_id("hark", id=""), self.with_id("hark", id="")), ["hark"] * 2)

    def test_what_says_another_thing_or_comes_from_another_is_not_the_same(self) -> None:
        self.assertEqual(self.say_and_say(self.with_id("1"), self.with_id("2")), ["1", "2"])
        other = self.with_id("3", origin="o", sender="nurse@b.test/y")
        self.assertEqual(self.say_and_say(self.with_id("3", origin="o"), other), ["3", "3"])

    def test_what_comes_twice_by_one_stream_was_said_twice(self) -> None:
        self.archives.slow = False
        stream = self.counted()
        stream.send(self.with_id("hark") * 2)
        self.assertEqual(bodies(self.romeo.drain()), ["hark"] * 2)

    def test_so_was_what_comes_after_the_peer_has_closed_and_heard_that_all_has_arrived(self) -> None:
        self.assertEqual(self.say_and_say(self.with_id("hark"), self.with_id("hark"), "close"), ["hark"] * 2)
        self.assertEqual(len(self.core.recent), 1)

    def test_so_was_what_comes_long_after_the_cut(self) -> None:
        self.archives.slow = False
        for _ in range(2):
            stream = self.counted()
            stream.send(self.with_id("hark"))
            stream.cut()
            self.wait(2 * KNOWN_FOR)
        self.assertEqual(bodies(self.romeo.drain()), ["hark"] * 2)

    def test_what_came_by_a_stream_that_is_not_counted_is_not_remembered(self) -> None:
        stream = self.connected(bidi=False)
        stream.send(self.with_id("hark"))
        self.assertEqual(len(self.core.recent), 0)

    def test_what_was_refused_is_refused_again(self) -> None:
        self.say_and_say(self.with_id("blocked"), self.with_id("blocked"))
        back = self.reached(bidi=False)
        self.assertEqual([element.get("type") for element in self.stanzas(back)], ["error", "error"])
