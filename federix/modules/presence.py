"""RFC 6121 §4: who is there. Initial, subsequent and unavailable presence go to all who may see it; directed presence
goes where a client sends it, and is taken back when the client goes.

Contacts get copies of one stanza, with nothing but another address: splices of its bytes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING

from ..api import (
    HANDLED,
    JID,
    Condition,
    ErrorType,
    Outcome,
    Presence,
    Session,
    Stanza,
    StanzaError,
    hooks,
    presence,
)
from .circle import Circle, concerned
from .directed import DIRECTED, Directed

if TYPE_CHECKING:
    from .roster import Roster


class PresenceSessions:
    """The available sessions of one host, and who hears of them."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._host = roster.host

    # -- §4.2, §4.4: available ----------------------------------------------------------------------------------------

    def enter(self, session: Session, stanza: Presence) -> Outcome | Awaitable[Outcome]:
        """A client says that it is available, for the first time or in another way."""
        stanza, priority = self._bounded(stanza), stanza.priority
        circle = self._roster.contacts.circle_now(session.jid.bare)
        if circle is None:
            return self._enter_later(session, stanza, priority)
        self._enter(session, stanza, priority, circle)
        return HANDLED

    async def _enter_later(self, session: Session, stanza: Presence, priority: int) -> Outcome:
        circle = await self._roster.contacts.circle(session.jid.bare)
        if not session.ended:
            self._enter(session, stanza, priority, circle)
        return HANDLED

    def _enter(self, session: Session, stanza: Presence, priority: int, circle: Circle) -> None:
        account = session.jid.bare
        others = self._host.sessions.available(account.local)
        is_initial = not session.available
        session.presence, session.priority, session.available = stanza, priority, True
        # §4.2.2: "to all contacts that are subscribed to the user's presence", §4.4.2 alike.
        self._broadcast(session, stanza, circle.subscribers)
        # "… to all of the user's available resources, including the resource that generated the presence notification".
        own = stanza.addressed(account)
        for available in self._host.sessions.available(account.local):
            available.send(own)
        if is_initial:
            self._begin(session, others, circle)
        hooks.set_presence.run(self._host.chains, session, stanza)

    def _begin(self, session: Session, others: Iterable[Session], circle: Circle) -> None:
        """A session has become available: it is told who else is, and what waits for it."""
        account = session.jid.bare
        others = [other for other in others if other is not session]
        for other in others:
            if other.presence is not None:
                session.send(other.presence.addressed(account))
        self._roster.probes.send(account, circle)
        if circle.requesters:
            self._roster.scope.spawn(self._roster.requests.hand_over(session))
        if not others:
            self._ask_again(account, circle)

    def _ask_again(self, account: JID, circle: Circle) -> None:
        """§3.1.2: "the user's server SHOULD resend the subscription request", as it may have been lost on its way.

        On the same host as well: storage may have kept that the account asks, and failed for the contact; and a grant
        that failed for the account comes again in answer.
        """
        for contact in list(circle.asked):
            id = self._roster.contacts.new_id()
            self._roster.probes.ask(account, presence("subscribe", to=contact, sender=account, id=id))

    # -- §4.5: unavailable --------------------------------------------------------------------------------------------

    def leave(self, session: Session, stanza: Presence) -> Outcome:
        """A client says that it is not available any more."""
        self._leave(session, self._bounded(stanza))
        return HANDLED

    def end(self, session: Session) -> None:
        """A session has ended, with or without a word."""
        if session.available or DIRECTED in session.notes:
            self._leave(session, presence("unavailable", sender=session.jid))

    def _leave(self, session: Session, stanza: Presence) -> None:
        account = session.jid.bare
        stanza = stanza.rendered()
        circle = self._roster.contacts.circle_now(account)
        was_available = session.available
        subscribers = circle.subscribers if was_available and circle is not None else {}
        directed = session.notes.pop(DIRECTED) or ()
        available = self._host.sessions.available(account.local)
        session.presence, session.priority, session.available = None, 0, False
        self._broadcast(session, stanza, subscribers)
        # §4.6.3: "if the available resource from which the user sent the directed presence becomes unavailable, the
        # user's server MUST route that unavailable presence to the entity".
        self._broadcast(session, stanza, [to for to in directed if to.bare not in subscribers])
        # §4.5.2: "to all of the user's available resources (as well as to the resource that generated …)".
        own = stanza.addressed(account)
        for other in available:
            other.send(own)
        if was_available:
            hooks.unset_presence.run(self._host.chains, session, stanza)

    def withdraw(self, session: Session, contact: JID) -> Awaitable[None] | None:
        """Tell one contact that a session is not available (any more, for it)."""
        directed = session.notes.get(DIRECTED)
        if directed is not None:
            directed.discard_account(contact)
        return self.share(session, presence("unavailable", to=contact, sender=session.jid))

    # -- XEP-0191 -----------------------------------------------------------------------------------------------------

    def hide(self, account: JID, addresses: Iterable[JID]) -> None:
        """Tell those of *addresses* who see an account that it is not available; a domain means all who are there."""
        named, circle = frozenset(addresses), self._roster.contacts.circle_now(account)
        subscribers = concerned(circle.subscribers, named) if circle is not None else []
        for session in self._host.sessions.of(account.local):
            directed = session.notes.get(DIRECTED)
            audience = dict.fromkeys(subscribers if session.available else ())
            if directed is not None:
                told = [to for to in directed if not named.isdisjoint((to, to.bare, to.host))]
                audience |= {to: None for to in told if to.bare not in audience}
                for to in told:
                    directed.discard(to)
            if audience:
                self._broadcast(session, presence("unavailable", sender=session.jid).rendered(), audience)

    def show(self, account: JID, addresses: Iterable[JID]) -> None:
        """Tell those of *addresses* who may see an account's presence what it is."""
        circle = self._roster.contacts.circle_now(account)
        audience = concerned(circle.subscribers, addresses) if circle is not None else []
        for session in self._host.sessions.available(account.local):
            if session.presence is not None:
                self._broadcast(session, session.presence, audience)

    # -- §4.6: directed presence --------------------------------------------------------------------------------------

    def direct(self, session: Session, stanza: Presence, to: JID) -> Outcome:
        """A client sends presence to somebody; it is routed on. Whoever is told must be told the end as well."""
        if to.bare == session.jid.bare:
            return None
        directed = session.notes.get(DIRECTED)
        if stanza.type == "unavailable":
            # §4.6.1: "The server MUST remove from the directed presence list … any entity to which the user sends
            # directed unavailable presence".
            if directed is not None and to.is_bare:
                directed.discard_account(to)
            elif directed is not None:
                directed.discard(to)
            return None
        if directed is None:
            directed = session.notes[DIRECTED] = Directed()
        if to not in directed and len(directed) >= self._roster.options.max_directed_presence:
            raise StanzaError(Condition.RESOURCE_CONSTRAINT, "presence was sent to too many addresses")
        directed.add(to)
        return None

    def gone(self, account: JID, stanza: Presence) -> None:
        """§4.6.1: the server "SHOULD remove any entity that sends unavailable presence to the user"."""
        to, sender = stanza.to, stanza.sender
        if to is None or sender is None:
            return
        for session in self._host.sessions.of(account.local):
            directed = session.notes.get(DIRECTED)
            if directed is not None and to.resource in ("", session.jid.resource):
                directed.discard(sender)

    def _bounded(self, stanza: Presence) -> Presence:
        """A broadcast, with its bytes at hand. It is kept, and copied to all who may see it: one that is too large
        raises `StanzaError` (policy-violation).
        """
        stanza = stanza.rendered()
        if len(stanza.to_bytes()) > self._roster.options.max_presence_size:
            raise StanzaError(Condition.POLICY_VIOLATION, "the presence is too large", ErrorType.MODIFY)
        return stanza

    # -- sending ------------------------------------------------------------------------------------------------------

    def _broadcast(self, session: Session, stanza: Presence, contacts: Iterable[JID]) -> None:
        for contact in list(contacts):
            sharing = self.share(session, stanza.addressed(contact))
            if sharing is not None:
                self._host.scope.spawn(sharing)

    def share(self, session: Session, stanza: Presence) -> Awaitable[None] | None:
        """Route a copy of a session's presence to the contact it is addressed to, unless somebody objects."""
        try:
            copy = hooks.presence_to_contact.run_now(self._host.chains, session, stanza)
        except StanzaError:
            return None  # nobody knows whether the contact may have it
        return self._host.server.router.route(copy) if isinstance(copy, Stanza) else None
