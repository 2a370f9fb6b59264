"""For how long nothing is kept behind what could not be."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from federix.api import JID, Message, message
from federix.modules import offline_gaps
from federix.modules.offline_gaps import HEARD_WITHIN, Gaps


def sent_by(name: str, resource: str = "orchard") -> Message:
    return message("chat", sender=JID.build(name, "example.org", resource))


class GapsTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()  # type: ignore[no-untyped-call]
        self.gaps = Gaps(self.clock)

    def test_a_gap_is_open_for_a_while_behind_the_last_that_could_not_be_kept(self) -> None:
        for _ in range(2):
            self.gaps.open("juliet", sent_by("romeo"))
            self.clock.advance(HEARD_WITHIN - 1)
            self.assertTrue(self.gaps.is_open("juliet", sent_by("romeo")))
        self.clock.advance(1)
        self.assertFalse(self.gaps.is_open("juliet", sent_by("romeo")))

    def test_it_is_that_of_one_sender_from_wherever_he_writes_and_of_one_account(self) -> None:
        self.gaps.open("juliet", sent_by("romeo"))
        self.assertTrue(self.gaps.is_open("juliet", sent_by("romeo", "street")))
        self.assertFalse(self.gaps.is_open("juliet", sent_by("nurse")))
        self.assertFalse(self.gaps.is_open("tybalt", sent_by("romeo")))

    def test_few_are_remembered(self) -> None:
        self.patch(offline_gaps, "MOST", 2)
        for local in ("juliet", "tybalt", "nurse"):
            self.gaps.open(local, sent_by("romeo"))
        found = [self.gaps.is_open(local, sent_by("romeo")) for local in ("juliet", "tybalt", "nurse")]
        self.assertEqual(found, [False, True, True])

    def test_nothing_is_left_of_those_that_have_ended(self) -> None:
        for local in ("juliet", "tybalt"):
            self.gaps.open(local, sent_by("romeo"))
        self.clock.advance(HEARD_WITHIN)
        self.gaps.is_open("nurse", sent_by("romeo"))
        self.assertEqual(len(self.gaps._gaps), 0)
