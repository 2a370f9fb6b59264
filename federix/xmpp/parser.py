"""Bytes in, stanzas out: a stream parser over expat that keeps each stanza's own bytes.

Feed it what arrives, cut anywhere; it answers with events in order. A stanza is an event at the moment its last byte
is fed, whatever the cut.

Expat alone does not promise that: since 2.6 (and in patched 2.5) it may hold back a tag that came in two pieces until
more data follows. So expat is handed whole tags only, and what is not whole yet waits here, bounded.
"""

from __future__ import annotations

import re
from typing import Final
from xml.parsers import expat

from . import names, ns
from .characters import check_beginning, is_character, whole_characters, whole_text
from .element import Element
from .errors import StreamCondition, StreamError
from .events import Event, Footer, Header
from .expats import new_expat
from .limits import Limits
from .markup import CDATA, WHOLE_TAG, restricted_at
from .names import MAX_REMEMBERED, remembered
from .stanza import KINDS, UNREAD, Stanza, reusable_bytes

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
# As names of this module they are looked up at half the cost.
_CLIENT: Final = ns.CLIENT
_CONTENT: Final = ns.CONTENT

#: How much one expat is fed: it remembers each name it ever met, at some twenty bytes a byte.
MAX_EXPAT_BYTES: Final = 32 * 1024
#: What the parts of a tree take, in bytes, in CPython: many times what they take on the wire when they are small.
_ELEMENT_COST: Final = 360
_DICT_COST: Final = 180
_ATTRIBUTE_COST: Final = 200
#: What expat keeps for a name, whatever its length.
_KNOWN_NAME_COST: Final = 150
#: What a character of text takes at most, by the first byte of the widest one that came: CPython gives all characters
#: of a string the room of its widest.
_WIDE: Final = re.compile(rb"[\xc4-\xff]")
_WIDEST: Final = re.compile(rb"[\xf0-\xff]")
#: Pieces of text are joined up to here: byte by byte costs neither a string each nor the square of their number.
_JOINED_TEXT: Final = 1024

#: Made so, without __init__, each costs half as much.
_new_element: Final = Element.__new__
_new_stanza: Final = Stanza.__new__


class StreamParser:
    """The parser of one stream, from its header to its end; a restarted stream gets a new one.

    Its limits may be exchanged while the stream goes on. It and its expat hold each other: what neither ended nor
    failed must be closed (`close`), or it waits for the cyclic collector.
    """

    __slots__ = (
        "_base",
        "_cdata",
        "_content",
        "_cost",
        "_elements",
        "_ended",
        "_events",
        "_expat",
        "_fed",
        "_header",
        "_held",
        "_named_by_prefix",
        "_namespaces",
        "_own",
        "_plain",
        "_plain_header",
        "_prefixes",
        "_stack",
        "_start",
        "_tail",
        "_width",
        "_window",
        "between",
        "limits",
    )

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._events: list[Event] = []
        self._stack: list[Element] = []
        self._own = 0  # how many elements from the stanza down stand in its content namespace
        self._elements = 0
        self._cost = 0  # about how many bytes the tree of the stanza under way takes, without its text
        self._width = 1  # of the characters of the stanza under way
        self._content = ""
        self._namespaces: dict[str, str] = {}  # what the header declares
        self._prefixes: frozenset[bytes] = frozenset()
        self._named_by_prefix: frozenset[str] = frozenset()  # the namespaces for which a prefix of the header stands
        self._plain_header = False  # none of them is the content namespace
        self._plain = False  # the bytes of the stanza under way mean the same under any content namespace
        self._header = b""  # its start tag; empty until it is whole
        self._cdata = False
        self._ended = False
        self._tail = bytearray()  # begins with an unfinished tag, reference or character, or is empty
        self._fed = 0  # how many bytes expat has been given
        self._base = 0  # the position of the first byte of _window
        self._window = b""  # what expat is working on
        self._held = bytearray()  # what expat has seen of the stanza under way
        self._start = 0  # the position of the stanza under way
        #: Whether nothing is under way: the next byte begins a stanza.
        self.between = True
        parser = new_expat()
        parser.StartNamespaceDeclHandler = self._namespace_declared
        parser.StartElementHandler = self._root_started
        parser.XmlDeclHandler = self._declared
        self._expat: expat.XMLParserType | None = parser

    @property
    def held(self) -> int:
        """How many bytes wait here for the rest of their stanza."""
        return len(self._tail) + len(self._held)

    @property
    def weight(self) -> int:
        """About how many bytes what is under way takes here: its bytes, and the tree made of them."""
        return self.held + (self._tree() if self._stack else 0)

    def feed(self, data: bytes) -> list[Event]:
        """The events that *data* completes. After an error or the end of the stream there are none."""
        if self._ended or (self._expat is None and not self._tail and not data.strip(_WHITESPACE)):
            return []  # a keep-alive wakes nobody
        try:
            asks = data.endswith(_ASKS) and self._header != b""
            if not asks or len(data) > _ASKS_SIZE:
                self._feed(data[:-_ASKS_SIZE] if asks else data)
            if asks and not self._ended:
                if self._stack or self._tail or self._cdata:
                    self._feed(data[-_ASKS_SIZE:])
                else:
                    self._events.append(_ASKED)
        except StreamError as error:
            # Its traceback would hold this frame, and this frame it.
            self._end(error.with_traceback(None))
        except expat.ExpatError as error:
            if not self._ended:
                self._end(self._named(error))
        self.between = not self._tail and not self._stack
        events, self._events = self._events, []
        return events

    def hibernate(self) -> bool:
        """Let expat go, which is most of what an idle stream takes; the next byte brings a new one.

        Whether that is done now: not before, and not in the middle of anything.
        """
        if self._expat is None or not self._header or self._stack or self._tail:
            return False
        self._expat = None
        return True

    def close(self) -> None:
        """Let go of everything: the connection is gone. What is fed from here on is ignored."""
        self._ended = True
        self._expat = None  # its handlers are our methods: leave no cycle behind
        self._stack.clear()
        self._tail.clear()
        self._held.clear()
        self._window = b""
        self.between = True

    def _end(self, event: Event) -> None:
        if not self._ended:  # what comes after the footer is not looked at
            self._events.append(event)
            self.close()

    def _feed(self, data: bytes) -> None:
        size = self.limits.tag_bytes
        if len(data) <= size and not self._tail and self._is_whole(data):
            self._give(data)
            if self._stack and self._fed - self._start > self.limits.stanza_bytes:
                raise StreamError(StreamCondition.POLICY_VIOLATION, "the stanza is too large")
        else:
            for at in range(0, len(data), size):
                self._take(data[at : at + size])

    # -- cutting: what expat may see ------------------------------------------------------------------------------

    def _is_whole(self, data: bytes) -> bool:
        """Whether *data* is what most reads bring: whole tags up to an end tag or an empty one, and nothing special."""
        last = data.rfind(b"<")
        if last < 0 or data[-1] != _END or self._cdata or not 0 < self._fed <= MAX_EXPAT_BYTES:
            return False
        # "in" would look for the two bytes as a number first, which costs as much again.
        if (_EXCLAMATION in data and data.find(b"<!") >= 0) or (_QUESTION in data and data.find(b"<?") >= 0):
            return False
        return data[last + 1] == _SLASH or (
            (match := WHOLE_TAG.match(data, last)) is not None and match.end() == len(data)
        )

    def _take(self, data: bytes) -> None:
        """Take at most as much as a tag may hold."""
        tail = self._tail
        if tail:
            if len(tail) > 8 and tail[:1] == b"<" and not self._cdata and b">" not in data and b"<" not in data:
                tail += data  # a long tag that comes in many pieces is not looked at each time
                data = b""
            else:
                data = bytes(tail) + data
                tail.clear()
        elif not self._fed:
            data = data.lstrip(_WHITESPACE)
        # The earlier pieces being no larger, a tag that is too long begins in the tail.
        if len(data) + len(tail) > self.limits.tag_bytes:
            self._check_tag(data or bytes(tail))
        if _EXCLAMATION in data or _QUESTION in data:
            found = restricted_at(data, self._cdata, not self._fed)
            if found is not None:
                self._cut(data[: found + 1])  # with its "<": what stands before it is whole, or wrong
                raise StreamError(StreamCondition.RESTRICTED_XML)
        if data:
            self._cut(data)
        if self._stack or tail or not self._header:
            size = self._unfinished()
            if size > self.limits.stanza_bytes:
                raise StreamError(StreamCondition.POLICY_VIOLATION, "the stanza is too large")
            if self._stack and self._tree() > self.limits.tree_bytes:
                raise StreamError(StreamCondition.POLICY_VIOLATION, "the stanza takes too much memory")

    def _cut(self, data: bytes) -> None:
        """Give expat the whole tags and the text of *data*, and keep the rest."""
        while data and not self._ended:
            if self._cdata:
                whole = data.find(b"]]>") + 3
                if whole < 3:
                    whole = whole_characters(data, max(len(data) - 2, 0))
                if not whole:
                    break
            else:
                # Past its measure expat is fed tag by tag: then the end of a stanza is the end of what it was fed.
                last = data.find(b"<") if self._fed > MAX_EXPAT_BYTES else data.rfind(b"<")
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
        if self._cdata or data[:1] != b"<" or data.startswith(CDATA):
            return
        match = WHOLE_TAG.match(data)
        if (match.end() if match else len(data)) > self.limits.tag_bytes:
            raise StreamError(StreamCondition.POLICY_VIOLATION, "the tag is too long")

    def _tree(self) -> int:
        """About how many bytes the tree under way takes, and the names expat knows."""
        known = _KNOWN_NAME_COST * len(self._expat.intern) if self._expat is not None else 0
        return self._cost + self._width * len(self._held) + known

    def _unfinished(self) -> int:
        """How long what is under way is so far: the header, a stanza or the tag that begins one."""
        if not self._header:
            return self._fed + len(self._tail)
        return (self._fed - self._start if self._stack else 0) + len(self._tail)

    def _give(self, data: bytes) -> None:
        parser = self._expat or self._renewed()
        if not self._fed:
            check_beginning(data)
        self._base = self._fed
        self._window = data
        self._fed += len(data)
        parser.Parse(data, False)
        if self._ended:
            return
        if self._stack:
            if not self._held:
                self._width = 1
                if self._start > self._base:
                    data = data[self._start - self._base :]
            if self._width < 4 and not data.isascii():
                self._width = 4 if _WIDEST.search(data) else 2 if _WIDE.search(data) else self._width
            self._held += data
        elif self._fed > MAX_EXPAT_BYTES and data[-1:] == b">" and self._header:
            self._expat = None
        self._window = b""

    def _renewed(self) -> expat.XMLParserType:
        """A new expat that knows the header, to go on between two stanzas."""
        parser = new_expat()
        parser.Parse(self._header, False)
        self._fed = len(self._header)
        self._hear(parser)
        self._expat = parser
        return parser

    # -- expat's handlers -----------------------------------------------------------------------------------------

    def _declared(self, version: str, encoding: str | None, _standalone: int) -> None:
        """RFC 6120 §11.6: the encoding is UTF-8."""
        if encoding is not None and encoding.lower() != "utf-8":
            raise StreamError(StreamCondition.UNSUPPORTED_ENCODING)

    def _namespace_declared(self, prefix: str | None, uri: str | None) -> None:
        if len(self._namespaces) >= self.limits.attributes:
            raise StreamError(StreamCondition.POLICY_VIOLATION, "too many namespaces")
        self._namespaces[prefix or ""] = uri or ""

    def _root_started(self, name: str, attrs: dict[str, str]) -> None:
        parser = self._expat
        assert parser is not None
        at = parser.CurrentByteIndex - self._base
        match = WHOLE_TAG.match(self._window, at)
        assert match is not None
        if self._base + match.end() > self.limits.stanza_bytes:
            raise StreamError(StreamCondition.POLICY_VIOLATION, "the header is too large")
        if len(attrs) > self.limits.attributes:
            raise StreamError(StreamCondition.POLICY_VIOLATION, "too many attributes")
        self._header = match[0]
        namespace, local, _ = names.known(name)
        declared, self._namespaces = self._namespaces, {}
        self._content, self._prefixes, self._named_by_prefix = names.declared(tuple(declared.items()))
        self._plain_header = self._plain = self._content not in self._named_by_prefix
        self._events.append(Header(local, namespace, names.spelt(attrs), self._content, dict(declared)))
        self._hear(parser)

    def _hear(self, parser: expat.XMLParserType) -> None:
        parser.StartNamespaceDeclHandler = self._namespace_changed
        parser.StartElementHandler = self._started
        parser.EndElementHandler = self._closed
        parser.CharacterDataHandler = self._text
        parser.StartCdataSectionHandler = self._cdata_started
        parser.EndCdataSectionHandler = self._cdata_closed

    def _namespace_changed(self, prefix: str | None, uri: str | None) -> None:
        # A prefix may be used where it is not seen, in the text of some payload. What a stanza's own tag declares goes
        # before its stream's, and a content namespace further down would stay behind when the stanza changes its own.
        if prefix is not None or not self._stack or uri in ns.CONTENT:
            self._plain = False

    def _started(self, name: str, attrs: dict[str, str]) -> None:
        namespace, local, cost = remembered(name) if len(name) <= MAX_REMEMBERED else names.known(name)
        limits = self.limits
        if attrs:
            count = len(attrs)
            if count > limits.attributes:
                raise StreamError(StreamCondition.POLICY_VIOLATION, "too many attributes")
            cost += _DICT_COST + _ATTRIBUTE_COST * count
            for key in attrs:
                if " " in key:  # four bytes of markup repeat a whole namespace
                    cost += sum(map(names.cost, attrs))
                    attrs = names.spelt(attrs)
                    self._plain = self._plain and not any(key[0] == "{" for key in attrs)
                    break
        element = _new_element(Element)
        element.name = local
        element.ns = namespace
        element.attrs = attrs
        element.children = []
        stack = self._stack
        if stack:
            depth = len(stack)
            self._elements += 1
            self._cost += _ELEMENT_COST + cost
            if self._cost > limits.tree_bytes:
                raise StreamError(StreamCondition.POLICY_VIOLATION, "the stanza takes too much memory")
            if self._elements > limits.elements:
                raise StreamError(StreamCondition.POLICY_VIOLATION, "too many elements")
            if depth >= limits.depth:
                raise StreamError(StreamCondition.POLICY_VIOLATION, "nested too deep")
            if namespace in self._named_by_prefix:
                self._plain = False
            stack[-1].children.append(element)
            # RFC 6120 §4.8.3: the content namespaces are one, down to the first element of another. Whoever writes
            # <body xmlns='jabber:server'/> to a server of clients means a body, or means to hide one.
            if namespace in _CONTENT and self._own == depth:
                self._own = depth + 1
                element.ns = _CLIENT
        else:
            if namespace == ns.STREAMS and local == "stream":
                raise StreamError(StreamCondition.BAD_FORMAT, "a second stream header")
            assert self._expat is not None
            self._start = self._expat.CurrentByteIndex
            self._elements = 1
            self._cost = _ELEMENT_COST + cost
            self._own = 0
            if namespace == self._content and namespace in _CONTENT:
                self._own = 1
                element.ns = _CLIENT
        stack.append(element)

    def _text(self, text: str) -> None:
        if self._stack:
            children = self._stack[-1].children
            if children and isinstance(last := children[-1], str) and len(last) < _JOINED_TEXT:
                children[-1] = last + text
            else:
                children.append(text)
        elif text.strip(" \t\r\n"):
            # RFC 6120 §11.7: only whitespace may stand between stanzas.
            raise StreamError(StreamCondition.BAD_FORMAT, "text between stanzas")

    def _cdata_started(self) -> None:
        self._cdata = True

    def _cdata_closed(self) -> None:
        self._cdata = False

    def _closed(self, name: str) -> None:
        stack = self._stack
        if not stack:
            self._end(Footer())
            return
        element = stack.pop()
        depth = len(stack)
        if depth:
            if self._own > depth:
                self._own = depth
            return
        raw = self._slice(element)
        plain, self._plain = self._plain, self._plain_header
        kind = KINDS.get(element.name) if self._own else None
        if kind is None:
            self._events.append(element)
            return
        stanza = _new_stanza(kind)
        stanza.element = element
        stanza.raw = raw if plain else reusable_bytes(raw, element.name, self._prefixes)
        stanza._to = stanza._from = UNREAD
        self._events.append(stanza)

    def _slice(self, element: Element) -> bytes:
        """The bytes of the stanza that ends here."""
        assert self._expat is not None
        at = self._expat.CurrentByteIndex - self._base
        window = self._window
        # Of <presence/> expat tells where it ends, of <presence></presence> where its end tag begins.
        if not element.children and at >= 2 and window[at - 2 : at] == b"/>":
            end = at
        else:
            end = at + len(element.name) + 3
            if window[end - 1] != _END:  # there is a prefix, or a space behind the name
                end = window.index(b">", at) + 1
        if self._held:
            raw = bytes(self._held) + window[:end]
            self._held.clear()
        else:
            raw = window[self._start - self._base : end]
        if len(raw) > self.limits.stanza_bytes:
            raise StreamError(StreamCondition.POLICY_VIOLATION, "the stanza is too large")
        return raw

    def _named(self, error: expat.ExpatError) -> StreamError:
        """What expat's refusal is called (RFC 6120 §4.9.3.13, §4.9.3.18, §4.9.3.22)."""
        code = expat.errors.messages.get(error.code, "")
        if code in (expat.errors.XML_ERROR_UNDEFINED_ENTITY, expat.errors.XML_ERROR_RECURSIVE_ENTITY_REF):
            return StreamError(StreamCondition.RESTRICTED_XML)
        if code in (expat.errors.XML_ERROR_UNKNOWN_ENCODING, expat.errors.XML_ERROR_INCORRECT_ENCODING):
            return StreamError(StreamCondition.UNSUPPORTED_ENCODING)
        if code == expat.errors.XML_ERROR_INVALID_TOKEN and not self._is_utf_8_there():
            return StreamError(StreamCondition.UNSUPPORTED_ENCODING)
        return StreamError(StreamCondition.NOT_WELL_FORMED)

    def _is_utf_8_there(self) -> bool:
        """Whether what expat refused is a character at all; what else has come behind it is not looked at."""
        assert self._expat is not None
        at = self._expat.ErrorByteIndex - self._base
        # What began in an earlier piece is never whole: it was cut before a tag.
        return at >= 0 and is_character(self._window[at : at + 4])
