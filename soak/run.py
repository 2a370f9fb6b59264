"""One run: the server is started, soaked, left alone, and looked at all the while."""

from __future__ import annotations

import asyncio
import gc
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import federix
from federix.server.ctl.asking import NoServer, Refused

from . import verdict
from .findings import Findings
from .sampling import Sample, descriptors, look
from .server import Soaked
from .traffic import Size, Traffic, every
from .warming import fill_caches

#: Seconds between two looks; less where the run is short.
SAMPLING: Final = 10.0
LOOKS_AT_LEAST: Final = 60
#: Seconds between two things the operator does, and at most a quarter of the run.
OPERATING: Final = 60.0
#: Seconds for a login: those who stall must go while we look, and nobody else, however busy the machine is; and for a
#: run of less than a minute.
NEGOTIATION: Final = 30.0
NEGOTIATION_SHORT: Final = 5.0
#: Seconds to come to rest when all have gone, or a part of a short run; longer where connections are still there.
SETTLING: Final = 10.0
SETTLING_PART: Final = 0.2
SETTLED_AT_LATEST: Final = 60.0 + NEGOTIATION
#: Seconds between two lines about how it goes.
TELLING: Final = 60.0


@dataclass(slots=True)
class Outcome:
    """All that a run has found out."""

    version: str
    machine: str
    seed: int
    size: Size
    seconds: float
    began: str
    samples: list[Sample] = field(default_factory=list)
    before: Sample | None = None
    after: Sample | None = None
    left_open: list[str] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)
    arrived: int = 0
    slowest: float = 0.0
    log_lines: int = 0
    problems: list[str] = field(default_factory=list)
    problem_count: int = 0
    complete: bool = False

    def memory(self) -> verdict.Memory | None:
        return verdict.memory([(sample.at, float(sample.private)) for sample in self.samples], self.seconds)

    def failures(self) -> list[str]:
        """Why the run has failed; nothing where it has not."""
        found = []
        if self.problem_count:
            found.append(f"{self.problem_count} problems")
        if not self.complete:
            found.append("it did not come to its end")
        if self.left_open:
            found.append(f"{len(self.left_open)} descriptors more than before: {', '.join(self.left_open)}")
        if self.after is not None and (self.after.sessions or self.after.requests_waiting):
            found.append(f"{self.after.sessions} sessions and {self.after.requests_waiting} requests are left at rest")
        memory = self.memory()
        if self.complete and memory is None:
            found.append("memory was not looked at often enough")
        elif memory is not None and not memory.passed:
            found.append(f"memory grew by {memory.growth / verdict.MIB:.1f} MiB")
        return found

    def as_json(self) -> dict[str, Any]:
        memory = self.memory()
        return {**asdict(self), "memory": None if memory is None else asdict(memory), "failures": self.failures()}


class Run:
    """What goes on beside the traffic: looking, operating, telling."""

    def __init__(self, server: Soaked, outcome: Outcome, traffic: Traffic, findings: Findings) -> None:
        self._server = server
        self._outcome = outcome
        self._traffic = traffic
        self._findings = findings
        self._dice = Random(f"{outcome.seed}/operator")
        self._begin = 0.0
        self._told = 0.0

    async def all(self, save: Callable[[Outcome], None]) -> None:
        traffic, outcome, seconds = self._traffic, self._outcome, self._outcome.seconds
        await fill_caches(self._server.ports)
        await traffic.visit_once_each()
        outcome.before = await self._at_rest()
        before = descriptors(self._server.pid)
        self._begin = time.monotonic()
        await traffic.arrive()
        # The samples count from here: logging in is not yet what is to be looked at.
        self._begin = time.monotonic()

        async def look_and_save() -> None:
            await self._look()
            save(outcome)

        # Long-lived objects of ours are not gone through each time.
        gc.freeze()
        beside = [
            asyncio.create_task(every(min(SAMPLING, seconds / LOOKS_AT_LEAST), look_and_save)),
            asyncio.create_task(every(min(OPERATING, seconds / 4), self._operate)),
        ]
        try:
            await traffic.run(seconds)
        finally:
            for task in beside:
                task.cancel()
            for result in await asyncio.gather(*beside, return_exceptions=True):
                if isinstance(result, Exception):
                    self._findings.problem(f"looking at the server: {type(result).__name__}: {result}")
        if self._server.running:
            await traffic.leave()
            outcome.after = await self._at_rest()
            outcome.left_open = verdict.left_open(before, descriptors(self._server.pid))
            self._read_log()
            outcome.complete = True
        else:
            self._findings.problem(f"the server has ended: {self._server.said()}")
        self._sum_up()

    async def _at_rest(self) -> Sample:
        """What the server uses when nobody is there any more."""
        end = time.monotonic() + SETTLED_AT_LATEST
        while (await self._stats())["connections"] and time.monotonic() < end:
            await asyncio.sleep(0.5)
        await asyncio.sleep(min(SETTLING, self._outcome.seconds * SETTLING_PART))
        return await self._sample()

    # -- looking ------------------------------------------------------------------------------------------------------

    async def _stats(self) -> dict[str, int]:
        return dict(await asyncio.to_thread(self._server.stats))

    async def _sample(self) -> Sample:
        stats = await self._stats()
        at = time.monotonic() - self._begin if self._begin else 0.0
        return look(self._server.pid, at, self._server.database_bytes(), stats)

    async def _look(self) -> None:
        self._outcome.samples.append(await self._sample())
        self._traffic.check()
        self._read_log()
        self._sum_up()
        sample = self._outcome.samples[-1]
        if sample.at - self._told >= TELLING:
            self._told = sample.at
            print(
                f"{sample.at / 60:5.1f} min  private {sample.private / verdict.MIB:6.1f} MiB"
                f"  {sample.descriptors} descriptors  {sample.sessions} sessions"
                f"  CPU {sample.cpu:.0f} s, load {sample.load_cpu:.0f} s"
                f"  {self._traffic.ledger.arrived_well} arrived  {self._findings.count} problems",
                flush=True,
            )

    def _read_log(self) -> None:
        for problem in self._server.log.news():
            self._findings.problem(f"log: {problem}")

    def _sum_up(self) -> None:
        outcome, findings, ledger = self._outcome, self._findings, self._traffic.ledger
        outcome.done = dict(sorted(findings.done.items()))
        outcome.problems, outcome.problem_count = findings.problems, findings.count
        outcome.arrived, outcome.slowest = ledger.arrived_well, ledger.slowest
        outcome.log_lines = self._server.log.lines

    # -- operating ----------------------------------------------------------------------------------------------------

    async def _operate(self) -> None:
        """One thing an operator does now and then."""
        what = self._dice.choice(("reload", "reload", "log rotation", "figures"))
        try:
            await asyncio.to_thread(self._do, what)
        except (NoServer, Refused, OSError) as error:
            self._findings.problem(f"operator: {what}: {error}")
        else:
            self._findings.done[f"operator: {what}"] += 1

    def _do(self, what: str) -> None:
        server = self._server
        if what == "reload":
            server.change_configuration()
            answer = server.command("reload_config")
            if answer:
                raise OSError(f"a reload answers {answer}")
        elif what == "log rotation":
            server.hang_up()
        else:
            for name in ("tree", "hooks", "connected_users", "dump_config", "status"):
                server.command(name)


async def soak(minutes: float, size: Size, seed: int, save: Callable[[Outcome], None]) -> Outcome:
    """Do all of it; *save* is called now and then with what is known so far. Raises `bench.process.ServerFailed`."""
    outcome = Outcome(
        version=f"Federix {federix.__version__}",
        machine=f"{platform.machine()}, Python {platform.python_version()}",
        seed=seed,
        size=size,
        seconds=minutes * 60,
        began=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    )
    findings = Findings()

    def crashed(_: asyncio.AbstractEventLoop, told: dict[str, Any]) -> None:
        findings.problem(f"the load itself: {told.get('message')}: {told.get('exception')!r}")

    asyncio.get_running_loop().set_exception_handler(crashed)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        timeout = NEGOTIATION if minutes >= 1 else NEGOTIATION_SHORT
        server = Soaked(Path(folder), size.residents, size.visitors, timeout)
        try:
            traffic = Traffic(server, size, seed, findings)
            await Run(server, outcome, traffic, findings).all(save)
        finally:
            server.stop()
        for problem in server.log.news():
            findings.problem(f"log: {problem}")
        outcome.problems, outcome.problem_count = findings.problems, findings.count
    save(outcome)
    return outcome
