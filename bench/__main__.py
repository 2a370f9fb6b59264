"""``python -m bench [SCENARIO…] [--servers NAME,…] [--json FILE] [--markdown FILE] [--plot FILE] [--quick]``.

``python -m bench --from FILE.json --markdown …`` makes the tables and the picture from figures that were kept.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from . import certificate, library, managing, pages, scale, sleeping
from .figures import percentile, ratios
from .plot import plot
from .process import ServerFailed, raise_open_files
from .report import into, page, text
from .resting import run_resting
from .results import Bound, Report
from .run import run, users_needed
from .scenarios import ALONE, GROUPS, SCENARIOS, chosen
from .server import BenchServer
from .servers import SERVERS, runnable
from .stage import stage
from .table import OURS
from .usage import busy_seconds

#: Processors busy with something else, above which the figures are to be taken with care.
DISTURBED = 0.2
#: Seconds that idle sessions rest in a quick run.
QUICK_REST = 2.0


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 1 where a server failed in a scenario."""
    options = _options(arguments)
    if options.kept:
        report = Report.from_json(json.loads(options.kept.read_text()))
    else:
        raise_open_files()
        report = _run(options)
    if options.json:
        options.json.write_text(json.dumps(report.to_json(), indent=2) + "\n")
    if options.plot:
        problem = plot([(result.title, ratios(result.figures(), OURS)) for result in report.results], options.plot)
        if problem is not None:
            _tell(problem)
    if options.markdown:
        known = options.markdown.read_text() if options.markdown.exists() else ""
        options.markdown.write_text(into(known, page(report)))
    print(text(report))
    return 1 if report.failed else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__import__("bench").__doc__)
    known = [*SCENARIOS, *ALONE, *GROUPS]
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", help=f"{', '.join(known)}; all unless given")
    parser.add_argument("--servers", default=",".join(SERVERS), help="names with commas between; all unless given")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured there")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write the tables there, between the marks if it has them"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the ratios there (needs matplotlib)")
    parser.add_argument("--from", type=Path, metavar="FILE", dest="kept", help="run nothing: read what --json wrote")
    parser.add_argument("--quick", action="store_true", help="small: does it work? Its figures mean nothing")
    parser.add_argument("--repeat", type=int, metavar="N", help="repetitions of each scenario")
    options = parser.parse_args(arguments)
    options.servers = options.servers.split(",")
    for name in options.scenario:
        if name not in known:
            parser.error(f"no scenario {name!r}; there are {', '.join(known)}")
    for name in options.servers:
        if name not in SERVERS:
            parser.error(f"no server {name!r}; there are {', '.join(SERVERS)}")
    return options


def _run(options: argparse.Namespace) -> Report:
    wanted = chosen(options.scenario)
    # What is measured of Federix alone needs none of the others.
    kinds, notes = runnable(options.servers if set(wanted) - set(ALONE) else [OURS])
    report = Report({kind.name: kind.version() for kind in kinds}, _machine(), notes)
    with tempfile.TemporaryDirectory(prefix="bench-") as made:
        folder = Path(made)
        pem = certificate.make(folder / "certificate.pem")
        for name in wanted:
            if name in ALONE:
                with _others_noted(report):
                    _run_alone(name, options, report, folder, pem)
            else:
                _compare(name, options, report, kinds, folder, pem)
    others = [*report.others, *(share for result in report.results for share in result.others)]
    if others and max(others) > DISTURBED:
        report.notes.append(
            f"other work took {percentile(others, 0.5):.2f} processors in the median and {max(others):.2f} at worst:"
            " do not quote these figures"
        )
    if options.quick:
        report.notes.append("a quick run: it shows that everything works, its figures mean nothing")
    return report


def _compare(
    name: str, options: argparse.Namespace, report: Report, kinds: list[type[BenchServer]], folder: Path, pem: Path
) -> None:
    scenario = SCENARIOS[name]
    size = scenario.quick if options.quick else scenario.full
    size = replace(size, repeat=options.repeat or size.repeat)
    rest = QUICK_REST if options.quick else scenario.rest
    try:
        with stage(scenario, kinds, folder, pem, users_needed(size), report.notes) as servers:
            if scenario.rest:
                results = run_resting(scenario, size, rest, servers, _tell)
            else:
                results = [run(scenario, size, servers, _tell)]
    except ServerFailed as error:
        report.notes.append(f"{name} is left out: {error}")
        return
    report.results += results
    for result in results:
        for server, failure in result.failures.items():
            _tell(f"FAILED: {result.name} on {server}: {failure}")


def _run_alone(name: str, options: argparse.Namespace, report: Report, folder: Path, pem: Path) -> None:
    report.bounds += (found := BY_NAME[name](options, folder, pem))
    for bound in found:
        if bound.failure is not None:
            _tell(f"FAILED: {bound.name}: {bound.failure}")


def _run_library(options: argparse.Namespace, folder: Path, pem: Path) -> list[Bound]:
    return library.run(options.repeat or (1 if options.quick else library.REPEAT), folder, _tell)


def _run_scale(options: argparse.Namespace, folder: Path, pem: Path) -> list[Bound]:
    scope = scale.QUICK if options.quick else scale.FULL
    talking = replace(scope.talking, repeat=options.repeat or scope.talking.repeat)
    return scale.run(replace(scope, talking=talking), folder, pem, _tell)


def _run_managing(options: argparse.Namespace, folder: Path, pem: Path) -> list[Bound]:
    size = managing.QUICK if options.quick else managing.FULL
    return managing.run(replace(size, repeat=options.repeat or size.repeat), folder, pem, _tell)


def _run_pages(options: argparse.Namespace, folder: Path, pem: Path) -> list[Bound]:
    scope = pages.QUICK if options.quick else pages.FULL
    reading = replace(scope.reading, repeat=options.repeat or scope.reading.repeat)
    return pages.run(replace(scope, reading=reading), folder, pem, _tell)


def _run_sleeping(options: argparse.Namespace, folder: Path, pem: Path) -> list[Bound]:
    return sleeping.run(sleeping.QUICK if options.quick else sleeping.FULL, folder, pem, _tell)


#: How each is measured that is of Federix alone.
BY_NAME: Final = {
    "library": _run_library,
    "scale": _run_scale,
    "managing": _run_managing,
    "pages": _run_pages,
    "sleeping": _run_sleeping,
}


@contextmanager
def _others_noted(report: Report) -> Iterator[None]:
    """Note how many processors had something else to do; all that we start is to end within."""
    began, busy = time.monotonic(), busy_seconds() - _own_seconds()
    yield
    report.others.append((busy_seconds() - _own_seconds() - busy) / (time.monotonic() - began))


def _own_seconds() -> float:
    """Processor time of this process and of all that it has started and seen the end of."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _machine() -> str:
    return f"{platform.machine()}, Python {platform.python_version()}"


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
