"""The language of a stream (RFC 6120 §4.7.4): its stanzas have it where they say no other."""

from __future__ import annotations

import re
from typing import Final

from ..xmpp.events import Header

#: A language tag (BCP 47) that may be stamped on a stanza; no registered one is nearly as long.
_LANGUAGE: Final = re.compile(r"(?=.{1,64}$)[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*", re.ASCII)


def language_of(header: Header) -> str | None:
    """What the peer's header says, if that is a language tag."""
    lang = header.get("xml:lang")
    return lang if lang and _LANGUAGE.fullmatch(lang) else None
