"""Expat as XMPP has it."""

from __future__ import annotations

from typing import Final
from xml.parsers import expat

from .errors import StreamCondition, StreamError

#: Expat's own buffer for text; eight times as much by default, for every stream.
_TEXT_BUFFER: Final = 1024


def new_expat() -> expat.XMLParserType:
    """One for a new stream, without handlers for what a stream may hold; it raises `StreamError` for what none may."""
    parser = expat.ParserCreate("utf-8", " ")
    parser.buffer_text = True
    parser.buffer_size = _TEXT_BUFFER
    if hasattr(parser, "SetReparseDeferralEnabled"):
        parser.SetReparseDeferralEnabled(False)
    # RFC 6120 §11.1: no comments, processing instructions, DTDs, entities but the five.
    parser.StartDoctypeDeclHandler = _restricted
    parser.CommentHandler = _restricted
    parser.ProcessingInstructionHandler = _restricted
    parser.EntityDeclHandler = _restricted
    return parser


def _restricted(*_: object) -> None:
    raise StreamError(StreamCondition.RESTRICTED_XML)
