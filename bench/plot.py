"""The outcome as a picture: for each scenario how many times the cost of the others Federix has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def plot(ratios: Sequence[tuple[str, Mapping[str, float]]], file: Path) -> str | None:
    """Draw *ratios* (scenario, and ours to each of the others) into *file*; the reason where that is impossible."""
    if find_spec("matplotlib") is None:
        return "no picture: matplotlib is not installed"
    import_module("matplotlib").use("Agg")
    pyplot: Any = import_module("matplotlib.pyplot")
    names = list(dict.fromkeys(other for _, found in ratios for other in found))
    figure, axes = pyplot.subplots(figsize=(9, 1 + 0.8 * len(ratios)))
    height = 0.8 / max(len(names), 1)
    for number, name in enumerate(names):
        places = [line + number * height for line in range(len(ratios))]
        axes.barh(places, [found.get(name, 0.0) for _, found in ratios], height, label=f"Federix / {name}")
    axes.set_yticks([line + 0.4 - height / 2 for line in range(len(ratios))], [title for title, _ in ratios])
    axes.invert_yaxis()
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_xlabel("times the other's cost; less is better")
    axes.legend()
    figure.tight_layout()
    figure.savefig(file)
    return None
