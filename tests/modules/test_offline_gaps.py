"""For how long nothing is kept behind what could not be."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from federix.modules import offline_gaps
from federix.modules.offline_gaps import HEARD_WITHIN, Gaps


class GapsTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()  # type: ignore[no-untyped-call]
        self.gaps = Gaps(self.clock)

    def test_a_gap_is_open_for_a_while_behind_the_last_that_could_not_be_kept(self) -> None:
        for _ in range(2):
            self.gaps.open("juliet")
            self.clock.advance(HEARD_WITHIN - 1)
            self.assertTrue(self.gaps.is_open("juliet"))
        self.clock.advance(1)
        self.assertFalse(self.gaps.is_open("juliet"))

    def test_it_is_the_account_s_alone(self) -> None:
        self.gaps.open("juliet")
        self.assertFalse(self.gaps.is_open("romeo"))

    def test_few_are_remembered(self) -> None:
        self.patch(offline_gaps, "MOST_ACCOUNTS", 2)
        for local in ("juliet", "romeo", "nurse"):
            self.gaps.open(local)
        self.assertEqual([self.gaps.is_open(each) for each in ("juliet", "romeo", "nurse")], [False, True, True])

    def test_nothing_is_left_of_those_that_have_ended(self) -> None:
        for local in ("juliet", "romeo"):
            self.gaps.open(local)
        self.clock.advance(HEARD_WITHIN)
        self.gaps.is_open("nurse")
        self.assertEqual(len(self.gaps._gaps), 0)
