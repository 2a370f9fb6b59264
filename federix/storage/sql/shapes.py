"""The three shapes in SQL."""

from __future__ import annotations

from collections.abc import Awaitable, Collection
from typing import TypeVar

from sqlalchemy import Table, bindparam, delete, func, insert, select

from ..storage import Documents, Logs, RawChange, RawEntry, RawUpdate, Tables
from .ahead import Ahead, document_in
from .database import Change, Database, Insertion, Transaction, Work
from .schema import cell, document, entry
from .statement import Statement, Upsert

T = TypeVar("T")

BEFORE_ALL = -1
AFTER_ALL = 2**63 - 1
"""Past any id: the highest number a column holds."""


def _owners_of(table: Table) -> Statement:
    owner = table.c.owner
    found = select(owner).distinct().where(table.c.store == bindparam("store"), owner > bindparam("after"))
    return Statement(f"{table.name}.owners", found.order_by(owner).limit(bindparam("limit")))


def _forget(table: Table) -> Statement:
    return Statement(f"{table.name}.forget", delete(table).where(table.c.owner == bindparam("owner")))


_THE_DOCUMENT = (document.c.owner == bindparam("owner"), document.c.store == bindparam("store"))
DOCUMENT_GET = Statement("document.get", select(document.c.value).where(*_THE_DOCUMENT))
DOCUMENT_PUT = Statement("document.put", Upsert(document))
DOCUMENT_PUT_NEW = Statement("document.put_new", Upsert(document, keeps=True))
DOCUMENT_REMOVE = Statement("document.remove", delete(document).where(*_THE_DOCUMENT))
DOCUMENT_OWNERS = _owners_of(document)

_THE_TABLE = (cell.c.owner == bindparam("owner"), cell.c.store == bindparam("store"))
_THE_CELL = (*_THE_TABLE, cell.c.key == bindparam("key"))
CELL_GET = Statement("cell.get", select(cell.c.value).where(*_THE_CELL))
CELL_PUT = Statement("cell.put", Upsert(cell))
CELL_REMOVE = Statement("cell.remove", delete(cell).where(*_THE_CELL))
CELL_ALL = Statement("cell.all", select(cell.c.key, cell.c.value).where(*_THE_TABLE).order_by(cell.c.key))
# Of bytes, all dialects count the bytes.
CELL_SIZES = Statement(
    "cell.sizes", select(cell.c.key, func.length(cell.c.value)).where(*_THE_TABLE).order_by(cell.c.key)
)
CELL_COUNT = Statement("cell.count", select(func.count()).select_from(cell).where(*_THE_TABLE))
CELL_CLEAR = Statement("cell.clear", delete(cell).where(*_THE_TABLE))
CELL_OWNERS = _owners_of(cell)

_THE_LOG = (entry.c.owner == bindparam("owner"), entry.c.store == bindparam("store"))
_THE_SLICE = (*_THE_LOG, entry.c.id > bindparam("after"), entry.c.id < bindparam("before"))
_SLICE = select(entry.c.id, entry.c.value).where(*_THE_SLICE).limit(bindparam("limit"))
ENTRY_APPEND = Statement(
    "entry.append", insert(entry).values({name: bindparam(name) for name in ("owner", "store", "value")})
)
ENTRY_RANGE = Statement("entry.range", _SLICE.order_by(entry.c.id))
ENTRY_RANGE_REVERSE = Statement("entry.range_reverse", _SLICE.order_by(entry.c.id.desc()))
ENTRY_DROP = Statement("entry.drop", delete(entry).where(*_THE_SLICE))
ENTRY_COUNT = Statement("entry.count", select(func.count()).select_from(entry).where(*_THE_LOG))
ENTRY_OWNERS = _owners_of(entry)

FORGET_SHAPES = (_forget(document), _forget(cell), _forget(entry))
"""Each removes all that an owner has in one shape."""


class SqlDocuments(Documents):
    def __init__(self, database: Database, ahead: Ahead) -> None:
        self._database = database
        self._ahead = ahead

    def expect(self, store: str) -> None:
        self._ahead.expect(store)

    async def get(self, store: str, owner: str) -> bytes | None:
        taken = self._ahead.take(owner, store)
        rows = None if taken is None else await taken
        if rows is not None:
            return document_in(rows, store)
        row = await self._database.row(owner, DOCUMENT_GET, owner=owner, store=store)
        return None if row is None else row[0]

    async def update(self, store: str, owner: str, change: RawChange) -> RawUpdate:
        async def work(tx: Transaction) -> RawUpdate:
            rows = await tx.run(DOCUMENT_GET, owner=owner, store=store)
            before = rows[0][0] if rows else None
            after = change(before)
            if after is not None:
                await tx.change(DOCUMENT_PUT, owner=owner, store=store, value=after)
            elif before is not None:
                await tx.change(DOCUMENT_REMOVE, owner=owner, store=store)
            return RawUpdate(before, after)

        return await self._write(owner, work)

    async def put(self, store: str, owner: str, value: bytes) -> None:
        await self._write(owner, Change(DOCUMENT_PUT, {"owner": owner, "store": store, "value": value}))

    async def put_new(self, store: str, owner: str, value: bytes) -> bytes:
        async def work(tx: Transaction) -> bytes:
            await tx.change(DOCUMENT_PUT_NEW, owner=owner, store=store, value=value)
            ((there,),) = await tx.run(DOCUMENT_GET, owner=owner, store=store)
            assert isinstance(there, bytes)
            return there

        return await self._write(owner, work)

    async def remove(self, store: str, owner: str) -> bool:
        return await self._write(owner, Change(DOCUMENT_REMOVE, {"owner": owner, "store": store})) > 0

    def _write(self, owner: str, work: Work[T]) -> Awaitable[T]:
        self._ahead.forget(owner)
        return self._database.write(owner, work)

    async def owners(self, store: str, after: str, limit: int) -> list[str]:
        rows = await self._database.rows(None, DOCUMENT_OWNERS, store=store, after=after, limit=limit)
        return [owner for (owner,) in rows]


class SqlTables(Tables):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, store: str, owner: str, key: str) -> bytes | None:
        row = await self._database.row(owner, CELL_GET, owner=owner, store=store, key=key)
        return None if row is None else row[0]

    async def update(self, store: str, owner: str, key: str, change: RawChange) -> RawUpdate:
        async def work(tx: Transaction) -> RawUpdate:
            rows = await tx.run(CELL_GET, owner=owner, store=store, key=key)
            before = rows[0][0] if rows else None
            after = change(before)
            if after is not None:
                await tx.change(CELL_PUT, owner=owner, store=store, key=key, value=after)
            elif before is not None:
                await tx.change(CELL_REMOVE, owner=owner, store=store, key=key)
            return RawUpdate(before, after)

        return await self._database.write(owner, work)

    async def put(self, store: str, owner: str, key: str, value: bytes) -> None:
        await self._database.change(owner, CELL_PUT, owner=owner, store=store, key=key, value=value)

    async def remove(self, store: str, owner: str, key: str) -> bool:
        return await self._database.change(owner, CELL_REMOVE, owner=owner, store=store, key=key) > 0

    async def all(self, store: str, owner: str) -> dict[str, bytes]:
        return dict(await self._database.rows(owner, CELL_ALL, owner=owner, store=store))

    async def sizes(self, store: str, owner: str) -> dict[str, int]:
        return dict(await self._database.rows(owner, CELL_SIZES, owner=owner, store=store))

    async def count(self, store: str, owner: str) -> int:
        return await self._database.number(owner, CELL_COUNT, owner=owner, store=store)

    async def clear(self, store: str, owner: str) -> int:
        return await self._database.change(owner, CELL_CLEAR, owner=owner, store=store)

    async def owners(self, store: str, after: str, limit: int) -> list[str]:
        rows = await self._database.rows(None, CELL_OWNERS, store=store, after=after, limit=limit)
        return [owner for (owner,) in rows]


class SqlLogs(Logs):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, store: str, owner: str, value: bytes) -> int:
        new = Insertion(ENTRY_APPEND, {"owner": owner, "store": store, "value": value})
        return await self._database.write(owner, new)

    async def append_within(self, store: str, owner: str, value: bytes, most: int) -> int | None:
        async def work(tx: Transaction) -> int | None:
            ((count,),) = await tx.run(ENTRY_COUNT, owner=owner, store=store)
            if count >= most:
                return None
            return await tx.insert(ENTRY_APPEND, owner=owner, store=store, value=value)

        return await self._database.write(owner, work)

    async def range(
        self, store: str, owner: str, after: int | None, before: int | None, limit: int, reverse: bool
    ) -> list[RawEntry]:
        after, before = _bounds(after, before)
        statement = ENTRY_RANGE_REVERSE if reverse else ENTRY_RANGE
        rows = await self._database.rows(
            owner, statement, owner=owner, store=store, after=after, before=before, limit=limit
        )
        return [RawEntry(*row) for row in rows]

    async def drop(self, store: str, owner: str, after: int | None, before: int | None) -> int:
        after, before = _bounds(after, before)
        return await self._database.change(owner, ENTRY_DROP, owner=owner, store=store, after=after, before=before)

    async def remove(self, store: str, owner: str, ids: Collection[int]) -> int:
        async def work(tx: Transaction) -> int:
            removed = 0
            for id_ in ids:
                after, before = _bounds(id_ - 1, id_ + 1)
                removed += await tx.change(ENTRY_DROP, owner=owner, store=store, after=after, before=before)
            return removed

        return await self._database.write(owner, work)

    async def count(self, store: str, owner: str) -> int:
        return await self._database.number(owner, ENTRY_COUNT, owner=owner, store=store)

    async def owners(self, store: str, after: str, limit: int) -> list[str]:
        rows = await self._database.rows(None, ENTRY_OWNERS, store=store, after=after, limit=limit)
        return [owner for (owner,) in rows]


def _bounds(after: int | None, before: int | None) -> tuple[int, int]:
    """The bounds as numbers a column can hold, whatever a client asked for."""
    start = BEFORE_ALL if after is None else max(BEFORE_ALL, min(after, AFTER_ALL))
    end = AFTER_ALL if before is None else max(BEFORE_ALL, min(before, AFTER_ALL))
    return start, end
