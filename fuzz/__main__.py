"""``python -m fuzz``: every target, or those that are named, one after the other, each in a process of its own.

It stops at `--executions` or `--minutes`, whichever comes first, and a target ends at the first rule that is broken.
With files behind the name of a target, those are checked and nothing else.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from . import fuzzer
from .targets import NAMES, load


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Fuzz Federix.")
    parser.add_argument("target", nargs="?", choices=NAMES, help="one target; all where it is not given")
    parser.add_argument("files", nargs="*", type=Path, help="inputs to check again")
    parser.add_argument("--executions", type=int, default=5_000_000, help="at most so many for each target")
    parser.add_argument("--minutes", type=float, default=30.0, help="at most so long for each target")
    asked = parser.parse_args()
    if asked.files:
        target = load(asked.target)
        for file in asked.files:
            target.check(file.read_bytes())
        return 0
    broken = [name for name in ([asked.target] if asked.target else NAMES) if _fuzzed(name, asked)]
    if broken:
        print(f"broken: {', '.join(broken)}; the inputs are in {fuzzer.FOUND}", file=sys.stderr)
    return 1 if broken else 0


def _fuzzed(name: str, asked: argparse.Namespace) -> int:
    print(f"== {name}", flush=True)
    limits = [str(asked.executions), str(max(int(asked.minutes * 60), 1))]
    return subprocess.call([sys.executable, "-m", "fuzz.fuzzer", name, *limits])


if __name__ == "__main__":
    sys.exit(main())
