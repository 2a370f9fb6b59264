"""Wokkel's own tests, with what it lacks put back: they tell when a new Twisted takes something else away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

SOURCE = Path(__file__).resolve().parents[2]
TIMEOUT = 60.0
#: As many as wokkel 18 has, or nearly.
AT_LEAST = 650

#: What fails on any Twisted of today, and nothing that is used here.
KNOWN = {
    # It expects bytes of Twisted's SRVConnector, which has text since 16.4.
    "wokkel.test.test_client.ClientCreatorTest.test_call",
    # They allow one warning only, and what wokkel's tests share calls what Twisted warns of.
    "wokkel.test.test_xmppim.RosterClientProtocolTest.test_onRosterRemove",
    "wokkel.test.test_xmppim.RosterClientProtocolTest.test_onRosterSet",
}
#: It asks a connector that never connected for its transport: now and then there is one.
SOMETIMES = {"wokkel.test.test_component.ComponentTest.test_stopServiceNoReconnect"}

_PROGRAM = """
import json
import federix._wokkel
from twisted.trial.reporter import TestResult
from twisted.trial.runner import TestLoader
result = TestResult()
TestLoader().loadByName("wokkel", recurse=True).run(result)
failed = sorted({test.id() for test, _ in result.failures + result.errors})
print()
print(json.dumps({"count": result.testsRun, "failed": failed}))
"""


class Canary(SynchronousTestCase):
    def test_wokkel_passes_its_own_tests(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, "-c", _PROGRAM],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(SOURCE)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
            )
        self.assertEqual(done.returncode, 0, done.stderr)
        said = json.loads(done.stdout.splitlines()[-1])
        self.assertGreaterEqual(said["count"], AT_LEAST)
        self.assertEqual(set(said["failed"]) - SOMETIMES, KNOWN)
