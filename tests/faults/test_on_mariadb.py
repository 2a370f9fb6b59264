"""Federix on MariaDB goes through it where MariaDB is installed."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from bench.databases.mariadb import MariaDb
from bench.databases.server import Missing
from faults.every import SUBJECTS
from faults.on_mariadb import FederixOnMariaDb


class MissingTests(SynchronousTestCase):
    def test_it_is_left_out_where_it_is_not_installed_and_says_why(self) -> None:
        # trial's own patch would put a plain function back in its place.
        with patch.object(MariaDb, "require", _missing):
            self.assertEqual(SUBJECTS["federix-mariadb"].missing(), "it is not there")

    def test_it_is_told_apart_by_what_it_keeps_its_archive_in(self) -> None:
        self.assertEqual(len({SUBJECTS[name].storage() for name in SUBJECTS}), len(SUBJECTS))
        self.assertEqual(FederixOnMariaDb.storage(), "MariaDB")


def _missing() -> Path:
    raise Missing("it is not there")
