"""Database servers that are not there; those that are stand in tests/storage."""

import os
import tempfile
from pathlib import Path
from unittest import SkipTest
from unittest.mock import patch

import pytest
from twisted.trial.unittest import SynchronousTestCase

from bench.databases.postgres import Postgres
from bench.databases.server import Missing, require_package, require_program
from bench.on_postgres import EjabberdOnPostgres, FederixOnPostgres
from tests.peers.databases import required


class MissingTest(SynchronousTestCase):
    def test_what_is_missing_is_named(self) -> None:
        for require, name in ((require_program, "no-such-program"), (require_package, "no_such_package")):
            self.assertIn(name, str(self.assertRaises(Missing, require, name)))

    def test_of_a_program_the_last_version_is_taken(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            for version in ("9", "15", "14"):
                folder = Path(name, version, "bin")
                folder.mkdir(parents=True)
                (folder / "initdb").touch()
            self.assertEqual(require_program("initdb", f"{name}/*/bin"), Path(name, "15", "bin"))

    def test_the_bench_leaves_out_what_needs_it_and_says_why(self) -> None:
        # trial's own patch would put a plain function back in its place.
        with patch.object(Postgres, "require", _missing):
            for kind in (FederixOnPostgres, EjabberdOnPostgres):
                self.assertEqual(kind.missing(), "it is not there")

    def test_a_test_that_needs_it_is_skipped_and_fails_on_a_build_server(self) -> None:
        self.patch(os, "environ", {})
        self.assertIn("it is not there", str(self.assertRaises(SkipTest, required, _missing)))
        self.patch(os, "environ", {"CI": "true"})
        with pytest.raises(pytest.fail.Exception, match="it is not there"):
            required(_missing)


def _missing() -> Path:
    raise Missing("it is not there")
