"""The whole thing for a moment: a real process, real sockets, everything that the long run does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

ROOT: Final = Path(__file__).resolve().parents[2]
#: Seconds, on a machine that has much else to do.
AT_MOST: Final = 240


class ShortTests(SynchronousTestCase):
    def test_a_moment_of_everything_loses_nothing_and_leaves_nothing_open(self) -> None:
        with TemporaryDirectory(prefix="soak-short-") as folder:
            file = Path(folder) / "run.json"
            arguments = ["--minutes", "0.05", "--residents", "12", "--visitors", "20", "--seed", "7"]
            done = subprocess.run(
                [sys.executable, "-m", "soak", *arguments, "--json", file],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=AT_MOST,
            )
            said = done.stdout[-4000:] + done.stderr[-2000:]
            self.assertTrue(file.exists(), said)
            run = json.loads(file.read_text())
        self.assertEqual(run["problems"], [], said)
        self.assertEqual(run["left_open"], [], said)
        self.assertEqual(run["failures"], [], said)
        self.assertEqual(done.returncode, 0, said)
        self.assertGreater(run["arrived"], 100)
        self.assertEqual(run["after"]["sessions"], 0)
        self.assertIn("visit: register", run["done"])
        self.assertIn("operator: ", " ".join(run["done"]))
