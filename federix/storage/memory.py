"""The back end that forgets: everything in dictionaries, gone with the process. For tests and trials."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TypeVar

from .accounts import Account, AccountExists, Accounts, NoSuchAccount
from .memory_archive import MemoryArchives
from .roster import MOST_TOMBSTONES, Contact, Relations, Roster, RosterItem, Rosters, Transition, checked
from .storage import Documents, Logs, RawChange, RawEntry, RawUpdate, Storage, Tables

K = TypeVar("K")
V = TypeVar("V")


class MemoryStorage(Storage):
    """Keeps everything in this process. Its methods never wait."""

    def __init__(self) -> None:
        self._documents = MemoryDocuments()
        self._tables = MemoryTables()
        self._logs = MemoryLogs()
        self._rosters = MemoryRosters()
        self._archives = MemoryArchives()
        self.documents = self._documents
        self.tables = self._tables
        self.logs = self._logs
        self.rosters = self._rosters
        self.archives = self._archives
        self.accounts = MemoryAccounts()

    async def start(self) -> None:
        """There is nothing to open."""

    async def stop(self) -> None:
        """What was kept stays until this object goes."""

    def read_ahead(self, owner: str) -> None:
        """There is nothing to read."""

    async def forget(self, owner: str) -> None:
        for part in (self._documents, self._tables, self._logs, self._rosters, self._archives):
            part.forget(owner)


class MemoryDocuments(Documents):
    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], bytes] = {}

    def expect(self, store: str) -> None:
        """All is at hand."""

    async def get(self, store: str, owner: str) -> bytes | None:
        return self._kept.get((store, owner))

    async def update(self, store: str, owner: str, change: RawChange) -> RawUpdate:
        return _update(self._kept, (store, owner), change)

    async def put(self, store: str, owner: str, value: bytes) -> None:
        self._kept[store, owner] = value

    async def put_new(self, store: str, owner: str, value: bytes) -> bytes:
        return self._kept.setdefault((store, owner), value)

    async def remove(self, store: str, owner: str) -> bool:
        return self._kept.pop((store, owner), None) is not None

    async def owners(self, store: str, after: str, limit: int) -> list[str]:
        return _owners(self._kept, store, after, limit)

    def forget(self, owner: str) -> None:
        _forget(self._kept, owner)


class MemoryTables(Tables):
    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], dict[str, bytes]] = {}

    async def get(self, store: str, owner: str, key: str) -> bytes | None:
        return self._kept.get((store, owner), {}).get(key)

    async def update(self, store: str, owner: str, key: str, change: RawChange) -> RawUpdate:
        rows = self._kept.setdefault((store, owner), {})
        try:
            return _update(rows, key, change)
        finally:
            if not rows:
                del self._kept[store, owner]

    async def put(self, store: str, owner: str, key: str, value: bytes) -> None:
        self._kept.setdefault((store, owner), {})[key] = value

    async def remove(self, store: str, owner: str, key: str) -> bool:
        return (await self.update(store, owner, key, lambda _: None)).before is not None

    async def all(self, store: str, owner: str) -> dict[str, bytes]:
        return dict(sorted(self._kept.get((store, owner), {}).items()))

    async def sizes(self, store: str, owner: str) -> dict[str, int]:
        return {key: len(value) for key, value in sorted(self._kept.get((store, owner), {}).items())}

    async def count(self, store: str, owner: str) -> int:
        return len(self._kept.get((store, owner), ()))

    async def clear(self, store: str, owner: str) -> int:
        return len(self._kept.pop((store, owner), ()))

    async def owners(self, store: str, after: str, limit: int) -> list[str]:
        return _owners(self._kept, store, after, limit)

    def forget(self, owner: str) -> None:
        _forget(self._kept, owner)


class MemoryLogs(Logs):
    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], list[RawEntry]] = {}
        self._ids = count(1)

    async def append(self, store: str, owner: str, value: bytes) -> int:
        entry = RawEntry(next(self._ids), value)
        self._kept.setdefault((store, owner), []).append(entry)
        return entry.id

    async def append_within(self, store: str, owner: str, value: bytes, most: int) -> int | None:
        if len(self._kept.get((store, owner), ())) >= most:
            return None
        return await self.append(store, owner, value)

    async def range(
        self, store: str, owner: str, after: int | None, before: int | None, limit: int, reverse: bool
    ) -> list[RawEntry]:
        entries = self._kept.get((store, owner), [])
        found = entries[_between(entries, after, before)]
        return (found[::-1] if reverse else found)[:limit]

    async def drop(self, store: str, owner: str, after: int | None, before: int | None) -> int:
        entries = self._kept.get((store, owner), [])
        length = len(entries)
        del entries[_between(entries, after, before)]
        if length and not entries:
            del self._kept[store, owner]
        return length - len(entries)

    async def remove(self, store: str, owner: str, ids: Collection[int]) -> int:
        return sum([await self.drop(store, owner, id_ - 1, id_ + 1) for id_ in ids])

    async def count(self, store: str, owner: str) -> int:
        return len(self._kept.get((store, owner), ()))

    async def owners(self, store: str, after: str, limit: int) -> list[str]:
        return _owners(self._kept, store, after, limit)

    def forget(self, owner: str) -> None:
        _forget(self._kept, owner)


class MemoryAccounts(Accounts):
    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Account] = {}

    async def get(self, local: str, host: str) -> Account | None:
        return self._kept.get((local, host))

    async def exists(self, local: str, host: str) -> bool:
        return (local, host) in self._kept

    async def create(self, account: Account) -> None:
        if (account.local, account.host) in self._kept:
            raise AccountExists
        self._kept[account.local, account.host] = replace(account, credentials=dict(account.credentials))

    async def set_credentials(self, local: str, host: str, credentials: Mapping[str, str]) -> None:
        account = self._kept.get((local, host))
        if account is None:
            raise NoSuchAccount
        self._kept[local, host] = replace(account, credentials=dict(credentials))

    async def delete(self, local: str, host: str) -> bool:
        return self._kept.pop((local, host), None) is not None

    async def names(self, host: str, *, limit: int, after: str = "") -> list[str]:
        return sorted(local for local, at in self._kept if at == host and local > after)[:limit]

    async def count(self, host: str) -> int:
        return sum(at == host for _, at in self._kept)


@dataclass(slots=True)
class _KeptRoster:
    """*oldest* is the oldest version of which all later changes are still known."""

    version: int
    oldest: int
    items: dict[str, tuple[int, RosterItem]] = field(default_factory=dict)
    """The version of the last change and the item, or its tombstone, by JID."""
    requests: dict[str, bytes] = field(default_factory=dict)


class MemoryRosters(Rosters):
    def __init__(self) -> None:
        self._kept: dict[str, _KeptRoster] = {}
        # A roster that begins anew starts past all versions of those forgotten, so that a client which remembers one
        # of them cannot take it for one of the new roster's.
        self._floor = 0

    def _of(self, owner: str) -> _KeptRoster:
        return self._kept.get(owner) or _KeptRoster(self._floor, self._floor)

    async def get(self, owner: str) -> Roster:
        kept = self._of(owner)
        items = [item for _, item in kept.items.values() if item.subscription != "remove"]
        return Roster(kept.version, sorted(items, key=lambda item: item.jid))

    async def relations(self, owner: str) -> Relations:
        return Relations(*await self.get(owner), await self.requests(owner))

    async def item(self, owner: str, contact: str) -> RosterItem | None:
        return _item(self._of(owner), contact)

    async def count(self, owner: str) -> int:
        return len((await self.get(owner)).items)

    async def changes(self, owner: str, since: int) -> Roster | None:
        kept = self._of(owner)
        if not kept.oldest <= since <= kept.version:
            return None
        changed = sorted((version, jid) for jid, (version, _) in kept.items.items() if version > since)
        return Roster(kept.version, [kept.items[jid][1] for _, jid in changed])

    async def requests(self, owner: str) -> dict[str, bytes]:
        return dict(sorted(self._of(owner).requests.items()))

    async def request_count(self, owner: str) -> int:
        return len(self._of(owner).requests)

    async def transition(self, owner: str, contact: str, change: Callable[[Contact], Contact]) -> Transition:
        kept = self._of(owner)
        before = Contact(_item(kept, contact), kept.requests.get(contact))
        after = checked(change(before), contact)
        if after == before:
            return Transition(before, after, kept.version)
        self._kept[owner] = kept
        if after.request is None:
            kept.requests.pop(contact, None)
        else:
            kept.requests[contact] = after.request
        if after.item != before.item:
            kept.version += 1
            kept.items[contact] = (kept.version, after.item or RosterItem(contact, subscription="remove"))
            self._bury(kept)
        return Transition(before, after, kept.version)

    async def keep(self, owner: str, contacts: Mapping[str, Contact]) -> int:
        for contact, new in contacts.items():
            checked(new, contact)
        kept = self._kept[owner] = self._of(owner)
        for contact, new in contacts.items():
            if new.request is not None:
                kept.requests[contact] = new.request
            if new.item is not None:
                kept.version += 1
                kept.items[contact] = (kept.version, new.item)
        return kept.version

    def _bury(self, kept: _KeptRoster) -> None:
        """Drop the oldest tombstones, if there are too many."""
        tombstones = sorted((version, jid) for jid, (version, item) in kept.items.items() if _is_gone(item))
        for version, jid in tombstones[:-MOST_TOMBSTONES]:
            del kept.items[jid]
            kept.oldest = version

    def forget(self, owner: str) -> None:
        kept = self._kept.pop(owner, None)
        if kept is not None:
            self._floor = max(self._floor, kept.version + 1)


def _is_gone(item: RosterItem) -> bool:
    return item.subscription == "remove"


def _item(kept: _KeptRoster, contact: str) -> RosterItem | None:
    _, item = kept.items.get(contact, (0, None))
    return None if item is None or _is_gone(item) else item


def _update(kept: dict[K, bytes], key: K, change: RawChange) -> RawUpdate:
    before = kept.get(key)
    after = change(before)
    if after is None:
        kept.pop(key, None)
    else:
        kept[key] = after
    return RawUpdate(before, after)


def _owners(kept: Iterable[tuple[str, str]], store: str, after: str, limit: int) -> list[str]:
    return sorted(owner for at, owner in kept if at == store and owner > after)[:limit]


def _forget(kept: dict[tuple[str, str], V], owner: str) -> None:
    for key in [key for key in kept if key[1] == owner]:
        del kept[key]


def _between(entries: list[RawEntry], after: int | None, before: int | None) -> slice:
    start = 0 if after is None else bisect_right(entries, after, key=lambda entry: entry.id)
    end = len(entries) if before is None else bisect_left(entries, before, key=lambda entry: entry.id)
    return slice(start, max(start, end))
