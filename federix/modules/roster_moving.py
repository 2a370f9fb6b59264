"""Contacts and requests that move with their account (XEP-0227 §4.4, §4.9)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from ..api import (
    ELEMENT,
    JID,
    Arrival,
    Arrived,
    Contact,
    Element,
    NotTaken,
    Portable,
    Presence,
    RosterItem,
    StanzaError,
    Take,
    ns,
)
from .requests import to_keep
from .roster_items import item_element, read_set, size_of

if TYPE_CHECKING:
    from .roster import Roster

_Subscription = Literal["none", "to", "from", "both"]
_SUBSCRIPTIONS: Final[tuple[_Subscription, ...]] = get_args(_Subscription)
_TRUE: Final = frozenset(("true", "1"))

Wish: TypeAlias = RosterItem | bytes
"""A contact, or the request in which one asks."""


class PortableContacts(Portable):
    """§4.4: the roster "in the same format as when retrieving the roster from the server"."""

    what = "contacts"
    tag = (ns.ROSTER, "query")

    def __init__(self, roster: Roster) -> None:
        self._roster = roster

    async def leaving(self, account: JID) -> AsyncGenerator[Element | bytes]:
        for item in (await self._roster.storage.rosters.get(str(account))).items:
            yield item_element(item)

    def arriving(self, account: JID, *, overwrite: bool) -> Take:
        return partial(_take, self._roster, account, overwrite, self._read)

    def _read(self, account: JID, element: Element) -> tuple[JID, Wish]:
        wanted = read_set(Element("query", ns.ROSTER, element), self._roster.options)
        subscription = next((each for each in _SUBSCRIPTIONS if each == element.get("subscription")), None)
        if subscription is None and element.get("subscription") is not None:
            raise InvalidWish(f"a subscription cannot be {element.get('subscription')}")
        if wanted.contact == account:
            raise InvalidWish("one is no contact of one's own")
        item = RosterItem(
            wanted.contact.text,
            wanted.name,
            subscription or "none",
            element.get("ask") == "subscribe",
            element.get("approved") in _TRUE,
            wanted.groups,
        )
        return wanted.contact, item


class PortableRequests(Portable):
    """§4.9: "<presence/> elements qualified by the 'jabber:client' namespace with the 'type' attribute set to a value
    of 'subscribe'"."""

    what = "subscription requests"
    tag = (ns.CLIENT, "presence")
    around = False

    def __init__(self, roster: Roster) -> None:
        self._roster = roster

    async def leaving(self, account: JID) -> AsyncGenerator[Element | bytes]:
        for request in (await self._roster.storage.rosters.requests(str(account))).values():
            yield ELEMENT.decode(request)

    def arriving(self, account: JID, *, overwrite: bool) -> Take:
        return partial(_take, self._roster, account, overwrite, self._read)

    def _read(self, account: JID, element: Element) -> tuple[JID, Wish]:
        request = Presence(element)
        if request.type != "subscribe":
            raise InvalidWish("it is no subscription request")
        contact = request.sender
        if contact is None:
            raise InvalidWish("it does not say who asks")
        # RFC 6121 §3.1.3: the stanza as it was delivered to the account.
        request = request.with_attrs({"to": account.text, "from": contact.bare.text})
        return contact.bare, to_keep(request, self._roster.options.max_request_size)


class PortableProsodyRequests(PortableRequests):
    """COMPAT(Prosody, at least to 0.12): it forgets to say that they are of 'jabber:client'. Taken and not given."""

    tag = (ns.PIE, "presence")

    async def leaving(self, account: JID) -> AsyncGenerator[Element | bytes]:
        nothing: tuple[Element, ...] = ()
        for request in nothing:
            yield request

    def _read(self, account: JID, element: Element) -> tuple[JID, Wish]:
        return super()._read(account, element.in_namespace(ns.PIE, ns.CLIENT))


class InvalidWish(Exception):
    """What is brought makes no sense; the text says why."""


_Read: TypeAlias = Callable[[JID, Element], tuple[JID, Wish]]


async def _take(
    roster: Roster, account: JID, overwrite: bool, read: _Read, elements: Sequence[Element]
) -> Sequence[Arrival]:
    """All in one turn of the account; what is written is written together."""
    found = [_wish(read, account, element) for element in elements]
    return await roster.contacts.take_turn(account, partial(_change, roster, account, overwrite, found))


def _wish(read: _Read, account: JID, element: Element) -> tuple[JID, Wish] | NotTaken:
    try:
        return read(account, element)
    except InvalidWish as error:
        return NotTaken(str(error))
    except StanzaError as error:
        return NotTaken.because(error)


async def _change(
    roster: Roster, account: JID, overwrite: bool, found: Sequence[tuple[JID, Wish] | NotTaken]
) -> Sequence[Arrival]:
    rosters, options = roster.storage.rosters, roster.options
    _, items, requests = await rosters.relations(account.text)
    known = {item.jid: Contact(item, requests.get(item.jid)) for item in items}
    known |= {jid: Contact(None, request) for jid, request in requests.items() if jid not in known}
    room = options.max_items - len(items)
    size = options.max_size - sum(map(size_of, items))
    request_room = options.max_requests - len(requests)
    arrivals: list[Arrival] = []
    new: dict[str, Contact] = {}
    for wish in found:
        if isinstance(wish, NotTaken):
            arrivals.append(wish)
            continue
        contact, wanted = wish
        before = known.get(contact.text, Contact())
        after = _with(before, wanted)
        there = before.item if isinstance(wanted, RosterItem) else before.request
        if after == before or (there is not None and not overwrite) or _is_pointless(before, wanted):
            arrivals.append(Arrived.THERE)
            continue
        growth = size_of(after.item) - size_of(before.item)
        is_item, is_new = isinstance(wanted, RosterItem), there is None
        if (growth > max(size, 0)) or (is_new and (room if is_item else request_room) <= 0):
            arrivals.append(NotTaken("the roster is full, see mod_roster's max_items, max_size and max_requests"))
            continue
        size -= growth
        room -= is_new and is_item
        request_room -= is_new and not is_item
        known[contact.text] = after
        # Only what is new of it: nobody comes between, it is the account's turn.
        new[contact.text] = _with(new.get(contact.text, Contact()), wanted)
        arrivals.append(Arrived.ADDED if is_new else Arrived.REPLACED)
    if new:
        version = await rosters.keep(account.text, new)
        _tell(roster, account, version, {contact: known[contact] for contact in new}, new)
    return arrivals


def _tell(roster: Roster, account: JID, version: int, now: Mapping[str, Contact], new: Mapping[str, Contact]) -> None:
    """What is in memory follows, and clients that are there: *now* is how it is, of which that is *new*."""
    contacts = roster.contacts
    circle = contacts.circle_now(account)
    if circle is not None:
        circle.size = None
        for contact, known in now.items():
            circle.update(JID.parse(contact), known)
    interested = contacts.interested(account)
    items = [known.item for known in new.values() if known.item is not None]
    # RFC 6121 §2.6.3: each push has a version of its own.
    for place, item in enumerate(items if interested else (), version - len(items) + 1):
        contacts.push(account, item, place, interested)


def _with(before: Contact, wanted: Wish) -> Contact:
    return replace(before, item=wanted) if isinstance(wanted, RosterItem) else replace(before, request=wanted)


def _is_pointless(before: Contact, wanted: Wish) -> bool:
    """RFC 6121 Appendix A: nobody waits for what he has."""
    return isinstance(wanted, bytes) and before.item is not None and before.item.subscription in ("from", "both")
