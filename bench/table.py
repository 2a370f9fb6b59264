"""The outcome for people: a table of ratios, with absolute figures beside them for information."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .figures import Figure, ratio

#: Whom Federix is compared with.
OTHERS = ("relay", "ejabberd", "prosody")
OURS = "federix"


def rows(title: str, unit: str, figures: Mapping[str, Figure], failed: Mapping[str, str]) -> list[str]:
    """The cells of one scenario's line: title, ratios of ours to each of the others, and each one's own figure."""
    ours = figures.get(OURS)
    cells = [title]
    cells.extend(_ratio(ratio(ours, figures.get(other))) for other in OTHERS)
    cells.extend(_own(figures.get(name), failed.get(name)) for name in (OURS, *OTHERS))
    cells.append(unit)
    return cells


def table(lines: Sequence[Sequence[str]]) -> str:
    """*lines* of cells under their heads, in columns."""
    heads = ["", *(f"× {other}" for other in OTHERS), OURS, *OTHERS, "unit"]
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


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _own(value: Figure | None, failure: str | None) -> str:
    if failure is not None:
        return "FAILED"
    if value is None:
        return "-"
    spread = f" ±{value.spread:.0%}" if value.spread else ""
    return f"{value.cost:.3g}{spread}"
