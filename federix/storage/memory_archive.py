"""Message archives in memory."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Awaitable, Iterable, Sequence
from itertools import islice
from operator import attrgetter

from twisted.internet.defer import fail, succeed

from .archive import EVERYTHING, ArchiveRow, Archives, Counted, Oldest, RowSize, Span
from .storage import StoreError

_ID = attrgetter("id")


class MemoryArchives(Archives):
    def __init__(self) -> None:
        #: By owner, each in the order of ids.
        self._kept: dict[str, list[ArchiveRow]] = {}
        self._counted: dict[str, tuple[Counted, float]] = {}
        self._unused = 0

    def keep(self, rows: Sequence[ArchiveRow], counted: Counted | None = None) -> Awaitable[None]:
        new = {(row.owner, row.id): row for row in reversed(rows)}
        link = None if counted is None else counted.link
        if any(self._find(owner, id) is not None for owner, id in new):
            if link is not None:
                link.fail()
            return fail(StoreError("there is a message of that id already"))
        for row in new.values():
            insort(self._kept.setdefault(row.owner, []), row, key=_ID)
            self._unused = max(self._unused, row.id + 1)
        if counted is not None and (link is None or link.holds()):
            at = max((row.id / 1_000_000 for row in rows), default=counted.at)
            self._counted[counted.key] = (counted, at)
        return succeed(None)

    async def fingerprints(self, owner: str, since: int, limit: int) -> dict[str, int]:
        newest = reversed(self._between(owner, Span(after=since)))
        found = (row for row in newest if row.sent and row.fingerprint)
        return {row.fingerprint: row.id for row in islice(found, limit)}

    async def counted(self, key: str) -> Counted | None:
        return self._counted.get(key, (None, 0.0))[0]

    async def forget_counted(self, key: str) -> None:
        self._counted.pop(key, None)

    async def forget_counted_before(self, seconds: float) -> int:
        old = [key for key, (_, at) in self._counted.items() if at < seconds]
        for key in old:
            del self._counted[key]
        return len(old)

    async def unused(self) -> int:
        return self._unused

    # -- reading ------------------------------------------------------------------------------------------------------

    async def page(self, owner: str, span: Span, *, limit: int, reverse: bool = False) -> list[ArchiveRow]:
        rows = self._between(owner, span)
        return (rows[::-1] if reverse else rows)[:limit]

    async def sizes(self, owner: str, span: Span, *, limit: int, reverse: bool = False) -> list[RowSize]:
        rows = await self.page(owner, span, limit=limit, reverse=reverse)
        return [RowSize(row.id, len(row.stanza)) for row in rows]

    async def rows(self, owner: str, ids: Iterable[int]) -> list[ArchiveRow]:
        found = (self._find(owner, id) for id in sorted(set(ids)))
        return [row for row in found if row is not None]

    async def existing(self, owner: str, ids: Iterable[int]) -> set[int]:
        return {row.id for row in await self.rows(owner, ids)}

    async def count(self, owner: str, span: Span = EVERYTHING, *, most: int | None = None) -> int:
        return len(self._between(owner, span)[:most])

    async def ends(self, owner: str) -> tuple[int, int] | None:
        rows = self._kept.get(owner)
        return (rows[0].id, rows[-1].id) if rows else None

    async def newest_but(self, owner: str, number: int) -> int | None:
        rows = self._kept.get(owner, [])
        return rows[-1 - number].id if number < len(rows) else None

    async def owners(self, after: str, limit: int) -> list[Oldest]:
        found = sorted(owner for owner in self._kept if owner > after)[:limit]
        return [Oldest(owner, self._kept[owner][0].id) for owner in found]

    # -- removing -----------------------------------------------------------------------------------------------------

    async def remove(self, owner: str, span: Span, *, limit: int) -> int:
        return self._drop(owner, self._between(owner, span)[:limit])

    async def remove_rows(self, owner: str, ids: Iterable[int]) -> int:
        return self._drop(owner, await self.rows(owner, ids))

    def forget(self, owner: str) -> None:
        self._kept.pop(owner, None)
        for key in [key for key, (counted, _) in self._counted.items() if counted.owner == owner]:
            del self._counted[key]

    def _drop(self, owner: str, rows: list[ArchiveRow]) -> int:
        gone = {row.id for row in rows}
        left = [row for row in self._kept.get(owner, ()) if row.id not in gone]
        if left:
            self._kept[owner] = left
        else:
            self._kept.pop(owner, None)
        return len(gone)

    def _find(self, owner: str, id: int) -> ArchiveRow | None:
        rows = self._kept.get(owner, [])
        place = bisect_left(rows, id, key=_ID)
        return rows[place] if place < len(rows) and rows[place].id == id else None

    def _between(self, owner: str, span: Span) -> list[ArchiveRow]:
        rows = self._kept.get(owner, [])
        start = 0 if span.after is None else bisect_right(rows, span.after, key=_ID)
        end = len(rows) if span.before is None else bisect_left(rows, span.before, key=_ID)
        rows = rows[start:end]
        if span.peer is None:
            return rows
        return [row for row in rows if row.peer == span.peer and span.resource in (None, row.resource)]
