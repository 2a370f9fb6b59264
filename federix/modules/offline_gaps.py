"""Accounts for which something came that could not be kept, and that their archive has."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from twisted.internet.interfaces import IReactorTime

#: Seconds without a message for an account until one is kept again: senders have been told by then that what came
#: before has arrived.
QUIET: Final = 5.0
#: Seconds from the first one until they are kept again in any case.
AT_MOST: Final = 600.0
#: Of so many accounts it is remembered.
MOST_ACCOUNTS: Final = 10_000


class Gaps:
    """What comes soon behind one that could not be kept is not kept either: its account's archive alone has it.

    Its sender may not have been told yet that it has arrived. After a crash he would send it again, and it would come
    behind one that he had sent later.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        #: By local part, since when and when last: the one that has been quiet for longest comes first.
        self._gaps: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def open(self, local: str) -> None:
        """Something came for that account that could not be kept."""
        if not self.is_open(local):
            now = self._clock.seconds()
            self._gaps[local] = (now, now)
            if len(self._gaps) > MOST_ACCOUNTS:
                self._gaps.popitem(last=False)

    def is_open(self, local: str) -> bool:
        """Whether what comes for that account now is not to be kept; if so, neither is what comes soon behind it."""
        now = self._clock.seconds()
        while self._gaps and now - next(iter(self._gaps.values()))[1] >= QUIET:
            self._gaps.popitem(last=False)
        gap = self._gaps.pop(local, None)
        if gap is None or now - gap[0] >= AT_MOST:
            return False
        self._gaps[local] = (gap[0], now)
        return True
