"""A throw-away certificate authority, so that those under test can verify the servers they talk to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

#: Far enough from its end that nobody is warned of it; and for clocks that disagree a little.
_LASTS: Final = timedelta(days=90)
_SKEW: Final = timedelta(hours=1)
_LOOPBACK: Final = "127.0.0.1"
_XMPP_ADDR: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.5")
_SRV_NAME: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.7")

SERVER: Final = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT: Final = ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True)
class Issued:
    """A certificate with its key, and the certificates of the authorities between it and the root."""

    certificate: x509.Certificate
    key: Any = field(repr=False)
    issuers: tuple[x509.Certificate, ...] = ()

    @property
    def chain_pem(self) -> bytes:
        """The certificate and its issuers but the root, as a server sends them."""
        encoding = serialization.Encoding.PEM
        return b"".join(one.public_bytes(encoding) for one in (self.certificate, *self.issuers))

    @property
    def key_pem(self) -> bytes:
        key: bytes = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return key

    @property
    def pem(self) -> bytes:
        """What goes into one of the server's ``certfiles``."""
        return self.chain_pem + self.key_pem


class Authority:
    """Issues certificates; a root, or an intermediate one below *issuer*. It lives in memory until it is written."""

    def __init__(
        self,
        moment: datetime | None = None,
        name: str = "Federix: authority of one test",
        *,
        issuer: Authority | None = None,
        key: Any = None,
        begins: timedelta = -_SKEW,
        ends: timedelta = _LASTS,
        extensions: Sequence[x509.ExtensionType] = (),
    ) -> None:
        self.name = _name(name)
        self.key: Any = key or ec.generate_private_key(ec.SECP256R1())
        self.moment: datetime = moment or (issuer.moment if issuer else datetime.now(UTC))
        """From when all times are counted, also those of what it issues; now, if it is not given."""
        builder = (
            self._builder(self.name, issuer or self, self.key, begins, ends)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(signs=True), critical=True)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        self.certificate = builder.sign((issuer or self).key, hashes.SHA256())
        self.issuers: tuple[x509.Certificate, ...] = (self.certificate, *issuer.issuers) if issuer else ()
        """What is sent along with the certificates that it issues: itself and those above it, but the root."""

    @property
    def pem(self) -> bytes:
        """Its own certificate, as those who trust it keep it."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        *domains: str,
        srv: Sequence[str] = (),
        xmpp: Sequence[str] = (),
        names: Sequence[x509.GeneralName] = (),
        usages: Sequence[x509.ObjectIdentifier] | None = (SERVER,),
        begins: timedelta = -_SKEW,
        ends: timedelta = _LASTS,
        is_authority: bool = False,
        common_name: str | None = None,
        key: Any = None,
        hash_algorithm: Any = None,
        change: Callable[[x509.CertificateBuilder], x509.CertificateBuilder] = lambda builder: builder,
    ) -> Issued:
        """A certificate for *domains* (DNS names or IP addresses), with more names if wanted.

        *srv*: SRV names such as ``_xmpp-server.a.example``; *xmpp*: domains as xmppAddr; *names*: any others. *usages*
        is the extended key usage, ``None`` for a certificate without. *begins* and *ends* count from the authority's
        `moment`. *change* may do anything else to it.
        """
        key = key or ec.generate_private_key(ec.SECP256R1())
        subjects = [
            *map(_host, domains),
            *(x509.OtherName(_SRV_NAME, der(0x16, service.encode())) for service in srv),
            *(x509.OtherName(_XMPP_ADDR, der(0x0C, address.encode())) for address in xmpp),
            *names,
        ]
        title = common_name or (_ascii(domains[0])[:64] if domains else "nobody")
        builder = (
            self._builder(_name(title), self, key, begins, ends)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .add_extension(_usage(signs=is_authority), critical=True)
        )
        if subjects:
            builder = builder.add_extension(x509.SubjectAlternativeName(subjects), critical=False)
        if usages is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        signed = change(builder).sign(self.key, hash_algorithm or hashes.SHA256())
        return Issued(signed, key, self.issuers)

    def _builder(
        self, subject: x509.Name, issuer: Authority, key: Any, begins: timedelta, ends: timedelta
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.moment + begins)
            .not_valid_after(self.moment + ends)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )


def make_authority(folder: Path, domains: Sequence[str]) -> tuple[Path, Path]:
    """Make an authority in *folder*, and with it one certificate for all *domains*, `localhost` and 127.0.0.1.

    The answer: the file that clients trust, and the file (certificate and key) that the server shows. Both are PEM.
    """
    authority = Authority()
    shown = authority.issue(*dict.fromkeys((*domains, "localhost", _LOOPBACK)))
    trusted, chain = folder / "authority.pem", folder / "server.pem"
    trusted.write_bytes(authority.pem)
    chain.touch(mode=0o600)
    chain.write_bytes(shown.pem)
    return trusted, chain


def der(tag: int, content: bytes) -> bytes:
    """*content* in DER, as the kind *tag*: 0x0C a UTF8String, 0x16 an IA5String."""
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text.strip("[]")))
    except ValueError:
        return x509.DNSName(_ascii(text))


def _ascii(domain: str) -> str:
    return domain if domain.isascii() else domain.encode("idna").decode()


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
