"""A pair of domains: what waits to go from one of ours to one elsewhere, in its order."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from ...core.remote import Proof
from ...life.scope import Timer
from ...xmpp import ns
from ...xmpp.errors import Condition, StanzaError
from ...xmpp.reading import read_start
from ...xmpp.stanza import Stanza
from .taking import between_servers

if TYPE_CHECKING:
    from .federation import Federation
    from .link import Link

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


class Waiting:
    """A stanza of *pair* in the queue, as its bytes: its tree takes many times as much.

    Since when it is on its way (seconds on the clock), and how often a link died before it was known to have arrived.
    """

    __slots__ = ("is_answer", "is_own", "pair", "raw", "since", "tries")

    def __init__(self, pair: Pair, stanza: Stanza, raw: bytes, since: float) -> None:
        self.pair = pair
        self.raw = raw
        self.since = since
        self.tries = 0
        #: Whether it is an iq of the servers themselves, and whether no error may answer it.
        self.is_own = between_servers(stanza, stanza.to, stanza.sender)
        self.is_answer = stanza.is_answer

    @property
    def stanza(self) -> Stanza:
        """As much of it as an error to its sender needs."""
        return read_start(self.raw)


#: In place of a queue of its own, which takes 760 bytes, where nothing waits.
_NOTHING: Final[deque[Waiting]] = deque(maxlen=0)


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
        federation = self._federation
        to = stanza.to
        # RFC 7622 §3.2, §4: a final dot "MUST be stripped" before it is routed by. A server that does not take such an
        # address for its own "MUST close the stream" (RFC 6120 §8.1.1.2), which is there for others as well.
        written = stanza if to is None or stanza.element.attrs.get("to") == to.text else stanza.addressed(to)
        raw = written.raw
        if raw is None:
            raw = written.to_bytes(ns.SERVER)
            federation.server.counters.rendered += 1
        else:
            federation.server.counters.reused += 1
        waiting = Waiting(self, stanza, raw, federation.clock.seconds())
        link = self.link
        if link is not None and not self.queue and link.takes:
            link.send(waiting)
            return
        options = federation.options(self.domains.local)
        size = len(raw)
        if (
            len(self.queue) >= options.s2s_max_queue
            or self.size + size > options.s2s_max_queue_size
            or (link is not None and link.queued + size > MOST_QUEUED)
            or not federation.has_room(size, self.size)
        ):
            raise StanzaError(Condition.RESOURCE_CONSTRAINT, "too much waits for that server")
        self._put(waiting)
        if link is None:
            federation.find_link(self)

    def _put(self, waiting: Waiting) -> None:
        self._begin_queue()
        self.queue.append(waiting)
        self._count(len(waiting.raw))
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
            self._count(-len(waiting.raw))
            link.send(waiting)
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
        self._count(sum(len(waiting.raw) for waiting in again))
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
        self._count(-sum(len(waiting.raw) for waiting in late))
        if self.queue:
            self._watch()
        error = StanzaError(self.last_condition, self.last_error or "that server cannot be reached")
        for waiting in late:
            self._federation.bounce(waiting.stanza, error)
