"""XEP-0313: Message Archive Management -- keep what people say, and let their clients ask for it.

Reading begins here: the module, its options, what is asked of it. Which messages are kept is told by `worth.py`,
`preferences.py` (XEP-0441) and `wishes.py`; the core keeps them, before it delivers them. How archives are asked is
in `query.py`, `pages.py` and `answers.py`, what goes again in `retention.py`.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ...api import (
    IQ,
    JID,
    AccessRule,
    ArchiveIds,
    CommandError,
    Condition,
    Element,
    Handled,
    InvalidJID,
    Message,
    Module,
    Outcome,
    Portable,
    Slot,
    Span,
    StanzaError,
    Xep,
    command,
    delay,
    hooks,
    iq_get,
    iq_set,
    ns,
    option,
)
from .answers import Answers
from .moving import PortableArchive, PortablePreferences
from .preferences import Default, Preferences
from .query import MICROSECONDS, Query, form
from .retention import Limits, Retention
from .wishes import Wishes

#: §7: what an archive offers beyond ``urn:xmpp:mam:2``, which its handlers imply. Messages of rooms are in the archives
#: of rooms: the field for them is understood, but they are not available here.
EXTENDED: Final = f"{ns.MAM}#extended"
GROUPCHAT_FIELD: Final = f"{ns.MAM}#groupchat-field"

DAY: Final = 86400.0


class MessageArchive(Module):
    """Keeps the messages of each account, and answers when its clients ask for them."""

    name = "mod_mam"
    implements = (
        Xep(313, "1.1.3", "accounts; not rooms and nodes"),
        Xep(59, "1.0", "for archives; not by index"),
        Xep(203, "2.0", "for archived messages"),
        Xep(297, "1.0"),
        Xep(334, "1.0.0", "no-store, no-permanent-store, store"),
        Xep(359, "0.7.0"),
        Xep(441, "0.2.0", "without ad-hoc commands"),
    )

    @dataclass(frozen=True)
    class Options(Module.Options):
        """Settings of mod_mam."""

        default: Default = option(
            "always", "Whose messages are kept for accounts that have said nothing: `roster` are those of contacts."
        )
        request_activates_archiving: bool = option(
            False, "Keep nothing for an account before its client has asked for the archive once."
        )
        assume_mam_usage: bool = option(
            False, "Do not deliver again what a client did not acknowledge, where its archive keeps it."
        )
        access_preferences: AccessRule = option(
            AccessRule("all"), "Who may change which messages are kept for their account."
        )
        default_page: int = option(50, "Messages of one page where a client does not say how many.", minimum=1)
        max_page: int = option(250, "Most messages of one page, whatever a client says.", minimum=1, maximum=5000)
        max_age: float = option(
            math.inf, "How long messages are kept. Older ones go within an hour.", unit="s", minimum=60, infinity=True
        )
        max_messages: int | None = option(
            1_000_000,
            "Messages in one archive; where there are more, the oldest go within a day.",
            minimum=1,
            infinity=True,
        )
        max_size: int | None = option(
            None,
            "Size of one archive; where it is larger, the oldest messages go within a day.",
            unit="bytes",
            minimum=1,
            infinity=True,
        )

    options: Options

    async def on_start(self) -> None:
        options = self.options
        self.wishes = Wishes(self.host, default=options.default, on_request=options.request_activates_archiving)
        self._answers = Answers(self.host, self.scope)
        self.retention = Retention(self.host, self.scope, _limits(options))
        self.host.archive = self
        self.scope.add(self._withdraw)

    def _withdraw(self) -> None:
        if self.host.archive is self:
            self.host.archive = None

    def reconfigure(self, old: Options, new: Options) -> None:
        self.wishes.default = new.default
        self.wishes.on_request = new.request_activates_archiving
        self.retention.limits = _limits(new)

    def portables(self) -> Sequence[Portable]:
        return (PortableArchive(self.host), PortablePreferences(self.wishes))

    # -- what is kept -------------------------------------------------------------------------------------------------

    def wants(self, account: JID, peer: JID, message: Message, sent: bool) -> bool | Awaitable[bool]:
        """Whether *account* keeps this message to or from *peer*: asked by the core, for each."""
        return self.wishes.wants(account, peer, message, sent)

    @property
    def assumes_usage(self) -> bool:
        """Whether clients are expected to fetch what they missed."""
        return self.options.assume_mam_usage

    @hooks.remove_user
    def removed(self, account: JID) -> None:
        """The archive itself is forgotten with the account."""
        self.wishes.forget(account)

    # -- who may ask --------------------------------------------------------------------------------------------------

    @hooks.sm_receive_packet.only(IQ, Slot.CHECK)
    def check(self, account: JID, stanza: IQ) -> Outcome:
        """§8.1: "If a client requests access to an archive it does not have permissions for the server MUST return an
        iq with type error, and the error condition SHOULD be 'forbidden'": that of an account that is not there, too.
        """
        payload, sender = stanza.payload, stanza.sender
        if payload is None or payload.ns != ns.MAM or stanza.type not in ("get", "set"):
            return None
        if stanza.to is None or stanza.to.resource or (sender is not None and sender.bare == account):
            return None
        raise StanzaError(Condition.FORBIDDEN)

    @hooks.disco_sm_features
    def features_of_account(self, account: JID, who: JID, node: str) -> list[str]:
        """§7: "MUST advertise the 'urn:xmpp:mam:2' and 'urn:xmpp:mam:2#extended' features in response to … requests
        made to archiving JIDs"; XEP-0359 §5: who follows its rules "SHOULD announce" them.
        """
        return [] if node else [EXTENDED, GROUPCHAT_FIELD, ns.SID]

    # -- queries ------------------------------------------------------------------------------------------------------

    @iq_get(ns.MAM, "query", on=("account",))
    async def fields(self, iq: IQ) -> Element:
        """§4.1.5: "The server replies with all the form fields it supports in queries"."""
        await self.wishes.activate(_account(iq))
        return Element("query", ns.MAM, form())

    @iq_set(ns.MAM, "query", on=("account",), detached=True)
    async def query(self, iq: IQ) -> Handled:
        """§4: results, and then the answer."""
        assert iq.payload is not None
        query = Query.parse(iq.payload, self.host.server.archive_ids)
        await self.wishes.activate(_account(iq))
        options = self.options
        size = options.default_page if query.max is None else query.max
        return await self._answers.answer(iq, query, min(size, options.max_page))

    @iq_get(ns.MAM, "metadata", on=("account",))
    async def metadata(self, iq: IQ) -> Element:
        """§5: the first and the last message; "If the archive is empty, the server MUST instead send an empty
        <metadata/> element."
        """
        account = _account(iq)
        await self.wishes.activate(account)
        ends = await self.storage.archives.ends(account.text)
        if ends is None:
            return Element("metadata", ns.MAM)
        archive_ids = self.host.server.archive_ids
        told = (_end(name, archive_ids, id) for name, id in zip(("start", "end"), ends, strict=True))
        return Element("metadata", ns.MAM, *told)

    # -- preferences --------------------------------------------------------------------------------------------------

    @iq_get(ns.MAM, "prefs", on=("account",))
    async def preferences(self, iq: IQ) -> Element:
        account = _account(iq)
        await self.wishes.activate(account)
        return (await self.wishes.of(account)).to_element(self.options.default)

    @iq_set(ns.MAM, "prefs", on=("account",))
    async def prefer(self, iq: IQ) -> Element:
        """XEP-0441 §2.1: "The server then replies with the applied preferences"."""
        assert iq.payload is not None
        if not self.host.allows(self.options.access_preferences, iq.sender):
            raise StanzaError(Condition.FORBIDDEN, "you may not change what is archived")
        wanted = Preferences.parse(iq.payload)
        await self.wishes.set(_account(iq), wanted)
        return wanted.to_element(self.options.default)

    # -- commands -----------------------------------------------------------------------------------------------------

    @command()
    async def delete_old_mam_messages(
        self, type: Literal["all", "chat", "groupchat"], days: int, host: str = ""
    ) -> dict[str, int]:
        """Remove messages that are older than DAYS from the archives of HOST, or of all hosts.

        TYPE is chat, groupchat or all: accounts keep chat, rooms keep groupchat.
        """
        if days < 0:
            raise CommandError("a number of days is never below 0")
        archives = [self] if host else self._everywhere()
        if type == "groupchat":
            return {archive.host.name: 0 for archive in archives}
        old = Limits(age=days * DAY)
        return {archive.host.name: await archive.retention.apply(old) for archive in archives}

    def _everywhere(self) -> list[MessageArchive]:
        """This module on all hosts."""
        hosts = [self.host] if self.host.parent is None else list(self.host.parent.children.values())
        found = (host.find(MessageArchive) for host in hosts if isinstance(host, type(self.host)))
        return [archive for archive in found if archive is not None]

    @command()
    async def remove_mam_for_user(self, user: str, host: str) -> dict[str, int]:
        """Remove all that the archive of an account holds."""
        return await self._remove(user, Span())

    @command()
    async def remove_mam_for_user_with_peer(self, user: str, host: str, peer: str) -> dict[str, int]:
        """Remove from the archive of an account what it holds of one contact: with a bare JID, of all its clients.

        Ids of what is removed are unknown afterwards: a client that goes on from one of them is answered with
        item-not-found, and has to begin anew.
        """
        # XEP-0313 §3.2 would have them known: "servers MUST retain the UID, timestamp and JID of the original message
        # internally". An operator who removes what two have said wants nothing of it retained; so does ejabberd's
        # command of this name.
        try:
            other = JID.parse(peer)
        except InvalidJID as error:
            raise CommandError(f"{peer} is not an address: {error}") from None
        return await self._remove(user, Span(peer=other.bare.text, resource=other.resource or None))

    async def _remove(self, user: str, span: Span) -> dict[str, int]:
        try:
            account = JID.build(user, self.host.name)
        except InvalidJID as error:
            raise CommandError(f"{user} is not the name of an account: {error}") from None
        return {"removed": await self.retention.remove(account.text, span)}


def _account(iq: IQ) -> JID:
    """Whose archive it is about: its sender's own, as `check` has seen to."""
    assert iq.to is not None
    return iq.to.bare


def _end(name: str, ids: ArchiveIds, id: int) -> Element:
    """§5: "which each have an 'id' and XEP-0082 formatted 'timestamp'"."""
    return Element(name, ns.MAM, attrs={"id": ids.encode(id), "timestamp": delay.stamp(id / MICROSECONDS)})


def _limits(options: MessageArchive.Options) -> Limits:
    return Limits(options.max_age, options.max_messages, options.max_size)
