"""The run: every scenario on every server, in turns.

The servers of a scenario start fresh and stay up for all its repetitions, which are interleaved (A B C, A B C): what
disturbs the machine for a while disturbs all of them. Those whose turn it is not have nothing to do.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .figures import Figure, figure
from .load import Specification
from .names import CONTACTS
from .process import ServerFailed
from .scenarios import Scenario, Size
from .server import BenchServer
from .usage import busy_seconds, cpu_seconds, pss_bytes

#: Seconds beyond its own limit after which the load is ended from outside.
GRACE = 30.0


@dataclass
class Result:
    """One scenario's outcome."""

    scenario: Scenario
    samples: dict[str, list[float]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    details: dict[str, dict[str, Any]] = field(default_factory=dict)
    """For information, of each server's last repetition: round trips, TLS cipher, work done, and what was counted."""
    others: list[float] = field(default_factory=list)
    """Processors that were busy with something else, in each repetition."""

    def figures(self) -> dict[str, Figure]:
        return {name: figure(samples) for name, samples in self.samples.items() if name not in self.failures}


def run(scenario: Scenario, size: Size, servers: Iterable[BenchServer], tell: Callable[[str], None]) -> Result:
    """Do *scenario* on each of *servers*. What goes wrong with one of them stands in the result, loud and clear."""
    result = Result(scenario)
    running: list[BenchServer] = []
    try:
        for server in servers:
            try:
                server.start()
                running.append(server)
            except (ServerFailed, RuntimeError, OSError) as error:
                result.failures[server.name] = str(error)
        repeat = repetitions(scenario, size)
        for turn in range(repeat):
            for server in running:
                if server.name in result.failures:
                    continue
                tell(f"{scenario.name}: {server.name} ({turn + 1} of {repeat})")
                try:
                    sample = _measure(scenario, size, server, result)
                except ServerFailed as error:
                    result.failures[server.name] = f"{error}\n{server.said()[-1500:]}"
                else:
                    result.samples.setdefault(server.name, []).append(sample)
    finally:
        for server in running:
            server.stop()
    return result


def repetitions(scenario: Scenario, size: Size) -> int:
    """Memory is measured once: what a process has taken it seldom gives back, so the next time costs it nothing."""
    return 1 if scenario.measure == "memory" else size.repeat


def users_needed(size: Size) -> int:
    """How many accounts there must be beside the hub and its contacts."""
    return max(size.clients, CONTACTS)


def _measure(scenario: Scenario, size: Size, server: BenchServer, result: Result) -> float:
    """One repetition: the cost of one unit of work, in the scenario's unit."""
    usage = cpu_seconds if scenario.measure == "cpu" else pss_bytes
    load = _Load(
        Specification(
            port=server.port,
            mechanism=server.mechanism,
            work=scenario.work,
            tls=scenario.tls,
            clients=size.clients,
            count=size.count,
            in_flight=scenario.in_flight,
            seconds=scenario.seconds,
        )
    )
    try:
        load.expect_ready()
        others, cpu = _others(server, load), cpu_seconds(server.pid)
        before = usage(server.pid)
        done = load.go()
        after = usage(server.pid)
        others, cpu = _others(server, load) - others, cpu_seconds(server.pid) - cpu
    finally:
        load.end()
    if not done["done"]:
        raise ServerFailed("nothing was done")
    result.others.append(others / done["seconds"])
    result.details[server.name] = {**done, "busy": cpu / done["seconds"], "before": before, "after": after}
    return float((after - before) / done["done"] * scenario.scale)


def _others(server: BenchServer, load: _Load) -> float:
    """Processor time used so far by whoever has no part in this; only differences mean something."""
    return busy_seconds() - cpu_seconds(server.pid) - cpu_seconds(load.pid)


class _Load:
    """The load generator's process."""

    def __init__(self, specification: Specification) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load", json.dumps(asdict(specification))],
            cwd=Path(__file__).parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self._timer = threading.Timer(specification.seconds + GRACE, self._process.kill)
        self._timer.daemon = True
        self._timer.start()

    def expect_ready(self) -> None:
        self._line("ready")

    def go(self) -> dict[str, Any]:
        """Have it do what is measured, and answer what it did; it keeps its connections until `end`."""
        self._tell()
        done = json.loads(self._line(None))
        assert isinstance(done, dict)
        return done

    def _tell(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def _line(self, expected: str | None) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if line.startswith("{") and "error" in (told := json.loads(line)):
            raise ServerFailed(str(told["error"]))
        if not line or (expected is not None and line != expected):
            raise ServerFailed(f"the load ended, or said: {line!r}")
        return line

    def end(self) -> None:
        self._timer.cancel()
        try:
            self._tell()
        except OSError:
            pass  # it has ended already
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    pass
