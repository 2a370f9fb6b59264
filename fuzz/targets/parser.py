"""The stream parser: any bytes, in any cut.

Nothing is raised, what is held stays within its limit, and the events are those of the same bytes in one piece. Six
bytes before the stream say where it is cut, and within which limits it is read. In pieces it is read by what has read
all inputs before it, in one piece by something new: nothing of one stream may be seen in another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from federix.xmpp.element import Element
from federix.xmpp.errors import StreamCondition, StreamError
from federix.xmpp.events import Event, Header
from federix.xmpp.limits import AFTER_AUTHENTICATION, BEFORE_AUTHENTICATION, Limits
from federix.xmpp.parser import StreamParser
from federix.xmpp.readers import Readers
from federix.xmpp.stanza import Stanza

from ..mutation import HEADER

_LIMITS: Final = (
    AFTER_AUTHENTICATION,
    BEFORE_AUTHENTICATION,
    Limits(stanza_bytes=300, elements=6, depth=4, attributes=3, tag_bytes=200),
    Limits(stanza_bytes=100, elements=100, depth=50, attributes=100, tag_bytes=100),
)
_SHARED: Final = Readers()
#: An unfinished tag with a "<" inside.
_NESTED: Final = re.compile(rb"<[^>]*<[^>]*\Z")
#: Byte by byte only up to here: it takes its time.
_SHORT: Final = 400


def check(data: bytes) -> None:
    control, data = data[:6].ljust(6, b"\0"), data[6:]
    limits = _LIMITS[control[0] % 4]
    if control[0] & 8:
        for heading in _SHARED._headings.values():
            heading.close()  # what reads next knows the header only from what others said
    if not control[0] & 4:
        data = HEADER + data
    data += b"   "  # what may yet be the end of a CDATA section is not looked at
    expected, _ = _read([data], limits)
    places = sorted({0, len(data), *(_place(control[i], control[i + 1], len(data)) for i in range(1, 5))})
    _compare(expected, [data[a:b] for a, b in pairwise(places)], limits)
    if len(data) <= _SHORT:
        _compare(expected, [data[at : at + 1] for at in range(len(data))], limits)


def _place(high: int, low: int, size: int) -> int:
    return (high * 256 + low) % (size + 1)


def _read(
    pieces: Iterable[bytes], limits: Limits, readers: Readers | None = None
) -> tuple[list[object], StreamError | None]:
    parser = StreamParser(limits, readers)
    shown: list[object] = []
    error: StreamError | None = None
    for piece in pieces:
        for event in parser.feed(piece):
            assert error is None, "an event after an error"
            if isinstance(event, StreamError):
                error = event
            shown.append(_shown(event))
        assert parser.held <= limits.stanza_bytes, f"{parser.held} bytes are held"
    parser.close()
    return shown, error


def _compare(expected: list[object], pieces: list[bytes], limits: Limits) -> None:
    found, error = _read(pieces, limits, _SHARED)
    if found == expected:
        return
    if not any(isinstance(event, Header) for event in (*found, *expected)):
        return  # what does not begin as a stream is refused, or not yet
    # Of two mistakes the cut may decide which shows first: one of size, of text between stanzas, or the one behind it.
    first = {StreamCondition.POLICY_VIOLATION, StreamCondition.BAD_FORMAT}
    refused = error is not None and expected and isinstance(expected[-1], StreamCondition)
    if refused and found[:-1] == expected[:-1] and first & {found[-1], expected[-1]}:
        return
    # What follows a "<" inside a tag is measured from there, in some cuts: it is refused for either reason, or soon.
    longer, shorter = (expected, found) if len(expected) > len(found) else (found, expected)
    too_long = longer[:-1] == shorter and longer[-1] is StreamCondition.POLICY_VIOLATION
    if too_long and _NESTED.search(b"".join(pieces)):
        return
    raise AssertionError(f"{found} of {pieces}, not {expected}")


def _shown(event: Event) -> object:
    if isinstance(event, Stanza):
        return event.kind, event.element, event.raw
    if isinstance(event, StreamError):
        return event.condition
    return event if isinstance(event, Header | Element) else type(event)
