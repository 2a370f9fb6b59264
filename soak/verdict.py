"""Whether the server is what it was: arithmetic on samples, and what follows from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

MIB: Final = 1024 * 1024
MINUTE: Final = 60.0
#: The middle of a window early in the run is compared with that of the end: the run is cut into six parts, the first is
#: the warm-up, the second and the last are compared. In an hour these are the minutes 10 to 20 and 50 to 60.
PARTS: Final = 6
#: How much more it may be at the end, in an hour.
MAX_GROWTH: Final = 0.03
MAX_GROWTH_BYTES: Final = 2 * MIB
#: A run shorter than this says little about memory: caches, free lists and the allocator's arenas still fill. So it
#: is held to these bounds only, which catch what loses kilobytes with each client.
SHORT: Final = 30 * MINUTE
SHORT_GROWTH: Final = 0.15
SHORT_GROWTH_BYTES: Final = 8 * MIB

#: Seconds since the start, and a size in bytes.
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Slope:
    """The straight line through some points: its rise a second, and the standard error of that."""

    rise: float
    error: float


def slope(points: Sequence[Point]) -> Slope | None:
    """By least squares; ``None`` for fewer than three points, or where all were taken at once.

    Neighbouring samples depend on each other, so the true error is larger than the one given here.
    """
    count = len(points)
    if count < 3:
        return None
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if not spread:
        return None
    rise = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    rest = sum((y - mean_y - rise * (x - mean_x)) ** 2 for x, y in points)
    return Slope(rise, (rest / (count - 2) / spread) ** 0.5)


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory early and late in a run, in bytes; *allowed* is what *late* may be."""

    early: float
    late: float
    allowed: float
    is_short: bool
    slope: Slope | None
    #: From when to when the two windows reach, in seconds.
    early_window: tuple[float, float]
    late_window: tuple[float, float]

    @property
    def growth(self) -> float:
        return self.late - self.early

    @property
    def passed(self) -> bool:
        return self.late <= self.allowed


def memory(points: Sequence[Point], seconds: float) -> Memory | None:
    """What *points* say of a run of *seconds*; ``None`` where one of the windows holds no point."""
    part = seconds / PARTS
    early_window, late_window = (part, 2 * part), (seconds - part, seconds)
    early = [size for at, size in points if early_window[0] <= at <= early_window[1]]
    late = [size for at, size in points if late_window[0] <= at <= late_window[1]]
    if not early or not late:
        return None
    is_short = seconds < SHORT
    share, more = (SHORT_GROWTH, SHORT_GROWTH_BYTES) if is_short else (MAX_GROWTH, MAX_GROWTH_BYTES)
    before = median(early)
    return Memory(
        early=before,
        late=median(late),
        allowed=before * (1 + share) + more,
        is_short=is_short,
        slope=slope([point for point in points if part <= point[0] <= seconds]),
        early_window=early_window,
        late_window=late_window,
    )


def left_open(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """The descriptors that are there *after* and were not *before*, of equal ones as many as there are more."""
    return sorted((Counter(after) - Counter(before)).elements())
