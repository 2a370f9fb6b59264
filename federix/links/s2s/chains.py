"""What is wrong with a chain of certificates, in plain words: what OpenSSL found, and what it does not look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import crypto

from .identities import UNREADABLE, XMPP_ADDR, extension

MAX_TEXT: Final = 120
"""Characters of a name told the operator; a certificate may hold any text of any length."""

# RFC 9325 §4.5: "the use of the SHA-256 hash algorithm is RECOMMENDED and SHA-1 or MD5 MUST NOT be used"; "at least a
# 2048-bit modulus"; "Curves of less than 224 bits MUST NOT be used".
BROKEN_HASHES: Final = frozenset({"md5", "sha1"})
LEAST_RSA_BITS: Final = 2048
LEAST_CURVE_BITS: Final = 224

# OpenSSL's numbers for what it found (x509_vfy.h), where more can be said than it says itself.
_ISSUER_UNKNOWN: Final = frozenset({2, 20, 21})
_SIGNATURE_WRONG: Final = 7
_TOO_EARLY: Final = 9
_EXPIRED: Final = 10
_SELF_SIGNED: Final = 18
_ROOT_UNKNOWN: Final = 19
_NO_AUTHORITY: Final = frozenset({32, 79})
_OUTSIDE_LIMITS: Final = frozenset({47, 48})

_FOR_SERVERS: Final = frozenset(
    {
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
        XMPP_ADDR,  # RFC 6120 §13.7.1.4: to "limit the intended use of a certificate to the XMPP network"
    }
)
#: Public authorities no longer issue certificates for clients: what proves a server that answers must prove the same
#: server when it connects.
_FOR_EITHER: Final = _FOR_SERVERS | {ExtendedKeyUsageOID.CLIENT_AUTH}


def plain(name: x509.Name) -> str:
    """*name* as one short line, whatever it holds."""
    try:
        text = name.rfc4514_string() or "nobody"
    except UNREADABLE:
        return "somebody"
    text = text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"
    return text if text.isprintable() else "".join(one if one.isprintable() else "?" for one in text)


def verification_problem(error: crypto.X509StoreContextError, leaf: x509.Certificate, *, alone: bool) -> str:
    """What OpenSSL found, of a chain that begins with *leaf*; *alone*: no other certificate was shown with it."""
    code, depth, text = error.errors
    if code == _SELF_SIGNED:
        return "it is self-signed"
    if code in _NO_AUTHORITY:
        return "a certificate in its chain was issued by one that may not issue any"
    if code in _OUTSIDE_LIMITS:
        return "it lies outside the limits (name constraints) of an authority in its chain"
    # Only with these does OpenSSL always say which certificate it means.
    known = _ISSUER_UNKNOWN | {_SIGNATURE_WRONG, _TOO_EARLY, _EXPIRED, _ROOT_UNKNOWN}
    try:
        certificate = error.certificate.to_cryptography() if depth and code in known else leaf
        whose = f"the certificate of its issuer {plain(certificate.subject)}" if depth else "it"
        issuer = plain(certificate.issuer)
        root = plain(certificate.subject)
    except UNREADABLE:
        return f"OpenSSL says: {text}"
    if code in _ISSUER_UNKNOWN:
        hint = "; perhaps it should have sent an intermediate certificate along" if alone else ""
        return f"its issuer {issuer} is not known here{hint}"
    if code == _ROOT_UNKNOWN:
        return f"its authority {root} is not trusted here"
    if code == _EXPIRED:
        return f"{whose} expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if code == _TOO_EARLY:
        return f"{whose} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}"
    if code == _SIGNATURE_WRONG:
        return f"{whose} bears a signature that is not by {issuer}"
    return f"OpenSSL says: {text}"


def chain_problem(chain: Sequence[x509.Certificate], *, they_connected: bool) -> str | None:
    """What is wrong with a *chain* that OpenSSL has verified, from the server's certificate to one that is trusted.

    OpenSSL by itself minds neither the purpose, nor broken hashes and short keys, nor all rules for authorities.
    """
    try:
        return (
            _authority_problem(chain)
            or _purpose_problem(chain, _FOR_EITHER if they_connected else _FOR_SERVERS)
            or _strength_problem(chain)
        )
    except UNREADABLE:
        return "a certificate in its chain has parts that cannot be read"


def is_constrained(chain: Sequence[x509.Certificate]) -> bool:
    """Whether an authority in *chain* may issue certificates for some names only; raises one of `UNREADABLE`."""
    return any(extension(issuer, x509.NameConstraints) is not None for issuer in chain[1:])


def _authority_problem(chain: Sequence[x509.Certificate]) -> str | None:
    # RFC 6120 §13.7.1.1: "The certificate MUST NOT contain a basicConstraints extension with the cA boolean set to
    # TRUE." What the operator has listed himself is believed as it is: `openssl req -x509` makes them so.
    if len(chain) > 1 and _is_authority(chain[0]):
        return "it is the certificate of an authority, not of a server"
    for issuer in chain[1:-1]:
        # "the issuer's certificate MUST contain a basicConstraints extension with the cA boolean set to TRUE"
        if not _is_authority(issuer):
            return f"its issuer {plain(issuer.subject)} is no authority"
    return None


def _is_authority(certificate: x509.Certificate) -> bool:
    constraints = extension(certificate, x509.BasicConstraints)
    return constraints is not None and bool(constraints.ca)


def _purpose_problem(chain: Sequence[x509.Certificate], purposes: frozenset[x509.ObjectIdentifier]) -> str | None:
    for place, certificate in enumerate(chain[:-1] or chain):
        usage = extension(certificate, x509.ExtendedKeyUsage)
        if usage is None or not purposes.isdisjoint(usage):
            continue
        if place:
            return f"its issuer {plain(certificate.subject)} may not issue certificates for servers"
        return "it was not issued for servers (extended key usage)"
    return None


def _strength_problem(chain: Sequence[x509.Certificate]) -> str | None:
    for certificate in chain[:-1]:
        algorithm = certificate.signature_hash_algorithm
        if algorithm is not None and algorithm.name in BROKEN_HASHES:
            return (
                f"the certificate of {plain(certificate.subject)} is signed with {algorithm.name}, which can be forged"
            )
    for certificate in chain:
        key = certificate.public_key()
        if isinstance(key, rsa.RSAPublicKey):
            weak = key.key_size < LEAST_RSA_BITS
        elif isinstance(key, ec.EllipticCurvePublicKey):
            weak = key.curve.key_size < LEAST_CURVE_BITS
        elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            weak = False
        else:
            raise UnsupportedAlgorithm("not a key for TLS")
        if weak:
            return f"the key of {plain(certificate.subject)} is too short"
    return None
