"""What is kept of a password: the salted keys of SCRAM (RFC 5802 §3), one set for each hash."""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from federix.xmpp.sasl.passwords import InvalidPassword, prepare_password

HashName = Literal["SHA-1", "SHA-256", "SHA-512"]
HASH_NAMES: Final[tuple[HashName, ...]] = get_args(HashName)

#: RFC 5802 §5.1, RFC 7677 §4: "the hash iteration-count SHOULD be at least 4096".
MIN_ITERATIONS = 4096
#: About half a second of one core with SHA-512.
MAX_ITERATIONS = 1_000_000
#: Bytes of salt we make; others, in imported accounts, may have more or fewer.
SALT_LENGTH = 16
MAX_SALT_LENGTH = 256

_DIGEST_SIZES: Final[Mapping[HashName, int]] = {"SHA-1": 20, "SHA-256": 32, "SHA-512": 64}
_BASE64 = r"([A-Za-z0-9+/]+={0,2})"
_ENCODED = re.compile(rf"SCRAM-(SHA-1|SHA-256|SHA-512)\$([1-9][0-9]{{3,6}}):{_BASE64}\${_BASE64}:{_BASE64}")


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """The keys of one password under one hash; from them the password is only found by guessing.

    Raises `ValueError` when built with sizes or numbers that cannot be right.
    """

    hash_name: HashName
    salt: bytes = field(repr=False)
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        size = digest_size(self.hash_name)
        if len(self.stored_key) != size or len(self.server_key) != size:
            raise ValueError(f"keys of {self.hash_name} have {size} bytes")
        _check(self.salt, self.iterations)

    def encode(self) -> str:
        """One printable line, in the form of RFC 5803: ``SCRAM-SHA-256$4096:salt$stored_key:server_key``."""
        salt, stored, server = (b64encode(part).decode() for part in (self.salt, self.stored_key, self.server_key))
        return f"SCRAM-{self.hash_name}${self.iterations}:{salt}${stored}:{server}"

    @classmethod
    def decode(cls, text: str) -> ScramKeys:
        """The keys that `encode` wrote; raises `ValueError`, without the secret in its text."""
        match = _ENCODED.fullmatch(text)
        if match is None:
            raise ValueError("not an encoded set of SCRAM keys")
        name, iterations, *encoded = match.groups()
        salt, stored, server = (b64decode(part, validate=True) for part in encoded)
        return cls(hash_named(name), salt, int(iterations), stored, server)


class EncodedKeys(Mapping[HashName, ScramKeys]):
    """Keys as they were written by `ScramKeys.encode`, each decoded when it is asked for: a login needs one of them."""

    __slots__ = ("_encoded",)

    def __init__(self, encoded: Mapping[HashName, str]) -> None:
        self._encoded = encoded

    def __getitem__(self, name: HashName) -> ScramKeys:
        """Raises `ValueError` where what is written cannot be read, or is for another hash."""
        keys = ScramKeys.decode(self._encoded[name])
        if keys.hash_name != name:
            raise ValueError("keys of another hash")
        return keys

    def __iter__(self) -> Iterator[HashName]:
        return iter(self._encoded)

    def __len__(self) -> int:
        return len(self._encoded)

    def __contains__(self, name: object) -> bool:
        return name in self._encoded

    def __repr__(self) -> str:
        return f"<EncodedKeys {', '.join(self._encoded)}>"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the account store knows of one account's password: keys, or the password itself, or both."""

    scram: Mapping[HashName, ScramKeys] = field(default_factory=dict)
    plain: str | None = field(default=None, repr=False)

    @property
    def kinds(self) -> list[str]:
        """The mechanisms for which something is kept of its own: ``SCRAM-SHA-256``, ``PLAIN``."""
        return [f"SCRAM-{name}" for name in self.scram] + (["PLAIN"] if self.plain is not None else [])

    @classmethod
    def make(
        cls, password: str, hash_names: Iterable[HashName], iterations: int, random: Callable[[int], bytes]
    ) -> Credentials:
        """Keys for a new password, each with a fresh salt: `Decoys` look like accounts made this way.

        *random* gives that many random bytes. CPU-heavy, for an executor; raises `InvalidPassword`.
        """
        return cls({name: derive(password, name, random(SALT_LENGTH), iterations) for name in hash_names})


def hash_named(name: str) -> HashName:
    """*name* as one of the hashes we know; raises `ValueError`."""
    for known in HASH_NAMES:
        if known == name:
            return known
    raise ValueError(f"unknown hash: {name}")


def algorithm(hash_name: HashName) -> str:
    """The name that hashlib and hmac have for it."""
    return hash_name.replace("-", "").lower()


def digest_size(hash_name: HashName) -> int:
    """In bytes."""
    return _DIGEST_SIZES[hash_name]


def derive(password: str, hash_name: HashName, salt: bytes, iterations: int) -> ScramKeys:
    """The keys of *password* (RFC 5802 §3).

    CPU-heavy (some 2.5 ms for 10 000 iterations of SHA-256): the caller runs it in an executor. Raises
    `InvalidPassword` for what no profile allows, and `ValueError` for a salt or a count out of bounds.
    """
    _check(salt, iterations)
    name = algorithm(hash_name)
    salted = hashlib.pbkdf2_hmac(name, prepare_password(password).encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", name)
    stored_key = hashlib.new(name, client_key).digest()
    return ScramKeys(hash_name, salt, iterations, stored_key, hmac.digest(salted, b"Server Key", name))


def matches(keys: ScramKeys, password: str) -> bool:
    """Is *password* the one *keys* were made from? One `derive`, compared in constant time."""
    try:
        derived = derive(password, keys.hash_name, keys.salt, keys.iterations)
    except InvalidPassword:
        return False
    return hmac.compare_digest(derived.stored_key, keys.stored_key)


def _check(salt: bytes, iterations: int) -> None:
    if not 1 <= len(salt) <= MAX_SALT_LENGTH:
        raise ValueError(f"a salt has 1 to {MAX_SALT_LENGTH} bytes")
    if not MIN_ITERATIONS <= iterations <= MAX_ITERATIONS:
        raise ValueError(f"iterations: {MIN_ITERATIONS} to {MAX_ITERATIONS}")
