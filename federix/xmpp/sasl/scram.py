"""SCRAM: client and server prove to each other that they know the password; neither sends it (RFC 5802, RFC 7677)."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from federix.xmpp.errors import SaslCondition, SaslFailure
from federix.xmpp.sasl.accounts import Accounts, Challenge, Success, malformed, wrong_password
from federix.xmpp.sasl.bindings import announced
from federix.xmpp.sasl.credentials import Credentials, HashName, ScramKeys, algorithm, derive
from federix.xmpp.sasl.messages import ClientFinal, ClientFirst
from federix.xmpp.sasl.passwords import InvalidPassword

#: What is hashed for an unknown user, so that it takes as long.
STAND_IN = "stand-in for a password"


@dataclass(frozen=True, slots=True)
class Channel:
    """The connection as channel binding sees it: its values by type, and what the client was told and has chosen."""

    bindings: Mapping[str, bytes]
    plus_offered: bool
    is_plus: bool

    def expected(self, first: ClientFirst) -> bytes:
        """The ``c=`` attribute the client has to send at the end (§6); raises `SaslFailure` for a wrong flag."""
        if self.is_plus != (first.flag == "p"):
            raise malformed("channel binding goes with a -PLUS mechanism and only with it")
        if first.flag == "y" and self.plus_offered:
            # "this is an indication that there has been a downgrade attack": somebody took -PLUS out of our list.
            raise SaslFailure(SaslCondition.NOT_AUTHORIZED, "channel binding was offered")
        value = b""
        if first.binding is not None:
            value = self.bindings.get(first.binding, b"")
            if first.binding not in announced(self.bindings):
                raise SaslFailure(SaslCondition.NOT_AUTHORIZED, "unsupported channel binding type")
        return b64encode(first.gs2_header.encode() + value)


class Scram:
    """One exchange: `first`, then `final`. An unknown user takes the same steps with keys that no password fits."""

    def __init__(self, accounts: Accounts, hash_name: HashName, channel: Channel, nonce: Callable[[], str]) -> None:
        self._accounts = accounts
        self._hash_name = hash_name
        self._channel = channel
        self._make_nonce = nonce

    async def first(self, data: bytes) -> Challenge:
        """§3: the user name comes, salt and iterations go."""
        message = ClientFirst.parse(data)
        self._channel_binding = self._channel.expected(message)
        self._account, self._authzid = self._accounts.identify(message.username, message.authzid)
        # Whoever it is, a decoy is made and one set of keys is decoded: who measures must not learn who exists.
        decoy = self._accounts.decoys.encoded(str(self._account), self._hash_name)
        credentials = await self._accounts.lookup(self._account.local) or Credentials()
        self._keys = credentials.scram.get(self._hash_name)
        self._password = credentials.plain if self._keys is None else None
        # Keys made on the fly take the salt of the decoy: it must be the same at every login.
        self._shown = self._keys or ScramKeys.decode(decoy)
        self._nonce = message.nonce + self._make_nonce()
        salt = b64encode(self._shown.salt).decode()
        reply = f"r={self._nonce},s={salt},i={self._shown.iterations}"
        self._transcript = f"{message.bare},{reply}"
        return Challenge(reply.encode())

    async def final(self, data: bytes) -> Success:
        """§3: the client's proof comes, ours goes."""
        message = ClientFinal.parse(data)
        # §5.1: "The server MUST verify that the nonce sent by the client in the second message is the same".
        if not hmac.compare_digest(message.nonce.encode(), self._nonce.encode()):
            raise wrong_password()
        # §6: "The server MUST always validate the client's "c=" field."
        if not hmac.compare_digest(message.channel_binding.encode(), self._channel_binding):
            raise wrong_password()
        keys = await self._derived()
        signed = f"{self._transcript},{message.without_proof}".encode()
        proved = _proves(message.proof, keys or self._shown, signed)
        if not proved or keys is None:
            raise wrong_password()
        signature = hmac.digest(keys.server_key, signed, algorithm(self._hash_name))
        return Success(self._account.local, self._authzid, b"v=" + b64encode(signature))

    async def _derived(self) -> ScramKeys | None:
        """The keys of the account, None if it has none: made now where only the password is kept.

        With `Decoys.derives` everybody pays for one derivation, so that nobody can be told apart by it.
        """
        if self._password is None and not self._accounts.decoys.derives(self._hash_name):
            return self._keys
        password = STAND_IN if self._password is None else self._password
        made = await self._accounts.in_executor(_like, self._shown, password)
        return self._keys if self._password is None else made


def _like(shown: ScramKeys, password: str) -> ScramKeys | None:
    """Keys with the salt and iterations of *shown*; None if nobody can log in with such a password."""
    try:
        return derive(password, shown.hash_name, shown.salt, shown.iterations)
    except InvalidPassword:
        derive(STAND_IN, shown.hash_name, shown.salt, shown.iterations)
        return None


def _proves(proof: bytes, keys: ScramKeys, signed: bytes) -> bool:
    """§3: does *proof* come from somebody who has the client key? The server keeps only a hash of it."""
    name = algorithm(keys.hash_name)
    signature = hmac.digest(keys.stored_key, signed, name)
    if len(proof) != len(signature):
        return False
    client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
    return hmac.compare_digest(hashlib.new(name, client_key).digest(), keys.stored_key)
