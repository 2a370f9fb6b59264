"""Characters in bytes that are cut anywhere: where one is whole, and whether it is one."""

from __future__ import annotations

import codecs

from .errors import StreamCondition, StreamError


def is_character(data: bytes) -> bool:
    """Whether *data* begins with a character in UTF-8."""
    try:
        codecs.utf_8_decode(data, "strict", True)
    except UnicodeDecodeError as error:
        return error.start > 0
    return True


def whole_text(data: bytes) -> int:
    """How much of *data*, which has no tag, can be handed on: all but a reference or character that is not whole."""
    reference = data.rfind(b"&")
    if reference < 0 or data.find(b";", reference) >= 0:
        return whole_characters(data, len(data))
    return reference


def whole_characters(data: bytes, end: int) -> int:
    """*end*, or where the character begins that is not whole by then."""
    begin = end - 1
    while begin > end - 4 and begin > 0 and 0x80 <= data[begin] < 0xC0:
        begin -= 1
    if not end or data[begin] < 0xC0:
        return end
    try:
        return end if codecs.utf_8_decode(data[begin:end], "strict", False)[1] else begin
    except UnicodeDecodeError:
        return end


def check_beginning(data: bytes) -> None:
    """Raises `StreamError` where no stream begins like that.

    RFC 6120 §11.6: UTF-8 without a byte order mark; expat would follow one into UTF-16 whatever it is told.
    """
    if data[0] in b"\xfe\xff\x00" or data[1:2] == b"\x00":
        raise StreamError(StreamCondition.UNSUPPORTED_ENCODING)
    if data[:1] != b"<":
        raise StreamError(StreamCondition.NOT_WELL_FORMED, "a stream begins with its header")
