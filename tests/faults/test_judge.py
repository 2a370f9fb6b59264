"""The judge must be able to say no: each of these ledgers has one thing wrong."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from faults.connection import Way
from faults.judge import MOST_TOLD, Verdict, judge
from faults.ledger import Ledger

#: All that a verdict can find.
FINDINGS = (
    *("lost", "doubled", "reordered", "overtaken", "unsettled", "invented", "unaccounted"),
    *("unarchived", "repeated"),
)


class JudgeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 0.0
        self.ledger = Ledger(lambda: self.now)
        self.ids: list[str] = []
        for _ in range(3):
            self.now += 1.0
            identifier = self.ledger.post("a", "b").identifier
            self.ids.append(identifier)
            self.ledger.sent(identifier)
            self.ledger.acknowledge(identifier, "a")
            self.ledger.receive("b", 1, identifier)
        self.ledger.archives = {"a": list(self.ids), "b": list(self.ids)}

    def found(self) -> dict[str, int]:
        """What the verdict finds, without what it does not."""
        verdict = judge(self.ledger)
        counts = {name: getattr(verdict, name).count for name in FINDINGS}
        return {name: count for name, count in counts.items() if count}

    def forget_device(self) -> None:
        self.ledger.received.clear()

    def test_a_run_without_fault_is_called_faultless(self) -> None:
        verdict = judge(self.ledger)
        self.assertTrue(verdict.faultless)
        self.assertEqual(self.found(), {})
        self.assertEqual((verdict.sent, verdict.acknowledged, verdict.received, verdict.resent), (3, 3, 3, 0))

    def test_acknowledged_and_nowhere_is_lost(self) -> None:
        self.forget_device()
        self.ledger.archives["b"].remove(self.ids[1])
        self.assertEqual(self.found(), {"lost": 1, "unarchived": 1})
        self.assertFalse(judge(self.ledger).faultless)

    def test_a_lost_message_is_told_with_all_that_is_known_of_it(self) -> None:
        self.ledger.event("server killed")
        self.ledger.event("somebody-else cut")
        self.forget_device()
        self.ledger.archives["b"].remove(self.ids[2])
        told = judge(self.ledger).lost.told
        self.assertEqual(len(told), 1)
        self.assertIn(f"{self.ids[2]} sent at 3.000 s, acknowledged by <a/> at 3.000 s", told[0])
        self.assertIn("3.000 server killed", told[0])
        self.assertNotIn("somebody-else", told[0])

    def test_acknowledged_on_a_resumption_counts_as_well(self) -> None:
        ways: tuple[Way, ...] = ("resumed", "failed")
        for way in ways:
            identifier = self.ledger.post("a", "b").identifier
            self.ledger.sent(identifier)
            self.ledger.acknowledge(identifier, way)
        self.assertEqual(self.found(), {"lost": 2, "unarchived": 2})

    def test_on_the_device_alone_is_not_lost(self) -> None:
        self.ledger.archives["b"].remove(self.ids[1])
        self.assertEqual(self.found(), {"unarchived": 1})
        self.assertTrue(judge(self.ledger).faultless)

    def test_in_the_recipients_archive_alone_is_not_lost(self) -> None:
        self.forget_device()
        self.ledger.archives["a"].clear()
        self.assertEqual(self.found(), {"unarchived": 3})

    def test_what_came_back_is_not_lost(self) -> None:
        self.forget_device()
        self.ledger.archives["b"].remove(self.ids[1])
        self.ledger.refuse(self.ids[1], "resource-constraint")
        self.assertEqual(self.found(), {})
        self.assertEqual(judge(self.ledger).refused, 1)

    def test_what_was_not_acknowledged_is_not_lost_but_unsettled(self) -> None:
        self.ledger.sent(self.ledger.post("a", "b").identifier)
        self.assertEqual(self.found(), {"unsettled": 1})
        self.assertFalse(judge(self.ledger).faultless)

    def test_twice_in_the_recipients_archive_is_doubled(self) -> None:
        self.ledger.archives["b"].append(self.ids[0])
        self.assertEqual(self.found(), {"doubled": 1})
        self.assertFalse(judge(self.ledger).faultless)

    def test_twice_in_the_senders_archive_is_doubled(self) -> None:
        self.ledger.archives["a"].insert(1, self.ids[0])
        self.assertEqual(self.found(), {"doubled": 1})

    def test_another_order_in_an_archive_is_found(self) -> None:
        for owner in ("a", "b"):
            first, second, third = self.ids
            self.ledger.archives[owner] = [second, first, third]
        self.assertEqual(self.found(), {"reordered": 2})
        self.assertFalse(judge(self.ledger).faultless)

    def test_what_came_back_has_no_place_in_the_order(self) -> None:
        one, two, three = self.ledger.received
        self.ledger.received = [two, three, one]
        for owner in ("a", "b"):
            first, second, third = self.ids
            self.ledger.archives[owner] = [second, third, first]
        self.ledger.refuse(self.ids[0], "resource-constraint")
        self.assertEqual(self.found(), {})

    def test_a_message_that_comes_again_does_not_change_the_order(self) -> None:
        first, second, third = self.ids
        self.ledger.archives["b"] = [first, second, first, third]
        self.assertEqual(self.found(), {"doubled": 1})

    def test_different_senders_have_no_order(self) -> None:
        identifier = self.ledger.post("c", "b").identifier
        self.ledger.sent(identifier)
        self.ledger.acknowledge(identifier, "a")
        self.ledger.archives["b"].insert(1, identifier)
        self.ledger.archives["c"] = [identifier]
        self.assertEqual(self.found(), {})

    def test_another_order_on_a_connection_is_found(self) -> None:
        one, two, three = self.ledger.received
        self.ledger.received = [two, one, three]
        self.assertEqual(self.found(), {"overtaken": 1})
        self.assertFalse(judge(self.ledger).faultless)

    def test_what_was_overtaken_is_told_with_the_order_in_which_all_came(self) -> None:
        one, two, three = self.ledger.received
        self.ledger.received = [two, three, one]
        self.ledger.receive("b", 2, self.ids[0])
        (told,) = judge(self.ledger).overtaken.told
        self.assertIn("the device got on connection 1 at 2.000 s: 2-3 1 on connection 2", told)

    def test_what_comes_late_on_another_connection_is_in_order(self) -> None:
        self.ledger.received = self.ledger.received[1:]
        self.ledger.receive("b", 2, self.ids[0])
        self.assertEqual(self.found(), {})

    def test_what_the_device_has_already_may_come_again(self) -> None:
        self.ledger.receive("b", 1, self.ids[0])
        self.assertEqual(self.found(), {"repeated": 1})
        self.assertTrue(judge(self.ledger).faultless)

    def test_what_nobody_sent_is_invented(self) -> None:
        self.ledger.archives["b"].append("x")
        self.ledger.receive("b", 1, "y")
        self.ledger.receive("a", 1, self.ids[0])
        self.assertEqual(self.found(), {"invented": 3})
        self.assertFalse(judge(self.ledger).faultless)

    def resend(self, *numbers: int) -> None:
        for number in numbers:
            self.ledger.sent(self.ids[number])

    def accounts(self) -> tuple[int, int, int, int]:
        """Of what was sent more than once: archived once, came back, on the device alone, none of these."""
        verdict = judge(self.ledger)
        accounts = (
            verdict.resent_archived,
            verdict.resent_refused,
            verdict.resent_on_device,
            verdict.unaccounted.count,
        )
        self.assertEqual(sum(accounts), verdict.resent, "somebody is counted twice, or not at all")
        return accounts

    def test_what_was_sent_again_and_is_archived_once_is_accounted_for(self) -> None:
        self.resend(0, 0, 2)
        self.ledger.archives["a"].remove(self.ids[2])
        self.assertEqual(self.accounts(), (2, 0, 0, 0))
        self.assertTrue(judge(self.ledger).faultless)

    def test_what_was_sent_once_has_no_account(self) -> None:
        self.ledger.archives["b"].append(self.ids[1])
        self.assertEqual(self.accounts(), (0, 0, 0, 0))

    def test_what_was_sent_again_and_came_back_is_accounted_for_wherever_it_is(self) -> None:
        self.resend(0, 1)
        self.ledger.archives["b"].remove(self.ids[1])
        for number in (0, 1):
            self.ledger.refuse(self.ids[number], "resource-constraint")
        self.assertEqual(self.accounts(), (0, 2, 0, 0))

    def test_what_was_sent_again_and_is_on_the_device_alone_is_accounted_for(self) -> None:
        self.resend(0, 1)
        self.ledger.archives["b"].remove(self.ids[0])
        for owner in ("a", "b"):
            self.ledger.archives[owner] = [each for each in self.ledger.archives[owner] if each != self.ids[1]]
        self.assertEqual(self.accounts(), (0, 0, 2, 0))
        self.assertTrue(judge(self.ledger).faultless)

    def test_what_was_sent_again_and_is_nowhere_is_not_accounted_for(self) -> None:
        self.forget_device()
        self.resend(1)
        self.ledger.archives["b"].remove(self.ids[1])
        self.assertEqual(self.accounts(), (0, 0, 0, 1))
        self.assertEqual(self.found(), {"lost": 1, "unarchived": 1, "unaccounted": 1})
        (told,) = judge(self.ledger).unaccounted.told
        self.assertIn(f"nowhere: {self.ids[1]} sent at 2.000, 3.000 s", told)

    def test_what_was_sent_again_and_never_acknowledged_is_not_accounted_for_where_it_is_nowhere(self) -> None:
        identifier = self.ledger.post("a", "b").identifier
        self.ledger.sent(identifier)
        self.ledger.sent(identifier)
        self.assertEqual(self.accounts(), (0, 0, 0, 1))
        self.assertEqual(self.found(), {"unsettled": 1, "unaccounted": 1})

    def test_what_was_sent_again_and_is_archived_twice_is_not_accounted_for_even_where_it_came_back(self) -> None:
        self.resend(0, 1)
        self.ledger.archives["b"].append(self.ids[0])
        self.ledger.archives["a"].append(self.ids[1])
        self.ledger.refuse(self.ids[1], "resource-constraint")
        self.assertEqual(self.accounts(), (0, 0, 0, 2))
        self.assertEqual(self.found(), {"doubled": 2, "unaccounted": 2})
        self.assertFalse(judge(self.ledger).faultless)

    def test_only_the_first_of_many_are_told(self) -> None:
        self.ledger.archives["b"] += ["x"] * 100
        invented = judge(self.ledger).invented
        self.assertEqual((invented.count, len(invented.told)), (100, MOST_TOLD))

    def test_an_archive_that_was_not_read_is_not_taken_for_a_full_one(self) -> None:
        self.forget_device()
        self.ledger.archives.clear()
        self.assertEqual(self.found(), {"lost": 3, "unarchived": 3})

    def test_nothing_sent_says_so(self) -> None:
        self.assertEqual(judge(Ledger(lambda: 0.0)), Verdict())
