"""Both sides of a login, without network or event loop."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, ParamSpec, TypeVar
from unittest import mock

from federix.xmpp.errors import SaslCondition, SaslFailure
from federix.xmpp.sasl import Challenge, Credentials, Decoys, Exchange, HashName, ScramKeys, Success, derive
from federix.xmpp.sasl.credentials import algorithm

P = ParamSpec("P")
T = TypeVar("T")

HOST = "example.org"
PASSWORD = "pencil"
SALT = b"sixteen bytes!!!"
ITERATIONS = 4096
SECRET = b"the secret of this server"
HASHES: tuple[HashName, ...] = ("SHA-1", "SHA-256", "SHA-512")
#: One account's keys for all hashes, made once.
KEPT = Credentials({name: derive(PASSWORD, name, SALT, ITERATIONS) for name in HASHES})
PLAIN_KEPT = Credentials(plain=PASSWORD)
DECOYS = Decoys(SECRET, ITERATIONS, HASHES)
DERIVING_DECOYS = Decoys(SECRET, ITERATIONS, ())


class FittingDecoys(Decoys):
    """Decoys with the keys of `PASSWORD`, as if chance had made them fit."""

    def keys(self, account: str, hash_name: HashName) -> ScramKeys:
        return KEPT.scram[hash_name]


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run what never has to wait."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it waits for something")


class Service:
    """The server around an exchange: a store with one or more accounts, an executor that counts."""

    def __init__(
        self,
        accounts: Mapping[str, Credentials] | None = None,
        *,
        decoys: Decoys = DECOYS,
        bindings: Mapping[str, bytes] | None = None,
        plus_offered: bool | None = None,
        nonce: Callable[[], str] = lambda: "server-nonce",
    ) -> None:
        self.accounts = {"user": KEPT} if accounts is None else accounts
        self.decoys = decoys
        self.bindings = bindings or {}
        self.plus_offered = bool(self.bindings) if plus_offered is None else plus_offered
        self.nonce = nonce
        self.asked: list[str] = []
        self.executions = 0
        self.derivations = 0

    async def lookup(self, username: str) -> Credentials | None:
        self.asked.append(username)
        return self.accounts.get(username)

    def in_executor(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        async def result() -> T:
            with mock.patch.object(hashlib, "pbkdf2_hmac", wraps=hashlib.pbkdf2_hmac) as counted:
                answer = function(*args, **kwargs)
            self.derivations += counted.call_count
            return answer

        self.executions += 1

        return result()

    def exchange(self, mechanism: str) -> Exchange:
        return Exchange(
            mechanism,
            host=HOST,
            lookup=self.lookup,
            in_executor=self.in_executor,
            bindings=self.bindings,
            plus_offered=self.plus_offered,
            decoys=self.decoys,
            nonce=self.nonce,
        )


def challenge(exchange: Exchange, data: bytes | None) -> bytes:
    """The data of the challenge with which *exchange* answers."""
    answer = run(exchange.step(data))
    assert isinstance(answer, Challenge), answer
    return answer.data


def success(exchange: Exchange, data: bytes | None) -> Success:
    answer = run(exchange.step(data))
    assert isinstance(answer, Success), answer
    return answer


def failure(exchange: Exchange, data: bytes | None) -> SaslFailure:
    """The failure with which *exchange* answers; it has to be over then."""
    error = _refused(exchange, data)
    assert _refused(exchange, data).condition is SaslCondition.MALFORMED_REQUEST, "the exchange goes on after a failure"
    return error


def _refused(exchange: Exchange, data: bytes | None) -> SaslFailure:
    try:
        answer = run(exchange.step(data))
    except SaslFailure as error:
        return error
    raise AssertionError(f"not refused: {answer}")


class Client:
    """A client's half of SCRAM, written from RFC 5802 §3 and on its own, with every part open to tampering."""

    def __init__(
        self,
        hash_name: HashName = "SHA-256",
        *,
        name: str = "user",
        password: str = PASSWORD,
        gs2: str = "n,,",
        binding: bytes = b"",
        extra: str = "",
    ) -> None:
        self.algorithm = algorithm(hash_name)
        self.password = password
        self.gs2 = gs2
        self.binding = binding
        self.bare = f"n={name},r=client-nonce{extra}"

    def first(self) -> bytes:
        return (self.gs2 + self.bare).encode()

    def final(self, reply: bytes, *, nonce: str | None = None, extra: str = "") -> bytes:
        theirs, salt, iterations = (part[2:] for part in reply.decode().split(","))
        salted = hashlib.pbkdf2_hmac(self.algorithm, self.password.encode(), b64decode(salt), int(iterations))
        client_key = hmac.digest(salted, b"Client Key", self.algorithm)
        bound = b64encode(self.gs2.encode() + self.binding).decode()
        without_proof = f"c={bound},r={theirs if nonce is None else nonce}{extra}"
        signed = f"{self.bare},{reply.decode()},{without_proof}".encode()
        stored_key = hashlib.new(self.algorithm, client_key).digest()
        signature = hmac.digest(stored_key, signed, self.algorithm)
        self.expected = hmac.digest(hmac.digest(salted, b"Server Key", self.algorithm), signed, self.algorithm)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        return f"{without_proof},p={b64encode(proof).decode()}".encode()

    def login(self, exchange: Exchange) -> Success:
        """The whole exchange, with the server's own proof checked."""
        result = success(exchange, self.final(challenge(exchange, self.first())))
        assert result.data == b"v=" + b64encode(self.expected)
        return result
