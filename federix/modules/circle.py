"""Who is around an account, in memory while it has sessions: so that presence and iq checks need not ask storage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..api import JID, Contact, RosterItem
from .subscription_states import Kind


class Circle:
    """An account's contacts. It is as large as its roster and the requests that wait, which are bounded.

    Each attribute is a set in the order of the roster.
    """

    __slots__ = ("approved", "asked", "members", "publishers", "requesters", "size", "subscribers")

    def __init__(self, items: Iterable[RosterItem], requesters: Iterable[str]) -> None:
        #: All who are in the roster.
        self.members: dict[JID, None] = {}
        #: Those who see the account's presence ("from", "both"), and those whose presence it sees ("to", "both").
        self.subscribers: dict[JID, None] = {}
        self.publishers: dict[JID, None] = {}
        #: Those whom the account has asked, and those who have asked the account and wait.
        self.asked: dict[JID, None] = {}
        #: Those whose request is granted before it comes (§3.4).
        self.approved: dict[JID, None] = {}
        #: Bytes of all items as they are sent; ``None`` until somebody has counted.
        self.size: int | None = None
        self.requesters: dict[JID, None] = dict.fromkeys(map(JID.parse, requesters))
        for item in items:
            self._put(JID.parse(item.jid), item)

    def update(self, contact: JID, now: Contact) -> None:
        """Something has changed between the account and *contact*."""
        self._put(contact, now.item)
        _set(self.requesters, contact, now.request is not None)

    def ignores(self, kind: Kind, contact: JID) -> bool:
        """Whether such a stanza from *contact* changes nothing and is not answered (appendix A.3)."""
        match kind:
            case "subscribe":
                return contact in self.requesters and contact not in self.subscribers and contact not in self.approved
            case "unsubscribe":
                return contact not in self.subscribers and contact not in self.requesters
            case "subscribed":
                return contact not in self.asked
            case "unsubscribed":
                return contact not in self.asked and contact not in self.publishers

    def _put(self, contact: JID, item: RosterItem | None) -> None:
        subscription = item.subscription if item is not None else "none"
        _set(self.members, contact, item is not None)
        _set(self.subscribers, contact, subscription in ("from", "both"))
        _set(self.publishers, contact, subscription in ("to", "both"))
        _set(self.asked, contact, item is not None and item.ask)
        _set(self.approved, contact, item is not None and item.approved)


def _set(members: dict[JID, None], contact: JID, is_one: bool) -> None:
    if is_one:
        members[contact] = None
    else:
        members.pop(contact, None)


def concerned(contacts: Mapping[JID, None], addresses: Iterable[JID]) -> list[JID]:
    """Those of *addresses* that are one of *contacts* or a resource of one; for a domain, all contacts there."""
    addresses = list(addresses)
    domains = {address.domain for address in addresses if not address.local and not address.resource}
    found = {address: None for address in addresses if address.bare in contacts}
    if domains:
        found |= {contact: None for contact in contacts if contact.domain in domains}
    return list(found)
