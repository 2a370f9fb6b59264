"""From repeated measurements to figures that can be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One server's cost in one scenario, in the scenario's unit."""

    cost: float
    spread: float
    """How far the worst repetition lies above the best, as a part of it: 0.1 is ten per cent."""


def figure(samples: Sequence[float]) -> Figure:
    """The least of *samples*, and their spread. Raises ValueError where there is none.

    The minimum, because on a busy machine others can only add to a server's cost (cold caches, a slower clock), never
    take from it: the least disturbed repetition is the nearest to the truth. A large spread says how disturbed the
    others were. Each repetition is long enough to hold many passes of the garbage collectors.
    """
    if not samples:
        raise ValueError("nothing was measured")
    least = min(samples)
    return Figure(least, max(samples) / least - 1 if least else 0.0)


def ratio(ours: Figure | None, theirs: Figure | None) -> float | None:
    """How many times *theirs* we cost; ``None`` where one of them was not measured."""
    if ours is None or theirs is None or theirs.cost <= 0:
        return None
    return ours.cost / theirs.cost


def ratios(figures: Mapping[str, Figure], ours: str) -> dict[str, float]:
    """*ours* against each of the others that was measured."""
    found = {name: ratio(figures.get(ours), other) for name, other in figures.items() if name != ours}
    return {name: value for name, value in found.items() if value is not None}


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which *part* (0 to 1) of *values* lie; 0 where there are none."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)] if ordered else 0.0
