"""The outcome for people: a page of Markdown, from the JSON of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from .verdict import MIB

#: Lines of the course of a run.
ROWS: Final = 12

_HEADS: Final = (
    "minute",
    "private MiB",
    "RSS MiB",
    "descriptors",
    "threads",
    "sessions",
    "database MiB",
    "CPU s",
    "load CPU s",
)
_HEAD: Final = """\
# Under mixed traffic

<!-- Written by `make soak` from what it measured: run it again to change it. -->

`make soak` runs `twistd federix` on loopback, lets residents live on it while visitors come and go in every way there
is, checks everything they are answered, and compares memory and descriptors at the end with those before. It fails for
anything that is lost, comes twice or in another order, for any line of the log above `info`, for a descriptor that
stays open, and for memory that grows. Shorter: `make soak MINUTES=5`, which judges memory only roughly.
"""


def page(run: Mapping[str, Any]) -> str:
    """The whole page."""
    failures = run["failures"]
    lines = [_HEAD, "## The run", ""]
    size = run["size"]
    lines += [
        f"{run['version']}, {run['machine']}; {run['began']}, {run['seconds'] / 60:g} minutes, seed {run['seed']},"
        f" {size['residents']} residents, rate {size['rate']:g}.",
        "",
        f"**{'Failed: ' + '; '.join(failures) if failures else 'Passed.'}**",
        "",
        f"- {run['arrived']} messages and presences arrived, each once and in order; the slowest took"
        f" {run['slowest']:.1f} s.",
        f"- {run['problem_count']} problems; {run['log_lines']} lines of log, every one harmless unless told below.",
        *_cpu(run),
        *_memory(run),
        *_rest(run),
        "",
        "## Its course",
        "",
        *_table(
            _HEADS,
            [_row(sample) for sample in _some(run["samples"])],
        ),
        "",
        "## What was done",
        "",
        *_table(("", "times"), [(name, str(count)) for name, count in run["done"].items()]),
    ]
    if run["problems"]:
        lines += ["", "## Problems", "", *(f"- `{problem}`" for problem in run["problems"])]
    return "\n".join(lines) + "\n"


def _cpu(run: Mapping[str, Any]) -> list[str]:
    samples = run["samples"]
    if len(samples) < 2:
        return []
    first, last = samples[0], samples[-1]
    seconds = max(last["at"] - first["at"], 1e-9)
    server, load = last["cpu"] - first["cpu"], last["load_cpu"] - first["load_cpu"]
    return [
        f"- Of one processor the server took {server / seconds:.0%}, the load {load / seconds:.0%};"
        f" {last['stanzas'] - first['stanzas']} stanzas were received."
    ]


def _memory(run: Mapping[str, Any]) -> list[str]:
    memory = run["memory"]
    if memory is None:
        return ["- Memory was not looked at often enough to say anything."]
    lines = [
        f"- Private memory, median of minutes {_window(memory['early_window'])}: {memory['early'] / MIB:.1f} MiB;"
        f" of minutes {_window(memory['late_window'])}: {memory['late'] / MIB:.1f} MiB;"
        f" allowed: {memory['allowed'] / MIB:.1f} MiB."
        + (" The run is too short to show more than a gross leak: memory still settles." if memory["is_short"] else "")
    ]
    if memory["slope"] is not None:
        rise, error = (memory["slope"][key] * 3600 / 1024 for key in ("rise", "error"))
        lines.append(f"- The straight line through it after the warm-up: {rise:+.0f} KiB an hour (± {error:.0f}).")
    return lines


def _rest(run: Mapping[str, Any]) -> list[str]:
    before, after = run["before"], run["after"]
    if before is None or after is None:
        return []
    left = ", ".join(run["left_open"]) or "none is left open"
    return [
        f"- At rest, before and after: {before['descriptors']} and {after['descriptors']} descriptors ({left}),"
        f" {before['threads']} and {after['threads']} threads,"
        f" {before['private'] / MIB:.1f} and {after['private'] / MIB:.1f} MiB,"
        f" {after['connections']} connections and {after['sessions']} sessions left."
    ]


def _window(window: Sequence[float]) -> str:
    return f"{window[0] / 60:.3g} to {window[1] / 60:.3g}"


def _some(samples: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Evenly spread, with the last."""
    step = max(len(samples) // ROWS, 1)
    return list(samples[::-1][::step][::-1])


def _row(sample: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"{sample['at'] / 60:.1f}",
        f"{sample['private'] / MIB:.1f}",
        f"{sample['rss'] / MIB:.1f}",
        str(sample["descriptors"]),
        str(sample["threads"]),
        str(sample["sessions"]),
        f"{sample['database'] / MIB:.1f}",
        f"{sample['cpu']:.0f}",
        f"{sample['load_cpu']:.0f}",
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    rule = ["---:"] * len(heads)
    return [f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows)]
