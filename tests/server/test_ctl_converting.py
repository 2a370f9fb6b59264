"""`federixctl convert_to_sql`: from SQLite to the database server of the configuration, and what it refuses."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import yaml
from click.testing import CliRunner, Result
from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from federix.life.executor import InlineExecutor
from federix.server.ctl.main import main
from federix.server.directory import lock
from federix.storage.accounts import Account
from federix.storage.sqlite import SqliteStorage
from tests.peers.databases import empty_database, texts_of


class ConvertingTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="federixctl-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.config = self.folder / "federix.yml"

    def configure(self, *lines: str) -> None:
        self.config.write_text("\n".join(("hosts: [example.org]", "listen: []", *lines)))

    def on_server(self, sql_type: str = "pgsql") -> str:
        """The configuration names an empty database."""
        database, settings = empty_database(sql_type)
        self.configure(*yaml.safe_dump(settings).splitlines())
        return database

    def fill(self, name: str = "federix.sqlite") -> None:
        async def work() -> None:
            storage = SqliteStorage(str(self.folder / name), InlineExecutor())
            await storage.start()
            for number in range(3):
                await storage.accounts.create(Account(f"user{number}", "example.org", {"PLAIN": "x"}, 1e9))
            await storage.stop()

        self.successResultOf(ensureDeferred(work()))

    def convert(self, *words: str) -> Result:
        return CliRunner().invoke(main, ["-c", str(self.config), "-d", str(self.folder), "convert_to_sql", *words])

    def assert_refused(self, result: Result, reason: str) -> None:
        self.assertEqual((result.exit_code, result.stdout), (1, ""), result.output)
        self.assertRegex(result.stderr, reason)

    def assert_everything_is_there(self, sql_type: str) -> None:
        database = self.on_server(sql_type)
        self.fill()
        result = self.convert()
        self.assertEqual(result.exit_code, 0, result.output)
        self.assertIn("account: 3 rows\n", result.stdout)
        self.assertIn("convert_to_sql: 100 %", result.stderr)
        found = texts_of(sql_type, database, "SELECT local FROM account ORDER BY local")
        self.assertEqual(found, ["user0", "user1", "user2"])
        self.assert_refused(self.convert(), "is not empty")

    def test_everything_is_in_postgresql(self) -> None:
        self.assert_everything_is_there("pgsql")

    def test_everything_is_in_mariadb(self) -> None:
        self.assert_everything_is_there("mysql")

    def test_the_file_may_be_another(self) -> None:
        self.on_server()
        self.fill("other.db")
        self.assert_refused(self.convert(), "there is no SQLite database .*say with --from where it is")
        self.assertEqual(self.convert("--from", str(self.folder / "other.db")).exit_code, 0)

    def test_no_server_may_run(self) -> None:
        self.on_server()
        self.fill()
        self.addCleanup(os.close, lock(self.folder))
        self.assert_refused(self.convert(), "runs in .* already: stop it")

    def test_a_configuration_without_a_database_server_is_refused(self) -> None:
        self.configure("sql_type: sqlite")
        self.fill()
        self.assert_refused(self.convert(), "names no database server to copy into: set sql_type")

    def test_a_configuration_that_is_wrong_is_refused(self) -> None:
        self.configure("sql_type: access")
        self.assert_refused(self.convert(), "sql_type")

    def test_a_database_that_cannot_be_reached_is_told(self) -> None:
        self.configure("sql_type: pgsql", "sql_server: 127.0.0.1", "sql_port: 1")
        self.fill()
        self.assert_refused(self.convert(), "federix at 127.0.0.1:1: .*refused")
