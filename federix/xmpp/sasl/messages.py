"""The two messages of a SCRAM client (RFC 5802 §7), read strictly: whatever breaks the grammar is a `SaslFailure`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

from federix.xmpp.sasl.accounts import decode_text, malformed
from federix.xmpp.sasl.encoding import strict_base64

Flag = Literal["n", "y", "p"]

_GS2 = re.compile(r"(?:([ny])|(p)=([A-Za-z0-9.-]+)),(?:a=([^,]*))?,")
_SASLNAME = re.compile(r"(?:[^=,\0]|=2C|=3D)+")
_NONCE = re.compile(r"[!-+\--~]+")
_EXTENSION = re.compile(r"[A-Za-z]=[^,\0]+")
#: Letters with a meaning of their own: no extension may be called so.
_RESERVED = frozenset("anmrcsipve")


@dataclass(frozen=True, slots=True)
class ClientFirst:
    """``client-first-message``: who, and how the client sees channel binding."""

    flag: Flag
    binding: str | None
    authzid: str
    username: str
    nonce: str
    gs2_header: str
    bare: str

    @classmethod
    def parse(cls, data: bytes) -> ClientFirst:
        text = decode_text(data)
        match = _GS2.match(text)
        if match is None:
            raise malformed("not a SCRAM message")
        without, bound, binding, authzid = match.groups()
        bare = text[match.end() :]
        attributes = bare.split(",")
        _refuse_mandatory_extension(attributes)
        if len(attributes) < 2:
            raise malformed("not a SCRAM message")
        name, nonce, *extensions = attributes
        _check_extensions(extensions)
        return cls(
            cast("Flag", without or bound),
            binding,
            "" if authzid is None else _unescaped(authzid),
            _unescaped(_value(name, "n")),
            _checked_nonce(nonce),
            match[0],
            bare,
        )


@dataclass(frozen=True, slots=True)
class ClientFinal:
    """``client-final-message``: the proof. *channel_binding* is still in base 64."""

    channel_binding: str
    nonce: str
    proof: bytes
    without_proof: str

    @classmethod
    def parse(cls, data: bytes) -> ClientFinal:
        text = decode_text(data)
        attributes = text.split(",")
        _refuse_mandatory_extension(attributes)
        if len(attributes) < 3:
            raise malformed("not a SCRAM message")
        binding, nonce, *extensions, proof = attributes
        _check_extensions(extensions)
        return cls(
            _value(binding, "c"),
            _checked_nonce(nonce),
            _decoded(_value(proof, "p")),
            text[: -len(proof) - 1],
        )


def _value(attribute: str, letter: str) -> str:
    """RFC 5802 §5.1: "the order of attributes in client or server messages is fixed"."""
    if not attribute.startswith(f"{letter}="):
        raise malformed("not a SCRAM message")
    return attribute[2:]


def _unescaped(saslname: str) -> str:
    """§5.1: ``=2C`` and ``=3D`` stand for comma and equals sign; any other ``=`` MUST fail the authentication."""
    if not _SASLNAME.fullmatch(saslname):
        raise malformed("not a name")
    return saslname.replace("=2C", ",").replace("=3D", "=")


def _checked_nonce(attribute: str) -> str:
    nonce = _value(attribute, "r")
    if not _NONCE.fullmatch(nonce):
        raise malformed("not a nonce")
    return nonce


def _decoded(text: str) -> bytes:
    try:
        return strict_base64(text)
    except ValueError:
        raise malformed("not base 64") from None


def _refuse_mandatory_extension(attributes: list[str]) -> None:
    """§5.1: the presence of ``m`` "MUST cause authentication failure"."""
    if any(attribute.startswith("m=") for attribute in attributes):
        raise malformed("mandatory extensions are not supported")


def _check_extensions(extensions: list[str]) -> None:
    """§5.1: "Unknown optional extensions MUST be ignored upon receipt", if they are well-formed."""
    for extension in extensions:
        if not _EXTENSION.fullmatch(extension) or extension[0] in _RESERVED:
            raise malformed("not a SCRAM message")
