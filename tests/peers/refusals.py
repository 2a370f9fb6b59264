"""What becomes of two people whose servers must not trust each other."""

from __future__ import annotations

from typing import Final

from .federation import Pair
from .talker import Talker

#: RFC 6120 §8.3.3: what a server may say that could not, or would not, reach another.
CONDITIONS: Final = {"remote-server-not-found", "remote-server-timeout", "not-authorized", "forbidden", "not-allowed"}


def refused_both_ways(pair: Pair) -> None:
    """Each says something to the other, hears that it did not arrive, and why; and nobody hears anything else."""
    with Talker(pair.ours) as romeo, Talker(pair.theirs) as juliet:
        for speaks, hears in ((romeo, juliet), (juliet, romeo)):
            speaks.send(f"<message type='chat' to='{hears.jid}' id='r1'><body>trust me</body></message>")
            bounced = speaks.expect(f"<message type='error' from='{hears.jid}' id='r1'><error type='*'/></message>")
            error = next(child for child in bounced.elements() if child.name == "error")
            assert CONDITIONS & {child.name for child in error.elements()}, bounced.to_xml()
        assert not juliet.bodies(romeo.name)
        assert not romeo.bodies(juliet.name)
