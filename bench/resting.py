"""The memory of idle sessions, or of idle streams between servers, twice: when they have just come, and when they have
had nothing to say for a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass

from .load_process import LoadProcess
from .process import ServerFailed
from .results import Result
from .run import new_result, specification, start_all
from .scenarios import SCENARIOS, Scenario, Size
from .server import Subject
from .usage import pss_bytes


@dataclass
class _Held:
    """A server with its sessions or streams."""

    server: Subject
    load: LoadProcess
    before: int
    done: int

    def used(self, scale: float) -> float:
        """What each of them has taken so far."""
        return (pss_bytes(*self.server.pids) - self.before) / self.done * scale


def run_resting(
    scenario: Scenario,
    size: Size,
    seconds: float,
    servers: Iterable[Subject],
    tell: Callable[[str], None],
) -> list[Result]:
    """Fill each server, look at once, and again when all have rested for so many *seconds*: they do so together."""
    fresh, rested = new_result(SCENARIOS[scenario.fresh]), new_result(scenario)
    running: list[Subject] = []
    held: list[_Held] = []
    with ExitStack() as stack:
        stack.callback(_stop_all, running)
        start_all(servers, running, fresh)
        for server in running:
            tell(f"{scenario.name}: {server.name}")
            try:
                load = LoadProcess(specification(scenario, size, server))
                stack.callback(load.end)
                load.expect_ready()
                before = pss_bytes(*server.pids)
                held.append(one := _Held(server, load, before, load.go()["done"]))
                fresh.samples[server.name] = [one.used(scenario.scale)]
            except ServerFailed as error:
                fresh.failures[server.name] = f"{error}\n{server.said()[-1500:]}"
        tell(f"{scenario.name}: nothing happens for {seconds:g} s")
        time.sleep(seconds)
        rested.failures.update(fresh.failures)
        for one in held:
            name = one.server.name
            rested.samples[name] = [one.used(scenario.scale)]
            try:
                if one.load.connected() < one.done:
                    raise ServerFailed("not all of them were still connected")
            except (ServerFailed, OSError) as error:
                rested.failures[name] = str(error)
    return [fresh, rested]


def _stop_all(servers: list[Subject]) -> None:
    for server in servers:
        server.stop()
