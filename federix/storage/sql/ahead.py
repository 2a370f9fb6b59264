"""What is asked of an account when its client comes, read by one statement before it is asked for.

Those who ask know nothing of each other, and would read one after the other: the roster, and documents that are
declared `early`. What has been read ahead is told once, and not at all where the account has been written for since.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable
from functools import cache
from typing import Final

from sqlalchemy import bindparam, or_, union_all
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ..storage import StoreError
from .database import Database, Query, Rows
from .roster import A_DOCUMENT, AN_ITEM, FEW, RELATIONS, RELATIONS_PARTS, THE_ROSTER, rows_of
from .schema import document
from .statement import Statement

log = Logger()

#: Of so many rows one remembers what was read ahead and not asked for; the oldest give way.
MOST_ROWS: Final = 10_000


class _Reading:
    """What is being read ahead of one account, or was, and what of it nobody has asked for."""

    def __init__(self, left: set[str]) -> None:
        self.left = left
        self.rows: Rows | None = None
        #: Whether the roster has more contacts than were read: then it is not among the rows.
        self.lacks_roster = False
        self._waiting: list[Deferred[None]] | None = []

    @property
    def size(self) -> int:
        """How many rows it takes, with itself as one; none while they are being read."""
        return 0 if self.rows is None else len(self.rows) + 1

    def tell(self) -> None:
        """Those who wait go on."""
        waiting, self._waiting = self._waiting or [], None
        for each in waiting:
            if not each.called:  # else it was cancelled
                each.callback(None)

    async def found(self, what: str) -> Rows | None:
        if self._waiting is not None:
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            await waiting
        return None if self.lacks_roster and what == THE_ROSTER else self.rows


class Ahead:
    """Reads ahead. Its methods are for the repositories: what one is told nobody is told again."""

    def __init__(self, database: Database) -> None:
        self._database = database
        #: The stores of the documents that are wanted.
        self._stores: tuple[str, ...] = ()
        self._readings: OrderedDict[str, _Reading] = OrderedDict()
        #: Of all that has been read.
        self._size = 0

    def expect(self, store: str) -> None:
        """The documents of *store* are wanted as soon as a client comes."""
        self._stores = tuple(sorted({*self._stores, store}))

    def read(self, owner: str) -> None:
        """A client of *owner* comes."""
        self.forget(owner)
        reading = self._readings[owner] = _Reading({THE_ROSTER, *self._stores})
        Deferred.fromCoroutine(self._read(owner, reading))

    async def _read(self, owner: str, reading: _Reading) -> None:
        try:
            query = Query(_statement(self._stores), {"owner": owner, "most": FEW + 1})
            rows = await self._database.look_up(owner, query)
            if sum(row[0] == AN_ITEM for row in rows) > FEW:
                reading.lacks_roster = True
                reading.left.discard(THE_ROSTER)
                rows = [row for row in rows if row[0] == A_DOCUMENT]
            reading.rows = rows
        except StoreError:
            pass  # who asks is told when he asks himself
        except Exception:
            log.failure("could not read ahead")
        if self._readings.get(owner) is reading:
            if reading.left and reading.rows is not None:
                self._grow(reading.size)
            else:
                del self._readings[owner]
        reading.tell()

    def _grow(self, size: int) -> None:
        self._size += size
        while self._size > MOST_ROWS:
            self.forget(next(iter(self._readings)))

    def forget(self, owner: str) -> None:
        """Something is about to be written for *owner*: what was read ahead is told nobody any more."""
        reading = self._readings.pop(owner, None)
        if reading is not None:
            self._size -= reading.size

    def take(self, owner: str, what: str) -> Awaitable[Rows | None] | None:
        """The rows read ahead of *owner*, if *what*, a store or `THE_ROSTER`, is among them and was not told yet."""
        reading = self._readings.get(owner)
        if reading is None or what not in reading.left:
            return None
        reading.left.discard(what)
        if not reading.left and reading.rows is not None:
            self.forget(owner)  # one that is being read is gone when it has been
        return reading.found(what)


@cache
def _statement(stores: tuple[str, ...]) -> Statement:
    if not stores:
        return RELATIONS
    named = or_(*(document.c.store == store for store in stores))
    documents = rows_of(A_DOCUMENT, document.c.store, document.c.value)
    documents = documents.where(document.c.owner == bindparam("owner"), named)
    return Statement(f"ahead.{' '.join(stores)}", union_all(*RELATIONS_PARTS, documents))


def document_in(rows: Rows, store: str) -> bytes | None:
    """The document of *store* among what was read ahead."""
    return next((row[-1] for row in rows if row[0] == A_DOCUMENT and row[1] == store), None)
