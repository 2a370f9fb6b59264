"""The accounts of a host: made, checked, changed, removed."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..storage.accounts import Account
from ..storage.codec import BYTES
from ..storage.shapes import Document
from ..xmpp.errors import Condition, StanzaError, StreamCondition, StreamError
from ..xmpp.jid import JID, InvalidJID, prepare_local
from ..xmpp.sasl import (
    Credentials,
    Decoys,
    HashName,
    InvalidPassword,
    ScramKeys,
    matches,
    prepare_password,
)
from . import hooks

if TYPE_CHECKING:
    from .host import Host

PLAIN: Final = "PLAIN"
_SCRAM: Final = "SCRAM-"

#: What unknown users' salts are made of must outlive restarts, or they would be told by their changing.
_SECRET: Final = Document("decoys", BYTES)


@dataclass(frozen=True, slots=True)
class AccountPolicy:
    """What is kept of a password."""

    hashes: tuple[HashName, ...] = ("SHA-1", "SHA-256", "SHA-512")
    plain: bool = False
    iterations: int = 10_000


class Accounts:
    """The accounts of one host. Names are local parts, prepared here."""

    def __init__(self, host: Host, policy: AccountPolicy) -> None:
        self._host = host
        self.policy = policy
        self._decoys: Decoys | None = None
        self._secret = b""

    async def start(self) -> None:
        store = _SECRET.bind(self._host.storage)
        fresh = self._host.server.random_bytes(32)
        self._secret = (await store.update(self._host.name, lambda known: known or fresh)).after or fresh

    @property
    def decoys(self) -> Decoys:
        """Keys for users that do not exist, like those of users that do."""
        kept = () if self.policy.plain else self.policy.hashes
        return Decoys(self._secret, self.policy.iterations, kept)

    def _prepared(self, local: str) -> str:
        try:
            return prepare_local(local)
        except InvalidJID as error:
            raise StanzaError(Condition.JID_MALFORMED, str(error)) from None

    # -- asking ---------------------------------------------------------------------------------------------------

    async def exists(self, local: str) -> bool:
        return await self._host.storage.accounts.exists(local, self._host.name)

    async def credentials(self, local: str) -> Credentials | None:
        """What is kept of the password of *local* (a prepared local part)."""
        account = await self._host.storage.accounts.get(local, self._host.name)
        return None if account is None else _decoded(account.credentials)

    async def check_password(self, local: str, password: str) -> bool:
        """Whether the account exists and this is its password."""
        try:
            credentials = await self.credentials(prepare_local(local))
            prepared = prepare_password(password)
        except (InvalidJID, InvalidPassword):
            return False
        if credentials is None:
            return False
        if credentials.plain is not None:
            return hmac.compare_digest(credentials.plain.encode(), prepared.encode())
        for keys in credentials.scram.values():
            return await self._host.server.executor.run(matches, keys, password)
        return False

    async def names(self, *, limit: int, after: str = "") -> list[str]:
        """Up to *limit* local parts, ascending, those past *after*."""
        return await self._host.storage.accounts.names(self._host.name, limit=limit, after=after)

    async def count(self) -> int:
        return await self._host.storage.accounts.count(self._host.name)

    # -- changing -------------------------------------------------------------------------------------------------

    async def register(self, local: str, password: str) -> JID:
        """Make an account; `StanzaError`: jid-malformed, not-acceptable (the password), conflict (it exists)."""
        name = self._prepared(local)
        secrets = await self._secrets(password)
        account = Account(name, self._host.name, secrets, self._host.now())
        await self._host.storage.accounts.create(account)
        jid = JID(name, self._host.name)
        await hooks.register_user.tell(self._host.chains, jid)
        return jid

    async def set_password(self, local: str, password: str) -> None:
        """Change a password; `StanzaError`: item-not-found, not-acceptable."""
        secrets = await self._secrets(password)
        await self._host.storage.accounts.set_credentials(self._prepared(local), self._host.name, secrets)

    async def remove(self, local: str) -> bool:
        """Remove an account and all that is kept of it; whether there was one.

        Its sessions end first, then the modules hear (subscriptions are cancelled), then the stores forget, and the
        account itself goes last: what is interrupted can be done again.
        """
        name = self._prepared(local)
        if not await self.exists(name):
            return False
        for session in self._host.sessions.of(name):
            # XEP-0077 §3.2: a stream error of not-authorized ends the streams of an account that is gone.
            session.end(StreamError(StreamCondition.NOT_AUTHORIZED, "the account was removed"))
        jid = JID(name, self._host.name)
        await hooks.remove_user.tell(self._host.chains, jid)
        await self._host.storage.forget(str(jid))
        return await self._host.storage.accounts.delete(name, self._host.name)

    async def _secrets(self, password: str) -> Mapping[str, str]:
        try:
            prepared = prepare_password(password)
        except InvalidPassword as error:
            raise StanzaError(Condition.NOT_ACCEPTABLE, str(error)) from None
        policy = self.policy
        secrets: dict[str, str] = {PLAIN: prepared} if policy.plain else {}
        if policy.hashes:
            server = self._host.server
            made = await server.executor.run(
                Credentials.make, prepared, policy.hashes, policy.iterations, server.random_bytes
            )
            secrets.update({f"{_SCRAM}{name}": keys.encode() for name, keys in made.scram.items()})
        return secrets


def _decoded(secrets: Mapping[str, str]) -> Credentials:
    keys = [ScramKeys.decode(text) for kind, text in secrets.items() if kind.startswith(_SCRAM)]
    return Credentials({k.hash_name: k for k in keys}, secrets.get(PLAIN))
