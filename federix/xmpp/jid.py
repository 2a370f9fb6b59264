"""Addresses: ``local@domain/resource`` (RFC 7622).

Every address that comes from outside goes through `JID.parse` (or `JID.build`, from parts) and comes out in the one
form in which two addresses are equal exactly when their texts are. Nearly all addresses are plain ASCII and take one
regular expression; the others go through PRECIS (RFC 8264, RFC 8265) and IDNA2008 (RFC 5891).
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address

import idna
from precis_i18n import get_profile
from precis_i18n.profile import Profile

#: RFC 7622 §3.2, §3.3, §3.4: no part MUST be more than 1023 octets in length.
MAX_PART = 1023
#: RFC 1034 §3.1: what a domain name can hold, without the trailing dot, and one label of it.
MAX_DOMAIN = 253
MAX_LABEL = 63
#: How many parsed addresses are remembered, and how long one may be for it, in characters: 8 MiB if all are as long as
#: that and ASCII, 22 MiB if they are anything.
CACHED = 8192
MAX_CACHED_LENGTH = 200

# RFC 7622 §3.3.1: "the following characters are explicitly disallowed in XMPP localparts".
_EXCLUDED = re.compile("[\"&'/:<>@]")
_ASCII_LOCAL = re.compile(r"[!#$%()*+,\-.0-9;=?A-Z\[\\\]^_`a-z{|}~]{1,1023}")
_ASCII_RESOURCE = re.compile(r"[!-~][ -~]{0,1022}")
# One label. Underscores are not in RFC 7622, but host names with them exist, resolve and are served by other servers:
# refusing them would only cut people off. Hyphens in the third and fourth place are reserved (RFC 5890 §2.3.1).
_ASCII_LABEL = re.compile(r"(?!..--)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# The common address. Its domain has no two hyphens in a row and at most MAX_LABEL characters (checked apart), so that
# no label of it can be wrong; anything else takes the long way, which decides.
_COMMON = re.compile(
    rf"(?:({_ASCII_LOCAL.pattern})@)?([a-zA-Z0-9_]+(?:[.-][a-zA-Z0-9_]+)*)(?:/({_ASCII_RESOURCE.pattern}))?"
)
_DOTS = ".\u3002\uff0e\uff61"  # what UTS #46 takes for a label separator

# The blocks of emoji and what is set aside in them for emoji to come (UTS #51): all symbols, of one form each. A Python
# older than one of them calls it unassigned, and PRECIS refuses what is; nicknames with it come from other servers.
_EMOJI = re.compile("[\U0001f000-\U0001faff]")
_KNOWN_EMOJI = "\U0001f600"

_USERNAME = get_profile("UsernameCaseMapped")
_OPAQUE = get_profile("OpaqueString")


class InvalidJID(ValueError):
    """Not an address (RFC 7622); its text says which part is wrong and why."""


class JID:
    """An address in canonical form (RFC 7622): *local*, *domain*, *resource*. Its *text* is ``str(jid)``, too.

    Immutable, and a key for dictionaries; equal addresses have equal texts. The constructor trusts its parts: use it
    for parts that went through `parse`, `build` or ``prepare_…`` before. A part that is not there is the empty string
    (RFC 7622 allows no empty parts).
    """

    __slots__ = ("_bare", "domain", "local", "resource", "text")

    local: str
    domain: str
    resource: str
    text: str
    _bare: JID | None

    def __init__(self, local: str, domain: str, resource: str = "") -> None:
        text = f"{local}@{domain}" if local else domain
        _put_local(self, local)
        _put_domain(self, domain)
        _put_resource(self, resource)
        _put_text(self, f"{text}/{resource}" if resource else text)
        _put_bare(self, None)

    @classmethod
    def parse(cls, text: str) -> JID:
        """The address written as *text*; raises `InvalidJID`."""
        return parse(text)

    @classmethod
    def build(cls, local: str, domain: str, resource: str = "") -> JID:
        """An address from parts as people write them, each prepared; raises `InvalidJID`."""
        return cls(
            prepare_local(local) if local else "",
            prepare_domain(domain),
            prepare_resource(resource) if resource else "",
        )

    @property
    def bare(self) -> JID:
        """The same without a resource."""
        if not self.resource:
            return self
        bare = self._bare
        if bare is None:
            bare = JID(self.local, self.domain)
            _put_bare(self, bare)
        return bare

    @property
    def host(self) -> JID:
        """The domain alone."""
        return JID("", self.domain) if self.local or self.resource else self

    @property
    def is_bare(self) -> bool:
        """Whether it has no resource; the address of a host is bare, too."""
        return not self.resource

    def with_resource(self, resource: str) -> JID:
        """The same with another resource, already prepared; with "" the bare address."""
        return JID(self.local, self.domain, resource)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"JID({self.text!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, JID):
            return NotImplemented
        return self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a JID cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("a JID cannot be changed")

    def __reduce__(self) -> tuple[type[JID], tuple[str, str, str]]:
        return JID, (self.local, self.domain, self.resource)


# The slots' own setters pass by __setattr__, at half the cost of object.__setattr__.
_put_local = JID.__dict__["local"].__set__
_put_domain = JID.__dict__["domain"].__set__
_put_resource = JID.__dict__["resource"].__set__
_put_text = JID.__dict__["text"].__set__
_put_bare = JID.__dict__["_bare"].__set__


def _parse(text: str) -> JID:
    match = _COMMON.fullmatch(text)
    if match is not None:
        local, domain, resource = match.groups("")
        if len(domain) <= MAX_LABEL:
            return JID(local.lower(), domain.lower(), resource)
    # RFC 7622 §3.2: first cut at the first '/', then at the first '@' of what stands before it.
    rest, slash, resource = text.partition("/")
    local, at, domain = rest.partition("@")
    if not at:
        local, domain = "", rest
    return JID(
        prepare_local(local) if at else "",
        prepare_domain(domain),
        prepare_resource(resource) if slash else "",
    )


_remembered = lru_cache(CACHED)(_parse)


def parse(text: str) -> JID:
    """As `JID.parse`, which takes twice as long to call."""
    return _remembered(text) if len(text) <= MAX_CACHED_LENGTH else _parse(text)


def prepare_local(text: str) -> str:
    """*text* as a localpart (RFC 7622 §3.3: UsernameCaseMapped without eight characters); raises `InvalidJID`."""
    if _ASCII_LOCAL.fullmatch(text):
        return text.lower()
    # RFC 7622 §3.5: "the PRECIS mapping rules do not account for the special status of GREEK SMALL LETTER FINAL SIGMA";
    # str.lower does.
    local = _enforce(_USERNAME, "localpart", text.replace("\u03a3", "\u03c3"))
    # Only now: U+FF20, for one, has become an '@'.
    if excluded := _EXCLUDED.search(local):
        raise InvalidJID(f"localpart: {excluded[0]} is not allowed")
    return local


def prepare_resource(text: str) -> str:
    """*text* as a resourcepart (RFC 7622 §3.4: OpaqueString); raises `InvalidJID`."""
    if _ASCII_RESOURCE.fullmatch(text):
        return text
    emoji = iter(_EMOJI.findall(text))
    resource = _enforce(_OPAQUE, "resourcepart", _EMOJI.sub(_KNOWN_EMOJI, text))
    resource = _EMOJI.sub(lambda _: next(emoji), resource)
    # OpaqueString itself would let it pass; RFC 7622 §3.5, example 18 says that it is not an address.
    if resource[0] == " ":
        raise InvalidJID("resourcepart: starts with a space")
    return resource


def prepare_domain(text: str) -> str:
    """*text* as a domainpart in U-labels, or an IP address (RFC 7622 §3.2); raises `InvalidJID`."""
    # §3.2: a final dot "MUST be stripped before any other canonicalization steps are taken".
    if text and text[-1] in _DOTS:
        text = text[:-1]
    if not text:
        raise InvalidJID("domainpart: empty")
    if len(text) > MAX_PART:
        raise InvalidJID("domainpart: too long")
    if text[0] == "[":
        return _ipv6(text)
    try:
        labels, octets = _labels(idna.uts46_remap(text, std3_rules=False))
    except InvalidJID:
        raise
    except (ValueError, OverflowError) as error:
        raise InvalidJID("domainpart: not a domain name") from error
    if octets > MAX_DOMAIN:
        raise InvalidJID("domainpart: too long")
    return ".".join(labels)


def _labels(name: str) -> tuple[list[str], int]:
    """The labels of *name*, checked and as U-labels, and the octets they take in the DNS."""
    labels: list[str] = []
    octets = -1
    for label in name.split("."):
        if _ASCII_LABEL.fullmatch(label):
            labels.append(label)
            octets += len(label) + 1
            continue
        if not label:
            raise InvalidJID("domainpart: an empty label")
        if len(label) > MAX_LABEL:
            raise InvalidJID("domainpart: a label is too long")
        # §3.2.1: "each A-label MUST be converted to a U-label".
        unicode_label = idna.ulabel(label)
        labels.append(unicode_label)
        octets += len(idna.alabel(unicode_label)) + 1
    return labels, octets


def _ipv6(text: str) -> str:
    if text[-1] != "]" or "%" in text:
        raise InvalidJID("domainpart: not an IPv6 address")
    try:
        return f"[{IPv6Address(text[1:-1])}]"
    except AddressValueError as error:
        raise InvalidJID("domainpart: not an IPv6 address") from error


def _enforce(profile: Profile, part: str, text: str) -> str:
    if not text:
        raise InvalidJID(f"{part}: empty")
    # The limit counts octets "after any normalization and mapping", but a profile takes microseconds for a character:
    # what has too many characters once composed cannot become short enough, and is not worth them.
    if len(text) > 4 * MAX_PART or len(unicodedata.normalize("NFC", text)) > MAX_PART:
        raise InvalidJID(f"{part}: too long")
    try:
        prepared = profile.enforce(text)
    except UnicodeEncodeError as error:
        raise InvalidJID(f"{part}: {_reason(error)}") from error
    if len(prepared.encode()) > MAX_PART:
        raise InvalidJID(f"{part}: too long")
    return prepared


def _reason(error: UnicodeEncodeError) -> str:
    character = error.object[error.start : error.end]
    if len(character) == 1:
        return f"U+{ord(character):04X} is not allowed"
    return "breaks the Bidi Rule" if error.reason.endswith("bidi_rule") else "cannot be normalised"
