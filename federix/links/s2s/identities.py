"""The domains that a certificate names, and whether they prove the one in question (RFC 9525, RFC 6120 §13.7)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from federix.streams.issuing import ascii_name
from federix.xmpp.jid import InvalidJID, prepare_domain

MAX_NAMES: Final = 512
"""Names in one certificate. Public authorities put a hundred into one; reading thousands would hold up everybody."""

MAX_INTERNATIONAL: Final = 16
"""Names not in ASCII that are looked at, each of which takes a tenth of a millisecond; the rest prove nothing."""

UNREADABLE: Final = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What the parts of a certificate raise that was not made as it should be."""

XMPP_ADDR: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.5")
SRV_NAME: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.7")

_SERVICE: Final = "_xmpp-server."
_UTF8_STRING: Final = 0x0C
_IA5_STRING: Final = 0x16
_LABEL: Final = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
#: RFC 9525 §6.3: the wildcard "appears only as the complete content of the left-most label". Two labels after it at
#: least: no honest authority names a whole top-level domain, and OpenSSL takes none that does.
_WILDCARD: Final = re.compile(rf"\*\.{_LABEL}(?:\.{_LABEL})+")
_MAX_DOMAIN: Final = 253


class TooManyNames(ValueError):
    """A certificate names more than `MAX_NAMES`."""


@dataclass(frozen=True, slots=True)
class Identities:
    """What a certificate names, each name in ASCII and lower case; those of no use to an XMPP server are left out."""

    dns: tuple[str, ...] = ()
    """DNS-IDs, also as ``*.domain``, and IP addresses as domains of JIDs are written."""
    xmpp: tuple[str, ...] = ()
    """SRV-IDs of the service ``_xmpp-server``, without it, and xmppAddr."""

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, each once."""
        return tuple(dict.fromkeys(self.dns + self.xmpp))

    def prove(self, domain: str, *, dns_only: bool = False) -> bool:
        """Whether one of them is *domain* (a prepared one, as in a JID); *dns_only* to leave `xmpp` aside."""
        # RFC 9525 §6.3: "the client MUST convert any U-labels in the domain name to A-labels before checking".
        reference = _address(domain) or ascii_name(domain)
        if reference in self.dns or (reference in self.xmpp and not dns_only):
            return True
        first, _, parent = reference.partition(".")
        if not first or not parent or _address(reference) is not None:
            return False
        # "A wildcard in a presented identifier can only match one label in a reference identifier."
        wildcard = f"*.{parent}"
        return wildcard in self.dns or (wildcard in self.xmpp and not dns_only)


def identities(certificate: x509.Certificate) -> Identities:
    """What the subjectAltName of *certificate* says; its common name counts for nothing (RFC 9525 §2).

    A name that is no domain is passed over. Raises one of `UNREADABLE` where nothing can be read.
    """
    names = extension(certificate, x509.SubjectAlternativeName)
    if names is None:
        return Identities()
    if len(names) > MAX_NAMES:
        raise TooManyNames(f"more than {MAX_NAMES} names")
    return Identities(tuple(dict.fromkeys(_dns(names))), tuple(dict.fromkeys(_xmpp(names))))


def extension(certificate: x509.Certificate, kind: Any) -> Any:
    """The extension of *kind* in *certificate*, if it has it; raises one of `UNREADABLE`."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _dns(names: x509.SubjectAlternativeName) -> Iterator[str]:
    for name in names:
        if isinstance(name, x509.DNSName):
            if (domain := _domain(name.value, wildcard=True)) is not None:
                yield domain
        elif isinstance(name, x509.IPAddress) and (address := _address(str(name.value))) is not None:
            yield address


def _xmpp(names: x509.SubjectAlternativeName) -> Iterator[str]:
    international = 0
    for name in names:
        if not isinstance(name, x509.OtherName):
            continue
        domain: str | None = None
        if name.type_id == SRV_NAME:
            service = _text(name.value, _IA5_STRING) or ""
            # RFC 9525 §6.5: "the application service name MUST be matched in a case-insensitive manner".
            if service[: len(_SERVICE)].lower() == _SERVICE:
                domain = _domain(service[len(_SERVICE) :], wildcard=True)
        elif name.type_id == XMPP_ADDR:
            text = _text(name.value, _UTF8_STRING) or ""
            international += not text.isascii()
            if text.isascii() or international <= MAX_INTERNATIONAL:
                domain = _prepared(text)
        if domain is not None:
            yield domain


def _domain(text: str, *, wildcard: bool) -> str | None:
    """*text* if it is a domain in ASCII, in lower case."""
    text = text.lower()
    if len(text) > _MAX_DOMAIN or not text.isascii() or _address(text) is not None:
        return None
    if _DOMAIN.fullmatch(text) or (wildcard and _WILDCARD.fullmatch(text)):
        return text
    return None


def _prepared(text: str) -> str | None:
    """The domain that an xmppAddr is; that of a person's address names no server."""
    if text.isascii():
        return _domain(text, wildcard=False)
    try:
        return _domain(ascii_name(prepare_domain(text)), wildcard=False)
    except InvalidJID:
        return None


def _address(text: str) -> str | None:
    """*text* in the spelling of a JID's domain if it is an IP address."""
    # A look that spares nearly all domains the parsing: an IPv4 address ends in a digit, an IPv6 one has a colon.
    if not text or not (":" in text or text[-1].isdigit()):
        return None
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
    return f"[{address}]" if address.version == 6 else str(address)


def _text(der: bytes, tag: int) -> str | None:
    """The text of a string in DER (X.690 §10.1) that is of the kind *tag* and nothing else."""
    if len(der) < 2 or der[0] != tag:
        return None
    octets = der[1] - 0x80
    if octets < 0:
        size, start = der[1], 2
    elif octets in (1, 2):  # no domain is longer than two octets can tell
        start = 2 + octets
        size = int.from_bytes(der[2:start], "big")
        if size < (0x80 if octets == 1 else 0x100):
            return None  # DER has one spelling for each length
    else:
        return None
    if len(der) != start + size:
        return None
    try:
        return der[start:].decode("ascii" if tag == _IA5_STRING else "utf-8")
    except UnicodeDecodeError:
        return None
