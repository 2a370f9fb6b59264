"""The client's half of SCRAM, as far as tests need it, written apart from the server's: each checks the other."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING

from ..xmpp import ns

if TYPE_CHECKING:
    from .client import Client


def scram_sha_1(client: Client, user: str, password: str) -> None:
    """Log in (RFC 5802); AssertionError with what the server said where it fails."""
    nonce = "fyko-d2lbbFgONRv9qkxdawL"
    first = f"n={user.replace('=', '=3D').replace(',', '=2C')},r={nonce}"
    client.send(_element("auth", f"n,,{first}", " mechanism='SCRAM-SHA-1'"))
    challenge = client.receive()
    if challenge.name != "challenge":
        raise AssertionError(challenge.to_xml())
    server_first = b64decode(challenge.text).decode()
    fields = dict(part.split("=", 1) for part in server_first.split(","))
    salted = hashlib.pbkdf2_hmac("sha1", password.encode(), b64decode(fields["s"]), int(fields["i"]))
    without_proof = f"c=biws,r={fields['r']}"
    signed = f"{first},{server_first},{without_proof}".encode()
    client_key = hmac.digest(salted, b"Client Key", "sha1")
    signature = hmac.digest(hashlib.sha1(client_key).digest(), signed, "sha1")
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    client.send(_element("response", f"{without_proof},p={b64encode(proof).decode()}"))
    success = client.receive()
    if success.name != "success":
        raise AssertionError(success.to_xml())
    server_key = hmac.digest(salted, b"Server Key", "sha1")
    expected = b64encode(hmac.digest(server_key, signed, "sha1")).decode()
    if b64decode(success.text).decode() != f"v={expected}":
        raise AssertionError("the server does not know the password either")


def _element(name: str, text: str, attrs: str = "") -> str:
    return f"<{name} xmlns='{ns.SASL}'{attrs}>{b64encode(text.encode()).decode()}</{name}>"
