"""Whose messages are kept: each account's preferences, at hand without asking storage."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from ...api import JID, Document, Element, Host, Message
from .preferences import PREFERENCES, UNSAID, Default, Preferences
from .worth import is_worth_keeping

#: Of how many accounts the preferences are remembered, those included that have none.
MOST_REMEMBERED: Final = 20_000

KEPT: Final = Document("mam", PREFERENCES)


class Wishes:
    """Decides what the archives of a host's accounts keep.

    *default* is for accounts that have said nothing. Where they are kept only *on_request*, an account that has never
    asked for its archive has none; `activate` is for one that does.
    """

    def __init__(self, host: Host, *, default: Default, on_request: bool) -> None:
        self._host = host
        self._kept = KEPT.bind(host.storage)
        self.default = default
        self.on_request = on_request
        #: By account; ``None`` for those that have none in storage. Who was asked about first is forgotten first.
        self._remembered: dict[str, Preferences | None] = {}
        #: The message that was looked at last, and whether any archive keeps it: that of its recipient asks as well.
        self._looked_at: Element | None = None
        self._is_worth = False
        #: Counts what makes answers of storage that are under way useless.
        self._changes = 0

    def __len__(self) -> int:
        """How many accounts' preferences are remembered."""
        return len(self._remembered)

    # -- on the way of a message --------------------------------------------------------------------------------------

    def wants(self, account: JID, peer: JID, message: Message, sent: bool) -> bool | Awaitable[bool]:
        """Whether *account* keeps this message to or from *peer*."""
        if message.element is not self._looked_at:
            self._looked_at, self._is_worth = message.element, is_worth_keeping(message)
        if not self._is_worth:
            return False
        try:
            preferences = self._remembered[account.text]
        except KeyError:
            return self._wants_later(account, peer, message, sent)
        if preferences is None:
            if self.on_request:
                return False
            if self.default != "roster":
                return self.default == "always"
        return self._judge(account, peer, message, sent, preferences or UNSAID)

    async def _wants_later(self, account: JID, peer: JID, message: Message, sent: bool) -> bool:
        preferences = await self._find(account)
        if preferences is None and self.on_request:
            return False
        judged = self._judge(account, peer, message, sent, preferences or UNSAID)
        return judged if isinstance(judged, bool) else await judged

    def _judge(
        self, account: JID, peer: JID, message: Message, sent: bool, preferences: Preferences
    ) -> bool | Awaitable[bool]:
        # XEP-0441 §2.3.2: "For outgoing messages, the server MUST use the value of the 'to' attribute as the target
        # JID", §2.3.3: for incoming ones "the value of the 'from' attribute".
        target = (message.to if sent else message.sender) or peer
        listed = preferences.listed(target)
        if listed is not None:
            return listed
        default = preferences.default or self.default
        if default == "roster":
            return self._is_contact(account, target)
        return default == "always"

    async def _is_contact(self, account: JID, target: JID) -> bool:
        """XEP-0441 §2.3.1: "the comparison MUST use the bare target JID"."""
        return await self._host.storage.rosters.item(account.text, target.bare.text) is not None

    # -- what accounts prefer -----------------------------------------------------------------------------------------

    async def of(self, account: JID) -> Preferences:
        """What *account* prefers."""
        return await self._find(account) or UNSAID

    async def said(self, account: JID) -> Preferences | None:
        """What is kept of them; ``None`` for an account that has never asked for its archive. Not remembered."""
        return await self._kept.get(account.text)

    async def set(self, account: JID, preferences: Preferences) -> None:
        """Keep them for *account*; they hold from now on."""
        await self._kept.put(account.text, preferences)
        self._changed(account, preferences)

    def _changed(self, account: JID, preferences: Preferences) -> None:
        self._changes += 1
        if not self._host.accounts.is_leaving(account.local):
            self._remember(account, preferences)

    async def activate(self, account: JID) -> None:
        """*account* has asked for its archive: where archives are kept only then, it has one from now on."""
        if self.on_request and await self._find(account) is None:
            # What it has said meanwhile stays.
            self._changed(account, await self._kept.put_new(account.text, UNSAID))

    def forget(self, account: JID) -> None:
        """The account is removed."""
        self._changes += 1
        self._remembered.pop(account.text, None)

    async def _find(self, account: JID) -> Preferences | None:
        key = account.text
        if key in self._remembered:
            return self._remembered[key]
        changes = self._changes
        preferences = await self._kept.get(key)
        # What has changed meanwhile is not overwritten by what was before.
        if changes == self._changes and not self._host.accounts.is_leaving(account.local):
            self._remember(account, preferences)
        return preferences

    def _remember(self, account: JID, preferences: Preferences | None) -> None:
        remembered = self._remembered
        if account.text not in remembered and len(remembered) >= MOST_REMEMBERED:
            del remembered[next(iter(remembered))]
        remembered[account.text] = preferences
