"""A device that breaks down by itself is told of: it would be silent for the rest of the run."""

from __future__ import annotations

import asyncio
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from faults.cable import Cable
from faults.connection import Connection
from faults.device import Device
from faults.ledger import Ledger


class BrokenDevice(Device):
    async def _come(self) -> Connection:
        raise AssertionError("a mistake of the driver")


class WaitingDevice(Device):
    async def _come(self) -> Connection:
        await asyncio.Event().wait()
        raise AssertionError


class DeviceTests(SynchronousTestCase):
    def test_one_that_breaks_down_is_a_problem(self) -> None:
        device = BrokenDevice("u1", Cable(0), Ledger(lambda: 0.0), Random(1))
        asyncio.run(self.live(device))
        (problem,) = device.problems
        self.assertIn("u1 broke down", problem)
        self.assertIn("a mistake of the driver", problem)

    def test_one_that_is_stopped_is_none(self) -> None:
        device = WaitingDevice("u1", Cable(0), Ledger(lambda: 0.0), Random(1))
        asyncio.run(self.live(device))
        self.assertEqual(device.problems, [])

    async def live(self, device: Device) -> None:
        device.start()
        await asyncio.sleep(0)
        await device.stop()
