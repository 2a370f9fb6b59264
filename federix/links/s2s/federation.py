"""Other servers: the node of the tree that takes what is for no domain of ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

from twisted.internet.defer import DeferredSemaphore
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.task import deferLater
from twisted.logger import Logger

from ...core import hooks
from ...core.access import Access, Rate
from ...core.chain import Handled
from ...core.conditions import Who
from ...core.host import Host
from ...core.host_options import HostOptions
from ...core.router import Router
from ...core.rules import ShaperRule
from ...core.s2s_options import S2SServerOptions
from ...core.s2s_rules import ANYWHERE, speaks_with, uses_bidi
from ...life.tree import Node, State
from ...streams.accepted import AcceptedStream
from ...streams.budget import Budget
from ...streams.certificates import Certificates
from ...streams.dial import Target
from ...streams.outbox import Bounds
from ...streams.owner import Counters
from ...streams.resolver import Resolver
from ...streams.tls import TlsSettings
from ...streams.turn import Turn
from ...xmpp import ns
from ...xmpp.dialback import DialbackKeys
from ...xmpp.errors import Condition, StanzaError, StreamCondition, StreamError
from ...xmpp.jid import JID
from ...xmpp.limits import BEFORE_AUTHENTICATION, Limits
from ...xmpp.stanza import IQ, Stanza
from ..recent import Recent
from .dialer import Dialer
from .incoming import IncomingLink
from .link import Link
from .listener import S2SListener
from .outgoing import OutgoingLink, OutgoingStream, Purpose
from .pair import Domains, Pair
from .trust import Trust, client_creator
from .verifying import Verifications

log = Logger()

#: Pairs, and bytes of stanzas that are kept for all of them; and what one may keep when that is too much.
MOST_PAIRS: Final = 20_000
MOST_WAITING: Final = 64 * 1024 * 1024
SHARE: Final = 64 * 1024
#: Streams that are opened at a time.
DIALS_AT_ONCE: Final = 500
#: When there are so many pairs, those without use are forgotten before the next sweep, but not all the time (seconds).
FORGET_AFTER: Final = 1.0
#: Pings that wait for an answer; and how often what is not needed any more is swept up, in seconds.
MOST_PINGS: Final = 100_000
SWEEP_EVERY: Final = 60.0
#: Seconds that other servers have to take leave when the server stops.
CLOSING_TAKES: Final = 2.0
#: Why nothing goes to a server any more that is not connected.
_STOPPING: Final = "this server, or its domain, is about to stop"
#: What a server that we have connected to may send; of those who connect to us their listener says it.
LIMITS: Final = Limits(stanza_bytes=512 * 1024, attributes=72, tree_bytes=5 * 512 * 1024)
#: What may wait in one stream; what is not confirmed is bounded before that.
BOUNDS: Final = Bounds(2 * 1024 * 1024, 20_000, 60.0)


class S2SServer(Protocol):
    """What federation asks of the server around it."""

    @property
    def reactor(self) -> Any: ...
    @property
    def router(self) -> Router: ...
    @property
    def turn(self) -> Turn: ...
    @property
    def counters(self) -> Counters: ...
    @property
    def budget(self) -> Budget: ...
    @property
    def s2s(self) -> S2SServerOptions: ...
    @property
    def s2s_shaper(self) -> ShaperRule: ...
    @property
    def negotiation_timeout(self) -> float: ...
    @property
    def default_host(self) -> str: ...
    @property
    def resolver(self) -> Resolver: ...
    @property
    def certificate_store(self) -> Certificates: ...
    def s2s_trust(self, domain: str) -> Trust: ...
    def s2s_tls(self) -> TlsSettings: ...
    def access(self, domain: str) -> Access: ...
    def host(self, domain: str) -> Host | None: ...
    def host_options(self, domain: str) -> HostOptions: ...
    def random_bytes(self, count: int) -> bytes: ...
    def token(self) -> str: ...


class Federation(Node):
    """Sends to other servers and hears from them: pairs, links and dialers (see ARCHITECTURE.md)."""

    limits = LIMITS

    def __init__(self, server: S2SServer, clock: Any) -> None:
        super().__init__("federation", clock)
        self.server = server
        self.pairs: dict[Domains, Pair] = {}
        self.links: set[Link] = set()
        #: Streams of ours that have a connection; a link is over before that is gone.
        self.opened: set[OutgoingStream] = set()
        #: What came over links whose peers may send it again.
        self.recent = Recent(clock)
        self.dialers: dict[str, Dialer] = {}
        self._forgotten = float("-inf")
        #: Domains of ours that are about to go: no link is looked for any more.
        self._leaving: set[str] = set()
        #: Bytes that wait in all pairs.
        self.waiting = 0
        self.keys = DialbackKeys(server.random_bytes(32))
        self.dials = DeferredSemaphore(DIALS_AT_ONCE)
        self.verifications = Verifications(self)
        self._by_domains: dict[Domains, list[Link]] = {}
        self._pings: dict[str, tuple[Domains, Callable[[], None]]] = {}
        self._watchers: dict[Domains, Callable[[str], object]] = {}

    # -- life -----------------------------------------------------------------------------------------------------

    async def on_start(self) -> None:
        self._leaving.clear()
        self.router.elsewhere = self
        self.scope.add(self._leave)
        self.router.on_unregistered = self.withdraw
        self._sweep()

    def _leave(self) -> None:
        self.router.elsewhere = None
        self.router.on_unregistered = None

    def let_go(self, domains: Iterable[str]) -> None:
        """*domains* of ours are about to go: what has no link goes back, as long as those who sent it are there."""
        self._leaving.update(domains)
        for pair in list(self.pairs.values()):
            if pair.link is None and pair.domains.local in self._leaving:
                pair.bounce(StanzaError(Condition.REMOTE_SERVER_TIMEOUT, _STOPPING))

    async def on_drain(self, deadline: float) -> None:
        """What waits may still leave."""
        while self.clock.seconds() < deadline and any(pair.queue and pair.link for pair in self.pairs.values()):
            await deferLater(self.clock, 0.05, lambda: None)

    async def on_stop(self) -> None:
        for dialer in self.dialers.values():
            dialer.stop()
        for link in list(self.links):
            link.stream.fail(StreamError(StreamCondition.SYSTEM_SHUTDOWN))
        deadline = self.clock.seconds() + CLOSING_TAKES
        while self.opened and self.clock.seconds() < deadline:
            await deferLater(self.clock, 0.05, lambda: None)
        for stream in list(self.opened):
            stream.abort()
        self.pairs.clear()
        self.dialers.clear()

    def _sweep(self) -> None:
        """Forget what is not needed any more."""
        self._forget_pairs()
        for remote, dialer in list(self.dialers.items()):
            if dialer.idle:
                del self.dialers[remote]
        self.scope.later(SWEEP_EVERY, self._sweep)

    def reconfigure(self) -> None:
        """Who may be spoken with, and how, has changed, perhaps: what is not allowed any more ends."""
        for dialer in self.dialers.values():
            dialer.reconsider()
        for link in list(self.links):
            link.reconsider()
        for domains, pair in list(self.pairs.items()):
            if not self.speaks_with(domains, ANYWHERE):
                pair.bounce(StanzaError(Condition.FORBIDDEN, f"{domains.local} does not speak with {domains.remote}"))
                del self.pairs[domains]
            elif pair.queue and pair.link is None:
                self.find_link(pair)  # it may have had one, to an address that is not allowed any more

    def _forget_pairs(self) -> None:
        self._forgotten = self.clock.seconds()
        for domains, pair in list(self.pairs.items()):
            if pair.link is None and not pair.queue:
                del self.pairs[domains]

    # -- what its parts ask for -----------------------------------------------------------------------------------

    @property
    def router(self) -> Router:
        return self.server.router

    @property
    def resolver(self) -> Resolver:
        return self.server.resolver

    def serves(self, domain: str) -> bool:
        """Whether *domain* is ours."""
        return self.router.serves(domain)

    def host_of(self, domain: str) -> Host | None:
        """The host whose options and modules are in force for *domain*: itself, or the one it lies under."""
        name = domain
        while name:
            host = self.server.host(name)
            if host is not None:
                return host
            name = name.partition(".")[2]
        return self.server.host(self.server.default_host)

    def options(self, domain: str) -> HostOptions:
        host = self.host_of(domain)
        return self.server.host_options(self.server.default_host if host is None else host.name)

    def speaks_with(self, domains: Domains, ip: str | None) -> bool:
        """Whether `s2s_access` and the modules allow it."""
        host = self.host_of(domains.local)
        return host is not None and speaks_with(host, domains.remote, ip)

    def uses_bidi(self, local: str) -> bool:
        """Whether streams of that domain may be used in both directions."""
        host = self.host_of(local)
        return host is not None and uses_bidi(host)

    def rate(self, rule: ShaperRule, domains: Domains, ip: str | None) -> Rate | None:
        host = self.host_of(domains.local)
        name = self.server.default_host if host is None else host.name
        return self.server.access(name).rate(rule, Who(JID("", domains.remote), ip, name))

    def trust(self, local: str) -> Trust:
        host = self.host_of(local)
        return self.server.s2s_trust(self.server.default_host if host is None else host.name)

    def client_creator(self, domains: Domains) -> IOpenSSLClientConnectionCreator:
        certificates = self.server.certificate_store
        return client_creator(certificates, domains.local, domains.remote, b"xmpp-server", self.server.s2s_tls())

    def has_certificate(self, local: str) -> bool:
        return self.server.certificate_store.chain_for(local) is not None

    def chance(self) -> float:
        """A random number from 0 to 1."""
        return int.from_bytes(self.server.random_bytes(4), "big") / (1 << 32)

    def has_room(self, size: int, own: int) -> bool:
        """Whether so many bytes more may be kept where *own* are already: each has a little, whatever others do."""
        return self.waiting + size <= MOST_WAITING or own + size <= SHARE

    @property
    def good_bye(self) -> StreamCondition:
        """Why a domain is served no more: it alone, or the whole server."""
        return StreamCondition.HOST_GONE if self.state is State.RUNNING else StreamCondition.SYSTEM_SHUTDOWN

    def max_bytes(self, link: Link) -> int:
        """The largest stanza we take on *link*."""
        if isinstance(link, IncomingLink):
            return link.listener.limits_after().stanza_bytes
        return self.limits.stanza_bytes

    def bounce(self, stanza: Stanza, error: StanzaError) -> None:
        """Return *stanza* to its sender."""
        waiting = self.router.bounce(stanza, error)
        if waiting is not None:
            self.scope.spawn(waiting)

    # -- sending --------------------------------------------------------------------------------------------------

    def deliver(self, stanza: Stanza) -> Awaitable[None] | None:
        """Take a stanza for a domain that is not ours (RFC 6120 §10.4)."""
        to, sender = stanza.to, stanza.sender
        if to is None or sender is None:
            raise StanzaError(Condition.BAD_REQUEST, "it has no sender")
        pair = self.pairs.get((sender.domain, to.domain))  # type: ignore[call-overload]
        if pair is None:
            pair = self._new_pair(Domains(sender.domain, to.domain))
        host = self.host_of(sender.domain)
        if host is not None and host.chains.of_kind(hooks.s2s_send_packet, stanza):
            outcome = hooks.s2s_send_packet.run(host.chains, pair.domains, stanza)
            if isinstance(outcome, Handled):
                return None
            if not isinstance(outcome, Stanza):
                return self._deliver_later(pair.domains, outcome)
            stanza = outcome
        pair.send(stanza)
        return None

    async def _deliver_later(self, domains: Domains, waiting: Awaitable[Stanza | Handled]) -> None:
        outcome = await waiting
        if isinstance(outcome, Stanza):
            (self.pairs.get(domains) or self._new_pair(domains)).send(outcome)

    def _new_pair(self, domains: Domains) -> Pair:
        if not self.serves(domains.local):
            raise StanzaError(Condition.NOT_ALLOWED, "it comes from no domain of this server")
        if not domains.remote:
            raise StanzaError(Condition.REMOTE_SERVER_NOT_FOUND)
        # RFC 6120 has no word for it; ejabberd says the same.
        if not self.speaks_with(domains, ANYWHERE):
            raise StanzaError(Condition.FORBIDDEN, f"{domains.local} does not speak with {domains.remote}")
        if len(self.pairs) >= MOST_PAIRS and self.clock.seconds() - self._forgotten >= FORGET_AFTER:
            self._forget_pairs()
        if len(self.pairs) >= MOST_PAIRS:
            raise StanzaError(Condition.RESOURCE_CONSTRAINT, "too many servers are spoken with")
        pair = self.pairs[domains] = Pair(self, domains)
        return pair

    def find_link(self, pair: Pair, died: str | None = None) -> None:
        """Have *pair* go over a link that is there, or look for one; *died*: why the last one lived but a moment."""
        if not self.running:
            return
        for link in self._by_domains.get(pair.domains, ()):
            link.pairs[pair.domains] = pair
            pair.assign(link)
            return
        if pair.domains.local in self._leaving:
            pair.bounce(StanzaError(Condition.REMOTE_SERVER_TIMEOUT, _STOPPING))
            return
        dialer = self.dialers.get(pair.domains.remote)
        if dialer is None:
            if len(self.dialers) >= MOST_PAIRS:
                self._forget_a_dialer()
            dialer = self.dialers[pair.domains.remote] = Dialer(self, pair.domains.remote)
        if died is not None:
            dialer.rest(died)
        dialer.want(pair)

    def forget(self, dialer: Dialer) -> None:
        """It has nothing to do, and nothing to remember."""
        if self.dialers.get(dialer.remote) is dialer:
            del self.dialers[dialer.remote]

    def _forget_a_dialer(self) -> None:
        """Somebody has us look for very many servers: the one that was met first, and is not being looked for, goes."""
        for remote, dialer in self.dialers.items():
            if not dialer.busy:
                dialer.stop()
                del self.dialers[remote]
                return

    def outgoing_to(self, remote: str) -> list[OutgoingLink]:
        """The streams of ours on which *remote* is spoken with, or that lead to where it lives."""
        found = [link for link in self.links if isinstance(link, OutgoingLink)]
        return [link for link in found if any(domains.remote == remote for domains in link.sends)]

    # -- links ----------------------------------------------------------------------------------------------------

    def new_incoming(self, listener: S2SListener, stream: AcceptedStream) -> IncomingLink:
        """The link of a server that has connected."""
        link = IncomingLink(self, listener, stream)
        self.links.add(link)
        return link

    def new_outgoing(self, domains: Domains, target: Target, purpose: Purpose) -> OutgoingStream:
        """A stream for a connection of ours that is just coming about."""
        server = self.server
        limits = BEFORE_AUTHENTICATION
        stream = OutgoingStream(self.clock, self.scope, server.turn, server.counters, ns.SERVER, limits)
        stream.bounds = BOUNDS
        stream.common_budget = server.budget
        stream.link = OutgoingLink(self, stream, domains, target, purpose)
        stream.owner = stream.link
        return stream

    def authorised(self, domains: Domains, link: Link) -> None:
        """From now on *link* may carry what goes from one of *domains* to the other."""
        self._by_domains.setdefault(domains, []).append(link)
        pair = self.pairs.get(domains)
        if pair is not None and pair.link is None:
            link.pairs[domains] = pair
            pair.assign(link)

    def unauthorised(self, domains: Domains, link: Link) -> None:
        links = self._by_domains.get(domains)
        if links is not None and link in links:
            links.remove(link)
            if not links:
                del self._by_domains[domains]

    def closed(self, link: Link) -> None:
        self.links.discard(link)

    def withdraw(self, local: str) -> None:
        """A domain is served here no more."""
        for link in list(self.links):
            link.withdraw(local)
        for domains, pair in list(self.pairs.items()):
            if domains.local == local:
                pair.bounce(StanzaError(Condition.REMOTE_SERVER_TIMEOUT))
                del self.pairs[domains]
        self._leaving.discard(local)

    # -- pings of our own -----------------------------------------------------------------------------------------

    def new_ping(self, domains: Domains, answered: Callable[[], None]) -> str:
        """An id for a ping on the stream of *domains*; *answered* is called when its answer comes."""
        id = f"s2s-{self.server.token()}"
        if len(self._pings) < MOST_PINGS:
            self._pings[id] = (domains, answered)
        return id

    def forget_ping(self, id: str) -> None:
        self._pings.pop(id, None)

    def answered(self, answer: IQ, to: JID, sender: JID) -> Callable[[], object] | None:
        """Whom to tell of *answer*, if it is to a ping of ours; any stream authorised for the pair may bring it."""
        if answer.type not in ("result", "error") or to.local:
            return None
        waiting = self._pings.get(answer.id or "")
        if waiting is None or waiting[0] != (to.domain, sender.domain):
            return None
        del self._pings[answer.id or ""]
        return waiting[1]

    # -- for the operator -----------------------------------------------------------------------------------------

    @contextmanager
    def watched(self, domains: Domains, step: Callable[[str], object]) -> Iterator[None]:
        """Tell *step* what happens on the way to a link for *domains*."""
        self._watchers[domains] = step
        try:
            yield
        finally:
            self._watchers.pop(domains, None)

    def step(self, domains: Domains, text: str) -> None:
        """Something happened on the way to a link; whoever watches is told."""
        watcher = self._watchers.get(domains)
        if watcher is not None:
            watcher(text)
