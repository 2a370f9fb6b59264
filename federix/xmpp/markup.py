"""Tags and other markup in bytes that are cut anywhere: what is whole, and what may not be there."""

from __future__ import annotations

import re
from typing import Final

#: Without possessive quantifiers: before Python 3.11.5 they match what they must not.
WHOLE_TAG: Final = re.compile(rb"""<[^'">]*(?:(?:"[^"]*"|'[^']*')[^'">]*)*>""")
CDATA: Final = b"<![CDATA["
#: One tag, or a CDATA section, which may hold what looks like one.
_TAG_OR_CDATA: Final = re.compile(rb"<!\[CDATA\[(?s:.*?)\]\]>|" + WHOLE_TAG.pattern)
_MARKUP: Final = re.compile(rb"<[!?]")
_DECLARATION: Final = re.compile(rb"<\?xml[ \t\r\n]")


def restricted_at(data: bytes, cdata: bool, first: bool) -> int | None:
    """Where a comment, instruction or DTD begins (RFC 6120 §11.1). Not expat finds it: it may never be whole.

    *cdata*: *data* begins within a CDATA section. *first*: nothing came before it, so it may begin with a declaration.
    """
    at = 0
    while True:
        if cdata:
            end = data.find(b"]]>", at)
            if end < 0:
                return None
            at = end + 3
            cdata = False
        match = _MARKUP.search(data, at)
        if match is None:
            return None
        start = match.start()
        if data.startswith(CDATA, start):
            at = start + len(CDATA)
            cdata = True
        elif first and not start and (_DECLARATION.match(data) or b"<?xml".startswith(data)):
            at = match.end()
        elif len(data) - start < len(CDATA) and CDATA.startswith(data[start:]):
            return None  # it may still become one
        else:
            return start


def has_longer_tag(data: bytes, most: int) -> bool:
    """Whether a tag of *data*, a whole stanza, takes more than *most* bytes."""
    return any(
        match.end() - match.start() > most and not match[0].startswith(CDATA) for match in _TAG_OR_CDATA.finditer(data)
    )
