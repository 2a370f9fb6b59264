"""The mechanisms: their names, their order, and which of them a client is offered."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from federix.xmpp.sasl.bindings import announced
from federix.xmpp.sasl.credentials import HashName, hash_named

PLAIN = "PLAIN"
_SCRAM = "SCRAM-"
_PLUS = "-PLUS"

#: All that `Exchange` speaks, in order of preference: what is bound to the connection first, then the stronger hash.
MECHANISMS: Final = (
    "SCRAM-SHA-512-PLUS",
    "SCRAM-SHA-256-PLUS",
    "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-512",
    "SCRAM-SHA-256",
    "SCRAM-SHA-1",
    PLAIN,
)


def is_plus(mechanism: str) -> bool:
    """Does it bind the login to the TLS connection?"""
    return mechanism.endswith(_PLUS)


def hash_of(mechanism: str) -> HashName | None:
    """The hash of a SCRAM mechanism out of `MECHANISMS`; None for PLAIN."""
    if mechanism == PLAIN:
        return None
    return hash_named(mechanism.removeprefix(_SCRAM).removesuffix(_PLUS))


def available(
    offered: Sequence[str],
    *,
    secure: bool,
    bindings: Mapping[str, bytes],
    disabled: Collection[str],
    stored: Collection[HashName],
) -> list[str]:
    """The mechanisms out of *offered* (usually `MECHANISMS`) that work on this connection, in the same order.

    *secure*: is the connection inside TLS? *disabled*: names the operator has switched off, in any case. *stored*: the
    hashes with which *every* account can be checked, because its keys are kept or the password itself is: a mechanism
    is offered before the user is known, so one account without keys means a login that fails. Names that are not in
    `MECHANISMS` are left out.
    """
    off = {name.upper() for name in disabled}
    bound = secure and bool(announced(bindings))
    found = []
    for name in offered:
        if name not in _PARTS or name in off:
            continue
        hash_name, plus = _PARTS[name]
        # RFC 4616 §5: PLAIN hands the password over, so nobody may be listening. It fits whatever is kept of it.
        if secure if hash_name is None else hash_name in stored and (bound or not plus):
            found.append(name)
    return found


#: Of each mechanism its hash, and whether it is bound to the connection.
_PARTS: Final = {name: (hash_of(name), is_plus(name)) for name in MECHANISMS}
