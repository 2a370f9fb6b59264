"""What counts as trouble in the server's log."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase

from soak.log import LogReader, suspicious

GOOD = "2026-11-20T12:00:00.000Z [info] client session opened (session: a@b/c)"
BAD = "2026-11-20T12:00:00.000Z [error] handler failed (hook: x)"
TRACEBACK = ["Traceback (most recent call last):", '  File "x.py", line 1, in x', "builtins.ValueError: no"]


class SuspiciousTests(SynchronousTestCase):
    def test_information_is_harmless(self) -> None:
        self.assertEqual(suspicious([GOOD, GOOD]), [])

    def test_a_warning_is_not(self) -> None:
        warning = GOOD.replace("info", "warning")
        self.assertEqual(suspicious([GOOD, warning, GOOD]), [warning])

    def test_a_traceback_goes_with_its_line(self) -> None:
        self.assertEqual(suspicious([GOOD, BAD, *TRACEBACK, GOOD, BAD]), ["\n".join([BAD, *TRACEBACK]), BAD])

    def test_a_traceback_alone_is_trouble(self) -> None:
        self.assertEqual(suspicious([GOOD, *TRACEBACK, GOOD]), ["\n".join(TRACEBACK)])


class ReaderTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = TemporaryDirectory(prefix="soak-log-")
        self.addCleanup(folder.cleanup)
        self.file = Path(folder.name) / "federix.log"
        self.reader = LogReader(self.file)

    def write(self, text: str) -> None:
        with self.file.open("a") as stream:
            stream.write(text)

    def test_a_log_that_is_not_there_yet_has_no_news(self) -> None:
        self.assertEqual(self.reader.news(), [])

    def test_what_is_told_is_told_once(self) -> None:
        self.write(f"{GOOD}\n{BAD}\n")
        self.assertEqual(self.reader.news(), [BAD])
        self.assertEqual(self.reader.news(), [])
        self.assertEqual(self.reader.lines, 2)

    def test_a_line_in_two_pieces_is_one(self) -> None:
        self.write(BAD[:40])
        self.assertEqual(self.reader.news(), [])
        self.write(f"{BAD[40:]}\n")
        self.assertEqual(self.reader.news(), [BAD])

    def test_nothing_is_missed_where_the_log_is_moved_and_what_is_read_is_removed(self) -> None:
        self.write(f"{GOOD}\n")
        self.reader.news()
        self.write(f"{BAD}\n")
        moved = self.file.rename(self.file.with_name("federix.log.moved-1"))
        self.write(f"{BAD}\n")
        self.assertEqual(self.reader.news(), [BAD, BAD])
        self.assertTrue(moved.exists())
        self.assertEqual(self.reader.news(), [])
        self.assertFalse(moved.exists())
        self.assertTrue(self.file.exists())
