"""The table of ratios."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from bench.figures import Figure
from bench.table import rows, table

FIGURES = {"federix": Figure(30.0, 0.04), "relay": Figure(20.0, 0.0), "ejabberd": Figure(120.0, 0.0)}


class TableTests(SynchronousTestCase):
    def test_a_line_has_ratios_then_figures(self) -> None:
        self.assertEqual(
            rows("messages", "µs", FIGURES, {}),
            ["messages", "1.50", "0.25", "-", "30 ±4%", "20", "120", "-", "µs"],
        )

    def test_a_failure_is_not_to_be_overlooked(self) -> None:
        line = rows("messages", "µs", {"relay": Figure(20.0, 0.0)}, {"federix": "a message is lost"})
        self.assertEqual(line[1:6], ["-", "-", "-", "FAILED", "20"])

    def test_columns_stand_below_their_heads(self) -> None:
        head, rule, *lines = table([rows("messages", "µs", FIGURES, {}), rows("x", "KiB", FIGURES, {})]).splitlines()
        self.assertEqual(set(rule), {"-"})
        self.assertEqual(len(lines), 2)
        end = head.index("× relay") + len("× relay")
        for line in lines:
            self.assertEqual(line[end - 4 : end], "1.50")
