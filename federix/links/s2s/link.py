"""A link: one stream between two servers, and the pairs of domains it is authorised for.

What both directions have in common, whoever opened the stream: stanzas come in and are checked, stanzas go out and are
confirmed, dialback and stream management are answered, what is idle is closed, and what dies tells its pairs.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final
from weakref import proxy

from twisted.logger import Logger

from ...core import hooks
from ...core.conditions import NO_ADDRESS
from ...core.settled import Settled
from ...life.scope import Scope, Timer
from ...streams.outbox import BURST
from ...streams.owner import State
from ...streams.stream import XmppStream
from ...xmpp import ns
from ...xmpp.element import Element
from ...xmpp.errors import Condition, StanzaError, StreamCondition, StreamError
from ...xmpp.jid import JID
from ...xmpp.limits import Limits
from ...xmpp.markup import has_longer_tag
from ...xmpp.stanza import IQ, Stanza, error_element, iq
from ..lanes import Lanes
from .acks import acknowledgement, manage
from .authorised import AuthorisedLink
from .confirm import Confirmations, Way
from .dialback import DialbackSide
from .idle import Idle
from .pair import Domains, Pair, Waiting
from .taking import take

if TYPE_CHECKING:
    from .federation import Federation

log = Logger()

#: Bytes that may wait in a stream before more of its pairs wait; and seconds until those look again where the peer
#: confirms nothing.
MOST_WAITING: Final = 576 * 1024
CROWDED_FOR: Final = 0.2
#: A link that dies before it has so many seconds may die of what it carries: the next one is not opened at once.
YOUNG: Final = 10.0
#: The longest tag that is sent: servers like us end the stream at a longer one. Clients may send none, but what is
#: written anew may take six times as many bytes.
LONGEST_TAG: Final = Limits().tag_bytes


class Link(AuthorisedLink):
    """What owns a stream between servers."""

    # There may be thousands.
    __slots__ = (
        "_crowded",
        "_deadline",
        "_peer_has_failed",
        "_pings",
        "active",
        "confirmations",
        "dialback",
        "heard",
        "idle",
        "lanes",
        "max_bytes",
        "received_count",
        "scope",
        "since",
    )

    def __init__(self, federation: Federation, stream: XmppStream) -> None:
        super().__init__(federation, stream)
        self.scope = Scope(federation.clock, "link")
        self.dialback = DialbackSide(self)
        # A proxy, and nothing of it is left in a cycle when the connection is gone.
        self.confirmations = Confirmations(proxy(self))
        self.lanes = Lanes(federation.scope, federation.router)
        #: XEP-0478: the largest stanza the peer takes, where it has said so.
        self.max_bytes: int | None = None
        #: When there was a stanza, and any byte worth hearing, on the clock.
        self.active = self.heard = self.since = federation.clock.seconds()
        self.received_count = 0
        #: The ids of pings that are not answered: one or two.
        self._pings: list[str] = []
        self._crowded: Timer | None = None
        self._peer_has_failed = False
        self._deadline: Timer | None = self.scope.later(federation.server.negotiation_timeout, self._too_slow)
        self.idle = Idle(proxy(self))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.stream.peer}>"

    @property
    def counts(self) -> bool:
        """Whether stanzas may go over it: some streams are there to ask something and to be closed again."""
        return True

    # -- sending --------------------------------------------------------------------------------------------------

    @property
    def both_ways(self) -> bool:
        """Whether the peer is known to use both directions: what it answers then comes by this stream.

        One that we have asked to may take no notice (ejabberd 24.10), and nothing in the protocol tells.
        """
        return self.bidi and (self.incoming or self.received_count > 0)

    @property
    def takes(self) -> bool:
        """Whether more may be sent now."""
        confirmations = self.confirmations
        return (
            confirmations.room
            and self.stream.waiting < MOST_WAITING
            and self.federation.has_room(0, confirmations.size)
            and not self.over
        )

    @property
    def _most_bytes(self) -> int:
        """The largest stanza that may be sent: what the peer takes, and what never ends the stream for all others."""
        most = self.stream.bounds.queue_bytes + BURST - MOST_WAITING
        return most if self.max_bytes is None else min(most, self.max_bytes)

    @property
    def queued(self) -> int:
        """Bytes that wait in the pairs that go over it."""
        return sum(pair.size for pair in self.pairs.values())

    def kept(self, size: int) -> None:
        """So many bytes more, or less, are kept for the peer."""
        self.federation.waiting += size

    def send(self, waiting: Waiting) -> None:
        """Send a stanza of a pair that goes over it."""
        size, most = len(waiting.raw), self._most_bytes
        if size > most:
            self._return_large(waiting, f"stanzas of {most} bytes")
            return
        if size > LONGEST_TAG and has_longer_tag(waiting.raw, LONGEST_TAG):
            self._return_large(waiting, f"tags of {LONGEST_TAG} bytes")
            return
        if not waiting.is_own:
            self.active = self.federation.clock.seconds()
        self.stream.write(waiting.raw)
        if self.over:
            # With this too much waited: all that did was dropped, and what was sent before has been seen to.
            error = StanzaError(Condition.REMOTE_SERVER_TIMEOUT, "the connection broke: it has not been sent")
            self.federation.bounce(waiting.stanza, error)
            return
        self.confirmations.add(waiting)
        self._look_for_room()

    def _return_large(self, waiting: Waiting, taken: str) -> None:
        """XEP-0478 §4: "it SHOULD NOT be sent on that stream. Instead, a server SHOULD return an error"."""
        stanza = waiting.stanza
        if not isinstance(stanza, IQ) or stanza.type != "result":
            error = StanzaError(Condition.POLICY_VIOLATION, f"that server takes {taken}")
            self.federation.bounce(stanza, error)
            return
        # No error answers an answer, but whoever waits for this one is to hear of it.
        why = error_element(Condition.POLICY_VIOLATION, f"the answer is larger than {taken}")
        answer = iq("error", why, id=stanza.id or "", to=stanza.to, sender=stanza.sender)
        self.send(Waiting(waiting.pair, answer, answer.to_bytes(ns.SERVER), waiting.since))

    def write(self, data: bytes) -> None:
        self.stream.write(data)

    def relieved(self) -> None:
        """There is room for more of what waits."""
        for domains, pair in list(self.pairs.items()):
            if not self.takes:
                break
            pair.flush()
            if pair.queue and pair.link is self:
                # It has had its turn: next time the others come before it.
                self.pairs[domains] = self.pairs.pop(domains)
        self._look_for_room()

    def _look_for_room(self) -> None:
        """Where too much waits and no confirmation will tell that it has left, look again in a while."""
        confirmations = self.confirmations
        if confirmations and confirmations.way is not Way.NONE:
            return
        if self._crowded is None and not self.takes and not self.over:
            self._crowded = self.scope.later(CROWDED_FOR, self._crowded_no_more)

    def _crowded_no_more(self) -> None:
        self._crowded = None
        self.relieved()

    def ping(self, answered: Callable[[], None]) -> None:
        """Send a ping (XEP-0199 §4.4) behind all else; *answered* is called when any answer comes."""
        domains = next(iter(self.sends), None)
        if domains is None:
            return

        def pong() -> None:
            self._pings.remove(name)
            answered()

        name = self.federation.new_ping(domains, pong)
        self._pings.append(name)
        ping = iq("get", Element("ping", ns.PING), id=name, to=JID("", domains.remote), sender=JID("", domains.local))
        self.stream.send(ping)

    def has_asked(self, answer: IQ) -> bool:
        """Whether a ping with the id of *answer* went over it, which may be answered whatever it may carry by now."""
        return self.bidi and answer.id in self._pings

    def quiet(self) -> None:
        """All of the little that was sent has arrived: nothing may be said for a while."""
        self.stream.rest_now()

    def silent(self) -> None:
        """The peer answers no more: the connection is dead, though nobody has said so."""
        self.why = "it does not answer"
        log.info("server does not answer: closed", peer=self.ip or NO_ADDRESS, remote=self.name)
        self.stream.abort()

    # -- receiving ------------------------------------------------------------------------------------------------

    def received(self, event: Stanza | Element) -> Awaitable[None] | None:
        self.heard = self.federation.clock.seconds()
        if isinstance(event, Stanza):
            return take(self, event)
        if event.ns == ns.DIALBACK:
            self.dialback.take(event)
            return None
        if event.ns == ns.SM:
            manage(self, event)
            return None
        if event.ns == ns.STREAMS and event.name == "error":
            self._peer_failed(event)
            return None
        return self.negotiate(event)

    @abstractmethod
    def negotiate(self, element: Element) -> Awaitable[None] | None:
        """What else is said before stanzas flow."""

    @property
    def settled(self) -> Settled | None:
        """How many stanzas of the peer are settled since it asked us to count; None before."""
        return self.lanes.settled

    def _peer_failed(self, error: Element) -> None:
        """The peer ends the stream with an error, and waits for us to end it, too (RFC 6120 §4.9.1.1)."""
        condition = next((e.name for e in error.elements() if e.ns == ns.STREAM_ERROR and e.name != "text"), "error")
        text = error.text_of(ns.STREAM_ERROR, "text")
        self._peer_has_failed = True
        self.why = f"it closed the stream: {condition}" + (f" ({text[:200]})" if text else "")
        self.peer_condition(condition)
        self.stream.close()

    @abstractmethod
    def peer_condition(self, condition: str) -> None:
        """The stream error that the peer has ended the stream with."""

    # -- the life of the stream -----------------------------------------------------------------------------------

    def last_words(self) -> bytes:
        """XEP-0198 §4: who closes gracefully sends an <a/> before, or what has arrived is sent again."""
        return b"" if self.settled is None else acknowledgement(self.settled.handled)

    def secured(self) -> None:
        self.secure = True

    @property
    def name(self) -> str:
        """The domain at the other end, for people."""
        return next(iter(self.accepts or self.sends), Domains("", "")).remote or "a server"

    def _come_into_use(self) -> None:
        self.since = self.federation.clock.seconds()
        self._in_time()
        self.idle.begin()

    def _may_send(self, domains: Domains) -> None:
        self.federation.authorised(domains, self)

    def _may_not_send(self, domains: Domains) -> None:
        self.federation.unauthorised(domains, self)

    def _in_time(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()

    def _too_slow(self) -> None:
        """RFC 6120 §4.6.4 and §4.9.3.4: a stream that gets nowhere is closed."""
        self._deadline = None
        self.why = self.why or "negotiation took too long"
        self.stream.fail(StreamError(StreamCondition.CONNECTION_TIMEOUT, "negotiation took too long"))

    def ended(self, error: StreamError | None) -> None:
        if self.over:
            return
        self.over = True
        if error is not None and not self.why:
            self.why = f"{error.condition}" + (f": {error.text}" if error.text else "")
        self.why = self.why or "the connection was closed"
        federation = self.federation
        by_the_book = error is None and self.stream.state is not State.GONE and not self._peer_has_failed
        unconfirmed = self.confirmations.close(federation.clock.seconds(), by_the_book=by_the_book)
        if by_the_book and self.settled is not None and self.settled.all_settled:
            federation.recent.forget({domains.remote for domains in self.accepts}, self.settled)
        again = self.confirmations.is_counted
        pairs, self.pairs = self.pairs, {}
        for domains in self.sends:
            federation.unauthorised(domains, self)
        of_each: dict[Pair, list[Waiting]] = {pair: [] for pair in pairs.values()}
        if again:
            for waiting in unconfirmed:
                if waiting.pair in of_each:
                    of_each[waiting.pair].append(waiting)
        for pair, own in of_each.items():
            pair.link = None
            if again:
                pair.put_back(own)
        self.dialback.close()
        for id in self._pings:
            federation.forget_ping(id)
        self.scope.close()
        federation.closed(self)
        used = (self.accepts | self.sends) if self.counts else {}
        for remote in used.values():
            host = federation.host_of(remote.local)
            if host is not None:
                hooks.s2s_disconnected.run(host.chains, remote, self.why)
        if used:
            log.info("server disconnected", remote=self.name, peer=self.ip or NO_ADDRESS, why=self.why)
        lost = StanzaError(Condition.REMOTE_SERVER_TIMEOUT, "the connection broke: it may not have arrived")
        for waiting in unconfirmed:
            if not again or pairs.get(waiting.pair.domains) is not waiting.pair:
                federation.bounce(waiting.stanza, lost)
        young = federation.clock.seconds() - self.since < YOUNG
        for pair in pairs.values():
            if pair.queue:
                federation.find_link(pair, self.why if young else None)

    @abstractmethod
    def disconnected(self) -> None:
        """The connection is gone."""
