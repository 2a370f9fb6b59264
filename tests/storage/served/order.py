"""Who sees what, and who waits for whom."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater

from federix.storage.sql.database import Transaction
from federix.storage.sql.shapes import DOCUMENT_GET, DOCUMENT_PUT
from federix.storage.storage import StoreError
from tests.storage.served.case import JULIET, NOTES, PAGE, ROMEO, StartedCase, cell
from tests.storage.servers import logged, the_reactor


class Order(StartedCase):
    async def test_a_read_waits_for_the_writes_of_its_owner_and_no_others(self) -> None:
        async def slowly(tx: Transaction) -> None:
            await tx.run(self.sleep, seconds=0.5)
            await tx.change(DOCUMENT_PUT, owner=ROMEO, store="page", value=b"new")

        done: list[str] = []
        page = PAGE.bind(self.storage)
        write = self.database.write(ROMEO, slowly, also=[JULIET])
        reads = {
            "romeo": Deferred.fromCoroutine(page.get(ROMEO)),
            "juliet": Deferred.fromCoroutine(page.get(JULIET)),
            "nurse": Deferred.fromCoroutine(page.get("nurse@example.org")),
            "all": Deferred.fromCoroutine(page.owners(limit=9)),
        }
        write.addCallback(lambda _: done.append("write"))
        for name, read in reads.items():
            read.addCallback(lambda found, name=name: done.append(name) or found)
        found = await gatherResults(list(reads.values()))
        self.assertEqual(found, ["new", None, None, [ROMEO]])
        self.assertEqual((done[:2], set(done[2:])), (["nurse", "write"], {"romeo", "juliet", "all"}))

    async def test_a_slow_write_holds_up_nobody_elses(self) -> None:
        async def slowly(tx: Transaction) -> None:
            await tx.run(self.sleep, seconds=1.0)

        slow = self.database.write(ROMEO, slowly)
        await NOTES.bind(self.storage).put(JULIET, "a", "one")
        self.assertFalse(slow.called)
        self.assertEqual(await NOTES.bind(self.storage).get(JULIET, "a"), "one")
        await slow

    async def test_several_statements_that_read_see_the_same_moment(self) -> None:
        async def twice(tx: Transaction) -> tuple[int, int]:
            before = await tx.run(DOCUMENT_GET, owner=ROMEO, store="page")
            await tx.run(self.sleep, seconds=0.5)
            return len(before), len(await tx.run(DOCUMENT_GET, owner=ROMEO, store="page"))

        read = self.database.read(JULIET, twice)
        await deferLater(the_reactor, 0.25)
        await PAGE.bind(self.storage).put(ROMEO, "new")
        self.assertEqual(await read, (0, 0))

    async def test_a_statement_may_take_so_long_and_no_longer(self) -> None:
        storage = await self.started(query_timeout=1.0)
        database = storage.database
        await self.assertFailure(database.read(ROMEO, lambda tx: tx.run(self.sleep, seconds=30)), StoreError)
        await self.assertFailure(database.write(ROMEO, lambda tx: tx.run(self.sleep, seconds=30)), StoreError)
        await PAGE.bind(storage).put(ROMEO, "new")

    async def test_what_waits_for_others_too_long_fails_together(self) -> None:
        storage = await self.started(query_timeout=1.0)

        async def slowly(tx: Transaction) -> None:
            await tx.run(self.sleep, seconds=9)

        self.lock("cell")
        before = the_reactor.seconds()
        plain = [storage.database.write(f"{n}", cell(f"{n}", "a", b"")) for n in range(20)]
        for write in plain:
            await self.assertFailure(write, StoreError)
        slow = [storage.database.write(f"{n}", slowly) for n in range(20)]
        for write in slow:
            await self.assertFailure(write, StoreError)
        self.assertLess(the_reactor.seconds() - before, 15.0)

    async def test_who_gives_up_waiting_for_a_write_is_counted_no_more(self) -> None:
        async def slowly(tx: Transaction) -> None:
            await tx.run(self.sleep, seconds=0.3)

        write = self.database.write(ROMEO, slowly)
        read: Any = self.database.read(ROMEO, lambda tx: tx.run(self.sleep, seconds=0))
        self.assertEqual(self.database._behind, 1)
        read.cancel()
        await self.assertFailure(read, CancelledError)
        await write
        self.assertEqual(self.database._behind, 0)

    async def test_a_socket_is_as_good_as_a_port(self) -> None:
        for way in self.sockets():
            storage = await self.started(**way)
            await NOTES.bind(storage).put(ROMEO, "a", str(way))
            self.assertEqual(await NOTES.bind(storage).get(ROMEO, "a"), str(way))

    async def test_what_waits_is_bounded_and_counted(self) -> None:
        told = logged(self)
        for lane in (self.database._reader, self.database._writer):
            self.patch(lane, "_most_waiting", 10)
        begun = 6
        reads = [self.database.read(ROMEO, lambda tx: tx.run(self.sleep, seconds=0.3)) for _ in range(begun - 2 + 10)]
        self.assertEqual(self.storage.figures()["database_jobs_waiting"], 10)
        for _ in range(3):
            self.assertRaises(StoreError, self.database.read, ROMEO, lambda tx: tx.run(self.sleep, seconds=0))
        self.assertEqual(len([line for line in told if "too slow" in line]), 1)
        await gatherResults(reads)
        self.assertEqual(self.storage.figures(), {"database_connections": begun, "database_jobs_waiting": 0})

    async def test_what_was_stopped_can_start_again(self) -> None:
        await NOTES.bind(self.storage).put(ROMEO, "a", "one")
        await self.storage.stop()
        self.assertEqual(self.storage.figures(), {"database_connections": 0, "database_jobs_waiting": 0})
        await self.storage.start()
        self.assertEqual(await NOTES.bind(self.storage).get(ROMEO, "a"), "one")
        await NOTES.bind(self.storage).put(ROMEO, "a", "two")

    async def test_stopping_finishes_the_writes_that_were_begun(self) -> None:
        puts = [Deferred.fromCoroutine(NOTES.bind(self.storage).put(ROMEO, key, "one")) for key in "abcdef"]
        await self.storage.stop()
        await gatherResults(puts)
        self.assertEqual(self.counted("cell"), 6)
        self.assertRaises(StoreError, self.database.write, ROMEO, cell("a", "b", b""))
