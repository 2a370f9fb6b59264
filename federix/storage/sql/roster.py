"""Rosters in SQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import bindparam, delete, func, select

from ..roster import MOST_TOMBSTONES, Contact, Relations, Roster, RosterItem, Rosters, Transition, checked
from .database import Database, Rows, Transaction
from .schema import roster_item, roster_request, roster_version
from .statement import Statement, Upsert

FLOOR = ""
"""The owner whose version is the floor: where rosters begin that have none of their own."""

FEW = 200
"""A roster of so many contacts is looked up; a larger one takes so long that it is read like anything else."""
ALL = 2**31 - 1

_ITEM = roster_item.c
_COLUMNS = (_ITEM.contact, _ITEM.name, _ITEM.subscription, _ITEM.ask, _ITEM.approved, _ITEM.groups)
_ITEMS = select(*_COLUMNS).where(_ITEM.owner == bindparam("owner"))
_PRESENT = _ITEM.subscription != "remove"
_TOMBSTONES = (_ITEM.owner == bindparam("owner"), _ITEM.subscription == "remove")
ITEMS = Statement("roster.items", _ITEMS.where(_PRESENT).order_by(_ITEM.contact).limit(bindparam("most")))
ITEM = Statement("roster.item", _ITEMS.where(_ITEM.contact == bindparam("contact"), _PRESENT))
COUNT = Statement("roster.count", select(func.count()).where(_ITEM.owner == bindparam("owner"), _PRESENT))
CHANGES = Statement("roster.changes", _ITEMS.where(_ITEM.version > bindparam("since")).order_by(_ITEM.version))
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
VERSION = Statement(
    "roster.version", select(_VERSION.version, _VERSION.oldest).where(_VERSION.owner == bindparam("owner"))
)
VERSION_PUT = Statement("roster.version_put", Upsert(roster_version))

FORGET = tuple(
    Statement(f"{table.name}.forget", delete(table).where(table.c.owner == bindparam("owner")))
    for table in (roster_item, roster_request, roster_version)
)


class SqlRosters(Rosters):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, owner: str) -> Roster:
        few = await self._database.look_up(owner, lambda tx: _roster(tx, owner, FEW + 1))
        if len(few.items) <= FEW:
            return few
        return await self._database.read(owner, lambda tx: _roster(tx, owner))

    async def relations(self, owner: str) -> Relations:
        async def work(tx: Transaction, most: int = ALL) -> Relations:
            return Relations(*await _roster(tx, owner, most), dict(await tx.run(REQUESTS, owner=owner)))

        few = await self._database.look_up(owner, lambda tx: work(tx, FEW + 1))
        return few if len(few.items) <= FEW else await self._database.read(owner, work)

    async def item(self, owner: str, contact: str) -> RosterItem | None:
        row = await self._database.row(owner, ITEM, owner=owner, contact=contact)
        return None if row is None else _item(*row)

    async def count(self, owner: str) -> int:
        return await self._database.number(owner, COUNT, owner=owner)

    async def changes(self, owner: str, since: int) -> Roster | None:
        async def work(tx: Transaction) -> Roster | None:
            version, oldest = await _version(tx, owner)
            if not oldest <= since <= version:
                return None
            return Roster(version, _items(await tx.run(CHANGES, owner=owner, since=since)))

        return await self._database.read(owner, work)

    async def requests(self, owner: str) -> dict[str, bytes]:
        return dict(await self._database.rows(owner, REQUESTS, owner=owner))

    async def request_count(self, owner: str) -> int:
        return await self._database.number(owner, REQUEST_COUNT, owner=owner)

    async def transition(self, owner: str, contact: str, change: Callable[[Contact], Contact]) -> Transition:
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

        return await self._database.write(owner, work)


async def forget_roster(tx: Transaction, owner: str) -> None:
    """Remove all of *owner*'s roster, but raise the floor past its version.

    A roster that begins anew starts there, so that a client which remembers a version of the old roster cannot take it
    for one of the new roster's.
    """
    rows = await tx.run(VERSION, owner=owner)
    if rows:
        floor, _ = await _version(tx, FLOOR)
        floor = max(floor, rows[0][0] + 1)
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


async def _roster(tx: Transaction, owner: str, most: int = ALL) -> Roster:
    version, _ = await _version(tx, owner)
    return Roster(version, _items(await tx.run(ITEMS, owner=owner, most=most)))


async def _version(tx: Transaction, owner: str) -> tuple[int, int]:
    """The version of the roster, and the oldest one of which all later changes are known."""
    rows = await tx.run(VERSION, owner=owner) or await tx.run(VERSION, owner=FLOOR)
    version, oldest = rows[0] if rows else (0, 0)
    return version, oldest


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


def _items(rows: Rows) -> list[RosterItem]:
    return [_item(*row) for row in rows]


def _item(contact: str, name: str, subscription: Any, ask: int, approved: int, groups: str) -> RosterItem:
    return RosterItem(contact, name, subscription, bool(ask), bool(approved), frozenset(json.loads(groups)))
