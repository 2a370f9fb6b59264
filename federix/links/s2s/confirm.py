"""What was sent over a link and is not known to have arrived.

A peer with stream management says how many stanzas it has taken (XEP-0198). Any other is asked: the answer to a ping
(XEP-0199) shows that all before it has arrived, since stanzas are taken in their order. When the link dies, what is
not confirmed is sent again in the first case and goes back to its senders in the second: it may have arrived, and to
send it twice would be wrong, to say nothing worse.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from math import inf
from typing import TYPE_CHECKING, Final, Protocol

from ...life.scope import Scope, Timer
from ...xmpp import ns
from ...xmpp.element import Element

if TYPE_CHECKING:
    from .pair import Waiting

#: What may be unconfirmed on one link; more waits in the queues of its pairs.
MOST_STANZAS: Final = 1000
MOST_BYTES: Final = 576 * 1024
#: The peer is asked after so many stanzas, or so many seconds after the first; and again only when it has answered.
ASK_AFTER: Final = 50
ASK_IN: Final = 0.5
#: Seconds to wait for the answer.
ANSWER_TIMEOUT: Final = 60.0
#: What is kept for a peer that answers nothing, in bytes, and for how many seconds: TCP would have given up by then, so
#: it has arrived.
KEPT_BYTES: Final = 64 * 1024
KEPT_FOR: Final = 1000.0
#: XEP-0198 §4: counters are unsigned integers of 32 bits.
WRAP: Final = 1 << 32

REQUEST: Final = Element("r", ns.SM).to_bytes()


#: In place of a list of its own where all is confirmed.
_NOTHING: Final[deque[Waiting]] = deque(maxlen=0)


class Way(Enum):
    """How a peer is asked."""

    PING = "ping"
    ACKS = "stream management"
    NONE = "none"  # it has never answered a ping


class Asking(Protocol):
    """What the confirmations ask of their link."""

    @property
    def both_ways(self) -> bool:
        """Whether answers come by the same stream."""

    @property
    def scope(self) -> Scope: ...
    def write(self, data: bytes) -> None: ...
    def ping(self, answered: Callable[[], None]) -> None:
        """Send a ping behind all that was sent, and call *answered* when the answer comes."""

    def relieved(self) -> None:
        """There is room again."""

    def kept(self, size: int) -> None:
        """So many bytes more, or less, are kept for the peer."""

    def quiet(self) -> None:
        """All is confirmed, and it was little."""

    def silent(self) -> None:
        """It has answered before, and does not any more."""


class Confirmations:
    """The sent and unconfirmed stanzas of one link, the oldest first."""

    __slots__ = ("_answered", "_asked", "_base", "_gone", "_link", "_sent", "_timer", "is_counted", "size", "way")

    def __init__(self, link: Asking) -> None:
        self._link = link
        self._sent = _NOTHING
        #: Bytes that are kept here.
        self.size = 0
        #: How many were confirmed, or are kept no more; and how many had been sent when the peer began to count.
        self._gone = 0
        self._base = 0
        #: The number of the last stanza before the question that is out; ``None`` while there is none.
        self._asked: int | None = None
        self._answered = False
        self._timer: Timer | None = None
        self.way = Way.PING
        #: Whether the peer has shown that it counts: it was asked to before.
        self.is_counted = False

    def __len__(self) -> int:
        return len(self._sent)

    @property
    def room(self) -> bool:
        """Whether more may be sent."""
        return self.size < MOST_BYTES and len(self._sent) < MOST_STANZAS

    def counts(self) -> None:
        """The peer counts what is sent from now on (XEP-0198 §4), or was asked to."""
        self._base = self._gone + len(self._sent)
        self.way = Way.ACKS
        self._asked = None
        self._rest()
        if self._sent:
            self._ask()

    def counts_not(self) -> None:
        """The peer has refused to count."""
        self.way = Way.PING
        self.is_counted = False
        self._asked = None
        self._rest()
        if self._sent:
            self._ask_soon()

    # -- sending --------------------------------------------------------------------------------------------------

    def add(self, waiting: Waiting) -> None:
        """A stanza has been sent."""
        if waiting.is_answer and self.way is not Way.ACKS:
            return  # it would go back to nobody; and were it asked about, two servers would ping each other for ever
        if self._sent is _NOTHING:
            self._sent = deque()
        self._sent.append(waiting)
        self._keep(len(waiting.raw))
        if self.way is Way.NONE:
            self._forget(waiting.since)
        elif self._asked is None:
            if len(self._sent) >= ASK_AFTER:
                self._ask()
            elif self._timer is None:
                self._ask_soon()

    def _ask_soon(self) -> None:
        self._timer = self._link.scope.later(ASK_IN, self._ask)

    def _ask(self) -> None:
        self._rest()
        number = self._asked = self._gone + len(self._sent)
        self._timer = self._link.scope.later(ANSWER_TIMEOUT, self._unanswered)
        if self.way is Way.ACKS:
            self._link.write(REQUEST)
        else:
            self._link.ping(lambda: self._pong(number))

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def probe(self) -> None:
        """Ask whether the peer is there, though nothing was sent."""
        if self._asked is None:
            self._ask()

    # -- answers --------------------------------------------------------------------------------------------------

    def acknowledged(self, h: int) -> bool:
        """The peer has taken *h* stanzas since it counts; False where it cannot have."""
        number = self._base + h
        while number < self._gone:
            number += WRAP
        if number > self._gone + len(self._sent):
            return False
        self.is_counted = True
        if self._asked is not None:
            # It has answered, if only for a part: it is asked about the rest again.
            self._asked = None
            self._rest()
        self._confirm(number)
        return True

    def _pong(self, number: int) -> None:
        if self.way is Way.NONE:
            self.way = Way.PING  # it can answer after all, only later than it was waited for
        self._confirm(number)

    def _confirm(self, number: int) -> None:
        self._answered = True
        before, size = self._gone, 0
        while self._gone < number and self._sent:
            size += len(self._sent.popleft().raw)
            self._gone += 1
        self._keep(-size)
        if not self._sent:
            self._sent = _NOTHING
        if self._asked is not None and self._gone >= self._asked:
            self._asked = None
            self._rest()
        self._link.relieved()
        if self._sent and self._asked is None and self._timer is None:
            self._ask_soon()
        elif not self._sent and self._gone - before < ASK_AFTER:
            self._link.quiet()

    def _unanswered(self) -> None:
        self._timer = None
        self._asked = None
        if self.way is Way.ACKS and not self.is_counted:
            self.counts_not()  # it has offered to, and never did
            return
        if self._answered or self.is_counted or self._link.both_ways:
            self._link.silent()
            return
        # Its answers may have no way back to us: what is sent from now on is kept for a while only.
        self.way = Way.NONE
        self._forget(0.0)
        self._link.relieved()

    def _forget(self, now: float) -> None:
        """What was sent long ago, or before much else, is taken to have arrived."""
        while self._sent and (
            self.size > KEPT_BYTES or len(self._sent) > MOST_STANZAS or now - self._sent[0].since > KEPT_FOR
        ):
            self._keep(-len(self._sent.popleft().raw))
            self._gone += 1

    # -- the end --------------------------------------------------------------------------------------------------

    def close(self, now: float, *, by_the_book: bool = False) -> list[Waiting]:
        """The link has died; what has not arrived, or may not have.

        Of a peer that confirms nothing, all has when the stream was closed *by_the_book*: more cannot be known.
        """
        self._rest()
        if self.way is Way.NONE:
            self._forget(inf if by_the_book else now)
        sent = list(self._sent)
        self._sent = _NOTHING
        self._keep(-self.size)
        return sent

    def _keep(self, size: int) -> None:
        self.size += size
        self._link.kept(size)
