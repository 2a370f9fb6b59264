"""Components (XEP-0114): services of another program that have a domain of this server."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from hashlib import sha1
from hmac import compare_digest

from twisted.logger import Logger

from ..core.component_options import ServiceOptions
from ..core.conditions import Who
from ..life.scope import Timer
from ..streams.accepted import AcceptedStream
from ..streams.shaper import Shaper
from ..xmpp import ns
from ..xmpp.element import Element
from ..xmpp.errors import StanzaError, StreamCondition, StreamError
from ..xmpp.events import Header
from ..xmpp.jid import JID, InvalidJID, prepare_domain
from ..xmpp.stanza import Stanza
from .components import Components
from .lanes import Lanes
from .language import language_of
from .listener import StreamListener

log = Logger()


@dataclass(slots=True)
class ServiceListener(StreamListener[ServiceOptions]):
    """One listening port for components."""

    components: Components

    def password(self, domain: str) -> str | None:
        """The secret to be shown for *domain*; None where it cannot be had here."""
        named = {str(name): host.password for name, host in self.options.hosts.items()}
        if domain not in named and domain in self.components.server.component_domains():
            return None  # it is kept for whoever comes to another port
        secret = named.get(domain, self.options.password)
        return None if secret is None else secret.reveal()

    def others(self, domain: str) -> tuple[str, ...]:
        """The domains that whoever has *domain* may stand for as well."""
        hosts = {str(name): host.password for name, host in self.options.hosts.items()}
        if not self.options.global_routes or domain not in hosts:
            return ()
        return tuple(name for name, secret in hosts.items() if name != domain and secret == hosts[domain])


class ComponentLink:
    """One connection of a component: the owner of its stream."""

    def __init__(self, listener: ServiceListener, stream: AcceptedStream) -> None:
        self.listener = listener
        self.server = listener.server
        self.stream = stream
        self.domain = ""
        #: Other domains that it may speak for, and hears what is for them when nobody else does.
        self.others: tuple[str, ...] = ()
        self.id = ""
        self.lang: str | None = None
        self.authenticated = False
        self.over = False
        self._password: str | None = None
        self._lanes = Lanes(self.server.scope, listener.components.server.router)
        self._deadline: Timer | None = self.server.scope.later(self.server.negotiation_timeout, self._too_slow)

    def begin(self) -> None:
        """The connection is there."""
        if self.listener.options.tls:
            assert self.listener.tls is not None
            self.stream.start_tls(self.listener.tls)

    @property
    def peer(self) -> str:
        return self.stream.peer

    # -- the stream's owner ---------------------------------------------------------------------------------------

    def opened(self, header: Header) -> None:
        """Check the header and answer it: 'to' is the component's own domain (§3)."""
        self.domain = _domain(header.get("to"))
        # §3: "the server MUST follow the rules … by returning an opening stream tag" before an error.
        self.stream.send_header(self.header())
        # Errors are told, not raised: the traceback of an exception that is a local variable is a cycle.
        error = _header_error(header) or self._refusal(header.get("to"))
        if error is not None:
            self.stream.fail(error)
        self.lang = language_of(header)

    def header(self) -> dict[str, str | None]:
        """Our own header: in the component's name."""
        self.id = self.server.token()
        return {"from": self.domain or None, "id": self.id}

    def _refusal(self, to: str | None) -> StreamError | None:
        """Why nobody can have the domain that is asked for, from there, at this port."""
        if not to:
            return StreamError(StreamCondition.IMPROPER_ADDRESSING, "the stream has no 'to'")
        if not self._may_connect():
            return StreamError(StreamCondition.POLICY_VIOLATION, "components may not connect from there")
        self._password = self.listener.password(self.domain) if self.domain else None
        if self._password is None:
            return StreamError(StreamCondition.HOST_UNKNOWN)
        return self.listener.components.refusal(self.domain)

    def _who(self) -> Who:
        return Who(JID("", self.domain) if self.domain else None, self.peer, self.server.default_host)

    def _may_connect(self) -> bool:
        return self.server.access(self.server.default_host).allows(self.listener.options.access, self._who())

    def received(self, event: Stanza | Element) -> Awaitable[None] | None:
        if isinstance(event, Stanza):
            return self._submit(event)
        if event.ns == ns.STREAMS and event.name == "error":
            self.stream.close()  # RFC 6120 §4.9.1.1: the component ends the stream, and waits for us to do so
        elif event.name == "handshake" and event.ns in ns.CONTENT and not self.authenticated:
            self._shake_hands(event.text)
        else:
            # RFC 6120 §4.9.3.24: "a first-level child of the stream … not understood by the server".
            raise StreamError(StreamCondition.UNSUPPORTED_STANZA_TYPE)
        return None

    def secured(self) -> None:
        """TLS changes nothing but what others see."""

    def last_words(self) -> bytes:
        return b""

    def ended(self, error: StreamError | None) -> None:
        if self.over:
            return
        self.over = True
        self._in_time()
        why = str(error.condition) if error else "closed"
        if self.authenticated:
            log.info("component disconnected", domain=self.domain, peer=self.peer, why=why)
            self.listener.components.disconnected(self, why)
        elif error is not None:
            log.info("component refused", domain=self.domain, peer=self.peer, condition=why, text=error.text)

    def disconnected(self) -> None:
        self.listener.addresses.left(self.peer)

    # -- the handshake --------------------------------------------------------------------------------------------

    def _shake_hands(self, shown: str) -> None:
        """§3: the handshake is "SHA1( concat (sid, password))", in hexadecimal and lower case."""
        secret, self._password = self._password, None
        wanted = sha1(f"{self.id}{secret}".encode(), usedforsecurity=False).hexdigest()
        if secret is None or not compare_digest(shown.strip().encode(), wanted.encode()):
            # §3: "the receiver MUST close the stream …, and SHOULD return a <not-authorized/> stream error".
            self.listener.addresses.login_failed(self.peer)
            raise StreamError(StreamCondition.NOT_AUTHORIZED)
        self.listener.addresses.login_succeeded(self.peer)
        refusal = self.listener.components.refusal(self.domain)
        if refusal is not None:
            self.stream.fail(refusal)
            return
        self._in_time()
        self.authenticated = True
        self.others = self.listener.others(self.domain)
        self.stream.arrived(self.listener.limits_after())
        self._shape()
        # §3: "the receiving application … MUST return an empty <handshake/> element".
        self.stream.send_element(Element("handshake", ns.COMPONENT))
        log.info("component connected", domain=self.domain, peer=self.peer, secure=self.stream.secure)
        self.listener.components.connected(self)

    def _shape(self) -> None:
        rate = self.server.access(self.server.default_host).rate(self.listener.options.shaper, self._who())
        if rate is not None:
            self.stream.shaper = Shaper(rate.rate, rate.burst_size, self.listener.clock.seconds)

    def _in_time(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()

    def _too_slow(self) -> None:
        self._deadline = None
        self.stream.fail(StreamError(StreamCondition.CONNECTION_TIMEOUT, "the handshake took too long"))

    # -- stanzas --------------------------------------------------------------------------------------------------

    def send(self, stanza: Stanza) -> None:
        """Hand the component a stanza; it is written in its namespace."""
        self.stream.send(stanza)

    def end(self, error: StreamError) -> None:
        """End the connection."""
        self.stream.close(error)

    def _submit(self, stanza: Stanza) -> Awaitable[None] | None:
        """Send *stanza* on its way; the next one of this connection waits for what is returned, if anything is."""
        if not self.authenticated:
            raise StreamError(StreamCondition.NOT_AUTHORIZED)
        attrs = stanza.element.attrs
        # §3: "All stanzas sent to the server MUST possess a 'from' attribute and a 'to' attribute".
        if not attrs.get("from") or not attrs.get("to"):
            raise StreamError(StreamCondition.IMPROPER_ADDRESSING, "every stanza must have 'from' and 'to'")
        stanza = stanza.stamped(self._sender(stanza), self.lang)
        try:
            to = stanza.to
        except StanzaError as error:
            return self.listener.components.server.router.bounce(stanza, error)
        assert to is not None
        return self._lanes.take(stanza, to)

    def _sender(self, stanza: Stanza) -> JID:
        """§3: "The domain identifier portion of the JID contained in the 'from' attribute MUST match the hostname of
        the component." Raises `StreamError` (invalid-from).
        """
        try:
            sender = stanza.sender
        except StanzaError:
            sender = None
        if sender is None:
            raise StreamError(StreamCondition.INVALID_FROM)
        own = sender.domain == self.domain or sender.domain in self.others
        if not own and self.listener.options.check_from:
            raise StreamError(StreamCondition.INVALID_FROM, "a component sends from its own domain")
        return sender


def _domain(to: str | None) -> str:
    try:
        return prepare_domain(to or "")
    except InvalidJID:
        return ""


def _header_error(header: Header) -> StreamError | None:
    """What is wrong with a component's stream header (§3, RFC 6120 §4.8)."""
    if header.ns != ns.STREAMS or header.content != ns.COMPONENT:
        # §3: where the namespace is not supported, "it MUST return an <invalid-namespace/> stream error".
        return StreamError(StreamCondition.INVALID_NAMESPACE)
    if header.name != "stream":
        return StreamError(StreamCondition.BAD_FORMAT)
    if header.prefixes.get("stream") != ns.STREAMS:
        return StreamError(StreamCondition.BAD_NAMESPACE_PREFIX)
    return None
