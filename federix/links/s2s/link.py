"""A link: one stream between two servers, and the pairs of domains it is authorised for.

What both directions have in common, whoever opened the stream: stanzas come in and are checked, stanzas go out and are
confirmed, dialback and stream management are answered, what is idle is closed, and what dies tells its pairs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, NoReturn
from weakref import proxy

from twisted.logger import Logger

from ...core import hooks
from ...core.chain import Handled
from ...core.remote import Proof
from ...core.rules import ShaperRule
from ...core.settled import Settled
from ...life.scope import Scope, Timer
from ...streams.owner import State
from ...streams.shaper import Shaper
from ...streams.stream import XmppStream
from ...xmpp import ns
from ...xmpp.element import Element
from ...xmpp.errors import Condition, StanzaError, StreamCondition, StreamError
from ...xmpp.jid import JID
from ...xmpp.stanza import IQ, Stanza, iq
from ..lanes import Lanes
from .acks import acknowledgement, manage
from .confirm import Confirmations, Way
from .dialback import DialbackFailed, DialbackSide
from .failed import LinkFailed, bounced_with
from .idle import Idle
from .pair import Domains, Pair, Remote, Waiting

if TYPE_CHECKING:
    from .federation import Federation
    from .trust import Verdict

log = Logger()

#: Pairs that one stream may be authorised for, in each direction; a server that has more opens another.
MOST_PAIRS: Final = 1000
#: Domains for which one certificate is judged.
MOST_VERDICTS: Final = 100
#: Bytes that may wait in a stream before more of its pairs wait; and seconds until those look again where the peer
#: confirms nothing.
MOST_WAITING: Final = 576 * 1024
CROWDED_FOR: Final = 0.2
#: A link that dies before it has so many seconds may die of what it carries: the next one is not opened at once.
YOUNG: Final = 10.0


class Link(ABC):
    """What owns a stream between servers."""

    # There may be thousands.
    __slots__ = (
        "__weakref__",
        "_crowded",
        "_deadline",
        "_peer_has_failed",
        "_pings",
        "_verdicts",
        "accepts",
        "active",
        "bidi",
        "confirmations",
        "dialback",
        "federation",
        "handled",
        "heard",
        "idle",
        "ip",
        "lanes",
        "max_bytes",
        "over",
        "pairs",
        "received_count",
        "scope",
        "secure",
        "sends",
        "since",
        "stream",
        "why",
    )

    incoming = False

    def __init__(self, federation: Federation, stream: XmppStream) -> None:
        self.federation = federation
        self.stream = stream
        self.scope = Scope(federation.clock, "link")
        self.secure = False
        self.over = False
        #: Stanzas may go both ways (XEP-0288).
        self.bidi = False
        #: For whom stanzas are taken, and for whom they may be sent.
        self.accepts: dict[Domains, Remote] = {}
        self.sends: dict[Domains, Remote] = {}
        #: The pairs that go over this link at present.
        self.pairs: dict[Domains, Pair] = {}
        self.dialback = DialbackSide(self)
        # A proxy, and nothing of it is left in a cycle when the connection is gone.
        self.confirmations = Confirmations(proxy(self))
        self.lanes = Lanes(federation.scope, federation.router.route)
        #: XEP-0478: the largest stanza the peer takes, where it has said so.
        self.max_bytes: int | None = None
        #: When there was a stanza, and any byte worth hearing, on the clock.
        self.active = self.heard = self.since = federation.clock.seconds()
        self.ip: str | None = None
        self.received_count = 0
        #: Why it ended, in words.
        self.why = ""
        #: The ids of pings that are not answered: one or two.
        self._pings: list[str] = []
        self._crowded: Timer | None = None
        self._peer_has_failed = False
        self._verdicts: dict[str, Verdict] = {}
        self._deadline: Timer | None = self.scope.later(federation.server.negotiation_timeout, self._too_slow)
        self.idle = Idle(proxy(self))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.stream.peer}>"

    @property
    @abstractmethod
    def local(self) -> str:
        """Our domain that the stream was opened for or by; empty while it is not known."""

    @property
    def counts(self) -> bool:
        """Whether stanzas may go over it: some streams are there to ask something and to be closed again."""
        return True

    @property
    def full(self) -> bool:
        """Whether it is to be authorised for nothing more."""
        return len(self.accepts) >= MOST_PAIRS or len(self.sends) >= MOST_PAIRS

    @property
    @abstractmethod
    def hears_keys(self) -> bool:
        """Whether the peer may ask here to be authorised (XEP-0220 §2.2, XEP-0288 §2.2)."""

    def verdict(self, domain: str) -> Verdict | None:
        """What the peer's certificate says about *domain*; None without TLS."""
        connection = self.stream.tls
        if connection is None or not domain:
            return None
        known = self._verdicts.get(domain)
        if known is None and len(self._verdicts) < MOST_VERDICTS:
            trust = self.federation.trust(self.local)
            known = self._verdicts[domain] = trust.judge(connection, domain, they_connected=self.incoming)
        return known

    def judge(self, domain: str) -> bool:
        """Whether the peer's certificate proves *domain*."""
        verdict = self.verdict(domain)
        return verdict is not None and verdict.valid

    @abstractmethod
    def granted(self, domains: Domains, by: Proof) -> None:
        """The peer has proved that it serves ``domains.remote``, and may send to ``domains.local``."""

    @property
    def authorised(self) -> bool:
        """Whether it is authorised for anything."""
        return bool(self.accepts or self.sends)

    # -- what it may carry ----------------------------------------------------------------------------------------

    def authorise(self, domains: Domains, by: Proof, *, sends: bool, accepts: bool) -> None:
        """From now on stanzas for *domains* may be sent, or taken, or both."""
        federation = self.federation
        remote = Remote(domains.local, domains.remote, by, self.ip, self.secure, self.incoming)
        first = not self.authorised
        if accepts and domains not in self.accepts:
            self.accepts[domains] = remote
        if sends and domains not in self.sends:
            self.sends[domains] = remote
            federation.authorised(domains, self)
        if first:
            self.since = federation.clock.seconds()
            self._in_time()
            self.idle.begin()
        log.info(
            "server authorised",
            local=domains.local,
            remote=domains.remote,
            by=by,
            peer=self.ip or "unix socket",
            direction="incoming" if self.incoming else "outgoing",
            bidi=self.bidi,
        )
        host = federation.host_of(domains.local)
        if host is not None:
            hooks.s2s_connected.run(host.chains, remote)

    @abstractmethod
    def can_add(self, domains: Domains) -> bool:
        """Whether one may try to have this stream authorised for *domains*, too (XEP-0220 §2.6)."""

    async def add(self, domains: Domains) -> None:
        """Have it authorised for *domains*; raises `LinkFailed`."""
        try:
            await self.dialback.ask(domains)
        except DialbackFailed as failed:
            # Where the stream ended meanwhile, that may have had other reasons: one of its own is tried.
            raise LinkFailed(failed.text, bounced_with(failed), final=not self.over, alone=True) from None
        by: Proof = "certificate" if self.judge(domains.remote) else "dialback"
        self.authorise(domains, by, sends=True, accepts=self.bidi)

    def withdraw(self, local: str) -> None:
        """A domain of ours is served no more: end what there is for it, and the stream if nothing else is left."""
        self._revoke([each for each in self.accepts | self.sends if each.local == local])
        if self.local == local or not self.authorised:
            self.stream.fail(StreamError(self.federation.good_bye))

    def reconsider(self) -> None:
        """Who may be spoken with has changed, perhaps."""
        both = self.accepts | self.sends
        refused = [domains for domains in both if not self.federation.speaks_with(domains, self.ip)]
        self._revoke(refused)
        if refused and not self.authorised:
            self.why = "it is not allowed any more"
            self.stream.fail(StreamError(StreamCondition.POLICY_VIOLATION, "we do not speak with you any more"))

    def _revoke(self, all_domains: list[Domains]) -> None:
        for domains in all_domains:
            self.accepts.pop(domains, None)
            if self.sends.pop(domains, None) is not None:
                self.federation.unauthorised(domains, self)
            pair = self.pairs.pop(domains, None)
            if pair is not None:
                pair.link = None

    def shape(self, rule: ShaperRule, domains: Domains) -> None:
        """Read no faster than *rule* lets a server send that is authorised for *domains*; once."""
        rate = self.federation.rate(rule, domains, self.ip)
        if self.stream.shaper is None and rate is not None:
            self.stream.shaper = Shaper(rate.rate, rate.burst_size, self.federation.clock.seconds)

    def may_reverse(self, domains: Domains) -> bool:
        """Whether we may use the other direction of a stream that a server has opened to us (XEP-0288)."""
        return self.bidi and self.federation.speaks_with(domains, self.ip)

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
    def queued(self) -> int:
        """Bytes that wait in the pairs that go over it."""
        return sum(pair.size for pair in self.pairs.values())

    def kept(self, size: int) -> None:
        """So many bytes more, or less, are kept for the peer."""
        self.federation.waiting += size

    def send(self, pair: Pair, waiting: Waiting) -> None:
        """Send a stanza of *pair*."""
        if self.max_bytes is not None and waiting.size > self.max_bytes:
            # XEP-0478 §4: "it SHOULD NOT be sent on that stream. Instead, a server SHOULD return an error".
            error = StanzaError(Condition.POLICY_VIOLATION, f"that server takes stanzas of {self.max_bytes} bytes")
            self.federation.bounce(waiting.stanza, error)
            return
        stanza = waiting.stanza
        if not _between_servers(stanza, stanza.to, stanza.sender):
            self.active = self.federation.clock.seconds()
        self.stream.send(stanza)
        self.confirmations.add(pair, waiting)
        if self.confirmations.way is Way.NONE:
            self._look_for_room()

    def write(self, data: bytes) -> None:
        self.stream.write(data)

    def relieved(self) -> None:
        """There is room for more of what waits."""
        for pair in list(self.pairs.values()):
            pair.flush()
        self._look_for_room()

    def _look_for_room(self) -> None:
        """Where too much waits and no confirmation will tell that it has left, look again in a while."""
        if self._crowded is None and self.confirmations.way is Way.NONE and not self.takes and not self.over:
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

    def quiet(self) -> None:
        """All of the little that was sent has arrived: nothing may be said for a while."""
        self.stream.rest_now()

    def silent(self) -> None:
        """The peer answers no more: the connection is dead, though nobody has said so."""
        self.why = "it does not answer"
        log.info("server does not answer: closed", peer=self.ip or "unix socket", remote=self.name)
        self.stream.abort()

    # -- receiving ------------------------------------------------------------------------------------------------

    def received(self, event: Stanza | Element) -> Awaitable[None] | None:
        self.heard = self.federation.clock.seconds()
        if isinstance(event, Stanza):
            return self._take(event)
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

    def _take(self, stanza: Stanza) -> Awaitable[None] | None:
        """A stanza from the peer: RFC 6120 §8.1.1.2, §8.1.2.2."""
        try:
            to, sender = stanza.to, stanza.sender
        except StanzaError as error:
            raise StreamError(StreamCondition.IMPROPER_ADDRESSING, error.text) from None
        if to is None or sender is None:
            raise StreamError(StreamCondition.IMPROPER_ADDRESSING, "a stanza between servers has 'from' and 'to'")
        remote = self.accepts.get((to.domain, sender.domain))  # type: ignore[call-overload]
        if remote is None:
            self._refuse(to.domain, sender.domain)
        self.received_count += 1
        federation = self.federation
        if isinstance(stanza, IQ) and federation.answered(stanza, to, sender):
            self._settled_at_once()
            return None
        if not _between_servers(stanza, to, sender):
            self.active = self.heard
        host = federation.host_of(to.domain)
        if host is None or not host.chains.of_kind(hooks.s2s_receive_packet, stanza):
            return self.lanes.take(stanza, to)
        try:
            outcome = hooks.s2s_receive_packet.run(host.chains, remote, stanza)
        except StanzaError as error:
            self._settled_at_once()
            return federation.router.bounce(stanza, error)
        if isinstance(outcome, Handled):
            self._settled_at_once()
            return None
        if isinstance(outcome, Stanza):
            return self.lanes.take(outcome, to)
        return self._take_later(stanza, outcome, to)

    async def _take_later(self, stanza: Stanza, waiting: Awaitable[Stanza | Handled], to: JID) -> None:
        routing: Awaitable[None] | None = None
        try:
            outcome = await waiting
        except StanzaError as error:
            self._settled_at_once()
            routing = self.federation.router.bounce(stanza, error)
        else:
            if isinstance(outcome, Stanza):
                routing = self.lanes.take(outcome, to)
            else:
                self._settled_at_once()
        if routing is not None:
            await routing

    @property
    def settled(self) -> Settled | None:
        """How many stanzas of the peer are settled since it asked us to count; None before."""
        return self.lanes.settled

    def _settled_at_once(self) -> None:
        if self.lanes.settled is not None:
            self.lanes.settled.at_once()

    def _refuse(self, local: str, remote: str) -> NoReturn:
        """A stanza for a pair that the peer has not been authorised for."""
        if not self.authorised:
            raise StreamError(StreamCondition.NOT_AUTHORIZED)
        if not any(domains.remote == remote for domains in self.accepts):
            # RFC 6120 §4.9.3.9: "a 'from' attribute does not match … [a] validated domain as negotiated".
            raise StreamError(StreamCondition.INVALID_FROM, f"{remote} has not been authorised here")
        if not self.federation.serves(local):
            raise StreamError(StreamCondition.HOST_UNKNOWN, f"{local} is not served here")
        raise StreamError(StreamCondition.NOT_AUTHORIZED, f"{remote} has not been authorised to send to {local}")

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
        again = self.confirmations.way is Way.ACKS
        pairs, self.pairs = self.pairs, {}
        for domains in self.sends:
            federation.unauthorised(domains, self)
        for pair in pairs.values():
            pair.link = None
            if again:
                pair.put_back([waiting for owner, waiting in unconfirmed if owner is pair])
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
            log.info("server disconnected", remote=self.name, peer=self.ip or "unix socket", why=self.why)
        if not again:
            lost = StanzaError(Condition.REMOTE_SERVER_TIMEOUT, "the connection broke: it may not have arrived")
            for _, waiting in unconfirmed:
                federation.bounce(waiting.stanza, lost)
        young = federation.clock.seconds() - self.since < YOUNG
        for pair in pairs.values():
            if pair.queue:
                federation.find_link(pair, self.why if young else None)

    @abstractmethod
    def disconnected(self) -> None:
        """The connection is gone."""


def _between_servers(stanza: Stanza, to: JID | None, sender: JID | None) -> bool:
    """Whether it is an iq of the servers themselves, such as a ping or its answer: a stream is not needed for that."""
    if not isinstance(stanza, IQ) or to is None or sender is None:
        return False
    return not (to.local or to.resource or sender.local or sender.resource)
