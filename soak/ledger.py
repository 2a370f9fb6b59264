"""Who has sent what to whom, and whether it arrived: once, in order, unharmed."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

#: Sender and receiver, and of what kind the stanzas are: each has an order of its own.
Way = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Posted:
    """One stanza that is on its way."""

    number: int
    digest: bytes
    since: float


class Ledger:
    """The stanzas that are on their way; *seconds* is a monotonic clock."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._sent: Counter[Way] = Counter()
        self._ways: dict[Way, deque[Posted]] = {}
        self._concerned: Counter[str] = Counter()
        #: How many have arrived as they should.
        self.arrived_well = 0
        #: Seconds the slowest of them took.
        self.slowest = 0.0

    def post(self, way: Way, text: str) -> int:
        """*text* is about to be sent; the number it is to carry."""
        self._sent[way] += 1
        number = self._sent[way]
        self._ways.setdefault(way, deque()).append(Posted(number, digest(text), self._seconds()))
        self._concerned[way[0]] += 1
        self._concerned[way[1]] += 1
        return number

    def arrived(self, way: Way, number: int, text: str, *, may_repeat: bool = False) -> str | None:
        """What is wrong with what arrived; ``None`` where it is the one that was due.

        *may_repeat*: what came before may come again, as a contact's presence does when somebody logs in.
        """
        waiting = self._ways.get(way)
        if not waiting or number < waiting[0].number:
            if may_repeat and number <= self._sent[way]:
                return None
            return f"{_told(way)}: number {number} came again, or was never sent"
        due = waiting[0]
        if number != due.number:
            # Told once: what stands before it will not come any more.
            while waiting and waiting[0].number < number:
                self._forget(way, waiting)
            problem = f"{_told(way)}: number {due.number} is due, number {number} came"
            if not waiting:
                return problem
            self._forget(way, waiting)
            return problem
        self._forget(way, waiting)
        if digest(text) != due.digest:
            return f"{_told(way)}: number {number} is not what was sent: {text[:80]!r}"
        self.arrived_well += 1
        self.slowest = max(self.slowest, self._seconds() - due.since)
        return None

    def _forget(self, way: Way, waiting: deque[Posted]) -> None:
        waiting.popleft()
        if not waiting:
            del self._ways[way]
        for name in way[:2]:
            self._concerned[name] -= 1

    def concerning(self, name: str) -> int:
        """How many are on their way from or to *name*."""
        return self._concerned[name]

    def on_their_way(self) -> int:
        return sum(map(len, self._ways.values()))

    def overdue(self, seconds: float) -> list[str]:
        """What has been on its way for longer than that; it is told once and then forgotten."""
        before = self._seconds() - seconds
        found = []
        for way, waiting in list(self._ways.items()):
            while waiting and waiting[0].since < before:
                found.append(f"{_told(way)}: number {waiting[0].number} has not arrived after {seconds:g} s")
                self._forget(way, waiting)
        return found


def digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def _told(way: Way) -> str:
    return f"{way[2]} from {way[0]} to {way[1]}"
