"""What came of the attacks, for a page of the documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from .table import markdown

#: Between these a page has the figures; what stands around them is written by people.
BEGIN: Final = "<!-- figures of abuse: begin -->"
END: Final = "<!-- figures of abuse: end -->"

_HEADS: Final = (
    "attack",
    "connections",
    "p99 before, ms",
    "during",
    "× before",
    "of a bystander",
    "just after, ms",
    "grown, MiB",
    "KiB each",
    "calm after, s",
    "how their streams ended",
)


def page(results: Sequence[Mapping[str, Any]]) -> str:
    """The table, and what was the same for all."""
    warnings = sum(result["warnings"] for result in results)
    tracebacks = sum(result["tracebacks"] for result in results)
    open_files = [result["attack"] for result in results if result["files after"] is None]
    lines = [
        markdown(_HEADS, [_row(result) for result in results]),
        "",
        f"In all of them together the log has {warnings} warnings and {tracebacks} tracebacks."
        + (f" Files stayed open after: {', '.join(open_files)}." if open_files else " No file stayed open."),
    ]
    return "\n".join(lines) + "\n"


def _row(result: Mapping[str, Any]) -> tuple[str, ...]:
    before, during = result["p99 before"], result["p99 during"]
    beside = result["beside p99 during"] / result["beside p99 before"] if result["beside p99 before"] else 0.0
    calm = result["calm after"]
    return (
        result["attack"],
        str(result["connections"]),
        f"{1000 * before:.1f}",
        f"{1000 * during:.1f}",
        f"{during / before:.1f}" if before else "-",
        f"× {beside:.1f}",
        f"{1000 * result['p99 after']:.1f}",
        f"{result['grown'] / (1 << 20):.1f}",
        f"{result['grown each'] / 1024:.0f}",
        "never" if calm is None else f"{calm:.0f}",
        ", ".join(f"{count} {what}" for what, count in result["outcome"].items()) or "-",
    )
