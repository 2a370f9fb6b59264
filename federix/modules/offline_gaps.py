"""Who has sent something to whom that could not be kept, and that the archive has."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from twisted.internet.interfaces import IReactorTime

from ..api import Message

#: Seconds until something is kept again: by then its sender has been told that what could not be kept has arrived.
HEARD_WITHIN: Final = 10.0
#: Of so many senders it is remembered.
MOST: Final = 10_000


class Gaps:
    """What a sender sends soon behind one that could not be kept is not kept either: its archive alone has it.

    He may not have been told yet that it has arrived. After a crash he would send it again, and it would come behind
    one that he had sent later.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        #: By account and sender, since when; the oldest first.
        self._gaps: OrderedDict[tuple[str, str], float] = OrderedDict()

    def open(self, local: str, message: Message) -> None:
        """It came for that account and could not be kept."""
        key = local, _sender(message)
        self._gaps[key] = self._clock.seconds()
        self._gaps.move_to_end(key)
        if len(self._gaps) > MOST:
            self._gaps.popitem(last=False)

    def is_open(self, local: str, message: Message) -> bool:
        """Whether it, which comes for that account now, is not to be kept."""
        over = self._clock.seconds() - HEARD_WITHIN
        while self._gaps and next(iter(self._gaps.values())) <= over:
            self._gaps.popitem(last=False)
        return (local, _sender(message)) in self._gaps


def _sender(message: Message) -> str:
    return "" if message.sender is None else message.sender.bare.text
