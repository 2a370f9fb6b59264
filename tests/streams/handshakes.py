"""What the tests of TLS share: certificates made on the spot, and handshakes between two ends in memory."""

from __future__ import annotations

import contextlib
import ssl
import tempfile
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from OpenSSL import SSL

from federix.streams.certificates import Certificates, VirtualHosts
from federix.streams.tls import TlsSettings

NOW = datetime.now(UTC)


class Identity:
    """A certificate with its key, signed by another or by itself."""

    def __init__(
        self,
        *names: str,
        issuer: Identity | None = None,
        ca: bool = False,
        days: tuple[float, float] = (-30, 60),
        key: Any = None,
        now: datetime = NOW,
        fetch_issuer_at: str | None = None,
    ) -> None:
        self.key: Any = key or ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name(issuer.subject if issuer else self.subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), True)
        )
        if len(names) > 1 or not ca:
            # The first name is the common name, and counts for nothing by itself.
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names[1:]]), False)
        if fetch_issuer_at is not None:
            where = x509.AccessDescription(
                x509.AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier(fetch_issuer_at)
            )
            builder = builder.add_extension(x509.AuthorityInformationAccess([where]), False)
        self.certificate = builder.sign(issuer.key if issuer else self.key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    @property
    def both(self) -> bytes:
        return self.key_pem + self.pem


def shake(server: SSL.Connection, client: SSL.Connection) -> None:
    """Carry bytes between both ends until the handshake is done on both; raises what the first failing end raises."""
    server.set_accept_state()
    client.set_connect_state()
    for _ in range(6):
        for one, other in ((client, server), (server, client)):
            failure: SSL.Error | None = None
            try:
                one.do_handshake()
            except SSL.WantReadError:
                pass
            except SSL.Error as error:
                failure = error
            carry(one, other)
            if failure is not None:
                raise failure


def carry(source: SSL.Connection, target: SSL.Connection) -> None:
    try:
        target.bio_write(source.bio_read(65536))
    except SSL.WantReadError:
        pass


def client_end(
    server_name: str | None = None,
    alpn: Sequence[bytes] = (),
    version: int | None = None,
    identity: Identity | None = None,
) -> SSL.Connection:
    context: Any = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if alpn:
        context.set_alpn_protos(list(alpn))
    if version is not None:
        context.set_max_proto_version(version)
    if identity is not None:
        context.use_certificate(identity.certificate)
        context.use_privatekey(identity.key)
    connection = SSL.Connection(context, None)
    if server_name is not None:
        connection.set_tlsext_host_name(server_name.encode())
    return connection


def shown(creator: Any, server_name: str | None = None, **options: Any) -> x509.Certificate:
    """The certificate a client sees that asks for *server_name*."""
    server, client = creator.serverConnectionForTLS(None), client_end(server_name, **options)
    shake(server, client)
    seen: Any = client
    certificate = seen.get_peer_certificate(as_cryptography=True)
    assert isinstance(certificate, x509.Certificate)
    return certificate


def creator_for(identity: Identity, settings: TlsSettings | None = None) -> VirtualHosts:
    with tempfile.NamedTemporaryFile() as file:
        file.write(identity.both)
        file.flush()
        certificates = Certificates([file.name], lambda: NOW)
        assert not certificates.reload()
    return certificates.creator(b"xmpp-client", "a.example", settings)


class StandardClient:
    """A client by Python's own ssl module: another build of OpenSSL, and one that can resume sessions."""

    def __init__(self, *, minimum: Any = None, maximum: Any = None, ciphers: str | None = None) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            if minimum is not None:
                self.context.minimum_version = minimum
            if maximum is not None:
                self.context.maximum_version = maximum
        if ciphers is not None:
            self.context.set_ciphers(ciphers)
        self.end: Any = None

    def join(self, creator: VirtualHosts, session: Any = None) -> SSL.Connection:
        """Shake hands with a new server end, and read what it says after (the tickets of TLS 1.3)."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.end = self.context.wrap_bio(incoming, outgoing, server_hostname="a.example", session=session)
        server = creator.serverConnectionForTLS(None)
        server.set_accept_state()
        while True:
            try:
                self.end.do_handshake()
            except ssl.SSLWantReadError:
                pass
            if not outgoing.pending:
                break
            server.bio_write(outgoing.read())
            failure: SSL.Error | None = None
            try:
                server.do_handshake()
            except SSL.WantReadError:
                pass
            except SSL.Error as error:
                failure = error
            try:
                incoming.write(server.bio_read(65536))
            except SSL.WantReadError:
                pass
            if failure is not None:
                raise failure
        with contextlib.suppress(ssl.SSLWantReadError):
            self.end.read(1)
        return server
