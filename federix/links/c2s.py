"""Clients: what a connection must go through until it is a session. What its stanzas go through then: `submission`."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Final

from twisted.logger import Logger

from ..core import hooks
from ..core.chain import Handled
from ..core.conditions import Who
from ..core.host import Host
from ..core.logins import Login
from ..core.session import Session
from ..core.sessions import ResourceConflict
from ..life.scope import Timer
from ..streams.bind import bound, requested_resource
from ..streams.certificates import VirtualHosts
from ..streams.feature import Facts, StreamFeature, StreamFeatures
from ..streams.headers import header_error
from ..streams.sasl import ELEMENTS, SaslNegotiation
from ..streams.shaper import Shaper
from ..streams.stream import XmppStream
from ..xmpp import ns
from ..xmpp.element import Element
from ..xmpp.errors import Condition, SaslCondition, SaslFailure, StanzaError, StreamCondition, StreamError
from ..xmpp.events import Header
from ..xmpp.jid import JID, InvalidJID, prepare_domain
from ..xmpp.sasl import MECHANISMS, PLAIN, Credentials, Exchange, Success, announced, available, is_plus
from ..xmpp.stanza import IQ, Stanza
from . import management
from .language import language_of
from .listener import UNLIMITED, C2SListener
from .submission import submit

log = Logger()

#: Bytes that a stanza counts for whose own bytes are not known.
UNKNOWN_SIZE: Final = 1024
#: What is offered to all in the same way.
_STARTTLS: Final = Element("starttls", ns.TLS)
_STARTTLS_REQUIRED: Final = Element("starttls", ns.TLS, Element("required", ns.TLS))
_BIND: Final = Element("bind", ns.BIND)
#: RFC 3921's session is gone; clients that still ask are told it is optional.
_SESSION: Final = Element("session", ns.SESSION, Element("optional", ns.SESSION))


class AccessDenied(SaslFailure):
    """The password is right, but an access rule says no; the client is not told, or it could try passwords there."""


class ClientLink:
    """One client's connection: the owner of its stream."""

    def __init__(self, listener: C2SListener, stream: XmppStream) -> None:
        self.listener = listener
        self.server = listener.server
        self.stream = stream
        self.facts = Facts.NONE
        self.host: Host | None = None
        self.lang: str | None = None
        self.session: Session | None = None
        self.username = ""
        self._ip = ""
        self._creator: VirtualHosts | None = None
        self._bindings: Mapping[str, bytes] = {}
        self.over = False
        #: How often it has asked in vain for a session to be resumed.
        self.not_resumed = 0
        self._login: Login | None = None
        self._sasl: SaslNegotiation | None = SaslNegotiation(self, stream.send_element)
        self._deadline: Timer | None = self.server.scope.later(self.server.negotiation_timeout, self._too_slow)

    def begin(self) -> None:
        """The connection is there."""
        self._ip = self.stream.peer
        if self.listener.options.tls:
            self._start_tls()

    @property
    def secure(self) -> bool:
        return Facts.SECURE in self.facts

    # -- the stream's owner ---------------------------------------------------------------------------------------

    def opened(self, header: Header) -> None:
        """Check the header and answer it (RFC 6120 §4.7)."""
        wanted = self._domain(header.get("to"))
        if Facts.AUTHENTICATED not in self.facts:
            self.host = self.server.host(wanted)
        host = self.host
        self.stream.send_header(
            {
                **self.header(),
                # §4.7.2: the server includes 'to' if the client sent 'from', once that cannot be overheard.
                "to": header.get("from") if Facts.SECURE in self.facts else None,
            }
        )
        # Errors are told, not raised: the traceback of an exception that is a local variable is a cycle.
        error = header_error(header, ns.CLIENT)
        if error is not None:
            self.stream.fail(error)
        elif not header.get("to"):
            raise StreamError(StreamCondition.IMPROPER_ADDRESSING, "the stream has no 'to'")
        elif host is None:
            raise StreamError(StreamCondition.HOST_UNKNOWN)
        elif not host.running:
            raise StreamError(StreamCondition.HOST_GONE)
        elif host.name != wanted:
            raise StreamError(StreamCondition.NOT_AUTHORIZED, "you have logged in to another host")
        else:
            self.lang = language_of(header)
            self.stream.send_element(FEATURES.offer(self, self.facts))

    def header(self) -> dict[str, str | None]:
        """Our own header (RFC 6120 §4.7)."""
        name = self.host.name if self.host else self.server.default_host
        return {
            # §4.7.3: unique, unpredictable, and a new one for each stream.
            "id": self.server.token(),
            "from": name,
            # §4.7.5: the lower of both versions; we speak no other.
            "version": "1.0",
            "xml:lang": self.server.host_options(name).language,
        }

    def _domain(self, to: str | None) -> str:
        if not to:
            return ""
        try:
            return prepare_domain(to)
        except InvalidJID:
            return ""

    def received(self, event: Stanza | Element) -> Awaitable[None] | None:
        session = self.session
        if session is not None:
            if isinstance(event, Stanza):
                size = len(event.raw or b"") or UNKNOWN_SIZE
                return session.intake.take(submit(session, event, self.lang), size)
            if session.managed is not None and management.said(session.managed, event):
                return None
        if self.host is None:
            raise StreamError(StreamCondition.NOT_AUTHORIZED)
        if not self.host.running:
            raise StreamError(StreamCondition.HOST_GONE)
        take = FEATURES.taker(self.facts, event)
        if take is not None:
            return take(self, event.element if isinstance(event, Stanza) else event)
        if isinstance(event, Stanza):
            return self._stranger(event)
        if event.ns == ns.STREAMS and event.name == "error":
            self.stream.close()  # §4.9.1.1: the client ends the stream, and waits for us to do so
            return None
        if event.ns in (ns.TLS, ns.SASL, ns.BIND):
            raise StreamError(StreamCondition.POLICY_VIOLATION, "this is not the time for it")
        if session is not None and any(hooks.c2s_authenticated_packet.gather_now(session.host.chains, session, event)):
            return None
        # §4.9.3.24: "a first-level child of the stream … not understood by the server".
        raise StreamError(StreamCondition.UNSUPPORTED_STANZA_TYPE)

    def _stranger(self, stanza: Stanza) -> Awaitable[None] | None:
        """A stanza from a stream that is not a session: RFC 6120 §4.9.3.12, §7.1."""
        host = self.host
        assert host is not None
        if isinstance(stanza, IQ) and self._may_authenticate and Facts.AUTHENTICATED not in self.facts:
            answering = hooks.c2s_unauthenticated_packet.run(host.chains, self, stanza)
            if isinstance(answering, Handled):
                return None
            if not isinstance(answering, Stanza):
                return self._stranger_later(answering)
        raise StreamError(StreamCondition.NOT_AUTHORIZED)

    async def _stranger_later(self, answering: Awaitable[Stanza | Handled]) -> None:
        if not isinstance(await answering, Handled):
            raise StreamError(StreamCondition.NOT_AUTHORIZED)

    def secured(self) -> None:
        self.facts |= Facts.SECURE
        connection, creator = self.stream.tls, self._creator
        assert connection is not None and creator is not None
        self._bindings = creator.channel_bindings(connection)

    def last_words(self) -> bytes:
        session = self.session
        if session is None or session.managed is None or session.attachment is not self.stream:
            return b""
        return session.managed.last_words()

    def ended(self, error: StreamError | None) -> None:
        if self.over:
            return
        self.over = True
        self._in_time()
        self._arrived()
        session = self.session
        if session is not None and session.attachment is not self.stream:
            return  # another stream has taken its place
        if session is not None and management.survives(session, self.stream, error):
            management.sleep(session)
        elif session is not None:
            log.info("client session closed", session=str(session.jid), why=error.condition if error else "closed")
            session.host.sessions.close(session)
        elif error is not None:
            log.info("client refused", peer=self._ip, condition=str(error.condition), text=error.text)

    def disconnected(self) -> None:
        self.listener.addresses.left(self._ip)
        # Nothing is left that refers back to us, for the cyclic collector to find.
        self.session = None
        self._sasl = None
        self._creator = None

    def _in_time(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()

    def _too_slow(self) -> None:
        """RFC 6120 §4.6.4 and §4.9.3.4: a stream that gets nowhere is closed."""
        self._deadline = None
        self.stream.fail(StreamError(StreamCondition.CONNECTION_TIMEOUT, "negotiation took too long"))

    # -- STARTTLS -------------------------------------------------------------------------------------------------

    def offer_starttls(self) -> Sequence[Element]:
        options = self.listener.options
        if not options.starttls or options.tls or self.listener.tls is None:
            return ()
        return (_STARTTLS_REQUIRED if options.starttls_required else _STARTTLS,)

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
        self._creator = creator if self.host is None else creator.for_host(self.host.name)
        self.stream.start_tls(self._creator)

    # -- SASL -----------------------------------------------------------------------------------------------------

    @property
    def _may_authenticate(self) -> bool:
        return Facts.SECURE in self.facts or not self.listener.options.starttls_required

    def _mechanisms(self) -> list[str]:
        if self.host is None or not self._may_authenticate:
            return []
        return available(
            MECHANISMS,
            secure=Facts.SECURE in self.facts,
            bindings=self._bindings,
            disabled=self.server.host_options(self.host.name).disable_sasl_mechanisms,
            stored=self.host.accounts.hashes,
        )

    def offer_sasl(self) -> Sequence[Element]:
        mechanisms = self._mechanisms()
        if not mechanisms:
            return ()
        return self.listener.sasl_offer(tuple(mechanisms), tuple(announced(self._bindings)))

    async def take_sasl(self, element: Element) -> None:
        sasl = self._sasl
        if sasl is None or not await sasl.take(element):
            return
        self.facts |= Facts.AUTHENTICATED
        self.stream.restart(self.listener.limits_after())
        self._shape()

    def begin_exchange(self, mechanism: str) -> Exchange:
        if not self._may_authenticate:
            raise SaslFailure(SaslCondition.ENCRYPTION_REQUIRED)
        mechanisms = self._mechanisms()
        if mechanism == PLAIN and PLAIN not in mechanisms and Facts.SECURE not in self.facts:
            raise SaslFailure(SaslCondition.ENCRYPTION_REQUIRED)
        if mechanism not in mechanisms:
            raise SaslFailure(SaslCondition.INVALID_MECHANISM)
        assert self.host is not None
        host = self.host
        return Exchange(
            mechanism,
            host=host.name,
            lookup=self._credentials,
            in_executor=host.server.executor.run,
            bindings=self._bindings,
            plus_offered=any(map(is_plus, mechanisms)),
            decoys=host.accounts.decoys,
            nonce=self.server.token,
            proved=host.accounts.proved,
        )

    async def _credentials(self, local: str) -> Credentials | None:
        self._arrived()
        assert self.host is not None
        self._login = self.host.accounts.logins.begin(local, self.stream)
        return await self.host.accounts.credentials(local)

    def _arrived(self) -> None:
        """This stream is on its way into an account no more."""
        login, self._login = self._login, None
        if login is not None:
            login.over()

    async def authenticated(self, success: Success, mechanism: str) -> None:
        assert self.host is not None and self._login is not None
        if self._login.refused:
            raise SaslFailure(SaslCondition.NOT_AUTHORIZED)
        jid = JID(success.username, self.host.name)
        if not self.server.access(self.host.name).allows(
            self.listener.options.access, Who(jid, self._ip, self.host.name)
        ):
            raise AccessDenied(SaslCondition.NOT_AUTHORIZED)
        self.username = success.username
        self._login.authenticated = True
        self.listener.addresses.login_succeeded(self._ip)
        connection = self.stream.tls
        tls = connection.get_protocol_version_name() if connection is not None else "none"
        log.info("client authenticated", account=str(jid), peer=self._ip, mechanism=mechanism, tls=tls)
        hooks.c2s_auth_result.run(self.host.chains, jid, True, self._ip)

    def authentication_failed(self, failure: SaslFailure) -> None:
        assert self.host is not None
        self._arrived()
        condition = "access denied" if isinstance(failure, AccessDenied) else str(failure.condition)
        log.info("login failed", host=self.host.name, peer=self._ip, condition=condition)
        hooks.c2s_auth_result.run(self.host.chains, JID("", self.host.name), False, self._ip)
        if failure.condition is SaslCondition.NOT_AUTHORIZED and self.listener.addresses.login_failed(self._ip):
            raise StreamError(StreamCondition.POLICY_VIOLATION, "too many failed logins")

    def _shape(self) -> None:
        assert self.host is not None
        who = Who(JID(self.username, self.host.name), self._ip, self.host.name)
        rate = self.server.access(self.host.name).rate(self.listener.options.shaper, who)
        if rate is not None:
            self.stream.shaper = Shaper(rate.rate, rate.burst_size, self.listener.clock.seconds)

    # -- binding --------------------------------------------------------------------------------------------------

    def offer_bind(self) -> Sequence[Element]:
        assert self.host is not None
        return [_BIND, _SESSION, *hooks.c2s_post_auth_features.gather_now(self.host.chains)]

    def take_bind(self, element: Element) -> None:
        iq = IQ(element)
        assert self.host is not None
        host, server = self.host, self.server
        options = server.host_options(host.name)
        who = Who(JID(self.username, host.name), self._ip, host.name)
        limit = server.access(host.name).value("max_user_sessions", who)
        try:
            session = host.sessions.open(
                self.username,
                requested_resource(iq),
                self.stream,
                policy=options.resource_conflict,
                limit=limit if isinstance(limit, int) else None,
                new_resource=server.token,
            )
        except ResourceConflict:
            self._refuse(iq, StanzaError(Condition.CONFLICT))
            return
        except StanzaError as error:
            self._refuse(iq, error)
            return
        self.speaks_for(session)
        self.stream.send(bound(iq, session.jid))
        log.info("client session opened", session=str(session.jid), peer=self._ip)

    def speaks_for(self, session: Session) -> None:
        """This stream is that of *session* from now on."""
        self.session = session
        self.facts |= Facts.BOUND
        self._in_time()
        self._arrived()

    def _refuse(self, iq: IQ, error: StanzaError) -> None:
        refused = iq.bounced(error.condition, error.text, error.kind)
        if refused is not None:
            self.stream.send(refused)


def _limits(link: ClientLink) -> Sequence[Element]:
    """XEP-0478 §3: how large a stanza may be."""
    listener = link.listener
    limits = listener.limits_after() if Facts.AUTHENTICATED in link.facts else listener.limits_before()
    if limits.stanza_bytes >= UNLIMITED:
        return ()
    return (Element("limits", ns.LIMITS, Element("max-bytes", ns.LIMITS, text=str(limits.stanza_bytes))),)


def _pre_auth(link: ClientLink) -> Sequence[Element]:
    if not link._may_authenticate or link.host is None:
        return ()
    return hooks.c2s_pre_auth_features.gather_now(link.host.chains, link)


#: In the order they are offered (XEP-0170).
FEATURES: Final[StreamFeatures[ClientLink]] = StreamFeatures(
    StreamFeature(
        "starttls",
        needs=Facts.NONE,
        forbids=Facts.SECURE | Facts.AUTHENTICATED,
        offer=ClientLink.offer_starttls,
        takes=frozenset(((ns.TLS, "starttls"),)),
        take=ClientLink.take_starttls,
    ),
    StreamFeature(
        "sasl",
        needs=Facts.NONE,
        forbids=Facts.AUTHENTICATED,
        offer=ClientLink.offer_sasl,
        takes=ELEMENTS,
        take=ClientLink.take_sasl,
    ),
    StreamFeature("pre-auth", needs=Facts.NONE, forbids=Facts.AUTHENTICATED, offer=_pre_auth),
    StreamFeature(
        "bind",
        needs=Facts.AUTHENTICATED,
        forbids=Facts.BOUND,
        offer=ClientLink.offer_bind,
        takes=frozenset(((ns.BIND, "bind"),)),
        take=ClientLink.take_bind,
    ),
    StreamFeature(
        "sm",
        needs=Facts.NONE,
        forbids=Facts.NONE,
        offer=management.offer,
        takes=management.ELEMENTS,
        take=management.take,
    ),
    StreamFeature("limits", needs=Facts.NONE, forbids=Facts.BOUND, offer=_limits),
)
