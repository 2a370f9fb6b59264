"""Garbage in a process that does nothing but serve: Python's cyclic collector.

Nearly all that a session or a stanza leaves is freed at once, by counting references: streams and sessions end without
cycles. The collector is the net below. As Python sets it, it walks through all objects whenever a quarter as many have
outlived its younger passes, whether or not they are gone since: with ten thousand sessions everything stands still for
tenths of a second, for nothing. So here

- passes over young objects are rarer: they take a millisecond or two, and thousands of messages need none;
- what has been looked through is frozen, the whole server after its start first of all: it is not looked at again, and
  a pass takes as long as what came since the last one is much;
- all of it is looked through again when memory has grown by so much that frozen garbage may be the reason. A server
  that has just begun is half again as large soon, and the pass takes it fifty milliseconds: so not before `LEAST`.

So garbage cannot fill more than a part, `GROWTH`, of the memory that the process has had at most, or `LEAST`.

What has been freed is not yet free for others (`allocator.py`), so once a minute it is handed back.
"""

from __future__ import annotations

import gc
import resource
from collections.abc import Callable
from typing import Final, Protocol

from twisted.internet.interfaces import IReactorTime

from ..life.scope import Scope
from .allocator import hand_back

#: Objects made (less those freed) between two passes over the youngest, and how many of those make one over the next:
#: In Python it is 700 and 10. But a message that is archived lives on for a commit, with all its objects: where there
#: are hundreds of them each was looked at twice, and that was an eighth of what archiving costs. A pass takes a few
#: tenths of a millisecond now, at worst a whole one or two.
YOUNGEST: Final = 5000
YOUNG: Final = 3
#: The same for a full pass: so many that Python never begins one by itself.
NEVER: Final = 2_000_000_000
#: By which part memory grows until everything is looked through, and by how many KiB at least.
GROWTH: Final = 0.5
LEAST: Final = 64 * 1024
#: Seconds between two looks at the memory, and between two passes over what is new.
LOOK_EVERY: Final = 10.0
COLLECT_EVERY: Final = 10 * 60.0
#: Seconds until empty pages are given back, and again.
HAND_BACK_EVERY: Final = 60.0


class Garbage(Protocol):
    """What of the module `gc` is needed."""

    def collect(self) -> int: ...
    def freeze(self) -> None: ...
    def unfreeze(self) -> None: ...
    def set_threshold(self, youngest: int, young: int, old: int, /) -> None: ...


def peak_memory() -> int:
    """The most memory this process has had, in KiB where the system is Linux (getrusage(2)): it never falls."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Collector:
    """Sets the collector up and does the full passes, and has memory handed back, from `start` on.

    The settings are the process's and stay when it stops: who stops a server under `twistd` ends the process.
    """

    def __init__(
        self,
        clock: IReactorTime,
        garbage: Garbage = gc,
        peak: Callable[[], int] = peak_memory,
        hand_back: Callable[[], None] = hand_back,
    ) -> None:
        self._clock = clock
        self._garbage = garbage
        self._peak = peak
        self._hand_back = hand_back
        self._scope = Scope(clock, "collector")
        #: The peak when everything was looked through, and the time when what was new was.
        self._seen = 0
        self._last = 0.0

    def start(self) -> None:
        """Once everything is there that lives as long as the process."""
        self._garbage.set_threshold(YOUNGEST, YOUNG, NEVER)
        self._look_through()
        self._scope.later(LOOK_EVERY, self._look)
        self._scope.later(HAND_BACK_EVERY, self._hand_back_again)

    def stop(self) -> None:
        self._scope.close()

    def _look(self) -> None:
        if self._peak() > self._seen + max(self._seen * GROWTH, LEAST):
            self._garbage.unfreeze()
            self._look_through()
        elif self._clock.seconds() - self._last >= COLLECT_EVERY:
            self._collect()
        self._scope.later(LOOK_EVERY, self._look)

    def _hand_back_again(self) -> None:
        self._hand_back()
        self._scope.later(HAND_BACK_EVERY, self._hand_back_again)

    def _look_through(self) -> None:
        self._collect()
        self._seen = self._peak()

    def _collect(self) -> None:
        self._garbage.collect()
        self._garbage.freeze()
        self._last = self._clock.seconds()
