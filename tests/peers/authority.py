"""A throw-away certificate authority: clients and servers trust it, and it vouches for the servers under test."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import crypto

LIFETIME: Final = datetime.timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Authority:
    """The files a test needs: what clients trust, and what the server shows."""

    folder: Path
    """Holds the authority under its OpenSSL hash as well, for programs that want a folder."""
    certificate: Path
    """The authority's own certificate, PEM."""
    server_chain: Path
    """The server's certificate followed by its private key, PEM, in one file."""
    server_certificate: Path
    server_key: Path


class Issuer:
    """An authority in *folder* (which must exist) that gives out certificates, each with its key in one file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("Federix test authority")
        own = (
            _builder(self._name, self._name, self._key.public_key(), LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        pem = own.public_bytes(serialization.Encoding.PEM)
        # OpenSSL looks an issuer up in a folder by the hash of its name.
        name_hash = int(crypto.X509.from_cryptography(own).subject_name_hash())
        _write(folder / f"{name_hash:08x}.0", pem)
        self.certificate = _write(folder / "authority.pem", pem)
        """The authority's own certificate, PEM."""

    def issue(
        self, *domains: str, self_signed: bool = False, is_client: bool = False, lifetime: datetime.timedelta = LIFETIME
    ) -> Path:
        """Write certificate and key for *domains*, and return the file.

        It is good for servers alone, as those of public authorities are, unless *is_client*. One that has *expired*
        has a negative *lifetime*. A *self_signed* one is what a server without an authority shows.
        """
        certificate, key = self._make(domains, self_signed, is_client, lifetime)
        return _write(self._folder / f"{domains[0]}.pem", certificate + key)

    def issue_apart(self, domain: str) -> Authority:
        """The same for one *domain*, with certificate and key in files of their own, too."""
        certificate, key = self._make([domain], self_signed=False, is_client=False, lifetime=LIFETIME)
        return Authority(
            folder=self._folder,
            certificate=self.certificate,
            server_chain=_write(self._folder / "chain.pem", certificate + key),
            server_certificate=_write(self._folder / "server.crt", certificate),
            server_key=_write(self._folder / "server.key", key),
        )

    def _make(
        self, domains: Sequence[str], self_signed: bool, is_client: bool, lifetime: datetime.timedelta
    ) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(domains[0])
        purposes = [ExtendedKeyUsageOID.SERVER_AUTH, *([ExtendedKeyUsageOID.CLIENT_AUTH] if is_client else [])]
        certificate = (
            _builder(subject, subject if self_signed else self._name, key.public_key(), lifetime)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(list(map(x509.DNSName, domains))), critical=False)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .sign(key if self_signed else self._key, hashes.SHA256())
        )
        return (
            certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )


def make_authority(folder: Path, host: str) -> Authority:
    """Make an authority in *folder* (which must exist), and with it a certificate for *host*, both good for 90 days."""
    return Issuer(folder).issue_apart(host)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, lifetime: datetime.timedelta
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    end = now + lifetime
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, end) - datetime.timedelta(hours=1))
        .not_valid_after(end)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path
