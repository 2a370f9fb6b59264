"""What a session has as copies (XEP-0280) of messages that wait for its account: it is not handed those as well."""

from __future__ import annotations

from collections import deque
from typing import Final

from ..api import JID, Key, Message, delay

#: How many are remembered, the latest: those before come twice.
MOST_COPIES: Final = 128


class Copies:
    """Messages of which a session has been sent copies, told by a hash of what tells them from others."""

    __slots__ = ("_hashes",)

    def __init__(self) -> None:
        self._hashes: deque[int] = deque(maxlen=MOST_COPIES)

    def add(self, message: Message) -> None:
        """The session has been sent a copy of *message*, which waits."""
        self._hashes.append(_hash(message))

    def take(self, message: Message) -> bool:
        """Whether the session has a copy of *message*, which is handed over: it counts for one message only."""
        found = _hash(message)
        if found not in self._hashes:
            return False
        self._hashes.remove(found)
        return True


def is_repeated(message: Message, host: JID) -> bool:
    """Whether it was delivered before, to a session that is over: *host* has said when."""
    return delay.is_delayed_by(message.element, host)


def _hash(message: Message) -> int:
    return hash((message.sender, message.id, message.body))


#: The note on a session.
COPIES: Final[Key[Copies]] = Key("mod_carboncopy.copies")
