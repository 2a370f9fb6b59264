"""Streams that we open to other servers (RFC 6120 §2.5, §3, §4, §5, §6)."""

from __future__ import annotations

from collections.abc import Awaitable
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from ...core.remote import Proof
from ...core.s2s_rules import dialback_suffices, uses_dialback
from ...streams.budget import Budget
from ...streams.dial import Target
from ...streams.eager import make_eager
from ...streams.headers import header_error
from ...streams.stream import XmppStream
from ...xmpp import ns
from ...xmpp.dialback import understands_errors
from ...xmpp.element import Element
from ...xmpp.errors import Condition, StreamCondition, StreamError
from ...xmpp.events import Header
from ...xmpp.sasl import encode_base64
from .dialback import DialbackFailed
from .failed import LinkFailed, bounced_with
from .limits import heed, ours
from .link import Link
from .pair import Domains, Remote

if TYPE_CHECKING:
    from .federation import Federation

#: Stream errors with which a peer says that it will not have us, whenever we come again; all others may pass.
_FINAL: Final = {
    StreamCondition.HOST_UNKNOWN: Condition.REMOTE_SERVER_NOT_FOUND,
    StreamCondition.NOT_AUTHORIZED: Condition.REMOTE_SERVER_TIMEOUT,
    StreamCondition.POLICY_VIOLATION: Condition.REMOTE_SERVER_TIMEOUT,
    StreamCondition.INVALID_FROM: Condition.REMOTE_SERVER_TIMEOUT,
    StreamCondition.IMPROPER_ADDRESSING: Condition.REMOTE_SERVER_TIMEOUT,
    StreamCondition.UNSUPPORTED_VERSION: Condition.REMOTE_SERVER_TIMEOUT,
    StreamCondition.UNSUPPORTED_STANZA_TYPE: Condition.REMOTE_SERVER_TIMEOUT,
}


class Purpose(Enum):
    """What a stream is opened for."""

    STANZAS = "stanzas"
    VERIFY = "verify"  # to ask about a key of dialback, and for nothing else (XEP-0220 §2.1.2)
    TRY = "try"  # to see whether it can be done; no stanza goes over it


class Expected(Enum):
    """What the peer is to say next on the way to a login."""

    NOTHING = 0
    FEATURES = 1
    PROCEED = 2
    LOGIN = 3
    OUTCOME = 4  # of a login in which it has asked for more


class OutgoingLink(Link):
    """The initiating server's end, for the pair *domains* to begin with.

    `until_ready` waits until that is authorised, or whatever else its *purpose* needs.
    """

    __slots__ = (
        "_authenticated",
        "_counts",
        "_dialled_back",
        "_expects",
        "_failure",
        "_is_ready",
        "_proof",
        "_ready",
        "dialback_errors",
        "domains",
        "purpose",
        "target",
    )

    def __init__(
        self, federation: Federation, stream: XmppStream, domains: Domains, target: Target, purpose: Purpose
    ) -> None:
        super().__init__(federation, stream)
        self.domains = domains
        self.target = target
        self.purpose = purpose
        self._ready: Deferred[None] | None = None
        self._is_ready = False
        #: Whether the peer understands errors of dialback, so that one stream can serve many domains (§2.6.2).
        self.dialback_errors = False
        self._authenticated = False
        self._dialled_back = False
        self._expects = Expected.NOTHING
        self._proof: Proof = "dialback"
        self._counts = False
        self._failure: LinkFailed | None = None

    @property
    def local(self) -> str:
        return self.domains.local

    @property
    def counts(self) -> bool:
        return self.purpose is Purpose.STANZAS

    @property
    def name(self) -> str:
        return self.domains.remote

    def step(self, text: str) -> None:
        """Tell whoever looks on what happens."""
        self.federation.step(self.domains, text)

    # -- beginning ------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The connection is there."""
        self.ip = self.stream.peer
        if not self.federation.serves(self.domains.local):
            self._give_up(f"{self.domains.local} is served here no more", alone=True)
        elif self.purpose is not Purpose.VERIFY and self._is_forbidden():
            return
        elif self.target.direct_tls:
            self._start_tls()
        else:
            self._open()

    def _is_forbidden(self) -> bool:
        """Whether the peer may not be spoken with: then it ends."""
        if self.federation.speaks_with(self.domains, self.ip):
            return False
        text = f"s2s_access does not allow {self.domains.remote} at {self.ip}"
        self._give_up(text, Condition.FORBIDDEN, ours=True)
        return True

    def _open(self) -> None:
        self.stream.send_header(self.header())

    def header(self) -> dict[str, str | None]:
        """Our own header (RFC 6120 §4.7)."""
        return {
            "xmlns:db": ns.DIALBACK,
            "from": self.domains.local,
            "to": self.domains.remote,
            "version": "1.0",
            "xml:lang": self.federation.options(self.domains.local).language,
        }

    def opened(self, header: Header) -> None:
        error = header_error(header, ns.SERVER, old=True)
        if error is not None:
            self.why = "its stream header is wrong"
            self.stream.fail(error)
            return
        self.dialback.stream_id = header.get("id") or ""
        if header.get("version") is None:
            self.step("It speaks the protocol of before RFC 3920: dialback alone")
            self._features(Element("features", ns.STREAMS))
        else:
            self._expects = Expected.FEATURES

    def negotiate(self, element: Element) -> Awaitable[None] | None:
        """What it says in its turn. Anything else could begin anew what is in use, or never come to an end."""
        expected, self._expects = self._expects, Expected.NOTHING
        match expected, element.ns, element.name:
            case Expected.FEATURES, ns.STREAMS, "features":
                self._features(element)
            case Expected.PROCEED, ns.TLS, "proceed":
                self._start_tls()
            case Expected.PROCEED, ns.TLS, "failure":
                self._give_up("it offers TLS and then refuses it", final=False)
            case Expected.LOGIN | Expected.OUTCOME, ns.SASL, "success":
                self.step("It knows us by our certificate")
                self._authenticated = True
                self.stream.restart(self.federation.limits)
                self._open()
            case Expected.LOGIN, ns.SASL, "challenge":
                self._expects = Expected.OUTCOME
                self.stream.send_element(Element("response", ns.SASL))
            case Expected.LOGIN | Expected.OUTCOME, ns.SASL, "failure":
                why = next((child.name for child in element.elements()), "no reason given")
                self.step(f"It does not take our certificate: {why}")
                self._dial_back(f"it does not take our certificate ({why})")
            case _, (ns.BIDI | ns.BIDI_FEATURE), _:
                self._expects = expected  # there is no such answer, and no harm in it
            case _:
                raise StreamError(StreamCondition.UNSUPPORTED_STANZA_TYPE)
        return None

    # -- TLS ------------------------------------------------------------------------------------------------------

    def _start_tls(self) -> None:
        self.bidi = False
        creator = self.federation.client_creator(self.domains)
        self.stream.start_tls(creator, client=True)

    def secured(self) -> None:
        super().secured()
        connection = self.stream.tls
        assert connection is not None
        self.step(f"{connection.get_protocol_version_name()}, {connection.get_cipher_name()}")
        if self.purpose is not Purpose.VERIFY and self._mistrusts(self.domains.remote):
            return
        self._open()

    def _mistrusts(self, domain: str) -> bool:
        """Whether the certificate proves nothing, and DNS does not suffice: then it ends."""
        verdict = self.verdict(domain)
        host = self.federation.host_of(self.domains.local)
        if verdict is not None:
            self.step(f"Its certificate is {'good' if verdict.valid else 'not good'}: {verdict.reason}")
        if verdict is not None and verdict.valid:
            self._proof = "certificate"
            return False
        if host is not None and dialback_suffices(host, domain, self.ip):
            return False
        reason = "there is no TLS, so no certificate" if verdict is None else f"its certificate: {verdict.reason}"
        self._give_up(f"{reason}; and dialback does not suffice for it", ours=True)
        return True

    # -- features -------------------------------------------------------------------------------------------------

    def _features(self, features: Element) -> None:
        options = self.federation.options(self.domains.local)
        if not self.secure:
            if options.tls_offered and features.child(ns.TLS, "starttls") is not None:
                self.step("It offers STARTTLS")
                self._expects = Expected.PROCEED
                self.stream.send_element(Element("starttls", ns.TLS))
                return
            self.step("It offers no TLS")
            if options.tls_required:
                self._give_up("it offers no TLS, which s2s_use_starttls demands", ours=True)
                return
            if self.purpose is not Purpose.VERIFY and self._mistrusts(self.domains.remote):
                return
        heed(self, features)
        self.dialback_errors = understands_errors(features)
        self._counts = features.child(ns.SM, "sm") is not None
        if self.purpose is Purpose.VERIFY:
            self._in_time()
            self._be_ready()
        elif self._authenticated:
            self._done(self.domains, self._proof)
        else:
            self._enable_bidi(features)
            self._authenticate(features)

    def _enable_bidi(self, features: Element) -> None:
        """XEP-0288 §2.2, before anything that authenticates. One ejabberd offered it in the other namespace."""
        offered = features.child(ns.BIDI_FEATURE, "bidi") or features.child(ns.BIDI, "bidi")
        if offered is None or not self.federation.uses_bidi(self.domains.local):
            return
        self.step("It can use the stream in both directions")
        self.bidi = True
        self.stream.send_element(Element("bidi", ns.BIDI, ours(self)))

    def _authenticate(self, features: Element) -> None:
        mechanisms = features.child(ns.SASL, "mechanisms")
        offered = [] if mechanisms is None else [e.text.strip() for e in mechanisms.children_of(ns.SASL, "mechanism")]
        if "EXTERNAL" in offered and self.federation.has_certificate(self.domains.local):
            self.step("It offers SASL EXTERNAL")
            self._expects = Expected.LOGIN
            # XEP-0178 §3, step 10: "SHOULD include the authorization identity for backward compability".
            name = encode_base64(self.domains.local.encode())
            self.stream.send_element(Element("auth", ns.SASL, text=name, attrs={"mechanism": "EXTERNAL"}))
        else:
            self.step("It does not offer SASL EXTERNAL" if mechanisms is None else f"It offers {', '.join(offered)}")
            self._dial_back("it does not know us by our certificate")

    def _dial_back(self, why: str) -> None:
        host = self.federation.host_of(self.domains.local)
        if host is None or not uses_dialback(host):
            self._give_up(f"{why}, and dialback is switched off", alone=True)
            return
        if self._dialled_back:
            return
        self._dialled_back = True
        self.federation.scope.spawn(self._prove())

    async def _prove(self) -> None:
        self.step("Dialback: it connects to us to verify our key")
        try:
            await self.dialback.ask(self.domains)
        except DialbackFailed as failed:
            if not self.over:
                self._give_up(failed.text, bounced_with(failed), final=not failed.passes, alone=True)
        else:
            self.step("Dialback succeeded")
            self._done(self.domains, self._proof)

    def _done(self, domains: Domains, by: Proof) -> None:
        if self._is_forbidden():
            return  # it was not when this began
        if self._counts:
            # XEP-0198 §4: "set to zero and started after sending […] <enable/>": before the first stanza.
            self._counts = False
            self.write(Element("enable", ns.SM).to_bytes())
            self.confirmations.counts()
        self.stream.limit(self.federation.limits)
        if self.bidi:
            # What comes by this stream would else come by a port of ours, which may be a slow one.
            self.shape(self.federation.server.s2s_shaper, domains)
        if self.purpose is Purpose.TRY:
            self._in_time()
            remote = Remote(domains.local, domains.remote, by, self.ip, self.secure, self.incoming)
            self.sends[domains] = remote
            if self.bidi:
                self.accepts[domains] = remote
        else:
            self.authorise(domains, by, sends=True, accepts=self.bidi)
        self._be_ready()

    def _be_ready(self) -> None:
        self._is_ready = True
        ready, self._ready = self._ready, None
        if ready is not None:
            ready.callback(None)

    async def until_ready(self) -> None:
        """Wait until it may be used; raises `LinkFailed`."""
        if self.over and not self._is_ready:
            raise (self._failure or LinkFailed(self.why)).anew()
        if not self._is_ready:
            self._ready = Deferred()
            await self._ready

    # -- more pairs on the same stream (XEP-0220 §2.6) ------------------------------------------------------------

    def can_add(self, domains: Domains) -> bool:
        """Whether one may try to have this stream authorised for *domains*, too."""
        host = self.federation.host_of(domains.local)
        usable = not self.over and self.purpose is Purpose.STANZAS and bool(self.sends) and not self.full
        if host is None or not usable or not self._suits(domains):
            return False
        # §2.6.2: "SHOULD NOT use target multiplexing unless the Receiving Server has signalled support for dialback
        # error handling"; other domains of ours, to a domain that is reached here already, are no such thing.
        known = any(each.remote == domains.remote for each in self.sends)
        if not known and not self.dialback_errors:
            return False
        return self.judge(domains.remote) or dialback_suffices(host, domains.remote, self.ip)

    # -- what the peer asks of us on a stream that goes both ways -------------------------------------------------

    @property
    def hears_keys(self) -> bool:
        return self.bidi and self.authorised

    def granted(self, domains: Domains, by: Proof) -> None:
        """The peer has proved itself for another of its domains (XEP-0288 §2.2)."""
        self.authorise(domains, by, sends=True, accepts=True)

    # -- the end --------------------------------------------------------------------------------------------------

    def _give_up(
        self,
        text: str,
        condition: Condition = Condition.REMOTE_SERVER_TIMEOUT,
        *,
        final: bool = True,
        alone: bool = False,
        ours: bool = False,
    ) -> None:
        self.step(f"So no stream: {text}")
        self._failure = LinkFailed(text, condition, final, alone, ours)
        self.why = text
        self.stream.close()

    def peer_condition(self, condition: str) -> None:
        if condition in _FINAL:
            self._failure = LinkFailed(self.why, _FINAL[StreamCondition(condition)], final=True, alone=True)

    def disconnected(self) -> None:
        self.federation.opened.discard(self.stream)

    def ended(self, error: StreamError | None) -> None:
        if self.over:
            return
        asked = self._dialled_back and not self.authorised
        super().ended(error)
        if not self._is_ready:
            self._failure = self._failure or LinkFailed(self.why, final=asked, alone=asked)
            ready, self._ready = self._ready, None
            if ready is not None:
                ready.errback(self._failure.anew())


class OutgoingStream(XmppStream):
    """A stream that we open: it begins its link when the connection is there."""

    link: OutgoingLink | None = None
    common_budget: Budget

    @property
    def budget(self) -> Budget:
        return self.common_budget

    def connectionMade(self) -> None:
        super().connectionMade()
        make_eager(self.transport)
        link, self.link = self.link, None
        if link is not None:
            link.federation.links.add(link)
            link.federation.opened.add(self)
            link.begin()


class OutgoingFactory(Factory[OutgoingStream]):
    """Makes the stream and link of each connection that a dial tries; one of them remains."""

    noisy = False

    def __init__(self, federation: Federation, domains: Domains, target: Target, purpose: Purpose) -> None:
        self._federation = federation
        self._domains = domains
        self._target = target
        self._purpose = purpose

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return self._federation.new_outgoing(self._domains, self._target, self._purpose)
