"""Reads what one side of a connection says, whatever that is, and however often it begins anew."""

from __future__ import annotations

import re
from typing import Final

from ..xmpp.errors import StreamError
from ..xmpp.events import Event
from ..xmpp.limits import Limits
from ..xmpp.parser import StreamParser

#: Bytes shown of what is no XML.
_SHOWN: Final = 200

_LIMITS: Final = Limits(stanza_bytes=1 << 30, elements=1 << 30, depth=10_000, attributes=10_000)
#: Where a stream begins, which it does again after TLS and after SASL.
_BEGINNING: Final = re.compile(rb"(?:<\?xml[^>]*>\s*)?<stream:stream[\s>]")
_DECLARATION: Final = b"<?xml "
_ROOT: Final = b"<stream:stream "


class Reader:
    """One direction of a connection: its streams, one after the other, which begin where a header is."""

    def __init__(self) -> None:
        self._parser = StreamParser(_LIMITS)
        self._tail = b""
        self._lost = False

    def feed(self, data: bytes) -> list[Event | str]:
        """What *data* completes; a text for what is no stream."""
        data, self._tail = self._tail + data, b""
        events: list[Event | str] = []
        while begins := _BEGINNING.search(data):
            events += self._take(data[: begins.start()])
            self._parser.close()
            self._parser = StreamParser(_LIMITS)
            self._lost = False
            events += self._take(data[begins.start() : begins.end() - 1])
            data = data[begins.end() - 1 :]
        at = _may_begin(data)
        data, self._tail = data[:at], data[at:]
        return events + self._take(data)

    def close(self) -> None:
        self._parser.close()

    def _take(self, data: bytes) -> list[Event | str]:
        if self._lost:
            return [_shown(data)] if data.strip() else []
        events: list[Event | str] = []
        for event in self._parser.feed(data):
            if isinstance(event, StreamError):
                self._lost = True
                events.append(_shown(data))
            else:
                events.append(event)
        return events


def _may_begin(data: bytes) -> int:
    """From where on *data* may become the beginning of another stream, which is known when more comes."""
    at = data.rfind(_DECLARATION)
    if at >= 0:
        _, closed, root = data[at:].partition(b">")
        if not closed or _ROOT.startswith(root.lstrip()):
            return at
    at = data.rfind(b"<")
    if at >= 0 and (_DECLARATION.startswith(data[at:]) or _ROOT.startswith(data[at:])):
        return at
    return len(data)


def _shown(data: bytes) -> str:
    return data[:_SHOWN].decode("utf-8", "backslashreplace") + ("…" if len(data) > _SHOWN else "")
