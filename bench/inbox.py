"""Whether what arrives is what was sent: once, in order, unharmed. Plain bytes, no XML library."""

from __future__ import annotations

import re
from typing import Final

_TAG: Final = re.compile(rb"<[^>]*>")


class LoadFailed(Exception):
    """The server did something wrong, or too slowly; the text says what."""


def numbered(number: int, filler: bytes) -> bytes:
    """The text of the stanza with that number."""
    return b"%08d%s" % (number, filler)


class Inbox:
    """Finds the stanzas of one sender in a stream of bytes and compares each with the one that is due."""

    __slots__ = ("_close", "_close_text", "_filler", "_open_text", "_rest", "_sender", "expected")

    def __init__(self, element: bytes, text: bytes, sender: bytes, filler: bytes) -> None:
        """Of *sender* (a full JID) come stanzas of the name *element*, whose child *text* holds `numbered` texts.

        Stanzas without such a child are something else, and passed over.
        """
        self._close = b"</%s>" % element
        self._open_text = b"<%s>" % text
        self._close_text = b"</%s>" % text
        self._sender = sender
        self._filler = filler
        self._rest = b""
        self.expected = 0

    def feed(self, data: bytes) -> int:
        """How many stanzas *data* completes; raises `LoadFailed` for one that is not the next."""
        if self._rest:
            data = self._rest + data
        at = count = 0
        while (end := data.find(self._close, at)) >= 0:
            count += self._take(data[at:end])
            at = end + len(self._close)
        self._rest = data[at:]
        return count

    def _take(self, stanza: bytes) -> int:
        start = stanza.find(self._open_text)
        if start < 0:
            return 0
        start += len(self._open_text)
        text = stanza[start : stanza.find(self._close_text, start)]
        if text != numbered(self.expected, self._filler) or self._sender not in stanza:
            raise LoadFailed(f"number {self.expected} from {self._sender.decode()} is due, not {_shown(stanza)}")
        self.expected += 1
        return 1


class Answers:
    """Finds the answers to iqs, of which one at a time is under way."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes, identifier: bytes) -> bool:
        """Whether the answer to *identifier* is now whole; raises `LoadFailed` where it is not a result."""
        data = self._rest + data
        if not (data.endswith(b"</iq>") or (data.endswith(b"/>") and len(_TAG.findall(data)) == 1)):
            self._rest = data
            return False
        self._rest = b""
        head = data[: data.find(b">") + 1]
        if identifier not in head or b"result" not in head or data.count(b"<iq ") != 1:
            raise LoadFailed(f"the result of {identifier.decode()} is due, not {_shown(data)}")
        return True


def _shown(data: bytes) -> str:
    return data[:500].decode(errors="replace")
