"""Which messages a page holds: its plan is made before any of them is fetched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ...api import ArchiveIds, ArchiveRow, Archives, Condition, Span, StanzaError, rsm
from .query import Query

#: Bytes of one page: so much is sent to a client without waiting for it to take it. The first message is sent whatever
#: its size.
MOST_BYTES: Final = 256 * 1024
#: Bytes that are sent around a message, some more than are.
AROUND: Final = 512
#: How many messages are fetched and sent at a time.
PIECE: Final = 25
#: Messages are counted so far; where there are more, their number is not told unless it is all that is asked for.
MOST_COUNTED: Final = 1000


@dataclass(frozen=True, slots=True)
class Page:
    """The *ids* of its messages, the oldest first, and what is said of it at the end.

    *complete*: there is no further one behind it, in the direction in which the client goes.
    """

    ids: tuple[int, ...]
    complete: bool
    count: int | None = None
    index: int | None = None

    def described(self, ids: ArchiveIds) -> rsm.Page:
        """§4: "indicating the UID of the first and last message of the (possibly limited) result set"."""
        if not self.ids:
            return rsm.Page(count=self.count)
        return rsm.Page(ids.encode(self.ids[0]), ids.encode(self.ids[-1]), self.index, self.count)


async def plan(archives: Archives, owner: str, query: Query, size: int) -> Page:
    """The page of at most *size* messages that *query* asks for; raises `StanzaError` (item-not-found)."""
    # §4.1.3: "If any UID requested by the client in any of the 'before-id', 'after-id' or 'ids' form fields is not
    # present in the archive, the server MUST return an item-not-found error"; §4.3.2: so it is with <after> and
    # <before>.
    if query.named and await archives.existing(owner, query.named) != query.named:
        raise StanzaError(Condition.ITEM_NOT_FOUND, "there is no message of that id")
    if query.ids is not None:
        return await _plan_named(archives, owner, query, query.ids, size)
    found = await archives.sizes(owner, query.paged, limit=size + 1, reverse=query.backwards)
    page = _cut(found, size)
    is_begun = query.after is not None or query.before is not None
    complete = len(page) == len(found)
    if complete and not is_begun:
        return Page(_ordered(page, query), complete, len(page), 0 if page else None)
    count = await archives.count(owner, query.span, most=None if size == 0 else MOST_COUNTED)
    return Page(
        _ordered(page, query),
        complete,
        count if size == 0 or count < MOST_COUNTED else None,
        0 if page and not is_begun and not query.backwards else None,
    )


async def _plan_named(archives: Archives, owner: str, query: Query, ids: tuple[int, ...], size: int) -> Page:
    """Of messages that the client names, those that its other fields select, too."""
    rows = await archives.rows(owner, ids)
    selected = [row for row in rows if _matches(row, query.span)]
    paged = [(row.id, len(row.stanza)) for row in selected if _matches(row, query.paged)]
    if query.backwards:
        paged.reverse()
    page = _cut(paged, size)
    return Page(_ordered(page, query), len(page) == len(paged), len(selected))


def pieces(page: Page, flipped: bool) -> Iterator[tuple[int, ...]]:
    """The ids of *page* in the pieces in which it is sent: if *flipped*, from its end (§4.3.4)."""
    ids = page.ids[::-1] if flipped else page.ids
    for start in range(0, len(ids), PIECE):
        yield ids[start : start + PIECE]


async def fetch(archives: Archives, owner: str, query: Query, ids: tuple[int, ...]) -> list[ArchiveRow]:
    """The messages of one piece, in the order of *ids*; those that are gone meanwhile are left out."""
    if query.ids is not None:
        rows = await archives.rows(owner, ids)
    else:
        bounded = replace(query.span, after=min(ids) - 1, before=max(ids) + 1)
        rows = await archives.page(owner, bounded, limit=len(ids))
        if any(row.id not in ids for row in rows):
            rows = await archives.rows(owner, ids)  # others were brought between them meanwhile
    return rows if ids[0] <= ids[-1] else rows[::-1]


def _cut(found: Sequence[tuple[int, int]], size: int) -> list[int]:
    """The first ids of *found*, each with the bytes of its message: at most *size* and not too many bytes."""
    page: list[int] = []
    total = 0
    for id, length in found[:size]:
        total += length + AROUND
        if page and total > MOST_BYTES:
            break
        page.append(id)
    return page


def _ordered(page: list[int], query: Query) -> tuple[int, ...]:
    return tuple(reversed(page)) if query.backwards else tuple(page)


def _matches(row: ArchiveRow, span: Span) -> bool:
    return (
        (span.after is None or row.id > span.after)
        and (span.before is None or row.id < span.before)
        and (span.peer is None or row.peer == span.peer)
        and (span.peer is None or span.resource is None or row.resource == span.resource)
    )
