"""What those learn who may not see an account's presence: nothing (RFC 6121 §8.5.3.1, §11)."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final

from ..api import HANDLED, IQ, JID, Condition, Key, Outcome, Presence, Session, StanzaError, ns
from .directed import DIRECTED

if TYPE_CHECKING:
    from .roster import Roster

#: To whom a client has sent presence itself, those of late last.
ADDRESSED: Final[Key[dict[JID, None]]] = Key("mod_roster.addressed")
#: How many are remembered: errors come soon.
MOST_ADDRESSED: Final = 1000


class Strangers:
    """Refuses requests to clients from those who may not know of them, and drops errors that no client has caused."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._host = roster.host

    def check(self, account: JID, request: IQ) -> Outcome | Awaitable[Outcome]:
        """§8.5.3.1: "if the intended recipient does not share presence with the requesting entity …, then the server
        SHOULD NOT deliver the IQ stanza but instead SHOULD return a <service-unavailable/> stanza error".

        It is what is answered where there is no such resource. The domains served here are no strangers.
        """
        if request.type not in ("get", "set"):
            return None
        to, sender = request.to, request.sender
        if sender is None or to is None:
            raise StanzaError(Condition.SERVICE_UNAVAILABLE)
        if sender.bare == account:
            return None
        if not to.resource:
            self._check_roster(request)
            return None
        if not self._roster.options.refuse_iq_from_strangers:
            return None
        if not sender.local and self._host.server.router.serves(sender.domain):
            return None
        session = self._host.sessions.find(account.local, to.resource)
        if session is None:
            return None  # as is said to all
        directed = session.notes.get(DIRECTED)
        if directed is not None and directed.knows(sender):
            return None
        circle = self._roster.contacts.circle_now(account)
        if circle is None:
            return self._check_later(account, sender)
        if sender.bare not in circle.subscribers:
            raise StanzaError(Condition.SERVICE_UNAVAILABLE)
        return None

    async def _check_later(self, account: JID, sender: JID) -> Outcome:
        item = await self._roster.storage.rosters.item(str(account), str(sender.bare))
        if item is None or item.subscription not in ("from", "both"):
            raise StanzaError(Condition.SERVICE_UNAVAILABLE)
        return None

    def _check_roster(self, request: IQ) -> None:
        """§2.3.3: "The server MUST return a <forbidden/> stanza error … if the sender … is not authorized".

        Here, since by the time the roster is asked only accounts that exist have come through.
        """
        if request.child(ns.ROSTER, "query") is not None:
            raise StanzaError(Condition.FORBIDDEN)

    def check_error(self, account: JID, error: Presence) -> Outcome:
        """An answer to a broadcast or a probe is no client's affair; one to what a client has sent somebody is, and of
        no other client.
        """
        try:
            to, sender = error.to, error.sender
        except StanzaError:
            return None  # its client has sent something to what is no address, and is told so
        if to is None or sender is None:
            return None  # a broadcast of its client was refused
        if to.resource:
            session = self._host.sessions.find(account.local, to.resource)
            return None if session is not None and _has_addressed(session, sender) else HANDLED
        # §3.1.2: for a request that cannot be delivered "the user's server MUST return an appropriate error stanza to
        # the user". It comes to the bare JID, from which it was sent, and so do errors to the server's own probes.
        if not self._roster.contacts.is_ours(error.id):
            for session in self._host.sessions.of(account.local):
                if _has_addressed(session, sender):
                    session.send(error)
        return HANDLED

    def note(self, session: Session, stanza: Presence) -> None:
        """Remember whom a client itself sends presence, before anything is checked: it is to hear what is wrong."""
        try:
            to = stanza.to
        except StanzaError:
            return
        if to is None:
            return
        addressed = session.notes.get(ADDRESSED)
        if addressed is None:
            addressed = session.notes[ADDRESSED] = {}
        addressed.pop(to.bare, None)
        addressed[to.bare] = None
        if len(addressed) > MOST_ADDRESSED:
            del addressed[next(iter(addressed))]


def _has_addressed(session: Session, who: JID) -> bool:
    directed = session.notes.get(DIRECTED)
    if directed is not None and directed.knows(who):
        return True
    addressed = session.notes.get(ADDRESSED)
    return addressed is not None and who.bare in addressed
