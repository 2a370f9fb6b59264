"""What is a failure, and that the page says so."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from faults.judge import Verdict
from faults.report import FAILURES, failures, page


def run(name: str = "federix", **changes: Any) -> dict[str, Any]:
    """The outcome of a run without fault."""
    calm = {
        "sent": 1000,
        "resent": 0,
        "soon": 1.0,
        "p50": 0.01,
        "p999": 0.05,
        "slowest": 0.06,
        "asked while locked": 40,
        "slowest answer while locked": 0.002,
        "acknowledged while locked": 0,
    }
    outcome = {
        "name": name,
        "version": f"{name} 1",
        "storage": "SQLite",
        "seed": 1,
        "devices": 8,
        "failure": None,
        "calm": calm,
        "seconds": 60.0,
        "ended": "2026-11-20 12:00 UTC",
        "settled": True,
        "room": True,
        "faults": {"kill": 10},
        "sessions": {"sessions begun": 8},
        "problems": [],
        "complaints": 0,
        "complained": [],
        "verdict": asdict(Verdict(sent=1000, acknowledged=1000)),
    }
    return outcome | changes


def storm(name: str = "federix", failed: int = 0) -> dict[str, Any]:
    found = {"clients": 100, "again": 0, "failed": failed, "p50": 0.1, "slowest": 0.2, "lasted": 5.0}
    each = {"server_cpu_each": 0.005, "load_cpu_each": 0.005}
    return {"name": name, "version": f"{name} 1", "seed": 1, "failure": None, "storm": found | each}


class ReportTests(SynchronousTestCase):
    def found(self, *runs: dict[str, Any], storms: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
        return {"runs": list(runs), "storms": list(storms)}

    def wrong(self, kind: str, name: str = "federix") -> dict[str, Any]:
        outcome = run(name)
        outcome["verdict"][kind] = {"count": 3, "told": [f"a case of {kind}"]}
        return outcome

    def calm(self, **changes: Any) -> dict[str, Any]:
        outcome = run()
        outcome["calm"] |= changes
        return outcome

    def test_a_run_without_fault_passes(self) -> None:
        found = self.found(run(), storms=(storm(),))
        self.assertEqual(failures(found), [])
        self.assertIn("**Passed.**", page(found))

    def test_every_kind_of_finding_is_a_failure_with_its_cases(self) -> None:
        for kind in FAILURES:
            found = self.found(self.wrong(kind))
            self.assertEqual(failures(found), [f"3 {kind}"])
            self.assertIn(f"**Failed: 3 {kind}**", page(found))
            self.assertIn(f"- `a case of {kind}`", page(found))

    def test_what_others_lose_fails_nobody(self) -> None:
        found = self.found(run(), self.wrong("lost", "other"))
        self.assertEqual(failures(found), [])
        self.assertIn("other 1", page(found))

    def test_a_run_that_broke_off_is_a_failure(self) -> None:
        found = self.found({"name": "federix", "version": "", "failure": "ServerFailed: it does not start"})
        self.assertEqual(failures(found), ["ServerFailed: it does not start"])
        self.assertIn("it does not start", page(found))

    def test_a_traceback_in_the_log_is_a_failure(self) -> None:
        found = self.found(run(complaints=2, complained=["Traceback (most recent call last)"]))
        self.assertEqual(failures(found), ["2 lines of its log tell of a fault of its own"])
        self.assertIn("- `Traceback", page(found))

    def test_what_does_not_come_to_rest_is_a_failure(self) -> None:
        self.assertEqual(failures(self.found(run(settled=False))), ["it did not come to rest"])

    def test_acknowledging_late_is_a_failure(self) -> None:
        (told,) = failures(self.found(self.calm(soon=0.99)))
        self.assertIn("99.00%", told)

    def test_no_answer_while_the_database_is_locked_is_a_failure(self) -> None:
        (told,) = failures(self.found(self.calm(**{"slowest answer while locked": 0.5})))
        self.assertIn("500 ms", told)

    def test_acknowledging_what_cannot_be_stored_is_a_failure(self) -> None:
        (told,) = failures(self.found(self.calm(**{"acknowledged while locked": 2})))
        self.assertIn("2 messages were acknowledged", told)

    def test_sending_again_without_a_fault_is_a_failure(self) -> None:
        (told,) = failures(self.found(self.calm(resent=3)))
        self.assertIn("3 messages were sent more than once", told)

    def test_the_accounts_of_what_was_sent_more_than_once_stand_below_it(self) -> None:
        outcome = run()
        verdict = Verdict(resent=10, resent_archived=5, resent_refused=3, resent_on_device=1)
        verdict.unaccounted.add("a case")
        outcome["verdict"] = asdict(verdict)
        lines = page(self.found(outcome)).splitlines()
        (at,) = (number for number, line in enumerate(lines) if line.startswith("| sent more than once | 10 |"))
        figures = [line.split("|")[2].strip(" *") for line in lines[at + 1 : at + 5]]
        self.assertEqual(figures, ["5", "3", "1", "1"])
        self.assertTrue(all(line.startswith("| of these ") for line in lines[at + 1 : at + 5]), lines)

    def test_a_run_of_before_that_was_counted_can_still_be_told_of(self) -> None:
        outcome = run()
        for key in ("resent_archived", "resent_refused", "resent_on_device", "unaccounted"):
            del outcome["verdict"][key]
        del outcome["calm"]["resent"]
        self.assertEqual(failures(self.found(outcome)), [])
        lines = page(self.found(outcome, run())).splitlines()
        self.assertEqual(
            [line.split("|")[2:4] for line in lines if "of these unaccounted" in line], [[" **-** ", " **0** "]]
        )
        self.assertEqual(len([line for line in lines if line.startswith("| sent more than once | - | 0 |")]), 1)

    def test_a_login_that_fails_in_the_storm_is_a_failure(self) -> None:
        self.assertEqual(failures(self.found(storms=(storm(failed=2),))), ["storm: 2 logins failed"])
        self.assertEqual(failures(self.found(storms=(storm("other", failed=2),))), [])
