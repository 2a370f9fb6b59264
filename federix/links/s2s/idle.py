"""What is asked of a link when nothing else happens: is the peer still there, is the stream still needed, and is the
peer's certificate still good?"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from ...xmpp.errors import StreamCondition, StreamError
from .confirm import Way

if TYPE_CHECKING:
    from .link import Link

#: Seconds of silence after which a peer is asked whether it is still there.
KEEP_ALIVE: Final = 300.0


class Idle:
    """Looks at one link when there may be something to do, by one timer of the link's."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        self._link = link

    def begin(self) -> None:
        """It may be used from now on, and may have to wait for that."""
        self._link.stream.rest_now()
        self.watch()

    def watch(self) -> None:
        """Look again when there may be something to do."""
        link = self._link
        now = link.federation.clock.seconds()
        wait = min(KEEP_ALIVE - (now - link.heard), self._limit - (now - link.active), self._good_for)
        link.scope.later(max(wait, 1.0), self._look)

    @property
    def _limit(self) -> float:
        return self._link.federation.options(self._link.local).s2s_timeout

    @property
    def _good_for(self) -> float:
        """Seconds until the certificate runs out by which the peer has proved any of its domains."""
        link = self._link
        trust = link.federation.trust(link.local)
        proved = (each for each in (link.accepts | link.sends).values() if each.authenticated_by == "certificate")
        verdicts = (link.verdict(each.remote) for each in proved)
        return min((trust.left(verdict) for verdict in verdicts if verdict is not None), default=inf)

    def _look(self) -> None:
        link = self._link
        if self._good_for <= 0.0:
            # RFC 6120 §13.7.2.3: "close the stream when any such certificate expires, with a stream error of <reset/>".
            link.why = "its certificate has expired"
            link.stream.fail(StreamError(StreamCondition.RESET, "the certificate has expired"))
            return
        now = link.federation.clock.seconds()
        is_told = not len(link.confirmations) or link.confirmations.way is Way.NONE
        if now - link.active >= self._limit and is_told:
            link.why = "nothing was said for a long time"
            # RFC 6120 §4.4: "continue to process data received from the other entity". One that counts what it sends
            # has been told what is settled, and sends the rest again.
            link.stream.hears_out = link.settled is None
            link.stream.close()
            return
        if now - link.heard >= KEEP_ALIVE:
            if not link.sends or link.confirmations.way is Way.NONE:
                link.write(b" ")
            else:
                link.confirmations.probe()
            link.heard = now  # the next question is due in a while, answered or not
        self.watch()
