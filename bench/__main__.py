"""``python -m bench [SCENARIO…] [--servers NAME,…] [--json FILE] [--plot FILE] [--quick]``."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from . import certificate
from .figures import percentile, ratios
from .plot import plot
from .process import raise_open_files
from .run import Result, run, users_needed
from .scenarios import GROUPS, SCENARIOS, chosen
from .servers import SERVERS, runnable
from .table import OURS, rows, table

#: Processors busy with something else, above which the figures are to be taken with care.
DISTURBED = 0.2

EXPLANATION = """\
"× other" is Federix's cost divided by the other's, from the same run: below 1 Federix is cheaper. The figures of the
servers are for information: they are this machine's. Each is the least of its repetitions, since other work on the
machine can only add to a cost; ± is how far the worst of them lay above it. Cost is user and system time of all of a
server's processes. The relay is the floor, not a server: it passes bytes on, and believes every password."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 1 where a server failed in a scenario."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__import__("bench").__doc__)
    known = [*SCENARIOS, *GROUPS]
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", help=f"{', '.join(known)}; all unless given")
    parser.add_argument("--servers", default=",".join(SERVERS), help="names with commas between; all unless given")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured there")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the ratios there (needs matplotlib)")
    parser.add_argument("--quick", action="store_true", help="small: does it work? Its figures mean nothing")
    parser.add_argument("--repeat", type=int, metavar="N", help="repetitions of each scenario")
    options = parser.parse_args(arguments)
    names = options.servers.split(",")
    for name in options.scenario:
        if name not in known:
            parser.error(f"no scenario {name!r}; there are {', '.join(known)}")
    for name in names:
        if name not in SERVERS:
            parser.error(f"no server {name!r}; there are {', '.join(SERVERS)}")

    raise_open_files()
    kinds, notes = runnable(names)
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as made:
        folder = Path(made)
        pem = certificate.make(folder / "certificate.pem")
        for scenario in chosen(options.scenario):
            size = scenario.quick if options.quick else scenario.full
            if options.repeat:
                size = type(size)(size.clients, size.count, options.repeat)
            servers = [kind(folder / kind.name, pem, users_needed(size)) for kind in kinds]
            result = run(scenario, size, servers, _tell)
            results.append(result)
            for name, failure in result.failures.items():
                print(f"FAILED: {scenario.name} on {name}: {failure}", file=sys.stderr, flush=True)
    others = [share for result in results for share in result.others]
    if others and max(others) > DISTURBED:
        notes.append(
            f"other work took {percentile(others, 0.5):.2f} processors in the median and {max(others):.2f} at worst:"
            " do not quote these figures"
        )
    if options.quick:
        notes.append("a quick run: it shows that everything works, its figures mean nothing")
    versions = {kind.name: kind.version() for kind in kinds}
    print("; ".join(versions.values()))
    print(table([rows(r.scenario.title, r.scenario.unit, r.figures(), r.failures) for r in results]))
    print(EXPLANATION)
    if options.plot:
        problem = plot([(r.scenario.title, ratios(r.figures(), OURS)) for r in results], options.plot)
        if problem is not None:
            notes.append(problem)
    for note in notes:
        print(f"Note: {note}.")
    if options.json:
        options.json.write_text(json.dumps(_everything(results, versions, notes), indent=2) + "\n")
    return 1 if any(result.failures for result in results) else 0


def _everything(results: list[Result], versions: dict[str, str], notes: list[str]) -> dict[str, object]:
    return {
        "servers": versions,
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "notes": notes,
        "scenarios": {
            result.scenario.name: {
                "title": result.scenario.title,
                "unit": result.scenario.unit,
                "ratios": ratios(result.figures(), OURS),
                "samples": result.samples,
                "failures": result.failures,
                "details": result.details,
                "others": result.others,
            }
            for result in results
        },
    }


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
