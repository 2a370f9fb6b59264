"""A throw-away certificate authority: the clients trust it, and it vouches for the server under test."""

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import crypto


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


def make_authority(folder: Path, host: str) -> Authority:
    """Make an authority in *folder* (which must exist), and with it a certificate for *host*, both good for 90 days."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Federix test authority")])
    authority = (
        _builder(authority_name, authority_name, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    server = (
        _builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)]), authority_name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    certificate_pem = server.public_bytes(serialization.Encoding.PEM)
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    authority_pem = authority.public_bytes(serialization.Encoding.PEM)
    # OpenSSL looks an issuer up in a folder by the hash of its name.
    name_hash = int(crypto.X509.from_cryptography(authority).subject_name_hash())
    _write(folder / f"{name_hash:08x}.0", authority_pem)
    return Authority(
        folder=folder,
        certificate=_write(folder / "authority.pem", authority_pem),
        server_chain=_write(folder / "chain.pem", certificate_pem + key_pem),
        server_certificate=_write(folder / "server.crt", certificate_pem),
        server_key=_write(folder / "server.key", key_pem),
    )


def _builder(subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=90))
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
