"""What comes out of messages in a crowd."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from bench.scale import ALONE, CPU_LIMIT, FULL, P99_LIMIT, QUICK, Measured, bounds


class BoundsTests(SynchronousTestCase):
    def setUp(self) -> None:
        (self.variant, *_) = FULL.variants
        # The machine was slow in the second turn, and something else went on in the third.
        alone = Measured(cpu=[1e-4, 2e-4, 1e-4], median=[0.002, 0.001, 0.001], p99=[0.008, 0.02, 0.01])
        crowd = Measured(
            cpu=[1.2e-4, 2.2e-4, 3e-4],
            p99=[0.012, 0.02, 0.03],
            pauses=[[], [0.002, 0.003]],
            session_bytes=40 * 1024,
            logins={"longest pause": 0.25},
        )
        self.found = {
            bound.name: bound for bound in bounds({ALONE.name: alone, self.variant.name: crowd}, [self.variant])
        }

    def test_costs_are_times_of_those_alone_in_the_same_turn(self) -> None:
        for name, limit, times in (("sessions-cpu", CPU_LIMIT, 1.2), ("sessions-p99", P99_LIMIT, 1.5)):
            figure = self.found[name].figure
            assert figure is not None
            self.assertAlmostEqual(figure.cost, times)
            self.assertEqual(self.found[name].limit, limit)

    def test_a_limit_can_be_missed(self) -> None:
        self.assertEqual(self.found["sessions-cpu"].verdict, "MISSED")
        self.assertEqual(self.found["sessions-p99"].verdict, "kept")

    def test_memory_and_pauses_are_told_without_a_limit(self) -> None:
        for name, samples in (("memory", [40.0]), ("pause", [0.0, 3.0]), ("login-pause", [250.0])):
            bound = self.found[f"sessions-{name}"]
            self.assertEqual((bound.samples, bound.limit), (samples, None))

    def test_pairs_have_two_halves_and_quick_is_smaller(self) -> None:
        for scale in (FULL, QUICK):
            self.assertEqual(scale.talking.clients % 2, 0)
        self.assertEqual([v.name for v in FULL.variants], [v.name for v in QUICK.variants])
        for full, quick in zip(FULL.variants, QUICK.variants, strict=True):
            self.assertLess((quick.sessions, quick.hosts, quick.contacts), (full.sessions, full.hosts, full.contacts))
