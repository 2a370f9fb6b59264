"""Why no link came about."""

from __future__ import annotations

from dataclasses import dataclass

from ...xmpp.errors import Condition
from .dialback import DialbackFailed


@dataclass
class LinkFailed(Exception):
    """No link came about: *text* says why to the operator, *condition* is what stanzas are bounced with.

    *final*: to wait is of no use, so what waits goes back at once. *alone*: it concerns this pair of domains, and says
    nothing about others that go to the same server, nor would another machine of that be better. *ours*: our domain
    demands more than that machine has; other domains of ours may not.
    """

    text: str
    condition: Condition = Condition.REMOTE_SERVER_TIMEOUT
    final: bool = False
    alone: bool = False
    ours: bool = False

    def __str__(self) -> str:
        return self.text

    def anew(self) -> LinkFailed:
        """The same without the frames of those through whom it went: whoever keeps it would keep them and the link."""
        return LinkFailed(self.text, self.condition, self.final, self.alone, self.ours)


def bounced_with(failed: DialbackFailed) -> Condition:
    """XEP-0220 §2.1.1: internal-server-error where the key is invalid, remote-server-timeout for all errors."""
    return Condition.INTERNAL_SERVER_ERROR if failed.condition is None else Condition.REMOTE_SERVER_TIMEOUT
