"""The page that is made of a run."""

from __future__ import annotations

import json
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from soak.report import page
from soak.run import Outcome
from soak.sampling import Sample, parse_private, parse_status
from soak.traffic import Size
from soak.verdict import MIB

REST = Sample(0, 90 * MIB, 80 * MIB, 24, 3, 1, 1, MIB, 0, 0, 0, 0)


def outcome(rise: float = 0) -> Outcome:
    """An hour in which memory rises by so many bytes."""
    samples = [
        replace(REST, at=float(at), private=int(80 * MIB + rise * at / 3600), cpu=at / 10, sessions=200)
        for at in range(0, 3601, 10)
    ]
    return Outcome(
        "Federix 0", "a machine", 7, Size(200, 100, 1.0), 3600.0, "today", samples, REST, REST, complete=True
    )


class OutcomeTests(SynchronousTestCase):
    def test_where_nothing_is_wrong_it_passes(self) -> None:
        self.assertEqual(outcome().failures(), [])

    def test_growing_memory_fails(self) -> None:
        self.assertIn("memory grew", outcome(20 * MIB).failures()[0])

    def test_each_kind_of_trouble_fails(self) -> None:
        for field, value in (
            ("problem_count", 1),
            ("complete", False),
            ("left_open", ["socket"]),
            ("after", replace(REST, sessions=1)),
            ("after", replace(REST, requests_waiting=1)),
            ("samples", []),
        ):
            self.assertEqual(len(replace(outcome(), **{field: value}).failures()), 1, field)


class PageTests(SynchronousTestCase):
    def text(self, run: Outcome) -> str:
        return page(json.loads(json.dumps(run.as_json())))

    def test_it_says_that_a_run_has_passed(self) -> None:
        text = self.text(outcome())
        self.assertIn("**Passed.**", text)
        self.assertIn("minutes 10 to 20: 80.0 MiB", text)
        self.assertIn("+0 KiB an hour", text)
        self.assertIn("the server took 10%", text)

    def test_it_says_why_a_run_has_failed(self) -> None:
        run = replace(outcome(), problem_count=1, problems=["a message was lost"])
        self.assertIn("**Failed: 1 problems**", self.text(run))
        self.assertIn("- `a message was lost`", self.text(run))

    def test_a_run_that_was_broken_off_has_a_page_too(self) -> None:
        run = replace(outcome(), samples=[], before=None, after=None, complete=False)
        self.assertIn("did not come to its end", self.text(run))

    def test_a_short_run_is_said_to_be_short(self) -> None:
        run = outcome()
        short = replace(run, samples=run.samples[:13], seconds=120.0)
        self.assertIn("too short", self.text(short))


class StatusTests(SynchronousTestCase):
    def test_resident_size_and_threads_are_found(self) -> None:
        self.assertEqual(parse_status("Name:\tpython\nVmRSS:\t   2048 kB\nThreads:\t3\n"), (2 * MIB, 3))

    def test_a_process_that_has_ended_has_none(self) -> None:
        self.assertRaises(KeyError, parse_status, "Name:\tpython\nState:\tZ (zombie)\n")

    def test_private_memory_is_what_no_other_process_shares(self) -> None:
        rollup = "Rss: 900 kB\nPss: 500 kB\nShared_Clean: 100 kB\nPrivate_Clean: 1024 kB\nPrivate_Dirty: 3072 kB\n"
        self.assertEqual(parse_private(rollup), 4 * MIB)
        self.assertRaises(KeyError, parse_private, "Rss: 900 kB\n")
