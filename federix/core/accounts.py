"""The accounts of a host: made, checked, changed, removed."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from ..life.together import together
from ..storage.accounts import Account, AccountExists, NoSuchAccount
from ..storage.codec import BYTES
from ..storage.shapes import Document
from ..xmpp.errors import Condition, StanzaError, StreamCondition, StreamError
from ..xmpp.jid import JID, InvalidJID, prepare_local
from ..xmpp.sasl import (
    HASH_NAMES,
    PLAIN,
    Credentials,
    Decoys,
    EncodedKeys,
    HashName,
    InvalidPassword,
    ScramKeys,
    matches,
    prepare_password,
)
from . import hooks
from .logins import Logins
from .password_forms import SCRAM, CommonForms, Forms
from .portable import Arrival, Arrived, NotTaken

if TYPE_CHECKING:
    from .host import Host

log = Logger()

#: What unknown users' salts are made of must outlive restarts, or they would be told by their changing.
_SECRET: Final = Document("decoys", BYTES)
#: What is read where there is no account.
_NOBODYS: Final = dict.fromkeys([SCRAM + name for name in HASH_NAMES], "")


@dataclass(frozen=True, slots=True)
class AccountPolicy:
    """What is kept of a password."""

    hashes: tuple[HashName, ...] = ("SHA-1", "SHA-256", "SHA-512")
    plain: bool = False
    iterations: int = 10_000

    @property
    def forms(self) -> Forms:
        keys = frozenset(self.hashes)
        return Forms(keys, frozenset(HASH_NAMES) if self.plain else keys)


@dataclass(frozen=True, slots=True)
class Newcomer:
    """An account that comes from elsewhere, with its name (prepared), and what is known of its password."""

    local: str
    password: str | None = field(default=None, repr=False)
    keys: Sequence[ScramKeys] = ()

    @property
    def has_secrets(self) -> bool:
        return self.password is not None or bool(self.keys)


@dataclass(slots=True)
class _Offered:
    """What *common* forms and *policy* allow: the *forms* every account has, and decoys that look like them."""

    common: Forms
    policy: AccountPolicy
    forms: Forms
    decoys: Decoys | None = None


class Accounts:
    """The accounts of one host. Names are local parts, prepared here. *logins* are those under way."""

    def __init__(self, host: Host, policy: AccountPolicy) -> None:
        self._host = host
        self._policy = policy
        self._common = CommonForms()
        self.logins = Logins()
        self._secret = b""
        self._offered: _Offered | None = None
        #: Names whose removal is under way: bounded by the removals that run.
        self._leaving: set[str] = set()

    async def start(self) -> None:
        """Called by the host: read what decoys are made of, and look which forms of passwords all accounts have."""
        store = _SECRET.bind(self._host.storage)
        self._offered = None
        known = await store.get(self._host.name)
        self._secret = known or await store.put_new(self._host.name, self._host.server.random_bytes(32))
        await self._common.start(self._host.storage, self._host.name)
        self._look()

    @property
    def policy(self) -> AccountPolicy:
        """What is kept of passwords that are set from now on."""
        return self._policy

    @policy.setter
    def policy(self, policy: AccountPolicy) -> None:
        self._policy = policy
        self._look()

    def _look(self) -> None:
        if not self.policy.forms <= self._common.now:
            self._host.scope.spawn(self._look_at_all())

    async def _look_at_all(self) -> None:
        await self._common.look(self.policy.forms)
        lacking = self.policy.forms.usable - self.hashes
        if lacking:
            log.warn(
                "{host}: not offered because accounts from before lack it: {mechanisms}. Their passwords are kept in"
                " the present forms after a login with PLAIN or when they are set; a start or reload looks again",
                host=self._host.name,
                mechanisms=", ".join(sorted(SCRAM + name for name in lacking)),
            )

    @property
    def hashes(self) -> frozenset[HashName]:
        """Those with which every account there is can be checked."""
        return self._now.forms.usable

    @property
    def decoys(self) -> Decoys:
        """Keys for users that do not exist, like those of users that do."""
        now = self._now
        if now.decoys is None:
            now.decoys = Decoys(self._secret, now.policy.iterations, now.forms.keys)
        return now.decoys

    @property
    def _now(self) -> _Offered:
        """Made anew when what it is made of is another: each login asks for it several times."""
        offered, common, policy = self._offered, self._common.now, self._policy
        if offered is None or offered.common is not common or offered.policy is not policy:
            offered = self._offered = _Offered(common, policy, common & policy.forms)
        return offered

    def _prepared(self, local: str) -> str:
        try:
            return prepare_local(local)
        except InvalidJID as error:
            raise StanzaError(Condition.JID_MALFORMED, str(error)) from None

    # -- asking ---------------------------------------------------------------------------------------------------

    def is_leaving(self, local: str) -> bool:
        """Whether *local* (prepared) is being removed: nobody logs in, nothing is kept, and the name is not free."""
        return local in self._leaving

    async def exists(self, local: str) -> bool:
        """Whether there is an account *local* (prepared) that is not being removed."""
        return not self.is_leaving(local) and await self._host.storage.accounts.exists(local, self._host.name)

    async def credentials(self, local: str) -> Credentials | None:
        """What is kept of the password of *local* (a prepared local part). Who logs in asks `logins` to begin first."""
        if self.is_leaving(local):
            return None
        account = await self._host.storage.accounts.get(local, self._host.name)
        # For nobody as much is done as for somebody: who measures must not learn who exists.
        credentials = _read(_NOBODYS if account is None else account.credentials)
        return None if account is None else credentials

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
        """How many accounts there are."""
        return await self._host.storage.accounts.count(self._host.name)

    async def secrets(self, local: str) -> Mapping[str, str] | None:
        """All that is kept of the password of *local* (prepared), as storage has it: for who takes it elsewhere."""
        account = None if self.is_leaving(local) else await self._host.storage.accounts.get(local, self._host.name)
        return None if account is None else account.credentials

    # -- changing -------------------------------------------------------------------------------------------------

    async def register(self, local: str, password: str) -> JID:
        """Make an account; `StanzaError`: jid-malformed, not-acceptable (the password), conflict (it exists)."""
        name = self._prepared(local)
        secrets = await self._secrets(password)
        account = Account(name, self._host.name, secrets, self._host.now())
        async with self._common.writing(Forms.of(secrets)):
            if self.is_leaving(name):
                raise AccountExists
            await self._host.storage.accounts.create(account)
        jid = JID(name, self._host.name)
        await hooks.register_user.tell(self._host.chains, jid)
        return jid

    async def set_password(self, local: str, password: str) -> None:
        """Change a password; `StanzaError`: item-not-found, not-acceptable.

        Sessions stay. What has not become one yet must show the new password.
        """
        name = self._prepared(local)
        secrets = await self._secrets(password)
        async with self._common.writing(Forms.of(secrets)):
            if self.is_leaving(name):
                raise NoSuchAccount
            await self._host.storage.accounts.set_credentials(name, self._host.name, secrets)
        self.logins.refuse(name, StreamError(StreamCondition.NOT_AUTHORIZED, "the password was changed"))

    async def bring(self, newcomers: Sequence[Newcomer], *, overwrite: bool) -> Sequence[Arrival]:
        """Make accounts that come from elsewhere, all together; of those that exist, *overwrite* the passwords.

        One without a password gets one that nobody knows: until it is set, nobody can log in.
        """
        existing = self._host.storage.accounts
        there = await together(existing.exists(each.local, self._host.name) for each in newcomers)
        making: list[tuple[int, Mapping[str, str]]] = []
        arrivals: list[Arrival] = [Arrived.THERE] * len(newcomers)
        for place, (newcomer, is_there) in enumerate(zip(newcomers, there, strict=True)):
            if is_there and not (overwrite and newcomer.has_secrets):
                continue
            try:
                making.append((place, await self._secrets_of(newcomer)))
            except StanzaError as error:
                arrivals[place] = NotTaken.because(error)
        if not making:
            return arrivals
        in_common = reduce(and_, (Forms.of(secrets) for _, secrets in making))
        async with self._common.writing(in_common):
            working = (self._bring(newcomers[place], there[place], secrets) for place, secrets in making)
            for (place, _), arrival in zip(making, await together(working), strict=True):
                arrivals[place] = arrival
        for newcomer, arrival in zip(newcomers, arrivals, strict=True):
            if arrival is Arrived.ADDED:
                await hooks.register_user.tell(self._host.chains, JID(newcomer.local, self._host.name))
        return arrivals

    async def _bring(self, newcomer: Newcomer, is_there: bool, secrets: Mapping[str, str]) -> Arrival:
        local, host = newcomer.local, self._host.name
        if self.is_leaving(local):
            return NotTaken("the account is being removed")
        try:
            if is_there:
                await self._host.storage.accounts.set_credentials(local, host, secrets)
                self.logins.refuse(local, StreamError(StreamCondition.NOT_AUTHORIZED, "the password was changed"))
                return Arrived.REPLACED
            await self._host.storage.accounts.create(Account(local, host, secrets, self._host.now()))
        except StanzaError as error:
            return NotTaken.because(error)
        return Arrived.ADDED

    async def _secrets_of(self, newcomer: Newcomer) -> Mapping[str, str]:
        """What is kept of it: the keys it brings, and what its password makes in the present forms."""
        brought = {f"{SCRAM}{keys.hash_name}": keys.encode() for keys in newcomer.keys}
        password = newcomer.password
        if password is None:
            return brought or await self._secrets(self._host.server.token())
        if self.policy.forms.keys <= Forms.of(brought).keys:
            try:
                return {**brought, PLAIN: prepare_password(password)} if self.policy.plain else brought
            except InvalidPassword as error:
                raise StanzaError(Condition.NOT_ACCEPTABLE, str(error)) from None
        return {**await self._secrets(password), **brought}

    def proved(self, local: str, password: str, credentials: Credentials) -> None:
        """Somebody has shown the *password* of an account, of which *credentials* are kept.

        Where these lack a form that is wanted today, it is kept anew as if it were set now, beside the login.
        """
        if not self.policy.forms <= Forms.of(credentials.kinds):
            self._host.scope.spawn(self._renew(local, password, credentials))

    async def _renew(self, local: str, password: str, old: Credentials) -> None:
        secrets = await self._secrets(password)
        accounts = self._host.storage.accounts
        async with self._common.writing(Forms.of(secrets)):
            account = await accounts.get(local, self._host.name)
            # Meanwhile the password may have been changed, or the account be another.
            if account is None or self.is_leaving(local) or _read(account.credentials) != old:
                return
            await accounts.set_credentials(local, self._host.name, secrets)
        log.info("password kept in the present forms", account=str(JID(local, self._host.name)))

    async def remove(self, local: str) -> bool:
        """Remove an account and all that is kept of it; whether there was one that nobody else is removing.

        Its sessions end first, then the modules hear (subscriptions are cancelled), then the stores forget, and the
        account itself goes last: what is interrupted can be done again. Until all is done nobody logs in under the
        name, and nobody registers it.
        """
        name = self._prepared(local)
        if not await self.exists(name) or self.is_leaving(name):
            return False
        self._leaving.add(name)
        try:
            return await self._remove(JID(name, self._host.name))
        finally:
            self._leaving.discard(name)

    async def _remove(self, jid: JID) -> bool:
        storage = self._host.storage
        self._shut_out(jid.local)
        away = await hooks.remove_user.tell(self._host.chains, jid)
        if away is not None:
            # What was to be told others is not known when all is forgotten: its contacts would see the next owner.
            log.error("account not removed: {reason}; it may be tried again", account=str(jid), reason=away.reason)
            raise away
        await storage.forget(str(jid))
        removed = await storage.accounts.delete(jid.local, jid.domain)
        returning = self._host.sessions.returns.after(jid.local)
        if returning is not None:
            await returning
        # What was being done for its sessions when they ended may have been written since: the next owner of the name
        # must not find it.
        await storage.forget(str(jid))
        self._shut_out(jid.local)
        return removed

    def _shut_out(self, local: str) -> None:
        # XEP-0077 §3.2: a stream error of not-authorized ends the streams of an account that is gone.
        gone = StreamError(StreamCondition.NOT_AUTHORIZED, "the account was removed")
        for session in self._host.sessions.of(local):
            session.end(gone)
        self.logins.refuse(local, gone)

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
            secrets.update({f"{SCRAM}{name}": keys.encode() for name, keys in made.scram.items()})
        return secrets


def _read(secrets: Mapping[str, str]) -> Credentials:
    encoded = {name: secrets[SCRAM + name] for name in HASH_NAMES if SCRAM + name in secrets}
    return Credentials(EncodedKeys(encoded), secrets.get(PLAIN))
