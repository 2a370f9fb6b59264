"""A load that does not notice what is lost measures nothing."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bench.inbox import Answers, Inbox, LoadFailed, numbered

FILLER = b" hello"
SENDER = b"u1@localhost/bench"


def message(number: int, sender: bytes = SENDER, filler: bytes = FILLER) -> bytes:
    return b"<message from='%s' type='chat'><body>%s</body></message>" % (sender, numbered(number, filler))


def inbox() -> Inbox:
    return Inbox(b"message", b"body", SENDER, FILLER)


class InboxTests(SynchronousTestCase):
    @given(st.integers(0, 8), st.lists(st.integers(0, 700), max_size=12))
    def test_every_message_is_found_wherever_the_bytes_are_cut(self, count: int, cuts: list[int]) -> None:
        data = b"".join(b"<presence/>" + message(n) + b"<iq type='result' id='1'></iq>" for n in range(count))
        places = [0, *sorted(cuts), len(data)]
        box = inbox()
        found = sum(box.feed(data[a:b]) for a, b in pairwise(places) if a < b)
        self.assertEqual((found, box.expected), (count, count))

    def test_a_lost_message_is_noticed(self) -> None:
        box = inbox()
        box.feed(message(0))
        self.assertRaises(LoadFailed, box.feed, message(2))

    def test_a_message_that_comes_twice_is_noticed(self) -> None:
        box = inbox()
        box.feed(message(0))
        self.assertRaises(LoadFailed, box.feed, message(0))

    def test_another_order_is_noticed(self) -> None:
        self.assertRaises(LoadFailed, inbox().feed, message(1) + message(0))

    def test_another_sender_is_noticed(self) -> None:
        self.assertRaises(LoadFailed, inbox().feed, message(0, sender=b"u2@localhost/bench"))

    def test_a_changed_body_is_noticed(self) -> None:
        self.assertRaises(LoadFailed, inbox().feed, message(0, filler=b" hullo"))

    def test_what_has_no_text_is_something_else(self) -> None:
        box = Inbox(b"presence", b"status", SENDER, FILLER)
        status = b"<presence from='%s'><status>%s</status></presence>" % (SENDER, numbered(0, FILLER))
        self.assertEqual(box.feed(b"<presence><priority>1</priority></presence>"), 0)
        self.assertEqual(box.feed(status), 1)


class AnswersTests(SynchronousTestCase):
    def test_an_empty_result_is_an_answer(self) -> None:
        self.assertTrue(Answers().feed(b"<iq type='result' id='i7' from='localhost'/>", b"i7"))

    @given(st.integers(1, 70))
    def test_an_answer_may_come_in_pieces(self, cut: int) -> None:
        whole = b"<iq type='result' id='i7'><query xmlns='disco'><feature/></query></iq>"
        answers = Answers()
        first = answers.feed(whole[:cut], b"i7")
        self.assertEqual(first, cut == len(whole))
        if not first:
            self.assertTrue(answers.feed(whole[cut:], b"i7"))

    def test_an_error_is_no_answer(self) -> None:
        self.assertRaises(LoadFailed, Answers().feed, b"<iq type='error' id='i7'><error/></iq>", b"i7")

    def test_the_answer_to_another_question_is_noticed(self) -> None:
        self.assertRaises(LoadFailed, Answers().feed, b"<iq type='result' id='i6'/>", b"i7")

    def test_two_answers_are_noticed(self) -> None:
        twice = b"<iq type='result' id='i7'></iq>" * 2
        self.assertRaises(LoadFailed, Answers().feed, twice, b"i7")
