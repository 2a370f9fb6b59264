"""MariaDB that is away, comes back, goes in the middle of something, or says nothing any more."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import gatherResults

from federix.storage.my import orphans as my_orphans
from federix.storage.sql import pool
from federix.storage.sql.database import Changes, Transaction
from federix.storage.storage import StoreError
from tests.storage.served import away, broken, orphans, tls
from tests.storage.served.case import JULIET, LOG, NOTES, ROMEO, cell, entry
from tests.storage.served.on_mariadb import OnMariaDb
from tests.storage.served.outage import a_while
from tests.storage.servers import soon, the_reactor


class InTime(OnMariaDb):
    """What hangs is told soon."""

    timeout = 15


class AwayTest(InTime, away.Away):
    async def test_no_id_is_given_twice_whatever_is_removed_and_however_the_server_stops(self) -> None:
        storage = await self.started()
        log = LOG.bind(storage)
        given = [await log.append(ROMEO, "one") for _ in range(3)]
        for how in (self.server.stop, self.server.kill):
            await log.drop(ROMEO)
            self.assertEqual(await log.count(ROMEO), 0)
            how()
            await soon(lambda: self.connections(storage) == 0)
            self.server.start()
            await soon(lambda: self.connections(storage) == 6)
            given += [await log.append(ROMEO, "one") for _ in range(3)]
        self.assertEqual(given, sorted(set(given)))


class BrokenTest(InTime, broken.Broken):
    async def test_a_commit_whose_fate_is_unknown_fails_and_is_not_repeated(self) -> None:
        storage = await self.started()
        first = storage.database.write("first", entry("first"))
        # Both in one message, which commits.
        writes = [storage.database.write(f"{n}", Changes((entry(f"{n}"), cell(f"{n}")))) for n in range(9)]
        release = self.lock("cell")
        await first
        await a_while()
        self.server.kill()
        for write in writes:
            error = await self.assertFailure(write, StoreError)
            self.assertIn("nobody knows", str(error))
        release()
        self.server.start()
        await soon(lambda: self.connections(storage) == 6)
        self.assertEqual(self.server.admin("SELECT count(*) FROM entry", self.name), [(1,)])

    async def test_what_lasts_too_long_is_ended_in_the_server_as_well(self) -> None:
        storage = await self.started(query_timeout=1.0)
        await self.assertFailure(storage.database.read(ROMEO, lambda tx: tx.run(self.sleep, seconds=30)), StoreError)
        running = self.server.admin("SELECT info FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'")
        self.assertEqual(running, [])
        self.assertEqual(self.connections(storage), 6)

    async def test_a_row_that_somebody_holds_is_waited_for_and_spoils_no_other(self) -> None:
        storage = await self.started(query_timeout=6.0)
        await storage.database.write("held", cell("held"))
        holding = self.hold(
            "START TRANSACTION", "SELECT * FROM cell WHERE (owner, store, `key`) = ('held', 'notes', 'key') FOR UPDATE"
        )
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
        self.hold("START TRANSACTION", "SELECT * FROM cell FOR UPDATE")
        before = the_reactor.seconds()
        for write in [storage.database.write(owner, cell(owner)) for owner in owners]:
            await self.assertFailure(write, StoreError)
        self.assertLess(the_reactor.seconds() - before, 12.0)

    async def test_many_short_statements_may_take_long_together(self) -> None:
        self.patch(pool, "WATCH_EVERY", 0.1)
        self.patch(pool, "GRACE", 0.2)
        storage = await self.started(query_timeout=1.0)

        async def work(tx: Transaction) -> int:
            for _ in range(8):
                await tx.run(self.sleep, seconds=0.2)
            return 1

        jobs = [storage.database.write(ROMEO, work), *(storage.database.read(JULIET, work) for _ in range(6))]
        self.assertEqual(await gatherResults(jobs), [1] * 7)
        self.assertEqual((self.connections(storage), self.told), (6, []))


class TlsTest(InTime, tls.Tls):
    def make(self, **changes: Any) -> Any:
        # Its certificate names no address.
        return super().make(**{"host": "localhost", **changes})

    async def test_all_connections_are_encrypted_where_that_is_wanted(self) -> None:
        self.require("SSL")
        await super().test_all_connections_are_encrypted_where_that_is_wanted()
        self.assertEqual(self.told, [])
        self.assertIn("Access denied", await self.refused(self.make()))

    async def test_the_steps_of_the_schema_are_encrypted_as_well(self) -> None:
        self.require("SSL")
        self.as_ourselves("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        self.assertEqual(await self.accepted(self.make(tls=self.tls())), 8)

    async def test_an_encrypted_connection_that_ends_is_noticed(self) -> None:
        storage = await self.started(tls=self.tls())
        self.server.stop()
        await soon(lambda: self.connections(storage) == 0)
        self.server.start()
        await soon(lambda: self.connections(storage) == 6)
        await NOTES.bind(storage).put(ROMEO, "a", "one")


class OrphansTest(InTime, orphans.Orphans):
    async def test_a_connection_whose_name_is_taken_still_gets_another(self) -> None:
        self.patch(my_orphans, "NAMES", 7)
        here = await self.started(identity="here")
        for _ in range(2):
            here.database._pool._slots[-1].connection.break_off("the test wants it")
            await soon(lambda: self.connections(here) == 6)
        here.database._pool._closed = True  # as one that is killed, it does not come back
        await self.make(identity="here").start()
        await soon(lambda: self.connections(here) == 0)
