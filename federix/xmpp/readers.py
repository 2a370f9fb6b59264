"""Expat, and the trees that it builds of stanzas, lent to whichever stream has one under way.

Between two stanzas an expat knows nothing of its stream but what the header declared, and most headers declare the
same. So few are enough for all streams: who begins a stanza takes one, and gives it back at the end of it. An idle
stream has none, and those in use stay in the processor's cache.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Final
from xml.parsers import expat

from . import names, ns
from .characters import check_beginning, is_character
from .element import Element, escape_value
from .errors import StreamCondition, StreamError
from .events import Event, Footer, Header
from .expats import new_expat
from .limits import Limits
from .markup import WHOLE_TAG
from .names import MAX_REMEMBERED, remembered
from .stanza import KINDS, UNREAD, Stanza, reusable_bytes

# As numbers they are looked for ten times as fast.
_END: Final = ord(">")
# As names of this module they are looked up at half the cost.
_CLIENT: Final = ns.CLIENT
_CONTENT: Final = ns.CONTENT

#: How much one expat is fed, but for the stanza under way: it remembers each name it ever met, at some twenty bytes a
#: byte.
MAX_EXPAT_BYTES: Final = 32 * 1024
#: With so much it is not lent again: the next stanza is to have some room.
LENT_BELOW: Final = 24 * 1024
#: So many that nobody needs are kept for the streams whose headers declare the same: two are in use at once only where
#: a stanza comes in pieces.
_KEPT: Final = 2
#: Headings that are remembered.
_HEADINGS: Final = 32
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
#: What expat is done with when it has seen it. A line may go on behind the other one.
_BLANKS: Final = b" \t\n"
_ROOT_NAME: Final = re.compile(rb"<([^\s/>]+)")

#: Made so, without __init__, each costs half as much.
_new_element: Final = Element.__new__
_new_stanza: Final = Stanza.__new__


class Heading:
    """What a stream header declares, and the readers that know it and that nobody needs now."""

    __slots__ = ("_idle", "content", "forgotten", "header", "named_by_prefix", "prefixes")

    def __init__(self, root: bytes, declared: tuple[tuple[str, str], ...]) -> None:
        #: A start tag that declares it. It is our own: of what one stream said beside that, others are to read nothing.
        self.header = b"<%b%b>" % (root, b"".join([_declaration(*each) for each in declared]))
        #: The content namespace; the prefixes as names begin with them; the namespaces that have one.
        self.content, self.prefixes, self.named_by_prefix = names.declared(declared)
        self._idle: list[Reader] = []
        #: Whether no stream that begins now comes to it. Each that leaves has it closed, as any may be the last.
        self.forgotten = False

    def lend(self) -> Reader:
        """A reader for one stanza, or more of them; to be given back, or closed."""
        reader = self._idle.pop() if self._idle else Reader(None, self)
        reader.begin()
        return reader

    def give_back(self, reader: Reader) -> None:
        """*reader* is `free`: nothing of its stream will be seen in another."""
        del reader.events  # they are somebody's
        if reader.fed < LENT_BELOW and len(self._idle) < _KEPT:
            self._idle.append(reader)
        else:
            reader.close()

    def close(self) -> None:
        """Let go of those that nobody needs."""
        while self._idle:
            self._idle.pop().close()

    def forget(self) -> None:
        """Only those streams that have it go on with it."""
        self.forgotten = True
        self.close()


def _declaration(prefix: str, uri: str) -> bytes:
    return f" xmlns{':' if prefix else ''}{prefix}='{escape_value(uri)}'".encode()


class Readers:
    """The headings of many streams; those that declare the same have one."""

    __slots__ = ("_headings",)

    def __init__(self) -> None:
        self._headings: OrderedDict[tuple[bytes, tuple[tuple[str, str], ...]], Heading] = OrderedDict()

    def heading(self, header: bytes, declared: tuple[tuple[str, str], ...]) -> Heading:
        """That of a stream whose start tag is *header*; *declared* are the namespaces in it, by prefix."""
        root = _ROOT_NAME.match(header)
        assert root is not None
        key = root[1], declared  # the end tag has to say the name as the start tag does
        found = self._headings.get(key)
        if found is None:
            found = self._headings[key] = Heading(*key)
            if len(self._headings) > _HEADINGS:
                self._headings.popitem(last=False)[1].forget()
        else:
            self._headings.move_to_end(key)
        return found

    def close(self) -> None:
        """Let go of all that nobody needs."""
        while self._headings:
            self._headings.popitem()[1].forget()


class Reader:
    """One expat, and the tree of the stanza under way. It is given whole tags only.

    It and its expat hold each other until it is closed.
    """

    __slots__ = (
        "_base",
        "_content",
        "_cost",
        "_elements",
        "_end",
        "_expat",
        "_knew",
        "_named_by_prefix",
        "_namespaces",
        "_own",
        "_plain",
        "_plain_header",
        "_prefixes",
        "_readers",
        "_start",
        "_width",
        "_window",
        "cdata",
        "events",
        "fed",
        "free",
        "heading",
        "held",
        "limits",
        "over",
        "stack",
    )

    limits: Limits
    events: list[Event]

    def __init__(self, readers: Readers | None, heading: Heading | None = None) -> None:
        """It knows that *heading*, or is to read a header whose heading *readers* have."""
        self._readers = readers
        #: What is declared, once that is known.
        self.heading: Heading | None = None
        #: The elements that are open, below the root.
        self.stack: list[Element] = []
        #: Whether it is in a CDATA section.
        self.cdata = False
        #: Whether the stream is: there was the end tag of the root.
        self.over = False
        #: How many bytes expat has been given.
        self.fed = 0
        #: What expat has seen of the stanza under way.
        self.held = bytearray()
        self._namespaces: dict[str, str] = {}
        self._own = 0  # how many elements from the stanza down stand in its content namespace
        self._elements = 0
        self._cost = 0  # about how many bytes the tree of the stanza under way takes, without its text
        self._width = 1  # of the characters of the stanza under way
        self._base = 0  # the position of the first byte of _window
        self._window = b""  # what expat is working on
        self._start = 0  # the position of the stanza under way
        self._end = 0  # the position behind the last one, or behind the header
        #: Whether nothing is under way, and nothing held back by expat, as it does with what may be half a character.
        self.free = False
        self._knew = 0  # how many names expat knew before
        parser = new_expat()
        self._expat: expat.XMLParserType | None = parser
        if heading is None:
            parser.StartNamespaceDeclHandler = self._namespace_declared
            parser.StartElementHandler = self._root_started
            parser.XmlDeclHandler = self._declared
        else:
            parser.Parse(heading.header, False)
            self.fed = len(heading.header)
            self._know(parser, heading)

    def _know(self, parser: expat.XMLParserType, heading: Heading) -> None:
        """What comes now are stanzas below a header with that *heading*."""
        self.heading, self._readers = heading, None
        self._content, self._prefixes = heading.content, heading.prefixes
        self._named_by_prefix = heading.named_by_prefix
        self._plain_header = self._plain = heading.content not in heading.named_by_prefix
        parser.StartNamespaceDeclHandler = self._namespace_changed
        parser.StartElementHandler = self._started
        parser.EndElementHandler = self._closed
        parser.CharacterDataHandler = self._text
        parser.StartCdataSectionHandler = self._cdata_started
        parser.EndCdataSectionHandler = self._cdata_closed

    def begin(self) -> None:
        """It is another stream's now."""
        assert self._expat is not None
        self._knew = len(self._expat.intern)

    def close(self) -> None:
        """Let go of everything."""
        self._expat = None  # its handlers are our methods: leave no cycle behind
        self.stack.clear()
        self.held.clear()
        self._window = b""

    @property
    def unfinished(self) -> int:
        """How long the stanza under way is so far, or the header."""
        if self.heading is None:
            return self.fed
        return self.fed - self._start if self.stack else 0

    @property
    def tree(self) -> int:
        """About how many bytes the tree under way takes, and the names that expat knows by it."""
        known = _KNOWN_NAME_COST * (len(self._expat.intern) - self._knew) if self._expat is not None else 0
        return self._cost + self._width * len(self.held) + known

    def give(self, data: bytes) -> None:
        """Read on: what is complete is put to `events`. Raises `StreamError` and `expat.ExpatError`; then it is
        of no more use, and neither is it when it is `over`."""
        parser = self._expat
        assert parser is not None
        if not self.fed:
            check_beginning(data)
        self._base = self.fed
        self._window = data
        self.fed += len(data)
        parser.Parse(data, False)
        if self.stack:
            if not self.held:
                self._width = 1
                if self._start > self._base:
                    data = data[self._start - self._base :]
            if self._width < 4 and not data.isascii():
                self._width = 4 if _WIDEST.search(data) else 2 if _WIDE.search(data) else self._width
            self.held += data
            self.free = False
        else:
            at = self._end - self._base
            self.free = at == len(data) or (at >= 0 and not data[at:].strip(_BLANKS))
        self._window = b""

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
        self._end = self._base + match.end()
        namespace, local, _ = names.known(name)
        declared, self._namespaces = self._namespaces, {}
        assert self._readers is not None
        heading = self._readers.heading(match[0], tuple(declared.items()))
        self.events.append(Header(local, namespace, names.spelt(attrs), heading.content, declared))
        self._know(parser, heading)

    def _namespace_changed(self, prefix: str | None, uri: str | None) -> None:
        # A prefix may be used where it is not seen, in the text of some payload. What a stanza's own tag declares goes
        # before its stream's, and a content namespace further down would stay behind when the stanza changes its own.
        if prefix is not None or not self.stack or uri in ns.CONTENT:
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
        stack = self.stack
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
        if self.stack:
            children = self.stack[-1].children
            if children and isinstance(last := children[-1], str) and len(last) < _JOINED_TEXT:
                children[-1] = last + text
            else:
                children.append(text)
        elif text.strip(" \t\r\n"):
            # RFC 6120 §11.7: only whitespace may stand between stanzas.
            raise StreamError(StreamCondition.BAD_FORMAT, "text between stanzas")

    def _cdata_started(self) -> None:
        self.cdata = True

    def _cdata_closed(self) -> None:
        self.cdata = False

    def _closed(self, name: str) -> None:
        stack = self.stack
        if not stack:
            self.over = True
            self.events.append(Footer())
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
            self.events.append(element)
            return
        stanza = _new_stanza(kind)
        stanza.element = element
        stanza.raw = raw if plain else reusable_bytes(raw, element.name, self._prefixes)
        stanza._to = stanza._from = UNREAD
        self.events.append(stanza)

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
        self._end = self._base + end
        if self.held:
            raw = bytes(self.held) + window[:end]
            self.held.clear()
        else:
            raw = window[self._start - self._base : end]
        if len(raw) > self.limits.stanza_bytes:
            raise StreamError(StreamCondition.POLICY_VIOLATION, "the stanza is too large")
        return raw

    def named(self, error: expat.ExpatError) -> StreamError:
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
