"""What fails fails alone."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, text
from twisted.internet.defer import Deferred, gatherResults

from federix.storage.sql.database import Change, Changes, Transaction
from federix.storage.sql.schema import VERSION
from federix.storage.sql.shapes import DOCUMENT_GET, DOCUMENT_PUT
from federix.storage.sql.statement import Statement
from federix.storage.storage import StoreError
from tests.storage.served.case import JULIET, NONSENSE, PAGE, ROMEO, StartedCase, cell, entry
from tests.storage.servers import logged

TWICE = Statement("test.twice", text("INSERT INTO alembic_version VALUES (:name)").bindparams(bindparam("name")))


class Spoilt(StartedCase):
    async def outcomes(self, works: list[Any]) -> list[Any]:
        """What became of them, done together: the answer, or the kind of the error."""
        first = self.database.write("first", cell("first", "a", b""))
        results = [self.database.write(f"owner{n}", work) for n, work in enumerate(works)]
        await first
        told: list[Any] = []
        for result in results:
            try:
                told.append(await result)
            except Exception as error:
                told.append(type(error))
        return told

    async def test_a_row_that_cannot_be_written_down(self) -> None:
        works = [cell(owner, "k", b"1") for owner in ("a", self.unwritable, "\udc80", "d")]
        self.assertEqual(await self.outcomes(works), [1, StoreError, StoreError, 1])

    async def test_a_row_that_the_database_refuses(self) -> None:
        # The version is there already.
        works = [cell("a", "k", b"1"), Change(TWICE, {"name": VERSION}), cell("d", "k", b"4"), entry("e", b"5")]
        self.assertEqual(await self.outcomes(works), [1, StoreError, 1, 1])
        self.assertEqual((self.counted("cell"), self.counted("entry")), (3, 1))

    async def test_all_of_the_work_that_fails_is_undone(self) -> None:
        works = [cell("a", "k", b"1"), Changes((cell("b", "k", b"2"), Change(TWICE, {"name": VERSION})))]
        self.assertEqual(await self.outcomes(works), [1, StoreError])
        self.assertEqual(self.counted("cell"), 2)

    async def test_code_that_raises(self) -> None:
        async def broken(tx: Transaction) -> None:
            await tx.change(DOCUMENT_PUT, owner="x", store="y", value=b"")
            raise LookupError

        async def early(tx: Transaction) -> None:
            raise LookupError

        async def nonsense(tx: Transaction) -> None:
            await tx.change(DOCUMENT_PUT, owner="x", store="y", value=b"")
            await tx.run(NONSENSE)

        async def fine(tx: Transaction) -> int:
            return await tx.change(DOCUMENT_PUT, owner="fine", store="y", value=b"")

        works = [cell("a", "k", b"1"), broken, fine, early, nonsense, fine, cell("b", "k", b"1")]
        self.assertEqual(await self.outcomes(works), [1, LookupError, 1, LookupError, StoreError, 1, 1])
        self.assertEqual((self.counted("cell"), self.counted("document")), (3, 1))
        # And alone.
        for work, error in ((broken, LookupError), (nonsense, StoreError)):
            await self.assertFailure(self.database.write("z", work), error)
        self.assertEqual(self.counted("document"), 1)

    async def test_a_work_that_waits_for_something_else_is_refused(self) -> None:
        async def wait(tx: Transaction) -> None:
            await tx.run(DOCUMENT_GET, owner="a", store="b")
            await Deferred()

        await self.assertFailure(self.database.write("z", wait), RuntimeError)
        await self.assertFailure(self.database.read("z", wait), RuntimeError)
        self.assertEqual(await PAGE.bind(self.storage).get("z"), None)

    async def test_the_log_does_not_tell_what_was_written(self) -> None:
        told = logged(self)
        await self.outcomes([Change(TWICE, {"name": VERSION})])
        (line,) = [line for line in told if "failed" in line]
        self.assertIn(self.duplicate, line)
        self.assertNotIn(VERSION, line)

    async def test_two_that_are_in_each_others_way_are_both_done(self) -> None:
        def both(first: str, second: str) -> Any:
            async def work(tx: Transaction) -> None:
                await tx.change(DOCUMENT_PUT, owner=first, store="y", value=b"")
                await tx.run(self.sleep, seconds=0.5)
                await tx.change(DOCUMENT_PUT, owner=second, store="y", value=b"")

            return work

        one = self.database.write(ROMEO, both("a", "b"))
        other = self.database.write(JULIET, both("b", "a"))
        await gatherResults([one, other])
        self.assertEqual(self.counted("document"), 2)
