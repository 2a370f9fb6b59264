"""What is timed of the library works, and a failure is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench import fresh, library
from bench.process import ServerFailed


class FreshTests(SynchronousTestCase):
    def test_two_chat_as_often_as_they_should(self) -> None:
        self.patch(fresh, "AGAIN", 1)
        self.assertEqual(len(fresh.chat()["times"]), 2)
        self.assertEqual(len(fresh.federation()["times"]), 2)

    def test_a_server_starts_in_a_process_of_its_own(self) -> None:
        bytecode = Path(self.mktemp()).absolute()
        told, took = library.in_a_process("embedded", library.installed(bytecode))
        self.assertEqual(len(told["times"]), 1 + fresh.AGAIN)
        self.assertGreater(took, told["imports"] + sum(told["times"]))
        self.assertTrue(any(bytecode.rglob("server.*.pyc")))

    def test_nothing_is_imported_ahead_of_the_clock(self) -> None:
        look = "import sys, bench.fresh; print([name for name in sys.modules if name.split('.')[0] == 'federix'])"
        environment = {**os.environ, "PYTHONPATH": str(library.ROOT)}
        told = subprocess.run([sys.executable, "-c", look], env=environment, capture_output=True, text=True, check=True)
        self.assertEqual(told.stdout.strip(), "[]")


class FailureTests(SynchronousTestCase):
    def test_one_that_fails_is_told_of(self) -> None:
        self.assertRaises(ServerFailed, library.in_a_process, "nonsense", {})

        def fail(*_: object) -> None:
            raise ServerFailed("nobody listens")

        self.patch(library, "once", fail)
        found = library.run(1, Path(self.mktemp()), lambda line: None)
        self.assertEqual({(bound.failure, bound.verdict) for bound in found}, {("nobody listens", "FAILED")})
