from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from alembic.config import Config
from alembic.script import ScriptDirectory
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

import federix
from federix.life.executor import InlineExecutor
from federix.storage.accounts import Account
from federix.storage.archive import EVERYTHING, ArchiveRow, Counted
from federix.storage.chain import Chain
from federix.storage.codec import TEXT
from federix.storage.roster import Relations, RosterItem
from federix.storage.shapes import Table
from federix.storage.sql import roster
from federix.storage.sql.accounts import EXISTS
from federix.storage.sql.database import Change, Changes, Transaction
from federix.storage.sql.schema import VERSION
from federix.storage.sql.shapes import DOCUMENT_PUT
from federix.storage.sql.versions import MIGRATIONS, creation
from federix.storage.sqlite import SqliteSchema, SqliteStorage
from federix.storage.storage import StoreError
from federix.xmpp.sasl import HASH_NAMES, Credentials
from tests.storage.held import HeldExecutor

T = TypeVar("T")

ROOT = Path(federix.__file__).parent.parent
ROMEO = "romeo@example.org"
JULIET = "juliet@example.org"
NOTES = Table("notes", TEXT)

START = """
import sys
from twisted.internet.defer import Deferred, ensureDeferred
from federix.life.executor import InlineExecutor
from federix.storage.sqlite import SqliteStorage
for _ in range(2):
    storage = SqliteStorage(sys.argv[1], InlineExecutor())
    Deferred.fromCoroutine(storage.start()).addErrback(lambda failure: failure.printTraceback())
    Deferred.fromCoroutine(storage.stop())
    print("alembic" in sys.modules)
"""


def _both_rows(id: int, size: int) -> list[ArchiveRow]:
    """What both sides of a conversation keep of a message."""
    return [
        ArchiveRow(ROMEO, id, JULIET, "", True, str(id), b"x" * size),
        ArchiveRow(JULIET, id, ROMEO, "", False, "", b"x" * size),
    ]


async def _awaited(waiting: Awaitable[T]) -> T:
    return await waiting


class SqliteTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = str(Path(folder.name, "fédérix %s?.db"))

    def result(self, coroutine: Coroutine[Any, Any, T]) -> T:
        result: T = self.successResultOf(Deferred.fromCoroutine(coroutine))
        return result

    def refusal(self, coroutine: Coroutine[Any, Any, object]) -> str:
        return str(self.failureResultOf(Deferred.fromCoroutine(coroutine), StoreError).value)

    def opened(self) -> SqliteStorage:
        storage = SqliteStorage(self.path, InlineExecutor())
        self.result(storage.start())
        self.addCleanup(lambda: self.result(storage.stop()))
        return storage

    def execute(self, *statements: str) -> list[Any]:
        """Run statements behind the storage's back; returns the rows of the last."""
        connection = sqlite3.connect(self.path, isolation_level=None)
        try:
            rows: list[Any] = []
            for statement in statements:
                rows = connection.execute(statement).fetchall()
            return rows
        finally:
            connection.close()


class SqliteStorageTest(SqliteTestCase):
    def test_what_was_kept_is_there_after_a_restart(self) -> None:
        account = Account("romeo", "example.org", {"PLAIN": "x"}, 1.5)
        storage = self.opened()
        self.result(storage.accounts.create(account))
        self.result(NOTES.bind(storage).put(ROMEO, "a", "one"))
        self.result(storage.stop())
        again = self.opened()
        self.assertEqual(self.result(again.accounts.get("romeo", "example.org")), account)
        self.assertEqual(self.result(NOTES.bind(again).all(ROMEO)), {"a": "one"})

    def test_the_files_are_for_their_owner_alone(self) -> None:
        mask = os.umask(0)
        self.addCleanup(os.umask, mask)
        storage = self.opened()
        self.result(NOTES.bind(storage).put(ROMEO, "a", "one"))
        files = list(Path(self.path).parent.iterdir())
        self.assertEqual(len(files), 3)
        for file in files:
            self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600, file)

    def test_an_answered_write_is_in_the_file_for_every_reader(self) -> None:
        self.result(NOTES.bind(self.opened()).put(ROMEO, "a", "one"))
        self.assertEqual(self.execute("SELECT value FROM cell"), [(b"one",)])
        self.assertEqual(self.execute("PRAGMA journal_mode"), [("wal",)])

    def test_a_read_waits_for_writes_of_its_owner_and_no_others(self) -> None:
        executor = HeldExecutor()
        storage = SqliteStorage(self.path, executor)
        self.result(storage.start())
        notes = NOTES.bind(storage)
        executor.holds = True
        put = Deferred.fromCoroutine(notes.put(ROMEO, "a", "one"))
        of_romeo = Deferred.fromCoroutine(notes.get(ROMEO, "a"))
        of_juliet = Deferred.fromCoroutine(notes.get(JULIET, "a"))
        of_all = Deferred.fromCoroutine(notes.owners(limit=5))
        all_of_juliet = Deferred.fromCoroutine(notes.all(JULIET))
        write, read = executor.held
        self.assertIsNone(self.successResultOf(of_juliet))
        read()
        self.assertEqual(self.successResultOf(all_of_juliet), {})
        self.assertNoResult(of_romeo)
        self.assertNoResult(of_all)
        executor.held.clear()
        executor.held.append(write)
        executor.go_on()
        self.successResultOf(put)
        self.assertEqual(self.successResultOf(of_romeo), "one")
        self.assertEqual(self.successResultOf(of_all), [ROMEO])
        self.result(storage.stop())

    def test_a_read_waits_for_writes_that_concern_its_owner_also(self) -> None:
        executor = HeldExecutor()
        storage = SqliteStorage(self.path, executor)
        self.result(storage.start())
        executor.holds = True
        both = Changes(
            tuple(Change(DOCUMENT_PUT, {"owner": owner, "store": "a", "value": b"x"}) for owner in (ROMEO, JULIET))
        )
        written = storage.database.write(ROMEO, both, also=[JULIET])
        read = Deferred.fromCoroutine(storage.documents.get("a", JULIET))
        self.assertNoResult(read)
        executor.go_on()
        self.assertEqual(self.successResultOf(read), b"x")
        assert isinstance(written, Deferred)
        self.assertEqual(self.successResultOf(written), [1, 1])
        self.result(storage.stop())

    def test_what_many_messages_count_is_written_once_for_each_stream(self) -> None:
        executor = HeldExecutor()
        storage = SqliteStorage(self.path, executor)
        self.result(storage.start())
        written: list[str] = []
        storage.database._connections[0].set_trace_callback(written.append)
        chains = {name: Chain() for name in ("one", "another")}
        waiting: list[Deferred[Any]] = []

        def keep(number: int, stream: str, h: int) -> None:
            archived = ArchiveRow(ROMEO, number, JULIET, "", True, "", b"<message/>")
            counted = Counted(stream, ROMEO, h, 1.0, chains[stream].next())
            waiting.append(ensureDeferred(storage.archives.keep([archived], counted)))  # type: ignore[arg-type]

        executor.holds = True
        keep(1, "one", 1)  # alone: it was begun at once
        for number, stream, h in ((2, "one", 2), (3, "another", 1), (4, "one", 3), (4, "one", 4), (5, "another", 2)):
            keep(number, stream, h)
        behind = Deferred.fromCoroutine(storage.archives.counted("one"))
        keep(6, "another", 3)
        executor.go_on()
        told = self.successResultOf(behind)
        self.assertEqual(told and told.h, 3)
        self.assertEqual(sum("INTO counted" in statement for statement in written), 4)
        another = self.result(storage.archives.counted("another"))
        self.assertEqual(another and another.h, 3)
        self.failureResultOf(waiting.pop(4), StoreError)
        for each in waiting:
            self.successResultOf(each)
        self.flushLoggedErrors()
        self.result(storage.stop())

    def test_where_the_disk_is_full_all_that_was_answered_is_there(self) -> None:
        executor = HeldExecutor()
        storage = SqliteStorage(self.path, executor)
        self.result(storage.start())
        self.addCleanup(lambda: self.result(storage.stop()))
        (writer, *_) = storage.database._connections
        ((pages,),) = writer.execute("PRAGMA page_count").fetchall()
        writer.execute(f"PRAGMA max_page_count={pages + 40}")
        sizes = [100, 100, 400_000, 100, 100_000, 100_000, 100]
        for begun in range(3):
            executor.holds = True
            keeping = [
                Deferred.fromCoroutine(_awaited(storage.archives.keep(_both_rows(begun * 10 + n, size))))
                for n, size in enumerate(sizes)
            ]
            executor.go_on()
            for each in keeping:
                each.addErrback(lambda failure: failure.trap(StoreError))
            kept = [n for n, each in enumerate(keeping) if self.successResultOf(each) is not StoreError]
            self.assertTrue(0 < len(kept) < len(sizes), kept)
            there = {
                owner: [row.id - begun * 10 for row in self.result(storage.archives.page(owner, EVERYTHING, limit=99))]
                for owner in (ROMEO, JULIET)
            }
            for ids in there.values():
                self.assertEqual([n for n in ids if n >= 0], kept)
        writer.execute("PRAGMA max_page_count=1000000")
        self.result(_awaited(storage.archives.keep(_both_rows(99, 400_000))))

    def test_readers_work_while_the_writer_does(self) -> None:
        executor = HeldExecutor()
        storage = SqliteStorage(self.path, executor, readers=3)
        self.result(storage.start())
        executor.holds = True
        for number in range(3):
            Deferred.fromCoroutine(NOTES.bind(storage).all(str(number)))
        Deferred.fromCoroutine(NOTES.bind(storage).put(ROMEO, "a", "one"))
        self.assertEqual(len(executor.held), 4)
        executor.go_on()
        self.result(storage.stop())

    def test_what_is_looked_up_by_its_key_is_answered_at_once(self) -> None:
        executor = HeldExecutor()
        storage = SqliteStorage(self.path, executor)
        self.result(storage.start())
        notes = NOTES.bind(storage)
        self.result(notes.put(ROMEO, "a", "one"))
        executor.holds = True
        for text in ("one", "two"):
            self.assertEqual(self.result(notes.get(ROMEO, "a")), text)
            # No moment is held on to: what others write meanwhile is seen by the next.
            self.execute("UPDATE cell SET value = CAST('two' AS BLOB)")
        self.assertIsNone(self.result(storage.accounts.get("romeo", "example.org")))
        self.assertEqual(self.result(storage.rosters.relations(ROMEO)), Relations(0, [], {}))
        executor.go_on()
        self.result(storage.stop())

    def test_a_look_up_that_raises_leaves_nothing_behind(self) -> None:
        async def broken(tx: Transaction) -> None:
            await tx.run(EXISTS, of_local="romeo", of_host="example.org")
            raise LookupError("nothing of the database's")

        storage = self.opened()

        async def look_up() -> None:
            await storage.database.look_up(ROMEO, broken)

        self.failureResultOf(Deferred.fromCoroutine(look_up()), LookupError)
        self.execute("INSERT INTO account VALUES ('example.org', 'romeo', '{}', 0)")
        self.assertIs(self.result(storage.accounts.exists("romeo", "example.org")), True)

    def test_where_a_look_up_does_not_succeed_at_once_a_thread_tries(self) -> None:
        executor = HeldExecutor()
        storage = SqliteStorage(self.path, executor)
        self.result(storage.start())
        self.result(NOTES.bind(storage).put(ROMEO, "a", "one"))
        looker = storage.database._looker
        assert looker is not None
        looker.close()
        executor.holds = True
        got = Deferred.fromCoroutine(NOTES.bind(storage).get(ROMEO, "a"))
        roster = Deferred.fromCoroutine(storage.rosters.relations(ROMEO))
        self.assertNoResult(got)
        self.assertNoResult(roster)
        executor.go_on()
        self.assertEqual(self.successResultOf(got), "one")
        self.assertEqual(self.successResultOf(roster), Relations(0, [], {}))
        self.result(storage.stop())

    def test_a_large_roster_is_read_in_a_thread(self) -> None:
        executor = HeldExecutor()
        storage = SqliteStorage(self.path, executor)
        self.result(storage.start())
        self.patch(roster, "FEW", 2)
        for few, jid in ((True, "a@example.net"), (True, "b@example.net"), (False, "c@example.net")):
            self.result(storage.rosters.put(ROMEO, RosterItem(jid)))
            executor.holds = True
            got = Deferred.fromCoroutine(storage.rosters.get(ROMEO))
            relations = Deferred.fromCoroutine(storage.rosters.relations(ROMEO))
            self.assertEqual((got.called, relations.called), (few, few))
            executor.go_on()
            whole = self.successResultOf(got)
            self.assertEqual(whole.items[-1], RosterItem(jid))
            self.assertEqual(self.successResultOf(relations), Relations(*whole, {}))
        self.result(storage.stop())

    def test_for_nobody_as_much_is_read_as_for_somebody(self) -> None:
        storage = self.opened()
        secrets = {
            f"SCRAM-{n}": k.encode() for n, k in Credentials.make("x", HASH_NAMES, 10_000, os.urandom).scram.items()
        }
        self.result(storage.accounts.create(Account("romeo", "example.org", secrets, 0.0)))
        read: list[str] = []
        loads = json.loads
        self.patch(json, "loads", lambda text: read.append(text) or loads(text))
        self.assertIsNotNone(self.result(storage.accounts.get("romeo", "example.org")))
        self.assertIsNone(self.result(storage.accounts.get("nobody", "example.org")))
        somebodys, nobodys = read
        self.assertEqual(len(somebodys), len(nobodys))

    def test_nothing_can_be_asked_before_the_start_and_after_the_stop(self) -> None:
        storage = SqliteStorage(self.path, InlineExecutor())
        self.refusal(NOTES.bind(storage).get(ROMEO, "a"))
        self.refusal(NOTES.bind(storage).put(ROMEO, "a", "one"))
        self.result(storage.start())
        self.result(storage.stop())
        self.result(storage.stop())
        self.refusal(NOTES.bind(storage).get(ROMEO, "a"))
        self.refusal(NOTES.bind(storage).put(ROMEO, "a", "one"))

    def test_stopping_finishes_the_writes_that_were_begun(self) -> None:
        executor = HeldExecutor()
        storage = SqliteStorage(self.path, executor)
        self.result(storage.start())
        executor.holds = True
        puts = [Deferred.fromCoroutine(NOTES.bind(storage).put(ROMEO, key, "one")) for key in "abc"]
        stopped = Deferred.fromCoroutine(storage.stop())
        self.assertNoResult(stopped)
        executor.go_on()
        self.successResultOf(stopped)
        for put in puts:
            self.successResultOf(put)
        self.assertEqual(self.execute("SELECT count(*) FROM cell"), [(3,)])

    def test_a_folder_that_is_not_there_is_told(self) -> None:
        storage = SqliteStorage("/nowhere/federix.db", InlineExecutor())
        self.assertIn("/nowhere/federix.db cannot be opened", self.refusal(storage.start()))


class VersionTest(SqliteTestCase):
    def refused(self) -> str:
        return self.refusal(SqliteStorage(self.path, InlineExecutor()).start())

    def schema(self) -> dict[str, str]:
        """What the database says of its own tables and indexes."""
        rows = self.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {name: " ".join(sql.split()) for name, sql in rows}

    def columns(self) -> dict[str, list[Any]]:
        return {
            name: [column[1:] for column in self.execute(f"PRAGMA table_info({name})")]
            for name, sql in self.schema().items()
            if sql.startswith("CREATE TABLE")
        }

    def test_a_new_database_has_todays_version(self) -> None:
        self.opened()
        self.assertEqual(self.execute("SELECT version_num FROM alembic_version"), [(VERSION,)])

    def test_the_steps_lead_to_todays_version(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        self.assertEqual(ScriptDirectory.from_config(config).get_current_head(), VERSION)

    def test_the_steps_lead_to_the_schema_that_a_new_database_gets(self) -> None:
        self.opened()
        made = self.schema(), self.columns()
        self.path += ".stepped"
        self.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        storage = self.opened()
        stepped = self.schema(), self.columns()
        self.assertEqual(set(made[0]), set(stepped[0]))
        self.assertEqual(made[1], stepped[1])
        for name, sql in made[0].items():
            if name != "alembic_version":
                self.assertEqual(sql, stepped[0][name])
        self.result(NOTES.bind(storage).put(ROMEO, "a", "one"))

    def test_a_step_that_breaks_leaves_the_database_as_it_was(self) -> None:
        self.execute(
            "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)",
            # The last step of the way: a table of that name is there already.
            "CREATE TABLE roster_version (owner TEXT)",
        )
        before = self.schema()
        self.assertIn("roster_version already exists", self.refused())
        self.assertEqual(self.schema(), before)

    def test_a_database_of_a_newer_version_is_refused_and_left_alone(self) -> None:
        self.result(self.opened().stop())
        self.execute("UPDATE alembic_version SET version_num = '0999'")
        before = self.schema()
        refusal = self.refused()
        self.assertIn("newer", refusal)
        self.assertIn("0999", refusal)
        self.assertEqual(self.schema(), before)

    def test_a_database_of_another_program_is_refused_and_left_alone(self) -> None:
        self.execute("CREATE TABLE spool (username TEXT)")
        self.assertIn("not one of Federix", self.refused())
        self.assertEqual(list(self.schema()), ["spool"])

    def test_what_is_no_database_is_refused(self) -> None:
        Path(self.path).write_text("Wherefore art thou?\n" * 100)
        self.assertIn("cannot be opened", self.refused())

    def test_starting_imports_alembic_only_if_there_is_something_to_do(self) -> None:
        done = subprocess.run(
            [sys.executable, "-c", START, self.path], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        )
        self.assertEqual(done.stdout.split(), ["False", "False"])

    def test_a_database_is_made_from_the_schema_alone(self) -> None:
        connection = sqlite3.connect(":memory:")
        self.addCleanup(connection.close)
        for statement in creation(SqliteSchema.dialect):
            connection.execute(statement)
