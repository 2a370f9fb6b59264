"""The notes of the collector's pauses."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.watched import SHORT, Pause, noting, pauses


class PauseTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.file = Path(self.mktemp())
        self.now = 100.0
        self.lines: list[str] = []
        self.used = 3.0
        self.passing = noting(self.lines.append, lambda: self.now, lambda: self.used)

    def collect(self, generation: int, seconds: float) -> None:
        self.passing("start", {"generation": generation})
        self.now += 2 * seconds  # others had their share of the time
        self.used += seconds
        self.passing("stop", {"generation": generation, "collected": 0})

    def test_long_ones_are_noted_with_what_they_took(self) -> None:
        self.collect(2, 0.25)
        self.collect(0, SHORT / 2)
        self.collect(1, 0.5)
        self.file.write_text("".join(self.lines))
        self.assertEqual(pauses(self.file), [Pause(2, 100.5, 0.25), Pause(1, 101.501, 0.5)])

    def test_those_of_earlier_are_left_out(self) -> None:
        self.collect(2, 1.0)
        self.collect(2, 2.0)
        self.file.write_text("".join(self.lines))
        self.assertEqual(pauses(self.file, since=102.5), [Pause(2, 106.0, 2.0)])

    def test_where_nothing_was_noted_there_was_none(self) -> None:
        self.assertEqual(pauses(self.file), [])
