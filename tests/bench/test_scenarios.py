"""Which scenarios there are."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from bench.__main__ import BY_NAME
from bench.run import repetitions
from bench.scenarios import ALONE, GROUPS, SCENARIOS, Size, chosen
from bench.servers import MANAGING
from bench.works import WORKS


class ScenarioTests(SynchronousTestCase):
    def test_none_named_means_all(self) -> None:
        # What "idle" measures "idle-resting" has measured on its way.
        self.assertEqual(set(chosen([])), {*SCENARIOS, *ALONE} - {"idle", "s2s-in", "s2s-out"})

    def test_a_group_stands_for_its_members_and_nothing_comes_twice(self) -> None:
        self.assertEqual(chosen(["disco", "iq", "idle", "scale"]), ["disco", "ping", "idle", "scale"])

    def test_an_unknown_one_is_an_error(self) -> None:
        self.assertRaises(KeyError, chosen, ["nonsense"])

    def test_each_has_its_work_and_a_quick_size_that_is_smaller(self) -> None:
        for scenario in SCENARIOS.values():
            self.assertIn(scenario.work, WORKS)
            quick, full = scenario.quick, scenario.full
            self.assertLess(quick.clients * quick.count * quick.repeat, full.clients * full.count * full.repeat)

    def test_pairs_have_two_halves(self) -> None:
        for scenario in SCENARIOS.values():
            if scenario.work in ("pairs", "managed"):
                self.assertEqual((scenario.full.clients % 2, scenario.quick.clients % 2), (0, 0))

    def test_who_rests_is_fresh_before(self) -> None:
        for scenario in SCENARIOS.values():
            if scenario.rest:
                fresh = SCENARIOS[scenario.fresh]
                self.assertEqual((fresh.work, fresh.stage, fresh.rest), (scenario.work, scenario.stage, 0.0))

    def test_federation_is_a_group(self) -> None:
        self.assertEqual(chosen(["federation"]), ["s2s", "s2s-5", "s2s-in-resting", "s2s-out-resting"])

    def test_streams_are_managed_in_a_group(self) -> None:
        self.assertEqual(chosen(["pages", "sleeping", "sm"]), ["pages", "sleeping", "sm-1", "sm-5", "managing"])
        self.assertNotIn("relay", MANAGING)

    def test_what_is_measured_of_federix_alone_can_be_run(self) -> None:
        self.assertEqual({*BY_NAME}, {*ALONE})

    def test_memory_is_measured_in_fresh_processes_only(self) -> None:
        for scenario in SCENARIOS.values():
            size = Size(clients=2, count=1, repeat=3)
            self.assertEqual(repetitions(scenario, size), 1 if scenario.measure == "memory" else 3)

    def test_a_group_is_no_scenario(self) -> None:
        self.assertEqual({*GROUPS} & {*SCENARIOS, *ALONE}, set())
