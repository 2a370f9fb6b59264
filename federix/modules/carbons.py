"""XEP-0280: Message Carbons -- each of a user's clients sees both sides of all conversations.

Copies are made when the message itself has been taken: they never are of one that got lost. Where nobody wants copies,
nobody looks at messages.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Final

from ..api import (
    IQ,
    JID,
    Condition,
    Message,
    Module,
    Outcome,
    Session,
    Slot,
    StanzaError,
    Xep,
    carbons,
    hooks,
    iq_set,
    ns,
    on_demand,
)
from .copies import COPIES, Copies, is_repeated
from .directed import DIRECTED

#: How many of an account's latest messages are remembered, so that errors in answer to them are known.
REMEMBERED: Final = 128


class Copied:
    """An account of which at least one client wants copies: those clients, and the messages copied of late.

    Of a message only a hash is kept: its side, the other one's bare JID, its id.
    """

    __slots__ = ("_hashes", "_next", "sessions")

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self._hashes = array("q")
        self._next = 0

    def remember(self, message: Message, side: carbons.Side) -> None:
        """A message was eligible."""
        other = message.to if side == "sent" else message.sender
        if other is None:
            return
        found = hash((side, other.bare, message.id))
        if len(self._hashes) < REMEMBERED:
            self._hashes.append(found)
        else:
            self._hashes[self._next] = found
            self._next = (self._next + 1) % REMEMBERED

    def knows_cause(self, error: Message, side: carbons.Side) -> bool:
        """§6.1: whether "it was sent in response to a <message/> that was eligible": it went the other way."""
        other, cause = (error.to, "received") if side == "sent" else (error.sender, "sent")
        return other is not None and hash((cause, other.bare, error.id)) in self._hashes


class Carbons(Module):
    """Copies what a user sends and receives to all of their clients that want it."""

    name = "mod_carboncopy"
    implements = (Xep(280, "1.0.1"), Xep(297, "1.0"), Xep(334, "1.0.0", "no-copy"))
    # §6.2: "If that feature is advertised, the rules above must be treated as REQUIRED".
    features = (ns.CARBONS, ns.CARBONS_RULES)

    async def on_start(self) -> None:
        self._accounts: dict[str, Copied] = {}
        self._stop_listening: Callable[[], None] = lambda: None

    # -- §4, §5: who wants them ---------------------------------------------------------------------------------------

    @hooks.sm_receive_packet.only(IQ, Slot.CHECK)
    def check(self, account: JID, stanza: IQ) -> Outcome:
        """§4.1, §5.1: "<not-allowed/> if the request is from a client that is not hosted on this server".

        Said before anybody looks whether there is such an account (RFC 6120 §13.11).
        """
        payload = stanza.payload
        if payload is None or payload.ns != ns.CARBONS or stanza.type != "set":
            return None
        to, sender = stanza.to, stanza.sender
        if to is not None and not to.resource and (sender is None or sender.bare != account):
            raise StanzaError(Condition.NOT_ALLOWED)
        return None

    @iq_set(ns.CARBONS, "enable", on=("account",))
    def enable(self, iq: IQ) -> None:
        """Have the client that asks get copies. §10.1: to ask again is no error."""
        session = self._session(iq)
        if not self._accounts:
            self._stop_listening = self.listen(self.delivered, self.accepted)
        copied = self._accounts.setdefault(session.jid.local, Copied())
        if session not in copied.sessions:
            copied.sessions.append(session)

    @iq_set(ns.CARBONS, "disable", on=("account",))
    def disable(self, iq: IQ) -> None:
        """Have it get none any more."""
        self._forget(self._session(iq))

    @hooks.sm_remove_connection
    def closed(self, session: Session) -> None:
        self._forget(session)

    def _session(self, iq: IQ) -> Session:
        sender = iq.sender
        session = None if sender is None else self.host.sessions.find(sender.local, sender.resource)
        if session is None or sender != session.jid:
            raise StanzaError(Condition.NOT_ALLOWED)
        return session

    def _forget(self, session: Session) -> None:
        copied = self._accounts.get(session.jid.local)
        if copied is None or session not in copied.sessions:
            return
        copied.sessions.remove(session)
        if not copied.sessions:
            del self._accounts[session.jid.local]
        if not self._accounts:
            self._stop_listening()

    # -- §7, §8: copies -----------------------------------------------------------------------------------------------

    @on_demand
    @hooks.sm_delivered_message
    def delivered(self, account: JID, message: Message, sessions: Sequence[Session]) -> None:
        """§7: "to each Carbons-enabled resource … that did not receive it under the RFC 6121 delivery rules"."""
        copied = self._accounts.get(account.local)
        if copied is None or is_repeated(message, self.host.jid) or not _takes(copied, message, "received"):
            return
        # Who writes to himself has it already: §8 excludes "the sending client".
        sender = message.sender
        others = [s for s in copied.sessions if s not in sessions and s.jid != sender]
        _send(message, "received", account, others)
        if all(session.catching_up for session in sessions):
            # It waits, and may be for one of these that it is handed over.
            for other in others:
                copies = other.notes.get(COPIES)
                if copies is None:
                    copies = other.notes[COPIES] = Copies()
                copies.add(message)

    @on_demand
    @hooks.user_accepted_message
    def accepted(self, session: Session, message: Message) -> None:
        """§8: "to each Carbons-enabled resource for the matching bare JID sender, excluding the sending client"."""
        copied = self._accounts.get(session.jid.local)
        if copied is None or not _takes(copied, message, "sent"):
            return
        to = message.to
        if to is None or to.bare == session.jid.bare:
            return  # it is received as well: one copy is enough
        others = [other for other in copied.sessions if other is not session]
        directed = session.notes.get(DIRECTED)
        if directed is not None and directed.knows(to) and carbons.is_to_occupant(message):
            # §6.1: "The server SHOULD limit carbon-copying to the clients sharing a Multi-Session Nick in that MUC".
            others = [other for other in others if (theirs := other.notes.get(DIRECTED)) and theirs.knows(to)]
        _send(message, "sent", session.jid.bare, others)


def _takes(copied: Copied, message: Message, side: carbons.Side) -> bool:
    """Whether *message* is eligible; if so, errors in answer to it are as well."""
    if message.type == "error":
        return not carbons.is_private(message) and copied.knows_cause(message, side)
    if not carbons.is_eligible(message, side):
        return False
    copied.remember(message, side)
    return True


def _send(message: Message, side: carbons.Side, account: JID, sessions: Sequence[Session]) -> None:
    """Send copies: of one, which is made once, with nothing but another address."""
    if not sessions:
        return
    copy = carbons.copy(message, side, account)
    for session in sessions:
        # §7: "the 'to' attribute MUST be the full JID of the resource receiving the copy".
        session.send(copy.addressed(session.jid))
