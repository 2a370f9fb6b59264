"""RFC 6121 §4.3: presence probes, with which a user's server asks how a contact is."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING

from ..api import HANDLED, JID, Element, Outcome, Presence, Session, Stanza, StanzaError, delay, hooks, presence
from .circle import Circle, concerned
from .directed import DIRECTED
from .last import Last

if TYPE_CHECKING:
    from .roster import Roster


class Probes:
    """Asks for a user, and answers for a contact."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._host = roster.host

    def send(self, account: JID, circle: Circle) -> None:
        """Ask all whose presence the account sees.

        §4.3.1: "the server does not need to send a presence probe to a contact if the contact's account resides on the
        same server", so those here who are offline are left alone; it spares storage.
        """
        probe = presence("probe", sender=account, id=self._roster.contacts.new_id()).rendered()
        for contact in list(circle.publishers):
            is_here = contact.domain == self._host.name and contact.local
            if not is_here or self._host.sessions.available(contact.local):
                self.ask(account, probe.addressed(contact))

    def send_to(self, account: JID, addresses: Iterable[JID]) -> None:
        """Ask those of *addresses* whose presence the account sees, while it is available itself."""
        circle = self._roster.contacts.circle_now(account)
        if circle is not None and self._host.sessions.available(account.local):
            for contact in concerned(circle.publishers, addresses):
                id = self._roster.contacts.new_id()
                self.ask(account, presence("probe", to=contact.bare, sender=account, id=id))

    def ask(self, account: JID, stanza: Presence) -> None:
        """Route what the server itself asks a contact, unless somebody objects."""
        try:
            asking = hooks.probe_to_contact.run_now(self._host.chains, account, stanza)
        except StanzaError:
            return  # nobody knows whether the contact may be asked
        if isinstance(asking, Stanza):
            self._host.route(asking)

    def answer(self, account: JID, probe: Presence) -> Outcome | Awaitable[Outcome]:
        """§4.3.2: a probe for an account, which may not exist. All of them end here."""
        sender = probe.sender
        if sender is None:
            return HANDLED
        circle = self._roster.contacts.circle_now(account)
        if sender.bare == account or (circle is not None and sender.bare in circle.subscribers):
            return self._tell(account, probe, sender)
        if circle is not None:
            self._refuse(account, probe, sender)
            return HANDLED
        return self._answer_later(account, probe, sender)

    async def _answer_later(self, account: JID, probe: Presence, sender: JID) -> Outcome:
        item = await self._roster.storage.rosters.item(str(account), str(sender.bare))
        if item is None or item.subscription not in ("from", "both"):
            self._refuse(account, probe, sender)
            return HANDLED
        answer = self._tell(account, probe, sender)
        if isinstance(answer, Awaitable):
            await answer
        return HANDLED

    # -- those who may know -------------------------------------------------------------------------------------------

    def _tell(self, account: JID, probe: Presence, sender: JID) -> Outcome | Awaitable[Outcome]:
        resource = probe.to.resource if probe.to is not None else ""
        available = self._host.sessions.available(account.local)
        if resource:
            # "the server MUST NOT return presence information about any resource except the resource specified"
            found = next((session for session in available if session.jid.resource == resource), None)
            if found is not None:
                self._send_mere(found, sender)
            else:
                self._host.route(
                    presence("unavailable", to=sender, sender=account.with_resource(resource), id=probe.id)
                )
            return HANDLED
        if not available:
            return self._tell_unavailable(account, probe, sender)
        self._tell_all(available, sender)
        return HANDLED

    def _tell_all(self, available: Iterable[Session], sender: JID) -> None:
        """Rule 4: "the full XML of the last presence stanza with no 'to' attribute …", with its own id (§4.3.2.1)."""
        for session in available:
            if session.presence is not None:
                self._route_share(session, session.presence.addressed(sender))

    async def _tell_unavailable(self, account: JID, probe: Presence, sender: JID) -> Outcome:
        """Rule 3: it "SHOULD include information about the time when the last unavailable presence … was generated";
        §4.3.2.1: the server "SHOULD mirror the 'id' of the user's presence probe".
        """
        last = self._host.find(Last)
        farewell = await last.farewell(account) if last is not None else None
        if self._host.sessions.available(account.local):
            # It has come while we looked, and its presence has gone out: "unavailable" behind that would not be true.
            answer = self.answer(account, probe)
            return await answer if isinstance(answer, Awaitable) else answer
        since: Element | None = None
        if farewell is not None:
            since = delay.delay(account, farewell.at)
        children = () if since is None else (since,)
        self._host.route(presence("unavailable", *children, to=sender, sender=account, id=probe.id))
        return HANDLED

    # -- the others ---------------------------------------------------------------------------------------------------

    def _refuse(self, account: JID, probe: Presence, sender: JID) -> None:
        """Rule 1: unsubscribed, be there such an account or not, and whether a request of the sender waits or not: who
        asks and then probes would learn of the account otherwise. What a session has told the sender itself is no
        secret (§4.6.6).
        """
        resource = probe.to.resource if probe.to is not None else ""
        session = self._host.sessions.find(account.local, resource)
        directed = session.notes.get(DIRECTED) if session is not None else None
        if session is not None and directed is not None and directed.knows(sender):
            self._send_mere(session, sender)
        else:
            self._host.route(presence("unsubscribed", to=sender.bare, sender=account, id=probe.id))

    def _send_mere(self, session: Session, to: JID) -> None:
        """§4.3.2: it "SHOULD communicate only the fact that the resource is available"."""
        id = session.presence.id if session.presence is not None else None
        self._route_share(session, presence(None, to=to, sender=session.jid, id=id))

    def _route_share(self, session: Session, stanza: Presence) -> None:
        sharing = self._roster.presences.share(session, stanza)
        if sharing is not None:
            self._host.scope.spawn(sharing)
