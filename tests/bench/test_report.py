"""A report is printed, kept, and put into a page."""

from __future__ import annotations

import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.__main__ import main
from bench.report import BEGIN, BETWEEN, END, into, page, text
from bench.results import Bound, Limit, Report, Result


def report() -> Report:
    samples = {"federix": [30.0], "ejabberd": [120.0]}
    limit = Limit(0.5, ["ejabberd"])
    result = Result("pairs", "messages in pairs", "µs", samples, {"prosody": "no"}, limit=limit)
    bound = Bound("chat", "a chat between two", "ms", [32.0, 35.0], 50.0, details={"of": [1, 2]})
    return Report({"federix": "Federix 1", "ejabberd": "ejabberd 2"}, "x86, Python 3", ["a note"], [result], [bound])


class ReportTests(SynchronousTestCase):
    def test_it_comes_back_from_json(self) -> None:
        self.assertEqual(Report.from_json(json.loads(json.dumps(report().to_json()))), report())

    def test_figures_from_before_there_were_limits_are_read(self) -> None:
        kept = report().to_json()
        del kept["results"][0]["limit"]
        (result,) = Report.from_json(kept).results
        self.assertIsNone(result.limit)

    def test_what_stands_for_two_servers_is_explained_where_it_is_shown(self) -> None:
        found = report()
        self.assertNotIn(BETWEEN, page(found))
        found.results[0].name = "s2s-5"
        self.assertIn(BETWEEN, page(found))
        self.assertIn(BETWEEN, text(found))

    def test_terminal_and_page_have_everything(self) -> None:
        for made in (text(report()), page(report())):
            for word in (
                "Federix 1",
                "ejabberd 2",
                "messages in pairs",
                "0.25",
                "a chat between two",
                "kept",
                "a note.",
            ):
                self.assertIn(word, made)

    def test_one_failure_is_a_failure(self) -> None:
        found = report()
        self.assertTrue(found.failed)
        found.results[0].failures.clear()
        self.assertFalse(found.failed)
        found.bounds[0].failure = "nobody answered"
        self.assertTrue(found.failed)


class PageTests(SynchronousTestCase):
    def test_figures_stand_between_the_marks_and_the_rest_stays(self) -> None:
        whole = into(f"# Speed\n\n{BEGIN}\nold\n{END}\n\nWhat it means.\n", "new\n")
        self.assertEqual(whole, f"# Speed\n\n{BEGIN}\n\nnew\n\n{END}\n\nWhat it means.\n")
        self.assertEqual(into(whole, "new\n"), whole)

    def test_a_page_without_marks_is_the_figures(self) -> None:
        self.assertEqual(into("", "new\n"), "new\n")

    def test_figures_that_were_kept_need_no_run(self) -> None:
        kept, made = Path(self.mktemp()), Path(self.mktemp())
        kept.write_text(json.dumps(report().to_json()))
        made.write_text(f"Before.\n{BEGIN}{END}\nAfter.\n")
        self.assertEqual(main(["--from", str(kept), "--markdown", str(made)]), 1)
        told = made.read_text()
        self.assertTrue(told.startswith("Before.\n"))
        self.assertTrue(told.endswith("After.\n"))
        self.assertIn("| messages in pairs |", told)
