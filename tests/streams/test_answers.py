"""What the DNS said is remembered within bounds, and nothing is asked twice at the same moment."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from federix.streams.answers import FAILURE_TTL, Answers
from federix.streams.name_servers import Answer, DnsError

A = 1


class AnswersCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[str] = []
        self.pending: list[Deferred[Answer]] = []
        self.cancelled = 0

    def answers(self, **bounds: int) -> Answers:
        return Answers(self.ask, self.clock.seconds, **bounds)

    async def ask(self, name: str, kind: int) -> Answer:
        self.asked.append(name)
        deferred: Deferred[Answer] = Deferred(self.count)
        self.pending.append(deferred)
        return await deferred

    def count(self, _: object) -> None:
        self.cancelled += 1

    def get(self, answers: Answers, name: str = "a", kind: int = A) -> Deferred[Any]:
        return ensureDeferred(answers.get(name, kind))

    def learn(self, answers: Answers, name: str, ttl: int = 60) -> None:
        task = self.get(answers, name)
        self.pending.pop().callback(Answer((name,), ttl))
        self.successResultOf(task)


class Remembering(AnswersCase):
    def test_an_answer_is_good_for_its_time_and_no_longer(self) -> None:
        answers = self.answers()
        self.learn(answers, "a", ttl=60)
        self.clock.advance(59)
        self.assertEqual(self.successResultOf(self.get(answers)), ("a",))
        self.clock.advance(1)
        self.assertNoResult(self.get(answers))
        self.assertEqual(self.asked, ["a", "a"])

    def test_that_there_is_nothing_is_remembered_too(self) -> None:
        answers = self.answers()
        task = self.get(answers)
        self.pending.pop().callback(Answer((), 30))
        self.assertEqual(self.successResultOf(task), ())
        self.assertEqual(self.successResultOf(self.get(answers)), ())
        self.assertEqual(self.asked, ["a"])

    def test_an_answer_for_no_time_is_good_for_those_who_asked(self) -> None:
        answers = self.answers()
        self.learn(answers, "a", ttl=0)
        self.assertNoResult(self.get(answers))

    def test_a_failure_is_remembered_for_a_short_time(self) -> None:
        answers = self.answers()
        task = self.get(answers)
        self.pending.pop().errback(DnsError("SERVFAIL"))
        first = self.failureResultOf(task, DnsError).value
        self.clock.advance(FAILURE_TTL - 0.1)
        second = self.failureResultOf(self.get(answers), DnsError).value
        self.assertEqual(str(first), str(second))
        self.assertIsNot(first, second)
        self.clock.advance(0.1)
        self.assertNoResult(self.get(answers))

    def test_names_and_kinds_are_told_apart(self) -> None:
        answers = self.answers()
        self.learn(answers, "a")
        self.assertNoResult(self.get(answers, "b"))
        self.assertNoResult(self.get(answers, "a", A + 1))

    def test_the_one_longest_unused_is_forgotten_first(self) -> None:
        answers = self.answers(max_cached=2)
        self.learn(answers, "a")
        self.learn(answers, "b")
        self.successResultOf(self.get(answers, "a"))
        self.learn(answers, "c")
        self.successResultOf(self.get(answers, "a"))
        self.assertNoResult(self.get(answers, "b"))

    def test_it_never_remembers_more_than_its_bound(self) -> None:
        answers = self.answers(max_cached=10)
        for number in range(100):
            self.learn(answers, str(number))
            self.assertLessEqual(len(answers), 10)

    def test_all_can_be_forgotten(self) -> None:
        answers = self.answers()
        self.learn(answers, "a")
        answers.forget()
        self.assertNoResult(self.get(answers))


class AskingOnce(AnswersCase):
    def test_who_asks_what_is_being_asked_waits_with_the_others(self) -> None:
        answers = self.answers()
        tasks = [self.get(answers) for _ in range(5)]
        self.assertEqual(self.asked, ["a"])
        self.pending.pop().callback(Answer(("a",), 0))
        self.assertEqual([self.successResultOf(task) for task in tasks], [("a",)] * 5)

    def test_a_failure_comes_to_each_as_its_own(self) -> None:
        answers = self.answers()
        tasks = [self.get(answers) for _ in range(2)]
        self.pending.pop().errback(DnsError("SERVFAIL"))
        first, second = (self.failureResultOf(task, DnsError).value for task in tasks)
        self.assertIsNot(first, second)

    def test_the_question_goes_on_for_those_who_are_left(self) -> None:
        answers = self.answers()
        gone, left = self.get(answers), self.get(answers)
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.assertEqual(self.cancelled, 0)
        self.pending.pop().callback(Answer(("a",), 60))
        self.assertEqual(self.successResultOf(left), ("a",))

    def test_the_question_ends_with_the_last_who_waits(self) -> None:
        answers = self.answers()
        tasks = [self.get(answers) for _ in range(2)]
        for task in tasks:
            task.cancel()
            self.failureResultOf(task, CancelledError)
        self.assertEqual(self.cancelled, 1)
        self.assertNoResult(self.get(answers))
        self.assertEqual(self.asked, ["a", "a"])

    def test_so_many_wait_for_one_answer_and_no_more(self) -> None:
        answers = self.answers(max_waiting=3)
        tasks = [self.get(answers) for _ in range(4)]
        self.failureResultOf(tasks[3], DnsError)
        self.assertNoResult(tasks[2])

    def test_so_many_questions_wait_and_no_more(self) -> None:
        answers = self.answers(max_waiting=3)
        tasks = [self.get(answers, str(number)) for number in range(4)]
        self.failureResultOf(tasks[3], DnsError)
        self.assertNoResult(tasks[2])
        self.pending[0].callback(Answer((), 60))
        self.assertNoResult(self.get(answers, "3"))

    def test_so_many_are_under_way_and_the_others_wait_for_their_turn(self) -> None:
        answers = self.answers(max_at_once=2)
        tasks = [self.get(answers, name) for name in "abc"]
        self.assertEqual(self.asked, ["a", "b"])
        self.pending[0].errback(DnsError("SERVFAIL"))
        self.failureResultOf(tasks[0], DnsError)
        self.assertEqual(self.asked, ["a", "b", "c"])

    def test_who_is_cancelled_takes_no_turn(self) -> None:
        answers = self.answers(max_at_once=1)
        first, second, third = (self.get(answers, name) for name in "abc")
        second.cancel()
        self.failureResultOf(second, CancelledError)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(self.asked, ["a", "c"])
        self.pending[1].callback(Answer((), 0))
        self.assertEqual(self.successResultOf(third), ())

    def test_a_fault_of_the_asker_is_not_remembered(self) -> None:
        answers = self.answers()
        task = self.get(answers)
        self.pending.pop().errback(ZeroDivisionError())
        self.failureResultOf(task, ZeroDivisionError)
        self.assertNoResult(self.get(answers))
