"""A pair of domains: what waits to go from one of ours to one elsewhere, in its order."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from ...core.remote import Proof
from ...life.scope import Timer
from ...xmpp import ns
from ...xmpp.element import Element
from ...xmpp.errors import Condition, StanzaError
from ...xmpp.stanza import Stanza

if TYPE_CHECKING:
    from .federation import Federation
    from .link import Link

#: Bytes that a peer has yet to confirm below which it is keeping up: what is sent to it is not worth any pains.
LITTLE: Final = 64 * 1024
#: How often a stanza is sent before it goes back.
MOST_TRIES: Final = 3
#: Bytes that may wait in all pairs of one link: a peer that has many domains is not to have more than another.
MOST_QUEUED: Final = 1024 * 1024
#: How long a reason may be that is remembered for the operator, in characters.
_TOLD: Final = 300


class Domains(NamedTuple):
    """The name of a pair: a domain that is served here, and one that is not."""

    local: str
    remote: str


@dataclass(frozen=True, slots=True)
class Remote:
    """A server that is authorised for a pair of domains: what hooks see of it (`core.remote.RemoteServer`)."""

    local: str
    remote: str
    authenticated_by: Proof
    ip: str | None
    secure: bool
    incoming: bool


@dataclass(slots=True)
class Waiting:
    """A stanza in the queue: how many bytes it takes, since when it is on its way (seconds on the clock), and how often
    a link died before it was known to have arrived.
    """

    stanza: Stanza
    size: int
    since: float
    tries: int = 0


#: In place of a queue of its own, which takes 760 bytes, where nothing waits.
_NOTHING: Final[deque[Waiting]] = deque(maxlen=0)


def wire_size(stanza: Stanza) -> int:
    """How many bytes *stanza* takes on a stream between servers."""
    return len(stanza.raw if stanza.raw is not None else stanza.to_bytes(ns.SERVER))


def _kept(stanza: Stanza) -> Stanza:
    """*stanza* as it waits: its bytes, and of its tree, which may take five times as much, what an error needs."""
    if stanza.raw is None:
        return stanza
    element = stanza.element
    return type(stanza)(Element(element.name, element.ns, attrs=element.attrs), stanza.raw)


class Pair:
    """The queue of one pair, and the link that it goes over at present.

    It stays on its link while that lives, so the order of what each sender sends is kept whatever other links there
    are. The queue is bounded in stanzas, bytes and age; what does not fit, or waits too long, goes back to its sender.
    """

    __slots__ = (
        "_expiring",
        "_federation",
        "domains",
        "last_condition",
        "last_error",
        "link",
        "queue",
        "since",
        "size",
    )

    def __init__(self, federation: Federation, domains: Domains) -> None:
        self._federation = federation
        self.domains = domains
        #: Where it goes; ``None`` while there is no link.
        self.link: Link | None = None
        self.queue = _NOTHING
        #: Bytes in the queue.
        self.size = 0
        #: Why the last try failed, for the operator; and what is told the senders.
        self.last_error = ""
        self.last_condition = Condition.REMOTE_SERVER_TIMEOUT
        self.since = federation.clock.seconds()
        self._expiring: Timer | None = None

    def __repr__(self) -> str:
        return f"<Pair {self.domains.local} -> {self.domains.remote}>"

    @property
    def age(self) -> float:
        """Seconds for which the first in the queue has waited."""
        return self._federation.clock.seconds() - self.queue[0].since if self.queue else 0.0

    @property
    def _timeout(self) -> float:
        return self._federation.options(self.domains.local).s2s_queue_timeout

    def send(self, stanza: Stanza) -> None:
        """Send *stanza*, now or when there is a link; raises `StanzaError` (resource-constraint): too much waits."""
        link = self.link
        if link is not None and not self.queue and link.takes:
            kept = stanza if link.confirmations.size < LITTLE else _kept(stanza)
            link.send(self, Waiting(kept, wire_size(stanza), self._federation.clock.seconds()))
            return
        options = self._federation.options(self.domains.local)
        size = wire_size(stanza)
        if (
            len(self.queue) >= options.s2s_max_queue
            or self.size + size > options.s2s_max_queue_size
            or (link is not None and link.queued + size > MOST_QUEUED)
            or not self._federation.has_room(size, self.size)
        ):
            raise StanzaError(Condition.RESOURCE_CONSTRAINT, "too much waits for that server")
        self._put(Waiting(_kept(stanza), size, self._federation.clock.seconds()))
        if link is None:
            self._federation.find_link(self)

    def _put(self, waiting: Waiting) -> None:
        self._begin_queue()
        self.queue.append(waiting)
        self._count(waiting.size)
        if self._expiring is None:
            self._watch()

    def _begin_queue(self) -> None:
        if self.queue is _NOTHING:
            self.queue = deque()

    def _count(self, size: int) -> None:
        self.size += size
        self._federation.waiting += size

    # -- on a link ------------------------------------------------------------------------------------------------

    def assign(self, link: Link) -> None:
        """Go over *link* from now on, with all that waits."""
        self.link = link
        self.last_error, self.last_condition = "", Condition.REMOTE_SERVER_TIMEOUT
        self.flush()

    def flush(self) -> None:
        """Send what waits, as much as the link takes."""
        link = self.link
        while link is not None and self.queue and link.takes:
            waiting = self.queue.popleft()
            self._count(-waiting.size)
            link.send(self, waiting)
            link = self.link  # it may have broken
        if not self.queue:
            self.queue = _NOTHING
            self._unwatch()

    def put_back(self, unconfirmed: list[Waiting]) -> None:
        """The link has died: what was sent over it and has not arrived is to be sent again, before all else.

        Not for ever: it may be what links die of.
        """
        again: list[Waiting] = []
        lost: list[Waiting] = []
        for waiting in unconfirmed:
            waiting.tries += 1
            (again if waiting.tries < MOST_TRIES else lost).append(waiting)
        self._begin_queue()
        self.queue.extendleft(reversed(again))
        self._count(sum(waiting.size for waiting in again))
        if again:
            self._unwatch()
            self._watch()
        # Not before: who is told may send again, and that comes after what was here first.
        for waiting in lost:
            error = StanzaError(Condition.REMOTE_SERVER_TIMEOUT, "connections broke: it may not have arrived")
            self._federation.bounce(waiting.stanza, error)

    # -- what cannot be sent --------------------------------------------------------------------------------------

    def bounce(self, error: StanzaError) -> None:
        """Return all that waits to its senders."""
        self.last_error = (error.text or error.condition.tag)[:_TOLD]
        queue, self.queue = self.queue, _NOTHING
        self._count(-self.size)
        self._unwatch()
        for waiting in queue:
            self._federation.bounce(waiting.stanza, error)

    def _watch(self) -> None:
        wait = self.queue[0].since + self._timeout - self._federation.clock.seconds()
        self._expiring = self._federation.scope.later(max(wait, 0.0), self._expire)

    def _unwatch(self) -> None:
        if self._expiring is not None:
            self._expiring.cancel()
            self._expiring = None

    def _expire(self) -> None:
        self._expiring = None
        oldest = self._federation.clock.seconds() - self._timeout
        late = []
        while self.queue and self.queue[0].since <= oldest:
            late.append(self.queue.popleft())
        self._count(-sum(waiting.size for waiting in late))
        if self.queue:
            self._watch()
        error = StanzaError(self.last_condition, self.last_error or "that server cannot be reached")
        for waiting in late:
            self._federation.bounce(waiting.stanza, error)
