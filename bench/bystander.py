"""Somebody beside an attack who has nothing to do with the server: what the machine alone makes of round trips.

``python -m bench.bystander PER_SECOND``: two processes that echo, with a pipe between them and no server. Prints a line
when it is ready, and for each line on its standard input the round trips since the last one as JSON, as `honest.py`
does. Where these take longer during an attack, the attack has taken the processors, and that is not the server's doing.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from typing import Final

from .figures import percentile

#: Steps of work that each side does for a round trip, as a server has to do some: a tenth of a millisecond or two.
WORK: Final = 5000


def _work() -> None:
    for _ in range(WORK):
        pass


def _echo(end: socket.socket) -> None:
    while data := end.recv(64):
        _work()
        end.sendall(data)


def main(per_second: str) -> int:
    near, far = socket.socketpair()
    if os.fork() == 0:
        near.close()
        try:
            _echo(far)
        except ConnectionError:
            pass  # the other one was ended in the middle of it
        os._exit(0)
    far.close()
    print("ready", flush=True)
    step = 1 / float(per_second)
    due = time.perf_counter()
    times: list[float] = []
    while True:
        due += step
        while (left := due - time.perf_counter()) > 0:
            if select.select([sys.stdin], [], [], left)[0]:
                if not sys.stdin.readline():
                    return 0
                told = {"p50": percentile(times, 0.5), "p99": percentile(times, 0.99), "max": max(times, default=0.0)}
                print(json.dumps(told), flush=True)
                times.clear()
        near.sendall(b"?")
        near.recv(64)
        _work()
        times.append(time.perf_counter() - due)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
