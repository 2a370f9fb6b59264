"""Attacks a server: ``python -m bench.attacking NAME PORT COUNT``.

Begins one of `attacks.py`, prints a line of JSON when all its connections are there, goes on until a line comes on its
standard input, prints what became of its connections, and drops them. See `abuse.py`, which calls it.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from typing import Final

from .attacks import ATTACKS, TICK
from .process import raise_open_files

#: The priority of an attacker (nice). Others attack from elsewhere: here one takes only what processor time is left, or
#: honest people would wait for him, not for the server.
LOWEST: Final = 19


def main(name: str, port: str, count: str) -> int:
    raise_open_files()
    os.nice(LOWEST)
    attack = ATTACKS[name](int(port), int(count))
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
