"""RFC 6121 §2-§4: contact lists, presence subscriptions, presence.

Reading begins here: the module, its options, what it hears, and the roster as clients ask for it (§2). What is kept of
contacts is changed in `contacts.py`, always one account's at a time. Subscriptions (§3) are in `subscriptions.py` and
`subscription_states.py`, requests that wait in `requests.py`, presence (§4) in `presence.py`, probes (§4.3) in
`probes.py`, what strangers may not do in `strangers.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from ..api import (
    HANDLED,
    IQ,
    JID,
    SUBSCRIPTION_TYPES,
    AccessRule,
    Condition,
    Contact,
    Element,
    Handled,
    Module,
    Outcome,
    Portable,
    Presence,
    Rfc,
    RosterItem,
    Session,
    Slot,
    StanzaError,
    Xep,
    hooks,
    iq_get,
    iq_set,
    ns,
    option,
)
from .contacts import INTERESTED, Contacts
from .presence import PresenceSessions
from .probes import Probes
from .requests import Requests
from .roster_items import Wanted, query_element, read_set, read_version
from .roster_moving import PortableContacts, PortableProsodyRequests, PortableRequests
from .strangers import Strangers
from .subscriptions import Subscriptions

#: Where more contacts have changed than so many, they are not pushed one by one.
MOST_PUSHES: Final = 200


class Roster(Module):
    """Keeps contact lists, and tells contacts who is there."""

    name = "mod_roster"
    implements = (Rfc(6121, "2-4, A"), Xep(237, "1.3"), Xep(203, "2.0", "for answers to probes"))

    @dataclass(frozen=True)
    class Options(Module.Options):
        """Settings of mod_roster."""

        versioning: bool = option(True, "Tell clients that know an old version of the roster only what has changed.")
        access: AccessRule = option(
            AccessRule("all"), "Who may change their roster and send subscription stanzas; others can only read it."
        )
        refuse_iq_from_strangers: bool = option(
            True, "Refuse requests to a client from those who may not know that it is there (RFC 6121 §8.5.3.1)."
        )
        max_items: int = option(5000, "Contacts in one roster.", minimum=1)
        max_size: int = option(
            768 * 1024,
            "All contacts of one roster as they are sent. It should be less than what may wait for a client.",
            unit="bytes",
            minimum=1,
        )
        max_requests: int = option(
            250, "Subscription requests of strangers that wait for one user's answer; more are dropped.", minimum=1
        )
        max_request_size: int = option(
            1024, "Of a larger subscription request only what fits in is kept.", unit="bytes", minimum=0
        )
        max_subscriptions_per_minute: int = option(
            60, "Subscription stanzas that one user may send in the long run; more are refused.", minimum=1
        )
        max_subscriptions_at_once: int = option(
            1000,
            "Subscription stanzas that one user may send at once, as for a whole roster brought from elsewhere. It "
            "comes back little by little, by `max_subscriptions_per_minute`.",
            minimum=1,
        )
        max_presence_size: int = option(
            16 * 1024,
            "Largest presence that a client can broadcast; a larger one is refused.",
            unit="bytes",
            minimum=1024,
        )
        max_directed_presence: int = option(
            1000, "Addresses, such as rooms, to which one session has sent its presence.", minimum=1
        )
        max_name_length: int = option(256, "Characters of a contact's name.", minimum=1)
        max_group_length: int = option(256, "Characters of a group's name.", minimum=1)
        max_groups: int = option(100, "Groups of one contact.", minimum=1)

    options: Options

    async def on_start(self) -> None:
        self.contacts = Contacts(self)
        self.presences = PresenceSessions(self)
        self.probes = Probes(self)
        self.requests = Requests(self)
        self.subscriptions = Subscriptions(self)
        self.strangers = Strangers(self)
        for session in self.host.sessions:
            if session.available:
                await self.contacts.circle(session.jid.bare)

    def portables(self) -> Sequence[Portable]:
        return (PortableContacts(self), PortableRequests(self), PortableProsodyRequests(self))

    # -- what it hears ------------------------------------------------------------------------------------------------

    @hooks.c2s_post_auth_features
    def stream_features(self) -> Iterable[Element]:
        """§2.6.1, §3.4: "it MUST advertise the following stream feature"."""
        versioning = (Element("ver", ns.ROSTER_VERSIONING),) if self.options.versioning else ()
        return (*versioning, Element("sub", ns.PRE_APPROVAL))

    @hooks.user_sent_packet.only(Presence)
    def heard(self, session: Session, stanza: Presence) -> None:
        self.strangers.note(session, stanza)

    @hooks.user_send_packet.only(Presence)
    def sent(self, session: Session, stanza: Presence) -> Outcome | Awaitable[Outcome]:
        """A client sends presence: broadcast, directed, or about a subscription."""
        kind, to = stanza.type, stanza.to
        if kind in SUBSCRIPTION_TYPES and to is not None:
            return self.subscriptions.send(session, stanza)
        if kind in (None, "unavailable"):
            if to is not None:
                return self.presences.direct(session, stanza, to)
            return self.presences.leave(session, stanza) if kind else self.presences.enter(session, stanza)
        if kind == "error" or (kind == "probe" and to is not None):
            return HANDLED if to is None else None
        # §4.7.1: of any other type "the recipient or an intermediate router SHOULD return a stanza error".
        raise StanzaError(Condition.BAD_REQUEST, "presence of that type cannot be sent there")

    @hooks.sm_remove_connection
    def closed(self, session: Session) -> None:
        """§4.5.2: "the user's server MUST generate the unavailable presence broadcast on the user's behalf"."""
        self.presences.end(session)
        if not self.host.sessions.of(session.jid.local):
            self.contacts.forget(session.jid.bare)

    @hooks.sm_receive_packet.only(IQ, Slot.CHECK, after=("mod_blocking",))
    def check(self, account: JID, stanza: IQ) -> Outcome | Awaitable[Outcome]:
        """What would tell strangers of an account or a resource is refused."""
        return self.strangers.check(account, stanza)

    @hooks.sm_receive_packet.only(Presence, Slot.FALLBACK)
    def received(self, account: JID, stanza: Presence) -> Outcome | Awaitable[Outcome]:
        kind = stanza.type
        if kind == "probe":
            return self.probes.answer(account, stanza)
        if kind == "unavailable":
            self.presences.gone(account, stanza)
        elif kind == "error":
            return self.strangers.check_error(account, stanza)
        return None

    @hooks.roster_in_subscription.only(Presence)
    def subscription_received(self, account: JID, stanza: Presence) -> Outcome | Awaitable[Outcome]:
        return self.subscriptions.receive(account, stanza)

    @hooks.may_see_presence
    def may_see_presence(self, account: JID, who: JID) -> Iterable[bool] | Awaitable[Iterable[bool]]:
        circle = self.contacts.circle_now(account)
        return (who in circle.subscribers,) if circle is not None else self._may_see_presence(account, who)

    async def _may_see_presence(self, account: JID, who: JID) -> Iterable[bool]:
        item = await self.storage.rosters.item(str(account), str(who))
        return (item is not None and item.subscription in ("from", "both"),)

    @hooks.remove_user
    async def removed(self, account: JID) -> None:
        """Its contacts hear that there is nobody any more."""
        await self.subscriptions.cancel_all(account)

    # -- §2: the roster -----------------------------------------------------------------------------------------------

    @iq_get(ns.ROSTER, "query", on=("account",))
    async def roster_get(self, iq: IQ) -> Element | Handled | None:
        """§2.1.3, §2.6: the whole roster, or what has changed since the client's version."""
        account, query, session = self._asked(iq)
        return await self.contacts.take_turn(account, partial(self._get, account, iq, query, session))

    async def _get(self, account: JID, iq: IQ, query: Element, session: Session | None) -> Element | Handled | None:
        rosters, owner, versioning = self.storage.rosters, str(account), self.options.versioning
        known = read_version(query) if versioning else None
        whole: tuple[int, list[RosterItem]] | None = None
        if self.contacts.circle_now(account) is None:
            # The client's presence will ask for it, and a version that is still the roster's needs no look at changes.
            version, items, requests = await rosters.relations(owner)
            self.contacts.remember(account, items, requests)
            if version == known:
                _interest(session)
                return None
            whole = version, items
        changes = await rosters.changes(owner, known) if known is not None else None
        # §2.6.3: the complete roster where it "would (1) use less bandwidth than sending individual roster pushes".
        if changes is not None and len(changes.items) > min(await rosters.count(owner), MOST_PUSHES):
            changes = None
        if known is None or changes is None:
            version, items = whole or await rosters.get(owner)
            _interest(session)
            return query_element(items, version if versioning else None)
        _interest(session)
        if not changes.items:
            return None
        # "the server SHOULD send an empty IQ-result and then send the modifications … via roster pushes".
        answering = self.host.server.router.route(iq.result())
        if answering is not None:
            await answering
        last = len(changes.items) - 1
        for position, item in enumerate(changes.items):
            # "the version contained in a roster push MUST be unique". A client that loses us in the middle must not
            # believe that it knows more than it does: each item has been changed in this version or a later one.
            version = changes.version if position == last else known + 1 + position
            self.contacts.push(account, item, version, [session] if session is not None else [])
        return HANDLED

    @iq_set(ns.ROSTER, "query", on=("account",))
    async def roster_set(self, iq: IQ) -> None:
        """§2.3-§2.5: add, update or remove one contact."""
        account, query, _ = self._asked(iq)
        if not self.host.allows(self.options.access, account):
            raise StanzaError(Condition.NOT_ALLOWED)
        wanted = read_set(query, self.options)
        if wanted.contact == account:
            # §2.3.3: "Some servers return a <not-allowed/> stanza error … if the value of the <item/> element's 'jid'
            # attribute matches the bare JID … of the user's account."
            raise StanzaError(Condition.NOT_ALLOWED, "one is no contact of one's own")
        if wanted.removal:
            await self.remove(account, wanted.contact)
        else:
            await self.put(account, wanted)

    def _asked(self, iq: IQ) -> tuple[JID, Element, Session | None]:
        """Whose roster it is about, how, and the session that asks. Raises `StanzaError` (forbidden)."""
        to, sender, query = iq.to, iq.sender, iq.payload
        assert to is not None and query is not None
        # §2.1.5: "the entity that processes a roster set MUST verify that the sender of the roster set is authorized".
        if sender is None or sender.bare != to.bare:
            raise StanzaError(Condition.FORBIDDEN)
        return sender.bare, query, self.host.sessions.find(sender.local, sender.resource)

    async def put(self, account: JID, wanted: Wanted) -> None:
        """Add a contact, or give it another name and other groups; §2.4: "exactly as provided"."""

        def changed(known: Contact) -> Contact:
            item = known.item or RosterItem(str(wanted.contact))
            return replace(known, item=replace(item, name=wanted.name, groups=wanted.groups))

        await self.contacts.change(account, wanted.contact, changed, may_add="item", push_always=True)

    async def remove(self, account: JID, contact: JID) -> None:
        """§2.5: take a contact out of the roster, and end what subscriptions there are. Raises item-not-found."""
        await self.subscriptions.remove(account, contact)


def _interest(session: Session | None) -> None:
    if session is not None:
        session.notes[INTERESTED] = True
