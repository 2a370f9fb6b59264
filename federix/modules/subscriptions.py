"""RFC 6121 §3: presence subscriptions, as they are asked for, granted, denied and ended.

What a stanza changes is in `subscription_states.py`. Here is the order of things: what is changed is kept first, then
the account's own clients hear, then the other side. Between two accounts of this server the other side may answer
before a stanza is on its way entirely; as the state is kept and pushed by then, clients see all in its true order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from ..api import (
    HANDLED,
    JID,
    Condition,
    Contact,
    ErrorType,
    Key,
    Outcome,
    Presence,
    Session,
    StanzaError,
    StreamCondition,
    StreamError,
    TooManyWait,
    Transition,
    Turns,
    hooks,
    presence,
)
from .allowances import Allowances
from .contacts import OF_REMOVAL, Crowded, Leaving
from .requests import to_keep
from .subscription_states import Kind, Ties, inbound, outbound

if TYPE_CHECKING:
    from .roster import Roster

#: How many subscription stanzas of one account may be on their way at a time, and how many of all are worked on: so
#: many share the commits of the storage, each of which waits for the disk.
MOST_ON_THEIR_WAY: Final = 100
MOST_TOGETHER: Final = 32
#: Where more accounts than that have some on their way at the same moment, none of them gets further than so many into
#: its allowance: who brings a whole roster along has to wait then, and nobody else. Nor does who was refused one a
#: moment ago (seconds): in a flood room is for those who do not make it.
CROWDED: Final = 24
MOST_IN_A_CROWD: Final = 25
PAUSE_AFTER_REFUSAL: Final = 1.0
#: How many are refused before the stream of who goes on all the same is ended, and the seconds there are then to read
#: why: what else was sent already, and that may be megabytes, is not read. Who has not been refused for a minute begins
#: anew.
MOST_REFUSED: Final = 250
TIME_TO_READ_WHY: Final = 1.0
REFUSED_FOR: Final = 60.0


class _Refused:
    """How many were refused to a session, and when the last one was."""

    __slots__ = ("count", "last")

    def __init__(self) -> None:
        self.count = 0
        self.last = float("-inf")


REFUSED: Final[Key[_Refused]] = Key("mod_roster.refused")


class Subscriptions:
    """Deals with subscription stanzas of and for the accounts of one host."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._host = roster.host
        self._contacts = roster.contacts
        #: What an account sends is sent in its order, and to its end even where its stream has ended meanwhile. What
        #: has not begun by then is dropped, as is what had not been read: who sends much and goes leaves no work.
        self._sending = Turns(roster.scope, most=MOST_ON_THEIR_WAY, together=MOST_TOGETHER)
        self._allowances = Allowances(roster.host.clock.seconds)

    # -- from a client ------------------------------------------------------------------------------------------------

    def send(self, session: Session, stanza: Presence) -> Outcome | Awaitable[Outcome]:
        """A client sends a subscription stanza.

        What is refused costs storage nothing. Raises `StanzaError`.
        """
        account, to = session.jid.bare, stanza.to
        assert to is not None
        if to.bare == account:
            raise StanzaError(Condition.NOT_ALLOWED, "one sees one's own presence anyway")
        if not self._host.allows(self._roster.options.access, account):
            raise StanzaError(Condition.NOT_ALLOWED)
        if not self._may_send(session):
            if self._is_patient(session):
                raise StanzaError(Condition.RESOURCE_CONSTRAINT, "too many subscription stanzas")
            session.end(StreamError(StreamCondition.POLICY_VIOLATION, "too many subscription stanzas"))
            self._roster.scope.later(TIME_TO_READ_WHY, session.attachment.abort)
            return HANDLED
        return self._accept(session, stanza, account, to.bare)

    def _may_send(self, session: Session) -> bool:
        """Whether the account has one more of its allowance, which is spent then."""
        options, refused = self._roster.options, session.notes.get(REFUSED)
        is_pressing = refused is not None and self._host.clock.seconds() - refused.last < PAUSE_AFTER_REFUSAL
        return self._allowances.take(
            session.jid.local,
            at_once=options.max_subscriptions_at_once,
            per_minute=options.max_subscriptions_per_minute,
            most=MOST_IN_A_CROWD if is_pressing or len(self._sending) > CROWDED else None,
        )

    def _is_patient(self, session: Session) -> bool:
        """Whether one more may be refused to the session."""
        now = self._host.clock.seconds()
        refused = session.notes.get(REFUSED)
        if refused is None or now - refused.last >= REFUSED_FOR:
            refused = session.notes[REFUSED] = _Refused()
        refused.count += 1
        refused.last = now
        return refused.count <= MOST_REFUSED

    async def _accept(self, session: Session, stanza: Presence, account: JID, contact: JID) -> Outcome:
        # §3: "the server MUST stamp the outgoing presence stanza with the bare JID"; §3.1.2: a full JID it is sent to
        # is treated "as if the request had been directed to the contact's bare JID".
        stamped = stanza.stamped(account).addressed(contact)

        async def work() -> None:
            if not session.ended:
                await self._send(account, contact, stamped)

        await self._in_order(account, work)
        return HANDLED

    async def _send(self, account: JID, contact: JID, stanza: Presence) -> None:
        kind, address = _kind(stanza), str(contact)
        transition = await self._contacts.change(
            account, contact, lambda known: outbound(kind, known, address).after, may_add="item"
        )
        if not outbound(kind, transition.before, address).passes:
            return
        hooks.roster_out_subscription.run(self._host.chains, account, stanza)
        if kind == "unsubscribed" and Ties.of(transition.before).is_seen:
            # §3.2.2: "While the user is still subscribed …, the contact's server MUST send a presence stanza of type
            # 'unavailable' from all of the contact's online resources to the user."
            await _all(self._withdrawals(account, contact))
        await _all((self._host.server.router.route(stanza),))
        if kind == "subscribed":
            # §3.1.5: "MUST then also send current presence to the user from each of the contact's available resources"
            await _all(self._current_presence(account, contact))

    # -- from a contact -----------------------------------------------------------------------------------------------

    async def receive(self, account: JID, stanza: Presence) -> Outcome:
        """A subscription stanza has come for an account that exists."""
        sender = stanza.sender
        if sender is None or sender.bare == account:
            return HANDLED
        contact, kind = sender.bare, _kind(stanza)
        if self._contacts.ignores(account, contact, kind):
            return HANDLED
        address = str(contact)
        stanza = stanza.stamped(contact).addressed(account)
        kept = to_keep(stanza, self._roster.options.max_request_size) if kind == "subscribe" else b""

        def deliver(transition: Transition) -> None:
            # §3.1.6, §3.2.3, §3.3.3: to the clients, and "This MUST occur before sending the roster push".
            if transition.after != transition.before and inbound(kind, transition.before, address, kept).passes:
                self._deliver(account, stanza, kind)

        try:
            transition = await self._contacts.change(
                account,
                contact,
                lambda known: inbound(kind, known, address, kept).after,
                may_add="request" if kind == "subscribe" else None,
                first=deliver,
                share=self._contacts.share_of(account, contact),
            )
        except (Crowded, Leaving):
            return HANDLED  # as if there were no such account: an answer would tell that there is
        reply = inbound(kind, transition.before, address, kept).reply
        if reply is not None:
            # Not waited for: the contact may be here and wait for us.
            answer = presence(reply, to=contact, sender=account, id=stanza.id)
            was_seen = Ties.of(transition.before).is_seen
            self._roster.scope.spawn(self._reply(account, contact, answer, was_seen=was_seen))
        return HANDLED

    async def _reply(self, account: JID, contact: JID, answer: Presence, *, was_seen: bool) -> None:
        if answer.type == "unsubscribed" and was_seen:
            # §3.3.3: "an outbound presence stanza of type 'unavailable' from each of the contact's available resources"
            await _all(self._withdrawals(account, contact))
        await _all((self._host.server.router.route(answer),))
        if answer.type == "subscribed":
            await _all(self._current_presence(account, contact))

    def _deliver(self, account: JID, stanza: Presence, kind: Kind) -> None:
        """§3.1: "Presence subscription requests are sent to available resources"; what else there is, to those who get
        the roster pushes it explains.
        """
        available = self._host.sessions.available(account.local)
        for session in available if kind == "subscribe" else self._contacts.interested(account):
            session.send(stanza)

    # -- the end of it ------------------------------------------------------------------------------------------------

    async def remove(self, account: JID, contact: JID) -> None:
        """§2.5.2: take a contact out of the roster and end what subscriptions there are.

        A request of the contact waits on: it is neither approved nor denied by that (§3.1.3), unless too many wait.
        """

        def gone(known: Contact) -> Contact:
            if known.item is None:
                raise StanzaError(Condition.ITEM_NOT_FOUND, "there is no such contact", ErrorType.MODIFY)  # §2.5.3
            return replace(known, item=None)

        async def work() -> None:
            before, after, _ = await self._contacts.change(account, contact, gone, may_add="request")
            await self._cancel(account, contact, before if after.request is None else replace(before, request=None))

        await self._in_order(account, work)

    async def cancel_all(self, account: JID) -> None:
        """An account is being removed: nobody sees it any more, it sees nobody, and nobody waits for its answer."""
        # In a turn: what has begun to be changed comes before, and nothing is changed behind it.
        reading = partial(self._roster.storage.rosters.relations, str(account))
        _, items, waiting = await self._contacts.take_turn(account, reading, OF_REMOVAL)
        known = {item.jid: Contact(item, waiting.get(item.jid)) for item in items}
        known |= {jid: Contact(None, stanza) for jid, stanza in waiting.items() if jid not in known}
        for jid, contact in known.items():
            await self._cancel(account, JID.parse(jid), contact)

    async def _cancel(self, account: JID, contact: JID, before: Contact) -> None:
        """Tell *contact* that what was between it and the account is over."""
        ties = Ties.of(before)
        if ties.is_seen:
            await _all(self._withdrawals(account, contact))
        kinds: list[Kind] = []
        if ties.sees or ties.asks:
            kinds.append("unsubscribe")
        if ties.is_seen or ties.request is not None:
            kinds.append("unsubscribed")
        for kind in kinds:
            stanza = presence(kind, to=contact, sender=account, id=self._contacts.new_id())
            hooks.roster_out_subscription.run(self._host.chains, account, stanza)
            await _all((self._host.server.router.route(stanza),))

    # -- presence that goes with it -----------------------------------------------------------------------------------

    def _withdrawals(self, account: JID, contact: JID) -> Iterable[Awaitable[None] | None]:
        for session in self._host.sessions.available(account.local):
            yield self._roster.presences.withdraw(session, contact)

    def _current_presence(self, account: JID, contact: JID) -> Iterable[Awaitable[None] | None]:
        """To a contact that may still see it: while it was told so, it may have given that up again."""
        for session in self._host.sessions.available(account.local):
            circle = self._contacts.circle_now(account)
            if session.presence is not None and circle is not None and contact in circle.subscribers:
                yield self._roster.presences.share(session, session.presence.addressed(contact))

    async def _in_order(self, account: JID, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await self._sending.take(account.local, work)
        except TooManyWait:
            raise StanzaError(Condition.RESOURCE_CONSTRAINT, "too many subscription stanzas are on their way") from None


async def _all(ways: Iterable[Awaitable[None] | None]) -> None:
    """Go all these ways, one after the other."""
    for way in ways:
        if way is not None:
            await way


def _kind(stanza: Presence) -> Kind:
    """Only the four types come here."""
    return cast("Kind", stanza.type)
