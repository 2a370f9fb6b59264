"""Counting stanzas from the client's side."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from faults.management import Management, TooMuch


class ManagementTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.management = Management("id")
        for name in ("m1", None, "m2"):
            self.management.sent(b"<x/>", name)

    def test_messages_are_told_once_and_in_order(self) -> None:
        self.assertEqual(self.management.acknowledge(2), ["m1"])
        self.assertEqual(self.management.acknowledge(2), [])
        self.assertEqual(self.management.acknowledge(3), ["m2"])
        self.assertEqual(list(self.management.unacknowledged), [])

    def test_more_than_was_sent_is_refused(self) -> None:
        self.assertRaises(TooMuch, self.management.acknowledge, 4)

    def test_less_than_before_is_refused(self) -> None:
        self.management.acknowledge(2)
        self.assertRaises(TooMuch, self.management.acknowledge, 1)

    def test_a_server_that_crashed_may_have_forgotten_what_it_sent_back(self) -> None:
        self.management.acknowledge(3)
        self.management.returned = 1
        self.assertEqual(self.management.remembered(2), [])
        self.assertRaises(TooMuch, self.management.remembered, 1)
        self.assertRaises(TooMuch, self.management.remembered, 4)

    def test_what_a_server_remembers_is_acknowledged(self) -> None:
        self.management.acknowledge(1)
        self.assertEqual(self.management.remembered(3), ["m2"])

    def test_the_counter_begins_anew_after_its_largest_value(self) -> None:
        self.management.acknowledged = 2**32 - 1
        self.assertEqual(self.management.acknowledge(1), ["m1"])
