"""Connections that break in the middle of something."""

from __future__ import annotations

import os
import signal

from federix.storage.sql import pool
from federix.storage.sql.database import Transaction
from federix.storage.storage import StoreError
from tests.storage.served.case import LOG, NOTES, ROMEO
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
