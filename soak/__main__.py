"""``python -m soak [--minutes N] [--rate R] [--residents N] [--seed N] [--json FILE] [--report FILE]``."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.process import ServerFailed, raise_open_files

from .report import page
from .run import Outcome, soak
from .traffic import Size


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 1 where the run has failed."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__import__("soak").__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long the traffic lasts (60)")
    parser.add_argument("--rate", type=float, default=1.0, help="how much of it, as a factor (1)")
    parser.add_argument("--residents", type=int, default=200, help="clients that stay (200)")
    parser.add_argument("--visitors", type=int, default=100, help="accounts of those who come and go (100)")
    parser.add_argument("--seed", type=int, help="what is done is chosen by this number; printed where it is not given")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured there, again and again")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the page for people there")
    parser.add_argument("--from", type=Path, metavar="FILE", dest="source", help="run nothing: report that JSON")
    options = parser.parse_args(arguments)
    if options.source is not None:
        return _report(json.loads(options.source.read_text()), options.report)
    if options.residents < 8 or options.minutes <= 0 or options.rate <= 0:
        parser.error("at least 8 residents, and more than no time and no rate, are needed")

    raise_open_files()
    # We outlive our terminal; the server, which inherits that a signal is ignored but not that it is caught, must not
    # ignore this one.
    signal.signal(signal.SIGHUP, lambda *_: None)
    seed = options.seed if options.seed is not None else int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}, {options.minutes:g} minutes", flush=True)

    def save(outcome: Outcome) -> None:
        if options.json is not None:
            new = options.json.with_name(f"{options.json.name}.new")
            new.write_text(json.dumps(outcome.as_json(), indent=1) + "\n")
            new.replace(options.json)

    size = Size(options.residents, options.visitors, options.rate)
    try:
        outcome = asyncio.run(_until_told(options.minutes, size, seed, save))
    except ServerFailed as failed:
        print(failed, file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        print("stopped before its end", file=sys.stderr)
        return 1
    return _report(outcome.as_json(), options.report)


async def _until_told(minutes: float, size: Size, seed: int, save: Callable[[Outcome], None]) -> Outcome:
    """Do it; at SIGTERM everything is put away, the server too."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await soak(minutes, size, seed, save)


def _report(run: dict[str, object], file: Path | None) -> int:
    text = page(run)
    print(text)
    if file is not None:
        file.write_text(text)
    failures = run["failures"]
    print(f"FAILED: {failures}" if failures else "passed", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
