"""Turns of the reactor: what is written in one leaves in one write, and what takes long goes on in the next."""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ..xmpp.readers import Readers

log = Logger()

#: How many go on in one turn of the reactor.
GO_ON_AT_MOST: Final = 8
#: Bytes, of those who have sent much, that are parsed in the turn in which they were read.
HEARD_AT_MOST: Final = 16 * 1024
#: Seconds of a turn for those who have sent much, whether they are heard or go on: others wait for the end of it, and
#: some bytes and stanzas are dear.
MUCH_FOR: Final = 0.0002
#: Seconds that what can ride with something else waits for that, at most.
SOON: Final = 0.01
#: But so many halves of that as long as much is written: where there were so many writes, each half weighing a quarter
#: less than the one after it.
WHILE_BUSY: Final = 20
BUSY: Final = 16


class Flushable(Protocol):
    def flush(self) -> None: ...


class Riding(Protocol):
    def ride_no_more(self, since: int) -> None: ...


class Yielding(Protocol):
    def go_on(self) -> None: ...


class Turn:
    """Calls at the end of the reactor's turn whoever has something to write or to go on with; one timer for all.

    Whoever has something to write that can wait a moment is called then, by a second timer for all of these.
    """

    __slots__ = (
        "_clock",
        "_due",
        "_flushed",
        "_halves",
        "_heard",
        "_riding",
        "_rode",
        "_until",
        "_waiting",
        "_yielding",
        "readers",
    )

    def __init__(self, clock: IReactorTime) -> None:
        #: What streams read by, one after the other.
        self.readers = Readers()
        self._clock = clock
        self._due = False
        # Bytes heard in this turn; if any, more may be until then.
        self._heard = 0
        self._until = 0.0
        self._waiting: list[Flushable] = []
        self._yielding: deque[Yielding] = deque()
        # Those who came in this half of `SOON`, and in those before, the last one last; while there are any, the halves
        # are counted. And how many have written lately.
        self._riding: list[Riding] = []
        self._rode: deque[list[Riding]] = deque()
        self._halves = self._flushed = 0

    def add(self, stream: Flushable) -> None:
        """Have *stream* flushed; it asks once per turn."""
        if not self._due:
            self._due = True
            self._clock.callLater(0, self._end)
        self._waiting.append(stream)

    def soon(self, stream: Riding) -> int:
        """Tell *stream* in at most `SOON` seconds, and at least half of that, to ride no more; since when it does.

        Where much is written it rides on: something for its own peer comes, too, and a write alone costs most there.
        """
        if not (self._riding or self._rode):
            self._flushed = 0
            self._clock.callLater(SOON / 2, self._half)
        self._riding.append(stream)
        return self._halves

    def again(self, stream: Yielding) -> None:
        """Have *stream* go on when the others have had their turn."""
        if not self._due:
            self._due = True
            self._clock.callLater(0, self._end)
        self._yielding.append(stream)

    def hears(self, size: int) -> bool:
        """Whether so many bytes of one stream may be parsed in this turn; or else it asks to go on `again`.

        The reactor reads from all that have sent something in one turn, so this is for those who have sent much.
        """
        if self._yielding:
            return False
        if not self._due:
            self._due = True
            self._clock.callLater(0, self._end)
        now = self._clock.seconds()
        if not self._heard:
            self._until = now + MUCH_FOR
        self._heard += size
        return self._heard <= HEARD_AT_MOST and now < self._until

    def _end(self) -> None:
        if self._waiting:
            self._flush()  # who has little to send does not wait for those who have much to do
        if self._yielding:
            self._have_go_on(self._yielding)
        self._heard = 0
        self._due = False
        if self._yielding:
            self._due = True
            self._clock.callLater(0, self._end)
        if self._waiting:
            self._flush()

    def _half(self) -> None:
        rode = self._rode
        rode.append(self._riding)
        self._riding = []
        self._halves += 1
        most = WHILE_BUSY if self._flushed >= BUSY else 1
        self._flushed -= self._flushed // 4
        late = [(self._halves - len(rode), rode.popleft()) for _ in range(len(rode) - most)]
        if any(rode):
            self._clock.callLater(SOON / 2, self._half)
        else:
            rode.clear()
        for since, streams in late:
            for stream in streams:
                try:
                    stream.ride_no_more(since)
                except Exception:
                    log.failure("could not send")

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._flushed += len(waiting)
        for stream in waiting:
            try:
                stream.flush()
            except Exception:
                log.failure("could not send")

    def _have_go_on(self, yielding: deque[Yielding]) -> None:
        # Those who are left are the first of the next turn: who has just connected is not to wait for all of them.
        seconds = self._clock.seconds
        end = self._until if self._heard else seconds() + MUCH_FOR
        for _ in range(min(len(yielding), GO_ON_AT_MOST)):
            if seconds() >= end:
                return
            try:
                yielding.popleft().go_on()
            except Exception:
                log.failure("could not go on")  # one that fails is not to be the others' loss
