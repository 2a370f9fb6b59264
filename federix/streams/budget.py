"""What all streams of a server together keep for their peers: unfinished stanzas, and what is not read.

Each stream has bounds of its own, but a hundred of them at their bounds are more than a server should give away. Past
the bound of all together whoever has most must go, until the rest is within it: so whoever holds little, as all honest
people do nearly all the time, does not notice those who hold much.
"""

from __future__ import annotations

from typing import Final, Protocol

from twisted.logger import Logger

log = Logger()

#: Bytes of all streams together.
HELD_AT_MOST: Final = 24 * 1024 * 1024
#: Less than so many bytes of one stream are not counted.
LIGHT: Final = 4 * 1024


class Weighed(Protocol):
    """A stream that keeps something for its peer."""

    def outweighed(self) -> None:
        """Let go of everything and end: this one has most, and there is too much."""


class Budget:
    """How much the streams of a server keep, and which of them how much."""

    __slots__ = ("_most", "_weights", "total")

    def __init__(self, most: int = HELD_AT_MOST) -> None:
        self._most = most
        #: Only those that are not light.
        self._weights: dict[Weighed, int] = {}
        #: Bytes of all of them.
        self.total = 0

    def __len__(self) -> int:
        return len(self._weights)

    def weigh(self, stream: Weighed, weight: int) -> bool:
        """*stream* keeps *weight* bytes from now on; returns whether that counts, and is to be taken back some time.

        Whoever has most, *stream* or another one, may be told to go within this.
        """
        if weight < LIGHT:
            self.total -= self._weights.pop(stream, 0)
            return False
        self.total += weight - self._weights.get(stream, 0)
        self._weights[stream] = weight
        while self.total > self._most:
            worst, most = max(self._weights.items(), key=_weight)
            del self._weights[worst]
            self.total -= most
            log.info("too much is held for clients: the one with most is closed", bytes=most, stream=str(worst))
            worst.outweighed()
        return stream in self._weights


def _weight(entry: tuple[Weighed, int]) -> int:
    return entry[1]
