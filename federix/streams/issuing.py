"""A certificate of our own making, for a first start without any; and how certificates spell hosts."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import idna
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

SELF_SIGNED_LIFE: Final = timedelta(days=3650)

_XMPP_ADDR: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.5")
_SRV_NAME: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.7")


def ascii_name(host: str) -> str:
    """*host* as certificates spell it: lower case, international labels as ``xn--``, no brackets around an IPv6."""
    host = host.rstrip(".").strip("[]").lower()
    if host.isascii():
        return host
    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError:
        return host


def issue(key: ec.EllipticCurvePrivateKey, hosts: Sequence[str], moment: datetime) -> x509.Certificate:
    """A certificate for *hosts*, signed with its own *key*, valid from *moment* on."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Federix, self-signed")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - timedelta(hours=1))  # for those whose clock is a little behind
        .not_valid_after(moment + SELF_SIGNED_LIFE)
        .add_extension(x509.SubjectAlternativeName([name for host in hosts for name in _names_of(host)]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False)
        .sign(key, hashes.SHA256())
    )


def _names_of(host: str) -> list[x509.GeneralName]:
    """*host* in the forms of RFC 6120 §13.7.1.2: DNS name, SRV names, and the older xmppAddr."""
    try:
        return [x509.IPAddress(ipaddress.ip_address(host.strip("[]")))]
    except ValueError:
        pass
    dns = ascii_name(host)
    services = [f"_{service}.{dns}".encode() for service in ("xmpp-client", "xmpp-server")]
    return [
        x509.DNSName(dns),
        *(x509.OtherName(_SRV_NAME, _der(0x16, service)) for service in services),  # IA5String
        x509.OtherName(_XMPP_ADDR, _der(0x0C, host.encode())),  # UTF8String
    ]


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content
