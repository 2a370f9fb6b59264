"""Bytes in, stanzas out: a stream parser over expat that keeps each stanza's own bytes.

Feed it what arrives, cut anywhere; it answers with events in order. A stanza is an event at the moment its last byte
is fed, whatever the cut.

Expat alone does not promise that: since 2.6 (and in patched 2.5) it may hold back a tag that came in two pieces until
more data follows. So expat is handed whole tags only, and what is not whole yet waits here, bounded.
"""

from __future__ import annotations

from typing import Final
from xml.parsers import expat

from . import ns
from .characters import whole_characters, whole_text
from .element import Element
from .errors import StreamCondition, StreamError
from .events import Event
from .limits import Limits
from .markup import CDATA, WHOLE_TAG, restricted_at
from .readers import MAX_EXPAT_BYTES, Heading, Reader, Readers

#: What clients that manage their streams (XEP-0198) say after every few stanzas, as all of them spell it: at the end of
#: what was read it is known without expat, which would take half as long for it as for a message, and sleeps on.
_ASKS: Final = (b"<r xmlns='%s'/>" % ns.SM.encode(), b'<r xmlns="%s"/>' % ns.SM.encode())
_ASKS_SIZE: Final = len(_ASKS[0])
_ASKED: Final = Element("r", ns.SM)
_WHITESPACE: Final = b" \t\r\n"
# As numbers they are looked for ten times as fast.
_EXCLAMATION: Final = ord("!")
_QUESTION: Final = ord("?")
_SLASH: Final = ord("/")
_END: Final = ord(">")


class StreamParser:
    """The parser of one stream, from its header to its end; a restarted stream gets a new one.

    Its limits may be exchanged while the stream goes on. What reads for it is lent by *readers*, which many streams may
    share. What neither ended nor failed must be closed (`close`), or something waits for the cyclic collector.
    """

    __slots__ = (
        "_ended",
        "_events",
        "_heading",
        "_own",
        "_reader",
        "_stirred",
        "_tail",
        "between",
        "limits",
        "readers",
    )

    def __init__(self, limits: Limits, readers: Readers | None = None) -> None:
        self.limits = limits
        self.readers = readers or Readers()
        self._own = readers is None
        self._events: list[Event] = []
        self._heading: Heading | None = None  # once the header is whole
        self._reader: Reader | None = None  # while something is under way
        self._tail = bytearray()  # begins with an unfinished tag, reference or character, or is empty
        self._ended = False
        self._stirred = False  # whether anything was read since it last rested
        #: Whether nothing is under way: the next byte begins a stanza.
        self.between = True

    @property
    def held(self) -> int:
        """How many bytes wait here for the rest of their stanza."""
        return len(self._tail) + (0 if self._reader is None else len(self._reader.held))

    @property
    def weight(self) -> int:
        """About how many bytes what is under way takes here: its bytes, and the tree made of them."""
        reader = self._reader
        return self.held + (reader.tree if reader is not None and reader.stack else 0)

    def feed(self, data: bytes) -> list[Event]:
        """The events that *data* completes. After an error or the end of the stream there are none."""
        if self._ended or (self._reader is None and not self._tail and not data.strip(_WHITESPACE)):
            return []  # a keep-alive wakes nobody
        try:
            asks = data.endswith(_ASKS) and self._heading is not None
            if not asks or len(data) > _ASKS_SIZE:
                self._feed(data[:-_ASKS_SIZE] if asks else data)
            if asks and not self._ended:
                if self._tail or (self._reader is not None and self._reader.stack):
                    self._feed(data[-_ASKS_SIZE:])
                else:
                    self._events.append(_ASKED)
        except StreamError as error:
            # Its traceback would hold this frame, and this frame it.
            self._end(error.with_traceback(None))
        except expat.ExpatError as error:
            if self._reader is not None:
                self._end(self._reader.named(error))
        self.between = not self._tail and (self._reader is None or not self._reader.stack)
        events, self._events = self._events, []
        return events

    def rest(self) -> bool:
        """Let go of what an idle stream does not need; whether that is done now: not before, and not in the middle."""
        reader = self._reader
        if not self._stirred or self._heading is None or self._tail or (reader is not None and reader.stack):
            return False
        self._stirred = False
        self._give_up()
        return True

    @property
    def rests(self) -> bool:
        """Whether nothing was read since it last let go of what it did not need."""
        return not self._stirred

    def close(self) -> None:
        """Let go of everything: the connection is gone. What is fed from here on is ignored."""
        self._ended = True
        self._give_up()
        if self._heading is not None and self._heading.forgotten:
            self._heading.close()
        self._tail.clear()
        self.between = True

    def _give_up(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
        if self._own:
            self.readers.close()

    def _end(self, event: Event) -> None:
        if not self._ended:
            self._events.append(event)
            self.close()

    def _feed(self, data: bytes) -> None:
        size = self.limits.tag_bytes
        if len(data) <= size and not self._tail and self._is_whole(data):
            self._give(data)
            reader = self._reader
            if reader is not None and reader.unfinished > self.limits.stanza_bytes:
                raise StreamError(StreamCondition.POLICY_VIOLATION, "the stanza is too large")
        else:
            for at in range(0, len(data), size):
                self._take(data[at : at + size])

    # -- cutting: what expat may see ------------------------------------------------------------------------------

    def _is_whole(self, data: bytes) -> bool:
        """Whether *data* is what most reads bring: whole tags up to an end tag or an empty one, and nothing special."""
        last = data.rfind(b"<")
        reader = self._reader
        if last < 0 or data[-1] != _END or self._heading is None:
            return False
        if reader is not None and (reader.cdata or reader.fed > MAX_EXPAT_BYTES):
            return False
        # "in" would look for the two bytes as a number first, which costs as much again.
        if (_EXCLAMATION in data and data.find(b"<!") >= 0) or (_QUESTION in data and data.find(b"<?") >= 0):
            return False
        return data[last + 1] == _SLASH or (
            (match := WHOLE_TAG.match(data, last)) is not None and match.end() == len(data)
        )

    def _take(self, data: bytes) -> None:
        """Take at most as much as a tag may hold."""
        tail, reader = self._tail, self._reader
        if tail:
            if len(tail) > 8 and tail[:1] == b"<" and not self._in_cdata and b">" not in data and b"<" not in data:
                tail += data  # a long tag that comes in many pieces is not looked at each time
                data = b""
            else:
                data = bytes(tail) + data
                tail.clear()
        elif self._heading is None and reader is None:
            data = data.lstrip(_WHITESPACE)
        # The earlier pieces being no larger, a tag that is too long begins in the tail.
        if len(data) + len(tail) > self.limits.tag_bytes:
            self._check_tag(data or bytes(tail))
        if _EXCLAMATION in data or _QUESTION in data:
            found = restricted_at(data, self._in_cdata, self._heading is None and reader is None)
            if found is not None:
                self._cut(data[: found + 1])  # with its "<": what stands before it is whole, or wrong
                raise StreamError(StreamCondition.RESTRICTED_XML)
        if data:
            self._cut(data)
        reader = self._reader
        if reader is not None or tail:
            if (0 if reader is None else reader.unfinished) + len(tail) > self.limits.stanza_bytes:
                raise StreamError(StreamCondition.POLICY_VIOLATION, "the stanza is too large")
            if reader is not None and reader.stack and reader.tree > self.limits.tree_bytes:
                raise StreamError(StreamCondition.POLICY_VIOLATION, "the stanza takes too much memory")

    def _cut(self, data: bytes) -> None:
        """Give expat the whole tags and the text of *data*, and keep the rest."""
        while data and not self._ended:
            if self._in_cdata:
                whole = data.find(b"]]>") + 3
                if whole < 3:
                    whole = whole_characters(data, max(len(data) - 2, 0))
                if not whole:
                    break
            else:
                # Past its measure expat is fed tag by tag: then the end of a stanza is the end of what it was fed.
                full = self._reader is not None and self._reader.fed > MAX_EXPAT_BYTES
                last = data.find(b"<") if full else data.rfind(b"<")
                if last >= 0 and data.startswith(CDATA, last):
                    whole = last + len(CDATA)  # quotes in what follows begin no attribute value
                elif last >= 0:
                    match = WHOLE_TAG.match(data, last)
                    whole = match.end() if match else last
                else:
                    whole = whole_text(data)
                if not whole:
                    break
            self._give(data[:whole] if whole < len(data) else data)
            data = data[whole:]
        if not self._ended:
            self._tail += data

    def _check_tag(self, data: bytes) -> None:
        if self._in_cdata or data[:1] != b"<" or data.startswith(CDATA):
            return
        match = WHOLE_TAG.match(data)
        if (match.end() if match else len(data)) > self.limits.tag_bytes:
            raise StreamError(StreamCondition.POLICY_VIOLATION, "the tag is too long")

    @property
    def _in_cdata(self) -> bool:
        return self._reader is not None and self._reader.cdata

    def _give(self, data: bytes) -> None:
        reader = self._reader
        if reader is None:
            heading = self._heading
            reader = self._reader = Reader(self.readers) if heading is None else heading.lend()
            self._stirred = True
        reader.events = self._events
        reader.limits = self.limits
        try:
            reader.give(data)
        finally:
            if reader.over:
                self.close()  # what comes after the footer is not looked at
        heading = self._heading = reader.heading
        if heading is not None and reader.free and not self._ended:
            self._reader = None
            heading.give_back(reader)
