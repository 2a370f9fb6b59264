"""Message archives in SQL.

A message costs one row in each of two archives, written by one statement, and two entries in indexes for each row. A
page is found by its bounds in the index, so that the last of many costs what the first one does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, Final

from sqlalchemy import bindparam, delete, func, insert, select

from ..archive import AHEAD, EVERYTHING, ArchiveRow, Archives, Counted, Oldest, RowSize, Span
from .database import Change, Changes, Database, Transaction
from .schema import archive, counted, document
from .shapes import AFTER_ALL, BEFORE_ALL, DOCUMENT_GET
from .statement import Statement, Upsert, Value

ALL: Final = 2**31 - 1

_ROW = archive.c
_NAMES = tuple(column.name for column in archive.columns)
assert ArchiveRow._fields == _NAMES
# One row each: a back end that joins rows joins those of many messages.
INSERT: Final = Statement(
    "archive.insert",
    insert(archive).values({name: bindparam(name) for name in _NAMES}),
    upsert=Statement("archive.put", Upsert(archive, once=("peer", "resource"))),
)
FINGERPRINTS = Statement(
    "archive.fingerprints",
    select(_ROW.fingerprint, _ROW.id)
    .where(_ROW.owner == bindparam("owner"), _ROW.id > bindparam("since"), _ROW.sent == 1, _ROW.fingerprint != "")
    .order_by(_ROW.id.desc())
    .limit(bindparam("limit")),
)

_COUNTED = counted.c
COUNTED = Statement("counted.get", select(_COUNTED.owner, _COUNTED.h).where(_COUNTED.key == bindparam("key")))
COUNTED_PUT = Statement("counted.put", Upsert(counted, once=("owner",)))
COUNTED_FORGET = Statement("counted.forget_one", delete(counted).where(_COUNTED.key == bindparam("key")))
COUNTED_FORGET_BEFORE = Statement("counted.forget_before", delete(counted).where(_COUNTED.at < bindparam("before")))

#: The document that says from which id on none is used. Of two writes at once the one that says less may come last.
_UNUSED: Final = {"owner": "", "store": "archive-unused"}
UNUSED_PUT: Final = Statement("archive.put_unused", Upsert(document, grows=True))

FORGET = tuple(
    Statement(f"{table.name}.forget", delete(table).where(table.c.owner == bindparam("owner")))
    for table in (archive, counted)
)
"""Each removes all that an owner has in one table."""

_THE_ROW = (_ROW.owner == bindparam("owner"), _ROW.id == bindparam("id"))
_BETWEEN = (_ROW.owner == bindparam("owner"), _ROW.id > bindparam("after"), _ROW.id < bindparam("before"))
_WITH = (*_BETWEEN, _ROW.peer == bindparam("peer"))
_WITH_FULL = (*_WITH, _ROW.resource == bindparam("resource"))
_CONDITIONS = {"all": _BETWEEN, "with": _WITH, "with_full": _WITH_FULL}
_COLUMNS = (_ROW.id, _ROW.peer, _ROW.resource, _ROW.sent, _ROW.fingerprint, _ROW.stanza)


def _both_ways(name: str, *columns: Any) -> dict[tuple[str, bool], Statement]:
    """A statement that selects *columns* of a span, for each kind of span and each direction."""
    made = {}
    for kind, conditions in _CONDITIONS.items():
        found = select(*columns).where(*conditions).limit(bindparam("limit"))
        for reverse, order in ((False, _ROW.id), (True, _ROW.id.desc())):
            made[kind, reverse] = Statement(f"archive.{name}_{kind}{'_reverse' * reverse}", found.order_by(order))
    return made


PAGE = _both_ways("page", *_COLUMNS)
# Of bytes, all dialects count the bytes.
SIZES = _both_ways("sizes", _ROW.id, func.length(_ROW.stanza))
COUNT = {
    kind: Statement(
        f"archive.count_{kind}",
        select(func.count()).select_from(select(_ROW.id).where(*conditions).limit(bindparam("limit")).subquery()),
    )
    for kind, conditions in _CONDITIONS.items()
}
#: The id of the last of so many rows, the oldest first: MariaDB cannot remove so many at once.
LAST_OF = {
    kind: Statement(
        f"archive.last_of_{kind}",
        select(_ROW.id).where(*conditions).order_by(_ROW.id).limit(1).offset(bindparam("others")),
    )
    for kind, conditions in _CONDITIONS.items()
}
REMOVE = {
    kind: Statement(f"archive.remove_{kind}", delete(archive).where(*conditions))
    for kind, conditions in _CONDITIONS.items()
}
ROW = Statement("archive.row", select(*_COLUMNS).where(*_THE_ROW))
EXISTS = Statement("archive.exists", select(_ROW.id).where(*_THE_ROW))
REMOVE_ROW = Statement("archive.remove_row", delete(archive).where(*_THE_ROW))
_ENDS = select(_ROW.id).where(_ROW.owner == bindparam("owner")).limit(1)
FIRST = Statement("archive.first", _ENDS.order_by(_ROW.id))
LAST = Statement("archive.last", _ENDS.order_by(_ROW.id.desc()))
NEWEST_BUT = Statement("archive.newest_but", _ENDS.order_by(_ROW.id.desc()).offset(bindparam("number")))
# One by one: a database asked for what is distinct would look at every row.
NEXT_OWNER = Statement(
    "archive.next_owner",
    select(_ROW.owner, _ROW.id).where(_ROW.owner > bindparam("past")).order_by(_ROW.owner, _ROW.id).limit(1),
)


class SqlArchives(Archives):
    def __init__(self, database: Database) -> None:
        self._database = database
        #: From which id on none is used, as it is kept for good, and as it is told with the rows that are on their way.
        self._unused = self._telling = 0

    # -- on the way of a message --------------------------------------------------------------------------------------

    def keep(self, rows: Sequence[ArchiveRow], counted: Counted | None = None) -> Awaitable[object]:
        owners = [row.owner for row in rows]
        if len(set(owners)) < len(owners):
            # What comes twice is kept once.
            rows = list({(row.owner, row.id): row for row in reversed(rows)}.values())[::-1]
        changes = [Change(INSERT, dict(zip(_NAMES, row, strict=True))) for row in rows]
        newest = max([row.id for row in rows], default=-1)
        telling = None
        if newest >= self._unused:
            # With each message until one of them is kept, for any may fail; so they wait for nobody but their owners.
            if newest >= self._telling:
                self._telling = newest + AHEAD
            telling = self._telling
            changes.append(Change(UNUSED_PUT, {**_UNUSED, "value": telling.to_bytes(8, "big")}))
        link = None
        if counted is not None:
            owner, link = counted.owner, counted.link
            if owner not in owners:
                owners.append(owner)
            at = rows[0].id / 1_000_000 if rows else counted.at
            changes.append(Change(COUNTED_PUT, {"key": counted.key, "owner": owner, "h": counted.h, "at": at}))
        first, *others = owners or [""]
        kept = self._database.write(first, Changes(tuple(changes), link), others)
        return kept if telling is None else self._told(kept, telling)

    async def _told(self, kept: Awaitable[object], unused: int) -> None:
        await kept
        self._unused = max(self._unused, unused)

    async def fingerprints(self, owner: str, since: int, limit: int) -> dict[str, int]:
        rows = await self._database.rows(owner, FINGERPRINTS, owner=owner, since=since, limit=limit)
        # The oldest last: of several with one fingerprint it is the first that counts, the others were sent again.
        return dict(rows)

    async def counted(self, key: str) -> Counted | None:
        rows = await self._database.look_up(None, lambda tx: tx.run(COUNTED, key=key))
        return Counted(key, *rows[0]) if rows else None

    async def forget_counted(self, key: str) -> None:
        await self._database.change("", COUNTED_FORGET, key=key)

    async def forget_counted_before(self, seconds: float) -> int:
        return await self._database.change("", COUNTED_FORGET_BEFORE, before=seconds)

    async def unused(self) -> int:
        row = await self._database.row("", DOCUMENT_GET, **_UNUSED)
        # Anew each time it starts: what was in memory is gone.
        self._unused = self._telling = 0 if row is None else int.from_bytes(row[0], "big")
        return self._unused

    # -- reading ------------------------------------------------------------------------------------------------------

    async def page(self, owner: str, span: Span, *, limit: int, reverse: bool = False) -> list[ArchiveRow]:
        kind, values = _span(owner, span)
        rows = await self._database.rows(owner, PAGE[kind, reverse], limit=limit, **values)
        return [_row(owner, *row) for row in rows]

    async def sizes(self, owner: str, span: Span, *, limit: int, reverse: bool = False) -> list[RowSize]:
        kind, values = _span(owner, span)
        return [RowSize(*row) for row in await self._database.rows(owner, SIZES[kind, reverse], limit=limit, **values)]

    async def rows(self, owner: str, ids: Iterable[int]) -> list[ArchiveRow]:
        wanted = _sorted(ids)

        async def work(tx: Transaction) -> list[ArchiveRow]:
            return [_row(owner, *row) for id in wanted for row in await tx.run(ROW, owner=owner, id=id)]

        return await self._database.read(owner, work)

    async def existing(self, owner: str, ids: Iterable[int]) -> set[int]:
        wanted = _sorted(ids)

        async def work(tx: Transaction) -> set[int]:
            return {id for id in wanted if await tx.run(EXISTS, owner=owner, id=id)}

        return await self._database.look_up(owner, work)

    async def count(self, owner: str, span: Span = EVERYTHING, *, most: int | None = None) -> int:
        kind, values = _span(owner, span)
        return await self._database.number(owner, COUNT[kind], limit=ALL if most is None else most, **values)

    async def ends(self, owner: str) -> tuple[int, int] | None:
        async def work(tx: Transaction) -> tuple[int, int] | None:
            first = await tx.run(FIRST, owner=owner)
            last = await tx.run(LAST, owner=owner)
            return (first[0][0], last[0][0]) if first and last else None

        return await self._database.look_up(owner, work)

    async def newest_but(self, owner: str, number: int) -> int | None:
        rows = await self._database.rows(owner, NEWEST_BUT, owner=owner, number=number)
        return rows[0][0] if rows else None

    async def owners(self, after: str, limit: int) -> list[Oldest]:
        async def work(tx: Transaction) -> list[Oldest]:
            found: list[Oldest] = []
            past = after
            while len(found) < limit and (rows := await tx.run(NEXT_OWNER, past=past)):
                found.append(Oldest(*rows[0]))
                past = found[-1].owner
            return found

        return await self._database.read(None, work)

    # -- removing -----------------------------------------------------------------------------------------------------

    async def remove(self, owner: str, span: Span, *, limit: int) -> int:
        kind, values = _span(owner, span)

        async def work(tx: Transaction) -> int:
            last = await tx.run(LAST_OF[kind], others=limit - 1, **values)
            bounded = {**values, "before": last[0][0] + 1} if last else values
            return await tx.change(REMOVE[kind], **bounded)

        return await self._database.write(owner, work) if limit > 0 else 0

    async def remove_rows(self, owner: str, ids: Iterable[int]) -> int:
        wanted = _sorted(ids)

        async def work(tx: Transaction) -> int:
            return sum([await tx.change(REMOVE_ROW, owner=owner, id=id) for id in wanted])

        return await self._database.write(owner, work)


async def forget_archive(tx: Transaction, owner: str) -> None:
    """Remove all of *owner*'s archive."""
    for statement in FORGET:
        await tx.change(statement, owner=owner)


def _row(owner: str, id: int, peer: str, resource: str, sent: int, fingerprint: str, stanza: bytes) -> ArchiveRow:
    return ArchiveRow(owner, id, peer, resource, bool(sent), fingerprint, stanza)


def _sorted(ids: Iterable[int]) -> list[int]:
    """*ids* in order, each once, without those that no column can hold."""
    return sorted(id for id in set(ids) if BEFORE_ALL < id < AFTER_ALL)


def _span(owner: str, span: Span) -> tuple[str, dict[str, Value]]:
    """What kind of span it is, and the values that its conditions take."""
    values: dict[str, Value] = {
        "owner": owner,
        "after": BEFORE_ALL if span.after is None else max(BEFORE_ALL, min(span.after, AFTER_ALL)),
        "before": AFTER_ALL if span.before is None else max(BEFORE_ALL, min(span.before, AFTER_ALL)),
    }
    if span.peer is None:
        return "all", values
    values["peer"] = span.peer
    if span.resource is None:
        return "with", values
    values["resource"] = span.resource
    return "with_full", values
