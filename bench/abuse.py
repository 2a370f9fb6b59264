"""How Federix bears abuse: ``python -m bench.abuse [ATTACK …] [--part 0.1] [--out FILE]``.

Each attack meets a fresh server on which twenty honest people write a hundred messages a second. What is told of it:
the round trips of those before it and during it; what the server's memory grew by while the attack was there, in all
and for each of its connections (a fresh server has no memory to reuse, so it is more than what is held); how their
streams ended; the seconds until the server had as many open sockets as before. Everything is on this machine and uses
its processors, so round trips are higher while an attack is under way for that alone, though the attacker has the
lowest priority: how much is told by a bystander, two processes that send each other something and have no server
between them.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, cast

from . import certificate
from .abuse_report import BEGIN, END, page
from .attacks import ATTACKS, FIRST
from .ours import Federix
from .process import raise_open_files
from .report import into
from .usage import cpu_seconds, resident_bytes

#: Pairs of honest people, and messages a second of all of them together.
PAIRS: Final = 10
PER_SECOND: Final = 100
#: Seconds of honest traffic before the attack, between two looks at the memory, and to wait for the end of it at most.
BEFORE: Final = 10.0
LOOK: Final = 0.25
AFTERWARDS: Final = 200.0
MIB: Final = 1 << 20


class Abused(Federix):
    """Federix with a log of what an operator sees, its usual limits for time, and, where asked, its usual shaper."""

    shaped = False

    def _settings(self) -> dict[str, object]:
        settings = {**super()._settings(), "loglevel": "info"}
        if self.shaped:
            settings["shaper"] = {"normal": {"rate": 3000, "burst_size": 20_000}}
            listener: Any
            (listener,) = cast("list[object]", settings["listen"])
            settings["listen"] = [{**listener, "shaper": "normal"}]
        return settings


class Helper:
    """A process that is asked by lines.

    One that *yields* gets the processor time that nobody else wants (SCHED_IDLE), from its first instruction on.
    """

    def __init__(self, module: str, *arguments: object, yields: bool = False) -> None:
        command = [sys.executable, "-m", f"bench.{module}", *map(str, arguments)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=_yield if yields else None
        )

    def line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a helper has ended")
        return line.decode().strip()

    def has_said(self, seconds: float) -> bool:
        """Whether there is a line to read, at the latest in so many seconds."""
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], seconds)[0])

    def say(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    def ask(self) -> dict[str, Any]:
        self.say()
        answer: dict[str, Any] = json.loads(self.line())
        return answer

    @property
    def pid(self) -> int:
        return self._process.pid

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def _yield() -> None:
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def open_files(pid: int) -> int:
    """How many sockets it has open; what it opens when it first needs it, as a database does, is no attacker's."""
    folder = f"/proc/{pid}/fd"
    return sum(_leads_to(f"{folder}/{name}").startswith("socket:") for name in os.listdir(folder))


def _leads_to(link: str) -> str:
    try:
        return os.readlink(link)
    except FileNotFoundError:
        return ""  # closed meanwhile


def measure(name: str, count: int, hold: float, folder: Path, shown: Path, shaped: bool = False) -> dict[str, Any]:
    """Do one attack to a fresh server."""
    with ExitStack() as stack:
        server = Abused(folder / "federix", shown, FIRST + 200)
        server.shaped = shaped
        own, others = _processors()
        os.sched_setaffinity(0, own)
        stack.callback(os.sched_setaffinity, 0, own | others)
        server.start()
        stack.callback(server.stop)
        os.sched_setaffinity(0, others)
        honest = Helper("honest", server.port, PAIRS, PER_SECOND)
        stack.callback(honest.end)
        honest.line()
        bystander = Helper("bystander", PER_SECOND)
        stack.callback(bystander.end)
        bystander.line()
        time.sleep(2.0)
        files, memory = open_files(server.pid), resident_bytes(server.pid)
        attack = Helper("attacking", name, server.port, count, yields=True)
        stack.callback(attack.end)
        attack.line()
        time.sleep(2.0)
        honest.ask(), bystander.ask()
        time.sleep(BEFORE)
        before, beside = honest.ask(), bystander.ask()
        lines, begun, cpu = _lines(folder), time.monotonic(), cpu_seconds(server.pid)
        attack.say()
        most = resident_bytes(server.pid)
        while not attack.has_said(LOOK):
            most = max(most, resident_bytes(server.pid))
        attack.line()
        most = max(most, _watch(server.pid, hold))
        during, beside_during = honest.ask(), bystander.ask()
        lasted, used = time.monotonic() - begun, cpu_seconds(server.pid) - cpu
        end = attack.ask()
        left = _time_until(lambda: open_files(server.pid) <= files)
        calm = _time_until(lambda: _is_calm(server.pid))
        time.sleep(1.0)
        after = honest.ask()
        time.sleep(2.0)
        said = (folder / "federix" / "federix.out").read_text(errors="replace")
        return {
            "attack": name,
            "connections": count,
            "p99 before": before["p99"],
            "p99 during": during["p99"],
            "worst during": during["max"],
            "beside p99 before": beside["p99"],
            "beside p99 during": beside_during["p99"],
            "p50 before": before["p50"],
            "p50 during": during["p50"],
            "late": during["sent"] - during["arrived"],
            "p99 after": after["p99"],
            "grown": most - memory,
            "grown each": (most - memory) / count,
            "still grown": resident_bytes(server.pid) - memory,
            "seconds": lasted,
            "cpu": used / lasted,
            "files after": left,
            "calm after": calm,
            "log lines": _lines(folder) - lines,
            "warnings": said.count("[warn") + said.count("[error") + said.count("[critical"),
            "tracebacks": said.count("Traceback"),
            **end,
        }


def _processors() -> tuple[set[int], set[int]]:
    """Which of those we may use are the server's, and which everybody else's; the same where there is only one."""
    first, *others = sorted(os.sched_getaffinity(0))
    return {first}, set(others or (first,))


def _watch(pid: int, seconds: float) -> int:
    """The most memory it has in so many *seconds*."""
    most, end = resident_bytes(pid), time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(LOOK)
        most = max(most, resident_bytes(pid))
    return most


def _time_until(happened: Any) -> float | None:
    begun = time.monotonic()
    while not happened():
        if time.monotonic() - begun > AFTERWARDS:
            return None
        time.sleep(0.1)
    return time.monotonic() - begun


def _is_calm(pid: int) -> bool:
    """Whether the server does no more than what honest people ask of it."""
    before = cpu_seconds(pid)
    time.sleep(1.0)
    return cpu_seconds(pid) - before < 0.12


def _lines(folder: Path) -> int:
    return (folder / "federix" / "federix.out").read_bytes().count(b"\n")


def row(result: dict[str, Any]) -> str:
    """One line of the table."""
    outcome = ", ".join(f"{count} {what}" for what, count in result["outcome"].items())
    rest = ", ".join(f"{key}: {result[key]}" for key in ("messages", "bounced", "read in the end") if key in result)
    return (
        f"{result['attack']:22} {result['connections']:5}"
        f" {1000 * result['p99 before']:8.1f} {1000 * result['p99 during']:8.1f} {1000 * result['worst during']:8.0f}"
        f" {1000 * result['beside p99 before']:8.1f} {1000 * result['beside p99 during']:8.1f}"
        f" {result['grown'] / MIB:7.1f} {result['grown each'] / 1024:8.1f} {result['cpu']:5.2f}"
        f" {_seconds(result['files after'])} {_seconds(result['calm after'])}"
        f" {result['log lines']:6} {result['warnings']:3}  {outcome}{'; ' + rest if rest else ''}"
    )


HEADS: Final = (
    f"{'attack':22} {'conns':>5} {'p99 ms':>8} {'during':>8} {'worst':>8} {'beside':>8} {'during':>8}"
    f" {'MiB':>7} {'KiB each':>8} {'cpu':>5} {'files':>5} {'calm':>5} {'lines':>6} {'war':>3}  how their streams ended"
)


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:5.1f}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.abuse", description="How Federix bears abuse.")
    parser.add_argument(
        "attacks", nargs="*", metavar="ATTACK", help=f"of: {', '.join(ATTACKS)}; all of them by default"
    )
    parser.add_argument("--part", type=float, default=1.0, help="of the connections of each attack")
    parser.add_argument("--hold", type=float, help="seconds for which an attack is held")
    parser.add_argument("--shaped", action="store_true", help="with the shaper of the configuration that is shipped")
    parser.add_argument("--out", type=Path, help="file for the results, JSON")
    parser.add_argument("--markdown", type=Path, help="write the table there, between the marks if it has them")
    parser.add_argument("--from", type=Path, dest="kept", help="run nothing: read what --out wrote")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.attacks if name not in ATTACKS]
    if unknown:
        parser.error(f"no such attack: {', '.join(unknown)}")
    results = json.loads(options.kept.read_text()) if options.kept else _run(options)
    if options.markdown is not None:
        known = options.markdown.read_text() if options.markdown.exists() else ""
        options.markdown.write_text(into(known, page(results), BEGIN, END))
    return 0


def _run(options: argparse.Namespace) -> list[dict[str, Any]]:
    raise_open_files()
    # Whoever ends us ends the server with us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    results: list[dict[str, Any]] = []
    print(HEADS, flush=True)
    with tempfile.TemporaryDirectory(prefix="federix-abuse-") as name:
        shown = certificate.make(Path(name) / "certificate.pem")
        for number, attack in enumerate(options.attacks or ATTACKS):
            folder = Path(name) / str(number)
            folder.mkdir()
            kind = ATTACKS[attack]
            count = max(round(kind.count * options.part), 1)
            hold = kind.hold if options.hold is None else options.hold
            results.append(measure(attack, count, hold, folder, shown, options.shaped))
            print(row(results[-1]), flush=True)
            if options.out is not None:
                options.out.write_text(json.dumps(results, indent=2) + "\n")
    return results


if __name__ == "__main__":
    sys.exit(main())
