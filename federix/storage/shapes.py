"""The three shapes in which modules keep things: one value, a dictionary, a sequence; each per owner.

A module declares a shape as a class attribute and uses it through ``self``::

    class Private(Module):
        kept = Table("private", TEXT)

        async def answer(self, iq: IQ) -> Element:
            text = await self.kept.get(owner, key)

The name belongs to one module and one shape; it is what finds the data again after a restart. An owner is a bare JID
(``user@host``), a host's name, or "" for the server. ``None`` means "not there". All methods raise ``StoreError`` when
storage fails; those that write return when the data is safe.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from typing import Generic, NamedTuple, Protocol, Self, TypeVar, overload

from .codec import Codec
from .storage import Documents, Logs, RawChange, Storage, Tables

T = TypeVar("T")
B = TypeVar("B")

Change = Callable[[T | None], T | None]
"""A pure function from what is there to what shall be; ``None`` is "not there". It may run in another thread."""


class HasStorage(Protocol):
    """What a shape needs from the object it is declared on."""

    @property
    def storage(self) -> Storage: ...


class Update(NamedTuple, Generic[T]):
    """What an update found (*before*), and what it left (*after*); ``None`` is "not there"."""

    before: T | None
    after: T | None


class Entry(NamedTuple, Generic[T]):
    """One entry of a log: its *id* and *value*. Ids grow within a log, with gaps, and are never given twice."""

    id: int
    value: T


class _Shape(ABC, Generic[T, B]):
    """What the three declarations share; *B* is the store that one becomes on an object with storage."""

    def __init__(self, name: str, codec: Codec[T]) -> None:
        self.name = name
        self.codec = codec

    def __set_name__(self, owner: type, attribute: str) -> None:
        self._attribute = attribute

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: HasStorage, owner: type) -> B: ...
    def __get__(self, instance: HasStorage | None, owner: type) -> Self | B:
        if instance is None:
            return self
        return _remembered(instance, self._attribute, self.bind(instance.storage))

    @abstractmethod
    def bind(self, storage: Storage) -> B:
        """The store itself, for those that have no ``storage`` attribute."""


class Document(_Shape[T, "DocumentStore[T]"]):
    """Declares one value per owner: ``kept = Document("last", TEXT)`` in a module's body.

    The first argument is the name of the store, which belongs to one module and one shape; the second says how a value
    is written down. On an object of the module it is a `DocumentStore`. What is *early* is small, and asked for when an
    account's first client comes: then it costs no statement of its own.
    """

    def __init__(self, name: str, codec: Codec[T], *, early: bool = False) -> None:
        super().__init__(name, codec)
        self.early = early

    def bind(self, storage: Storage) -> DocumentStore[T]:
        return DocumentStore(storage.documents, self.name, self.codec)


class Table(_Shape[T, "TableStore[T]"]):
    """Declares a dictionary with text keys per owner; on an object of the module it is a `TableStore`."""

    def bind(self, storage: Storage) -> TableStore[T]:
        return TableStore(storage.tables, self.name, self.codec)


class Log(_Shape[T, "LogStore[T]"]):
    """Declares a sequence per owner, to which one appends; on an object of the module it is a `LogStore`."""

    def bind(self, storage: Storage) -> LogStore[T]:
        return LogStore(storage.logs, self.name, self.codec)


def expect(module: HasStorage) -> None:
    """Clients come from now on, for whom what a module declares `early` is asked for."""
    for base in type(module).__mro__:
        for shape in vars(base).values():
            if isinstance(shape, Document) and shape.early:
                module.storage.documents.expect(shape.name)


class DocumentStore(Generic[T]):
    """One value per owner."""

    def __init__(self, documents: Documents, name: str, codec: Codec[T]) -> None:
        self._documents = documents
        self._name = name
        self._codec = codec

    async def get(self, owner: str) -> T | None:
        """The owner's value."""
        stored = await self._documents.get(self._name, owner)
        return None if stored is None else self._codec.decode(stored)

    async def put(self, owner: str, value: T) -> None:
        """Keep *value* in place of what was there; returns when it is safe."""
        await self._documents.put(self._name, owner, self._codec.encode(value))

    async def put_new(self, owner: str, value: T) -> T:
        """Keep *value* unless there is one; returns what is there, for all servers that share the storage."""
        return self._codec.decode(await self._documents.put_new(self._name, owner, self._codec.encode(value)))

    async def remove(self, owner: str) -> bool:
        """True if there was something."""
        return await self._documents.remove(self._name, owner)

    async def update(self, owner: str, change: Change[T]) -> Update[T]:
        """Read, change and write as one step, which no other change can come between.

        *change* is a pure function from what is there to what shall be (``None``: not there). It may run in another
        thread.
        """
        before, after = await self._documents.update(self._name, owner, _on_bytes(self._codec, change))
        return _decoded(self._codec, before, after)

    async def owners(self, *, limit: int, after: str = "") -> list[str]:
        """Up to *limit* owners that have a value, ascending, those past *after*."""
        return await self._documents.owners(self._name, after, limit)


class TableStore(Generic[T]):
    """A dictionary per owner. How much an owner may have is the module's to bound, with `count` and `sizes`."""

    def __init__(self, tables: Tables, name: str, codec: Codec[T]) -> None:
        self._tables = tables
        self._name = name
        self._codec = codec

    async def get(self, owner: str, key: str) -> T | None:
        """The owner's value under *key*."""
        stored = await self._tables.get(self._name, owner, key)
        return None if stored is None else self._codec.decode(stored)

    async def put(self, owner: str, key: str, value: T) -> None:
        """Keep *value* under *key* in place of what was there; returns when it is safe."""
        await self._tables.put(self._name, owner, key, self._codec.encode(value))

    async def remove(self, owner: str, key: str) -> bool:
        """True if there was something."""
        return await self._tables.remove(self._name, owner, key)

    async def update(self, owner: str, key: str, change: Change[T]) -> Update[T]:
        """Read, change and write as one step, which no other change can come between.

        *change* is a pure function from what is there to what shall be (``None``: not there). It may run in another
        thread.
        """
        before, after = await self._tables.update(self._name, owner, key, _on_bytes(self._codec, change))
        return _decoded(self._codec, before, after)

    async def all(self, owner: str) -> dict[str, T]:
        """Everything the owner has, keys ascending by code point."""
        decode = self._codec.decode
        return {key: decode(stored) for key, stored in (await self._tables.all(self._name, owner)).items()}

    async def sizes(self, owner: str) -> dict[str, int]:
        """Bytes of each value as it is written down, keys ascending by code point; no value is fetched for it."""
        return await self._tables.sizes(self._name, owner)

    async def count(self, owner: str) -> int:
        """How many keys the owner has."""
        return await self._tables.count(self._name, owner)

    async def clear(self, owner: str) -> int:
        """Remove all of the owner's rows; returns how many there were."""
        return await self._tables.clear(self._name, owner)

    async def owners(self, *, limit: int, after: str = "") -> list[str]:
        """Up to *limit* owners that have a row, ascending, those past *after*."""
        return await self._tables.owners(self._name, after, limit)


class LogStore(Generic[T]):
    """A sequence per owner. How long it may become is the module's to bound, with `append_within` and `drop`."""

    def __init__(self, logs: Logs, name: str, codec: Codec[T]) -> None:
        self._logs = logs
        self._name = name
        self._codec = codec

    async def append(self, owner: str, value: T) -> int:
        """Add at the end; returns the entry's id."""
        return await self._logs.append(self._name, owner, self._codec.encode(value))

    async def append_within(self, owner: str, value: T, most: int) -> int | None:
        """Add at the end, unless there are *most* entries already: then ``None``. Counting and adding are one step."""
        return await self._logs.append_within(self._name, owner, self._codec.encode(value), most)

    async def range(
        self,
        owner: str,
        *,
        limit: int,
        after: int | None = None,
        before: int | None = None,
        reverse: bool = False,
    ) -> list[Entry[T]]:
        """Up to *limit* entries with ``after < id < before``, oldest first, or newest first if *reverse*."""
        decode = self._codec.decode
        entries = await self._logs.range(self._name, owner, after, before, limit, reverse)
        return [Entry(id_, decode(stored)) for id_, stored in entries]

    async def drop(self, owner: str, *, after: int | None = None, before: int | None = None) -> int:
        """Remove the entries with ``after < id < before``, without bounds all; returns how many that were."""
        return await self._logs.drop(self._name, owner, after, before)

    async def remove(self, owner: str, id_: int) -> bool:
        """Remove one entry; true if it was there."""
        return await self.remove_all(owner, (id_,)) == 1

    async def remove_all(self, owner: str, ids: Collection[int]) -> int:
        """Remove these entries, and none between them, as one step; returns how many were there."""
        return await self._logs.remove(self._name, owner, ids) if ids else 0

    async def count(self, owner: str) -> int:
        """How many entries there are."""
        return await self._logs.count(self._name, owner)

    async def owners(self, *, limit: int, after: str = "") -> list[str]:
        """Up to *limit* owners that have an entry, ascending, those past *after*."""
        return await self._logs.owners(self._name, after, limit)


S = TypeVar("S")


def _remembered(instance: object, attribute: str, store: S) -> S:
    """Keep the store under the shape's name on the instance: Python finds it there first from then on."""
    instance.__dict__[attribute] = store
    return store


def _on_bytes(codec: Codec[T], change: Change[T]) -> RawChange:
    def changed(before: bytes | None) -> bytes | None:
        after = change(None if before is None else codec.decode(before))
        return None if after is None else codec.encode(after)

    return changed


def _decoded(codec: Codec[T], before: bytes | None, after: bytes | None) -> Update[T]:
    decode = codec.decode
    return Update(None if before is None else decode(before), None if after is None else decode(after))
