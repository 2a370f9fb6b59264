"""Rosters in SQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Select,
    bindparam,
    delete,
    func,
    literal_column,
    null,
    select,
    type_coerce,
    union_all,
)

from ..roster import MOST_TOMBSTONES, Contact, Relations, Roster, RosterItem, Rosters, Transition, checked
from .database import Database, Query, Rows, Transaction
from .schema import roster_item, roster_request, roster_version
from .statement import Statement, Upsert
from .types import Bytes

if TYPE_CHECKING:
    from .ahead import Ahead

Versions: TypeAlias = tuple[int, int]
"""The version of a roster, and the oldest one of which all later changes are known."""

FLOOR = ""
"""The owner whose version is the floor: where rosters begin that have none of their own."""

FEW = 200
"""A roster of so many contacts is looked up; a larger one takes so long that it is read like anything else."""
ALL = 2**31 - 1

THE_ROSTER: Final = ""
"""What it is called among what is read ahead; no store has that name."""

_ITEM = roster_item.c
_COLUMNS = (_ITEM.contact, _ITEM.name, _ITEM.subscription, _ITEM.ask, _ITEM.approved, _ITEM.groups)
_ITEMS = _ITEM.owner == bindparam("owner")
_PRESENT = _ITEM.subscription != "remove"
_TOMBSTONES = (_ITEMS, _ITEM.subscription == "remove")
ITEM = Statement("roster.item", select(*_COLUMNS).where(_ITEMS, _ITEM.contact == bindparam("contact"), _PRESENT))
COUNT = Statement("roster.count", select(func.count()).where(_ITEMS, _PRESENT))
PUT = Statement("roster.put", Upsert(roster_item))
TOO_OLD = Statement(
    "roster.too_old",
    select(_ITEM.version).where(*_TOMBSTONES).order_by(_ITEM.version.desc()).limit(1).offset(bindparam("most")),
)
BURY = Statement("roster.bury", delete(roster_item).where(*_TOMBSTONES, _ITEM.version <= bindparam("upto")))

_REQUEST = roster_request.c
_REQUESTS = _REQUEST.owner == bindparam("owner")
_THE_REQUEST = (_REQUESTS, _REQUEST.contact == bindparam("contact"))
REQUESTS = Statement(
    "roster.requests", select(_REQUEST.contact, _REQUEST.stanza).where(_REQUESTS).order_by(_REQUEST.contact)
)
REQUEST = Statement("roster.request", select(_REQUEST.stanza).where(*_THE_REQUEST))
REQUEST_COUNT = Statement("roster.request_count", select(func.count()).where(_REQUESTS))
REQUEST_PUT = Statement("roster.request_put", Upsert(roster_request))
REQUEST_REMOVE = Statement("roster.request_remove", delete(roster_request).where(*_THE_REQUEST))

_VERSION = roster_version.c
# The roster's own, and the floor.
_VERSIONS = _VERSION.owner.in_((bindparam("owner"), literal_column(f"'{FLOOR}'")))
VERSIONS = Statement("roster.versions", select(_VERSION.owner, _VERSION.version, _VERSION.oldest).where(_VERSIONS))
VERSION_PUT = Statement("roster.version_put", Upsert(roster_version))

# What is read together is read by one statement: it is of one moment without a transaction, and takes one message to
# the database and back. The first column says what a row is; the next, by which they are told apart, whose. A column
# without a value has the type of those before it, so the items stand first, and the requests, which have stanzas, next.
AN_ITEM, A_REQUEST, A_VERSION, A_DOCUMENT = range(4)
_ZERO: ColumnElement[int] = literal_column("0")
_NO_ITEM: tuple[ColumnElement[Any], ...] = (null(),) * len(_COLUMNS[1:])
_NO_STANZA = type_coerce(null(), Bytes)


def _rows(kind: int, *columns: ColumnElement[Any]) -> Select[Any]:
    return select(literal_column(str(kind)), *columns)


def rows_of(kind: int, named: ColumnElement[Any], value: ColumnElement[Any]) -> Select[Any]:
    """Rows of something else, to be read with the others: texts that tell them apart, and bytes."""
    return _rows(kind, named, *_NO_ITEM, _ZERO, _ZERO, value)


_FIRST = select(*_COLUMNS, _ITEM.version).where(_ITEMS, _PRESENT).order_by(_ITEM.contact).limit(bindparam("most"))
_FIRST_ITEMS = _rows(AN_ITEM, *_FIRST.subquery().c, _ZERO, _NO_STANZA)
_NEW_ITEMS = _rows(AN_ITEM, *_COLUMNS, _ITEM.version, _ZERO, _NO_STANZA).where(
    _ITEMS, _ITEM.version > bindparam("since")
)
_ALL_REQUESTS = rows_of(A_REQUEST, _REQUEST.contact, _REQUEST.stanza).where(_REQUESTS)
_BOTH_VERSIONS = _rows(A_VERSION, _VERSION.owner, *_NO_ITEM, _VERSION.version, _VERSION.oldest, _NO_STANZA)
_BOTH_VERSIONS = _BOTH_VERSIONS.where(_VERSIONS)
ROSTER = Statement("roster.get", union_all(_FIRST_ITEMS, _BOTH_VERSIONS))
RELATIONS_PARTS = (_FIRST_ITEMS, _ALL_REQUESTS, _BOTH_VERSIONS)
RELATIONS = Statement("roster.relations", union_all(*RELATIONS_PARTS))
CHANGES = Statement("roster.changes", union_all(_NEW_ITEMS, _BOTH_VERSIONS))

FORGET = tuple(
    Statement(f"{table.name}.forget", delete(table).where(table.c.owner == bindparam("owner")))
    for table in (roster_item, roster_request, roster_version)
)


class SqlRosters(Rosters):
    def __init__(self, database: Database, ahead: Ahead) -> None:
        self._database = database
        self._ahead = ahead

    async def get(self, owner: str) -> Roster:
        found = _Found(owner, await self._read(owner, ROSTER))
        return Roster(found.version, found.items())

    async def relations(self, owner: str) -> Relations:
        taken = self._ahead.take(owner, THE_ROSTER)
        rows = None if taken is None else await taken
        found = _Found(owner, await self._read(owner, RELATIONS) if rows is None else rows)
        return Relations(found.version, found.items(), found.requests)

    async def _read(self, owner: str, statement: Statement) -> Rows:
        few = await self._database.look_up(owner, Query(statement, {"owner": owner, "most": FEW + 1}))
        if len(few) <= FEW or sum(row[0] == AN_ITEM for row in few) <= FEW:
            return few
        return await self._database.rows(owner, statement, owner=owner, most=ALL)

    async def item(self, owner: str, contact: str) -> RosterItem | None:
        row = await self._database.row(owner, ITEM, owner=owner, contact=contact)
        return None if row is None else _item(*row)

    async def count(self, owner: str) -> int:
        return await self._database.number(owner, COUNT, owner=owner)

    async def changes(self, owner: str, since: int) -> Roster | None:
        found = _Found(owner, await self._database.rows(owner, CHANGES, owner=owner, since=since))
        return Roster(found.version, found.changes()) if found.oldest <= since <= found.version else None

    async def requests(self, owner: str) -> dict[str, bytes]:
        return dict(await self._database.rows(owner, REQUESTS, owner=owner))

    async def request_count(self, owner: str) -> int:
        return await self._database.number(owner, REQUEST_COUNT, owner=owner)

    async def transition(self, owner: str, contact: str, change: Callable[[Contact], Contact]) -> Transition:
        self._ahead.forget(owner)
        return await self._database.write(owner, lambda tx: _transition(tx, owner, contact, change))

    async def keep(self, owner: str, contacts: Mapping[str, Contact]) -> int:
        async def work(tx: Transaction) -> int:
            version, oldest = await _version(tx, owner)
            for contact, new in contacts.items():
                checked(new, contact)
                if new.request is not None:
                    await tx.change(REQUEST_PUT, owner=owner, contact=contact, stanza=new.request)
                if new.item is not None:
                    version += 1
                    await _put(tx, owner, version, new.item)
            await tx.change(VERSION_PUT, owner=owner, version=version, oldest=oldest)
            return version

        self._ahead.forget(owner)
        return await self._database.write(owner, work)


async def forget_roster(tx: Transaction, owner: str) -> None:
    """Remove all of *owner*'s roster, but raise the floor past its version.

    A roster that begins anew starts there, so that a client which remembers a version of the old roster cannot take it
    for one of the new roster's.
    """
    known = {at: version for at, version, _ in await tx.run(VERSIONS, owner=owner)}
    if owner in known:
        floor = max(known.get(FLOOR, 0), known[owner] + 1)
        await tx.change(VERSION_PUT, owner=FLOOR, version=floor, oldest=floor)
    for statement in FORGET:
        await tx.change(statement, owner=owner)


async def _transition(tx: Transaction, owner: str, contact: str, change: Callable[[Contact], Contact]) -> Transition:
    version, oldest = await _version(tx, owner)
    items = await tx.run(ITEM, owner=owner, contact=contact)
    requests = await tx.run(REQUEST, owner=owner, contact=contact)
    before = Contact(_item(*items[0]) if items else None, requests[0][0] if requests else None)
    after = checked(change(before), contact)
    if after == before:
        return Transition(before, after, version)
    if after.request is not None:
        await tx.change(REQUEST_PUT, owner=owner, contact=contact, stanza=after.request)
    elif before.request is not None:
        await tx.change(REQUEST_REMOVE, owner=owner, contact=contact)
    if after.item != before.item:
        version += 1
        await _put(tx, owner, version, after.item or RosterItem(contact, subscription="remove"))
        if after.item is None:
            oldest = await _bury(tx, owner, oldest)
    await tx.change(VERSION_PUT, owner=owner, version=version, oldest=oldest)
    return Transition(before, after, version)


async def _version(tx: Transaction, owner: str) -> Versions:
    return _own(owner, await tx.run(VERSIONS, owner=owner))


def _own(owner: str, rows: Rows) -> Versions:
    """Of the roster's versions and the floor's, those that hold."""
    known = {at: (version, oldest) for at, version, oldest in rows}
    return known.get(owner) or known.get(FLOOR) or (0, 0)


async def _put(tx: Transaction, owner: str, version: int, item: RosterItem) -> None:
    await tx.change(
        PUT,
        owner=owner,
        contact=item.jid,
        version=version,
        name=item.name,
        subscription=item.subscription,
        ask=int(item.ask),
        approved=int(item.approved),
        groups=json.dumps(sorted(item.groups), ensure_ascii=False),
    )


async def _bury(tx: Transaction, owner: str, oldest: int) -> int:
    """Drop the oldest tombstones, if there are too many; returns the oldest version that is still of use."""
    rows = await tx.run(TOO_OLD, owner=owner, most=MOST_TOMBSTONES)
    if not rows:
        return oldest
    ((upto,),) = rows
    await tx.change(BURY, owner=owner, upto=upto)
    return int(upto)


class _Found:
    """What was read together, sorted out: a database joins it in any order."""

    __slots__ = ("_items", "oldest", "requests", "version")

    def __init__(self, owner: str, rows: Rows) -> None:
        rows = sorted(rows)
        self._items = [row for row in rows if row[0] == AN_ITEM]
        others = rows[len(self._items) :]
        self.requests: dict[str, bytes] = {row[1]: row[-1] for row in others if row[0] == A_REQUEST}
        self.version, self.oldest = _own(owner, [(row[1], *row[-3:-1]) for row in others if row[0] == A_VERSION])

    def items(self) -> list[RosterItem]:
        """Ascending by JID."""
        return [_item(*row[1:-3]) for row in self._items]

    def changes(self) -> list[RosterItem]:
        """The oldest change first."""
        return [_item(*row[1:-3]) for row in sorted(self._items, key=itemgetter(-3))]


def _item(contact: str, name: str, subscription: Any, ask: int, approved: int, groups: str) -> RosterItem:
    return RosterItem(contact, name, subscription, bool(ask), bool(approved), frozenset(json.loads(groups)))
