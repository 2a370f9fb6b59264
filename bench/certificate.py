"""The one certificate that all servers show: RSA-2048, self-signed, made for this run; and those of an authority, for
servers that federate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .names import DOMAIN


def make(file: Path) -> Path:
    """Write certificate and key into *file*."""
    key = _key()
    name = _name(DOMAIN)
    names = x509.SubjectAlternativeName([x509.DNSName(DOMAIN)])
    certificate = _builder(name, name, key).add_extension(names, critical=False).sign(key, hashes.SHA256())
    return _write(file, certificate, key)


class Authority:
    """One that servers trust. It gives out certificates that are good for both ends of a connection."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = _key()
        self._name = _name("an authority for a benchmark")
        certificate = (
            _builder(self._name, self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = folder / "authority.pem"
        """Its own certificate."""
        self.file.write_bytes(certificate.public_bytes(Encoding.PEM))

    def issue(self, domain: str) -> Path:
        """The file with a certificate for *domain*, which may begin with a star, and its key."""
        key = _key()
        purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            _builder(_name(domain), self._name, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(domain)]), critical=False)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return _write(self._folder / f"{domain.replace('*', 'all')}.pem", certificate, key)


def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject: x509.Name, issuer: x509.Name, key: rsa.RSAPrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=90))
    )


def _write(file: Path, certificate: x509.Certificate, key: rsa.RSAPrivateKey) -> Path:
    file.write_bytes(
        certificate.public_bytes(Encoding.PEM) + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return file
