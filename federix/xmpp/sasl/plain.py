"""PLAIN: the client sends the password (RFC 4616). Only ever inside TLS."""

from __future__ import annotations

import hmac

from federix.xmpp.sasl.accounts import Accounts, Success, decode_text, malformed, wrong_password
from federix.xmpp.sasl.credentials import Credentials, HashName, ScramKeys, matches
from federix.xmpp.sasl.decoys import PLAIN_ORDER
from federix.xmpp.sasl.passwords import InvalidPassword, prepare_password


class Plain:
    """The one message of PLAIN. Whoever the user is, it costs one derivation."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def first(self, data: bytes) -> Success:
        """§2: ``[authzid] NUL authcid NUL passwd``."""
        parts = decode_text(data).split("\0")
        if len(parts) != 3 or not parts[1] or not parts[2]:
            raise malformed("not a PLAIN message")
        authzid, name, password = parts
        account, acting_as = self._accounts.identify(name, authzid)
        decoys = self._accounts.decoys
        hash_name = decoys.plain_hash(str(account))
        decoy = decoys.encoded(str(account), hash_name)
        credentials = await self._accounts.lookup(account.local)
        keys = None if credentials is None else _keys(credentials, hash_name)
        stored = None if credentials is None or keys is not None else credentials.plain
        if not await self._accounts.in_executor(_fits, password, keys, stored, keys or ScramKeys.decode(decoy)):
            raise wrong_password()
        if credentials is not None and self._accounts.proved is not None:
            self._accounts.proved(account.local, password, credentials)
        return Success(account.local, acting_as, None)


def _keys(credentials: Credentials, hash_name: HashName) -> ScramKeys | None:
    """The keys to check with: those of *hash_name*, the decoy's, where there are such, so that both take as long."""
    for name in (hash_name, *PLAIN_ORDER):
        if keys := credentials.scram.get(name):
            return keys
    return None


def _fits(password: str, keys: ScramKeys | None, stored: str | None, shown: ScramKeys) -> bool:
    """Is it the password? A derivation runs in every case, even where its result is of no use."""
    fits = matches(shown, password)
    if keys is not None:
        return fits
    if stored is None:
        return False
    try:
        return hmac.compare_digest(prepare_password(stored).encode(), prepare_password(password).encode())
    except InvalidPassword:
        return False
