"""Without faults: how soon what is sent is acknowledged, and `<r/>` answered while nothing can be stored."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from random import Random
from typing import Final

from bench.names import DOMAIN, user

from .connection import authenticated
from .ledger import Ledger
from .population import population
from .subjects import Subject

#: Messages that are written, so many that one in a thousand is several of them; and a second: every server keeps up.
MESSAGES: Final = 5100
RATE: Final = 100.0
#: Seconds of the lock.
LOCK: Final = 2.0
ASK_EVERY: Final = 0.05
#: Seconds that answers may still take when the lock is gone; what does not come at all counts as that late.
AFTERWARDS: Final = 10.0
#: What must be: acknowledged within so many seconds, that part of all; and seconds to an answer.
SOON: Final = 1.0
PART: Final = 0.999
ANSWERED: Final = 0.1


@dataclass(slots=True)
class Calm:
    """Seconds that things took."""

    acknowledged: list[float] = field(default_factory=list)
    unacknowledged: int = 0
    resent: int = 0
    """Messages that were sent more than once: none, where nothing is done to any connection."""
    answers: list[float] = field(default_factory=list)
    """To `<r/>`, while the database was locked."""
    early: int = 0
    """Messages acknowledged while nothing could be stored."""

    def as_json(self) -> dict[str, object]:
        taken = sorted(self.acknowledged)
        total = len(taken) + self.unacknowledged
        return {
            "sent": total,
            "resent": self.resent,
            "soon": sum(seconds <= SOON for seconds in taken) / total if total else None,
            "p50": _part(taken, 0.5),
            "p999": _part(taken, PART),
            "slowest": _part(taken, 1.0),
            "asked while locked": len(self.answers),
            "slowest answer while locked": _part(sorted(self.answers), 1.0),
            "acknowledged while locked": self.early,
        }


def _part(ordered: list[float], part: float) -> float | None:
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)] if ordered else None


async def calm(subject: Subject, devices: int, dice: Random) -> Calm:
    """Measure it on a server that runs."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    ledger = Ledger(lambda: loop.time() - begin)
    async with population(subject.port, devices, dice, ledger) as everybody:
        await everybody.write_steadily(MESSAGES, RATE)
        await everybody.settle()
    found = of(ledger)
    await _locked(subject, found)
    return found


def of(ledger: Ledger) -> Calm:
    """What a run without faults has come to."""
    found = Calm(resent=sum(len(message.at) > 1 for message in ledger.messages.values()))
    for message in ledger.messages.values():
        if message.acknowledged is None:
            found.unacknowledged += 1
        else:
            found.acknowledged.append(message.acknowledged - message.at[0])
    return found


async def _locked(subject: Subject, found: Calm) -> None:
    lock = subject.locked()
    if lock is None:
        return
    connection = await authenticated(subject.port, user(0))
    try:
        await connection.begin("asking")
        acknowledged: list[str] = []
        connection.on_acknowledged = lambda messages, way: acknowledged.extend(messages)
        with lock:
            end = asyncio.get_running_loop().time() + LOCK
            number = 0
            while asyncio.get_running_loop().time() < end:
                number += 1
                text = (
                    f"<message to='{user(1)}@{DOMAIN}' type='chat' id='locked{number}'><body>{number}</body></message>"
                )
                connection.send_message(text.encode(), f"locked{number}")
                connection.ask()
                await asyncio.sleep(ASK_EVERY)
            found.early = len(acknowledged)
        # What is only answered when the lock is gone counts as well: its time tells.
        end = asyncio.get_running_loop().time() + AFTERWARDS
        while len(connection.answers) < number and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(ASK_EVERY)
        unanswered = number - len(connection.answers)
        found.answers = [*connection.answers, *[AFTERWARDS] * unanswered]
    finally:
        connection.cut()
