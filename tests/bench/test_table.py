"""The tables of ratios and bounds."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from bench.results import Bound, Limit, Result
from bench.table import HEADS, bound_row, columns, markdown, row

SAMPLES = {"federix": [30.0, 31.2], "relay": [20.0], "ejabberd": [120.4]}


def result(samples: dict[str, list[float]], failures: dict[str, str] | None = None) -> Result:
    return Result("pairs", "messages", "µs", samples, failures or {})


class TableTests(SynchronousTestCase):
    def test_a_line_has_ratios_then_figures(self) -> None:
        self.assertEqual(row(result(SAMPLES)), ["messages", "1.50", "0.25", "-", "-", "30 ±4%", "20", "120", "-", "µs"])

    def test_a_failure_is_not_to_be_overlooked(self) -> None:
        line = row(result({"relay": [20.0], "federix": [1.0]}, {"federix": "a message is lost"}))
        self.assertEqual(line[1:7], ["-", "-", "-", "-", "FAILED", "20"])

    def test_a_limit_holds_against_the_better_of_the_others(self) -> None:
        limited = Limit(0.5, ("ejabberd", "prosody"))
        costs = {"federix": [10.0], "ejabberd": [30.0], "prosody": [19.0]}
        told = [
            Result("s2s", "messages", "µs", costs, limit=limited),
            Result("s2s", "messages", "µs", {**costs, "prosody": [20.0]}, limit=limited),
            Result("s2s", "messages", "µs", costs, {"prosody": "a message is lost"}, limit=limited),
            Result("s2s", "messages", "µs", costs, limit=Limit(1.0, ("prosody",))),
            Result("s2s", "messages", "µs", costs, {"federix": "a message is lost"}, limit=limited),
        ]
        self.assertEqual(
            [row(one)[4] for one in told],
            [
                "0.5 × the better: MISSED",
                "0.5 × the better: kept",
                "0.5 × the better: kept",
                "1 × prosody: kept",
                "0.5 × the better",
            ],
        )

    def test_a_bound_is_kept_or_missed(self) -> None:
        cells = [
            bound_row(Bound("chat", "a chat", "ms", [40.0, 60.0], 50.0)),
            bound_row(Bound("chat", "a chat", "ms", [51.0], 50.0)),
            bound_row(Bound("chat", "a chat", "ms", [51.0])),
            bound_row(Bound("chat", "a chat", "ms", [1.0], 50.0, failure="nobody answered")),
        ]
        self.assertEqual(
            [line[1:4] for line in cells],
            [["40 ±50%", "50", "kept"], ["51", "50", "MISSED"], ["51", "-", ""], ["FAILED", "50", "FAILED"]],
        )

    def test_large_figures_keep_their_digits(self) -> None:
        self.assertEqual(bound_row(Bound("twistd", "a start", "ms", [1234.5]))[1], "1234")

    def test_columns_stand_below_their_heads(self) -> None:
        cells = row(result(SAMPLES))
        head, rule, *lines = columns(HEADS, [cells, ["x", *cells[1:]]]).splitlines()
        self.assertEqual(set(rule), {"-"})
        self.assertEqual(len(lines), 2)
        end = head.index("× relay") + len("× relay")
        for line in lines:
            self.assertEqual(line[end - 4 : end], "1.50")

    def test_markdown_has_the_same_cells(self) -> None:
        head, rule, line = markdown(HEADS, [row(result(SAMPLES))]).splitlines()
        self.assertEqual([cell.strip() for cell in line.strip("|").split("|")], row(result(SAMPLES)))
        self.assertEqual((head.count("|"), rule.count("|")), (line.count("|"), line.count("|")))
