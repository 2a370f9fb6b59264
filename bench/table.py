"""The outcome for people: tables of ratios and of bounds, in columns or as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from .figures import Figure, ratio
from .results import Bound, Result

#: Whom Federix is compared with.
OTHERS = ("relay", "ejabberd", "prosody")
OURS = "federix"

#: Of the ratios: ours to each of the others, what it may be, then each one's own figure.
HEADS = ("", *(f"× {other}" for other in OTHERS), "at most", OURS, *OTHERS, "unit")
BOUND_HEADS = ("Federix alone", "figure", "at most", "", "unit")


def row(result: Result) -> list[str]:
    """The cells below `HEADS`."""
    figures = result.figures()
    ours = figures.get(OURS)
    cells = [result.title]
    cells.extend(_ratio(ratio(ours, figures.get(other))) for other in OTHERS)
    cells.append(limit(result))
    cells.extend(_own(figures.get(name), result.failures.get(name)) for name in (OURS, *OTHERS))
    cells.append(result.unit)
    return cells


def limit(result: Result) -> str:
    """What *result* may be at most, and whether it is; of several others the one that costs least counts."""
    found = result.limit
    if found is None:
        return "-"
    allowed = f"{found.times:g} × {found.of[0] if len(found.of) == 1 else 'the better'}"
    figures = result.figures()
    found_ratios = [ratio(figures.get(OURS), figures.get(other)) for other in found.of]
    known = [value for value in found_ratios if value is not None]
    if not known:
        return allowed
    return f"{allowed}: {'kept' if max(known) <= found.times else 'MISSED'}"


def bound_row(bound: Bound) -> list[str]:
    """The cells below `BOUND_HEADS`."""
    limit = "-" if bound.limit is None else f"{bound.limit:g}"
    return [bound.title, _own(bound.figure, bound.failure), limit, bound.verdict, bound.unit]


def columns(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """*lines* of cells under their *heads*; the first and the last to the left, figures to the right."""
    everything = [heads, *lines]
    widths = [max(len(line[column]) for line in everything) for column in range(len(heads))]
    made = []
    for line in everything:
        cells = [
            line[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(line[1:-1], widths[1:-1], strict=True)),
        ]
        made.append("  ".join([*cells, line[-1].ljust(widths[-1])]).rstrip())
    made.insert(1, "-" * max(map(len, made)))
    return "\n".join(made)


def markdown(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """The same as a table in Markdown."""
    rules = ["---", *("--:" for _ in heads[1:-1]), "---"]
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, rules, *lines))


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _own(value: Figure | None, failure: str | None) -> str:
    if failure is not None:
        return "FAILED"
    if value is None:
        return "-"
    spread = f" ±{value.spread:.0%}" if value.spread else ""
    return f"{_short(value.cost)}{spread}"


def _short(cost: float) -> str:
    """Three digits, but all of those before the point."""
    return f"{cost:.0f}" if abs(cost) >= 100 else f"{cost:.3g}"
