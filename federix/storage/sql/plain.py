"""Which jobs of a batch consist of statements alone, so that a back end may send many of them in one piece."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, Generic, TypeVar

from ..lane import Job
from .database import Change, Changes, Insertion

S = TypeVar("S")

_PLAIN: Final = (Change, Insertion, Changes)


def is_plain(work: object) -> bool:
    """Whether *work* consists of statements alone."""
    return isinstance(work, _PLAIN)


def sorted_out(batch: list[Job[Any]]) -> tuple[list[Job[Any]], list[Job[Any]]]:
    """The plain jobs, and the rest, which come behind them; what is for one owner keeps its order."""
    plain: list[Job[Any]] = []
    rest: list[Job[Any]] = []
    behind: set[str] = set()
    for job in batch:
        if is_plain(job.work) and behind.isdisjoint(job.owners):
            plain.append(job)
        else:
            rest.append(job)
            behind.update(job.owners)
    return plain, rest


class InOrder(Generic[S]):
    """Statements in the order in which they are to go to the database, each with the tables it touches."""

    def __init__(self) -> None:
        self.all: list[S] = []
        #: By table, where in the list the last one is that touches it.
        self._last: dict[str, int] = {}

    def last(self, tables: Collection[str] | None) -> S | None:
        """The last that touches what one does which touches one table alone: that may be joined to it."""
        (table,) = tables or ("",)
        return self.all[self._last[table]] if table in self._last else None

    def append(self, statement: S, tables: Collection[str] | None) -> None:
        if tables is None:
            # Nobody knows what it touches: everything after it comes behind it.
            self._last = dict.fromkeys(self._last, len(self.all))
        for table in tables or ():
            self._last[table] = len(self.all)
        self.all.append(statement)
