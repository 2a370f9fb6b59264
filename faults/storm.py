"""A storm: the server was killed, and everybody comes back at once, each over TLS and SCRAM."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from bench import certificate
from bench.names import user
from bench.process import ServerFailed
from bench.usage import cpu_seconds
from soak.client import Ended, Wrong

from .connection import Connection, authenticated
from .subjects import Subject

#: Seconds within which all knock, how long each tries, and between two attempts of one that was not let in.
WITHIN: Final = 5.0
PATIENCE: Final = 120.0
AGAIN: Final = (0.2, 1.0)
#: How many come at a time when nothing is wrong: before the server is killed.
GENTLY: Final = 50


@dataclass(slots=True)
class Storm:
    """What came of it."""

    clients: int
    seconds: list[float] = field(default_factory=list)
    """From the first attempt to the session, of each that got in."""
    turned_away: Counter[str] = field(default_factory=Counter)
    """Attempts that came to nothing, and why."""
    failed: list[str] = field(default_factory=list)
    """Those who did not get in."""
    server_cpu: float = 0.0
    load_cpu: float = 0.0
    lasted: float = 0.0

    def as_json(self) -> dict[str, object]:
        taken = sorted(self.seconds)
        count = max(len(taken), 1)
        figures = asdict(self)
        del figures["seconds"], figures["failed"]
        return figures | {
            "p50": taken[len(taken) // 2] if taken else None,
            "slowest": taken[-1] if taken else None,
            "again": self.turned_away.total(),
            "failed": len(self.failed),
            "failures": self.failed[:10],
            "server_cpu_each": self.server_cpu / count,
            "load_cpu_each": self.load_cpu / count,
        }


async def storm(kind: type[Subject], clients: int, seed: int, folder: Path) -> dict[str, Any]:
    """Start a server, let all log in, kill it, start it again, and let all come at once."""
    outcome: dict[str, Any] = {"name": kind.name, "version": kind.version(), "seed": seed, "failure": None}
    folder.mkdir(parents=True)
    subject = kind(folder / "server", certificate.make(folder / "certificate.pem"), clients)
    online: list[Connection] = []
    try:
        await asyncio.to_thread(subject.start)
        gate = asyncio.Semaphore(GENTLY)
        dice = Random(seed)
        await asyncio.gather(*(_come_gently(subject.port, number, gate, online) for number in range(clients)))
        subject.kill()
        await asyncio.gather(*(connection.over.wait() for connection in online))
        online.clear()
        await asyncio.to_thread(subject.start_again)
        found = Storm(clients)
        server, load, begin = cpu_seconds(subject.pid), time.process_time(), time.monotonic()
        knocks = (_come(subject.port, number, Random(dice.random()), found, online) for number in range(clients))
        await asyncio.gather(*knocks)
        found.server_cpu = cpu_seconds(subject.pid) - server
        found.load_cpu = time.process_time() - load
        found.lasted = time.monotonic() - begin
        outcome["storm"] = found.as_json()
    except (ServerFailed, Wrong, Ended, TimeoutError) as failure:
        outcome["failure"] = f"{type(failure).__name__}: {failure}"
    finally:
        subject.stop()
        for connection in online:
            connection.reset()
    return outcome


async def _come_gently(port: int, number: int, gate: asyncio.Semaphore, online: list[Connection]) -> None:
    async with gate:
        online.append(await _log_in(port, number))


async def _come(port: int, number: int, dice: Random, found: Storm, online: list[Connection]) -> None:
    """Knock until it is let in, or patience ends."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(dice.uniform(0, WITHIN))
    begin = loop.time()
    problem = ""
    while loop.time() - begin < PATIENCE:
        try:
            online.append(await _log_in(port, number))
        except (Wrong, Ended, OSError) as failure:
            problem = str(failure)
            found.turned_away[problem[:80]] += 1
            await asyncio.sleep(dice.uniform(*AGAIN))
        else:
            found.seconds.append(loop.time() - begin)
            return
    found.failed.append(f"{user(number)}: {problem}")


async def _log_in(port: int, number: int) -> Connection:
    connection = await authenticated(port, user(number))
    try:
        await connection.begin("storm")
    except BaseException:
        connection.reset()
        raise
    # As clients do that know no version of it.
    connection.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq><presence/>")
    return connection
