"""Nothing vanishes without a word: what a link that dies carried is sent again, or goes back to its sender."""

from __future__ import annotations

from federix.links.s2s.pair import MOST_TRIES
from federix.xmpp import ns

from .bidi import SM
from .reliable import ENABLE, REQUEST, WAYS, ReliableTestCase, numbers


class Counted(ReliableTestCase):
    """The peer counts what it takes (XEP-0198)."""

    def test_what_it_has_not_acknowledged_is_sent_again_and_before_what_came_later(self) -> None:
        for how in WAYS:
            self.begin()
            self.say(*numbers(1, 3))
            stream = self.counting()
            self.assertEqual(self.said(stream), numbers(1, 3))
            self.acknowledge(stream, 1)
            self.break_off(stream, how)
            self.say(*numbers(4, 5))
            self.wait(2)
            stream = self.counting()
            self.assertEqual(self.said(stream), numbers(2, 5), how)
            self.acknowledge(stream, 4)
            self.wait(600)
            self.assertEqual(self.errors(), [], how)
            self.assertEqual(len(stream.drain()), 1, how)  # it is asked whether it is there
            self.federation.stop()

    def test_at_whatever_moment_the_connection_breaks(self) -> None:
        for moment in range(8):
            self.begin()
            sent = []
            for number in range(8):
                sent.append(str(number))
                self.say(str(number))
                if number == 0:
                    stream = self.counting()
                if number == moment:
                    self.acknowledge(stream, number // 2)
                    stream.cut()
                    taken = sent[: number // 2]
            self.wait(2)
            self.assertEqual(taken + self.said(self.counting()), sent, moment)
            self.assertEqual(self.errors(), [])
            self.federation.stop()

    def test_a_stanza_on_which_it_always_breaks_goes_back_at_last(self) -> None:
        self.begin()
        self.say("poison")
        for _ in range(MOST_TRIES):
            stream = self.counting()
            self.assertEqual(self.said(stream), ["poison"])
            stream.cut()
            self.peer.nobody()  # not at once
            self.wait(20)
        self.assertEqual(self.errors(), [("poison", "remote-server-timeout")])
        self.peer.nobody()

    def test_what_it_never_saw_is_not_given_up_with_the_poison(self) -> None:
        self.begin()
        self.say("poison")
        for number in range(MOST_TRIES):
            stream = self.counting()
            stream.cut()
            self.say(str(number))
            self.wait(20)
        self.assertEqual(self.errors(), [("poison", "remote-server-timeout")])
        self.assertEqual(self.said(self.counting()), numbers(0, MOST_TRIES - 1))

    def test_it_is_asked_soon_and_again_when_it_has_answered(self) -> None:
        self.begin()
        self.say("1")
        stream = self.counting()
        self.assertEqual(self.said(stream), ["1"])
        self.wait(0.5)
        stream.expect(REQUEST)
        self.say("2")
        self.wait(5)
        self.assertEqual(self.said(stream), ["2"])
        self.acknowledge(stream, 1)
        self.wait(0.5)
        stream.expect(REQUEST)
        self.acknowledge(stream, 2)
        self.wait(5)
        stream.nothing()

    def test_one_that_acknowledges_less_than_it_was_asked_about_is_asked_again(self) -> None:
        self.begin()
        self.say(*numbers(1, 4))
        stream = self.counting()
        self.wait(0.5)
        for count in range(4):
            self.assertIn(REQUEST, [element.to_xml() for element in stream.drain()])
            self.acknowledge(stream, count)
            self.wait(50)
        self.acknowledge(stream, 4)
        self.wait(200)
        self.assertIsNone(stream.lost)
        self.assertEqual(self.errors(), [])
        self.peer.nobody()

    def test_one_that_answers_no_more_is_left(self) -> None:
        self.begin()
        self.say("1")
        stream = self.counting()
        self.wait(59)
        self.assertIsNone(stream.lost)
        self.wait(3)
        self.assertIsNotNone(stream.lost)
        self.assertEqual(self.said(self.counting()), ["1"])

    def test_one_that_has_more_than_was_sent_is_left(self) -> None:
        self.begin()
        self.say("1")
        stream = self.counting()
        self.said(stream)
        self.acknowledge(stream, 2)
        self.assert_ended(stream, "undefined-condition")

    def test_one_that_never_says_that_it_counts_gets_nothing_twice(self) -> None:
        self.begin()
        self.say("1")
        stream = self.reached(SM, bidi=False)
        stream.expect(ENABLE)
        self.assertEqual(self.said(stream), ["1"])
        stream.cut()
        self.wait(20)
        self.assertEqual(self.errors(), [("1", "remote-server-timeout")])
        self.peer.nobody()

    def test_one_that_acknowledges_counts_whatever_else_it_says(self) -> None:
        self.begin()
        self.say("1", "2")
        stream = self.reached(SM, bidi=False)
        stream.expect(ENABLE)
        self.acknowledge(stream, 1)
        stream.cut()
        self.wait(5)
        self.assertEqual(self.said(self.counting()), ["2"])
        self.assertEqual(self.errors(), [])

    def test_one_that_never_says_that_it_counts_is_asked_by_ping_at_last(self) -> None:
        self.begin()
        self.say("1")
        stream = self.reached(SM, bidi=False)
        self.wait(65)
        self.assertIsNone(stream.lost)
        (ping,) = self.pings(stream)
        self.pong(self.connected(bidi=False), ping)
        stream.cut()
        self.wait(5)
        self.assertEqual(self.errors(), [])

    def test_one_that_refuses_to_count_is_asked_by_ping(self) -> None:
        self.begin()
        self.say("1")
        stream = self.reached(SM, bidi=False)
        stream.expect(ENABLE)
        stream.send(f"<failed xmlns='{ns.SM}'/>")
        self.wait(1)
        (ping,) = self.pings(stream)
        back = self.connected(bidi=False)
        self.pong(back, ping)
        stream.cut()
        self.wait(5)
        self.assertEqual(self.errors(), [])


class Pinged(ReliableTestCase):
    """The peer has no stream management: it is pinged (XEP-0199)."""

    def test_what_follows_the_last_answered_ping_goes_back(self) -> None:
        for how in WAYS:
            self.begin()
            self.say(*numbers(1, 2))
            stream = self.reached()
            self.wait(0.5)
            (ping,) = self.pings(stream)
            self.say("3")
            self.pong(stream, ping)
            self.say("4")
            self.break_off(stream, how)
            self.assertEqual(self.errors(), [("3", "remote-server-timeout"), ("4", "remote-server-timeout")], how)
            self.wait(600)
            self.assertEqual(self.errors(), [], how)
            self.peer.nobody()
            self.federation.stop()

    def test_what_waited_in_the_queue_is_sent_after_all(self) -> None:
        self.begin()
        self.say("0")
        stream = self.reached()
        self.wait(1)
        self.large(1, 29)
        stream.cut()
        self.wait(2)
        bounced = [id for id, _ in self.errors()]
        sent = self.talk(self.reached())
        self.assertEqual(bounced + sent, numbers(0, 29))
        self.assertGreater(len(sent), 0)
        self.assertGreater(len(bounced), 0)
        self.assertEqual(self.errors(), [])

    def test_an_error_is_an_answer(self) -> None:
        self.begin()
        self.say("1")
        stream = self.reached()
        self.wait(0.5)
        (ping,) = self.pings(stream)
        self.pong(stream, ping, "service-unavailable")
        stream.cut()
        self.wait(200)
        self.assertEqual(self.errors(), [])

    def test_the_answer_may_come_by_another_stream(self) -> None:
        self.begin()
        self.say("1")
        stream = self.reached(bidi=False)
        self.wait(0.5)
        (ping,) = self.pings(stream)
        self.pong(self.connected(bidi=False), ping)
        stream.cut()
        self.wait(200)
        self.assertEqual(self.errors(), [])

    def test_the_answer_of_somebody_else_is_none(self) -> None:
        self.begin()
        other = self.federation.peer("c.test")
        self.say("1")
        stream = self.reached()
        self.wait(0.5)
        (ping,) = self.pings(stream)
        forged = other.dial("a.test")
        forged.open()
        forged.start_tls()
        forged.open()
        forged.authenticate()
        forged.send(f"<iq type='result' id='{ping.get('id')}' from='c.test' to='a.test'/>")
        stream.send(f"<iq type='result' id='{ping.get('id')}' from='b.test' to='romeo@a.test/x'/>")
        stream.cut()
        self.assertEqual(self.errors(), [("1", "remote-server-timeout")])

    def test_one_that_can_answer_nothing_goes_on_being_served(self) -> None:
        self.begin()
        self.say("1")
        stream = self.reached(bidi=False)
        for number in range(2, 10):
            self.wait(45)
            self.say(str(number))
        self.assertEqual(self.said(stream), numbers(1, 9))
        self.assertIsNone(stream.lost)
        self.wait(1000)
        self.assertEqual(self.pings(stream), [])
        self.assertEqual(self.errors(), [])

    def test_one_that_never_answered_may_have_lost_what_was_sent_of_late(self) -> None:
        for how, came in (("cut", ["2", "3"]), ("error", ["2", "3"]), ("close", [])):
            self.begin()
            self.say("1")
            stream = self.reached(bidi=False)
            self.wait(1100)
            self.say("2")
            self.wait(10)
            self.say("3")
            self.break_off(stream, how)
            self.assertEqual([id for id, _ in self.errors()], came, how)
            self.federation.stop()

    def test_a_stream_to_it_is_closed_when_it_is_idle(self) -> None:
        self.begin(config={"s2s_timeout": 200})
        self.say("1")
        stream = self.reached(bidi=False)
        self.wait(201)
        self.assertTrue(stream.ended)
        self.assertEqual(self.errors(), [])

    def test_an_answer_that_is_late_shows_that_it_can(self) -> None:
        self.begin()
        self.say("1")
        stream = self.reached(bidi=False)
        self.wait(70)
        (ping,) = self.pings(stream)
        back = self.connected(bidi=False)
        self.pong(back, ping)
        self.say("2")
        self.wait(1)
        self.assertEqual(len(self.pings(stream)), 1)
        stream.cut()
        self.assertEqual(self.errors(), [("2", "remote-server-timeout")])

    def test_one_that_has_answered_and_is_silent_now_is_left(self) -> None:
        self.begin()
        self.say("1")
        stream = self.reached(bidi=False)
        self.wait(0.5)
        (ping,) = self.pings(stream)
        self.pong(self.connected(bidi=False), ping)
        self.say("2")
        self.wait(60)
        self.assertIsNone(stream.lost)
        self.wait(1)
        self.assertIsNotNone(stream.lost)
        self.assertEqual(self.errors(), [("2", "remote-server-timeout")])

    def test_silence_is_death_from_the_first_where_the_peer_was_seen_to_use_both_directions(self) -> None:
        self.begin()
        self.say("1")
        stream = self.reached()
        stream.send("<message from='juliet@b.test/y' to='romeo@a.test/x'><body>hi</body></message>")
        self.wait(61)
        self.assertIsNotNone(stream.lost)
        self.assertEqual(self.errors(), [("1", "remote-server-timeout")])

    def test_a_peer_that_takes_no_notice_of_bidi_is_not_cut(self) -> None:
        self.begin()
        self.say("1")
        stream = self.reached()
        self.wait(61)
        self.assertIsNone(stream.lost)
        self.assertEqual(self.errors(), [])

    def test_pings_that_were_answered_are_forgotten(self) -> None:
        self.begin()
        self.say("0")
        stream = self.reached()
        for number in range(1, 20):
            self.wait(1)
            for ping in self.pings(stream):
                self.pong(stream, ping)
            self.say(str(number))
        link = self.route()
        assert link is not None
        self.assertLess(len(link._pings), 2)
        stream.cut()
        self.assertEqual(self.core._pings, {})

    def test_what_waits_behind_answers_that_nobody_confirms_follows_them(self) -> None:
        self.begin()
        stream = self.connected()
        self.say("0")
        self.assertEqual(self.talk(stream), ["0"])
        stream.stop_reading()
        for number in range(15):
            # Results of what its people have asked; no error answers them, so they are not kept.
            attrs = f"id='{number}' to='juliet@b.test/y'"
            self.romeo.send(f"<iq type='result' {attrs}><query xmlns='x'>{'x' * 50_000}</query></iq>")
        self.say("1")
        self.wait(1)
        stream.resume_reading()
        self.assertEqual(self.talk(stream), ["1"])

    def test_one_that_confirms_nothing_and_reads_slowly_gets_it_all(self) -> None:
        self.begin(config={"s2s_max_queue_size": 10_000_000})
        self.say("0")
        stream = self.reached(bidi=False)
        self.wait(70)
        self.said(stream)
        stream.stop_reading()
        self.large(1, 30)
        self.wait(10)
        stream.resume_reading()
        self.wait(5)
        self.assertEqual(self.said(stream), numbers(1, 30))
        self.assertEqual(self.errors(), [])
