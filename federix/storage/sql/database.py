"""What a repository written in SQL needs from its back end.

A transaction is a coroutine function: it is given a :class:`Transaction` and may await nothing else::

    async def move(tx: Transaction) -> int:
        rows = await tx.run(FIND, owner=owner)
        ...
        return await tx.change(DROP, owner=owner)

    dropped = await database.write(owner, move)

It is pure apart from its statements: it may run in another thread, and more than once. If it raises, nothing of it is
kept. Here the same code serves drivers that step it through inside a thread and those that are asynchronous themselves.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

from ..chain import Link
from .statement import Statement, Value

T = TypeVar("T")

Row: TypeAlias = tuple[Any, ...]
Rows: TypeAlias = list[Row]


class Transaction(Protocol):
    """Runs statements, each with its parameters by name."""

    async def run(self, statement: Statement, /, **values: Value) -> Rows:
        """The rows found."""
        ...

    async def change(self, statement: Statement, /, **values: Value) -> int:
        """How many rows were written or removed."""
        ...

    async def insert(self, statement: Statement, /, **values: Value) -> int:
        """The id given to the new row."""
        ...


Work: TypeAlias = Callable[[Transaction], Coroutine[Any, Any, T]]

# Those that follow are not frozen: some are made for each message that is archived, and it would take twice as long.


@dataclass(slots=True)
class Query:
    """Work that is one statement, and answers with the rows found."""

    statement: Statement
    values: Mapping[str, Value]

    def __call__(self, tx: Transaction) -> Coroutine[Any, Any, Rows]:
        return tx.run(self.statement, **self.values)


@dataclass(slots=True)
class Change:
    """Work that is one statement, and answers with how many rows were written or removed."""

    statement: Statement
    values: Mapping[str, Value]

    def __call__(self, tx: Transaction) -> Coroutine[Any, Any, int]:
        return tx.change(self.statement, **self.values)


@dataclass(slots=True)
class Insertion:
    """Work that is one statement, and answers with the id given to the new row."""

    statement: Statement
    values: Mapping[str, Value]

    def __call__(self, tx: Transaction) -> Coroutine[Any, Any, int]:
        return tx.insert(self.statement, **self.values)


@dataclass(slots=True)
class Changes:
    """Work that is several statements none of which waits for what another answers; answers with their counts.

    A back end sees into it, and may send it to the database in one piece, and rows for the same table together. With a
    *link* the last of them, which overwrites one row, is only made where that holds.
    """

    all: tuple[Change, ...]
    link: Link | None = None

    def due(self) -> tuple[Change, ...]:
        """Those that are to be made now. To be asked each time that it is tried."""
        return self.all if self.link is None or self.link.holds() else self.all[:-1]

    def repeated(self) -> Changes | None:
        """What comes to the same where this may have been done already; nothing where that cannot be said."""
        changes = []
        for change in self.all:
            statement = change.statement.repeated
            if statement is None:
                return None
            changes.append(Change(statement, change.values))
        return Changes(tuple(changes), self.link)

    async def __call__(self, tx: Transaction) -> list[int]:
        return [await change(tx) for change in self.due()]


class Database(ABC):
    """Runs transactions."""

    @abstractmethod
    async def start(self) -> None:
        """Connect, and bring the schema up to date; raises :class:`StoreError` if that is impossible."""

    @abstractmethod
    async def stop(self) -> None:
        """Finish what was begun, then disconnect."""

    async def update_schema(self) -> bool:
        """Bring the schema up to date, where that is not done at the start; true if it was not."""
        return False

    def figures(self) -> Mapping[str, int]:
        """What an operator may want to watch, by name."""
        return {}

    @abstractmethod
    def read(self, owner: str | None, work: Work[T]) -> Awaitable[T]:
        """Run *work*, which only reads. It sees all writes begun before for *owner*, or for anybody if ``None``."""

    def look_up(self, owner: str | None, work: Work[T]) -> Awaitable[T]:
        """A `read` that finds a few rows by their primary key, or what one owner has, which is bounded.

        An embedded database, where that takes less time than handing it to a thread, may answer at once.
        """
        return self.read(owner, work)

    @abstractmethod
    def write(self, owner: str, work: Work[T], also: Collection[str] = ()) -> Awaitable[T]:
        """Run *work*, which concerns *owner*, and those in *also*.

        Its place in the order of their writes is taken at once, not when awaited: what is written or read for any of
        them from now on comes behind it. The answer comes when the work is committed for good.
        """

    async def rows(self, owner: str | None, statement: Statement, /, **values: Value) -> Rows:
        """A read of one statement."""
        return await self.read(owner, Query(statement, values))

    async def row(self, owner: str, statement: Statement, /, **values: Value) -> Row | None:
        """A look-up of one statement that finds one row, or none."""
        rows = await self.look_up(owner, Query(statement, values))
        return rows[0] if rows else None

    async def change(self, owner: str, statement: Statement, /, **values: Value) -> int:
        """A write of one statement; returns how many rows were written or removed."""
        return await self.write(owner, Change(statement, values))

    async def number(self, owner: str | None, statement: Statement, /, **values: Value) -> int:
        """A read of one statement that answers with one number."""
        ((number,),) = await self.rows(owner, statement, **values)
        return int(number)
