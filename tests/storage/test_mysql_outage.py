"""A database server that is away, comes back, goes in the middle of something, or says nothing any more."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from federix.storage.codec import TEXT
from federix.storage.mysql import MysqlStorage
from federix.storage.shapes import Log, Table
from federix.storage.sql import pool
from federix.storage.sql.database import Change, Changes, Transaction
from federix.storage.sql.server import SqlTls
from federix.storage.storage import StoreError
from tests.peers.authority import Issuer
from tests.peers.databases import shared_mariadb, shared_mariadb_database
from tests.storage import test_mysql
from tests.storage.servers import logged, mysql_storage, soon, sql_server, the_reactor
from tests.storage.test_mysql import SLEEP

ROMEO = "romeo@example.org"
JULIET = "juliet@example.org"
NOTES = Table("notes", TEXT)
LOG = Log("log", TEXT)


def entry(owner: str) -> Change:
    return test_mysql.entry(owner, b"one")


def cell(owner: str) -> Change:
    return test_mysql.cell(owner, "key", b"one")


def begin(coroutine: Coroutine[Any, Any, Any]) -> Deferred[Any]:
    return Deferred.fromCoroutine(coroutine)


async def a_while(seconds: float = 0.3) -> None:
    await deferLater(the_reactor, seconds)


class OutageCase(TestCase):
    timeout = 15

    def setUp(self) -> None:
        self.mariadb = shared_mariadb()
        self.addCleanup(self.mariadb.start)
        self.name = shared_mariadb_database()
        self.mariadb.empty(self.name)
        self.told = logged(self)

    def make(self, **changes: Any) -> MysqlStorage:
        storage = mysql_storage(sql_server(self.mariadb, database=self.name, **changes))
        self.addCleanup(storage.stop)
        return storage

    async def started(self, **changes: Any) -> MysqlStorage:
        storage = self.make(**changes)
        await storage.start()
        await soon(lambda: self.connections(storage) == 6)
        return storage

    def connections(self, storage: MysqlStorage) -> int:
        return storage.figures()["database_connections"]

    def lines(self, text: str) -> int:
        return len([line for line in self.told if text in line])


class AwayTest(OutageCase):
    async def test_the_start_waits_for_the_database_and_says_so_once(self) -> None:
        self.mariadb.stop()
        storage = self.make()
        start = begin(storage.start())
        await a_while(1.5)
        self.assertFalse(start.called)
        self.mariadb.start()
        await start
        await NOTES.bind(storage).put(ROMEO, "a", "one")
        self.assertEqual((self.lines("cannot be used"), self.lines("is back"), len(self.told)), (1, 1, 2))

    async def test_a_start_that_waits_can_be_given_up(self) -> None:
        self.mariadb.stop()
        start = begin(self.make().start())
        await a_while()
        start.cancel()
        await self.assertFailure(start, CancelledError)

    async def test_a_start_is_given_up_while_it_connects(self) -> None:
        # Somebody listens there, and never answers.
        with socket.create_server(("127.0.0.1", 0)) as silent:
            start = begin(self.make(port=silent.getsockname()[1], connect_timeout=2.0).start())
            await a_while()
            start.cancel()
            await self.assertFailure(start, CancelledError)

    async def test_a_wrong_password_is_told(self) -> None:
        start = begin(self.make(password="hunter2").start())
        await soon(lambda: self.told)
        self.assertIn("Access denied", self.told[0])
        self.assertNotIn("hunter2", self.told[0])
        start.cancel()
        await self.assertFailure(start, CancelledError)

    async def test_a_restart_is_waited_for(self) -> None:
        storage = await self.started()
        notes = NOTES.bind(storage)
        await notes.put(ROMEO, "a", "one")
        self.mariadb.stop()
        await soon(lambda: self.connections(storage) == 0)
        read, write = begin(notes.get(ROMEO, "a")), begin(notes.put(JULIET, "b", "two"))
        account = begin(storage.accounts.get("romeo", "example.org"))
        await a_while()
        self.mariadb.start()
        self.assertEqual(await gatherResults([read, write, account]), ["one", None, None])
        self.assertEqual(await notes.get(JULIET, "b"), "two")
        await soon(lambda: self.connections(storage) == 6)
        self.assertEqual((self.lines("cannot be used"), self.lines("is back"), len(self.told)), (1, 1, 2))

    async def test_who_asks_a_database_that_stays_away_is_refused(self) -> None:
        self.patch(pool, "PATIENCE", 0.5)
        storage = await self.started()
        notes = NOTES.bind(storage)
        self.mariadb.stop()
        await soon(lambda: self.connections(storage) == 0)
        for asked in [begin(notes.get(ROMEO, "a")), begin(notes.put(ROMEO, "a", "one"))]:
            await self.assertFailure(asked, StoreError)
        # And now without a wait.
        self.failureResultOf(begin(notes.get(ROMEO, "a")), StoreError)
        self.failureResultOf(begin(notes.put(ROMEO, "a", "one")), StoreError)
        self.mariadb.start()
        await soon(lambda: self.connections(storage) == 6)
        await notes.put(ROMEO, "a", "one")
        self.assertEqual(await notes.get(ROMEO, "a"), "one")
        self.assertEqual((self.lines("cannot be used"), self.lines("is back"), len(self.told)), (1, 1, 2))

    async def test_a_server_whose_database_is_away_stops(self) -> None:
        storage = await self.started()
        self.mariadb.stop()
        await soon(lambda: self.connections(storage) == 0)
        waiting = begin(NOTES.bind(storage).get(ROMEO, "a"))
        await storage.stop()
        await self.assertFailure(waiting, StoreError)

    async def test_no_id_is_given_twice_whatever_is_removed_and_however_the_server_stops(self) -> None:
        storage = await self.started()
        log = LOG.bind(storage)
        given = [await log.append(ROMEO, "one") for _ in range(3)]
        for how in (self.mariadb.stop, self.mariadb.kill):
            await log.drop(ROMEO)
            self.assertEqual(await log.count(ROMEO), 0)
            how()
            await soon(lambda: self.connections(storage) == 0)
            self.mariadb.start()
            await soon(lambda: self.connections(storage) == 6)
            given += [await log.append(ROMEO, "one") for _ in range(3)]
        self.assertEqual(given, sorted(set(given)))

    async def test_nothing_that_was_acknowledged_is_lost_and_nothing_is_done_twice(self) -> None:
        storage = await self.started()
        log = LOG.bind(storage)
        kept: dict[str, list[str]] = {f"user{n}@example.org": [] for n in range(20)}
        failed: list[str] = []
        stopped: list[bool] = []

        async def write(owner: str) -> None:
            count = 0
            while not stopped:
                count += 1
                try:
                    await log.append(owner, str(count))
                except StoreError:
                    failed.append(f"{owner} {count}")
                else:
                    kept[owner].append(str(count))

        writing = [begin(write(owner)) for owner in kept]
        for how in (self.mariadb.stop, self.mariadb.kill):
            await a_while(0.7)
            how()
            await a_while(0.2)
            self.mariadb.start()
            await soon(lambda: self.connections(storage) == 6)
        stopped.append(True)
        await gatherResults(writing)
        for owner, values in kept.items():
            there = [value for _, value in await log.range(owner, limit=1_000_000)]
            self.assertEqual(len(there), len(set(there)))
            self.assertEqual([value for value in there if f"{owner} {value}" not in failed], values)
        self.assertEqual((self.lines("cannot be used"), self.lines("is back")), (2, 2))


class BrokenTest(OutageCase):
    """Connections that break in the middle of something."""

    def lock(self, table: str) -> Any:
        """Nobody gets at *table* until what is returned is closed."""
        connection = self.mariadb.connect(self.name)
        connection.cursor().execute(f"LOCK TABLES {table} WRITE")
        self.addCleanup(connection._force_close)
        return connection

    def end_connections(self, asking: str) -> None:
        """Cut the connections that run a statement with *asking* in it."""
        for (number,) in self.mariadb.admin(
            f"SELECT id FROM information_schema.processlist WHERE db = '{self.name}' AND info LIKE '%{asking}%'"
            " AND id <> CONNECTION_ID()"
        ):
            self.mariadb.admin(f"KILL CONNECTION {number}")

    async def test_a_write_whose_fate_is_unknown_fails_and_is_not_repeated(self) -> None:
        storage = await self.started()
        holding = self.lock("entry")
        write = begin(LOG.bind(storage).append(ROMEO, "one"))
        await a_while()
        self.end_connections("INSERT INTO entry")
        error = await self.assertFailure(write, StoreError)
        self.assertIn("nobody knows", str(error))
        holding._force_close()
        await soon(lambda: self.connections(storage) == 6)
        self.assertEqual(await LOG.bind(storage).range(ROMEO, limit=9), [])

    async def test_a_write_that_surely_was_not_committed_is_done_again(self) -> None:
        storage = await self.started()
        holding = self.lock("cell")
        write = begin(NOTES.bind(storage).update(ROMEO, "a", lambda before: f"{before}!"))
        await a_while()
        self.end_connections("FROM cell")
        await a_while()
        self.assertFalse(write.called)
        holding._force_close()
        self.assertEqual((await write).after, "None!")
        self.assertEqual(self.told, [])

    async def test_a_commit_whose_fate_is_unknown_fails_and_is_not_repeated(self) -> None:
        storage = await self.started()
        first = storage.database.write("first", entry("first"))
        # Both in one message, which commits.
        writes = [storage.database.write(f"{n}", Changes((entry(f"{n}"), cell(f"{n}")))) for n in range(9)]
        holding = self.lock("cell")
        await first
        await a_while()
        self.mariadb.kill()
        for write in writes:
            error = await self.assertFailure(write, StoreError)
            self.assertIn("nobody knows", str(error))
        holding._force_close()
        self.mariadb.start()
        await soon(lambda: self.connections(storage) == 6)
        self.assertEqual(self.mariadb.admin("SELECT count(*) FROM entry", self.name), [(1,)])

    async def test_what_lasts_too_long_is_ended_in_the_server_as_well(self) -> None:
        storage = await self.started(query_timeout=1.0)
        await self.assertFailure(storage.database.read(ROMEO, lambda tx: tx.run(SLEEP, seconds=30)), StoreError)
        running = self.mariadb.admin("SELECT info FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'")
        self.assertEqual(running, [])
        self.assertEqual(self.connections(storage), 6)

    async def test_a_row_that_somebody_holds_is_waited_for_and_spoils_no_other(self) -> None:
        storage = await self.started(query_timeout=6.0)
        await storage.database.write("held", cell("held"))
        holding = self.mariadb.connect(self.name)
        self.addCleanup(holding._force_close)
        holding.cursor().execute("START TRANSACTION")
        holding.cursor().execute("SELECT * FROM cell WHERE (owner, store, `key`) = ('held', 'notes', 'key') FOR UPDATE")
        writes = [storage.database.write(owner, cell(owner)) for owner in ("first", "a", "held", "b")]
        # It waits two seconds, and twice again: once with the others, and then alone.
        held = writes.pop(2)
        self.assertEqual(await gatherResults(writes), [1, 1, 1])
        error = await self.assertFailure(held, StoreError)
        self.assertIn("Lock wait timeout", str(error))
        again = storage.database.write("held", cell("held"))
        await a_while(3.0)
        self.assertFalse(again.called)
        holding.cursor().execute("ROLLBACK")
        self.assertEqual(await again, 1)

    async def test_many_that_wait_for_others_do_not_wait_one_by_one(self) -> None:
        storage = await self.started(query_timeout=3.0)
        owners = [f"{n}" for n in range(20)]
        await gatherResults([storage.database.write(owner, cell(owner)) for owner in owners])
        holding = self.mariadb.connect(self.name)
        self.addCleanup(holding._force_close)
        holding.cursor().execute("START TRANSACTION")
        holding.cursor().execute("SELECT * FROM cell FOR UPDATE")
        before = the_reactor.seconds()
        for write in [storage.database.write(owner, cell(owner)) for owner in owners]:
            await self.assertFailure(write, StoreError)
        self.assertLess(the_reactor.seconds() - before, 12.0)

    async def test_a_read_is_done_again(self) -> None:
        storage = await self.started()
        holding = self.lock("cell")
        read = begin(NOTES.bind(storage).all(ROMEO))
        await a_while()
        self.end_connections("FROM cell")
        await a_while()
        self.assertFalse(read.called)
        holding._force_close()
        self.assertEqual(await read, {})

    async def test_a_job_that_breaks_connections_is_given_up(self) -> None:
        storage = await self.started()

        async def cut() -> None:
            while not write.called:
                self.end_connections("SLEEP(9)")
                await a_while(0.1)

        async def sleeping(tx: Transaction) -> None:
            await tx.run(SLEEP, seconds=9)

        async def asking() -> None:
            await storage.database.write(ROMEO, sleeping)

        write = begin(asking())
        cutting = begin(cut())
        await self.assertFailure(write, StoreError)
        await cutting
        await NOTES.bind(storage).put(ROMEO, "a", "one")

    async def test_a_server_that_says_nothing_any_more_is_left(self) -> None:
        self.patch(pool, "WATCH_EVERY", 0.1)
        self.patch(pool, "GRACE", 0.5)
        storage = await self.started(query_timeout=1.0)
        os.kill(self.mariadb.pid, signal.SIGSTOP)
        try:
            read = begin(NOTES.bind(storage).get(ROMEO, "a"))
            write = begin(NOTES.bind(storage).put(ROMEO, "a", "one"))
            await self.assertFailure(write, StoreError)
            # The other connections are dead as well: each is tried, up to a bound.
            try:
                await read
            except StoreError:
                pass
        finally:
            os.kill(self.mariadb.pid, signal.SIGCONT)
        await soon(lambda: self.connections(storage) == 6)
        await NOTES.bind(storage).put(ROMEO, "a", "two")

    async def test_many_short_statements_may_take_long_together(self) -> None:
        self.patch(pool, "WATCH_EVERY", 0.1)
        self.patch(pool, "GRACE", 0.2)
        storage = await self.started(query_timeout=1.0)

        async def work(tx: Transaction) -> int:
            for _ in range(8):
                await tx.run(SLEEP, seconds=0.2)
            return 1

        jobs = [storage.database.write(ROMEO, work), *(storage.database.read(JULIET, work) for _ in range(6))]
        self.assertEqual(await gatherResults(jobs), [1] * 7)
        self.assertEqual((self.connections(storage), self.told), (6, []))

    async def test_idle_connections_are_kept_alive(self) -> None:
        self.patch(pool, "WATCH_EVERY", 0.1)
        storage = await self.started(keepalive_interval=0.2)
        await a_while(1.0)
        ((_, asked),) = self.mariadb.admin("SHOW GLOBAL STATUS LIKE 'Com_admin_commands'")
        self.assertGreaterEqual(int(asked), 6)
        await NOTES.bind(storage).put(ROMEO, "a", "one")
        self.assertEqual(await NOTES.bind(storage).get(ROMEO, "a"), "one")

    async def test_connections_that_cannot_be_had_are_told_once(self) -> None:
        self.patch(pool, "WORTH_TELLING", 0.1)
        self.mariadb.admin("ALTER USER federix WITH MAX_USER_CONNECTIONS 3")
        self.addCleanup(self.mariadb.admin, "ALTER USER federix WITH MAX_USER_CONNECTIONS 0")
        storage = self.make()
        await storage.start()
        await soon(lambda: self.told)
        await NOTES.bind(storage).put(ROMEO, "a", "one")
        await a_while(1.0)
        self.assertEqual(len(self.told), 1)
        self.assertIn("only 3 of 6 connections", self.told[0])
        self.mariadb.admin("ALTER USER federix WITH MAX_USER_CONNECTIONS 0")
        await soon(lambda: self.connections(storage) == 6)


class TlsTest(OutageCase):
    def setUp(self) -> None:
        super().setUp()
        folder = Path(self.mktemp())
        folder.mkdir()
        self.issuer = Issuer(folder)
        certificate = self.issuer.issue("127.0.0.1", "localhost").read_bytes()
        self.mariadb.secure(certificate, self.issuer.certificate.read_bytes())
        self.addCleanup(self.mariadb.insecure)
        self.addCleanup(self.mariadb.admin, "ALTER USER federix REQUIRE NONE")

    def make(self, **changes: Any) -> MysqlStorage:
        # Its certificate names no address.
        return super().make(host="localhost", **changes)

    async def used(self, storage: MysqlStorage) -> int:
        """How many connections of *storage* were encrypted, after some work over them."""
        before = self.accepted()
        await storage.start()
        await NOTES.bind(storage).put(ROMEO, "a", "one")
        self.assertEqual(await NOTES.bind(storage).get(ROMEO, "a"), "one")
        await soon(lambda: self.connections(storage) == 6)
        await storage.stop()
        return self.accepted() - before

    def accepted(self) -> int:
        ((_, number),) = self.mariadb.admin("SHOW GLOBAL STATUS LIKE 'Ssl_finished_accepts'")
        return int(number)

    def tls(self, *, verify: bool = True, cafile: Path | None = None, own: Path | None = None) -> SqlTls:
        return SqlTls(verify, str(cafile or self.issuer.certificate), None if own is None else str(own))

    async def refused(self, storage: MysqlStorage) -> str:
        start = begin(storage.start())
        await soon(lambda: self.told)
        start.cancel()
        await self.assertFailure(start, CancelledError)
        return self.told[0]

    async def test_all_connections_are_encrypted_where_that_is_wanted(self) -> None:
        self.mariadb.admin("ALTER USER federix REQUIRE SSL")
        # One more looks at the schema.
        self.assertEqual(await self.used(self.make(tls=self.tls())), 7)
        self.assertEqual(self.told, [])
        self.assertIn("Access denied", await self.refused(self.make()))

    async def test_the_steps_of_the_schema_are_encrypted_as_well(self) -> None:
        self.mariadb.admin("ALTER USER federix REQUIRE SSL")
        self.mariadb.admin("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)", self.name)
        self.assertEqual(await self.used(self.make(tls=self.tls())), 8)

    async def test_our_own_certificate_is_shown_to_who_asks_for_it(self) -> None:
        self.mariadb.admin("ALTER USER federix REQUIRE X509")
        own = self.issuer.issue("federix.test", is_client=True)
        self.assertEqual(await self.used(self.make(tls=self.tls(own=own))), 7)
        self.assertIn("Access denied", await self.refused(self.make(tls=self.tls())))

    async def test_none_is_where_it_is_not(self) -> None:
        self.assertEqual(await self.used(self.make()), 0)

    async def test_a_certificate_that_is_not_good_is_refused_if_it_is_looked_at(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        another = Issuer(folder).certificate
        self.assertEqual(await self.used(self.make(tls=self.tls(verify=False, cafile=another))), 7)
        self.assertIn("certificate verify failed", await self.refused(self.make(tls=self.tls(cafile=another))))

    async def test_an_encrypted_connection_that_ends_is_noticed(self) -> None:
        storage = await self.started(tls=self.tls())
        self.mariadb.stop()
        await soon(lambda: self.connections(storage) == 0)
        self.mariadb.start()
        await soon(lambda: self.connections(storage) == 6)
        await NOTES.bind(storage).put(ROMEO, "a", "one")
