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
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeAlias, TypeVar

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


class Database(ABC):
    """Runs transactions."""

    @abstractmethod
    def read(self, owner: str | None, work: Work[T]) -> Awaitable[T]:
        """Run *work*, which only reads. It sees all writes begun before for *owner*, or for anybody if ``None``."""

    def look_up(self, owner: str | None, work: Work[T]) -> Awaitable[T]:
        """A `read` that finds a few rows by their primary key, or what one owner has, which is bounded.

        An embedded database, where that takes less time than handing it to a thread, may answer at once.
        """
        return self.read(owner, work)

    @abstractmethod
    def write(self, owner: str, work: Work[T]) -> Awaitable[T]:
        """Run *work*, which concerns *owner*. Its place in the order of writes is taken at once, not when awaited.

        The answer comes when the work is committed for good.
        """

    async def rows(self, owner: str | None, statement: Statement, /, **values: Value) -> Rows:
        """A read of one statement."""
        return await self.read(owner, lambda tx: tx.run(statement, **values))

    async def row(self, owner: str, statement: Statement, /, **values: Value) -> Row | None:
        """A look-up of one statement that finds one row, or none."""
        rows = await self.look_up(owner, lambda tx: tx.run(statement, **values))
        return rows[0] if rows else None

    async def change(self, owner: str, statement: Statement, /, **values: Value) -> int:
        """A write of one statement; returns how many rows were written or removed."""
        return await self.write(owner, lambda tx: tx.change(statement, **values))

    async def number(self, owner: str | None, statement: Statement, /, **values: Value) -> int:
        """A read of one statement that answers with one number."""
        ((number,),) = await self.rows(owner, statement, **values)
        return int(number)
