"""What is counted where nothing is done to the server."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from faults.calm import of
from faults.ledger import Ledger


class CalmTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 0.0
        self.ledger = Ledger(lambda: self.now)

    def send(self, times: int, acknowledged_after: float | None = None) -> None:
        identifier = self.ledger.post("a", "b").identifier
        for _ in range(times):
            self.ledger.sent(identifier)
        if acknowledged_after is not None:
            self.now += acknowledged_after
            self.ledger.acknowledge(identifier, "a")

    def test_what_was_sent_again_is_counted(self) -> None:
        self.send(1, 0.5)
        self.send(2, 0.5)
        self.assertEqual(of(self.ledger).as_json()["resent"], 1)

    def test_what_is_never_acknowledged_is_not_soon(self) -> None:
        self.send(1, 0.5)
        self.send(1, 2.0)
        self.send(1)
        self.send(0)
        found = of(self.ledger).as_json()
        self.assertEqual((found["sent"], found["soon"], found["slowest"]), (4, 0.25, 2.0))
        self.assertEqual(found["resent"], 0)
