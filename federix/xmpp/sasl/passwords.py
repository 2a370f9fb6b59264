"""Passwords, brought into the one form from which keys are derived.

RFC 5802 §2.2 names SASLprep (RFC 4013) for it and that is what clients do before they compute a proof, so SASLprep
comes first. Unassigned code points pass, as in a query (RFC 3454 §7): the tables end with Unicode 3.2 and would refuse
every newer script and emoji. What SASLprep still refuses (a digit after Arabic letters, for one) is tried with its
successor, the OpaqueString profile (RFC 8265 §4.2). For nearly all passwords the two agree, and plain ASCII they leave
as it is.
"""

from __future__ import annotations

import re
import stringprep
import unicodedata

from precis_i18n import get_profile

#: In characters. RFC 4616 §2: "Servers MUST be capable of accepting […] up to and including 255 octets."
MAX_PASSWORD = 1024

_ASCII = re.compile(r"[ -~]+")
_OPAQUE = get_profile("OpaqueString")
_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


class InvalidPassword(ValueError):
    """Not usable as a password: empty, too long, or with characters (controls, for one) that no profile allows."""


def prepare_password(text: str) -> str:
    """*text* as it is hashed and compared; raises `InvalidPassword`."""
    if len(text) > MAX_PASSWORD:
        raise InvalidPassword("too long")
    if _ASCII.fullmatch(text):
        return text
    prepared = _saslprep(text)
    if prepared:
        return prepared
    try:
        return _OPAQUE.enforce(text)
    except UnicodeEncodeError:
        # The original error holds the password: it must not reach a traceback.
        raise InvalidPassword("empty, or with a character that is not allowed") from None


def _saslprep(text: str) -> str | None:
    """RFC 4013 §2; None if it refuses *text*."""
    mapped = "".join(" " if stringprep.in_table_c12(c) else c for c in text if not stringprep.in_table_b1(c))
    normal = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    if any(prohibited(c) for c in normal for prohibited in _PROHIBITED):
        return None
    # RFC 3454 §6: with right-to-left characters in it, no left-to-right ones, and it begins and ends right-to-left.
    if any(stringprep.in_table_d1(c) for c in normal):
        if any(stringprep.in_table_d2(c) for c in normal):
            return None
        if not (stringprep.in_table_d1(normal[0]) and stringprep.in_table_d1(normal[-1])):
            return None
    return normal
