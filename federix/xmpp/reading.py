"""A single stanza, read from bytes that were written here."""

from __future__ import annotations

from typing import Final

from . import ns
from .events import Header
from .limits import Limits
from .markup import WHOLE_TAG
from .parser import StreamParser
from .stanza import Stanza

_WITHOUT_LIMITS: Final = Limits(
    stanza_bytes=2**31, elements=2**31, depth=2**31, attributes=2**31, tag_bytes=2**31, tree_bytes=2**31
)
_HEADER: Final = f"<stream:stream xmlns='{ns.CLIENT}' xmlns:stream='{ns.STREAMS}'>".encode()


def read_stanza(raw: bytes) -> Stanza:
    """The stanza that *raw* is, as it stood on a client's stream; raises `ValueError` where it is none."""
    parser = StreamParser(_WITHOUT_LIMITS)
    events = parser.feed(_HEADER + raw)
    parser.close()
    match events:
        case [Header(), Stanza() as stanza]:
            return stanza
    raise ValueError("not one stanza")


def read_start(raw: bytes) -> Stanza:
    """The stanza that *raw* is, as far as its start tag tells, whatever its size: all that an error says of it."""
    tag = WHOLE_TAG.match(raw)
    if tag is None:
        raise ValueError("not one stanza")
    return read_stanza(tag[0] if tag[0].endswith(b"/>") else tag[0][:-1] + b"/>")
