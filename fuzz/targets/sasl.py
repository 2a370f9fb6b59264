"""SASL: any bytes at any step end in a failure, unless they know the password.

The first byte chooses the mechanism; what follows are the client's messages, separated by a byte 255. In them ``%N``
stands for the server's nonce and ``%P`` for the right proof, without which nothing behind the first step is reached.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, Final

from federix.xmpp.errors import SaslFailure
from federix.xmpp.sasl import (
    HASH_NAMES,
    MECHANISMS,
    Challenge,
    Credentials,
    Decoys,
    Exchange,
    InvalidPassword,
    Success,
    derive,
    hash_of,
    prepare_password,
)

PASSWORD: Final = "a password that nobody guesses: 7uZ9kw"
BINDINGS: Final = {"tls-exporter": b"e" * 32, "tls-server-end-point": b"s" * 32}
_ROMEO: Final = Credentials({name: derive(PASSWORD, name, b"salt" * 4, 4096) for name in HASH_NAMES})
_DECOYS: Final = Decoys(b"a secret of the server's", 4096, HASH_NAMES)


def check(data: bytes) -> None:
    _check_password(data)
    choice, *messages = (data[0] if data else 0), *data[1:].split(b"\xff")
    secure = not choice & 0x80
    exchange = Exchange(
        MECHANISMS[choice % len(MECHANISMS)],
        host="example.org",
        lookup=_lookup,
        in_executor=_at_once,
        bindings=BINDINGS if secure else {},
        plus_offered=secure,
        decoys=_DECOYS,
        nonce=lambda: "3rfcNHYJY1ZVvWVs7j",
    )
    sent: list[bytes] = []
    challenge = b""
    for message in messages:
        knows = b"%P" in message or _is_password(message.rpartition(b"\0")[2])
        filled = _filled(message, sent, challenge, exchange.mechanism)
        try:
            answer = _result(exchange.step(filled or None))
        except SaslFailure:
            break
        if isinstance(answer, Success):
            assert knows, f"a login without the password: {messages}"
            assert answer.username == "romeo"
            assert answer.authzid in (None, "romeo@example.org")
            break
        assert isinstance(answer, Challenge)
        sent.append(filled)
        challenge = answer.data
    for late in messages:
        try:
            _result(exchange.step(late))
        except SaslFailure:
            break


def _check_password(data: bytes) -> None:
    text = data[1:].decode("utf-8", "replace")
    try:
        prepared = prepare_password(text)
    except InvalidPassword:
        return
    assert prepared, text
    prepared.encode()


def _is_password(data: bytes) -> bool:
    """Whether it is the password, as it is compared."""
    try:
        return prepare_password(data.decode()) == PASSWORD
    except (UnicodeDecodeError, InvalidPassword):
        return False


async def _lookup(local: str) -> Credentials | None:
    return _ROMEO if local == "romeo" else None


@lru_cache(1024)
def _once(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)


async def _at_once(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    return _once(function, *args) if not kwargs else function(*args, **kwargs)


def _result(waiting: Awaitable[Challenge | Success]) -> Challenge | Success:
    try:
        waiting.__await__().send(None)
    except StopIteration as end:
        result: Challenge | Success = end.value
        return result
    raise AssertionError("it waits")


def _filled(message: bytes, sent: list[bytes], challenge: bytes, mechanism: str) -> bytes:
    """*message* with the nonce and the proof of a client that knows the password."""
    if challenge.startswith(b"r="):
        message = message.replace(b"%N", challenge[2:].split(b",")[0])
    name = hash_of(mechanism)
    if b"%P" not in message or name is None or not sent:
        return message
    algorithm = name.replace("-", "").lower()
    bare = sent[-1].split(b",", 2)[-1]
    without_proof = message.split(b",p=")[0]
    signed = b",".join((bare, challenge, without_proof))
    salted = _salted(algorithm)
    client_key = hmac.digest(salted, b"Client Key", algorithm)
    signature = hmac.digest(hashlib.new(algorithm, client_key).digest(), signed, algorithm)
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    return message.replace(b"%P", b64encode(proof))


@lru_cache
def _salted(algorithm: str) -> bytes:
    return hashlib.pbkdf2_hmac(algorithm, PASSWORD.encode(), b"salt" * 4, 4096)
