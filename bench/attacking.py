"""Attacks a server: ``python -m bench.attacking NAME PORT COUNT``.

Prints a line when those of one of `attacks.py` who log in first have done so, and begins when a line comes on its
standard input. Prints a line of JSON when all its connections are there, goes on until another line comes, prints what
became of its connections, and drops them. See `abuse.py`, which calls it.
"""

from __future__ import annotations

import json
import select
import sys
import time

from .attacks import ATTACKS, TICK
from .process import raise_open_files


def main(name: str, port: str, count: str) -> int:
    raise_open_files()
    attack = ATTACKS[name](int(port), int(count))
    attack.arrive()
    print("ready", flush=True)
    sys.stdin.readline()
    begun = time.monotonic()
    attack.begin()
    print(json.dumps({"connections": len(attack.connections), "seconds": time.monotonic() - begun}), flush=True)
    while not select.select([sys.stdin], [], [], TICK)[0]:
        attack.tick()
    attack.end()
    print(json.dumps({"outcome": attack.outcome, **attack.more}), flush=True)
    sys.stdin.readline()
    sys.stdin.readline()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
