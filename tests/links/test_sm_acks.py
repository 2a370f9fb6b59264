"""XEP-0198 §4: acknowledgements, both ways."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from federix.core.intake import Intake
from federix.core.late import ANSWER_IN
from federix.core.managed import ASK_AFTER, ASK_IN, MOST_ANSWERS, Managed
from federix.core.settled import MODULUS
from federix.streams.turn import SOON
from federix.xmpp import ns
from federix.xmpp.errors import StreamCondition, StreamError

from .sm_case import SM, ManagedCase, R, a


class AnsweringTests(ManagedCase):
    """What the client sends, and asks about."""

    def setUp(self) -> None:
        self.begin()

    def test_a_request_must_be_acknowledged(self) -> None:
        self.enable(self.romeo)
        self.romeo.send(R)
        self.told(self.romeo, 0)

    def test_with_the_number_of_stanzas_handled(self) -> None:
        self.enable(self.romeo)
        for kind in ("<presence/>", "<message to='nobody@example.org' type='headline'/>", "<iq type='result' id='1'/>"):
            self.romeo.send(kind)
        self.romeo.drain()
        self.romeo.send(R)
        self.told(self.romeo, 3)

    def test_what_was_sent_before_enabling_is_not_counted(self) -> None:
        """§4: "The counter for the received stanzas ('h') is set to zero and started after receiving … <enable/>"."""
        self.romeo.send("<presence/>")
        self.enable(self.romeo)
        self.romeo.send(R)
        self.told(self.romeo, 0)

    def test_only_stanzas_are_counted(self) -> None:
        """§1: "These elements are not "stanzas" … and are not counted or acked"."""
        self.enable(self.romeo)
        self.romeo.send(R * 3 + a(0) + " ")
        for _ in range(3):
            self.told(self.romeo, 0)

    def test_stanzas_that_are_refused_are_handled_as_well(self) -> None:
        self.enable(self.romeo)
        self.romeo.send("<iq type='get' id='x' to='a@@b'/>")
        self.romeo.drain()
        self.romeo.send(R)
        self.told(self.romeo, 1)

    def test_a_message_that_went_back_is_handled_when_its_sender_knows(self) -> None:
        self.enable(self.romeo)
        self.romeo.send("<message to='nobody@example.org'/>" + R)
        self.world.advance(ANSWER_IN)
        self.assertEqual([element.name for element in self.romeo.drain()[:2]], ["message", "r"])
        self.romeo.send(f"<a {SM} h='1'/>")
        self.told(self.romeo, 1)

    def test_one_who_only_acknowledges_can_still_be_answered(self) -> None:
        self.enable(self.romeo, "")
        self.romeo.send(f"<message to='juliet@example.org/balcony'><body>1</body></message>{R}")
        self.told(self.romeo, 1)
        self.assertEqual(self.bodies(self.juliet), ["1"])

    def test_the_counter_begins_again_past_two_to_the_thirty_second(self) -> None:
        self.enable(self.romeo)
        self.session().intake.handled = MODULUS - 1
        self.romeo.send(R)
        self.told(self.romeo, MODULUS - 1)
        self.romeo.send("<presence/>" + R)
        self.told(self.romeo, 0)


class RidingTests(ManagedCase):
    """An answer leaves with what is sent next, or a moment later."""

    def setUp(self) -> None:
        self.begin()
        self.enable(self.romeo)

    def test_an_answer_leaves_with_the_stanza_sent_next(self) -> None:
        self.romeo.send(R)
        self.romeo.nothing()
        self.say("1")
        self.assertEqual([element.name for element in self.romeo.drain()], ["message", "a"])
        self.world.advance(SOON)
        self.romeo.nothing()

    def test_it_tells_what_is_handled_when_it_leaves(self) -> None:
        self.romeo.send(R + "<presence/>" + R)
        self.told(self.romeo, 1)
        self.told(self.romeo, 1)

    def test_many_answers_wait_for_nothing(self) -> None:
        self.romeo.send(R * (MOST_ANSWERS - 1))
        self.romeo.nothing()
        self.romeo.send(R)
        for _ in range(MOST_ANSWERS):
            self.romeo.expect(a(0), exact=True)
        self.romeo.send(R)
        self.told(self.romeo, 0)
        self.romeo.nothing()

    def test_who_asks_and_closes_his_stream_is_told_first(self) -> None:
        self.romeo.send(f"<presence/>{R}</stream:stream>")
        self.romeo.expect(a(1), exact=True)
        self.assertTrue(self.romeo.ended)

    def test_who_asks_and_is_ended_is_told_first(self) -> None:
        self.romeo.send(R)
        self.session().end(StreamError(StreamCondition.POLICY_VIOLATION))
        self.romeo.expect(a(0), exact=True)
        self.assert_stream_error(self.romeo, "policy-violation")


class AskingTests(ManagedCase):
    """What the client is sent, and asked about."""

    def setUp(self) -> None:
        self.begin()
        self.enable(self.romeo)

    def unacknowledged(self) -> int:
        managed = self.session().managed
        assert managed is not None
        return len(managed.queue)

    def test_it_is_asked_a_moment_after_it_was_sent_something(self) -> None:
        self.say("1", "2")
        self.assertEqual(self.bodies(self.romeo), ["1", "2"])
        self.world.advance(ASK_IN)
        self.romeo.expect(R, exact=True)

    def test_and_at_once_when_it_was_sent_much(self) -> None:
        self.say(*map(str, range(ASK_AFTER - 1)))
        self.assertNotIn("r", [element.name for element in self.romeo.drain()])
        self.say("one more")
        self.assertEqual([element.name for element in self.romeo.drain()], ["message", "r"])

    def test_it_is_not_asked_again_until_it_has_answered(self) -> None:
        self.say(*map(str, range(3 * ASK_AFTER)))
        self.assertEqual([element.name for element in self.romeo.drain()].count("r"), 1)
        self.romeo.send(a(ASK_AFTER))
        self.world.advance(ASK_IN)
        self.romeo.expect(R)

    def test_who_has_acknowledged_is_asked_again_a_moment_after_the_next_stanza(self) -> None:
        self.say(*map(str, range(ASK_AFTER)))
        self.romeo.drain()
        self.romeo.send(a(ASK_AFTER))
        self.world.advance(ASK_IN / 2)
        self.say("one more")
        self.romeo.drain()
        self.world.advance(ASK_IN - 0.01)
        self.romeo.nothing()
        self.world.advance(0.01)
        self.romeo.expect(R, exact=True)

    def test_the_time_to_answer_counts_from_the_question(self) -> None:
        self.say("0")
        self.world.advance(ASK_IN / 2)
        self.say(*map(str, range(1, ASK_AFTER)))
        self.assertEqual([element.name for element in self.romeo.drain()].count("r"), 1)
        self.world.advance(60 - 0.01)
        self.assertIsNone(self.romeo.lost)
        self.world.advance(0.01)
        self.assertIsNotNone(self.romeo.lost)

    def test_a_busy_stream_moves_no_timers(self) -> None:
        self.say("0")
        scope = self.session().scope
        with mock.patch.object(type(scope), "later", autospec=True, side_effect=type(scope).later) as later:
            for number in range(1, 10):
                self.say(*map(str, range(ASK_AFTER)))
                self.romeo.send(a(number * ASK_AFTER))
        self.assertEqual([call for call in later.call_args_list if call.args[0] is scope], [])

    def test_it_is_asked_nothing_when_nothing_was_sent(self) -> None:
        self.world.advance(3600)
        self.romeo.nothing()

    def test_what_is_acknowledged_is_kept_no_longer(self) -> None:
        self.say("1", "2", "3")
        self.romeo.send(a(2))
        self.assertEqual(self.unacknowledged(), 1)
        self.romeo.send(a(3))
        self.assertEqual(self.unacknowledged(), 0)
        managed = self.session().managed
        assert managed is not None
        self.assertEqual(managed.size, 0)

    def test_to_say_less_than_before_changes_nothing(self) -> None:
        self.say("1", "2", "3")
        self.romeo.send(a(2) + a(1) + a(2))
        self.assertEqual(self.unacknowledged(), 1)

    def test_one_who_acknowledges_too_much_is_told_the_numbers(self) -> None:
        """§6: "an undefined-condition stream error that includes a <handled-count-too-high/> element"."""
        self.say("1", "2")
        self.romeo.drain()
        self.romeo.send(a(10))
        error = self.assert_stream_error(self.romeo, "undefined-condition")
        detail = error.child(ns.SM, "handled-count-too-high")
        assert detail is not None
        self.assertEqual((detail.get("h"), detail.get("send-count")), ("10", "2"))

    def test_a_number_just_below_zero_is_too_much(self) -> None:
        self.romeo.send(a(MODULUS - 1))
        self.assert_stream_error(self.romeo, "undefined-condition")

    def test_an_acknowledgement_must_have_a_number(self) -> None:
        for wrong in (f"<a {SM}/>", f"<a {SM} h='-1'/>", f"<a {SM} h='{MODULUS}'/>", f"<a {SM} h='x'/>"):
            client = self.world.client("romeo@example.org")
            self.enable(client)
            client.send(wrong)
            self.assert_stream_error(client, "bad-format")

    def test_the_number_may_be_written_with_spaces_around_it(self) -> None:
        self.say("1")
        self.romeo.send(f"<a {SM} h=' 1 '/>")
        self.assertEqual(self.unacknowledged(), 0)

    def test_one_who_does_not_answer_loses_the_connection_and_not_the_session(self) -> None:
        self.say("1")
        self.world.advance(ASK_IN + 59)
        self.assertIsNone(self.romeo.lost)
        self.world.advance(1)
        self.assertIsNotNone(self.romeo.lost)
        self.assertTrue(self.session().asleep)

    def test_enabled_comes_before_all_that_is_counted(self) -> None:
        client = self.world.client("romeo@example.org/garden")
        client.send(f"<presence/><enable {SM}/><presence/>")
        names = [element.name for element in client.drain()]
        managed = self.session(resource="garden").managed
        assert managed is not None
        self.assertEqual(len(names[names.index("enabled") + 1 :]), len(managed.queue))


class CountingTests(ManagedCase):
    """§4: "the value of 'h' SHALL be reset from 2^32-1 back to zero"."""

    @given(st.integers(0, 20), st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=12))
    def test_acknowledgements_count_across_two_to_the_thirty_second(
        self, before: int, steps: list[tuple[int, int]]
    ) -> None:
        managed = self.managed()
        managed._acknowledged = total = sent = MODULUS - before
        for more, acknowledged in steps:
            for _ in range(more):
                managed.queue.append(b"<message/>")
                managed._since.append(0.0)
                managed._more += 10
            sent += more
            total = min(total + acknowledged, sent)
            managed.acknowledged(total % MODULUS)
            self.assertEqual(len(managed.queue), sent - total)
            self.assertEqual(managed.size, 10 * (sent - total))

    @given(st.integers(0, MODULUS + 5), st.integers(0, 10), st.integers(1, 1000))
    def test_what_was_never_sent_cannot_be_acknowledged(self, acknowledged: int, sent: int, excess: int) -> None:
        managed = self.managed()
        managed._acknowledged = acknowledged
        managed.queue = [b"<message/>"] * sent
        number = acknowledged + sent + excess
        if number >= MODULUS and number - MODULUS <= acknowledged:
            return  # it cannot be told from one that was said before
        with self.assertRaises(StreamError):
            managed.check(number % MODULUS)
        self.assertEqual(len(managed.queue), sent)

    def managed(self) -> Managed:
        scope = SimpleNamespace(later=lambda *_: SimpleNamespace(reset=lambda _: None))
        host = SimpleNamespace(now=lambda: 0.0, clock=Clock())
        session = SimpleNamespace(
            scope=scope, host=host, attachment=SimpleNamespace(write=lambda _: None), jid="romeo", intake=Intake()
        )
        return Managed(cast(Any, session), cast(Any, SimpleNamespace(held=0)), ns.SM, "", 0.0)
