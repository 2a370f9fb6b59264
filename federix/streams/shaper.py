"""How fast a stream may be read: a bucket of bytes that fills at a steady rate."""

from __future__ import annotations

from collections.abc import Callable


class Shaper:
    """Says, after each read, how long to pause before the next one.

    The bucket holds *burst* bytes and gains *rate* bytes a second; ``rate=None`` means no limit. A read may overdraw
    it, since its bytes are here already; the pause lasts until the debt is paid. So over any T seconds no more than
    ``burst + rate * T`` bytes and one read pass, whatever the sizes of the reads. *seconds* is a monotonic clock.
    """

    __slots__ = ("_burst", "_rate", "_seconds", "_then", "_tokens")

    def __init__(self, rate: float | None, burst: float, seconds: Callable[[], float]) -> None:
        _check(rate, burst)
        self._rate = rate
        self._burst = burst
        self._seconds = seconds
        self._tokens = float(burst)
        self._then = seconds()

    def consume(self, size: int) -> float:
        """*size* bytes were read; returns the seconds to pause reading, 0.0 to go on.

        ``consume(0)`` asks again: after a pause, or when the rate was changed during one.
        """
        if self._rate is None:
            return 0.0
        self._fill()
        self._tokens -= size
        # A debt below one byte is what rounding leaves behind after an obeyed pause; it is kept, but not waited for.
        return 0.0 if self._tokens > -1.0 else -self._tokens / self._rate

    def change(self, rate: float | None, burst: float) -> None:
        """Go on with another *rate* and *burst*; what was earned at the old rate stays earned, and debts stay owed."""
        _check(rate, burst)
        self._fill()
        self._rate = rate
        self._burst = burst
        self._tokens = min(self._tokens, float(burst))
        if rate is None:
            self._tokens = float(burst)

    def _fill(self) -> None:
        now = self._seconds()
        if self._rate is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._then) * self._rate)
        self._then = now


def _check(rate: float | None, burst: float) -> None:
    if rate is not None and rate <= 0:
        raise ValueError(f"a stream shaped to {rate} bytes a second would never be read")
    if burst < 0:
        raise ValueError("a burst cannot be negative")
