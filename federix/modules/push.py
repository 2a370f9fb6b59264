"""XEP-0357: Push Notifications -- have the push service of a client that is not there tell it that something waits.

What clients register and what services are told is in `push_items.py`, how often in `push_services.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal

from ..api import (
    HANDLED,
    IQ,
    JID,
    Condition,
    Document,
    Message,
    Module,
    Outcome,
    Presence,
    Session,
    Slot,
    StanzaError,
    TooManyWait,
    Xep,
    hints,
    hooks,
    iq_set,
    ns,
    option,
)
from .copies import Copies, is_repeated
from .push_items import (
    KEPT,
    MAX_BODY,
    Registration,
    Registrations,
    disabling,
    enabling,
    is_worth_waking,
    read_enable,
    read_owner,
    read_service,
    removing,
    revoked_node,
)
from .push_services import Notice, PushServices
from .remembered import Remembered

#: Seconds after which a subscription request that came is kept, if it is to be.
SOON: Final = 1.0
#: In that time, so many accounts are looked at.
MOST_ASKED: Final = 1000

#: Seconds in which what waited in a session that is over is delivered again.
DELIVERED_IN: Final = 60.0

#: How much of what was on its way when a stream was lost is looked at: the last of it.
MOST_LOST: Final = 100


class Push(Module):
    """Wakes clients through push services when something comes for them and they are not there."""

    name = "mod_push"
    implements = (Xep(357, "0.4.1"),)

    @dataclass(frozen=True)
    class Options(Module.Options):
        """Settings of mod_push."""

        notify_on: Literal["all", "messages"] = option(
            "all",
            "What wakes a client: messages with a text (encrypted or not), or all that waits for it: invitations, calls"
            " and subscription requests as well.",
        )
        include_sender: bool = option(False, "Tell the push service whom a message is from.")
        include_body: bool | str = option(
            "New message", "Tell the push service the text of a message: true, false, or a text to be told instead."
        )
        max_registrations: int = option(
            20, "Registrations of one account's clients; where there are more, the oldest give way.", minimum=1
        )
        max_form_size: int = option(4096, "Largest form of publish options in a registration.", unit="bytes", minimum=0)
        cache_size: int = option(
            1000, "Of how many accounts that are not connected the registrations are kept in memory.", minimum=1
        )

    options: Options
    kept = Document("push", KEPT)

    async def on_start(self) -> None:
        self.registrations = Remembered(self.host, self.scope, self._fetch, size=self.options.cache_size)
        self.services = PushServices(self.host, self.scope, is_away=self._is_away, remove=self._remove)

        #: By account and registration, what clients were woken for whose sessions slept and are over.
        self._told: dict[tuple[JID, tuple[str, str]], Copies] = {}
        #: Accounts that have been asked for a subscription.
        self._asked: set[JID] = set()

    async def _fetch(self, account: JID) -> Registrations:
        return await self.kept.get(str(account)) or ()

    def reconfigure(self, old: Options, new: Options) -> None:
        self.registrations.resize(new.cache_size)

    @hooks.sm_register_connection
    def arrived(self, session: Session) -> None:
        self.registrations.arrived(session.jid.local)

    @hooks.sm_remove_connection
    def left(self, session: Session) -> None:
        for each in self.registrations.now(session.jid.local) or ():
            if each.resource == session.jid.resource:
                self.services.seen(session.jid.bare, each, session.heard)
                if session.asleep:
                    self._note_told(session, each)
        self.registrations.left(session.jid.local)

    def _note_told(self, session: Session, registration: Registration) -> None:
        """Its client was woken for what waited there, which is delivered again now: it is not woken for that again."""
        told = Copies()
        for each in session.unacknowledged(MOST_LOST):
            if isinstance(each, Message) and self._is_worth_it(each):
                told.add(each)
        key = session.jid.bare, registration.key
        self._told[key] = told
        self.scope.later(DELIVERED_IN, self._told.pop, key, None)

    @hooks.remove_user
    async def removed(self, account: JID) -> None:
        for each in await self.registrations.get(account):
            self.services.drop(account, each)
        self.registrations.forget(account.local)

    # -- §5, §6: enabling and disabling -------------------------------------------------------------------------------

    @iq_set(ns.PUSH, "enable", on=("account",))
    async def enable(self, iq: IQ) -> None:
        account, resource = read_owner(iq)
        assert iq.payload is not None
        new = read_enable(iq.payload, resource, self.options.max_form_size)
        await self._change(account, partial(enabling, new, self.options.max_registrations))
        self.services.seen(account, new)

    @iq_set(ns.PUSH, "disable", on=("account",))
    async def disable(self, iq: IQ) -> None:
        account, _ = read_owner(iq)
        assert iq.payload is not None
        await self._change(account, partial(disabling, read_service(iq.payload), iq.payload.get("node")))

    async def _remove(self, account: JID, gone: Registration) -> None:
        await self._change(account, partial(removing, gone))

    async def _change(self, account: JID, change: Callable[[Registrations | None], Registrations | None]) -> None:
        try:
            await self.registrations.take_turn(account, partial(self._change_now, account, change))
        except TooManyWait:
            raise StanzaError(Condition.RESOURCE_CONSTRAINT, "too many changes wait") from None

    async def _change_now(self, account: JID, change: Callable[[Registrations | None], Registrations | None]) -> None:
        if self.host.accounts.is_leaving(account.local):
            raise StanzaError(Condition.SERVICE_UNAVAILABLE)  # the next owner of the name would find it
        before, after = await self.kept.update(str(account), change)
        self.registrations.put(account, after or ())
        left = {each.key for each in after or ()}
        for each in before or ():
            if each.key not in left:
                self.services.drop(account, each)

    @hooks.sm_receive_packet.only(Message)
    def told(self, account: JID, message: Message) -> Outcome:
        """§8: "Upon receiving an affiliation change event, the server MAY remove the received JID and node"."""
        known = self.registrations.now(account.local)
        if not known or (node := revoked_node(message, account)) is None:
            return None
        for each in known:
            if each.service == message.sender and each.node == node:
                self.scope.spawn(self._remove(account, each))
                return HANDLED
        return None

    # -- §7: what is worth a notification -----------------------------------------------------------------------------

    @hooks.sm_delivered_message
    def delivered(self, account: JID, message: Message, sessions: Sequence[Session]) -> Awaitable[None] | None:
        """A message went to *sessions*, or is kept for who is not there."""
        known = self.registrations.now(account.local)
        if known is None and self._is_worth_it(message):
            return self._delivered_later(account, message, sessions)
        if known and self._is_worth_it(message):
            self._wake(account, known, message, sessions)
        return None

    async def _delivered_later(self, account: JID, message: Message, sessions: Sequence[Session]) -> None:
        self._wake(account, await self.registrations.get(account), message, sessions)

    def _is_worth_it(self, message: Message) -> bool:
        return is_worth_waking(message, any_content=self.options.notify_on == "all")

    def _wake(self, account: JID, known: Registrations, message: Message, sessions: Sequence[Session]) -> None:
        sender = message.sender
        if sender is not None and sender.bare == account:
            return  # who has written it knows of it
        is_kept = _is_archived(message, account) or (not sessions and self._is_kept_offline(message))
        is_again = is_repeated(message, self.host.jid)
        for each in known:
            session = self._client_of(account, each)
            if session is None:
                if is_kept and not (is_again and self._was_told(account, each, message)):
                    self.services.notify(account, each, self._notice(message))
            elif session.asleep and (is_kept or session in sessions):
                self.services.notify(account, each, self._notice(message), session.heard)

    def _was_told(self, account: JID, registration: Registration, message: Message) -> bool:
        told = self._told.get((account, registration.key))
        return told is not None and told.take(message)

    def _is_kept_offline(self, message: Message) -> bool:
        return bool(self.host.chains.of(hooks.offline_message)) and not hints.no_store(message)

    def _notice(self, message: Message) -> Notice:
        options, body = self.options, message.body
        if not body:
            return Notice(messages=1)
        told = options.include_body
        return Notice(
            messages=1,
            sender=str(message.sender) if options.include_sender and message.sender is not None else None,
            body=told if isinstance(told, str) else body[:MAX_BODY] if told else None,
        )

    @hooks.session_detached
    def detached(self, session: Session) -> None:
        """A stream was lost, and with it perhaps what was sent over it of late."""
        account = session.jid.bare
        known = self.registrations.now(account.local) or ()
        if all(each.resource != session.jid.resource for each in known):
            return
        sent = session.unacknowledged(MOST_LOST)
        waiting = [each for each in sent if isinstance(each, Message) and self._is_worth_it(each)]
        if waiting:
            self._wake_one(session, replace(self._notice(waiting[-1]), messages=len(waiting)))
        elif any(isinstance(each, IQ) and self._is_call(session, each) for each in sent):
            self._wake_one(session, Notice())

    @hooks.user_receive_packet.only(IQ)
    def request_waits(self, session: Session, stanza: IQ) -> None:
        """A client that sleeps is sent a request, such as a call."""
        if session.asleep and self._is_call(session, stanza):
            self._wake_one(session, Notice())

    def _is_call(self, session: Session, request: IQ) -> bool:
        """Whether somebody wants something of the client; its server and its user's other clients do not count."""
        if request.type != "set" or self.options.notify_on != "all":
            return False
        sender = request.sender
        return sender is not None and sender.bare not in (session.jid.bare, self.host.jid)

    @hooks.user_receive_packet.only(Presence)
    def subscription_waits(self, session: Session, stanza: Presence) -> None:
        if session.asleep and stanza.type == "subscribe" and self.options.notify_on == "all":
            self._wake_one(session, Notice())

    def _wake_one(self, session: Session, notice: Notice) -> None:
        account = session.jid.bare
        for each in self.registrations.now(account.local) or ():
            if each.resource == session.jid.resource:
                self.services.notify(account, each, notice, session.heard)

    @hooks.roster_in_subscription.only(Presence, Slot.CHECK)
    def subscription_asked(self, account: JID, stanza: Presence) -> None:
        """Somebody asks who is not there, perhaps; by and by it is known whether the request waits."""
        if stanza.type == "subscribe" and self.options.notify_on == "all":
            known = self.registrations.now(account.local)
            if (known is None or known) and account not in self._asked and len(self._asked) < MOST_ASKED:
                self._asked.add(account)
                self.scope.later(SOON, self._look_at_requests, account)

    def _look_at_requests(self, account: JID) -> None:
        self._asked.discard(account)
        self.scope.spawn(self._count_requests(account))

    async def _count_requests(self, account: JID) -> None:
        known = await self.registrations.get(account)
        away = [each for each in known if self._client_of(account, each) is None]
        requests = await self.storage.rosters.request_count(str(account)) if away else 0
        if requests:
            for each in away:
                self.services.notify(account, each, Notice(requests=requests))

    # -- who is there -------------------------------------------------------------------------------------------------

    def _client_of(self, account: JID, registration: Registration) -> Session | None:
        """The session of the client that registered: it has the same resource, whenever it comes."""
        return self.host.sessions.find(account.local, registration.resource)

    def _is_away(self, account: JID, registration: Registration) -> bool:
        session = self._client_of(account, registration)
        return session is None or session.asleep


def _is_archived(message: Message, account: JID) -> bool:
    """Whether the archive of *account* has it: a client that comes later finds it there."""
    return any(child.ns == ns.SID and child.get("by") == str(account) for child in message.element.elements())
