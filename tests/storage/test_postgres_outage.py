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
from federix.storage.postgres import PostgresStorage
from federix.storage.shapes import Log, Table
from federix.storage.sql import pool
from federix.storage.sql.database import Transaction
from federix.storage.sql.server import SqlTls
from federix.storage.storage import StoreError
from tests.peers.authority import Issuer
from tests.peers.databases import shared_postgres, shared_postgres_database
from tests.storage.servers import logged, postgres_storage, soon, sql_server, the_reactor
from tests.storage.test_postgres import SLEEP

ROMEO = "romeo@example.org"
JULIET = "juliet@example.org"
NOTES = Table("notes", TEXT)
LOG = Log("log", TEXT)


def begin(coroutine: Coroutine[Any, Any, Any]) -> Deferred[Any]:
    return Deferred.fromCoroutine(coroutine)


async def a_while(seconds: float = 0.3) -> None:
    await deferLater(the_reactor, seconds)


class OutageCase(TestCase):
    def setUp(self) -> None:
        self.postgres = shared_postgres()
        self.addCleanup(self.postgres.start)
        self.name = shared_postgres_database()
        self.postgres.empty(self.name)
        self.told = logged(self)

    def make(self, **changes: Any) -> PostgresStorage:
        storage = postgres_storage(self, sql_server(self.postgres, database=self.name, **changes))
        self.addCleanup(storage.stop)
        return storage

    async def started(self, **changes: Any) -> PostgresStorage:
        storage = self.make(**changes)
        await storage.start()
        await soon(lambda: self.connections(storage) == 6)
        return storage

    def connections(self, storage: PostgresStorage) -> int:
        return storage.figures()["database_connections"]

    def lines(self, text: str) -> int:
        return len([line for line in self.told if text in line])

    def backends(self) -> list[int]:
        """The processes of the server that work for us."""
        found = self.postgres.admin(f"SELECT pid FROM pg_stat_activity WHERE datname = '{self.name}'")
        return [pid for (pid,) in found]


class AwayTest(OutageCase):
    async def test_the_start_waits_for_the_database_and_says_so_once(self) -> None:
        self.postgres.stop()
        storage = self.make()
        start = begin(storage.start())
        await a_while(1.5)
        self.assertFalse(start.called)
        self.postgres.start()
        await start
        await NOTES.bind(storage).put(ROMEO, "a", "one")
        self.assertEqual((self.lines("cannot be used"), self.lines("is back"), len(self.told)), (1, 1, 2))

    async def test_a_start_that_waits_can_be_given_up(self) -> None:
        self.postgres.stop()
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
        self.assertIn("password authentication failed", self.told[0])
        self.assertNotIn("hunter2", self.told[0])
        start.cancel()
        await self.assertFailure(start, CancelledError)

    async def test_a_restart_is_waited_for(self) -> None:
        storage = await self.started()
        notes = NOTES.bind(storage)
        await notes.put(ROMEO, "a", "one")
        self.postgres.stop()
        await soon(lambda: self.connections(storage) == 0)
        read, write = begin(notes.get(ROMEO, "a")), begin(notes.put(JULIET, "b", "two"))
        account = begin(storage.accounts.get("romeo", "example.org"))
        await a_while()
        self.postgres.start()
        self.assertEqual(await gatherResults([read, write, account]), ["one", None, None])
        self.assertEqual(await notes.get(JULIET, "b"), "two")
        await soon(lambda: self.connections(storage) == 6)
        self.assertEqual((self.lines("cannot be used"), self.lines("is back"), len(self.told)), (1, 1, 2))

    async def test_who_asks_a_database_that_stays_away_is_refused(self) -> None:
        self.patch(pool, "PATIENCE", 0.5)
        storage = await self.started()
        notes = NOTES.bind(storage)
        self.postgres.stop()
        await soon(lambda: self.connections(storage) == 0)
        for asked in [begin(notes.get(ROMEO, "a")), begin(notes.put(ROMEO, "a", "one"))]:
            await self.assertFailure(asked, StoreError)
        # And now without a wait.
        self.failureResultOf(begin(notes.get(ROMEO, "a")), StoreError)
        self.failureResultOf(begin(notes.put(ROMEO, "a", "one")), StoreError)
        self.postgres.start()
        await soon(lambda: self.connections(storage) == 6)
        await notes.put(ROMEO, "a", "one")
        self.assertEqual(await notes.get(ROMEO, "a"), "one")
        self.assertEqual((self.lines("cannot be used"), self.lines("is back"), len(self.told)), (1, 1, 2))

    async def test_a_server_whose_database_is_away_stops(self) -> None:
        storage = await self.started()
        self.postgres.stop()
        await soon(lambda: self.connections(storage) == 0)
        waiting = begin(NOTES.bind(storage).get(ROMEO, "a"))
        await storage.stop()
        await self.assertFailure(waiting, StoreError)

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
        for how in (self.postgres.stop, self.postgres.kill):
            await a_while(0.7)
            how()
            await a_while(0.2)
            self.postgres.start()
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
        connection = self.postgres.connect(self.name)
        connection.cursor().execute(f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        self.addCleanup(connection.close)
        return connection

    def end_backends(self, asking: str) -> None:
        """Cut the connections that run a statement with *asking* in it."""
        self.postgres.admin(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE datname = '{self.name}' AND state = 'active' AND query LIKE '%{asking}%'"
            " AND pid <> pg_backend_pid()"
        )

    async def test_a_write_whose_fate_is_unknown_fails_and_is_not_repeated(self) -> None:
        storage = await self.started()
        holding = self.lock("entry")
        write = begin(LOG.bind(storage).append(ROMEO, "one"))
        await a_while()
        self.end_backends("INSERT INTO entry")
        error = await self.assertFailure(write, StoreError)
        self.assertIn("nobody knows", str(error))
        holding.close()
        await soon(lambda: self.connections(storage) == 6)
        self.assertEqual(await LOG.bind(storage).range(ROMEO, limit=9), [])

    async def test_a_write_that_surely_was_not_committed_is_done_again(self) -> None:
        storage = await self.started()
        holding = self.lock("cell")
        write = begin(NOTES.bind(storage).update(ROMEO, "a", lambda before: f"{before}!"))
        await a_while()
        self.end_backends("FROM cell")
        await a_while()
        self.assertFalse(write.called)
        holding.close()
        self.assertEqual((await write).after, "None!")
        self.assertEqual(self.told, [])

    async def test_a_read_is_done_again(self) -> None:
        storage = await self.started()
        holding = self.lock("cell")
        read = begin(NOTES.bind(storage).all(ROMEO))
        await a_while()
        self.end_backends("FROM cell")
        await a_while()
        self.assertFalse(read.called)
        holding.close()
        self.assertEqual(await read, {})

    async def test_a_job_that_breaks_connections_is_given_up(self) -> None:
        storage = await self.started()

        async def cut() -> None:
            while not write.called:
                self.end_backends("pg_sleep(9)")
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
        stopped = self.backends()
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
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
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        await soon(lambda: self.connections(storage) == 6)
        await NOTES.bind(storage).put(ROMEO, "a", "two")

    async def test_idle_connections_are_kept_alive(self) -> None:
        self.patch(pool, "WATCH_EVERY", 0.1)
        storage = await self.started(keepalive_interval=0.2)
        await a_while(1.0)
        asked = self.postgres.admin(f"SELECT DISTINCT query FROM pg_stat_activity WHERE datname = '{self.name}'")
        self.assertEqual(asked, [("SELECT 1",)])
        await NOTES.bind(storage).put(ROMEO, "a", "one")
        self.assertEqual(await NOTES.bind(storage).get(ROMEO, "a"), "one")

    async def test_connections_that_cannot_be_had_are_told_once(self) -> None:
        self.patch(pool, "WORTH_TELLING", 0.1)
        self.postgres.admin("ALTER ROLE federix CONNECTION LIMIT 3")
        self.addCleanup(self.postgres.admin, "ALTER ROLE federix CONNECTION LIMIT -1")
        storage = self.make()
        await storage.start()
        await soon(lambda: self.told)
        await NOTES.bind(storage).put(ROMEO, "a", "one")
        await a_while(1.0)
        self.assertEqual(len(self.told), 1)
        self.assertIn("only 3 of 6 connections", self.told[0])
        self.postgres.admin("ALTER ROLE federix CONNECTION LIMIT -1")
        await soon(lambda: self.connections(storage) == 6)


class TlsTest(OutageCase):
    def setUp(self) -> None:
        super().setUp()
        folder = Path(self.mktemp())
        folder.mkdir()
        self.issuer = Issuer(folder)
        certificate = self.issuer.issue("127.0.0.1", "localhost").read_bytes()
        self.postgres.secure(certificate)
        self.addCleanup(self.postgres.insecure)

    async def encrypted(self, storage: PostgresStorage) -> list[Any]:
        await storage.start()
        await NOTES.bind(storage).put(ROMEO, "a", "one")
        return self.postgres.admin(
            "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
            f" WHERE datname = '{self.name}' AND usename = 'federix'"
        )

    def tls(self, *, verify: bool = True, cafile: Path | None = None, own: Path | None = None) -> SqlTls:
        return SqlTls(verify, str(cafile or self.issuer.certificate), None if own is None else str(own))

    async def test_all_connections_are_encrypted_where_that_is_wanted(self) -> None:
        self.assertEqual(await self.encrypted(self.make(tls=self.tls(), host="localhost")), [(True,)])

    async def test_our_own_certificate_is_shown_to_who_asks_for_it(self) -> None:
        self.postgres.ask_for_certificates(self.issuer.certificate.read_bytes())
        own = self.issuer.issue("federix.test", is_client=True)
        own.chmod(0o600)
        self.assertEqual(await self.encrypted(self.make(tls=self.tls(own=own))), [(True,)])
        start = begin(self.make(tls=self.tls()).start())
        await soon(lambda: self.told)
        self.assertIn("valid client certificate", self.told[0])
        start.cancel()
        await self.assertFailure(start, CancelledError)

    async def test_none_is_where_it_is_not(self) -> None:
        self.assertEqual(await self.encrypted(self.make()), [(False,)])

    async def test_a_certificate_that_is_not_good_is_refused_if_it_is_looked_at(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        another = Issuer(folder).certificate
        self.assertEqual(await self.encrypted(self.make(tls=self.tls(verify=False, cafile=another))), [(True,)])
        start = begin(self.make(tls=self.tls(cafile=another)).start())
        await soon(lambda: self.told)
        self.assertIn("SSL error", self.told[0])
        start.cancel()
        await self.assertFailure(start, CancelledError)
