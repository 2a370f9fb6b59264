"""The outcome for people: a page of Markdown from the JSON of a run, and what of it is a failure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from bench.table import markdown

from . import calm

#: Whose faults are failures of the run; the others stand beside it.
OURS: Final = "federix"
#: Cases told in full on the page, of each kind.
MOST_SHOWN: Final = 5

#: What a verdict finds, in the order of the table, and what it is called there. The first ones are failures. What is
#: not accounted for comes right behind the accounts of what was sent more than once: they add up to that.
FAILURES: Final[Mapping[str, str]] = {
    "unaccounted": "of these unaccounted for: none of that, or twice in an archive",
    "lost": "lost: acknowledged, not come back as an error, and neither on the recipient's device nor in its archive",
    "doubled": "doubled: twice in an archive",
    "reordered": "reordered: behind a later one in an archive",
    "overtaken": "overtaken: behind a later one on a connection of the device",
    "unsettled": "unsettled: never acknowledged, though sent again",
    "invented": "invented: where nobody sent it",
}
BESIDE: Final[Mapping[str, str]] = {
    "unarchived": "missing in an archive of the two",
    "repeated": "again on a device",
}
_FIGURES: Final[Mapping[str, str]] = {
    "sent": "messages",
    "acknowledged": "acknowledged",
    "refused": "came back as an error",
    "received": "reached the recipient's device",
    "resent": "sent more than once",
    "resent_archived": "of these in the recipient's archive once",
    "resent_refused": "of these came back as an error",
    "resent_on_device": "of these not in the recipient's archive, but on its device",
}
_HEAD: Final = """\
# Reliability

<!-- Written by `python -m faults --report` from what it measured: run it again to change it. -->

`python -m faults` lets clients with stream management (XEP-0198) write numbered messages to each other through a real
server, which is meanwhile killed (`SIGKILL`) and started again in the midst of bursts; connections fall silent or are
reset, readers stall, the disk is full, the database is locked. Clients resume, or come back and send again under the
same ids what was not acknowledged. In the end all archives (XEP-0313) are read page by page. What a server has
acknowledged must then be on the recipient's device or in its archive, once, in the order in which it was sent, unless
it came back to its sender as an error: that does not count as lost. Faults are chosen by chance, for every server from
the same kinds and with the same weights, as far as they can be done to it, until it was killed as often as the table
says. Runs of the same seed to which the same can be done meet the same faults in the same order; others do not. The
seeds stand in the table. Only Federix's database can be locked from outside, or restarted where it is a server.
"""
_NOTES: Final = """\
A message that came back as an error is not lost: its sender knows. What came to the device is not lost either, even
where it is missing in an archive. That a device gets something again after it came back is no fault: clients know it by
its id, and the server cannot know that it came.
"""

_STORM: Final = """\
The server was killed. All come back within five seconds, each over TLS and with SCRAM, ask for their rosters and are
available. Of Federix's database each login asks two look-ups to authenticate, and two statements behind that
(`tests/server/test_login_statements.py` counts them).
"""


def failures(found: Mapping[str, Any]) -> list[str]:
    """What Federix has not done as it must, in a few words each."""
    told = []
    for run in found["runs"]:
        if run["name"].startswith(OURS):
            told += _run_failures(run)
    for storm in found["storms"]:
        if storm["name"].startswith(OURS):
            if storm["failure"]:
                told.append(f"storm: {storm['failure']}")
            elif storm["storm"]["failed"]:
                told.append(f"storm: {storm['storm']['failed']} logins failed")
    return told


def _run_failures(run: Mapping[str, Any]) -> list[str]:
    if run["failure"]:
        return [run["failure"]]
    told = [f"{count} {kind}" for kind in FAILURES if (count := _count(run, kind))]
    if not run["settled"]:
        told.append("it did not come to rest")
    told += run["problems"]
    if run["complaints"]:
        told.append(f"{run['complaints']} lines of its log tell of a fault of its own")
    found = run.get("calm")
    if found is not None:
        if found["soon"] is None or found["soon"] < calm.PART:
            told.append(f"without faults only {found['soon']:.2%} were acknowledged within {calm.SOON:g} s")
        slowest = found["slowest answer while locked"]
        if slowest is not None and slowest > calm.ANSWERED:
            told.append(f"<r/> was answered after {1000 * slowest:.0f} ms while the database was locked")
        if found["acknowledged while locked"]:
            told.append(f"{found['acknowledged while locked']} messages were acknowledged that could not be stored")
        if found.get("resent"):
            told.append(f"without faults {found['resent']} messages were sent more than once")
    return told


def _count(run: Mapping[str, Any], kind: str) -> int | None:
    """How often that was found; ``None`` where nobody looked for it, when the run was older than the question."""
    finding = run["verdict"].get(kind)
    return None if finding is None else finding["count"]


def _or_dash(figure: int | None) -> str:
    return "-" if figure is None else str(figure)


def page(found: Mapping[str, Any]) -> str:
    """The whole page."""
    parts = [_HEAD]
    told = failures(found)
    parts.append(f"**{'Failed: ' + '; '.join(told) if told else 'Passed.'}**\n" if _has_ours(found) else "")
    runs = [run for run in found["runs"] if not run["failure"]]
    if runs:
        parts += ["## With faults\n", _table(runs, _fault_rows(runs)), "", _NOTES]
    measured = [run for run in runs if run.get("calm")]
    if measured:
        parts += ["## Without faults\n", _table(measured, _calm_rows(measured)), ""]
    storms = [run for run in found["storms"] if not run["failure"]]
    if storms:
        parts += ["## When everybody comes back at once\n", _table(storms, _storm_rows(storms)), "", _STORM]
    broken = [run for run in (*found["runs"], *found["storms"]) if run["failure"]]
    parts += [f"{run['name']} did not get through: `{run['failure'][:300]}`\n" for run in broken]
    parts += _cases(runs)
    return "\n".join(part for part in parts if part is not None).rstrip() + "\n"


def _has_ours(found: Mapping[str, Any]) -> bool:
    return any(run["name"].startswith(OURS) for run in (*found["runs"], *found["storms"]))


def _table(runs: Sequence[Mapping[str, Any]], rows: Sequence[Sequence[str]]) -> str:
    heads = ["", *(run["version"] for run in runs), "unit"]
    return markdown(heads, rows)


def _rows(
    runs: Sequence[Mapping[str, Any]], lines: Sequence[tuple[str, str, Callable[[Mapping[str, Any]], str]]]
) -> list[list[str]]:
    return [[title, *(value(run) for run in runs), unit] for title, unit, value in lines]


def _fault_rows(runs: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    rows = _rows(runs, [("archive kept in", "", lambda run: run["storage"])])
    kinds = sorted({kind for run in runs for kind in run["faults"]}, key=lambda kind: (kind != "kill", kind))
    rows += [[_FAULT_NAMES.get(kind, kind), *(str(run["faults"].get(kind, 0)) for run in runs), ""] for kind in kinds]
    ways = sorted({way for run in runs for way in run["sessions"] if way.startswith("sessions")})
    rows += [[way, *(str(run["sessions"].get(way, 0)) for run in runs), ""] for way in ways]
    rows += [[title, *(_or_dash(run["verdict"].get(key)) for run in runs), ""] for key, title in _FIGURES.items()]
    for key, title in {**FAILURES, **BESIDE}.items():
        bold = "**" if key in FAILURES else ""
        rows.append([title, *(f"{bold}{_or_dash(_count(run, key))}{bold}" for run in runs), ""])
    rows += _rows(
        runs,
        [
            ("lasted", "min", lambda run: f"{run['seconds'] / 60:.1f}"),
            ("seed", "", lambda run: str(run["seed"])),
            ("when", "", lambda run: run["ended"]),
        ],
    )
    return rows


_FAULT_NAMES: Final[Mapping[str, str]] = {
    "kill": "server killed in a burst",
    "close": "connections reset",
    "cut": "connections fallen silent",
    "ended by itself": "server ended by itself",
    "fill": "store full",
    "killed while full": "server killed while its store was full",
    "killed while locked": "server killed while its database was locked",
    "lock": "database locked",
    "restart": "database server restarted",
    "stall": "readers stalled",
}


def _milliseconds(key: str) -> Callable[[Mapping[str, Any]], str]:
    def value(run: Mapping[str, Any]) -> str:
        seconds = run["calm"][key]
        return "-" if seconds is None else f"{1000 * seconds:.1f}"

    return value


def _calm_rows(runs: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    return _rows(
        runs,
        [
            ("messages", "", lambda run: str(run["calm"]["sent"])),
            ("sent more than once", "", lambda run: _or_dash(run["calm"].get("resent"))),
            (
                f"acknowledged within {calm.SOON:g} s (at least {calm.PART:.1%})",
                "%",
                lambda run: "-" if run["calm"]["soon"] is None else f"{100 * run['calm']['soon']:.2f}",
            ),
            ("half of them within", "ms", _milliseconds("p50")),
            ("99.9 % within", "ms", _milliseconds("p999")),
            ("the slowest", "ms", _milliseconds("slowest")),
            (
                f"slowest answer to `<r/>` while the database is locked for {calm.LOCK:g} s"
                f" (at most {1000 * calm.ANSWERED:.0f})",
                "ms",
                _milliseconds("slowest answer while locked"),
            ),
            (
                "acknowledged meanwhile, though not stored",
                "",
                lambda run: str(run["calm"]["acknowledged while locked"]),
            ),
        ],
    )


def _storm_rows(runs: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    def figure(key: str, text: str, factor: float = 1.0) -> Callable[[Mapping[str, Any]], str]:
        return lambda run: "-" if run["storm"][key] is None else format(factor * run["storm"][key], text)

    return _rows(
        runs,
        [
            ("clients", "", figure("clients", ".0f")),
            ("did not get in", "", figure("failed", ".0f")),
            ("attempts that came to nothing", "", figure("again", ".0f")),
            ("half of them in after", "s", figure("p50", ".2f")),
            ("the slowest after", "s", figure("slowest", ".2f")),
            ("all in after", "s", figure("lasted", ".1f")),
            ("server's processor for each", "ms", figure("server_cpu_each", ".2f", 1000)),
            ("load's processor for each", "ms", figure("load_cpu_each", ".2f", 1000)),
        ],
    )


def _cases(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is wrong with Federix, case by case."""
    parts = []
    for run in runs:
        if not run["name"].startswith(OURS):
            continue
        if run["complained"]:
            parts += ["## In the log\n", *(f"- `{_short(line)}`" for line in run["complained"][:MOST_SHOWN]), ""]
        for kind in FAILURES:
            if _count(run, kind):
                cases = run["verdict"][kind]["told"][:MOST_SHOWN]
                parts += [f"## {kind.capitalize()}\n", *(f"- `{case}`" for case in cases), ""]
    return parts


def _short(line: str) -> str:
    """What a line of the log says first and last: a traceback between them means nothing to others."""
    lines = [each for each in line.replace("\\n", "\n").splitlines() if each.strip()]
    return (lines[0] if len(lines) == 1 else f"{lines[0]} … {lines[-1]}")[:500]
