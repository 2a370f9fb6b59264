"""The contacts of all accounts of a host: changed one account's at a time, kept, remembered, pushed (RFC 6121 §2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from ..api import (
    JID,
    Condition,
    Contact,
    Key,
    RosterItem,
    Session,
    StanzaError,
    TooManyWait,
    Transition,
    Turns,
    iq,
)
from .circle import Circle
from .roster_items import query_element

if TYPE_CHECKING:
    from .roster import Roster

T = TypeVar("T")

#: §2.2: "If a connected resource or available resource requests the roster, it is referred to as an 'interested
#: resource'": it gets the pushes.
INTERESTED: Final[Key[bool]] = Key("mod_roster.interested")

#: How much work may wait for one account.
MOST_WAITING: Final = 100


class Contacts:
    """Keeps what is between accounts and their contacts."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._host = roster.host
        self._rosters = roster.storage.rosters
        self._turns = Turns(roster.scope, most=MOST_WAITING)
        #: By local part, for accounts that have sessions.
        self._circles: dict[str, Circle] = {}
        self._mark = f"{roster.host.server.token()}-"
        self._ids = count(1)

    async def take_turn(self, account: JID, work: Callable[[], Awaitable[T]]) -> T:
        """Do *work* while nobody else changes the account's contacts. It must not ask for a turn itself.

        It is done even where whoever waits for it is gone. No stanza may be routed from within but to the account
        itself: two accounts that write to each other would wait for each other.
        """
        try:
            return await self._turns.take(account.local, work)
        except TooManyWait:
            raise StanzaError(Condition.RESOURCE_CONSTRAINT, "too much is being done for this account") from None

    # -- changing -----------------------------------------------------------------------------------------------------

    async def change(
        self,
        account: JID,
        contact: JID,
        change: Callable[[Contact], Contact],
        *,
        may_add: Literal["item", "request"] | None = None,
        first: Callable[[Transition], None] = lambda _: None,
        push_always: bool = False,
    ) -> Transition:
        """Change what is between an account and a contact, and push what clients may see of it.

        *first* is called when it is kept and before it is pushed. Raises what *change* raises. Where *change* may add
        an item and the roster is full: `StanzaError` (policy-violation). Where it may add a stranger's request and too
        many wait, the request is not kept.
        """
        work = partial(self._change, account, contact, change, may_add, first, push_always)
        return await self.take_turn(account, work)

    async def _change(
        self,
        account: JID,
        contact: JID,
        change: Callable[[Contact], Contact],
        may_add: Literal["item", "request"] | None,
        first: Callable[[Transition], None],
        push_always: bool,
    ) -> Transition:
        bounded = change
        if may_add == "item" and await self._item_count(account) >= self._roster.options.max_items:
            bounded = partial(_in_full_roster, change)
        elif may_add == "request" and await self._request_count(account) >= self._roster.options.max_requests:
            bounded = partial(_among_too_many_requests, change)
        transition = await self._rosters.transition(str(account), str(contact), bounded)
        circle = self.circle_now(account)
        if circle is not None:
            circle.update(contact, transition.after)
        first(transition)
        item = transition.after.item
        if push_always or item != transition.before.item:
            shown = item or RosterItem(str(contact), subscription="remove")
            self.push(account, shown, transition.version, self.interested(account))
        return transition

    async def _item_count(self, account: JID) -> int:
        circle = self.circle_now(account)
        return len(circle.members) if circle is not None else await self._rosters.count(str(account))

    async def _request_count(self, account: JID) -> int:
        circle = self.circle_now(account)
        return len(circle.requesters) if circle is not None else await self._rosters.request_count(str(account))

    # -- telling ------------------------------------------------------------------------------------------------------

    def interested(self, account: JID) -> list[Session]:
        """§2.2: "The server MUST send roster pushes to all interested resources"."""
        return [session for session in self._host.sessions.of(account.local) if INTERESTED in session.notes]

    def push(self, account: JID, item: RosterItem, version: int, sessions: Iterable[Session]) -> None:
        """§2.1.6; §2.6.3: "the server MUST include the updated roster version with each roster push"."""
        query = query_element((item,), version if self._roster.options.versioning else None)
        push = iq("set", query, id=self.new_id(), sender=account).rendered()
        for session in sessions:
            session.send(push.addressed(session.jid))

    def new_id(self) -> str:
        """An id for a stanza which the server sends on an account's behalf; see `is_ours`."""
        return f"{self._mark}{next(self._ids)}"

    def is_ours(self, id: str | None) -> bool:
        """Whether an id was made here: what answers to it is of no interest to any client."""
        return id is not None and id.startswith(self._mark)

    # -- remembering --------------------------------------------------------------------------------------------------

    def circle_now(self, account: JID) -> Circle | None:
        """Who is around an account, if that is in memory, as it is for all that have an available session."""
        return self._circles.get(account.local)

    async def circle(self, account: JID) -> Circle:
        """Who is around an account."""
        known = self.circle_now(account)
        return known if known is not None else await self.take_turn(account, partial(self._circle, account))

    async def _circle(self, account: JID) -> Circle:
        known = self.circle_now(account)
        if known is not None:
            return known
        roster = await self._rosters.get(str(account))
        return await self.remember(account, roster.items)

    async def remember(self, account: JID, items: Iterable[RosterItem]) -> Circle:
        """Keep in mind who is in the roster, while the account has a session. Only in a turn of the account."""
        circle = Circle(items, await self._rosters.requests(str(account)))
        if self._host.sessions.of(account.local):
            self._circles[account.local] = circle
        return circle

    def forget(self, account: JID) -> None:
        self._circles.pop(account.local, None)


def _in_full_roster(change: Callable[[Contact], Contact], known: Contact) -> Contact:
    after = change(known)
    if known.item is None and after.item is not None:
        raise StanzaError(Condition.POLICY_VIOLATION, "the roster is full")
    return after


def _among_too_many_requests(change: Callable[[Contact], Contact], known: Contact) -> Contact:
    """Those in the roster are no strangers: their requests are bounded by it."""
    after = change(known)
    return known if known == Contact() and after.item is None else after
