"""Roster items as XML (RFC 6121 §2.1.2): reading what a client sets, writing what it is shown. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol
from unicodedata import normalize

from ..api import JID, Condition, Element, InvalidJID, RosterItem, StanzaError, ns


class Bounds(Protocol):
    """How large an item may be, in characters and numbers."""

    @property
    def max_name_length(self) -> int: ...
    @property
    def max_group_length(self) -> int: ...
    @property
    def max_groups(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a roster set asks for: all that a client may say about a contact (§2.1.5)."""

    contact: JID
    name: str
    groups: frozenset[str]
    removal: bool


def read_set(query: Element, bounds: Bounds) -> Wanted:
    """What the ``<query/>`` of a roster set asks for; raises `StanzaError` as §2.3.3 has it."""
    items = query.children_of(ns.ROSTER, "item")
    # §2.1.5: "The <query/> element MUST contain one and only one <item/> element."
    if len(items) != 1:
        raise StanzaError(Condition.BAD_REQUEST, "a roster set holds exactly one item")
    item = items[0]
    contact = _contact(item)
    # §2.1.5: "The server MUST ignore any value of the 'subscription' attribute other than 'remove'", and 'ask' and
    # 'approved' are not a client's to set (§2.1.2.1, §2.1.2.2).
    if item.get("subscription") == "remove":
        return Wanted(contact, "", frozenset(), removal=True)
    name = item.get("name") or ""
    if len(name) > bounds.max_name_length:
        raise StanzaError(Condition.NOT_ACCEPTABLE, "the name is too long")
    return Wanted(contact, name, _groups(item, bounds), removal=False)


def _contact(item: Element) -> JID:
    """An item stands for an account, whatever resource it names."""
    text = item.get("jid")
    if not text:
        raise StanzaError(Condition.BAD_REQUEST, "an item needs a jid")
    try:
        return JID.parse(text).bare
    except InvalidJID as error:
        raise StanzaError(Condition.JID_MALFORMED, str(error)) from None


def _groups(item: Element, bounds: Bounds) -> frozenset[str]:
    groups = [group.text for group in item.children_of(ns.ROSTER, "group")]
    if len(groups) > bounds.max_groups:
        raise StanzaError(Condition.NOT_ACCEPTABLE, "the item is in too many groups")
    for group in groups:
        if not group:
            raise StanzaError(Condition.NOT_ACCEPTABLE, "a group needs a name")
        if len(group) > bounds.max_group_length:
            raise StanzaError(Condition.NOT_ACCEPTABLE, "the name of a group is too long")
    # §2.3.3: duplicates, "one possible comparison method … is that described for XMPP resourceparts": after NFC.
    if len({normalize("NFC", group) for group in groups}) < len(groups):
        raise StanzaError(Condition.BAD_REQUEST, "a group is named twice")
    return frozenset(groups)


def item_element(item: RosterItem) -> Element:
    """``<item/>``, in a result or a push; what is not there is left out."""
    groups = (Element("group", ns.ROSTER, text=group) for group in sorted(item.groups))
    attrs = {
        "jid": item.jid,
        "name": item.name or None,
        "subscription": item.subscription,
        "ask": "subscribe" if item.ask else None,
        "approved": "true" if item.approved else None,
    }
    return Element("item", ns.ROSTER, *groups, attrs=attrs)


def size_of(item: RosterItem | None) -> int:
    """Bytes of an item as it is sent; of none, none."""
    return 0 if item is None else len(item_element(item).to_bytes(ns.ROSTER))


def query_element(items: Iterable[RosterItem], version: int | None) -> Element:
    """``<query/>`` with these items; *version* is ``None`` where there is no versioning."""
    ver = None if version is None else str(version)
    return Element("query", ns.ROSTER, *map(item_element, items), attrs={"ver": ver})


def read_version(query: Element) -> int | None:
    """The version of the roster that a client has (§2.6.2); ``None`` where it has none that we have given."""
    ver = query.get("ver") or ""
    return int(ver) if ver.isascii() and ver.isdigit() and len(ver) <= _MOST_DIGITS else None


#: Of 2⁶³, the greatest version that storage can tell.
_MOST_DIGITS = 18
