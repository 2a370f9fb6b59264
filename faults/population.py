"""Everybody who takes part: devices, each on a cable of its own, who write to each other all the time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Final

from bench.names import user

from .cable import Cable
from .device import Device
from .ledger import Ledger

#: How many there are unless told otherwise.
DEVICES: Final = 8
#: To how many others each writes.
FRIENDS: Final = 3
#: Messages of one burst, and seconds until the next one of the same device.
BURST: Final = (1, 12)
PAUSE: Final = (0.2, 2.0)
#: Seconds for everything to be acknowledged and to arrive when all faults are over.
SETTLING: Final = 90.0
QUIET: Final = 2.0
#: Pages that an archive may have.
PAGES: Final = 2000


class Population:
    """The devices, and those of them who write."""

    def __init__(self, devices: Sequence[Device], dice: Random, ledger: Ledger) -> None:
        self.devices = devices
        self._dice = dice
        self._ledger = ledger
        self._writers: list[asyncio.Task[None]] = []

    def write(self) -> None:
        """Let everybody write until `settle`."""
        self._writers = [asyncio.ensure_future(self._writer(number)) for number in range(len(self.devices))]

    async def _writer(self, number: int) -> None:
        device, dice, friends = self.devices[number], Random(self._dice.random()), self._friends(number)
        while True:
            await asyncio.sleep(dice.uniform(*PAUSE))
            device.write(dice.choice(friends), dice.randint(*BURST))

    def _friends(self, number: int) -> Sequence[str]:
        count = len(self.devices)
        return [self.devices[(number + step) % count].name for step in range(1, min(FRIENDS, count - 1) + 1)]

    async def write_steadily(self, count: int, rate: float) -> None:
        """Have them write *count* messages in turns, *rate* of them a second whatever comes of them."""
        begin = self._ledger.seconds()
        for number in range(count):
            await asyncio.sleep(begin + number / rate - self._ledger.seconds())
            device = self.devices[number % len(self.devices)]
            device.write(self._dice.choice(self._friends(number % len(self.devices))), 1)

    async def arrive(self) -> None:
        """Wait until all are there. Raises TimeoutError."""
        async with asyncio.timeout(SETTLING):
            while not all(device.is_here for device in self.devices):
                await asyncio.sleep(0.05)

    async def settle(self) -> bool:
        """Let nobody write any more, and wait until nothing is on its way; False where something stays."""
        for writer in self._writers:
            writer.cancel()
        await asyncio.gather(*self._writers, return_exceptions=True)
        end = self._ledger.seconds() + SETTLING
        quiet_since, known = self._ledger.seconds(), -1
        while (now := self._ledger.seconds()) < end:
            if len(self._ledger.received) != known or not all(device.is_done for device in self.devices):
                quiet_since, known = now, len(self._ledger.received)
            elif now - quiet_since > QUIET:
                return True
            await asyncio.sleep(0.1)
        return False

    @property
    def done(self) -> Counter[str]:
        return sum((device.done for device in self.devices), Counter())

    @property
    def problems(self) -> list[str]:
        return [problem for device in self.devices for problem in device.problems]


@asynccontextmanager
async def population(port: int, count: int, dice: Random, ledger: Ledger) -> AsyncIterator[Population]:
    """*count* devices that come, and go in the end."""
    devices = []
    try:
        for number in range(count):
            cable = Cable(port)
            await cable.open()
            devices.append(Device(user(number), cable, ledger, Random(dice.random())))
        for device in devices:
            device.start()
        found = Population(devices, dice, ledger)
        await found.arrive()
        yield found
    finally:
        for device in devices:
            await device.stop()
            await device.cable.close()
