"""For how long nothing is kept behind what could not be."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from federix.modules import offline_gaps
from federix.modules.offline_gaps import AT_MOST, QUIET, Gaps


class GapsTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()  # type: ignore[no-untyped-call]
        self.gaps = Gaps(self.clock)

    def test_a_gap_is_open_until_nothing_has_come_for_a_while(self) -> None:
        self.gaps.open("juliet")
        for _ in range(9):
            self.clock.advance(QUIET - 1)
            self.assertTrue(self.gaps.is_open("juliet"))
        self.clock.advance(QUIET)
        self.assertFalse(self.gaps.is_open("juliet"))

    def test_it_is_the_account_s_alone(self) -> None:
        self.gaps.open("juliet")
        self.assertFalse(self.gaps.is_open("romeo"))

    def test_it_ends_even_if_messages_never_stop_coming(self) -> None:
        self.gaps.open("juliet")
        open_for = 0.0
        while self.gaps.is_open("juliet"):
            self.gaps.open("juliet")
            self.clock.advance(1)
            open_for += 1
        self.assertEqual(open_for, AT_MOST)

    def test_few_are_remembered(self) -> None:
        self.patch(offline_gaps, "MOST_ACCOUNTS", 2)
        for local in ("juliet", "romeo", "nurse"):
            self.gaps.open(local)
        self.assertEqual([self.gaps.is_open(each) for each in ("juliet", "romeo", "nurse")], [False, True, True])

    def test_nothing_is_left_of_those_that_have_ended(self) -> None:
        for local in ("juliet", "romeo"):
            self.gaps.open(local)
        self.clock.advance(QUIET)
        self.gaps.is_open("nurse")
        self.assertEqual(len(self.gaps._gaps), 0)
