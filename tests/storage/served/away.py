"""A server that is away, and comes back."""

from __future__ import annotations

import socket

from twisted.internet.defer import CancelledError, gatherResults

from federix.storage.sql import pool
from federix.storage.storage import StoreError
from tests.storage.served.case import JULIET, LOG, NOTES, ROMEO
from tests.storage.served.outage import OutageCase, a_while, begin
from tests.storage.servers import soon


class Away(OutageCase):
    async def test_the_start_waits_for_the_database_and_says_so_once(self) -> None:
        self.server.stop()
        storage = self.make()
        start = begin(storage.start())
        await a_while(1.5)
        self.assertFalse(start.called)
        self.server.start()
        await start
        await NOTES.bind(storage).put(ROMEO, "a", "one")
        self.assertEqual((self.lines("cannot be used"), self.lines("is back"), len(self.told)), (1, 1, 2))

    async def test_a_start_that_waits_can_be_given_up(self) -> None:
        self.server.stop()
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
        told = await self.refused(self.make(password="hunter2"))
        self.assertIn(self.wrong_password, told)
        self.assertNotIn("hunter2", told)

    async def test_a_restart_is_waited_for(self) -> None:
        storage = await self.started()
        notes = NOTES.bind(storage)
        await notes.put(ROMEO, "a", "one")
        self.server.stop()
        await soon(lambda: self.connections(storage) == 0)
        read, write = begin(notes.get(ROMEO, "a")), begin(notes.put(JULIET, "b", "two"))
        account = begin(storage.accounts.get("romeo", "example.org"))
        await a_while()
        self.server.start()
        self.assertEqual(await gatherResults([read, write, account]), ["one", None, None])
        self.assertEqual(await notes.get(JULIET, "b"), "two")
        await soon(lambda: self.connections(storage) == 6)
        self.assertEqual((self.lines("cannot be used"), self.lines("is back"), len(self.told)), (1, 1, 2))

    async def test_who_asks_a_database_that_stays_away_is_refused(self) -> None:
        self.patch(pool, "PATIENCE", 0.5)
        storage = await self.started()
        notes = NOTES.bind(storage)
        self.server.stop()
        await soon(lambda: self.connections(storage) == 0)
        for asked in [begin(notes.get(ROMEO, "a")), begin(notes.put(ROMEO, "a", "one"))]:
            await self.assertFailure(asked, StoreError)
        # And now without a wait.
        self.failureResultOf(begin(notes.get(ROMEO, "a")), StoreError)
        self.failureResultOf(begin(notes.put(ROMEO, "a", "one")), StoreError)
        self.server.start()
        await soon(lambda: self.connections(storage) == 6)
        await notes.put(ROMEO, "a", "one")
        self.assertEqual(await notes.get(ROMEO, "a"), "one")
        self.assertEqual((self.lines("cannot be used"), self.lines("is back"), len(self.told)), (1, 1, 2))

    async def test_a_server_whose_database_is_away_stops(self) -> None:
        storage = await self.started()
        self.server.stop()
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
        for how in (self.server.stop, self.server.kill):
            await a_while(0.7)
            how()
            await a_while(0.2)
            self.server.start()
            await soon(lambda: self.connections(storage) == 6)
        stopped.append(True)
        await gatherResults(writing)
        for owner, values in kept.items():
            there = [value for _, value in await log.range(owner, limit=1_000_000)]
            self.assertEqual(len(there), len(set(there)))
            self.assertEqual([value for value in there if f"{owner} {value}" not in failed], values)
        self.assertEqual((self.lines("cannot be used"), self.lines("is back")), (2, 2))
