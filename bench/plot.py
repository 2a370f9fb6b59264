"""The outcome as a picture: for each scenario how many times the cost of the others Federix has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

#: Inches: of the whole width, of one bar, and of what stands around all bars.
WIDTH: Final = 9.0
BAR: Final = 0.2
AROUND: Final = 1.3
#: What the others are drawn in: distinct in grey, too, and for those who do not tell red from green.
COLOURS: Final = ("#bbbbbb", "#4477aa", "#cc6677", "#228833")
#: Places of the numbers on the axis, those of them that are needed.
TICKS: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def plot(ratios: Sequence[tuple[str, Mapping[str, float]]], file: Path) -> str | None:
    """Draw *ratios* (scenario, and ours to each of the others) into *file*; the reason where that is impossible."""
    if find_spec("matplotlib") is None:
        return "no picture: matplotlib is not installed"
    matplotlib: Any = import_module("matplotlib")
    matplotlib.use("Agg")
    # Text as text, and the same picture from the same figures.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "federix", "font.size": 10})
    pyplot: Any = import_module("matplotlib.pyplot")
    ratios = [(title, found) for title, found in ratios if found]
    if not ratios:
        return "no picture: nothing was compared"
    names = list(dict.fromkeys(other for _, found in ratios for other in found))
    bars = len(ratios) * (len(names) + 1)
    drawing, axes = pyplot.subplots(figsize=(WIDTH, AROUND + BAR * bars))
    try:
        _draw(axes, names, ratios)
        drawing.tight_layout()
        drawing.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
    finally:
        pyplot.close(drawing)
    return None


def _draw(axes: Any, names: Sequence[str], ratios: Sequence[tuple[str, Mapping[str, float]]]) -> None:
    height = 1 / (len(names) + 1)
    for number, name in enumerate(names):
        found = [(line + number * height, of[name]) for line, (_, of) in enumerate(ratios) if name in of]
        places, values = zip(*found, strict=True)
        # From 1 to the left, where Federix is cheaper, or to the right: on this scale half and twice are as far.
        axes.barh(
            places,
            [value - 1 for value in values],
            height * 0.9,
            left=1.0,
            label=f"Federix / {name}",
            color=COLOURS[number % len(COLOURS)],
        )
        for place, value in found:
            axes.annotate(
                f"{value:.2f}",
                (value, place),
                (-3 if value < 1 else 3, 0),
                textcoords="offset points",
                ha="right" if value < 1 else "left",
                va="center",
                fontsize=8,
            )
    axes.set_xscale("log")
    everything = [value for _, of in ratios for value in of.values()]
    least, most = min([*everything, 0.5]) / 1.5, max([*everything, 2.0]) * 1.5
    ticks = [tick for tick in TICKS if least <= tick <= most]
    axes.set_xlim(least, most)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks(
        [line + (len(names) - 1) * height / 2 for line in range(len(ratios))], [title for title, _ in ratios]
    )
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.grid(axis="x", linewidth=0.3)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel("times the other's cost: left of 1 Federix is cheaper")
    axes.legend(loc="lower center", bbox_to_anchor=(0.3, 1.0), ncols=len(names), frameon=False)
