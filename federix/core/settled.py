"""How many stanzas of a stream are settled, and all before them: what an acknowledgement tells (XEP-0198 §4)."""

from __future__ import annotations

from collections import deque
from typing import Final

from ..storage.chain import Link

#: §4: counters are unsigned integers of 32 bits, "reset from 2^32-1 back to zero".
MODULUS: Final = 1 << 32


def reaches(count: int, wanted: int) -> bool:
    """Whether *count* is no less than *wanted*, across the point where counters begin anew."""
    return (count - wanted) % MODULUS < MODULUS // 2


class Mark:
    """One stanza among those that are not settled, in the order in which they came."""

    settled = False
    #: How often its session had been resumed when it came.
    course = 0
    #: Whether its place among what is kept is taken: whatever is kept later is kept after it.
    placed = False
    #: How many are settled with it, if that is kept with it; and what that depends on.
    h: int | None = None
    link: Link | None = None
    #: It is not kept after all, and its sender is to be told.
    refused = False

    def refuse(self) -> None:
        """Nothing is kept of it."""
        self.placed, self.h, self.refused = False, None, True


class Settled:
    """Counts. What is settled out of turn waits for those before it."""

    __slots__ = ("_unsettled", "handled")

    def __init__(self) -> None:
        #: How many stanzas are settled, all before them too; modulo 2**32.
        self.handled = 0
        self._unsettled: deque[Mark] | None = None

    @property
    def all_settled(self) -> bool:
        """Whether everything is that has come."""
        return self._unsettled is None

    @property
    def behind(self) -> int:
        """How many have come that `handled` does not tell of."""
        return len(self._unsettled or ())

    @property
    def come(self) -> int:
        """How many have come, settled or not; modulo 2**32."""
        return (self.handled + self.behind) % MODULUS

    def begin(self) -> Mark:
        """A stanza has come; `settle` its mark when it is settled."""
        mark = Mark()
        self.wait_for(mark)
        return mark

    def wait_for(self, mark: Mark) -> None:
        """A stanza has come of that *mark*, which is new."""
        if self._unsettled is None:
            self._unsettled = deque()
        self._unsettled.append(mark)

    def at_once(self) -> None:
        """A stanza has come and is settled."""
        if self._unsettled is None:
            self.handled = (self.handled + 1) % MODULUS
        else:
            self.begin().settled = True

    def settle(self, mark: Mark) -> bool:
        """It is settled; whether `handled` has moved by that."""
        mark.settled = True
        unsettled, count = self._unsettled, 0
        while unsettled and unsettled[0].settled:
            unsettled.popleft()
            count += 1
        if not count:
            return False
        self.handled = (self.handled + count) % MODULUS
        if not unsettled:
            self._unsettled = None
        return True
