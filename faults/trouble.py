"""What is done to the server and to its clients while they write: chosen by a seed, bounded in number and time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from .device import Device
from .ledger import Ledger
from .room import Room
from .subjects import Subject

#: What there is, and how often in comparison with the others. Each kind can be left out.
FAULTS: Final = {"kill": 10, "cut": 14, "close": 8, "stall": 3, "fill": 3, "lock": 3, "restart": 3}
#: Kills between two lines about how it goes.
TOLD_EVERY: Final = 25
#: Seconds between two faults.
BETWEEN: Final = (0.1, 1.2)
#: Seconds in which half of the devices are to be back before the next fault.
GATHERING: Final = 10.0
#: Before somebody is killed or cut off much is sent, by so many messages each, and so many seconds later it happens: so
#: it meets messages at every step of their way.
BURST: Final = (5, 40)
MIDST: Final = (0.0, 0.06)
#: Seconds for which the server is away, a line is silent before its device notices, and the server before it does.
AWAY: Final = (0.0, 0.5)
UNNOTICED: Final = (0.1, 2.0)
OPEN_STILL: Final = (0.0, 4.0)
#: Seconds for which a device does not read, the store is full, the database is locked.
STALLED: Final = (1.0, 4.0)
FULL: Final = (0.5, 3.0)
LOCKED: Final = (0.3, 2.0)
#: How often the server is killed meanwhile.
KILLED_FULL: Final = 0.3
KILLED_LOCKED: Final = 0.5
#: Seconds that a run may take for each kill, and beyond that.
FOR_EACH: Final = 25.0
AT_LEAST: Final = 120.0


@dataclass(slots=True)
class Trouble:
    """Makes it, until there were so many kills."""

    subject: Subject
    devices: Sequence[Device]
    ledger: Ledger
    dice: Random
    room: Room | None
    kinds: Sequence[str]
    done: Counter[str] = field(default_factory=Counter)
    _later: set[asyncio.Task[None]] = field(default_factory=set)

    async def make(self, kills: int) -> None:
        """All of it; returns with the server running and nothing wrong with any cable. Raises `ServerFailed`."""
        makers: dict[str, Callable[[], Awaitable[None]]] = {
            "kill": self._kill,
            "cut": self._cut,
            "close": self._close,
            "stall": self._stall,
            "fill": self._fill,
            "lock": self._lock,
            "restart": self._restart,
        }
        kinds = [kind for kind in FAULTS if kind in self.kinds]
        weights = [FAULTS[kind] for kind in kinds]
        end = self.ledger.seconds() + AT_LEAST + FOR_EACH * kills
        try:
            while self.done["kill"] < kills and self.ledger.seconds() < end:
                await asyncio.sleep(self.dice.uniform(*BETWEEN))
                await self._revive()
                await self._gathered()
                kind = self.dice.choices(kinds, weights)[0]
                await makers[kind]()
                if kind == "kill" and self.done["kill"] % TOLD_EVERY == 0:
                    print(
                        f"{self.subject.name}: {self.done['kill']} kills, {len(self.ledger.messages)} messages",
                        flush=True,
                    )
        finally:
            if self.room is not None:
                self.room.empty()
            for task in self._later:
                task.cancel()
            await asyncio.gather(*self._later, return_exceptions=True)
            for device in self.devices:
                device.cable.drop()
        await self._revive()

    async def _gathered(self) -> None:
        """Wait for half of the devices, for a while: on a slow machine too each fault must meet somebody."""
        end = self.ledger.seconds() + GATHERING
        while 2 * sum(device.is_here for device in self.devices) < len(self.devices) and self.ledger.seconds() < end:
            await asyncio.sleep(0.05)

    async def _revive(self) -> None:
        """Start the server where it ended by itself."""
        if self.subject.running:
            return
        self.ledger.event("server ended by itself")
        self.done["ended by itself"] += 1
        self.subject.kill()
        await self._start()

    async def _start(self) -> None:
        await asyncio.to_thread(self.subject.start_again)
        self.ledger.event("server started")

    async def _burst(self, devices: Sequence[Device]) -> None:
        """Have *devices* send much, and return in the midst of it."""
        for device in devices:
            others = [other for other in self.devices if other is not device]
            device.write(self.dice.choice(others).name, self.dice.randint(*BURST))
        await asyncio.sleep(self.dice.uniform(*MIDST))

    async def _kill(self) -> None:
        await self._burst(self.dice.sample(self.devices, max(len(self.devices) // 2, 1)))
        self.done["kill"] += 1
        self.ledger.event("server killed")
        self.subject.kill()
        await asyncio.sleep(self.dice.uniform(*AWAY))
        await self._start()

    async def _cut(self) -> None:
        """Some fall silent; each hangs up after a while, and its server hears of it even later."""
        cut_off = self.dice.sample(self.devices, self.dice.randint(1, max(len(self.devices) // 3, 1)))
        await self._burst(cut_off)
        for device in cut_off:
            self.done["cut"] += 1
            self.ledger.event(f"{device.name} cut")
            self._do_later(_notice(device, self.dice.uniform(*UNNOTICED), self.dice.uniform(*OPEN_STILL)))

    async def _close(self) -> None:
        """A connection is reset at both ends."""
        device = self.dice.choice(self.devices)
        await self._burst([device])
        self.done["close"] += 1
        self.ledger.event(f"{device.name} closed")
        device.cable.drop()

    async def _stall(self) -> None:
        """One reads nothing for a while, and is written to all the more."""
        device = self.dice.choice(self.devices)
        self.done["stall"] += 1
        self.ledger.event(f"{device.name} stalled")
        self._do_later(_stalled(device, self.dice.uniform(*STALLED)))
        for other in self.devices:
            if other is not device and self.dice.random() < 0.5:
                other.write(device.name, self.dice.randint(10, 40))

    async def _fill(self) -> None:
        """There is no room left for a while."""
        if self.room is None:
            return
        self.done["fill"] += 1
        self.ledger.event("server store full")
        self.room.fill()
        killed = False
        try:
            await asyncio.sleep(self.dice.uniform(*FULL))
            killed = self.dice.random() < KILLED_FULL
            if killed:
                self.done["killed while full"] += 1
                self.ledger.event("server killed while full")
                self.subject.kill()
        finally:
            self.room.empty()
        self.ledger.event("server store has room")
        if killed:
            await self._start()

    async def _restart(self) -> None:
        """The server's database goes and comes back: tidily, or as after a crash."""
        restart = self.subject.restart_database
        if restart is None:
            return
        await self._burst(self.dice.sample(self.devices, max(len(self.devices) // 2, 1)))
        immediately = self.dice.random() < 0.5
        self.done["restart"] += 1
        self.ledger.event(f"server database restarted {'immediately' if immediately else 'tidily'}")
        await asyncio.to_thread(restart, immediately)
        self.ledger.event("server database is back")

    async def _lock(self) -> None:
        """Somebody else writes to the database for a while; perhaps the server is killed meanwhile."""
        lock = self.subject.locked()
        if lock is None:
            return
        self.done["lock"] += 1
        self.ledger.event("server database locked")
        with lock:
            await asyncio.sleep(self.dice.uniform(*LOCKED))
            killed = self.dice.random() < KILLED_LOCKED
            if killed:
                self.done["killed while locked"] += 1
                self.ledger.event("server killed while locked")
                self.subject.kill()
        self.ledger.event("server database free")
        if killed:
            await self._start()

    def _do_later(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)


async def _notice(device: Device, unnoticed: float, open_still: float) -> None:
    """Its lines are silent from now on; the device hangs up after *unnoticed* seconds, the server hears of it later."""
    lines = device.cable.cut()
    await asyncio.sleep(unnoticed)
    device.hang_up()
    await asyncio.sleep(open_still)
    for line in lines:
        line.drop()


async def _stalled(device: Device, seconds: float) -> None:
    """It reads nothing for so long."""
    lines = device.cable.stall()
    await asyncio.sleep(seconds)
    for line in lines:
        line.go_on()
