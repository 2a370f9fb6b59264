"""How much a peer may send before its stream ends with policy-violation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer may send (XEP-0478 announces *stanza_bytes*)."""

    stanza_bytes: int = 256 * 1024
    elements: int = 10_000
    depth: int = 64
    attributes: int = 64
    tag_bytes: int = 64 * 1024
    tree_bytes: int = 1280 * 1024  # what its tree may take in memory, about


BEFORE_AUTHENTICATION: Final = Limits(stanza_bytes=8192, elements=32, depth=8, attributes=16)
AFTER_AUTHENTICATION: Final = Limits()
