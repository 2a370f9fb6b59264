"""Connections that break in the middle of something."""

from __future__ import annotations

import os
import signal

from twisted.internet.defer import ensureDeferred

from federix.storage.archive import EVERYTHING, Counted
from federix.storage.chain import Chain
from federix.storage.sql import pool
from federix.storage.sql.database import Transaction
from federix.storage.storage import StoreError
from tests.contracts.archives import numbers, other_side, row
from tests.storage.served.case import JULIET, LOG, NOTES, ROMEO
from tests.storage.served.outage import OutageCase, a_while, begin
from tests.storage.servers import soon


class Broken(OutageCase):
    async def test_a_write_whose_fate_is_unknown_fails_and_is_not_repeated(self) -> None:
        storage = await self.started()
        release = self.lock("entry")
        write = begin(LOG.bind(storage).append(ROMEO, "one"))
        await a_while()
        self.end_connections("INSERT INTO entry")
        error = await self.assertFailure(write, StoreError)
        self.assertIn("nobody knows", str(error))
        release()
        await soon(lambda: self.connections(storage) == 6)
        self.assertEqual(await LOG.bind(storage).range(ROMEO, limit=9), [])

    async def test_a_message_whose_fate_is_unknown_and_that_was_not_kept_is_kept_before_those_behind_it(self) -> None:
        storage = await self.started()
        release = self.lock("archive")
        counted = Counted("stream", ROMEO, 1, link=Chain().next())
        keeping = [storage.archives.keep([row(1), other_side(row(1))], counted)]
        await a_while()
        keeping += [storage.archives.keep([row(number)]) for number in (2, 3)]
        self.end_connections("INSERT INTO archive")
        release()
        done: list[int] = []
        for number, each in enumerate(keeping, 1):
            ensureDeferred(each).addCallback(lambda _, number=number: done.append(number))
        await soon(lambda: len(done) == 3)
        self.assertEqual(done, [1, 2, 3])
        self.assertEqual(numbers(await storage.archives.page(ROMEO, EVERYTHING, limit=9)), [1, 2, 3])
        self.assertEqual(numbers(await storage.archives.page(JULIET, EVERYTHING, limit=9)), [1])
        found = await storage.archives.counted("stream")
        self.assertEqual(found and found.h, 1)
        self.assertEqual(self.told, [])

    async def test_a_message_whose_fate_is_unknown_and_that_was_kept_is_kept_once(self) -> None:
        storage = await self.started()
        database = storage.database
        for slot in database._pool._slots:
            if slot.lane is database._writer:
                self.lose_answers(slot.opened)
        keeping = storage.archives.keep([row(1), other_side(row(1))])
        await ensureDeferred(keeping)
        self.assertLess(self.connections(storage), 6)
        self.assertEqual(self.counted("archive"), 2)
        self.assertEqual(await storage.archives.page(ROMEO, EVERYTHING, limit=9), [row(1)])
        self.assertEqual(await storage.archives.page(JULIET, EVERYTHING, limit=9), [other_side(row(1))])

    async def test_a_write_that_surely_was_not_committed_is_done_again(self) -> None:
        storage = await self.started()
        release = self.lock("cell")
        write = begin(NOTES.bind(storage).update(ROMEO, "a", lambda before: f"{before}!"))
        await a_while()
        self.end_connections("FROM cell")
        await a_while()
        self.assertFalse(write.called)
        release()
        self.assertEqual((await write).after, "None!")
        self.assertEqual(self.told, [])

    async def test_a_read_is_done_again(self) -> None:
        storage = await self.started()
        release = self.lock("cell")
        read = begin(NOTES.bind(storage).all(ROMEO))
        await a_while()
        self.end_connections("FROM cell")
        await a_while()
        self.assertFalse(read.called)
        release()
        self.assertEqual(await read, {})

    async def test_a_job_that_breaks_connections_is_given_up(self) -> None:
        storage = await self.started()

        async def cut() -> None:
            while not write.called:
                self.end_connections(self.nine_seconds)
                await a_while(0.1)

        async def sleeping(tx: Transaction) -> None:
            await tx.run(self.sleep, seconds=9)

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
        stopped = self.pids()
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
        self.check_kept_alive()
        await NOTES.bind(storage).put(ROMEO, "a", "one")
        self.assertEqual(await NOTES.bind(storage).get(ROMEO, "a"), "one")

    async def test_connections_that_cannot_be_had_are_told_once(self) -> None:
        self.patch(pool, "WORTH_TELLING", 0.1)
        self.allow_connections(3)
        self.addCleanup(self.allow_connections, None)
        storage = self.make()
        await storage.start()
        await soon(lambda: self.told)
        await NOTES.bind(storage).put(ROMEO, "a", "one")
        await a_while(1.0)
        self.assertEqual(len(self.told), 1)
        self.assertIn("only 3 of 6 connections", self.told[0])
        self.allow_connections(None)
        await soon(lambda: self.connections(storage) == 6)
