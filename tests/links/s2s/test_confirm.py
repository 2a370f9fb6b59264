"""What was sent and is not known to have arrived, without any stream: numbers, questions and bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from federix.life.scope import Scope
from federix.links.s2s.confirm import (
    ANSWER_TIMEOUT,
    ASK_AFTER,
    ASK_IN,
    KEPT_BYTES,
    KEPT_FOR,
    MOST_BYTES,
    MOST_STANZAS,
    REQUEST,
    WRAP,
    Confirmations,
    Way,
)
from federix.links.s2s.pair import Pair, Waiting
from federix.xmpp import ns
from federix.xmpp.element import Element
from federix.xmpp.stanza import IQ, Message, Stanza

PAIR = cast(Pair, object())


def waiting(size: int, since: float = 0.0, stanza: Stanza | None = None) -> Waiting:
    return Waiting(PAIR, stanza or Message(Element("message", ns.CLIENT)), b"x" * size, since)


STEP = st.one_of(
    st.tuples(st.just("add"), st.integers(1, 70)),
    st.tuples(st.just("acknowledge"), st.integers(0, 100)),
    st.tuples(st.just("wait"), st.integers(0, 50)),
)


class Link:
    """What confirmations ask of a link."""

    def __init__(self, clock: Clock, *, bidi: bool = True) -> None:
        self.scope = Scope(clock, "link")
        self.both_ways = bidi
        self.requests = 0
        self.pings: list[Callable[[], None]] = []
        self.size = 0
        self.dead = False
        self.rests = 0

    def write(self, data: bytes) -> None:
        assert data == REQUEST
        self.requests += 1

    def ping(self, answered: Callable[[], None]) -> None:
        self.pings.append(answered)

    def relieved(self) -> None: ...

    def kept(self, size: int) -> None:
        self.size += size

    def quiet(self) -> None:
        self.rests += 1

    def silent(self) -> None:
        self.dead = True


class ConfirmTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.begin()

    def begin(self, **options: Any) -> None:
        self.clock = Clock()
        self.link = Link(self.clock, **options)
        self.sent = Confirmations(self.link)

    def add(self, count: int = 1, size: int = 10, stanza: Stanza | None = None) -> None:
        for _ in range(count):
            self.sent.add(waiting(size, stanza=stanza))


class Asked(ConfirmTestCase):
    def test_soon_after_the_first(self) -> None:
        self.add(3)
        self.clock.advance(ASK_IN - 0.1)
        self.assertEqual(self.link.pings, [])
        self.clock.advance(0.2)
        self.assertEqual(len(self.link.pings), 1)
        self.clock.advance(30)
        self.assertEqual(len(self.link.pings), 1)

    def test_at_once_after_many(self) -> None:
        self.add(ASK_AFTER)
        self.assertEqual(len(self.link.pings), 1)
        self.add(3 * ASK_AFTER)
        self.assertEqual(len(self.link.pings), 1)
        self.link.pings[0]()
        self.assertEqual(len(self.sent), 3 * ASK_AFTER)
        self.clock.advance(ASK_IN)
        self.assertEqual(len(self.link.pings), 2)

    def test_not_about_answers(self) -> None:
        """Two servers that did so would ping each other for ever."""
        for xml_type, kind in (("result", IQ), ("error", IQ), ("error", Message)):
            self.add(ASK_AFTER, stanza=kind(Element(kind.kind, ns.CLIENT, attrs={"type": xml_type, "id": "1"})))
        self.clock.advance(10)
        self.assertEqual((self.link.pings, len(self.sent)), ([], 0))

    def test_but_they_count_for_who_counts(self) -> None:
        self.sent.counts()
        self.add(stanza=IQ(Element("iq", ns.CLIENT, attrs={"type": "result", "id": "1"})))
        self.assertFalse(self.sent.acknowledged(2))
        self.assertTrue(self.sent.acknowledged(1))
        self.assertEqual(len(self.sent), 0)

    def test_nothing_is_asked_when_all_is_known(self) -> None:
        self.add()
        self.clock.advance(1)
        self.link.pings[0]()
        self.clock.advance(1000)
        self.assertEqual(len(self.link.pings), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_link_is_told_when_little_was_sent_and_all_has_arrived(self) -> None:
        for count, rests in ((1, 1), (ASK_AFTER - 1, 1), (ASK_AFTER, 0)):
            self.begin()
            self.add(count)
            self.clock.advance(1)
            self.link.pings[0]()
            self.assertEqual((len(self.sent), self.link.rests), (0, rests))

    def test_a_probe_needs_no_stanza_and_is_no_second_question(self) -> None:
        self.sent.probe()
        self.sent.probe()
        self.assertEqual(len(self.link.pings), 1)
        self.clock.advance(ANSWER_TIMEOUT)
        self.assertTrue(self.link.dead)


class Bounds(ConfirmTestCase):
    def test_stanzas(self) -> None:
        self.add(MOST_STANZAS - 1)
        self.assertTrue(self.sent.room)
        self.add()
        self.assertFalse(self.sent.room)
        self.link.pings[0]()
        self.assertTrue(self.sent.room)

    def test_bytes(self) -> None:
        self.add(size=MOST_BYTES)
        self.assertFalse(self.sent.room)
        self.assertEqual(self.link.size, MOST_BYTES)
        self.sent.close(self.clock.seconds())
        self.assertEqual((self.link.size, self.sent.size), (0, 0))

    def test_little_is_kept_for_one_that_never_answers_and_it_gets_all(self) -> None:
        self.begin(bidi=False)
        self.add(MOST_STANZAS, size=100)
        self.clock.advance(ANSWER_TIMEOUT + 1)
        self.assertFalse(self.link.dead)
        self.assertIs(self.sent.way, Way.NONE)
        self.add(MOST_STANZAS, size=100)
        self.assertEqual((len(self.sent), self.link.size), (KEPT_BYTES // 100, KEPT_BYTES // 100 * 100))
        self.add(MOST_STANZAS + 1, size=1)
        self.assertEqual(len(self.sent), MOST_STANZAS)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_and_not_for_long(self) -> None:
        self.begin(bidi=False)
        for since in (0.0, 10.0, KEPT_FOR):
            self.sent.add(waiting(10, since))
            self.clock.advance(ASK_IN)
            self.clock.advance(ANSWER_TIMEOUT)
        self.assertEqual(len(self.sent), 3)
        self.sent.add(waiting(10, KEPT_FOR + 1))
        self.assertEqual(len(self.sent), 3)
        self.assertEqual([one.since for one in self.sent.close(KEPT_FOR + 20)], [KEPT_FOR, KEPT_FOR + 1])

    def test_what_was_closed_by_the_book_was_taken(self) -> None:
        for by_the_book in (False, True):
            self.begin(bidi=False)
            self.add()
            self.clock.advance(ASK_IN)
            self.clock.advance(ANSWER_TIMEOUT)
            self.add()
            left = self.sent.close(self.clock.seconds(), by_the_book=by_the_book)
            self.assertEqual(len(left), 0 if by_the_book else 2)
            self.assertEqual((self.link.size, len(self.sent)), (0, 0))


class Numbers(ConfirmTestCase):
    def test_what_was_sent_before_it_counts_is_behind_any_number(self) -> None:
        self.add(5)
        self.sent.counts()
        self.assertEqual(self.link.requests, 1)
        self.add(2)
        self.assertTrue(self.sent.acknowledged(0))
        self.assertEqual(len(self.sent), 2)
        self.assertFalse(self.sent.acknowledged(3))

    def test_they_begin_anew_after_32_bits(self) -> None:
        self.sent.counts()
        self.sent._gone = WRAP - 3
        self.add(6)
        self.assertTrue(self.sent.acknowledged(WRAP - 1))
        self.assertEqual(len(self.sent), 4)
        self.assertTrue(self.sent.acknowledged(3))
        self.assertEqual(len(self.sent), 0)
        self.assertFalse(self.sent.acknowledged(4))

    def test_the_same_number_again_is_no_harm(self) -> None:
        self.sent.counts()
        self.add(3)
        for _ in range(3):
            self.assertTrue(self.sent.acknowledged(2))
        self.assertEqual(len(self.sent), 1)

    def test_one_that_refuses_is_pinged(self) -> None:
        self.sent.counts()
        self.add(2)
        self.clock.advance(ASK_IN)
        self.assertEqual(self.link.requests, 1)
        self.sent.counts_not()
        self.clock.advance(ASK_IN)
        self.assertEqual(len(self.link.pings), 1)
        self.link.pings[0]()
        self.assertEqual(len(self.sent), 0)

    @given(st.lists(STEP, max_size=40), st.integers(0, 5))
    def test_any_numbers(self, steps: list[tuple[str, int]], before: int) -> None:
        self.begin()
        self.add(before)
        self.sent.counts()
        sent = taken = 0
        for what, number in steps:
            if what == "add":
                self.add(number)
                sent += number
            elif what == "acknowledge":
                taken += (sent - taken) * number // 100
                self.assertTrue(self.sent.acknowledged(taken))
                before = 0
            elif not self.link.dead:
                self.clock.advance(number)
            self.assertEqual(len(self.sent), before + sent - taken)
            self.assertEqual(self.link.size, 10 * len(self.sent))
            self.assertFalse(self.sent.acknowledged(sent + 1))
        self.assertEqual(len(self.sent.close(self.clock.seconds())), before + sent - taken)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class Silent(ConfirmTestCase):
    def test_one_that_has_answered_before(self) -> None:
        self.begin(bidi=False)
        self.add()
        self.clock.advance(1)
        self.link.pings[0]()
        self.add()
        self.clock.advance(ASK_IN)
        self.clock.advance(ANSWER_TIMEOUT - 0.1)
        self.assertFalse(self.link.dead)
        self.clock.advance(0.2)
        self.assertTrue(self.link.dead)
        self.assertEqual(len(self.sent.close(self.clock.seconds())), 1)

    def test_one_that_answers_late_for_the_first_time(self) -> None:
        self.begin(bidi=False)
        self.add()
        self.clock.advance(ASK_IN)
        self.clock.advance(ANSWER_TIMEOUT)
        self.add()
        self.link.pings[0]()
        self.add()
        self.assertEqual(len(self.sent), 2)
        self.clock.advance(ASK_IN)
        self.link.pings[1]()
        self.assertEqual(len(self.sent), 0)
