"""XEP-0077: In-Band Registration -- make an account before the first login, change its password, remove it.

Only where `mod_register` stands in the configuration: whoever may register may come back with a thousand names.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime

from twisted.logger import Logger

from ..api import (
    HANDLED,
    IQ,
    JID,
    AccessRule,
    Candidate,
    Condition,
    Element,
    InvalidJID,
    Message,
    Module,
    Outcome,
    Session,
    Stanza,
    StanzaError,
    Xep,
    hooks,
    iq_get,
    iq_set,
    ns,
    option,
)
from .register_forms import Wish, elsewhere, questions, refused, registered, wish
from .register_limits import Sources, entropy, is_loopback, network

log = Logger()

_ALL, _NONE = AccessRule("all"), AccessRule("none")


@dataclass(frozen=True)
class Welcome(Module.Options):
    """The first message of a new account."""

    subject: str = option("", "Its subject.")
    body: str = option("", "Its text.")


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: a stream that has not authenticated (no *jid*), a session here, or somebody elsewhere (no *ip*)."""

    jid: JID | None
    ip: str | None
    secure: bool

    @property
    def source(self) -> str:
        """What registrations are counted by."""
        if self.ip is not None:
            return network(self.ip)
        return "" if self.jid is None else str(self.jid.bare)


class Register(Module):
    """Registers accounts in-band."""

    name = "mod_register"
    implements = (Xep(77, "2.4"),)

    @dataclass(frozen=True)
    class Options(Module.Options):
        """Settings of mod_register."""

        access: AccessRule = option(_ALL, "Which names may be registered; `none`: no account is made in-band.")
        access_from: AccessRule = option(
            _NONE, "Who may register further accounts after a login, here or on another server."
        )
        access_remove: AccessRule = option(_ALL, "Who may remove the own account.")
        ip_access: AccessRule = option(_ALL, "From which addresses accounts may be registered.")
        password_strength: float = option(
            0.0, "The least entropy of a new password, in bits; 32 is a good minimum, 0 takes all.", minimum=0
        )
        redirect_url: str | None = option(None, "The page where people register instead.")
        registration_watchers: tuple[JID, ...] = option((), "Who is told of each new account.")
        welcome_message: Welcome = option(Welcome(), "What a new account finds in its inbox.")
        # §11: "SHOULD NOT be used unless the channel between the registrant and the entity … has been secured."
        require_encryption: bool = option(
            True, "Take passwords through TLS alone; connections from this machine are exempt."
        )

    options: Options

    async def on_start(self) -> None:
        self._sources = Sources(self.clock.seconds)

    # -- before the login -------------------------------------------------------------------------------------------

    @hooks.c2s_pre_auth_features
    def offer(self, candidate: Candidate) -> list[Element]:
        """§8: "a server … MAY announce support for in-band registration"."""
        asker = _stranger(candidate)
        if self.options.redirect_url is None and not (self._open and self._may_come(asker) and self._safe(asker)):
            return []
        return [Element("register", ns.REGISTER_FEATURE)]

    @hooks.c2s_unauthenticated_packet
    def stranger(self, candidate: Candidate, stanza: Stanza) -> Outcome | Awaitable[Outcome]:
        assert isinstance(stanza, IQ)
        query = stanza.payload
        if stanza.type not in ("get", "set") or query is None or (query.ns, query.name) != (ns.REGISTER, "query"):
            return None
        return self._answer_stranger(candidate, stanza)

    async def _answer_stranger(self, candidate: Candidate, iq: IQ) -> Outcome:
        # Who the client claims to be is not known to be true, and where it wants to is here.
        iq = iq.with_attrs({"from": None, "to": str(self.host.jid)})
        answer: IQ
        try:
            if not iq.id or sum(1 for _ in iq.element.elements()) != 1:
                raise StanzaError(Condition.BAD_REQUEST)
            if iq.type == "get":
                answer = iq.result(self._invitation())
            else:
                await self._set(_stranger(candidate), _wish(iq))
                answer = iq.result()
        except StanzaError as error:
            answer = refused(iq, error)
        candidate.stream.send(answer)
        return HANDLED

    # -- after it -----------------------------------------------------------------------------------------------------

    @iq_get(ns.REGISTER, "query")
    async def tell(self, iq: IQ) -> Element | IQ:
        """§3.1: fields for those who are not registered, what is on file for those who are."""
        asker = self._asker(iq)
        try:
            assert asker.jid is not None
            if asker.jid.domain == self.host.name and await self.host.accounts.exists(asker.jid.local):
                # "the IQ result … MUST contain an empty <registered/> element".
                return registered(asker.jid.local)
            return self._invitation()
        except StanzaError as error:
            return refused(iq, error)

    @iq_set(ns.REGISTER, "query")
    async def change(self, iq: IQ) -> IQ | None:
        """§3.1 to §3.3: a password, an end, or a further account."""
        asker = self._asker(iq)
        try:
            await self._set(asker, _wish(iq))
        except StanzaError as error:
            return refused(iq, error)
        return None

    def _asker(self, iq: IQ) -> Asker:
        """Who asks. Raises `StanzaError` for the account of another.

        It is not `refused`: the answer must be the one that comes where there is no such account (RFC 6120 §13.11).
        """
        to, sender = iq.to, iq.sender
        assert to is not None and sender is not None
        if to.local and to.bare != sender.bare:
            raise StanzaError(Condition.SERVICE_UNAVAILABLE)
        session = self._session(sender)
        if session is None:
            return Asker(sender, None, True)
        return Asker(sender, session.attachment.peer, session.attachment.secure)

    def _session(self, jid: JID) -> Session | None:
        return self.host.sessions.find(jid.local, jid.resource) if jid.domain == self.host.name else None

    def _invitation(self) -> Element:
        """§3.1: "the host MUST inform the entity of the required registration fields", or §5: where else to go."""
        if self.options.redirect_url is not None:
            return elsewhere(self.options.redirect_url)
        if not self._open:
            # §3.1: "If the host does not support In-Band Registration, it MUST return a <service-unavailable/> error."
            raise StanzaError(Condition.SERVICE_UNAVAILABLE)
        return questions()

    # -- what may be ------------------------------------------------------------------------------------------------

    @property
    def _open(self) -> bool:
        """Whether anybody at all can register."""
        return _NONE not in (self.options.access, self.options.ip_access)

    def _may_come(self, asker: Asker) -> bool:
        return self.host.allows(self.options.ip_access, None, asker.ip)

    def _safe(self, asker: Asker) -> bool:
        return asker.secure or not self.options.require_encryption or is_loopback(asker.ip or "")

    # -- doing it -----------------------------------------------------------------------------------------------------

    async def _set(self, asker: Asker, wanted: Wish) -> None:
        if wanted.remove:
            await self._remove(asker)
            return
        if asker.jid is not None and self._is_own(asker.jid, wanted.username):
            await self._change_password(asker, asker.jid, wanted.password)
            return
        await self._make_account(asker, wanted)

    def _is_own(self, jid: JID, username: str) -> bool:
        if jid.domain != self.host.name:
            return False
        # Table 2: bad-request when the request "does not contain complete information".
        if not username:
            raise StanzaError(Condition.BAD_REQUEST, "username is missing")
        # Examples 17 and 24 give the whole address.
        return self._account(username.removesuffix(f"@{self.host.name}")) == jid.bare

    def _account(self, username: str) -> JID:
        try:
            return JID.build(username, self.host.name)
        except InvalidJID as error:
            raise StanzaError(Condition.JID_MALFORMED, f"username: {error}") from None

    async def _make_account(self, asker: Asker, wanted: Wish) -> None:
        """§3.1, as often and from where the rules allow."""
        if self.options.redirect_url is not None or not self._open:
            raise StanzaError(Condition.NOT_ALLOWED, "no accounts are made this way")
        # §3.1: "If the requesting entity does not provide all of the requested information … [an] empty password
        # element … [it] MUST return a <not-acceptable/> error".
        if not wanted.username or not wanted.password:
            raise StanzaError(Condition.NOT_ACCEPTABLE, "username and password are needed")
        if asker.jid is not None and not self.host.allows(self.options.access_from, asker.jid):
            raise StanzaError(Condition.FORBIDDEN, "accounts are made before the login")
        account = self._account(wanted.username)
        if not self._may_come(asker) or not self.host.allows(self.options.access, account, asker.ip):
            raise StanzaError(Condition.FORBIDDEN, "you may not register this account")
        self._check_safe(asker)
        self._sources.begin(asker.source, self.host.server.registration_timeout)
        try:
            self._check_strength(wanted.password)
            await self.host.accounts.register(account.local, wanted.password)
        except BaseException:
            self._sources.failed(asker.source)
            raise
        log.info("account registered", account=str(account), peer=asker.ip or str(asker.jid))
        self._welcome(account)
        self._tell_watchers(account, asker)

    async def _change_password(self, asker: Asker, jid: JID, password: str) -> None:
        """§3.3: "the server … MUST NOT change the password to a null value, but … MUST maintain the existing"."""
        if not password:
            raise StanzaError(Condition.BAD_REQUEST, "a password is missing")
        # Table 2: not-authorized when the server "does not consider the channel safe enough".
        self._check_safe(asker)
        self._check_strength(password)
        await self.host.accounts.set_password(jid.local, password)
        log.info("password changed", account=str(jid.bare), peer=asker.ip)

    async def _remove(self, asker: Asker) -> None:
        """§3.2: "The host MUST determine the identity of the requesting entity based on the 'from' address"."""
        jid = asker.jid
        if jid is None:
            # Table 1: "the entity is not registered with the server".
            raise StanzaError(Condition.UNEXPECTED_REQUEST)
        if self.options.access_remove == _NONE:
            raise StanzaError(Condition.NOT_ALLOWED, "no account is removed this way")
        if jid.domain != self.host.name or not await self.host.accounts.exists(jid.local):
            raise StanzaError(Condition.REGISTRATION_REQUIRED)
        if not self.host.allows(self.options.access_remove, jid, asker.ip):
            raise StanzaError(Condition.FORBIDDEN, "you may not remove your account")
        log.info("account removed by its owner", account=str(jid.bare), peer=asker.ip)
        # The answer goes first: with the account its streams end, by a <not-authorized/> stream error.
        self.host.scope.later(0, self._removed, jid.local)

    def _removed(self, local: str) -> None:
        self.host.scope.spawn(self.host.accounts.remove(local))

    def _check_safe(self, asker: Asker) -> None:
        if not self._safe(asker):
            raise StanzaError(Condition.NOT_AUTHORIZED, "passwords are taken through TLS alone")

    def _check_strength(self, password: str) -> None:
        if self.options.password_strength and entropy(password) < self.options.password_strength:
            raise StanzaError(Condition.NOT_ACCEPTABLE, "the password is too weak")

    # -- telling of it ------------------------------------------------------------------------------------------------

    def _welcome(self, account: JID) -> None:
        welcome = self.options.welcome_message
        if welcome.subject or welcome.body:
            self._send(account, "normal", welcome.subject, welcome.body)

    def _tell_watchers(self, account: JID, asker: Asker) -> None:
        when = datetime.fromtimestamp(self.host.now(), UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        origin = f"IP address {asker.ip}" if asker.ip is not None else str(asker.jid)
        for watcher in self.options.registration_watchers:
            self._send(watcher, "chat", "", f"[{when}] The account {account} was registered from {origin}.")

    def _send(self, to: JID, kind: str, subject: str, body: str) -> None:
        message = Element(
            "message",
            ns.CLIENT,
            Element("subject", ns.CLIENT, text=subject) if subject else None,
            Element("body", ns.CLIENT, text=body) if body else None,
            attrs={"type": kind, "from": str(self.host.jid), "to": str(to), "id": self.host.server.token()},
        )
        self.host.route(Message(message))


def _stranger(candidate: Candidate) -> Asker:
    return Asker(None, candidate.stream.peer, candidate.secure)


def _wish(iq: IQ) -> Wish:
    assert iq.payload is not None
    return wish(iq.payload)
