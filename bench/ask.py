"""What a client of the load asks. Without imports of ours: the load stays small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ask:
    """A question to the client's own account, and what must come."""

    payload: str
    """What the iq holds."""
    messages: int
    """How many archived messages come before the result."""
    holds: Sequence[str]
    """What must stand in the result."""
