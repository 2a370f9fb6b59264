"""The whole thing for a moment: a real server, killed ten times in the midst of messages."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from faults.report import FAILURES
from faults.subjects import Federix

ROOT: Final = Path(__file__).resolve().parents[2]
#: Seconds, on a machine that has much else to do.
AT_MOST: Final = 400


class ShortTests(SynchronousTestCase):
    def test_ten_kills_and_all_that_goes_with_them_lose_double_and_reorder_nothing(self) -> None:
        missing = Federix.missing()
        if missing is not None:
            raise SkipTest(missing)
        with TemporaryDirectory(prefix="faults-short-") as folder:
            file = Path(folder) / "found.json"
            arguments = ["--kills", "10", "--seed", "7", "--no-calm", "--json", file]
            done = subprocess.run(
                [sys.executable, "-m", "faults", *arguments],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=AT_MOST,
            )
            said = done.stdout[-8000:] + done.stderr[-2000:]
            self.assertTrue(file.exists(), said)
            (run,) = json.loads(file.read_text())["runs"]
        self.assertIsNone(run["failure"], said)
        wrong = {kind: run["verdict"][kind]["told"] for kind in FAILURES if run["verdict"][kind]["count"]}
        self.assertEqual(wrong, {}, said)
        self.assertEqual(run["faults"]["kill"], 10)
        self.assertGreater(run["verdict"]["acknowledged"], 500)
        self.assertGreater(run["verdict"]["resent"], 20, "no kill came in the midst of anything")
        self.assertEqual(done.returncode, 0, said)
