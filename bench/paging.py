"""A client that reads pages of its archive (XEP-0313), one after the other."""

from __future__ import annotations

import time
from itertools import cycle
from typing import Final

from .ask import Ask
from .inbox import LoadFailed
from .work import Work

#: How often each question is asked before the measuring begins.
WARM_UP: Final = 5


class Pages(Work):
    """One page again and again; in each round another one, in turns."""

    def prepare(self) -> None:
        (self.client,) = self.log_in(self.users(1))
        self.client.received = self._take
        self.number = 0
        for ask in self.specification.asks:
            self._read(ask, WARM_UP)
        self.times.clear()
        self.turns = cycle(self.specification.asks)

    def run(self) -> None:
        self._read(next(self.turns), self.specification.count)
        self.done = self.specification.count

    def _read(self, ask: Ask, count: int) -> None:
        for _ in range(count):
            self.number += 1
            self.come: list[bytes] = []
            self.whole = False
            since = time.perf_counter()
            self.client.send(b"<iq type='set' id='p%d'>%s</iq>" % (self.number, ask.payload.encode()))
            self.loop.run(lambda: self.whole)
            self.times.append(time.perf_counter() - since)
            check(b"".join(self.come), b"p%d" % self.number, ask)

    def _take(self, data: bytes) -> None:
        # The end may have come in two pieces.
        end = (self.come[-1] if self.come else b"")[-len(_END) :] + data
        self.come.append(data)
        self.whole = self.whole or _END in end


_END: Final = b"</iq>"


def check(answer: bytes, identifier: bytes, ask: Ask) -> None:
    """Raises `LoadFailed` unless *answer* is the whole page that *ask* is for, and nothing else."""
    messages, begun, result = answer.rpartition(b"<iq ")
    head = result[: result.find(b">") + 1]
    if not (begun and identifier in head and b"result" in head and all(one.encode() in result for one in ask.holds)):
        raise LoadFailed(f"the result of {identifier.decode()} is due, not {answer[-500:].decode(errors='replace')}")
    if (found := messages.count(b"<result ")) != ask.messages:
        raise LoadFailed(f"a page has {found} messages, not {ask.messages}")
