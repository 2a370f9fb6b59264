"""Whatever a client asks and whenever what it sent is kept: each question is answered in time, and truthfully."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from federix.core.late import ANSWER_IN, APART, MOST, TICK
from federix.core.managed import MOST_ANSWERS
from federix.streams.turn import SOON
from tests.core.passage_case import Keeper, SlowArchives

from .sm_case import ManagedCase, R

#: A message, a question, the first of what waits is kept, or milliseconds pass.
STEPS = st.lists(st.sampled_from(["tell", "ask", "keep"]) | st.sampled_from([1, 4, 9, 25]), min_size=1, max_size=60)


class AnswersTests(ManagedCase):
    def setUp(self) -> None:
        self.begin(modules={"mod_keeper": {}}, own_modules={"mod_keeper": Keeper})
        self.archives = self.world.server.storage.archives = SlowArchives()  # type: ignore[assignment]
        self.archives.slow = True
        self.enable(self.romeo)
        self.sent = 0

    @settings(max_examples=200, deadline=None)
    @given(STEPS)
    def test_each_question_is_answered_in_time_and_truthfully(self, steps: list[str | int]) -> None:
        #: What has no answer: when it was asked, how many messages had come, and since when these are kept.
        asked: list[tuple[float, int, float | None]] = []
        questions = answers = told = 0
        settled_last = 0.0
        for step in [*steps, 50, 50]:
            match step:
                case "tell":
                    self.sent += 1
                    self.romeo.send(
                        f"<message to='juliet@example.org/balcony' type='chat'><body>{self.sent}</body></message>"
                    )
                case "ask":
                    questions += 1
                    asked.append((self.world.clock.seconds(), self.sent, None))
                    self.romeo.send(R)
                case "keep":
                    if self.archives.jobs:
                        settled_last = self.world.clock.seconds()
                    self.archives.commit(1)
                case int():
                    self.world.advance(step / 1000)
            for element in self.romeo.drain():
                if element.name != "a":
                    continue
                answers += 1
                # Never more than is kept, and never less than before.
                h = int(element.get("h") or "")
                self.assertTrue(told <= h <= self.sent - len(self.archives.jobs), (told, h))
                told = h
                if asked:
                    asked.pop(0)
            now, kept = self.world.clock.seconds(), self.sent - len(self.archives.jobs)
            asked = [
                (since, about, now if settled is None and kept >= about else settled) for since, about, settled in asked
            ]
            # What is settled is told soon, and what is not where nothing else is, or nothing that helps.
            for since, _, settled in asked:
                if settled is None:
                    self.assertLessEqual(now - max(since, settled_last + APART * TICK), ANSWER_IN + TICK + 0.001)
                    self.assertLessEqual(now - since, MOST * TICK + 0.001)
                else:
                    self.assertLessEqual(now - settled, SOON + 0.001)
            self.assertLess(len(asked), MOST_ANSWERS)
        self.assertTrue(questions <= answers <= 2 * questions, (questions, answers))
        # In the end who has asked knows of all that came before, and nobody waits for more.
        if questions:
            self.romeo.send(R)
        self.archives.commit()
        self.world.advance(2 * SOON)
        heard = [element for element in self.romeo.drain() if element.name == "a"]
        if questions:
            self.assertEqual(int(heard[-1].get("h") or ""), self.sent)
        self.world.advance(1)
        self.assertNotIn("a", [element.name for element in self.romeo.drain()])
