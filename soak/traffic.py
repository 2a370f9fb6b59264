"""All of the traffic: residents and visitors, at a steady rate, for so long."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from . import people
from .actions import ACTIONS
from .client import PATIENCE, Ended, Wrong
from .findings import Findings
from .ledger import Ledger
from .residents import Resident
from .server import Soaked
from .visit import Kind, Visit
from .visits import VISITS

#: At rate 1, a second: messages and presences of residents, other things they do, visits.
WRITINGS: Final = 200.0
ACTS: Final = 25.0
VISITS_A_SECOND: Final = 10.0
#: Of the writings, the part that is presence to all contacts.
BROADCASTS: Final = 0.06
#: Seconds between two residents that leave and come back, at rate 1.
TURNOVER: Final = 2.0
#: What may be under way at a time; more is left out, and counted.
MOST_VISITS: Final = 60
MOST_ACTS: Final = 100
#: Logins under way at a time, at the beginning.
LOGINS: Final = 8
_TICK: Final = 0.05


@dataclass(frozen=True, slots=True)
class Size:
    """How much of it there is; *rate* is a factor to all that happens in a second."""

    residents: int
    visitors: int
    rate: float


class Traffic:
    """The population, and what it does."""

    def __init__(self, server: Soaked, size: Size, seed: int, findings: Findings) -> None:
        self.server = server
        self.size = size
        self.findings = findings
        self._seed = seed
        self._number = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._visiting = 0
        self._acting = 0
        self._free = deque(people.visitor(number) for number in range(size.visitors))
        self.ledger = Ledger(asyncio.get_running_loop().time)
        self.everybody = {
            people.resident(number): Resident(number, size.residents, server.ports, self.ledger, findings)
            for number in range(size.residents)
        }

    # -- phases -------------------------------------------------------------------------------------------------------

    async def visit_once_each(self) -> None:
        """One visit of each kind, so that whatever is made once has been made."""
        await asyncio.gather(*map(self._visit, VISITS))

    async def arrive(self) -> None:
        """All residents log in."""
        gate = asyncio.Semaphore(LOGINS)

        async def one(resident: Resident) -> None:
            async with gate:
                await self._guarded("logins of residents", resident.arrive(self._dice()))

        await asyncio.gather(*map(one, self.everybody.values()))

    async def run(self, seconds: float) -> None:
        """Everything at once, for so long; what is under way then is waited for."""
        loop = asyncio.get_running_loop()
        dice = self._dice()
        rate = self.size.rate
        begin = last = loop.time()
        owed = {"writing": 0.0, "act": 0.0, "visit": 0.0, "turn": 0.0}
        pace = {"writing": WRITINGS, "act": ACTS, "visit": VISITS_A_SECOND, "turn": 1 / TURNOVER}
        what = {"writing": self._write, "act": self._act, "visit": self._begin_visit, "turn": self._turn}
        while (now := loop.time()) < begin + seconds and self.server.running:
            # After a stall of the machine nothing is made up for.
            passed, last = min(now - last, 1.0), now
            for name, a_second in pace.items():
                owed[name] += passed * a_second * rate
                while owed[name] >= 1:
                    owed[name] -= 1
                    what[name](dice)
            await asyncio.sleep(_TICK)
        await self._finish()

    async def leave(self) -> None:
        """Look whether all have arrived and nothing has changed; then all residents log out."""
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE
        while self.ledger.on_their_way() and loop.time() < end:
            await asyncio.sleep(0.1)
        self.check(0)
        for resident in self.everybody.values():
            if resident.here:
                await self._guarded("rosters found as they were", resident.check_roster())
        for resident in self.everybody.values():
            resident.here = False
            await self._guarded("logouts of residents", resident.go(self._dice()))

    def check(self, overdue: float = 2 * PATIENCE) -> None:
        """Tell of what should have arrived and has not, and of residents that were put out."""
        for problem in self.ledger.overdue(overdue):
            self.findings.problem(problem)
        for resident in self.everybody.values():
            resident.watch()

    # -- what happens -------------------------------------------------------------------------------------------------

    def _write(self, dice: Random) -> None:
        here = [resident for resident in self.everybody.values() if resident.here]
        if len(here) < 2:
            return
        one, other = dice.sample(here, 2)
        if dice.random() < BROADCASTS:
            one.broadcast(self.everybody, dice)
            self.findings.done["presence broadcasts"] += 1
        else:
            # Mostly to the same few, so that several are on their way at once.
            friend = self.everybody[dice.choice(one.contacts)]
            one.write_to(friend if friend.here and dice.random() < 0.7 else other, dice)
            self.findings.done["messages"] += 1

    def _act(self, dice: Random) -> None:
        here = [resident for resident in self.everybody.values() if resident.here]
        if not here or self._acting >= MOST_ACTS:
            self.findings.done["left out: acts"] += 1
            return
        resident = dice.choice(here)
        action = dice.choices(list(ACTIONS), list(ACTIONS.values()))[0]
        dice = self._dice()

        async def act() -> None:
            resident.uses += 1
            self._acting += 1
            try:
                await self._guarded(action.__name__, action(resident, self.everybody, dice))
            finally:
                self._acting -= 1
                resident.uses -= 1

        self._spawn(act())

    def _begin_visit(self, dice: Random) -> None:
        if self._visiting >= MOST_VISITS:
            self.findings.done["left out: visits"] += 1
            return
        self._spawn(self._visit(dice.choices(list(VISITS), list(VISITS.values()))[0]))

    async def _visit(self, kind: Kind) -> None:
        dice = self._dice()
        visit = Visit(self.server, self.everybody, self._free, dice, self._number)
        self._visiting += 1
        try:
            await self._guarded(f"visit: {kind.__name__}", kind(visit))
        finally:
            self._visiting -= 1
            for client in visit.clients:
                client.cut()

    def _turn(self, dice: Random) -> None:
        """One resident leaves, and comes back."""
        here = [resident for resident in self.everybody.values() if resident.here]
        if len(here) < max(2, self.size.residents * 3 // 4):
            return
        resident, own = dice.choice(here), self._dice()

        async def turn() -> None:
            if not await resident.quiet():
                raise Wrong(f"{resident.name} waits for something that does not come")
            await resident.go(own)
            await asyncio.sleep(own.uniform(0, 5))
            await resident.arrive(own)

        self._spawn(self._guarded("residents that left and came back", turn()))

    # -- tasks --------------------------------------------------------------------------------------------------------

    def _dice(self) -> Random:
        """Dice for the next thing: what it does depends on the seed and its number alone."""
        self._number += 1
        return Random(f"{self._seed}/{self._number}")

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(self) -> None:
        while self._tasks:
            await asyncio.wait(list(self._tasks), timeout=5 * PATIENCE)
            self.check()

    async def _guarded(self, what: str, work: Awaitable[None]) -> None:
        """Do *work*; whatever is wrong is a finding."""
        try:
            await work
        except (Wrong, Ended) as wrong:
            self.findings.problem(f"{what}: {wrong}")
        except Exception as error:
            self.findings.problem(f"{what}: {type(error).__name__}: {error}")
        else:
            self.findings.done[what] += 1


async def every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    """Do *work* again and again, until cancelled."""
    loop = asyncio.get_running_loop()
    begin, count = loop.time(), 0
    while True:
        count += 1
        await asyncio.sleep(max(begin + count * seconds - loop.time(), 0))
        await work()
