"""The whole thing for a moment: real servers, killed a few times in the midst of messages."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from unittest import SkipTest

import pytest
from twisted.trial.unittest import SynchronousTestCase

from faults.every import SUBJECTS
from faults.report import FAILURES
from tests.peers.requirements import missing

ROOT: Final = Path(__file__).resolve().parents[2]
#: Seconds, on a machine that has much else to do.
AT_MOST: Final = 400
#: What concerns a database server; the other kinds are done on SQLite.
OF_DATABASES: Final = "kill,fill,lock,restart"
#: Three kills with this seed bring restarts and a lock of the database, and a full store where it can be filled.
SEED_OF_DATABASES: Final = "41"


class ShortTests(SynchronousTestCase):
    def test_ten_kills_and_all_that_goes_with_them_lose_double_and_reorder_nothing(self) -> None:
        run = self.done("federix", "--kills", "10", "--seed", "7")
        self.assertEqual(run["faults"]["kill"], 10)
        self.assertGreater(run["verdict"]["acknowledged"], 500)
        self.assertGreater(run["verdict"]["resent"], 20, "no kill came in the midst of anything")

    def test_kills_of_it_and_of_its_postgresql_lose_double_and_reorder_nothing(self) -> None:
        self.kill_with_database("federix-postgresql")

    def test_kills_of_it_and_of_its_mariadb_lose_double_and_reorder_nothing(self) -> None:
        self.kill_with_database("federix-mariadb")

    def kill_with_database(self, name: str) -> None:
        few = ("--kills", "3", "--devices", "4")
        run = self.done(name, *few, "--faults", OF_DATABASES, "--seed", SEED_OF_DATABASES)
        self.assertEqual(run["faults"]["kill"], 3)
        self.assertGreater(run["faults"].get("restart", 0), 0, "its database was never restarted: take another seed")
        self.assertGreater(run["faults"].get("lock", 0), 0, "its database was never locked: take another seed")
        self.assertGreater(run["verdict"]["acknowledged"], 100)

    def done(self, name: str, *arguments: str) -> dict[str, Any]:
        """What was found in a run that has nothing wrong, in which the store was full where it can be."""
        reason = SUBJECTS[name].missing()
        if reason is not None:
            _skip(reason)
        with TemporaryDirectory(prefix="faults-short-") as folder:
            file = Path(folder) / "found.json"
            command: Sequence[str | Path] = [*arguments, "--servers", name, "--no-calm", "--json", file]
            done = subprocess.run(
                [sys.executable, "-m", "faults", *command],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=AT_MOST,
            )
            said = done.stdout[-8000:] + done.stderr[-2000:]
            self.assertTrue(file.exists(), said)
            run: dict[str, Any]
            (run,) = json.loads(file.read_text())["runs"]
        self.assertIsNone(run["failure"], said)
        wrong = {kind: run["verdict"][kind]["told"] for kind in FAILURES if run["verdict"][kind]["count"]}
        self.assertEqual(wrong, {}, said)
        self.assertEqual(done.returncode, 0, said)
        if run["room"]:
            self.assertGreater(run["faults"].get("fill", 0), 0, "its store was never full: take another seed")
        return run


def _skip(reason: str) -> None:
    """Skip the test; where CI=true, fail it."""
    try:
        missing(reason)
    except pytest.skip.Exception as skipped:
        # Trial knows its own word for it alone.
        raise SkipTest(str(skipped)) from None
