"""One server's run: without faults first, then with all of them, then the verdict."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

from bench import certificate
from bench.process import ServerFailed
from soak.client import Ended, Wrong

from . import archive
from .calm import calm
from .judge import judge
from .ledger import Ledger
from .population import PAGES, Population, population
from .room import room
from .subjects import Subject
from .trouble import Trouble

#: Lines of a server's log that are kept, and characters of one.
MOST_COMPLAINTS: Final = 10
MOST_OF_A_LINE: Final = 3000


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be done to a server."""

    kills: int
    seed: int
    devices: int
    kinds: Sequence[str]
    measures_calm: bool = True


async def run(kind: type[Subject], task: Task, folder: Path) -> dict[str, Any]:
    """Everything that was found, to be kept as JSON."""
    outcome: dict[str, Any] = {
        "name": kind.name,
        "version": kind.version(),
        "storage": kind.storage(),
        "seed": task.seed,
        "devices": task.devices,
        "failure": None,
    }
    folder.mkdir(parents=True)
    shown = certificate.make(folder / "certificate.pem")
    try:
        if task.measures_calm:
            subject = kind(folder / "calm", shown, task.devices)
            try:
                await asyncio.to_thread(subject.start)
                outcome["calm"] = (await calm(subject, task.devices, Random(task.seed))).as_json()
            finally:
                subject.stop()
                shutil.rmtree(folder / "calm", ignore_errors=True)
        outcome |= await _troubled(kind, task, folder, shown)
    except (ServerFailed, Wrong, Ended, TimeoutError) as failure:
        outcome["failure"] = f"{type(failure).__name__}: {failure}"
    return outcome


async def _troubled(kind: type[Subject], task: Task, folder: Path, shown: Path) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    dice = Random(task.seed)
    with room(folder / "room") as space:
        subject = kind(folder / "room" / "server", shown, task.devices)
        try:
            await asyncio.to_thread(subject.start)
            begin = loop.time()
            ledger = Ledger(lambda: loop.time() - begin)
            async with population(subject.port, task.devices, dice, ledger) as everybody:
                trouble = Trouble(subject, everybody.devices, ledger, dice, space, task.kinds)
                everybody.write()
                await trouble.make(task.kills)
                settled = await everybody.settle()
                seconds = ledger.seconds()
            await _read_archives(subject, everybody, ledger)
            complaints = subject.complaints()
        finally:
            subject.stop()
    return {
        "seconds": seconds,
        "ended": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "settled": settled,
        "room": space is not None,
        "faults": dict(trouble.done),
        "sessions": dict(everybody.done),
        "problems": everybody.problems,
        "complaints": len(complaints),
        "complained": [line[:MOST_OF_A_LINE] for line in complaints[:MOST_COMPLAINTS]],
        "verdict": asdict(judge(ledger)),
    }


async def _read_archives(subject: Subject, everybody: Population, ledger: Ledger) -> None:
    for device in everybody.devices:
        ledger.archives[device.name] = await archive.read(subject.port, device.name, PAGES)
