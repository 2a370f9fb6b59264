"""Who knows whom: rosters, their versions, and the requests that wait for an answer (RFC 6121 §2, §3).

An owner's roster has a version, a counter which every change of an item raises in the same transaction. Items that are
gone leave a tombstone, so that a client which still knows version 7 can be told what happened since (RFC 6121 §2.6).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

MOST_TOMBSTONES = 100
"""How many removed contacts an owner's roster remembers; who knows an older version is sent the whole roster."""

Subscription = Literal["none", "to", "from", "both", "remove"]


@dataclass(frozen=True, slots=True)
class RosterItem:
    """One contact of an owner (RFC 6121 §2.1.2); *jid* is the contact's bare JID; *name*, *groups* are the owner's.

    *subscription* says who sees whose presence: the owner the contact's (``to``), the contact the owner's (``from``).
    *ask* says that our request to see the contact's presence waits for an answer, *approved* that the contact's
    request was granted before it came (RFC 6121 §3.4). The subscription ``remove`` stands in changes only.
    """

    jid: str
    name: str = ""
    subscription: Subscription = "none"
    ask: bool = False
    approved: bool = False
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Contact:
    """All that is kept of one contact: the *item*, if it is in the roster, and the contact's request, if one waits.

    *request* is the stanza in which the contact asked to see the owner's presence. It waits outside of the roster:
    a contact in the state "None + Pending In" is not shown to the owner's clients (RFC 6121 Appendix A).
    """

    item: RosterItem | None = None
    request: bytes | None = None


class Roster(NamedTuple):
    """A whole roster at one moment: its *version*, and its *items* ascending by JID."""

    version: int
    items: list[RosterItem]


class Relations(NamedTuple):
    """All that is kept of an owner's contacts at one moment: the roster, and the requests that wait for an answer.

    *version*, *items* and *requests*, which are ascending by JID; a request is the stanza in which the contact asked.
    """

    version: int
    items: list[RosterItem]
    requests: dict[str, bytes]


class Transition(NamedTuple):
    """What a change found (*before*) and left (*after*), and the *version* of the roster after it."""

    before: Contact
    after: Contact
    version: int


class ItemUpdate(NamedTuple):
    """What a change found (*before*) and left (*after*), and the *version* of the roster after it."""

    before: RosterItem | None
    after: RosterItem | None
    version: int


class Rosters(ABC):
    """The rosters of all owners; how many contacts and requests one may have is the roster module's to bound.

    *owner* and *contact* are the texts of bare JIDs. All methods raise `StoreError` when storage fails.
    """

    @abstractmethod
    async def get(self, owner: str) -> Roster:
        """The whole roster; an empty one where nothing is kept."""

    @abstractmethod
    async def relations(self, owner: str) -> Relations:
        """The roster and the waiting requests, in one go."""

    @abstractmethod
    async def item(self, owner: str, contact: str) -> RosterItem | None:
        """One contact; ``None`` where it is not in the roster."""

    @abstractmethod
    async def count(self, owner: str) -> int:
        """How many items the roster has."""

    @abstractmethod
    async def changes(self, owner: str, since: int) -> Roster | None:
        """The items changed after version *since*, oldest change first; those removed have the subscription "remove".

        ``None`` if that cannot be told (any more): the whole roster is to be sent then.
        """

    @abstractmethod
    async def requests(self, owner: str) -> dict[str, bytes]:
        """The requests waiting for the owner's answer: the stanza of each contact, ascending by JID."""

    @abstractmethod
    async def request_count(self, owner: str) -> int:
        """How many requests wait for the owner's answer."""

    @abstractmethod
    async def transition(self, owner: str, contact: str, change: Callable[[Contact], Contact]) -> Transition:
        """Read, change and write all that is kept of a contact as one step, which no other change can come between.

        *change* is pure and may run in another thread; what it raises is raised here, and nothing is changed then.
        The version is raised if, and only if, the item has changed.
        """

    @abstractmethod
    async def keep(self, owner: str, contacts: Mapping[str, Contact]) -> int:
        """Keep all this of *contacts*, by their JIDs, in place of what was known of them; as one step.

        Nothing is removed by it: what a contact has not, item or request, stays as it was. Returns the version of the
        roster after it, which every item has raised.
        """

    async def update(
        self, owner: str, contact: str, change: Callable[[RosterItem | None], RosterItem | None]
    ) -> ItemUpdate:
        """A transition of the item alone."""

        def changed(known: Contact) -> Contact:
            return replace(known, item=change(known.item))

        before, after, version = await self.transition(owner, contact, changed)
        return ItemUpdate(before.item, after.item, version)

    async def put(self, owner: str, item: RosterItem) -> ItemUpdate:
        """Keep *item* in place of what was known of that contact."""
        return await self.update(owner, item.jid, lambda _: item)

    async def remove(self, owner: str, contact: str) -> ItemUpdate:
        """Remove the item; a request that waits is kept."""
        return await self.update(owner, contact, lambda _: None)

    async def add_request(self, owner: str, contact: str, stanza: bytes) -> None:
        """Keep the contact's request, in place of an earlier one."""
        await self.transition(owner, contact, lambda known: replace(known, request=stanza))

    async def remove_request(self, owner: str, contact: str) -> bool:
        """True if one was waiting."""
        before, _, _ = await self.transition(owner, contact, lambda known: replace(known, request=None))
        return before.request is not None


def checked(after: Contact, contact: str) -> Contact:
    """What a change answered, if it is still about the same contact and can be kept; raises ``ValueError`` if not."""
    if after.item is not None and (after.item.jid != contact or after.item.subscription == "remove"):
        raise ValueError("a change of a roster item must keep its JID, and removes it by answering None")
    return after
