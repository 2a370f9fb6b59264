"""XEP-0191: Blocking Command -- have nothing to do with somebody: what he sends does not arrive, nor does he see one.

What stands in lists and commands is in `blocking_items.py`. Who sees an account go when he is blocked, and come again,
is in `presence.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Final

from ..api import (
    HANDLED,
    IQ,
    JID,
    SUBSCRIPTION_TYPES,
    Condition,
    Document,
    Element,
    ErrorType,
    Key,
    Message,
    Module,
    Outcome,
    Portable,
    Presence,
    Session,
    Slot,
    Stanza,
    StanzaError,
    TooManyWait,
    Xep,
    hooks,
    iq,
    iq_get,
    iq_set,
    ns,
    option,
)
from .blocking_items import EMPTY, KEPT, BlockList, adding, command, owner_of, read_items, removing
from .blocking_moving import PortableBlockList, PortableBlocklistElement
from .client_state import ClientState
from .remembered import Remembered
from .roster import Roster

#: Whether a session has asked for the list, and gets the pushes.
REQUESTED: Final[Key[bool]] = Key("mod_blocking.requested")
#: What an account that nobody is connected to could lose by being sent it.
_OF_INTEREST: Final = {
    "presence": SUBSCRIPTION_TYPES | {"probe"},
    "iq": frozenset(("get", "set")),
    "message": Message.TYPES - {"error"},
}
#: What gets no answer. An error in answer to what a room sends would throw its occupant out.
_UNANSWERED: Final = frozenset(("groupchat", "headline", "error"))


class Blocking(Module):
    """Keeps a list of those with whom an account wants no communication, and sees to it that there is none."""

    name = "mod_blocking"
    implements = (Xep(191, "1.3"),)
    # §3.1: "it MUST return a feature of "urn:xmpp:blocking"", where the server is asked.
    features = (ns.BLOCKING,)

    @dataclass(frozen=True)
    class Options(Module.Options):
        """Settings of mod_blocking."""

        max_items: int = option(1000, "How many addresses one account may block.", minimum=1)
        cache_size: int = option(
            1000, "Of how many accounts that are not connected the lists are kept in memory.", minimum=1
        )

    options: Options
    kept = Document("blocking", KEPT, early=True)

    async def on_start(self) -> None:
        self.lists = Remembered(self.host, self.scope, self._fetch, size=self.options.cache_size)
        self._mark = self.host.server.token()
        self._ids = count(1)
        for session in self.host.sessions:
            await self.lists.get(session.jid.bare)

    async def _fetch(self, account: JID) -> BlockList:
        stored = await self.kept.get(str(account))
        return BlockList(stored) if stored else EMPTY

    def reconfigure(self, old: Options, new: Options) -> None:
        self.lists.resize(new.cache_size)

    def portables(self) -> Sequence[Portable]:
        return (PortableBlockList(self), PortableBlocklistElement(self))

    @hooks.sm_register_connection
    def arrived(self, session: Session) -> None:
        self.lists.arrived(session.jid.local)

    @hooks.sm_remove_connection.at(Slot.FALLBACK)
    def left(self, session: Session) -> None:
        """Last, since until then the farewells of the session are sent."""
        self.lists.left(session.jid.local)

    @hooks.remove_user
    def removed(self, account: JID) -> None:
        self.lists.forget(account.local)

    # -- §3.2: the list -----------------------------------------------------------------------------------------------

    @iq_get(ns.BLOCKING, "blocklist", on=("account",))
    async def blocklist(self, iq: IQ) -> Element:
        """ "the server MUST return an IQ-result containing a <blocklist/> element", empty where nobody is blocked."""
        account, sender = owner_of(iq), iq.sender
        found = await self.lists.get(account)
        session = self.host.sessions.find(account.local, sender.resource) if sender is not None else None
        if session is not None:
            session.notes[REQUESTED] = True
        return command("blocklist", found.jids)

    # -- §3.3-§3.5: commands ------------------------------------------------------------------------------------------

    @iq_set(ns.BLOCKING, "block", on=("account",))
    async def block(self, iq: IQ) -> None:
        """§3.3. What else an item holds, a report say (XEP-0377), is nothing to us."""
        account, items = owner_of(iq), read_items(iq)
        # "If the <block/> element does not contain at least one <item/> child element, the server MUST return a
        # <bad-request/> error."
        if not items:
            raise StanzaError(Condition.BAD_REQUEST, "nobody is named")
        # §5: it "MUST NOT block communications from one of a user's resources to another".
        if any(item.bare == account for item in items):
            raise StanzaError(Condition.NOT_ALLOWED, "one cannot block oneself")
        await self.add(account, items)

    async def add(self, account: JID, items: Sequence[JID]) -> None:
        """Block these, which are not the account itself; raises `StanzaError` (policy-violation)."""
        await self._change(account, partial(self._block, account, items))

    async def _block(self, account: JID, items: Sequence[JID]) -> None:
        if self.host.accounts.is_leaving(account.local):
            raise StanzaError(Condition.SERVICE_UNAVAILABLE)  # the next owner of the name would find it
        named = [str(item) for item in items]
        update = await self.kept.update(str(account), partial(adding, named, self.options.max_items))
        before = frozenset(update.before or ())
        # What has come already and waits for a client that nobody looks at is not to come behind the block.
        client_state = self.host.find(ClientState)
        if client_state is not None:
            client_state.let_go(account)
        # "the user's server MUST send unavailable presence information to the JID": now, while it can still go out.
        roster = self.host.find(Roster)
        if roster is not None:
            roster.presences.hide(account, [item for item in items if str(item) not in before])
        self.lists.put(account, BlockList(update.after or ()))
        self._push(account, "block", named)

    @iq_set(ns.BLOCKING, "unblock", on=("account",))
    async def unblock(self, iq: IQ) -> None:
        """§3.4, and §3.5: all, where no item is named."""
        await self.remove(owner_of(iq), read_items(iq))

    async def remove(self, account: JID, items: Sequence[JID]) -> None:
        """Block these no more, or, where none is named, nobody."""
        await self._change(account, partial(self._unblock, account, [str(item) for item in items]))

    async def _unblock(self, account: JID, named: Sequence[str]) -> None:
        update = await self.kept.update(str(account), partial(removing, named))
        after = BlockList(update.after or ())
        self.lists.put(account, after)
        self._push(account, "unblock", named)
        # "the user's server MUST send the user's current presence information to the JID". Theirs was dropped, so the
        # server asks for it.
        roster = self.host.find(Roster)
        if roster is not None:
            unblocked = [JID.parse(jid) for jid in update.before or () if jid not in after.jids]
            roster.presences.show(account, unblocked)
            roster.probes.send_to(account, unblocked)

    async def _change(self, account: JID, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await self.lists.take_turn(account, work)
        except TooManyWait:
            raise StanzaError(Condition.RESOURCE_CONSTRAINT, "too many commands wait") from None

    def _push(self, account: JID, name: str, named: Iterable[str]) -> None:
        """§3.3-§3.5: "MUST also send an IQ-set to all of the user's resources that have requested the blocklist"."""
        id = f"{self._mark}-{next(self._ids)}"
        push = iq("set", command(name, named), id=id, sender=account).rendered()
        for session in self.host.sessions.of(account.local):
            if REQUESTED in session.notes:
                session.send(push.addressed(session.jid))

    # -- §3.3: what the account is sent -------------------------------------------------------------------------------

    @hooks.sm_receive_packet.at(Slot.CHECK)
    def received(self, account: JID, stanza: Stanza) -> Outcome | Awaitable[Outcome]:
        found = self.lists.now(account.local)
        if found is None:
            return self._received_later(account, stanza) if self._is_of_interest(account, stanza) else None
        return self._receive(account, found, stanza) if found.jids else None

    def _is_of_interest(self, account: JID, stanza: Stanza) -> bool:
        """Whether storage is to be asked; not for what is lost anyway, as presence for those who are not there."""
        return bool(self.host.sessions.resources(account.local)) or stanza.type in _OF_INTEREST[stanza.kind]

    async def _received_later(self, account: JID, stanza: Stanza) -> Outcome:
        return self._receive(account, await self.lists.get(account), stanza)

    def _receive(self, account: JID, found: BlockList, stanza: Stanza) -> Outcome:
        sender = stanza.sender
        if sender is None or not self._is_blocked(account, found, sender):
            return None
        # "For presence stanzas (including notifications, subscriptions, and probes), the server MUST NOT respond and
        # MUST NOT return an error."
        if isinstance(stanza, Presence) or (isinstance(stanza, Message) and stanza.type in _UNANSWERED):
            return HANDLED
        # "IQ stanzas of other types MUST be silently dropped by the server."
        if isinstance(stanza, IQ) and stanza.type not in ("get", "set"):
            return HANDLED
        # "For IQ stanzas of type "get" or "set", the server MUST return an error, which SHOULD be
        # <service-unavailable/>", and for messages it SHOULD.
        raise StanzaError(Condition.SERVICE_UNAVAILABLE)

    def _is_blocked(self, account: JID, found: BlockList, who: JID) -> bool:
        """Nobody can block himself (§5), or the server he needs to unblock somebody."""
        if not found.blocks(who) or who.bare == account:
            return False
        return bool(who.local) or who.domain != self.host.name

    # -- what was sent before it was blocked, and kept ----------------------------------------------------------------

    @hooks.user_receive_packet.only(Message, Slot.CHECK)
    def message_delivered(self, session: Session, stanza: Message) -> Outcome:
        """§3.3: the server "MUST NOT deliver any XML stanzas from the JID to the user", be they older than the block.

        An error tells of what the client itself has sent, and may well come from here.
        """
        found = self.lists.now(session.jid.local)
        if found is None or not found.jids or stanza.type == "error":
            return None
        return self._deliver(session, found, stanza)

    @hooks.user_receive_packet.only(Presence, Slot.CHECK)
    def presence_delivered(self, session: Session, stanza: Presence) -> Outcome:
        """Requests wait for an answer, and are handed to each client."""
        found = self.lists.now(session.jid.local)
        if found is None or not found.jids or stanza.type != "subscribe":
            return None
        return self._deliver(session, found, stanza)

    def _deliver(self, session: Session, found: BlockList, stanza: Stanza) -> Outcome:
        sender = stanza.sender
        return HANDLED if sender is not None and self._is_blocked(session.jid.bare, found, sender) else None

    # -- §3.3: what the account sends ---------------------------------------------------------------------------------

    @hooks.user_send_packet.at(Slot.CHECK)
    def sent(self, session: Session, stanza: Stanza) -> Outcome | Awaitable[Outcome]:
        found = self.lists.now(session.jid.local)
        if found is None:
            return self._sent_later(session, stanza)
        return self._send(session, found, stanza) if found.jids else None

    async def _sent_later(self, session: Session, stanza: Stanza) -> Outcome:
        try:
            found = await self.lists.get(session.jid.bare)
        except StanzaError as error:
            if session.ended:
                raise  # nobody is there to be told: it has not arrived
            _send_back(session, stanza.bounced(error.condition, error.text, error.kind))
            return HANDLED
        return self._send(session, found, stanza)

    def _send(self, session: Session, found: BlockList, stanza: Stanza) -> Outcome:
        """The server "MUST NOT route the stanza to the JID but instead MUST return a <not-acceptable/> error"."""
        to = stanza.to
        if to is None or not self._is_blocked(session.jid.bare, found, to):
            return None
        refusal = stanza.bounced(Condition.NOT_ACCEPTABLE, kind=ErrorType.CANCEL)
        if refusal is not None:
            error = refusal.child(ns.CLIENT, "error")
            assert error is not None
            # "… containing an application-specific error condition of <blocked/>"
            error.children.append(Element("blocked", ns.BLOCKING_ERRORS))
        _send_back(session, refusal)
        return HANDLED

    # -- §3.3: "the user will appear offline to the blocked JID" ------------------------------------------------------

    @hooks.presence_to_contact.at(Slot.CHECK)
    def presence_shared(self, session: Session, stanza: Stanza) -> Outcome:
        return self._without_them(session.jid.bare, stanza)

    @hooks.probe_to_contact.at(Slot.CHECK)
    def probed(self, account: JID, stanza: Stanza) -> Outcome:
        return self._without_them(account, stanza)

    def _without_them(self, account: JID, stanza: Stanza) -> Outcome:
        found, to = self.lists.now(account.local), stanza.to
        if found is None:
            return HANDLED  # nobody can tell; who has sent presence has been checked, and so his list is known
        return HANDLED if found.jids and to is not None and self._is_blocked(account, found, to) else None


def _send_back(session: Session, error: Stanza | None) -> None:
    """To the client at once: on any other way what comes from somebody who is blocked would be dropped."""
    if error is not None:
        session.send(error)
