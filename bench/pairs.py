"""Messages between two: as many as the server carries, or so many a second."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from .inbox import Inbox, LoadFailed
from .work import WARM_UP, Work

#: What makes a message some 200 bytes long, different in the two directions, so that a bounce is never taken for one.
QUESTION: Final = b" Is there anybody who will answer me, and if there is, will it be soon, or at least at all?"
ANSWER: Final = b" Here is an answer, as long as the question was, and it says that there is somebody out here."


class End(Protocol):
    """One of two who talk: a connection, or what stands before it."""

    jid: str
    received: Callable[[bytes], object]

    def send(self, data: bytes) -> None: ...


class Pairs(Work):
    """Messages between two, each answered before the next; *in_flight* of them at a time."""

    def prepare(self) -> None:
        clients = self.ends()
        halves = zip(clients[::2], clients[1::2], strict=True)
        self.pairs = [Pair(a, b, self.specification.in_flight, self.times) for a, b in halves]
        self._exchange(max(self.specification.count // WARM_UP, 1))
        self.times.clear()

    def ends(self) -> Sequence[End]:
        """Those who talk, logged in."""
        return self.log_in(self.users(self.specification.clients))

    def run(self) -> None:
        self.done = 2 * len(self.pairs) * self._exchange(self.specification.count)

    def _exchange(self, count: int) -> int:
        pairs = self.pairs
        for pair in pairs:
            pair.begin(count)
        self.loop.run(lambda: all(pair.left == 0 for pair in pairs))
        for pair in pairs:
            pair.check()
        return count


class Paced(Pairs):
    """Messages between two at a rate: whoever is due asks, whether or not the last question is answered.

    A round trip counts from when the question was due, so a server that stands still for a while cannot hide it by
    keeping the questions of that time from being asked.
    """

    def _exchange(self, count: int) -> int:
        pairs = self.pairs
        questions = count * len(pairs)
        between = 2 / self.specification.rate  # half of the messages are answers
        for pair in pairs:
            pair.begin(count)
        begun = time.perf_counter()
        asked = 0

        def done() -> bool:
            nonlocal asked
            due = min(questions, int((time.perf_counter() - begun) / between) + 1)
            for number in range(asked, due):
                pairs[number % len(pairs)].ask(begun + number * between)
            asked = due
            return asked == questions and all(pair.left == 0 for pair in pairs)

        self.loop.run(done, every=0.001)
        for pair in pairs:
            pair.check()
        return count


class Pair:
    """Two clients, of which one asks and the other answers."""

    def __init__(self, asking: End, answering: End, in_flight: int, times: list[float]) -> None:
        """With none *in_flight* it asks only when it is told to."""
        self.asking, self.answering = asking, answering
        self.in_flight = in_flight
        self.times = times
        self.left = 0
        self.sent = 0
        self.total = 0
        self.since: deque[float] = deque()
        self.questions = Inbox(b"message", b"body", asking.jid.encode(), QUESTION)
        self.answers = Inbox(b"message", b"body", answering.jid.encode(), ANSWER)
        self.to_answering = f"<message to='{answering.jid}' type='chat' id='q".encode()
        self.to_asking = f"<message to='{asking.jid}' type='chat' id='a".encode()
        self.answered = 0
        asking.received = self.take_answers
        answering.received = self.take_questions

    def begin(self, count: int) -> None:
        self.left = count
        self.total = self.sent + count
        for _ in range(min(self.in_flight, count)):
            self.ask(time.perf_counter())

    def ask(self, due: float) -> None:
        """Ask once; the round trip counts from when that was *due*."""
        number = b"%08d" % self.sent
        self.sent += 1
        self.since.append(due)
        self.asking.send(b"%s%s'><body>%s%s</body></message>" % (self.to_answering, number, number, QUESTION))

    def take_questions(self, data: bytes) -> None:
        for _ in range(self.questions.feed(data)):
            number = b"%08d" % self.answered
            self.answered += 1
            self.answering.send(b"%s%s'><body>%s%s</body></message>" % (self.to_asking, number, number, ANSWER))

    def take_answers(self, data: bytes) -> None:
        count = self.answers.feed(data)
        if count:
            now = time.perf_counter()
            self.times.extend(now - self.since.popleft() for _ in range(count))
            self.left -= count
            for _ in range(min(count, self.in_flight, self.total - self.sent)):
                self.ask(now)

    def check(self) -> None:
        if not self.questions.expected == self.answers.expected == self.sent:
            raise LoadFailed(f"{self.sent} sent, {self.questions.expected} arrived, {self.answers.expected} answered")
