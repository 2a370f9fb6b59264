"""Look-alike keys for accounts that do not exist.

SCRAM shows salt and iterations before anything is proved. An unknown user therefore gets a salt too, the same one each
time, and goes on to fail exactly where a wrong password fails.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from federix.xmpp.sasl.credentials import SALT_LENGTH, HashName, ScramKeys, digest_size

MIN_SECRET = 16
MAX_SECRET = hashlib.blake2b.MAX_KEY_SIZE
#: The hash a PLAIN password is checked with, where accounts have a choice: the cheapest sound one first.
PLAIN_ORDER: tuple[HashName, ...] = ("SHA-256", "SHA-512", "SHA-1")


class Decoys:
    """Keys for unknown users, made from a *secret* of the server.

    The secret has to outlive restarts and be the same on all nodes, else decoys are recognised by their changing salts.
    *iterations* is what most accounts have. *kept* names the hashes whose keys *every* account keeps: a login with one
    of these costs no derivation. A login with any other hash (all of them, where passwords are kept in the clear) costs
    exactly one, for known and unknown users alike.
    """

    def __init__(self, secret: bytes, iterations: int, kept: Collection[HashName]) -> None:
        if not MIN_SECRET <= len(secret) <= MAX_SECRET:
            raise ValueError(f"the secret has {MIN_SECRET} to {MAX_SECRET} bytes")
        self._secret = secret
        self._iterations = iterations
        self._kept = frozenset(kept)
        self.keys("", "SHA-1")  # an impossible number of iterations shows now, not at the first login

    def keys(self, account: str, hash_name: HashName) -> ScramKeys:
        """Keys for *account* (a bare JID: on another host the same name needs another salt). No password fits them."""
        size = digest_size(hash_name)
        return ScramKeys(
            hash_name,
            self._bytes("salt", account, hash_name)[:SALT_LENGTH],
            self._iterations,
            self._bytes("stored key", account, hash_name)[:size],
            self._bytes("server key", account, hash_name)[:size],
        )

    def encoded(self, account: str, hash_name: HashName) -> str:
        """`keys`, written as those of an account are kept: reading them takes as long."""
        return self.keys(account, hash_name).encode()

    def derives(self, hash_name: HashName) -> bool:
        """Does every login with this hash cost a derivation?"""
        return hash_name not in self._kept

    def plain_hash(self, account: str) -> HashName:
        """The hash with which PLAIN is checked for *account* (a bare JID).

        Where no hash is common to all accounts they differ in it, and with it in time: so do those that do not exist.
        """
        common = next((name for name in PLAIN_ORDER if name in self._kept), None)
        if common is not None:
            return common
        return PLAIN_ORDER[self._bytes("plain", account, PLAIN_ORDER[0])[0] % len(PLAIN_ORDER)]

    def _bytes(self, purpose: str, account: str, hash_name: HashName) -> bytes:
        # Keyed BLAKE2 (RFC 7693 §2.9) does what HMAC does, in a tenth of the time; a decoy is made at every login.
        return hashlib.blake2b(f"{purpose}\0{hash_name}\0{account}".encode(), key=self._secret).digest()
