"""``python -m faults [--kills N] [--servers NAME,…] [--storm N] [--seed N] [--json FILE] [--report FILE]``."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.process import raise_open_files

from .every import SUBJECTS
from .population import DEVICES
from .report import failures, page
from .run import Task, run
from .storm import storm
from .trouble import FAULTS

#: What was found: the runs with faults, and the storms, of each server one.
Found = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done."""

    names: Sequence[str]
    task: Task
    storm: int
    json: Path | None


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 1 where Federix is not without fault."""
    parser = argparse.ArgumentParser(prog="python -m faults", description=__import__("faults").__doc__)
    parser.add_argument("--kills", type=int, help="how often each server is killed (200, or 0 with --storm)")
    parser.add_argument("--servers", default="federix", help=f"of {','.join(SUBJECTS)}, with commas (federix)")
    parser.add_argument("--faults", default=",".join(FAULTS), help="which kinds, with commas (all)")
    parser.add_argument("--devices", type=int, default=DEVICES, help=f"clients that write ({DEVICES})")
    parser.add_argument("--storm", type=int, default=0, help="so many clients come back at once after a kill (0)")
    parser.add_argument("--seed", type=int, help="what is done is chosen by this number; printed where it is not given")
    parser.add_argument("--no-calm", action="store_true", help="do not measure how it is without faults")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was found there")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the page for people there")
    parser.add_argument(
        "--from", type=Path, metavar="FILE", nargs="+", dest="sources", help="run nothing: report those"
    )
    options = parser.parse_args(arguments)
    if options.sources:
        return _report(_joined(options.sources), options.report)
    names, kinds = options.servers.split(","), options.faults.split(",")
    kills = options.kills if options.kills is not None else 0 if options.storm else 200
    if unknown := [name for name in names if name not in SUBJECTS]:
        parser.error(f"no such server: {', '.join(unknown)}")
    if unknown := [kind for kind in kinds if kind not in FAULTS]:
        parser.error(f"no such fault: {', '.join(unknown)}")
    if kills < 0 or options.storm < 0 or options.devices < 2 or (kills and "kill" not in kinds):
        parser.error("two devices are needed at least, and kills among the faults")
    seed = options.seed if options.seed is not None else int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}", flush=True)
    raise_open_files()
    # That what is written to a connection that was just reset goes nowhere is nothing to be told of.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    # We outlive our terminal, as the servers do.
    signal.signal(signal.SIGHUP, lambda *_: None)
    task = Task(kills, seed, options.devices, kinds, not options.no_calm)
    try:
        found = asyncio.run(_until_told(Order(names, task, options.storm, options.json)))
    except asyncio.CancelledError:
        print("stopped before its end", file=sys.stderr)
        return 1
    return _report(found, options.report)


async def _until_told(order: Order) -> Found:
    """One server after the other; at SIGTERM everything is put away."""
    current = asyncio.current_task()
    assert current is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, current.cancel)
    found: Found = {"runs": [], "storms": []}
    with tempfile.TemporaryDirectory(prefix="federix-faults-", ignore_cleanup_errors=True) as name:
        # A database server that runs as somebody else has its folder in there.
        Path(name).chmod(0o711)
        for server in order.names:
            subject, folder = SUBJECTS[server], Path(name)
            missing = subject.missing()
            if missing is not None:
                print(f"{server} is left out: {missing}", flush=True)
                continue
            if order.task.kills:
                found["runs"].append(await run(subject, order.task, folder / server))
            if order.storm:
                found["storms"].append(await storm(subject, order.storm, order.task.seed, folder / f"{server}-storm"))
            if order.json is not None:
                order.json.write_text(json.dumps(found, indent=1) + "\n")
    return found


def _joined(files: Sequence[Path]) -> Found:
    found: Found = {"runs": [], "storms": []}
    for file in files:
        for key, outcomes in json.loads(file.read_text()).items():
            found[key] += outcomes
    return found


def _report(found: Found, file: Path | None) -> int:
    text = page(found)
    print(text)
    if file is not None:
        file.write_text(text)
    told = failures(found)
    print(f"FAILED: {'; '.join(told)}" if told else "passed", flush=True)
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
