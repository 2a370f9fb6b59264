"""Who a server is, by its certificate: the chain, the moment and the names, judged after the handshake."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import Any, Final

from cryptography import x509
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.logger import Logger
from zope.interface import implementer

from federix.streams.certificates import Certificates
from federix.streams.issuing import ascii_name
from federix.streams.tls import TlsSettings, forget_errors

from .chains import chain_problem, is_constrained, plain, verification_problem
from .identities import UNREADABLE, Identities, TooManyNames, identities
from .roots import Roots

log = Logger()

MAX_ISSUERS: Final = 9
"""Certificates looked at besides the server's own; some send a whole list of authorities along."""

MAX_CERTIFICATE_BYTES: Final = 32 * 1024
"""A certificate with a hundred names takes five thousand bytes."""

MAX_REMEMBERED: Final = 256
"""Certificates found right that are not looked at again as long as they are shown with the same issuers."""

NAMES_TOLD: Final = 5
"""How many names of a certificate are told the operator when none of them is the right one."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a certificate is worth for one domain."""

    valid: bool
    """Whether it proves the domain."""
    reason: str
    """For the operator, in plain words: all that is wrong with it; or what it was proven by."""
    expires: datetime | None
    """When it, or a certificate it depends on, runs out (RFC 6120 §13.7.2.3); ``None`` if none was shown."""
    names: tuple[str, ...]
    """All XMPP domains it names, in ASCII, wildcards as ``*.domain``. They are a mere claim unless it is valid."""
    subject: str
    """Whom it was issued to, as it says itself; for people only."""


NOT_SHOWN: Final = Verdict(False, "the other side showed no certificate", None, (), "")


@dataclass(frozen=True, slots=True)
class _Examined:
    """What holds of a certificate and those shown with it, whatever the domain is."""

    problems: tuple[str, ...]
    begins: datetime
    expires: datetime
    found: Identities | None
    constrained: bool
    subject: str
    issuer: str


class Trust:
    """Judges the certificates that other servers show. Nobody is trusted before `reload`.

    *roots*: paths of PEM files with the authorities to believe; without any, it is the system's own list.
    """

    def __init__(self, roots: Sequence[str], now: Callable[[], datetime]) -> None:
        self._roots = Roots(roots)
        self._now = now
        # Signatures take most of the time, some of them a millisecond; what was right stays so until it expires.
        self._good: dict[bytes, _Examined] = {}

    def reload(self) -> list[str]:
        """Read the roots again (blocking); returns what is wrong with them, each in one sentence for the operator."""
        problems = self._roots.reload()
        self._good.clear()
        return problems

    def judge(self, connection: SSL.Connection, domain: str, *, they_connected: bool) -> Verdict:
        """What the other side has shown, and whether that proves *domain* (a prepared one, as in a JID).

        The handshake of *connection* must be done. *they_connected*: whether the other side is the client of it; its
        certificate then may be one for clients, too. Never raises.
        """
        handle: Any = connection
        try:
            leaf = handle.get_peer_certificate()
            if leaf is None:
                return NOT_SHOWN
            # A server is told the client's chain without the certificate itself, a client the whole of it.
            shown = (handle.get_peer_cert_chain() or ())[: MAX_ISSUERS + 1]
            return self._judge(leaf, shown, domain, they_connected)
        except Exception:
            # A check that breaks refuses.
            log.failure("the certificate of {domain} could not be judged", domain=domain)
            return _unreadable("it cannot be judged")
        finally:
            forget_errors()

    def left(self, verdict: Verdict) -> float:
        """Seconds until that is good no more; less than none where it is not."""
        if not verdict.valid or verdict.expires is None:
            return -inf
        # RFC 5280 §4.1.2.5: "through notAfter, inclusive".
        return (verdict.expires - self._now()).total_seconds() + 1.0

    def _judge(self, leaf: crypto.X509, shown: Sequence[crypto.X509], domain: str, they_connected: bool) -> Verdict:
        encoded = [_encoded(one) for one in (leaf, *shown)]
        moment = self._now().astimezone(UTC)
        key = hashlib.sha256(b"".join((bytes([they_connected]), *encoded))).digest()
        examined = self._good.get(key)
        if examined is None or not examined.begins < moment < examined.expires:
            certificate = _read(encoded[0])
            if certificate is None:
                return _unreadable("it is damaged or larger than any honest certificate")
            pairs = zip(shown, map(_read, encoded[1:]), strict=True)
            issuers = [(one, read) for one, read in pairs if read is not None and read != certificate]
            examined = self._examine((leaf, certificate), issuers, moment, they_connected)
            self._remember(key, examined)
        found = examined.found
        problem = None if found is None else _name_problem(found, domain, examined.constrained)
        problems = examined.problems if problem is None else (*examined.problems, problem)
        return Verdict(
            not problems,
            "; ".join(problems) or f"it names {domain} and was issued by {examined.issuer}",
            examined.expires,
            () if found is None else found.names,
            examined.subject,
        )

    def _examine(
        self,
        leaf: tuple[crypto.X509, x509.Certificate],
        issuers: Sequence[tuple[crypto.X509, x509.Certificate]],
        moment: datetime,
        they_connected: bool,
    ) -> _Examined:
        handle, certificate = leaf
        store = self._roots.store([certificate, *(read for _, read in issuers)], moment)
        context: Any = crypto.X509StoreContext(store, handle, [one for one, _ in issuers])
        chain: list[x509.Certificate] = []
        problems: list[str] = []
        try:
            verified = context.get_verified_chain()
        except crypto.X509StoreContextError as error:
            problems.append(verification_problem(error, certificate, alone=not issuers))
        else:
            chain = [read for one in verified if (read := _read(_encoded(one))) is not None]
            if len(chain) < len(verified):
                problems.append("a certificate in its chain cannot be read")
            elif (problem := chain_problem(chain, they_connected=they_connected)) is not None:
                problems.append(problem)
        found: Identities | None = None
        constrained = True
        try:
            found = identities(certificate)
            constrained = is_constrained(chain)
        except TooManyNames as error:
            problems.append(f"it has {error}")
        except UNREADABLE:
            problems.append("the names in it cannot be read")
        depends_on = chain or [certificate]
        return _Examined(
            tuple(problems),
            max(one.not_valid_before_utc for one in depends_on),
            # RFC 6120 §13.7.2.3: "Cache the expiration date of the certificate presented by the other party and any
            # certificates on which that certificate depends".
            min(one.not_valid_after_utc for one in depends_on),
            found,
            constrained,
            plain(certificate.subject),
            plain(certificate.issuer),
        )

    def _remember(self, key: bytes, examined: _Examined) -> None:
        if examined.problems:
            return  # anybody can make those, and fill the memory with them
        self._good.pop(key, None)
        if len(self._good) >= MAX_REMEMBERED:
            del self._good[next(iter(self._good))]
        self._good[key] = examined


def _encoded(certificate: Any) -> bytes:
    encoded: bytes = crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
    return encoded


def _read(encoded: bytes) -> x509.Certificate | None:
    if len(encoded) > MAX_CERTIFICATE_BYTES:
        return None
    try:
        read = x509.load_der_x509_certificate(encoded)
        _ = read.subject, read.issuer  # they are read only when asked for, and all else asks
    except UNREADABLE:
        return None
    return read


def _name_problem(found: Identities, domain: str, constrained: bool) -> str | None:
    # What an authority may name at all (RFC 5280 §4.2.1.10) OpenSSL compares with DNS names alone: one that is limited
    # to some domains could name any other one in an xmppAddr.
    if found.prove(domain, dns_only=constrained):
        return None
    if found.prove(domain):
        return f"it names {domain} only in a form that its issuer's limits (name constraints) do not cover"
    if not found.names:
        return "it names no domain at all (in its subjectAltName)"
    told = [*found.names[:NAMES_TOLD]]
    if len(found.names) > NAMES_TOLD:
        told.append(f"{len(found.names) - NAMES_TOLD} more")
    return f"it names {' and '.join(filter(None, (', '.join(told[:-1]), told[-1])))}, not {domain}"


def _unreadable(reason: str) -> Verdict:
    return Verdict(False, reason, None, (), "")


@implementer(IOpenSSLClientConnectionCreator)
class _Client:
    """Makes our end of one connection."""

    def __init__(self, context: SSL.Context, server_name: bytes | None) -> None:
        self._context = context
        self._server_name = server_name

    def clientConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        """Twisted asks for the OpenSSL end of a new connection."""
        connection = SSL.Connection(self._context, None)
        if self._server_name is not None:
            connection.set_tlsext_host_name(self._server_name)
        return connection


def client_creator(
    certificates: Certificates, local: str, remote: str, alpn: bytes | tuple[bytes, ...], settings: TlsSettings
) -> IOpenSSLClientConnectionCreator:
    """What `start_tls` asks for our end of a connection from our host *local* to the server of *remote*.

    It names *remote* (SNI), shows the certificate of *local* if there is one, and lets any certificate through, for
    `Trust.judge`. *alpn*: ``b"xmpp-server"``, or ``()`` to leave ALPN alone. Raises `TlsSettingsError`, or
    `SSL.Error` where *settings* do not go with the certificate.
    """
    protocols = (alpn,) if isinstance(alpn, bytes) else alpn
    return _Client(certificates.client_context(local, protocols, settings), _server_name(remote))


def _server_name(remote: str) -> bytes | None:
    name = ascii_name(remote)
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.encode("ascii") if name.isascii() else None
    return None  # RFC 6066 §3: "Literal IPv4 and IPv6 addresses are not permitted in 'HostName'."
