"""What the server's process uses at one moment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.usage import cpu_seconds


@dataclass(frozen=True, slots=True)
class Sample:
    """One look; *at* is in seconds since the traffic began, sizes are in bytes, *cpu* in seconds so far."""

    at: float
    rss: int
    private: int
    descriptors: int
    threads: int
    cpu: float
    load_cpu: float
    database: int
    connections: int
    sessions: int
    requests_waiting: int
    stanzas: int


def parse_status(text: str) -> tuple[int, int]:
    """Resident bytes and threads, out of /proc/PID/status. Raises KeyError where they are not in it."""
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return int(fields["VmRSS"].split()[0]) * 1024, int(fields["Threads"])


def parse_private(text: str) -> int:
    """The bytes that are nobody else's, out of smaps_rollup; raises KeyError where they are not in it.

    What is shared with other processes counts more with each of those that ends, though nothing has grown.
    """
    fields = dict(line.split(":", 1) for line in text.splitlines() if line.startswith("Private_"))
    return sum(int(fields[name].split()[0]) for name in ("Private_Clean", "Private_Dirty")) * 1024


def look(pid: int, at: float, database: int, stats: Mapping[str, int]) -> Sample:
    rss, threads = parse_status(Path(f"/proc/{pid}/status").read_text())
    return Sample(
        at=at,
        rss=rss,
        private=parse_private(Path(f"/proc/{pid}/smaps_rollup").read_text()),
        descriptors=len(descriptors(pid)),
        threads=threads,
        cpu=cpu_seconds(pid),
        load_cpu=sum(os.times()[:2]),
        database=database,
        connections=stats["connections"],
        sessions=stats["sessions"],
        requests_waiting=stats["requests_waiting"],
        stanzas=stats["stanzas_received"],
    )


def descriptors(pid: int) -> list[str]:
    """What each open file of a process is, without the numbers of its sockets and pipes; in order.

    Without SQLite's log: a connection opens it when it is first used, and is seen by the database's own file anyway.
    """
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(os.readlink(entry).partition(":[")[0])
        except OSError:
            continue  # closed in between
    return sorted(name for name in found if not name.endswith("-wal"))
