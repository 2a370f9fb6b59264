"""Channel bindings: what ties a login to the TLS connection it runs in (RFC 5056), so that a relay in the middle shows.

The values come from the TLS library and travel as a mapping from type to bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

EXPORTER = "tls-exporter"
SERVER_END_POINT = "tls-server-end-point"
#: Not defined for TLS 1.3 (RFC 9266 §3), and not safe before it without extended master secret (RFC 7627).
UNIQUE = "tls-unique"
#: Strongest first.
BINDING_TYPES = (EXPORTER, UNIQUE, SERVER_END_POINT)

#: RFC 9266 §2: what to ask the TLS library for, with an empty context. The length is in bytes.
EXPORTER_LABEL = b"EXPORTER-Channel-Binding"
EXPORTER_LENGTH = 32


def announced(bindings: Mapping[str, bytes]) -> list[str]:
    """The types to announce (XEP-0440 §2), strongest first; none with an empty value."""
    return [name for name in BINDING_TYPES if bindings.get(name)]


def server_end_point(certificate: bytes, signature_hash: str | None) -> bytes | None:
    """The value of tls-server-end-point (RFC 5929 §4.1).

    *certificate* is the server's own, in DER; *signature_hash* the hash of its signature in hashlib's spelling, None if
    the signature has none of its own (Ed25519). Returns None where the binding is not defined.
    """
    if signature_hash is None:
        return None
    # "if […] that hash function is either MD5 or SHA-1, then use SHA-256"
    if signature_hash in ("md5", "sha1"):
        signature_hash = "sha256"
    try:
        return hashlib.new(signature_hash, certificate).digest()
    except ValueError:
        return None
