"""Accounts for which something came that could not be kept, and that their archive has."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from twisted.internet.interfaces import IReactorTime

#: Seconds until something is kept again: by then its sender has been told that what could not be kept has arrived.
HEARD_WITHIN: Final = 10.0
#: Of so many accounts it is remembered.
MOST_ACCOUNTS: Final = 10_000


class Gaps:
    """What comes soon behind one that could not be kept is not kept either: its account's archive alone has it.

    Its sender may not have been told yet that it has arrived. After a crash he would send it again, and it would come
    behind one that he had sent later.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        #: By local part, since when; the oldest first.
        self._gaps: OrderedDict[str, float] = OrderedDict()

    def open(self, local: str) -> None:
        """Something came for that account that could not be kept."""
        self._gaps[local] = self._clock.seconds()
        self._gaps.move_to_end(local)
        if len(self._gaps) > MOST_ACCOUNTS:
            self._gaps.popitem(last=False)

    def is_open(self, local: str) -> bool:
        """Whether what comes for that account now is not to be kept."""
        over = self._clock.seconds() - HEARD_WITHIN
        while self._gaps and next(iter(self._gaps.values())) <= over:
            self._gaps.popitem(last=False)
        return local in self._gaps
