"""How those write to whom nothing is done: as many messages as are wanted, at a steady rate."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from random import Random
from typing import Any
from unittest.mock import patch

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from faults import calm
from faults.cable import Cable
from faults.device import Device
from faults.ledger import Ledger
from faults.population import Population


class WritingDevice(Device):
    """It takes seconds for what it writes, as a machine does that has much else to do."""

    wrote: list[tuple[float, str, str]]
    clock: Clock
    takes = 0.0

    def write(self, to: str, count: int) -> None:
        self.wrote += [(self.clock.seconds(), self.name, to)] * count
        self.clock.advance(self.takes)


class SteadyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.wrote: list[tuple[float, str, str]] = []
        self.ledger = Ledger(self.clock.seconds)
        self.devices = [WritingDevice(f"u{n}", Cable(0), self.ledger, Random(n)) for n in range(4)]
        for device in self.devices:
            device.wrote, device.clock = self.wrote, self.clock
        self.population = Population(self.devices, Random(1), self.ledger)

    def run_in_virtual_time(self, work: Coroutine[Any, Any, None]) -> None:
        async def sleep(seconds: float) -> None:
            self.clock.advance(max(seconds, 0.0))

        with patch("asyncio.sleep", sleep):
            asyncio.run(work)

    def test_all_write_in_turns_at_a_steady_rate_to_others(self) -> None:
        self.run_in_virtual_time(self.population.write_steadily(100, 10.0))
        for number, (at, _, _) in enumerate(self.wrote):
            self.assertAlmostEqual(at, number / 10.0)
        self.assertEqual(Counter(name for _, name, _ in self.wrote), {f"u{n}": 25 for n in range(4)})
        self.assertTrue(all(name != to for _, name, to in self.wrote))
        self.assertEqual(len({(name, to) for _, name, to in self.wrote}), 4 * 3)

    def test_time_that_writing_takes_is_made_up_for(self) -> None:
        for device in self.devices:
            device.takes = 0.05
        self.run_in_virtual_time(self.population.write_steadily(101, 10.0))
        self.assertAlmostEqual(self.wrote[-1][0], 10.0)

    def test_without_faults_that_is_enough_for_one_in_a_thousand_and_lasts_less_than_a_minute(self) -> None:
        self.run_in_virtual_time(self.population.write_steadily(calm.MESSAGES, calm.RATE))
        self.assertGreaterEqual(len(self.wrote), 5000)
        self.assertLess(self.wrote[-1][0], 60.0)
