"""Streams that other servers open to us."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from ...core.conditions import NO_ADDRESS
from ...core.remote import Proof
from ...core.s2s_rules import uses_dialback
from ...streams.accepted import AcceptedStream
from ...streams.feature import Facts, StreamFeature, StreamFeatures
from ...streams.headers import header_error
from ...xmpp import ns
from ...xmpp.dialback import feature as dialback_feature
from ...xmpp.element import Element
from ...xmpp.errors import SaslCondition, StreamCondition, StreamError
from ...xmpp.events import Header
from ...xmpp.jid import InvalidJID, prepare_domain
from ...xmpp.sasl import decode_base64
from .limits import heed, ours
from .link import Link
from .listener import S2SListener
from .pair import Domains

if TYPE_CHECKING:
    from .federation import Federation

log = Logger()

_STARTTLS: Final = Element("starttls", ns.TLS)
_STARTTLS_REQUIRED: Final = Element("starttls", ns.TLS, Element("required", ns.TLS))
_EXTERNAL: Final = Element("mechanisms", ns.SASL, Element("mechanism", ns.SASL, text="EXTERNAL"))
_BIDI: Final = Element("bidi", ns.BIDI_FEATURE)
_SM: Final = Element("sm", ns.SM)
#: Attempts at a login; who fails may still prove itself by dialback.
MAX_ATTEMPTS: Final = 3


class IncomingLink(Link):
    """The receiving server's end (RFC 6120 §2.5)."""

    __slots__ = (
        "_failures",
        "_local",
        "accepted",
        "facts",
        "listener",
        "remote",
    )

    incoming = True

    def __init__(self, federation: Federation, listener: S2SListener, stream: AcceptedStream) -> None:
        super().__init__(federation, stream)
        self.accepted = stream
        self.listener = listener
        self.facts = Facts.NONE
        #: Our domain that the stream is for, and the one it is from, where it says so.
        self._local = ""
        self.remote = ""
        self._failures = 0

    @property
    def local(self) -> str:
        return self._local

    def begin(self) -> None:
        """The connection is there."""
        self.ip = self.stream.peer
        if self.listener.options.tls:
            self._start_tls()

    def ended(self, error: StreamError | None) -> None:
        if not (self.over or self.authorised) and self.remote:
            why = self.why or ("the connection was closed" if error is None else f"{error.condition} {error.text}")
            log.info("server refused", remote=self.remote, local=self._local, peer=self.ip or NO_ADDRESS, why=why)
        super().ended(error)

    def peer_condition(self, condition: str) -> None:
        """Whoever has connected comes again by himself."""

    def disconnected(self) -> None:
        self.listener.addresses.left(self.stream.peer)

    # -- the header -----------------------------------------------------------------------------------------------

    def opened(self, header: Header) -> None:
        """Check the header and answer it (RFC 6120 §4.7)."""
        local = _domain(header.get("to"))
        remote = _domain(header.get("from"))
        known = self.federation.serves(local)
        if Facts.AUTHENTICATED not in self.facts:
            self._local = local if known else ""
            self.remote = remote
        self.stream.send_header({**self.header(), "to": header.get("from")})
        error = header_error(header, ns.SERVER, old=True)
        if error is not None:
            self.stream.fail(error)
        elif not header.get("to"):
            raise StreamError(StreamCondition.IMPROPER_ADDRESSING, "the stream has no 'to'")
        elif header.get("from") is not None and not remote:
            raise StreamError(StreamCondition.IMPROPER_ADDRESSING, "the stream's 'from' is no domain")
        elif not known:
            raise StreamError(StreamCondition.HOST_UNKNOWN)
        elif self.federation.serves(remote):
            raise StreamError(StreamCondition.INVALID_FROM, f"{remote} is served here")
        elif remote and self.remote != remote:
            # Behind a login: RFC 6120 §4.9.3.9, "does not match […] [a] validated domain as negotiated".
            raise StreamError(StreamCondition.INVALID_FROM, "you have authenticated for another domain")
        elif self._local != local:
            raise StreamError(StreamCondition.NOT_AUTHORIZED, "you have authenticated to another domain")
        elif remote and not self.federation.speaks_with(Domains(local, remote), self.ip):
            raise StreamError(StreamCondition.POLICY_VIOLATION, f"{local} does not speak with {remote}")
        elif header.get("version") is not None:
            self.stream.send_element(FEATURES.offer(self, self.facts))
            if Facts.AUTHENTICATED in self.facts and not self.authorised:
                # Not before: what is sent in the other direction belongs into the new stream.
                self.granted(Domains(local, self.remote), "certificate")

    def header(self) -> dict[str, str | None]:
        """Our own header; its identifier is what keys of dialback are made for."""
        self.dialback.stream_id = self.federation.server.token()
        name = self._local or self.federation.server.default_host
        return {
            "xmlns:db": ns.DIALBACK,
            "id": self.dialback.stream_id,
            "from": name,
            "version": "1.0",
            "xml:lang": self.federation.options(name).language,
        }

    # -- negotiation ----------------------------------------------------------------------------------------------

    def negotiate(self, element: Element) -> Awaitable[None] | None:
        take = FEATURES.taker(self.facts, element)
        if take is not None:
            return take(self, element)
        if element.name == "bidi" and element.ns in (ns.BIDI, ns.BIDI_FEATURE):
            # Too late, too early, or in the namespace that one release of ejabberd wrote it in: as if not said.
            return None
        if element.ns in (ns.TLS, ns.SASL):
            raise StreamError(StreamCondition.POLICY_VIOLATION, "this is not the time for it")
        raise StreamError(StreamCondition.UNSUPPORTED_STANZA_TYPE)

    def secured(self) -> None:
        super().secured()
        self.facts |= Facts.SECURE

    def offer_starttls(self) -> Sequence[Element]:
        options = self.federation.options(self._local)
        # Without a certificate for this very domain the handshake would fail, and nobody could tell why.
        if not options.tls_offered or self.listener.tls is None or not self.federation.has_certificate(self._local):
            return ()
        return (_STARTTLS_REQUIRED if options.tls_required else _STARTTLS,)

    def take_starttls(self, _: Element) -> None:
        """RFC 6120 §5.4.2."""
        if not self.offer_starttls():
            self.stream.send_element(Element("failure", ns.TLS))
            self.stream.close()
            return
        self.stream.send_element(Element("proceed", ns.TLS))
        self._start_tls()

    def _start_tls(self) -> None:
        creator = self.listener.tls
        if creator is None:
            raise StreamError(StreamCondition.INTERNAL_SERVER_ERROR, "no certificate")
        # What was said in the clear is forgotten: XEP-0288 §2.1 wants TLS first.
        self.bidi = False
        self.dialback.begin_anew()
        self.stream.start_tls(creator.for_host(self._local) if self._local else creator)

    # -- SASL EXTERNAL (XEP-0178 §3) ------------------------------------------------------------------------------

    def offer_external(self) -> Sequence[Element]:
        # "If the 'from' attribute […] can be matched against one of the identifiers provided in the certificate […],
        # Server2 SHOULD advertise the SASL EXTERNAL mechanism."
        return (_EXTERNAL,) if self.judge(self.remote) else ()

    def take_auth(self, element: Element) -> None:
        failure = self._sasl_failure(element)
        if failure is None:
            self.stream.send_element(Element("success", ns.SASL))
            self.facts |= Facts.AUTHENTICATED
            self.dialback.begin_anew()
            self.stream.restart(self.listener.limits_after())
            return
        self.stream.send_element(Element("failure", ns.SASL, Element(failure.value, ns.SASL)))
        self._failures += 1
        if self._failures >= MAX_ATTEMPTS:
            raise StreamError(StreamCondition.POLICY_VIOLATION, "too many failed logins")

    def _sasl_failure(self, element: Element) -> SaslCondition | None:
        if element.name != "auth":
            return SaslCondition.ABORTED if element.name == "abort" else SaslCondition.MALFORMED_REQUEST
        if element.get("mechanism") != "EXTERNAL":
            return SaslCondition.INVALID_MECHANISM
        if any(True for _ in element.elements()):
            return SaslCondition.MALFORMED_REQUEST
        text = element.text.strip()
        try:
            data = decode_base64(text) if text not in ("", "=") else b""
        except Exception:
            return SaslCondition.INCORRECT_ENCODING
        # "Server2 […] SHOULD use the value of the 'from' attribute of the stream header": no other may be asked for.
        if data and _domain(data.decode("utf-8", "replace")) != self.remote:
            return SaslCondition.INVALID_AUTHZID
        if not self.judge(self.remote):
            return SaslCondition.NOT_AUTHORIZED
        return None

    # -- what is granted ------------------------------------------------------------------------------------------

    def granted(self, domains: Domains, by: Proof) -> None:
        """The peer has proved itself for *domains*."""
        if Facts.AUTHENTICATED not in self.facts:
            self.facts |= Facts.AUTHENTICATED
            self.accepted.arrived(self.listener.limits_after())
        self.shape(self.listener.options.shaper, domains)
        self.authorise(domains, by, accepts=True, sends=self.may_reverse(domains))

    @property
    def hears_keys(self) -> bool:
        return True

    def can_add(self, domains: Domains) -> bool:
        """XEP-0288 §2.2: with bidi we may prove other domains of ours "to any domain authenticated to be hosted by the
        connecting server".
        """
        known = any(each.remote == domains.remote for each in self.accepts)
        return known and self.bidi and not self.over and not self.full and self._suits(domains)

    # -- dialback, bidi, limits -----------------------------------------------------------------------------------

    def offer_dialback(self) -> Sequence[Element]:
        host = self.federation.host_of(self._local)
        return (dialback_feature(),) if host is not None and uses_dialback(host) else ()

    def offer_bidi(self) -> Sequence[Element]:
        return (_BIDI,) if self.federation.uses_bidi(self._local) else ()

    def take_bidi(self, element: Element) -> None:
        """XEP-0288 §2.2. "STARTTLS negotiation MUST be completed before enabling bidirectionality" if TLS is used."""
        if self.offer_bidi() and (self.secure or not self.offer_starttls()):
            self.bidi = True
            heed(self, element)

    def offer_limits(self) -> Sequence[Element]:
        return (ours(self),)

    def offer_sm(self) -> Sequence[Element]:
        return (_SM,)


def _domain(text: str | None) -> str:
    try:
        return prepare_domain(text) if text else ""
    except InvalidJID:
        return ""


#: What is offered, in this order. Dialback, bidi and stream management are told of before they may be used, since a
#: stream that is authorised by dialback has no other features.
FEATURES: Final[StreamFeatures[IncomingLink]] = StreamFeatures(
    StreamFeature(
        "starttls",
        Facts.NONE,
        Facts.SECURE | Facts.AUTHENTICATED,
        IncomingLink.offer_starttls,
        frozenset({(ns.TLS, "starttls")}),
        IncomingLink.take_starttls,
    ),
    StreamFeature(
        "external",
        Facts.SECURE,
        Facts.AUTHENTICATED,
        IncomingLink.offer_external,
        frozenset({(ns.SASL, "auth"), (ns.SASL, "response"), (ns.SASL, "abort")}),
        IncomingLink.take_auth,
    ),
    StreamFeature(
        "bidi",
        Facts.NONE,
        Facts.AUTHENTICATED,
        IncomingLink.offer_bidi,
        frozenset({(ns.BIDI, "bidi")}),
        IncomingLink.take_bidi,
    ),
    StreamFeature("dialback", Facts.NONE, Facts.NONE, IncomingLink.offer_dialback),
    StreamFeature("limits", Facts.NONE, Facts.NONE, IncomingLink.offer_limits),
    StreamFeature("sm", Facts.SECURE, Facts.NONE, IncomingLink.offer_sm),
)
