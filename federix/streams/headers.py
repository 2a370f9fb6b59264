"""Stream headers, what can be wrong with one, and the error that says so (RFC 6120 §4.7, §4.8, §4.9)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ..xmpp import ns
from ..xmpp.element import Element, escape_value
from ..xmpp.errors import StreamCondition, StreamError
from ..xmpp.events import Header

_VERSION: Final = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})", re.ASCII)


def header_bytes(content: str, attrs: Mapping[str, str | None]) -> bytes:
    """A stream header for stanzas in *content*; attributes that are ``None`` are left out."""
    written = "".join(f" {k}='{escape_value(v)}'" for k, v in attrs.items() if v is not None)
    return f"<?xml version='1.0'?><stream:stream xmlns='{content}' xmlns:stream='{ns.STREAMS}'{written}>".encode()


def header_error(header: Header, content: str, *, old: bool = False) -> StreamError | None:
    """What is wrong with a stream header whose stanzas are to stand in *content*.

    With *old* one of before RFC 3920, which has no version, is right: servers that know dialback alone.
    """
    if header.ns != ns.STREAMS:
        return StreamError(StreamCondition.INVALID_NAMESPACE)
    if header.name != "stream":
        return StreamError(StreamCondition.BAD_FORMAT)
    if header.content != content:
        return StreamError(StreamCondition.INVALID_NAMESPACE)
    if header.prefixes.get("stream") != ns.STREAMS:
        # §4.8.5: "an implementation MAY accept only the prefix 'stream' for the stream namespace".
        return StreamError(StreamCondition.BAD_NAMESPACE_PREFIX)
    if old and header.get("version") is None:
        return None
    # §4.7.5: "a numeric comparison on the major and minor version numbers, not a string match". Who speaks a newer
    # version is answered with ours, and decides.
    version = _VERSION.fullmatch(header.get("version") or "0.9")
    if version is None or int(version[1]) < 1:
        return StreamError(StreamCondition.UNSUPPORTED_VERSION)
    return None


def stream_error(error: StreamError) -> Element:
    """The stream error itself (RFC 6120 §4.9.2)."""
    text = Element("text", ns.STREAM_ERROR, text=error.text, attrs={"xml:lang": "en"}) if error.text else None
    return Element("error", ns.STREAMS, Element(error.condition.value, ns.STREAM_ERROR), text, error.detail)
