"""Whether Federix costs more per message where there is more of everything else.

A hundred clients talk in pairs at a fixed rate, well below what the server can carry. The same load, from a process
that holds nothing else, goes to a server that has these clients alone, to one where thousands of idle sessions are
connected besides, to one with many virtual hosts, and to one whose users have long rosters.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from .figures import percentile
from .load import Specification
from .load_process import LoadProcess
from .names import user
from .ours import Watched
from .process import ServerFailed
from .results import Bound
from .run import users_needed
from .scenarios import Size
from .usage import cpu_seconds, exact_cpu_seconds, pss_bytes

#: What a message and the round trips may cost among many, as times of what they cost alone.
CPU_LIMIT: Final = 1.10
P99_LIMIT: Final = 2.0
#: Idle sessions that come and go before, to have everything loaded that a login needs.
WARM_UP: Final = 20
#: Seconds that a crowd may stay, and those who talk.
STAYS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Variant:
    """What there is beside the clients that talk."""

    name: str
    title: str
    sessions: int = 0
    hosts: int = 0
    contacts: int = 0
    """In the roster of each who talks."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything: *talking* says who talks, how often each in a turn, and how many turns there are."""

    talking: Size
    rate: float
    rest: float
    """Seconds in which nothing happens before anybody talks: a minute or two after its login an idle session lets its
    parser go, which is part of what logging in costs, and not of what it costs that it is there."""
    variants: tuple[Variant, ...]


ALONE: Final = Variant("alone", "alone")
FULL: Final = Scale(
    Size(clients=100, count=10, repeat=40),
    1000.0,
    130.0,
    (
        Variant("sessions", "among 10 000 idle sessions, TLS", sessions=10_000),
        Variant("hosts", "on one of 100 virtual hosts", hosts=99),
        Variant("roster", "with rosters of 1 000", contacts=1000),
    ),
)
QUICK: Final = Scale(
    Size(clients=10, count=10, repeat=2),
    200.0,
    0.0,
    (
        Variant("sessions", "among 100 idle sessions, TLS", sessions=100),
        Variant("hosts", "on one of 5 virtual hosts", hosts=4),
        Variant("roster", "with rosters of 20", contacts=20),
    ),
)


@dataclass
class Measured:
    """One variant's turns."""

    cpu: list[float] = field(default_factory=list)
    """Of the server, in seconds for a message."""
    median: list[float] = field(default_factory=list)
    """Of the round trips, in seconds; so are the next."""
    p99: list[float] = field(default_factory=list)
    longest: list[float] = field(default_factory=list)
    pauses: list[list[float]] = field(default_factory=list)
    """The collector's, in seconds, as far as they were no shorter than a millisecond."""
    session_bytes: float | None = None
    logins: dict[str, float] = field(default_factory=dict)
    """What logging the idle sessions in took."""


class Stage:
    """A server with one variant's crowd."""

    def __init__(self, variant: Variant, scale: Scale, folder: Path, pem: Path, stack: ExitStack) -> None:
        self.variant = variant
        self.scale = scale
        self.measured = Measured()
        self._crowd: LoadProcess | None = None
        self._talking: LoadProcess
        size = scale.talking
        self._server = Watched(folder, pem, users_needed(size) + variant.sessions)
        self._server.more_hosts = variant.hosts
        self._server.rosters = {user(n): [f"friend{m}" for m in range(variant.contacts)] for n in range(size.clients)}
        self._server.start()
        stack.callback(self._server.stop)
        if variant.sessions:
            self._fill(stack)

    def _specification(
        self, work: str, size: Size, *, seconds: float, warm_up: int = 0, first: int = 0
    ) -> Specification:
        return Specification(
            places=self._server.places,
            mechanism=self._server.mechanism,
            work=work,
            tls=True,
            clients=size.clients,
            count=size.count,
            in_flight=warm_up,
            seconds=seconds,
            first=first,
            rate=self.scale.rate,
        )

    def _fill(self, stack: ExitStack) -> None:
        """Log the idle ones in, from a process of their own; they stay until *stack* is closed."""
        begun = time.monotonic()
        size = Size(self.variant.sessions, 1, 1)
        first = users_needed(self.scale.talking)
        self._crowd = crowd = LoadProcess(
            self._specification("idle", size, seconds=STAYS, warm_up=WARM_UP, first=first)
        )
        stack.callback(crowd.end)
        crowd.expect_ready()
        before, cpu = pss_bytes(self._server.pid), cpu_seconds(self._server.pid)
        done = crowd.go()["done"]
        self.measured.session_bytes = (pss_bytes(self._server.pid) - before) / done
        pauses = self._pauses(begun)
        self.measured.logins = {
            "seconds": time.monotonic() - begun,
            "cpu": (cpu_seconds(self._server.pid) - cpu) / done,
            "pauses": sum(pauses),
            "longest pause": max(pauses, default=0.0),
        }

    def begin(self, stack: ExitStack) -> None:
        """Log in those who talk: behind the crowd, as everybody comes behind somebody. They stay, too."""
        self._talking = load = LoadProcess(self._specification("paced", self.scale.talking, seconds=STAYS))
        stack.callback(load.end)
        load.expect_ready()

    def measure(self) -> None:
        """One turn. Raises `ServerFailed`."""
        begun, cpu = time.monotonic(), exact_cpu_seconds(self._server.pid)
        told = self._talking.go()
        cpu = exact_cpu_seconds(self._server.pid) - cpu
        measured = self.measured
        measured.cpu.append(cpu / told["done"])
        trips = told["round_trips"]
        measured.median.append(trips["median"])
        measured.p99.append(trips["p99"])
        measured.longest.append(trips["max"])
        measured.pauses.append(self._pauses(begun))

    def _pauses(self, since: float) -> list[float]:
        return [pause.seconds for pause in self._server.pauses(since)]

    def check(self) -> None:
        """Raises `ServerFailed` unless the idle ones were there all the time."""
        if self._crowd is not None and self._crowd.connected() < self.variant.sessions:
            raise ServerFailed("not all of the idle sessions were still connected")


def run(scale: Scale, folder: Path, pem: Path, tell: Callable[[str], None]) -> list[Bound]:
    """Each variant beside the clients alone, in short turns. A failure stands in what is returned."""
    measured: dict[str, Measured] = {}
    try:
        with ExitStack() as stack:
            stages = []
            for variant in (ALONE, *scale.variants):
                tell(f"scale: preparing: {variant.title}")
                stages.append(Stage(variant, scale, folder / f"scale-{variant.name}", pem, stack))
            tell(f"scale: nothing happens for {scale.rest:g} s")
            time.sleep(scale.rest)
            for stage in stages:
                stage.begin(stack)
            tell(f"scale: {scale.talking.repeat} turns")
            for _ in range(scale.talking.repeat):
                for stage in stages:
                    stage.measure()
            for stage in stages:
                stage.check()
            measured = {stage.variant.name: stage.measured for stage in stages}
    except (ServerFailed, OSError) as error:
        return [Bound("scale", "a message in a crowd", "×", failure=str(error))]
    finally:
        for variant in (ALONE, *scale.variants):
            shutil.rmtree(folder / f"scale-{variant.name}", ignore_errors=True)
    return bounds(measured, scale.variants)


def bounds(measured: dict[str, Measured], variants: Iterable[Variant]) -> list[Bound]:
    """What was *measured*, as times of what it costs alone."""
    alone = measured[ALONE.name]
    found = [
        Bound("alone-cpu", "CPU of a message, alone", "µs", [seconds * 1e6 for seconds in alone.cpu]),
        Bound("alone-median", "median of a round trip, alone", "ms", [seconds * 1e3 for seconds in alone.median]),
        Bound("alone-p99", "p99 of a round trip, alone", "ms", [seconds * 1e3 for seconds in alone.p99]),
    ]
    for variant in variants:
        one = measured[variant.name]
        found += [
            _times(f"{variant.name}-cpu", f"CPU of a message {variant.title}", one.cpu, alone.cpu, CPU_LIMIT),
            _times(f"{variant.name}-p99", f"p99 of a round trip {variant.title}", one.p99, alone.p99, P99_LIMIT),
        ]
        found[-1] = replace(found[-1], details={"this": vars(one), "alone": vars(alone)})
        if one.session_bytes is not None:
            memory, pauses = one.session_bytes / 1024, [max(some, default=0.0) * 1e3 for some in one.pauses]
            login = one.logins["longest pause"] * 1e3
            found += [
                Bound(f"{variant.name}-memory", "memory of each idle session", "KiB", [memory]),
                Bound(f"{variant.name}-pause", "longest pause of the collector among them", "ms", pauses),
                Bound(f"{variant.name}-login-pause", "longest pause of the collector as they log in", "ms", [login]),
            ]
    return found


def _times(name: str, title: str, ours: Sequence[float], alone: Sequence[float], limit: float) -> Bound:
    """The middle one of the turns, in each of which both were measured one after the other: a machine has quick hours
    and slow ones."""
    pairs = [cost / base for cost, base in zip(ours, alone, strict=True)]
    return Bound(name, f"{title}, × alone", "×", [percentile(pairs, 0.5)], limit)
