"""A run's outcome in words and tables: for the terminal, and for a page of the documentation."""

from __future__ import annotations

from typing import Final

from .results import Report
from .scenarios import SCENARIOS
from .table import BOUND_HEADS, HEADS, bound_row, columns, markdown, row

RATIOS: Final = """\
"× other" is Federix's cost divided by the other's, from the same run: below 1 Federix is cheaper. The figures of the
servers are for information: they are this machine's. Each is the least of its repetitions, since other work on the
machine can only add to a cost; ± is how far the worst of them lay above it. Cost is user and system time of all of a
server's processes. The relay is the floor, not a server: it passes bytes on, and believes every password."""
BETWEEN: Final = """\
Between servers: two of one make federate, TLS with certificates of one authority, bidi (XEP-0288) where they have it,
and the cost of a message is that of both together. The idle streams are one server's with as many domains, each with a
connection of its own, all of them played by the load. "The better" is the cheaper of ejabberd and Prosody."""
BOUNDS: Final = """\
These have no counterpart: each is held against a limit of its own. Times are by the clock, so other work on the machine
counts; the least of the repetitions is taken. "× alone" is the cost divided by that of the same clients and messages,
at the same rate, on a server that has nothing else. "× without" is a median of many short turns, of which every other
one is without stream management, on the same server; a client asks after five stanzas and answers at once. The sessions
that wait were cut off; their memory is that of a server which has rested for a minute, against before they came."""

#: Between these a page has the figures; what stands around them is written by people.
BEGIN: Final = "<!-- figures of bench: begin -->"
END: Final = "<!-- figures of bench: end -->"


def text(report: Report) -> str:
    """For the terminal."""
    parts = ["; ".join(report.servers.values())]
    if report.results:
        parts += [columns(HEADS, [row(result) for result in report.results]), *_explained(report)]
    if report.bounds:
        parts += [columns(BOUND_HEADS, [bound_row(bound) for bound in report.bounds]), BOUNDS]
    parts += [f"Note: {note}." for note in report.notes]
    return "\n\n".join(parts)


def page(report: Report) -> str:
    """The figures as Markdown."""
    parts = [f"{', '.join(report.servers.values())}. {report.machine}."]
    if report.results:
        parts += [markdown(HEADS, [row(result) for result in report.results]), *_explained(report)]
    if report.bounds:
        parts += [markdown(BOUND_HEADS, [bound_row(bound) for bound in report.bounds]), BOUNDS]
    if report.notes:
        parts.append("\n".join(f"- {note}." for note in report.notes))
    return "\n\n".join(parts) + "\n"


def _explained(report: Report) -> list[str]:
    between = any(
        SCENARIOS[result.name].stage in ("two", "peers") for result in report.results if result.name in SCENARIOS
    )
    return [RATIOS, BETWEEN] if between else [RATIOS]


def into(whole: str, figures: str, begin: str = BEGIN, end: str = END) -> str:
    """*whole*, a page's text, with *figures* between its two marks; the figures alone where it has none."""
    before, found, rest = whole.partition(begin)
    _, ended, after = rest.partition(end)
    if not (found and ended):
        return figures
    return f"{before}{begin}\n\n{figures}\n{end}{after}"
