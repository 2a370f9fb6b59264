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
    Share,
    StanzaError,
    TooManyWait,
    Transition,
    Turns,
    iq,
)
from .circle import Circle
from .roster_items import query_element, size_of
from .subscription_states import Kind

if TYPE_CHECKING:
    from .roster import Roster

T = TypeVar("T")

#: §2.2: "If a connected resource or available resource requests the roster, it is referred to as an 'interested
#: resource'": it gets the pushes.
INTERESTED: Final[Key[bool]] = Key("mod_roster.interested")

#: How much work may wait for one account: of its own, of those in its roster, and of all the others. Nobody takes the
#: room of somebody else's.
MOST_WAITING: Final = 100
OF_CONTACTS: Final = Share("contacts", 100)
OF_STRANGERS: Final = Share("strangers", 20)
#: The end of the account, for which there is always room.
OF_REMOVAL: Final = Share("removal", 1)


class Crowded(StanzaError):
    """As much work as may wait for the account waits already."""

    def __init__(self) -> None:
        super().__init__(Condition.RESOURCE_CONSTRAINT, "too much is being done for this account")


class Leaving(StanzaError):
    """The account is being removed: nothing is kept for it any more, which the next owner of its name would find."""

    def __init__(self) -> None:
        super().__init__(Condition.SERVICE_UNAVAILABLE)


class Contacts:
    """Keeps what is between accounts and their contacts."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._host = roster.host
        self._rosters = roster.storage.rosters
        self._turns = Turns(roster.scope, most=MOST_WAITING)
        #: By local part, for accounts that have sessions.
        self._circles: dict[str, Circle] = {}
        #: How many changes wait, by local part and contact.
        self._changing: dict[tuple[str, JID], int] = {}
        self._mark = f"{roster.host.server.token()}-"
        self._ids = count(1)

    async def take_turn(self, account: JID, work: Callable[[], Awaitable[T]], share: Share | None = None) -> T:
        """Do *work* while nobody else changes the account's contacts. It must not ask for a turn itself.

        *share* says whose work it is where it is not the account's own. It is done even where whoever waits for it is
        gone. No stanza may be routed from within but to the account itself: two accounts that write to each other
        would wait for each other. Raises `Crowded`.
        """
        try:
            return await self._turns.take(account.local, work, share)
        except TooManyWait:
            raise Crowded from None

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
        share: Share | None = None,
    ) -> Transition:
        """Change what is between an account and a contact, and push what clients may see of it.

        *first* is called when it is kept and before it is pushed. Raises what *change* raises, `Crowded` and `Leaving`.
        Where *change* may add an item, or make one larger, and the roster is full: `StanzaError` (policy-violation).
        Where it may add a request of one who is not, or no longer, in the roster and too many wait, that is not kept.
        """

        async def work() -> Transition:
            try:
                if self._host.accounts.is_leaving(account.local):
                    raise Leaving
                return await self._change(account, contact, change, may_add, first, push_always)
            finally:
                self._changed(account, contact)

        key = account.local, contact
        self._changing[key] = self._changing.get(key, 0) + 1
        try:
            return await self.take_turn(account, work, share)
        except Crowded:
            self._changed(account, contact)
            raise

    def _changed(self, account: JID, contact: JID) -> None:
        key = account.local, contact
        self._changing[key] -= 1
        if not self._changing[key]:
            del self._changing[key]

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
        if may_add == "item":
            bounded = await self._in_roster(account, change)
        elif may_add == "request" and await self._request_count(account) >= self._roster.options.max_requests:
            bounded = partial(_among_too_many_requests, change)
        transition = await self._rosters.transition(str(account), str(contact), bounded)
        circle = self.circle_now(account)
        if circle is not None:
            circle.update(contact, transition.after)
            if circle.size is not None:
                circle.size += size_of(transition.after.item) - size_of(transition.before.item)
        first(transition)
        item = transition.after.item
        if push_always or item != transition.before.item:
            shown = item or RosterItem(str(contact), subscription="remove")
            self.push(account, shown, transition.version, self.interested(account))
        return transition

    async def _in_roster(self, account: JID, change: Callable[[Contact], Contact]) -> Callable[[Contact], Contact]:
        """*change*, as far as the roster is not full by it."""
        circle, options = self.circle_now(account), self._roster.options
        if circle is None or circle.size is None:
            _, items, requests = await self._rosters.relations(str(account))
            circle = circle or self.remember(account, items, requests)
            circle.size = sum(map(size_of, items))
        return partial(_within, change, options.max_items - len(circle.members), options.max_size - circle.size)

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

    def ignores(self, account: JID, contact: JID, kind: Kind) -> bool:
        """Whether a subscription stanza of *contact* is known to change nothing and to get no answer.

        Of accounts that are here that can be told without asking storage, unless something waits to be changed.
        """
        circle = self.circle_now(account)
        return circle is not None and (account.local, contact) not in self._changing and circle.ignores(kind, contact)

    def share_of(self, account: JID, contact: JID) -> Share:
        """Whose room is taken by what *contact* wants; of accounts that are not here, all are strangers."""
        circle = self.circle_now(account)
        return OF_CONTACTS if circle is not None and contact in circle.members else OF_STRANGERS

    async def circle(self, account: JID) -> Circle:
        """Who is around an account."""
        known = self.circle_now(account)
        return known if known is not None else await self.take_turn(account, partial(self._circle, account))

    async def _circle(self, account: JID) -> Circle:
        known = self.circle_now(account)
        if known is not None:
            return known
        _, items, requests = await self._rosters.relations(str(account))
        return self.remember(account, items, requests)

    def remember(self, account: JID, items: Iterable[RosterItem], requesters: Iterable[str]) -> Circle:
        """Keep in mind who is in the roster, while the account has a session. Only in a turn of the account."""
        circle = Circle(items, requesters)
        if self._host.sessions.of(account.local):
            self._circles[account.local] = circle
        return circle

    def forget(self, account: JID) -> None:
        self._circles.pop(account.local, None)


def _within(change: Callable[[Contact], Contact], items: int, size: int, known: Contact) -> Contact:
    """There is room for so many *items* more, and bytes. What has become too large under other bounds may shrink."""
    after = change(known)
    growth = size_of(after.item) - size_of(known.item)
    if growth > max(size, 0) or (known.item is None and after.item is not None and items <= 0):
        raise StanzaError(Condition.POLICY_VIOLATION, "the roster is full")
    return after


def _among_too_many_requests(change: Callable[[Contact], Contact], known: Contact) -> Contact:
    """Those in the roster are no strangers: their requests are bounded by it, and no longer when they leave it."""
    after = change(known)
    if after.item is not None or (known.item is None and known.request is not None):
        return after
    return Contact()
