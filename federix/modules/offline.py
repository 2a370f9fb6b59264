"""XEP-0160: messages for somebody who is not there are kept, and handed over when a client of his comes.

A message is removed only when it has been written to a stream (or its session keeps it): what a crash meets in between
comes twice, and nothing is lost. What arrives while a session is being handed what waited is kept behind it, so order
holds. XEP-0013, with which a client fetches them itself, is in `offline_retrieval`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from ..api import (
    HANDLED,
    IQ,
    JID,
    CommandError,
    Condition,
    Element,
    InvalidJID,
    Key,
    Log,
    Message,
    Module,
    Outcome,
    Portable,
    Presence,
    Session,
    ShaperRule,
    Slot,
    StanzaError,
    UnknownArchiveId,
    Xep,
    caps,
    command,
    delay,
    forms,
    hints,
    hooks,
    iq_get,
    iq_set,
    ns,
    on_demand,
    option,
)
from .offline_cleaning import older_than, remove_where
from .offline_deliveries import Deliveries
from .offline_moving import PortableMessages
from .offline_records import RECORD, Record
from .offline_retrieval import Retrieval

#: Messages that are kept, behind their ids, the oldest first.
Entries: TypeAlias = list[tuple[int, Record]]

#: How many more may wait than an account's quota, while a session is being handed what does: it makes room by that.
MOST_BEHIND: Final = 1000

#: Children that make nothing worth keeping of a message that has no others.
_SLIGHT: Final = frozenset((ns.CHAT_STATES, ns.DELAY, ns.HINTS, ns.OCCUPANT_ID, ns.SID))

_TAKES_MESSAGES: Final[Key[bool]] = Key("mod_offline.takes_messages")


class Offline(Module):
    """Keeps messages for those who are not there."""

    name = "mod_offline"
    implements = (
        Xep(160, "1.0.1"),
        Xep(13, "1.3"),
        Xep(23, "1.3", "for messages kept offline"),
        Xep(203, "2.0", "for messages kept offline"),
        Xep(334, "1.0.0", "for messages kept offline"),
    )

    @dataclass(frozen=True)
    class Options(Module.Options):
        """Settings of mod_offline."""

        access_max_user_messages: ShaperRule = option(
            ShaperRule("max_user_offline_messages"),
            "How many messages are kept for one account. What is beyond goes back with service-unavailable, unless the"
            " archive of the account has it (mod_mam): then it is found there, and so is what its sender writes soon"
            " behind it.",
        )
        store_empty_body: Literal[True, False, "unless_chat_state"] = option(
            "unless_chat_state",
            "Keep messages without a body: always, never, or unless they are nothing but a chat state.",
        )
        store_groupchat: bool = option(False, "Keep messages of type groupchat, which RFC 6121 would have returned.")
        bounce_groupchat: bool = option(
            False, "Return messages of type groupchat that should be kept, but for which there is no room."
        )
        use_mam_for_storage: bool = option(
            False, "Keep but once what the archive of the account keeps (mod_mam): it is handed over from there."
        )

    options: Options
    # XEP-0160 §4: "it SHOULD return a "msgoffline" feature"; XEP-0013 §2.1: "it MUST return a <feature/> element".
    features = ("msgoffline", ns.OFFLINE)

    kept = Log("offline", RECORD)

    async def on_start(self) -> None:
        self.retrieval = Retrieval(self)
        self.deliveries = Deliveries(self)
        self._storing: Counter[str] = Counter()

    async def on_stop(self) -> None:
        self.deliveries.end()

    def portables(self) -> Sequence[Portable]:
        return (PortableMessages(self),)

    # -- a message comes ----------------------------------------------------------------------------------------------

    @hooks.offline_message
    def keep(self, account: JID, message: Message) -> Outcome | Awaitable[Outcome]:
        """XEP-0160 §2: the server "stores the message stanza for later delivery"."""
        if message.child(ns.OFFLINE, "offline") is not None:
            return HANDLED  # a session has fetched it (XEP-0013) and not taken it: it is where it was
        if self.deliveries.has(account.local, message):
            return HANDLED
        if self.host.accounts.is_leaving(account.local) or not self._is_for_storage(message):
            return None
        if self.deliveries.would_overtake(account.local, message) and self._archived(account, message) is not None:
            return None  # it follows the one that is not here, to the session if there is one
        return self._keep(account, message)

    def record_of(self, message: Message) -> Record:
        """As it is kept. What a session was handed before and did not take has waited since then."""
        waited = next((child for child in message.element.elements() if self._is_delay(child)), None)
        at = self.host.now() if waited is None else delay.parse_stamp(waited.get("stamp") or "")
        return Record.of(message.dropping(lambda child: child.ns == ns.OFFLINE or self._is_delay(child)), at)

    def _is_delay(self, child: Element) -> bool:
        return delay.is_delay_by(child, self.host.jid)

    def _is_for_storage(self, message: Message) -> bool:
        """XEP-0160 §3, and what its sender wishes."""
        kind = message.type
        if kind in ("error", "headline") or hints.no_store(message):
            return False
        # XEP-0334 §4.4: "A message containing the <store/> hint … SHOULD be stored".
        if hints.store(message):
            return True
        if kind == "groupchat" and not self.options.store_groupchat:
            return False
        empty = self.options.store_empty_body
        if empty is True or message.body is not None:
            return True
        return empty == "unless_chat_state" and not _is_slight(message)

    async def _keep(self, account: JID, message: Message) -> Outcome:
        local, record = account.local, self.record_of(message)
        most = self.host.number(self.options.access_max_user_messages, account)
        if most is not None and local in self.deliveries:
            most += MOST_BEHIND
        archived = self._archived(account, message) if self.options.use_mam_for_storage else None
        if archived is not None:
            record = record.in_archive(archived)
        self._storing[local] += 1
        try:
            if most is None:
                await self.kept.append(str(account), record)
            elif await self.kept.append_within(str(account), record, most) is None:
                # XEP-0160 §2: "if not (e.g., because the recipient's offline message queue is full), the server returns
                # a <service-unavailable/> error to the sender".
                raise StanzaError(Condition.SERVICE_UNAVAILABLE, "The recipient's offline message queue is full.")
        except StanzaError:
            if message.type == "groupchat" and not self.options.bounce_groupchat:
                return HANDLED
            if self._archived(account, message) is not None:
                self.deliveries.could_not_keep(local, message)
            raise
        finally:
            self._storing[local] -= 1
            if not self._storing[local]:
                del self._storing[local]
        self.deliveries.look_for_session(local)  # one may have come while this was written
        return HANDLED

    def _archived(self, account: JID, message: Message) -> int | None:
        """By which id the archive of the account keeps the message, if it does."""
        if self.host.archive is None:
            return None  # then it is others who say so
        id_ = next((child.get("id") or "" for child in message.element.elements() if _is_id_by(child, account)), None)
        try:
            return None if id_ is None else self.host.server.archive_ids.decode(id_)
        except UnknownArchiveId:
            return None

    async def read(self, owner: str, *, limit: int, after: int | None = None, before: int | None = None) -> Entries:
        """As `kept.range`, with the bytes of those that the archive keeps; without, where it has let go of them."""
        entries: Entries = [*await self.kept.range(owner, limit=limit, after=after, before=before)]
        ids = [record.archived for _, record in entries if record.archived is not None]
        if not ids:
            return entries
        stanzas = {row.id: row.stanza for row in await self.storage.archives.rows(owner, ids)}
        return [
            (id_, record if record.archived is None else replace(record, stanza=stanzas.get(record.archived, b"")))
            for id_, record in entries
        ]

    def is_storing(self, local: str) -> bool:
        """Whether something is being stored for that account at this moment."""
        return local in self._storing

    def sleep(self, seconds: float) -> Deferred[None]:
        return deferLater(self.host.clock, seconds, lambda: None)

    # -- a session comes ----------------------------------------------------------------------------------------------

    @hooks.set_presence
    def available(self, session: Session, _: Presence) -> None:
        """XEP-0160 §2: "When the recipient next sends non-negative available presence to the server, the server
        delivers the message to the resource that has sent that presence."
        """
        if session.priority < 0:
            self.unavailable(session, _)
        elif _TAKES_MESSAGES not in session.notes:
            session.notes[_TAKES_MESSAGES] = True
            self.deliveries.begin(session)

    @hooks.unset_presence
    def unavailable(self, session: Session, _: Presence) -> None:
        session.notes.pop(_TAKES_MESSAGES)
        if session.catching_up and not session.ended:
            self.deliveries.look_for_session(session.jid.local)

    @hooks.sm_remove_connection
    def left(self, session: Session) -> None:
        """Another session of its account is handed what this one has not taken."""
        self.deliveries.left(session)

    @on_demand
    @hooks.user_receive_packet.only(Message, Slot.CHECK)
    def hold(self, session: Session, message: Message) -> Outcome:
        """What is not for storage follows when the session has been handed what waited.

        An error does not wait: the message it tells of is acknowledged next, and a crash would take the error alone.
        """
        if message.type == "error":
            return None
        return HANDLED if self.deliveries.hold(session, message) else None

    @hooks.message_waits
    def waits(self, account: JID, message: Message) -> list[bool]:
        """What was on its way to a session that is over is removed only when it was taken."""
        return [self.deliveries.has(account.local, message)]

    # -- XEP-0013 -----------------------------------------------------------------------------------------------------

    @hooks.sm_receive_packet.only(IQ, Slot.CHECK)
    def check(self, account: JID, stanza: IQ) -> Outcome:
        """§2.3: "If the requester is a JID other than an authorized resource of the user …, the server MUST return a
        <forbidden/> error"; be there such an account or not.
        """
        payload = stanza.payload
        if payload is None or stanza.type not in ("get", "set") or stanza.to is None or stanza.to.resource:
            return None
        asks = payload.ns in (ns.DISCO_INFO, ns.DISCO_ITEMS) and payload.get("node") == ns.OFFLINE
        if (asks or payload.ns == ns.OFFLINE) and (stanza.sender is None or stanza.sender.bare != account):
            raise StanzaError(Condition.FORBIDDEN)
        return None

    @hooks.disco_sm_identity
    def identity(self, account: JID, who: JID, node: str) -> list[caps.Identity]:
        return [caps.Identity("automation", "message-list")] if node == ns.OFFLINE and who.bare == account else []

    @hooks.disco_sm_features
    def node_features(self, account: JID, who: JID, node: str) -> list[str]:
        return [ns.OFFLINE] if node == ns.OFFLINE and who.bare == account else []

    @hooks.disco_sm_info
    async def number(self, account: JID, who: JID, node: str) -> list[forms.Form]:
        """§2.2: "it MUST include Service Discovery Extensions (XEP-0128) data specifying the number of messages"."""
        if node != ns.OFFLINE or who.bare != account:
            return []
        return [await self.retrieval.number(who)]

    @hooks.disco_sm_items
    async def headers(self, account: JID, who: JID, node: str) -> list[Element]:
        """§2.3: "The server now MUST return headers for all of the user's offline messages."."""
        if node != ns.OFFLINE or who.bare != account:
            return []
        return await self.retrieval.headers(who)

    @iq_get(ns.OFFLINE, "offline", on=("account",), detached=True)
    async def fetch(self, iq: IQ) -> None:
        """§2.4, §2.6: some messages, or all."""
        await self.retrieval.fetch(iq)

    @iq_set(ns.OFFLINE, "offline", on=("account",))
    async def discard(self, iq: IQ) -> None:
        """§2.5, §2.7: some messages are removed, or all."""
        await self.retrieval.discard(iq)

    # -- for the operator ---------------------------------------------------------------------------------------------

    @command()
    async def get_offline_count(self, user: str, host: str) -> int:
        """How many messages wait for an account."""
        try:
            account = JID.build(user, host)
        except InvalidJID as error:
            raise CommandError(f"user: {error}") from None
        return await self.kept.count(str(account))

    @command()
    async def delete_expired_messages(self, host: str = "") -> int:
        """Remove messages that wait and have expired, of one host or of all; how many."""
        now = self.host.now()
        return await remove_where(self, host, lambda record: record.has_expired(now))

    @command()
    async def delete_old_messages(self, days: int, host: str = "") -> int:
        """Remove messages that have waited for more than so many days, of one host or of all; how many."""
        return await remove_where(self, host, older_than(self.host.now(), days))


def _is_id_by(child: Element, account: JID) -> bool:
    return child.name == "stanza-id" and child.ns == ns.SID and child.get("by") == account.text


def _is_slight(message: Message) -> bool:
    """XEP-0160 §3: "with the exception of messages that contain only Chat State Notifications (XEP-0085) content"."""
    return all(map(_says_nothing, message.element.elements()))


def _says_nothing(child: Element) -> bool:
    if child.ns == ns.MUC_USER:
        return child.first() is None  # XEP-0045 §7.5: that it comes from an occupant, not an invitation
    return child.ns in _SLIGHT or (child.ns == ns.CLIENT and child.name == "thread")
