"""What was acknowledged survives a process that is killed while it writes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

import federix
from federix.life.executor import InlineExecutor
from federix.storage.sqlite import SqliteStorage
from tests.storage.crashing import LOG, OWNERS, TOTAL, entry_text

T = TypeVar("T")

ENOUGH = 400
"""How many acknowledgements to wait for before the process is killed."""


class CrashTest(SynchronousTestCase):
    def test_a_killed_process_leaves_all_it_acknowledged_and_nothing_half_done(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = str(Path(folder.name, "federix.db"))
        acknowledged = self.killed_while_writing(path)
        self.assertGreaterEqual(len(acknowledged), ENOUGH)
        storage = SqliteStorage(path, InlineExecutor())
        self.result(storage.start())
        kept: set[tuple[int, int]] = set()
        for number, owner in enumerate(OWNERS):
            entries = self.result(LOG.bind(storage).range(owner, limit=1_000_000))
            texts = [text for _, text in entries]
            # In order, without a gap, each whole.
            self.assertEqual(texts, [entry_text(count) for count in range(len(texts))])
            kept |= {(number, count) for count in range(len(texts))}
            roster = self.result(storage.rosters.get(owner))
            total = self.result(TOTAL.bind(storage).get(owner)) or 0
            # Items and version are changed together.
            self.assertEqual(len(roster.items), roster.version)
            # The log, the total and the roster are written one after the other, each when the one before was answered.
            self.assertLessEqual(0, len(texts) - total)
            self.assertLessEqual(len(texts) - total, 1)
            self.assertLessEqual(total - roster.version, 1)
        self.assertLessEqual(acknowledged, kept)
        self.result(storage.stop())

    def killed_while_writing(self, path: str) -> set[tuple[int, int]]:
        """Let a process write, kill it in the middle, and return what it had acknowledged: (owner, count)."""
        command = [sys.executable, "-m", "tests.storage.crashing", path]
        root = Path(federix.__file__).parent.parent
        with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, env={**os.environ}) as process:
            assert process.stdout is not None
            try:
                lines = [process.stdout.readline() for _ in range(ENOUGH)]
            finally:
                process.kill()
            lines += process.stdout.readlines()
        return {(int(number), int(count)) for number, count in (line.split() for line in lines if line[-1:] == b"\n")}

    def result(self, coroutine: Coroutine[Any, Any, T]) -> T:
        result: T = self.successResultOf(Deferred.fromCoroutine(coroutine))
        return result
