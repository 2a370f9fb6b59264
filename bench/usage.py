"""What a server uses: processor time and memory of its whole process tree, read from /proc."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
TICKS: Final = os.sysconf("SC_CLK_TCK")
PAGE: Final = os.sysconf("SC_PAGE_SIZE")
#: In a clock's number: the time for which it had a processor, as the scheduler has it (CPUCLOCK_SCHED).
_SCHEDULED: Final = 2


@dataclass(frozen=True, slots=True)
class Stat:
    """The parts of /proc/PID/stat that count; *ticks* is user and system time, with that of children that ended."""

    pid: int
    parent: int
    ticks: int


def parse_stat(text: str) -> Stat:
    """Read one line of /proc/PID/stat; the command in brackets may itself hold blanks and brackets."""
    pid, _, rest = text.partition(" (")
    fields = rest.rpartition(")")[2].split()
    # proc(5): field 4 is the parent, 14 to 17 are utime, stime, cutime and cstime; `fields` begins with field 3.
    return Stat(int(pid), int(fields[1]), sum(map(int, fields[11:15])))


def tree(root: int, stats: Iterable[Stat]) -> list[Stat]:
    """*root* and all its living descendants, in no special order; empty where *root* is gone."""
    known = list(stats)
    children: dict[int, list[Stat]] = {}
    for stat in known:
        children.setdefault(stat.parent, []).append(stat)
    found = [stat for stat in known if stat.pid == root]
    for stat in found:  # grows while we walk it
        found.extend(children.get(stat.pid, ()))
    return found


def parse_pss(text: str) -> int:
    """The bytes of the line ``Pss:`` of smaps_rollup; raises ValueError where there is none."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == "Pss":
            return int(value.split()[0]) * 1024
    raise ValueError("no Pss in smaps_rollup")


def cpu_seconds(*roots: int) -> float:
    """User and system time of *roots* and their descendants so far."""
    stats = _stats()
    return sum(stat.ticks for root in roots for stat in tree(root, stats)) / TICKS


def exact_cpu_seconds(*roots: int) -> float:
    """What `cpu_seconds` says, to the microsecond; without what children used that have ended."""
    total = 0.0
    stats = _stats()
    for stat in (stat for root in roots for stat in tree(root, stats)):
        try:
            # clock_getcpuclockid(3): the clock of a process has its number, inverted, above the three lowest bits.
            total += time.clock_gettime(~stat.pid << 3 | _SCHEDULED)
        except OSError:
            continue  # it has just ended
    return total


def pss_bytes(*roots: int) -> int:
    """Proportional set size of *roots* and their descendants: a page that several share counts in parts."""
    total = 0
    stats = _stats()
    for stat in (stat for root in roots for stat in tree(root, stats)):
        try:
            total += parse_pss((PROC / str(stat.pid) / "smaps_rollup").read_text())
        except OSError:
            continue  # it has just ended
    return total


def resident_bytes(pid: int) -> int:
    """What a process has in memory, what it shares counted in full: told in no time, which `pss_bytes` is not."""
    # proc(5): statm has sizes in pages, the second is "resident".
    return int((PROC / str(pid) / "statm").read_text().split()[1]) * PAGE


def parse_busy(text: str) -> int:
    """The ticks that all processors together were busy, from the text of /proc/stat."""
    # proc(5): user nice system idle iowait irq softirq steal; guests are within user and nice.
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, text.split("\n", 1)[0].split()[1:9])
    return user + nice + system + irq + softirq + steal


def busy_seconds() -> float:
    """Processor time that everybody on this machine has used so far."""
    return parse_busy((PROC / "stat").read_text()) / TICKS


def _stats() -> list[Stat]:
    found = []
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                found.append(parse_stat((entry / "stat").read_text()))
            except OSError:
                continue
    return found
