"""How few messages it takes."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from federix.storage.sql.database import Change, Changes
from federix.storage.sql.shapes import CELL_REMOVE
from tests.storage.served.case import JULIET, LOG, NOTES, ROMEO, StartedCase, cell, entry


class Messages(StartedCase):
    async def test_one_statement_is_one_message_and_no_transaction_around_it(self) -> None:
        self.watch()
        await NOTES.bind(self.storage).put(ROMEO, "a", "one")
        await NOTES.bind(self.storage).get(ROMEO, "a")
        await LOG.bind(self.storage).append(ROMEO, "one")
        self.assertEqual(len(self.sent), 3)
        self.assertFalse(any(word in sql for sql in self.sent for word in (b"BEGIN", b"START", b"SAVEPOINT")))

    async def test_what_waits_together_is_one_message(self) -> None:
        self.watch()
        first = self.database.write("x", cell("x", "a", b"0"))
        work = [Changes((entry(f"{n}", b"a"), entry(f"{n}b", b"b"), cell(f"{n}", "a", b"1"))) for n in range(50)]
        rest = [self.database.write(f"{n}", each) for n, each in enumerate(work)]
        await first
        self.assertEqual(await gatherResults(rest), [[1, 1, 1]] * 50)
        self.assertEqual(len(self.sent), 2)
        self.assertEqual(self.sent[1].count(b"INSERT"), 2)
        self.assertEqual((self.counted("entry"), self.counted("cell")), (100, 51))

    async def test_each_gets_the_id_of_its_own_row(self) -> None:
        log = LOG.bind(self.storage)
        owners = [f"user{n}@example.org" for n in range(40)]
        ids = await gatherResults([Deferred.fromCoroutine(log.append(owner, owner)) for owner in owners])
        self.assertEqual(ids, sorted(ids))
        for owner, id_ in zip(owners, ids, strict=True):
            self.assertEqual(await log.range(owner, limit=2), [(id_, owner)])

    async def test_of_one_key_written_twice_the_later_stays(self) -> None:
        notes = NOTES.bind(self.storage)
        writes = [Deferred.fromCoroutine(notes.put(ROMEO, "a", str(number))) for number in range(10)]
        await gatherResults(writes)
        self.assertEqual(await notes.all(ROMEO), {"a": "9"})

    async def test_statements_for_one_table_keep_their_order(self) -> None:
        self.database.write(JULIET, cell(JULIET, "x", b""))
        key = {"owner": ROMEO, "store": "notes", "key": "a"}
        works = (
            cell(ROMEO, "a", b"1"),
            Change(CELL_REMOVE, key),
            Change(CELL_REMOVE, key),
            Changes((cell(ROMEO, "a", b"2"), Change(CELL_REMOVE, key), cell(ROMEO, "a", b"3"))),
        )
        counts = await gatherResults([self.database.write(ROMEO, work) for work in works])
        self.assertEqual(counts, [1, 1, 0, [1, 1, 1]])
        self.assertEqual(await NOTES.bind(self.storage).all(ROMEO), {"a": "3"})

    async def test_work_with_code_comes_between_what_is_plain(self) -> None:
        notes = NOTES.bind(self.storage)

        def write(number: int) -> Deferred[Any]:
            if number % 3 == 2:
                return Deferred.fromCoroutine(notes.update(ROMEO, "a", lambda before: f"{before}+{number}"))
            return Deferred.fromCoroutine(notes.put(ROMEO, "a", str(number)))

        await gatherResults([write(number) for number in range(9)])
        self.assertEqual(await notes.get(ROMEO, "a"), "7+8")
