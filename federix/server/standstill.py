"""When the whole server stands still, the log says where.

One thread serves everybody: a module that sleeps, reads from the network itself or computes for long holds up all. So a
second thread asks the reactor a few times a second to answer it, and where no answer comes, looks what it is at. That
costs nothing per stanza.

A machine that was suspended, or has no time for us, holds up both threads: where the one that watches was late itself,
nothing is said. Nor is it where C code keeps Python's lock all the while, a regular expression for example: that looks
the same from here.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

from twisted.logger import Logger

import twisted

log = Logger()

#: Seconds between two looks of the thread.
LOOK_EVERY: Final = 0.25
#: Seconds a look may come late; past it nothing that was seen counts.
LATE: Final = 0.25
#: Seconds without an answer until the thread looks what the reactor is at.
SUSPICIOUS: Final = 0.5
#: Seconds without an answer that the log is told of.
STANDSTILL: Final = 1.0
#: Seconds without an answer until the thread tells the log itself: the reactor may never come to it.
ENDLESS: Final = 30.0
#: Seconds between two lines in the log, at least.
AGAIN: Final = 60.0

_TWISTED: Final = os.path.dirname(twisted.__file__) + os.sep
_LIBRARY: Final = os.path.dirname(os.__file__) + os.sep
_INSTALLED: Final = (os.path.join(_LIBRARY, "site-packages"), os.path.join(_LIBRARY, "dist-packages"))


@dataclass(slots=True)
class Question:
    """What the thread asks: whether the reactor still comes round."""

    asked: float
    #: What the reactor was at when it had not answered for a while.
    place: str | None = None
    #: Whether the machine was slow meanwhile, so that the answer says nothing.
    excused: bool = False


class Standstill:
    """Watches the thread it is started in, which is the reactor's, until it is stopped."""

    def __init__(
        self,
        reactor: Any,
        now: Callable[[], float] = time.monotonic,
        frames: Callable[[], Mapping[int, FrameType]] = sys._current_frames,
    ) -> None:
        self._reactor = reactor
        self._now = now
        self._frames = frames
        self._watched = 0
        self._looked = 0.0
        self._told = -AGAIN
        #: The one that is not answered yet.
        self._question: Question | None = None
        self._stopped = threading.Event()

    def start(self) -> None:
        """From the reactor's thread, once the server has started."""
        self.begin()
        threading.Thread(target=self._run, name="federix standstill", daemon=True).start()

    def begin(self) -> None:
        """As `start`, for who calls `look` himself."""
        self._watched = threading.get_ident()
        self._looked = self._now()

    def stop(self) -> None:
        """The thread ends at once."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(LOOK_EVERY):
            self.look()

    def look(self) -> None:
        """In the thread: ask, or see what keeps the answer back."""
        now = self._now()
        late, self._looked = self._is_late(now), now
        question = self._question
        if question is None:
            question = self._question = Question(now)
            self._reactor.callFromThread(self._answer, question)
            return
        if late:
            question.excused = True
        if question.excused:
            return
        silent = now - question.asked
        if question.place is None and silent >= SUSPICIOUS:
            question.place = place_of(self._frames().get(self._watched))
        elif silent >= ENDLESS:
            self._tell(now, silent, question)

    def _answer(self, question: Question) -> None:
        """In the reactor's thread."""
        now = self._now()
        self._question = None
        silent = now - question.asked
        if silent > STANDSTILL and not question.excused and not self._is_late(now):
            self._tell(now, silent, question)

    def _is_late(self, now: float) -> bool:
        return now - self._looked > LOOK_EVERY + LATE

    def _tell(self, now: float, seconds: float, question: Question) -> None:
        if question.place is None or now - self._told < AGAIN or self._stopped.is_set():
            return
        self._told = now
        log.warn("the server stood still for {seconds:.1f} seconds in {place}", seconds=seconds, place=question.place)


def place_of(frame: FrameType | None) -> str | None:
    """Where *frame* is: ``mod_slow (mod_slow.py:14)``.

    That is the innermost of it and its callers that is neither the standard library's nor Twisted's, if there is one.
    """
    innermost = frame
    while frame is not None and _is_of_a_library(frame):
        frame = frame.f_back
    frame = frame or innermost
    if frame is None:
        return None
    module = str(frame.f_globals.get("__name__", "?")).removeprefix("federix_modules_dir.")
    return f"{module} ({os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno})"


def _is_of_a_library(frame: FrameType) -> bool:
    """Whether nobody would look for a mistake there; the script that began it all is such a place, too."""
    path = frame.f_code.co_filename
    if path.startswith(("<frozen ", _TWISTED)) or frame.f_globals.get("__name__") == "__main__":
        return True
    return path.startswith(_LIBRARY) and not path.startswith(_INSTALLED)
