"""The run: every scenario on every server, in turns.

The servers of a scenario start fresh and stay up for all its repetitions, which are interleaved (A B C, A B C): what
disturbs the machine for a while disturbs all of them. Those whose turn it is not have nothing to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .load import Specification
from .load_process import LoadProcess
from .names import CONTACTS
from .process import ServerFailed
from .results import Result
from .scenarios import Scenario, Size
from .server import Subject
from .usage import busy_seconds, cpu_seconds, pss_bytes


def run(
    scenario: Scenario,
    size: Size,
    servers: Iterable[Subject],
    tell: Callable[[str], None],
) -> Result:
    """Do *scenario* on each of *servers*. What goes wrong with one of them stands in the result, loud and clear."""
    result = new_result(scenario)
    running: list[Subject] = []
    try:
        start_all(servers, running, result)
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


def new_result(scenario: Scenario) -> Result:
    return Result(scenario.name, scenario.title, scenario.unit, limit=scenario.limit)


def start_all(servers: Iterable[Subject], running: list[Subject], result: Result) -> None:
    """Start *servers*; each that does is added to *running* at once, to be stopped whatever happens then."""
    for server in servers:
        try:
            server.start()
            running.append(server)
        except (ServerFailed, RuntimeError, OSError) as error:
            result.failures[server.name] = str(error)


def repetitions(scenario: Scenario, size: Size) -> int:
    """Memory is measured once: what a process has taken it seldom gives back, so the next time costs it nothing."""
    return 1 if scenario.measure == "memory" else size.repeat


def users_needed(size: Size) -> int:
    """How many accounts there must be beside the hub and its contacts."""
    return max(size.clients, CONTACTS)


def specification(scenario: Scenario, size: Size, server: Subject) -> Specification:
    """What the load is to do there."""
    return Specification(
        places=server.places,
        mechanism=server.mechanism,
        work=scenario.work,
        tls=scenario.tls,
        clients=size.clients,
        count=size.count,
        in_flight=scenario.in_flight,
        seconds=scenario.seconds,
        peers=server.peers,
    )


def _measure(scenario: Scenario, size: Size, server: Subject, result: Result) -> float:
    """One repetition: the cost of one unit of work, in the scenario's unit."""
    usage = cpu_seconds if scenario.measure == "cpu" else pss_bytes
    load = LoadProcess(specification(scenario, size, server))
    try:
        load.expect_ready()
        others, cpu = others_seconds(server, load), cpu_seconds(*server.pids)
        before = usage(*server.pids)
        done = load.go()
        after = usage(*server.pids)
        others, cpu = others_seconds(server, load) - others, cpu_seconds(*server.pids) - cpu
    finally:
        load.end()
    if not done["done"]:
        raise ServerFailed("nothing was done")
    result.others.append(others / done["seconds"])
    result.details[server.name] = {**done, "busy": cpu / done["seconds"], "before": before, "after": after}
    return float((after - before) / done["done"] * scenario.scale)


def others_seconds(server: Subject, load: LoadProcess) -> float:
    """Processor time used so far by whoever has no part in this; only differences mean something."""
    return busy_seconds() - cpu_seconds(*server.pids, load.pid)
