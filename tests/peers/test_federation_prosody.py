"""Federix and Prosody: everything two people do, in each way for the two servers to know each other.

Every case has a pair of domains for itself at addresses for itself, so its connections are its own.
"""

from .federation import GOOD, REFUSED, Case
from .with_peer import WithPeer


class TestProsody(WithPeer):
    peer = "prosody"
    meetings = tuple(Case(kind, first, bidi) for kind in GOOD for bidi in (False, True) for first in ("ours", "theirs"))
    refusals = tuple(Case(kind, "ours", bidi) for kind in REFUSED for bidi in (False, True))
