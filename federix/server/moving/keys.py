"""XEP-0227 §4.3: the keys of SCRAM as they stand in files, also in those that ejabberd writes and reads."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Final

from ...core.portable import NotTaken
from ...xmpp import ns
from ...xmpp.element import Element
from ...xmpp.sasl import ScramKeys
from ...xmpp.sasl.credentials import HashName, digest_size, hash_named

_PREFIX: Final = "SCRAM-"
_PARTS: Final = ("iter-count", "salt", "server-key", "stored-key")
#: Characters of base64, and digits, that are read at all.
_MOST_ENCODED: Final = 1024
#: COMPAT(ejabberd before 21.12): keys instead of a password, ``scram:STORED,SERVER,SALT,COUNT``, or a hash before them.
_IN_PASSWORD: Final = "scram:"
_HASHES: Final[Mapping[str, HashName]] = {"sha256": "SHA-256", "sha512": "SHA-512"}


def read_keys(element: Element) -> ScramKeys | NotTaken:
    """One set of credentials."""
    mechanism = element.get("mechanism") or ""
    try:
        name = hash_named(mechanism.removeprefix(_PREFIX))
    except ValueError:
        return NotTaken(f"the mechanism {mechanism} is not known here")
    return _read(name, *((element.text_of(ns.PIE_SCRAM, part) or "").strip() for part in _PARTS))


def keys_in_password(password: str) -> ScramKeys | NotTaken | None:
    """The keys that stand where a password should, if they do."""
    parts = password.removeprefix(_IN_PASSWORD).split(",")
    if not password.startswith(_IN_PASSWORD):
        return None
    name = _HASHES.get(parts[0])
    if name is not None:
        del parts[0]
    if len(parts) != len(_PARTS):
        return None
    stored, server, salt, count = parts
    return _read(name or "SHA-1", count, salt, server, stored)


def _read(name: HashName, count: str, *texts: str) -> ScramKeys | NotTaken:
    if any(len(text) > _MOST_ENCODED for text in (count, *texts)) or not (count.isascii() and count.isdigit()):
        return NotTaken(f"the keys for {_PREFIX}{name} cannot be read")
    try:
        salt, server, stored = (b64decode(text, validate=True) for text in texts)
        if len(stored) > digest_size(name):
            # COMPAT(ejabberd, at least to 23.01): it keeps base64, and encodes that once more.
            salt, server, stored = (b64decode(each, validate=True) for each in (salt, server, stored))
        return ScramKeys(name, salt, int(count), stored, server)
    except ValueError as error:
        return NotTaken(f"the keys for {_PREFIX}{name}: {error}")


def keys_of(secrets: Mapping[str, str]) -> Sequence[ScramKeys]:
    """The keys among what is kept of a password."""
    return [ScramKeys.decode(text) for kind, text in sorted(secrets.items()) if kind.startswith(_PREFIX)]


def keys_element(keys: ScramKeys, *, twice: bool = False) -> Element:
    """§4.3: "The element MUST contain a single occurrence of each of the following child elements".

    Encoded *twice* they are what ejabberd reads (at least to 23.01).
    """
    binary = (keys.salt, keys.server_key, keys.stored_key)
    texts = [b64encode(b64encode(each) if twice else each).decode() for each in binary]
    named = zip(_PARTS, (str(keys.iterations), *texts), strict=True)
    children = [Element(name, ns.PIE_SCRAM, text=text) for name, text in named]
    # "always without the "-PLUS" suffix"
    return Element("scram-credentials", ns.PIE_SCRAM, *children, attrs={"mechanism": f"{_PREFIX}{keys.hash_name}"})
