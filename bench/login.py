"""How a client of the load logs in: STARTTLS, SASL (SCRAM-SHA-256, or PLAIN for the relay), bind, first presence."""

from __future__ import annotations

import hashlib
import hmac
import re
import ssl
from base64 import b64decode, b64encode
from functools import lru_cache
from typing import Final

from .inbox import LoadFailed
from .load import Connection, Dialogue
from .names import DOMAIN, PASSWORD, header

RESOURCE: Final = "bench"
FEATURES: Final = b"</stream:features>"
SASL: Final = "urn:ietf:params:xml:ns:xmpp-sasl"
BIND: Final = (
    f"<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
    f"<resource>{RESOURCE}</resource></bind></iq>"
).encode()
NONCE: Final = "a-nonce-of-the-load"  # it protects nothing here
_JID: Final = re.compile(rb"<jid>([^<]+)</jid>")


def full_jid(name: str, domain: str = DOMAIN) -> str:
    return f"{name}@{domain}/{RESOURCE}"


def login(connection: Connection, name: str) -> Dialogue:
    """From the first byte to the first presence."""
    domain = connection.place.domain
    yield from authenticate(connection, name)
    connection.send(BIND)
    bound = yield b"</iq>"
    match = _JID.search(bound)
    if match is None or match[1].decode() != full_jid(name, domain):
        raise LoadFailed(f"asked for {full_jid(name, domain)}, bound: {bound.decode(errors='replace')}")
    connection.send(b"<presence/>")
    connection.jid = full_jid(name, domain)


def authenticate(connection: Connection, name: str) -> Dialogue:
    """From the first byte to the features of who has authenticated."""
    specification, domain = connection.loop.specification, connection.place.domain
    connection.send(header(domain))
    yield FEATURES
    if specification.tls:
        connection.send(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        yield b"<proceed"
        yield b">"
        yield from handshake(connection, _context())
        connection.send(header(domain))
        yield FEATURES
    if specification.mechanism == "PLAIN":
        plain = b64encode(f"\0{name}\0{PASSWORD}".encode()).decode()
        connection.send(f"<auth xmlns='{SASL}' mechanism='PLAIN'>{plain}</auth>".encode())
        yield b"<success"
        yield b">"
    else:
        yield from _scram(connection, name)
    connection.send(header(domain))
    yield FEATURES


def handshake(connection: Connection, context: ssl.SSLContext, *, they_connected: bool = False) -> Dialogue:
    """TLS from here on; on the side of who *connected* first, or of the other."""
    name = None if they_connected else connection.place.domain
    sock = context.wrap_socket(
        connection.sock, server_side=they_connected, do_handshake_on_connect=False, server_hostname=name
    )
    connection.sock = sock
    while True:
        try:
            sock.do_handshake()
            break
        except ssl.SSLWantReadError:
            yield None
    cipher = sock.cipher()
    connection.loop.cipher = (sock.version() or "?", cipher[0] if cipher else "?")


@lru_cache
def _context() -> ssl.SSLContext:
    # Everybody has the same self-signed certificate; what checking it would cost is the client's.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _scram(connection: Connection, name: str) -> Dialogue:
    """RFC 5802 §3, with SHA-256; the server's signature is checked."""
    first = f"n={name},r={NONCE}"
    encoded = b64encode(f"n,,{first}".encode()).decode()
    connection.send(f"<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256'>{encoded}</auth>".encode())
    challenge = _content((yield b"</challenge>"))
    parts = dict(part.split("=", 1) for part in challenge.split(","))
    salted = _salted(b64decode(parts["s"]), int(parts["i"]))
    final = f"c=biws,r={parts['r']}"
    message = f"{first},{challenge},{final}".encode()
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
    proof = b64encode(bytes(a ^ b for a, b in zip(client_key, signature, strict=True))).decode()
    answer = b64encode(f"{final},p={proof}".encode()).decode()
    connection.send(f"<response xmlns='{SASL}'>{answer}</response>".encode())
    success = _content((yield b"</success>"))
    expected = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
    if success != f"v={b64encode(expected).decode()}":
        raise LoadFailed("the server's signature is wrong")


@lru_cache
def _salted(salt: bytes, iterations: int) -> bytes:
    """One derivation for all: they share a salt."""
    return hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), salt, iterations)


def _content(element: bytes) -> str:
    return b64decode(element.rpartition(b"</")[0].rpartition(b">")[2]).decode()
