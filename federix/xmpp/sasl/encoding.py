"""Base 64, as SASL wants it: nothing is overlooked (RFC 6120 §13.9.1)."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode

from federix.xmpp.errors import SaslCondition, SaslFailure


def strict_base64(text: str) -> bytes:
    """The bytes *text* stands for; raises `ValueError` for whatever is not exactly what an encoder writes."""
    try:
        data = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base 64") from None
    # RFC 6120 §13.9.1: "padding bits MUST be set to zero", and decoders differ in what else they let pass.
    if b64encode(data).decode() != text:
        raise ValueError("not base 64")
    return data


def decode_base64(text: str) -> bytes | None:
    """The data in an <auth/> or <response/>: None if there is none, empty if it is ``=`` (RFC 6120 §6.4.2).

    Raises `SaslFailure` (incorrect-encoding).
    """
    if not text:
        return None
    if text == "=":
        return b""
    try:
        return strict_base64(text)
    except ValueError:
        raise SaslFailure(SaslCondition.INCORRECT_ENCODING) from None


def encode_base64(data: bytes | None) -> str:
    """The reverse of `decode_base64`: *data* as the text of a <challenge/> or <success/>."""
    if data is None:
        return ""
    return b64encode(data).decode() or "="
