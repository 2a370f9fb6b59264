"""Honest people beside an attack: pairs who write to each other at a steady pace, and take the time it takes.

``python -m bench.honest PORT PAIRS PER_SECOND``: logs in, prints a line, and for each line on its standard input prints
the round trips since the last one as JSON. A message that is late does not make the next one late: what counts is when
it was due.
"""

from __future__ import annotations

import json
import re
import select
import ssl
import sys
import time

from .figures import percentile
from .hostile import Hostile
from .names import DOMAIN, user

_STAMP = re.compile(rb"<body>t([0-9]+)</body>")


def main(port: str, pairs: str, per_second: str) -> int:
    people = []
    for number in range(2 * int(pairs)):
        hostile = Hostile(int(port))
        hostile.log_in(user(number), "honest")
        hostile.sock.setblocking(False)
        people.append(hostile)
    poll = select.poll()
    by_fd = {one.sock.fileno(): one for one in people}
    rest = dict.fromkeys(by_fd, b"")
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    poll.register(sys.stdin.fileno(), select.POLLIN)
    print("ready", flush=True)
    times: list[float] = []
    sent = lost = 0
    due = time.perf_counter()
    step = 1 / float(per_second)
    turn = 0
    while True:
        now = time.perf_counter()
        while due <= now:
            turn = (turn + 1) % len(people)
            to = f"{user(turn ^ 1)}@{DOMAIN}/honest"
            stanza = f"<message to='{to}' type='chat'><body>t{int(due * 1e9)}</body></message>".encode()
            if people[turn].try_send(stanza) != len(stanza):
                raise ConnectionError("an honest client is not read")
            sent += 1
            due += step
        for fd, _ in poll.poll(max(due - time.perf_counter(), 0) * 1000):
            if fd not in by_fd:
                if not sys.stdin.readline():
                    return 0
                told = {"p50": percentile(times, 0.5), "p99": percentile(times, 0.99), "max": max(times, default=0.0)}
                print(json.dumps({**told, "sent": sent, "arrived": len(times) + lost}), flush=True)
                times.clear()
                sent = 0
                continue
            sock = by_fd[fd].sock
            while True:
                try:
                    data = sock.recv(65536)
                except (BlockingIOError, ssl.SSLWantReadError):
                    break
                if not data:
                    raise ConnectionError("an honest client was closed")
                arrived = time.perf_counter()
                data = rest[fd] + data
                at = 0
                for match in _STAMP.finditer(data):
                    times.append(arrived - int(match[1]) / 1e9)
                    at = match.end()
                rest[fd] = data[at:][-200:]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
