"""What attacks cost goes into a page."""

from __future__ import annotations

import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.abuse import main
from bench.abuse_report import BEGIN, END, page

RESULT = {
    "attack": "silent",
    "connections": 5000,
    "p99 before": 0.01,
    "p99 during": 0.025,
    "p99 after": 0.03,
    "beside p99 before": 0.004,
    "beside p99 during": 0.008,
    "grown": 10 << 20,
    "grown each": 2 << 10,
    "calm after": 1.2,
    "files after": 0.5,
    "warnings": 0,
    "tracebacks": 0,
    "outcome": {"resource-constraint": 4380},
}


class PageTests(SynchronousTestCase):
    def test_an_attack_is_a_line(self) -> None:
        line = "| silent | 5000 | 10.0 | 25.0 | 2.5 | × 2.0 | 30.0 | 10.0 | 2 | 1 | 4380 resource-constraint |"
        made = page([RESULT])
        self.assertIn(line, made)
        self.assertIn("0 warnings and 0 tracebacks. No file stayed open.", made)

    def test_what_never_comes_to_rest_is_told(self) -> None:
        made = page([{**RESULT, "calm after": None, "files after": None, "warnings": 3}])
        self.assertIn("| never |", made)
        self.assertIn("3 warnings and 0 tracebacks. Files stayed open after: silent.", made)

    def test_results_that_were_kept_need_no_run(self) -> None:
        kept, made = Path(self.mktemp()), Path(self.mktemp())
        kept.write_text(json.dumps([RESULT]))
        made.write_text(f"Before.\n{BEGIN}{END}\nAfter.\n")
        self.assertEqual(main(["--from", str(kept), "--markdown", str(made)]), 0)
        text = made.read_text()
        self.assertTrue(text.startswith("Before.\n") and text.endswith("\nAfter.\n"))
        self.assertIn("silent", text)
