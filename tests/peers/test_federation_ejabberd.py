"""Federix and ejabberd: everything two people do, in each way for the two servers to know each other.

ejabberd 23.01 has no bidi (it came with 24.10), so there is a connection for each direction.
"""

from .federation import GOOD, REFUSED, Case
from .with_peer import WithPeer


class TestEjabberd(WithPeer):
    peer = "ejabberd"
    meetings = tuple(Case(kind, first) for kind in (*GOOD, "servers-only") for first in ("ours", "theirs"))
    refusals = tuple(Case(kind, "ours") for kind in REFUSED)
