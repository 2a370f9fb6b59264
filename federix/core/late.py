"""Answers to clients that ask how much is settled of what they sent, where not all of it is yet (XEP-0198 §4).

An answer that leaves before tells them little, is written alone, and is followed by another. So it waits: as long as
messages of anybody are settled all the time, because then the store works and will come to these; and not much longer,
because it may be stuck.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Protocol

from twisted.logger import Logger

from ..life.scope import Scope

log = Logger()

#: Seconds between two looks at who waits.
TICK: Final = 0.01
#: So many of them an answer waits at least, but for what it waits for; and at most, where what is settled keeps coming,
#: with no more than so many between.
LEAST: Final = 2
MOST: Final = 25
APART: Final = 3
#: Seconds that an answer waits at most where nothing at all is settled.
ANSWER_IN: Final = LEAST * TICK


class Asked(Protocol):
    """Whose client has asked."""

    def answer_late(self) -> None:
        """Answer, although not all is settled that was asked about."""


class Late:
    """All that wait on one host, with one timer that lives in *scope*."""

    __slots__ = ("_due", "_scope", "_settled", "_ticks", "_waiting")

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._due = False
        self._ticks = 0
        # When something was settled last. And those who wait, with when they were asked: the first of them first.
        self._settled = 0
        self._waiting: OrderedDict[Asked, int] = OrderedDict()

    def wait(self, asked: Asked) -> None:
        """Have *asked* answer in a while, unless it says `done` first."""
        if not self._due:
            self._settled = self._ticks - MOST  # nobody has counted meanwhile
            self._tick()
        self._waiting[asked] = self._ticks

    def done(self, asked: Asked) -> None:
        """Its client has the answer, or is gone."""
        self._waiting.pop(asked, None)

    def settled(self) -> None:
        """Something was settled, of anybody."""
        self._settled = self._ticks

    def _tick(self) -> None:
        self._due = True
        self._scope.later(TICK, self._look)

    def _look(self) -> None:
        self._due = False
        self._ticks += 1
        enough = MOST if self._ticks - self._settled <= APART else LEAST
        waiting = self._waiting
        while waiting:
            asked, since = next(iter(waiting.items()))
            if self._ticks - since < enough:
                self._tick()
                return
            del waiting[asked]
            try:
                asked.answer_late()
            except Exception:
                log.failure("could not answer")
