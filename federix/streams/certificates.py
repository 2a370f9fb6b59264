"""Which certificate is shown for which host: PEM files in, one OpenSSL context per virtual host out."""

from __future__ import annotations

import copy
import glob
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.logger import Logger
from zope.interface import implementer

from federix.streams.issuing import ascii_name, issue
from federix.streams.tls import (
    TlsSettings,
    TlsSettingsError,
    channel_bindings,
    client_context,
    openssl_reason,
    own_bindings,
    server_context,
)
from federix.xmpp.sasl.bindings import SERVER_END_POINT

log = Logger()

MAX_FILE_BYTES: Final = 1024 * 1024
"""No honest PEM file is larger; a glob that catches a log file must not fill the memory."""

MAX_CHAIN: Final = 10
"""Certificates in one chain; OpenSSL's own limit of depth is 100, real chains have two or three."""

EXPIRY_WARNING: Final = timedelta(days=14)
"""Renewal runs a month ahead with every ACME client, so a fortnight before the end something is broken."""

MAX_MANNERS: Final = 8
"""Contexts to connect with kept for one certificate: settings change only as the operator's file does."""

_Manner = tuple[tuple[bytes, ...], TlsSettings]
"""In what manner to connect: the protocols for ALPN, and the settings."""

_PEM_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class Chain:
    """A host's certificate, its private key, the intermediate certificates in order, and the domains it names."""

    path: str
    key: PrivateKeyTypes = field(repr=False)
    certificates: tuple[x509.Certificate, ...]
    names: tuple[str, ...]

    @property
    def leaf(self) -> x509.Certificate:
        return self.certificates[0]

    def is_current(self, moment: datetime) -> bool:
        """Whether *moment* lies within the certificate's time."""
        return self.leaf.not_valid_before_utc <= moment <= self.leaf.not_valid_after_utc

    def remarks(self, moment: datetime) -> list[str]:
        """What an operator should know about it at *moment*: expired, soon to expire, without its issuer."""
        remarks = []
        begin, end = self.leaf.not_valid_before_utc, self.leaf.not_valid_after_utc
        if moment > end:
            remarks.append(f"the certificate in {self.path} expired on {end:%Y-%m-%d}: clients refuse it")
        elif moment < begin:
            remarks.append(
                f"the certificate in {self.path} is not valid before {begin:%Y-%m-%d}: clients refuse it until then"
            )
        elif end - moment < EXPIRY_WARNING:
            days = (end - moment).days
            left = f"in {days} days" if days > 1 else "in a day" if days else "in less than a day"
            remarks.append(
                f"the certificate in {self.path} expires on {end:%Y-%m-%d}, {left}: from then on clients refuse it"
            )
        last = self.certificates[-1]
        if len(self.certificates) == 1 and last.issuer != last.subject and _issuer_can_be_fetched(last):
            issuer = last.issuer.rfc4514_string()
            remarks.append(
                f"the certificate in {self.path} stands alone: its issuer ({issuer}) is in none of the files,"
                " so many clients refuse it"
            )
        return remarks


class Certificates:
    """All certificates of the server, read from PEM files, found by host name, exchanged while connections go on.

    *certfiles* are paths or globs. Keys, certificates and intermediates may lie in any mixture of files: what belongs
    together is found by public key and by signature. A host is covered by a DNS name in ``subjectAltName``, exact or
    with ``*`` for its first label; the common name counts for nothing (RFC 9525 §2). Nothing is read before `reload`.
    """

    def __init__(self, certfiles: Sequence[str], now: Callable[[], datetime]) -> None:
        self.certfiles = tuple(certfiles)
        self.now = now
        self.missing: tuple[str, ...] = ()
        """Of what the last `reload` said: that there are no files of some name."""
        self._by_name: dict[str, Chain] = {}
        self._clients: WeakKeyDictionary[Chain, dict[_Manner, SSL.Context]] = WeakKeyDictionary()
        self._nameless: dict[_Manner, SSL.Context] = {}

    def reload(self) -> list[str]:
        """Read all files again (blocking); returns what is wrong with them, each in one sentence for the operator.

        Connections live on, new ones get what was read. While any file is wrong, a host that lost its certificate
        with it keeps the one it had: a file caught half written must not take a host's TLS away.
        """
        pool = _Pool()
        for pattern in self.certfiles:
            pool.read_all(pattern)
        moment = self.now()
        by_name: dict[str, Chain] = {}
        for chain in pool.chains():
            for name in chain.names:
                rival = by_name.get(name)
                if rival is None or _rank(chain, moment) > _rank(rival, moment):
                    by_name[name] = chain
        self.missing = tuple(pool.missing)
        if pool.problems:
            kept = {chain: name for name, chain in self._by_name.items() if name not in by_name}
            pool.problems += [f"{name}: the certificate from before stays in use" for name in kept.values()]
            by_name = self._by_name | by_name
        self._by_name = by_name
        return pool.problems

    def check(self, hosts: Iterable[str]) -> list[str]:
        """What is wrong for *hosts* now: no certificate, expired, about to expire; a sentence for each.

        Time passes without a `reload`, so this is worth asking every day.
        """
        moment = self.now()
        problems = []
        for host in hosts:
            chain = self.chain_for(host)
            if chain is None:
                problems.append(f"{host}: no certificate in the files names this host, so nobody can use TLS there")
                continue
            problems.extend(f"{host}: {remark}" for remark in chain.remarks(moment))
        return problems

    def chain_for(self, host: str) -> Chain | None:
        """The certificate for *host*: one that names it before a wildcard's, a valid one before an expired one."""
        name = ascii_name(host)
        exact = self._by_name.get(name)
        wildcard = self._by_name.get("*." + name.partition(".")[2])
        found = [chain for chain in (exact, wildcard) if chain is not None]
        if len(found) < 2:
            return found[0] if found else None
        moment = self.now()
        return next((chain for chain in found if chain.is_current(moment)), found[0])

    def creator(
        self,
        alpn: bytes | tuple[bytes, ...],
        default_host: str,
        settings: TlsSettings | None = None,
        *,
        request_certificate: bool = False,
    ) -> VirtualHosts:
        """What `start_tls` asks for connections, for one kind of listener; raises `TlsSettingsError`.

        *alpn*: ``b"xmpp-client"``, ``b"xmpp-server"``, or several, best first; ``()`` to leave ALPN alone.
        *default_host*: whose certificate is shown to a client that names no host in its handshake (SNI), or one that
        is not ours. With *request_certificate* clients are asked for a certificate, for SASL EXTERNAL; whoever asked
        judges it.
        """
        protocols = (alpn,) if isinstance(alpn, bytes) else alpn
        return VirtualHosts(self, protocols, default_host, settings or TlsSettings(), request_certificate)

    def client_context(self, host: str, alpn: tuple[bytes, ...], settings: TlsSettings) -> SSL.Context:
        """An OpenSSL context to connect with as *host*, whose certificate it shows to whoever asks for one.

        It is kept as long as the certificate. Raises `TlsSettingsError`, and `SSL.Error` for a certificate that is
        too weak for *settings*.
        """
        chain = self.chain_for(host)
        kept = self._nameless if chain is None else self._clients.setdefault(chain, {})
        manner = (alpn, settings)
        if manner not in kept:
            while len(kept) >= MAX_MANNERS:
                del kept[next(iter(kept))]
            kept[manner] = client_context(
                chain.key if chain else None, chain.certificates if chain else (), alpn, settings
            )
        return kept[manner]


@implementer(IOpenSSLServerConnectionCreator)
class VirtualHosts:
    """Makes the OpenSSL end of each connection, with the certificate of the host that the client asks for by SNI.

    Contexts are made when a host is first asked for and kept as long as its certificate: after a reload the next
    connection finds the new one and gets a new context. (pyOpenSSL forbids to change one in use.)
    """

    def __init__(
        self,
        certificates: Certificates,
        alpn: tuple[bytes, ...],
        default_host: str,
        settings: TlsSettings,
        request_certificate: bool,
    ) -> None:
        self._certificates = certificates
        self._alpn = alpn
        self._default_host = default_host
        self._settings = settings
        self._request_certificate = request_certificate
        self._contexts: WeakKeyDictionary[Chain, SSL.Context] = WeakKeyDictionary()
        self._end_points: WeakKeyDictionary[SSL.Context, bytes | None] = WeakKeyDictionary()
        # Wrong settings are told at once; and a host without certificate ends in a clean handshake failure.
        self._bare = self._build(None)

    def for_host(self, host: str) -> VirtualHosts:
        """The same with another default: after STARTTLS the stream's ``to`` says whom an SNI-less client means."""
        if host == self._default_host:
            return self
        other = copy.copy(self)
        other._default_host = host
        return other

    def context_for(self, host: str) -> SSL.Context | None:
        """The OpenSSL context with the certificate of *host*; ``None`` if none covers it."""
        chain = self._certificates.chain_for(host)
        if chain is None:
            return None
        context = self._contexts.get(chain)
        if context is not None:
            return context
        try:
            context = self._build(chain)
        except (SSL.Error, TlsSettingsError) as error:
            # It did pass with the default settings, so it is theirs: ciphers that want a stronger key, a lost dhfile.
            log.error("no TLS for {host}: {error}", host=host, error=str(error))
            context = self._bare
        self._contexts[chain] = context
        return context

    def serverConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        """Twisted asks for the OpenSSL end of a new connection."""
        return SSL.Connection(self.context_for(self._default_host) or self._bare, None)

    def channel_bindings(self, connection: SSL.Connection) -> dict[str, bytes]:
        """As `tls.channel_bindings`, of a connection made here: a certificate is read and hashed only once."""
        context = connection.get_context()
        if context not in self._end_points:
            bindings = channel_bindings(connection)
            self._end_points[context] = bindings.get(SERVER_END_POINT)
            return bindings
        bindings = own_bindings(connection)
        end_point = self._end_points[context]
        if end_point is not None:
            bindings[SERVER_END_POINT] = end_point
        return bindings

    def _build(self, chain: Chain | None) -> SSL.Context:
        return server_context(
            chain.key if chain else None,
            chain.certificates if chain else (),
            self._alpn,
            self._settings,
            self._switch,
            request_certificate=self._request_certificate,
        )

    def _switch(self, connection: SSL.Connection) -> None:
        """OpenSSL has read the name in the ClientHello and is about to choose a certificate (RFC 6066 §3)."""
        name = connection.get_servername()
        if name is None:
            return
        context = self.context_for(name.decode("ascii", "replace"))
        if context is not None and context is not connection.get_context():
            connection.set_context(context)


class _Pool:
    """Everything found in the files, before it is known what belongs together."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.missing: list[str] = []
        self._seen: set[str] = set()
        self._keys: dict[bytes, tuple[str, PrivateKeyTypes]] = {}
        self._certificates: dict[x509.Certificate, str] = {}
        self._by_subject: dict[x509.Name, list[x509.Certificate]] = {}

    def read_all(self, pattern: str) -> None:
        paths = sorted(
            path for path in glob.glob(os.path.expanduser(pattern), recursive=True) if not os.path.isdir(path)
        )
        if not paths:
            what = "no file matches this pattern" if glob.has_magic(pattern) else "there is no such file"
            self.missing.append(f"{pattern}: {what}, or its folder may not be read")
            self.problems.append(self.missing[-1])
        for path in paths:
            if path in self._seen:
                continue
            self._seen.add(path)
            try:
                self._read(path)
            except OSError as error:
                self.problems.append(f"{path}: {(error.strerror or 'it cannot be read').lower()}")

    def _read(self, path: str) -> None:
        with open(path, "rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            self.problems.append(f"{path}: larger than {MAX_FILE_BYTES} bytes, so not a certificate")
            return
        blocks = list(_PEM_BLOCK.finditer(content))
        if not blocks:
            self.problems.append(f"{path}: no PEM text in it (a file in DER form has to be converted)")
        for block in blocks:
            label = block[1]
            if label.endswith(b"PRIVATE KEY"):
                self._take_key(path, block[0])
            elif label in (b"CERTIFICATE", b"X509 CERTIFICATE"):
                self._take_certificate(path, block[0])

    def _take_key(self, path: str, pem: bytes) -> None:
        try:
            key = load_pem_private_key(pem, None)
        except TypeError:  # what cryptography raises when there is a passphrase and it was given none
            self.problems.append(f"{path}: the private key is encrypted; store it without a passphrase")
        except (ValueError, UnsupportedAlgorithm):
            self.problems.append(f"{path}: the private key is damaged or of an unknown kind")
        else:
            self._keys.setdefault(_fingerprint(key.public_key()), (path, key))

    def _take_certificate(self, path: str, pem: bytes) -> None:
        try:
            certificate = x509.load_pem_x509_certificate(pem)
            certificate.public_key()
            _names_in(certificate)
        except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension):
            self.problems.append(f"{path}: a certificate in it is damaged or of an unknown kind")
        else:
            if certificate not in self._certificates:
                self._certificates[certificate] = path
                self._by_subject.setdefault(certificate.subject, []).append(certificate)

    def chains(self) -> list[Chain]:
        """The complete chains; what is left over is added to the problems."""
        chains: list[Chain] = []
        used: set[bytes] = set()
        issuers: set[x509.Certificate] = set()
        without_key: list[x509.Certificate] = []
        for certificate, path in self._certificates.items():
            public = _fingerprint(certificate.public_key())
            if public not in self._keys:
                without_key.append(certificate)
                continue
            used.add(public)
            chain = Chain(path, self._keys[public][1], self._climb(certificate), _names_in(certificate))
            issuers.update(chain.certificates[1:])
            problem = _refusal(chain)
            if problem is None:
                chains.append(chain)
            else:
                self.problems.append(f"{path}: {problem}")
        for certificate in without_key:
            if certificate not in issuers and not _is_authority(certificate):
                names = ", ".join(_names_in(certificate)) or certificate.subject.rfc4514_string()
                where = self._certificates[certificate]
                self.problems.append(f"{where}: no private key in any file matches the certificate for {names}")
        for public, (path, _) in self._keys.items():
            if public not in used:
                self.problems.append(f"{path}: no certificate in any file matches this private key")
        return chains

    def _climb(self, leaf: x509.Certificate) -> tuple[x509.Certificate, ...]:
        """*leaf* and its intermediates, each signed by the next; the root is left out, whoever trusts it has it."""
        chain = [leaf]
        while len(chain) < MAX_CHAIN and chain[-1].issuer != chain[-1].subject:
            namesakes = self._by_subject.get(chain[-1].issuer, [])
            issuers = [one for one in namesakes if one not in chain and _has_signed(one, chain[-1])]
            if not issuers:
                break
            # Of several (cross-signed ones) the one that lies beside the leaf, then the one that lasts longest.
            home = self._certificates[leaf]
            best = max(issuers, key=lambda one: (self._certificates[one] == home, one.not_valid_after_utc))
            if best.issuer == best.subject:
                break
            chain.append(best)
        return tuple(chain)


def _rank(chain: Chain, moment: datetime) -> tuple[bool, datetime]:
    """Of two certificates for one name: the valid one, then the newer one."""
    return chain.is_current(moment), chain.leaf.not_valid_before_utc


def _refusal(chain: Chain) -> str | None:
    """Why *chain* cannot be used, if it cannot."""
    if not chain.names:
        return "the certificate names no domain in its subjectAltName"
    try:
        server_context(chain.key, chain.certificates, (), TlsSettings(), lambda connection: None)
    except SSL.Error as error:
        return f"OpenSSL refuses the certificate: {openssl_reason(error)}"
    except (TypeError, ValueError):
        return "OpenSSL cannot use this kind of key"
    return None


def _fingerprint(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _extension(certificate: x509.Certificate, kind: Any) -> Any:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _issuer_can_be_fetched(certificate: x509.Certificate) -> bool:
    """Whether it says where its issuer's certificate lies (RFC 5280 §4.2.2.1), as those of public authorities do.

    Their issuers are intermediates, which clients need. A private authority may sign hosts with its root.
    """
    access = _extension(certificate, x509.AuthorityInformationAccess) or ()
    return any(entry.access_method == x509.oid.AuthorityInformationAccessOID.CA_ISSUERS for entry in access)


def _names_in(certificate: x509.Certificate) -> tuple[str, ...]:
    names = _extension(certificate, x509.SubjectAlternativeName)
    if names is None:
        return ()
    domains = [ascii_name(name) for name in names.get_values_for_type(x509.DNSName)]
    return (*domains, *(str(address) for address in names.get_values_for_type(x509.IPAddress)))


def _is_authority(certificate: x509.Certificate) -> bool:
    constraints = _extension(certificate, x509.BasicConstraints)
    return constraints is not None and bool(constraints.ca)


def _has_signed(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def self_signed(directory: Path, hosts: Sequence[str], now: Callable[[], datetime]) -> Path:
    """The path of a PEM file with a self-made certificate for *hosts* and its key, made if need be, mode 0600.

    For a first start without certificates: nobody else trusts it. It lasts ten years and is used again as long as it
    covers *hosts* and does not run out. Raises `OSError`, and `ValueError` for a host that no certificate can name.
    """
    path = directory / "self-signed.pem"
    if path.exists():
        kept = Certificates([glob.escape(str(path))], now)
        if not kept.reload() and not kept.check(hosts):
            return path
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = issue(key, hosts, now())
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(
        Encoding.PEM
    )
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(content)
    fresh.replace(path)
    return path
