"""Stream management from the client's side (XEP-0198): what was sent and is not acknowledged, what has come."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

#: Both counters start again after that many (XEP-0198 §4).
_MODULUS: Final = 2**32


@dataclass(frozen=True, slots=True)
class Unacknowledged:
    """A stanza the server has not said to have handled."""

    text: bytes
    message: str | None
    """The id of the message it is, if it is one that counts."""


class TooMuch(Exception):
    """The server has acknowledged more than it was sent."""


@dataclass(slots=True)
class Management:
    """One session, over as many connections as it lasts."""

    identifier: str | None
    """What it is resumed by; ``None`` where it cannot be."""
    #: Stanzas the server sent us.
    received: int = 0
    #: What of ours it has acknowledged so far.
    acknowledged: int = 0
    #: Messages that came back as errors.
    returned: int = 0
    unacknowledged: deque[Unacknowledged] = field(default_factory=deque)

    def sent(self, text: bytes, message: str | None = None) -> None:
        """Count a stanza that is sent."""
        self.unacknowledged.append(Unacknowledged(text, message))

    def remembered(self, handled: int) -> list[str]:
        """As `acknowledge`, by a server that has no such session any more. Raises `TooMuch`.

        With a message that came back nothing was kept, its count neither where the store was full: so much may be
        missing, and means that nothing more is acknowledged.
        """
        behind = (self.acknowledged - handled) % _MODULUS
        return [] if 0 < behind <= self.returned else self.acknowledge(handled)

    def acknowledge(self, handled: int) -> list[str]:
        """The messages that are acknowledged by this *handled* (`h`), in order. Raises `TooMuch`."""
        count = (handled - self.acknowledged) % _MODULUS
        if count > len(self.unacknowledged):
            under_way = f"{self.returned} have come back, {len(self.unacknowledged)} stanzas are under way"
            raise TooMuch(f"h={handled} after {self.acknowledged}; {under_way}")
        self.acknowledged = handled
        done = [self.unacknowledged.popleft() for _ in range(count)]
        return [stanza.message for stanza in done if stanza.message is not None]
