"""How a client logs in: TLS or not, SCRAM or PLAIN, a resource; RFC 5802 from the client's side."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Final, Literal

from federix.xmpp import ns
from federix.xmpp.element import Element

from .client import Client, Wrong
from .people import RESOURCE

Security = Literal["starttls", "tls", "none"]
Mechanism = Literal["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]

_HASHES: Final = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-1": "sha1"}


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the server listens: for STARTTLS or none, and for TLS from the first byte."""

    plain: int
    tls: int


@dataclass(frozen=True, slots=True)
class Manner:
    """How somebody logs in."""

    security: Security = "starttls"
    mechanism: Mechanism = "SCRAM-SHA-256"

    @classmethod
    def any(cls, random: Random) -> Manner:
        securities: list[Security] = ["starttls", "tls", "none"]
        mechanisms: list[Mechanism] = ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]
        security = random.choices(securities, (5, 2, 3))[0]
        # The server takes no password in the clear.
        weights = (8, 2, 1) if security != "none" else (8, 2, 0)
        return cls(security, random.choices(mechanisms, weights)[0])


async def secured(ports: Ports, security: Security, receive_buffer: int | None = None) -> Client:
    """A connection whose stream is open, with or without TLS, and not logged in."""
    direct = security == "tls"
    client = await Client.connect(ports.tls if direct else ports.plain, tls=direct, receive_buffer=receive_buffer)
    await client.open()
    if security == "starttls":
        await client.start_tls()
        await client.open()
    return client


async def log_in(
    ports: Ports,
    name: str,
    password: str,
    manner: Manner,
    resource: str = RESOURCE,
    receive_buffer: int | None = None,
) -> Client:
    """A client that is logged in and bound, and has sent no presence. Raises `Wrong`, `Ended`."""
    client = await secured(ports, manner.security, receive_buffer)
    try:
        refused = await authenticate(client, name, password, manner.mechanism)
        if refused is not None:
            raise Wrong(f"{name} cannot log in: {refused}")
        await client.open()
        answer = await client.result("set", f"<bind xmlns='{ns.BIND}'><resource>{resource}</resource></bind>")
        bind = answer.child(ns.BIND, "bind")
        client.jid = (bind.text_of(ns.BIND, "jid") if bind is not None else None) or ""
        if client.jid.partition("@")[0] != name or not client.jid.endswith(f"/{resource}"):
            raise Wrong(f"{name}/{resource} was bound as {client.jid!r}")
    except BaseException:
        client.cut()
        raise
    return client


async def authenticate(client: Client, name: str, password: str, mechanism: Mechanism) -> str | None:
    """Why the server refuses; ``None`` where it does not."""
    if mechanism == "PLAIN":
        client.send(_auth(mechanism, f"\0{name}\0{password}"))
        return _failure(await client.next("success", "failure"))
    hash_name = _HASHES[mechanism]
    nonce = f"nonce-{id(client):x}"  # it protects nothing here
    first = f"n={name},r={nonce}"
    client.send(_auth(mechanism, f"n,,{first}"))
    challenge = await client.next("challenge", "failure")
    if challenge.name == "failure":
        return _failure(challenge)
    server_first = b64decode(challenge.text).decode()
    parts = dict(part.split("=", 1) for part in server_first.split(","))
    salted = _salted(password, b64decode(parts["s"]), int(parts["i"]), hash_name)
    final = f"c=biws,r={parts['r']}"
    message = f"{first},{server_first},{final}".encode()
    client_key = hmac.digest(salted, b"Client Key", hash_name)
    signature = hmac.digest(hashlib.new(hash_name, client_key).digest(), message, hash_name)
    proof = b64encode(bytes(a ^ b for a, b in zip(client_key, signature, strict=True))).decode()
    encoded = b64encode(f"{final},p={proof}".encode()).decode()
    client.send(f"<response xmlns='{ns.SASL}'>{encoded}</response>")
    outcome = await client.next("success", "failure")
    if outcome.name == "failure":
        return _failure(outcome)
    expected = hmac.digest(hmac.digest(salted, b"Server Key", hash_name), message, hash_name)
    if b64decode(outcome.text) != b"v=" + b64encode(expected):
        raise Wrong(f"the server's signature for {name} is wrong")
    return None


def _auth(mechanism: str, text: str) -> str:
    return f"<auth xmlns='{ns.SASL}' mechanism='{mechanism}'>{b64encode(text.encode()).decode()}</auth>"


def _failure(outcome: Element) -> str | None:
    if outcome.name == "success":
        return None
    child = outcome.first()
    return child.name if child is not None else "?"


@lru_cache(256)
def _salted(password: str, salt: bytes, iterations: int, hash_name: str) -> bytes:
    """Nearly all share a salt and a password."""
    return hashlib.pbkdf2_hmac(hash_name, password.encode(), salt, iterations)
