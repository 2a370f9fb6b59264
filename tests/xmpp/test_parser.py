import re
from collections.abc import Iterable
from itertools import pairwise
from xml.etree import ElementTree

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.xmpp import ns, readers
from federix.xmpp import parser as module
from federix.xmpp.element import Element
from federix.xmpp.errors import StreamCondition, StreamError
from federix.xmpp.events import Event, Footer, Header
from federix.xmpp.limits import AFTER_AUTHENTICATION, BEFORE_AUTHENTICATION, Limits
from federix.xmpp.names import MAX_NAME
from federix.xmpp.parser import StreamParser
from federix.xmpp.stanza import Message, Stanza

HEADER = (
    b"<?xml version='1.0'?>\n<stream:stream to='example.org' version='1.0' xml:lang='en' xmlns='jabber:client' "
    b"xmlns:stream='http://etherx.jabber.org/streams' xmlns:p='urn:p'>"
)
FOOTER = b"</stream:stream>"
ASKS = [b"<r xmlns='urn:xmpp:sm:3'/>", b'<r xmlns="urn:xmpp:sm:3"/>']
HELLO = b"<message to='romeo@example.net'><body>Hello</body></message>"
WIDE = Limits(stanza_bytes=10**7, elements=10**6, depth=10**6, attributes=10**6, tree_bytes=10**9)


def plain(element: Element) -> tuple[object, ...]:
    """What an element says, as nested tuples."""
    children: list[object] = []
    for child in element.children:
        if isinstance(child, Element):
            children.append(plain(child))
        elif children and isinstance(children[-1], str):
            children[-1] += child
        else:
            children.append(child)
    return element.ns, element.name, tuple(sorted(element.attrs.items())), tuple(children)


def plain_of_tree(tree: ElementTree.Element) -> tuple[object, ...]:
    """The same of the standard library's tree."""
    space, _, name = tree.tag.rpartition("}")
    attrs = {key.replace(f"{{{ns.XML}}}", "xml:"): value for key, value in tree.attrib.items()}
    children: list[object] = [tree.text] if tree.text else []
    for child in tree:
        children.append(plain_of_tree(child))
        if child.tail:
            children.append(child.tail)
    return space[1:], name, tuple(sorted(attrs.items())), tuple(children)


def shown(event: Event) -> object:
    if isinstance(event, Stanza):
        return event.kind, plain(event.element), event.raw
    if isinstance(event, Element):
        return plain(event)
    if isinstance(event, StreamError):
        return event.condition
    return event if isinstance(event, Header) else type(event)


def pieces_of(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def cut(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    places = sorted({0, len(data), *(place % (len(data) + 1) for place in cuts)})
    return [data[a:b] for a, b in pairwise(places)]


def run(pieces: Iterable[bytes], limits: Limits = AFTER_AUTHENTICATION) -> list[Event]:
    parser = StreamParser(limits)
    return [event for piece in pieces for event in parser.feed(piece)]


def conditions(events: list[Event]) -> list[StreamCondition]:
    return [event.condition for event in events if isinstance(event, StreamError)]


# -- random streams ---------------------------------------------------------------------------------------------------

SPACES = st.sampled_from(["", " ", "\n", " \t\r\n "])
TEXTS = st.sampled_from(
    "a a> ' \" ] ]] ]&gt; &amp; &lt; &#65; &#x1F600; é € \U0001f600 it's /> x='1' \u2028".split(" ")  # noqa: SIM905
) | st.sampled_from(["\r\n", "\r", "\t", "a > b"])
CDATA = st.lists(
    st.sampled_from(
        [
            "<",
            ">",
            "'",
            '"',
            "]",
            "]]",
            "<r xmlns='urn:xmpp:sm:3'/>",
            "<b>",
            "</b>",
            "<!--",
            "<?x",
            "&lt",
            "&#1;",
            "é",
            "\U0001f600",
            "<a b='",
            "/>",
        ]
    ),
    max_size=5,
).map(lambda parts: "<![CDATA[" + "".join(parts).replace("]]>", "]] >") + "]]>")
VALUES = st.lists(
    st.sampled_from([">", "/>", "]]>", "&lt;", "&amp;", "&#10;", "é", "\U0001f600", "\n", "a", "xmlns='x'", "--"]),
    max_size=4,
).map("".join)
NAMES = st.sampled_from(["body", "x", "é", "p:x", "xml:x", "a-b.c"])
KEYS = ["id", "to", "é", "p:id", "xml:lang", "xmlns", "xmlns:q", "a.b"]


@st.composite
def attributes(draw: st.DrawFn, root: bool = False) -> str:
    markup = ""
    for key in draw(st.lists(st.sampled_from(KEYS), max_size=4, unique=True)):
        if key.startswith("xmlns"):
            if root and key == "xmlns":
                continue
            value, quote = "urn:v", "'"
        else:
            quote = draw(st.sampled_from("'\""))
            value = draw(VALUES).replace(quote, "")
        blank = draw(SPACES)
        markup += f" {blank}{key}{blank}={draw(SPACES)}{quote}{value}{quote}"
    return markup + draw(SPACES)


@st.composite
def elements(draw: st.DrawFn, names: st.SearchStrategy[str] = NAMES, depth: int = 0) -> str:
    name = draw(names)
    start = f"<{name}{draw(attributes(root=depth == 0))}"
    if draw(st.booleans()):
        return start + "/>"
    content = TEXTS | CDATA | st.sampled_from(ASKS).map(bytes.decode)
    if depth < 3:
        content |= elements(depth=depth + 1)
    return f"{start}>{''.join(draw(st.lists(content, max_size=4)))}</{name}{draw(SPACES)}>"


STANZAS = st.sampled_from(ASKS) | elements(
    st.sampled_from(["message", "presence", "iq", "message", "starttls", "p:x"])
).map(str.encode)
BLANKS = st.sampled_from([b"", b"", b" ", b"\n", b"\r\n\t "])
STREAMS = st.lists(st.tuples(BLANKS, STANZAS), max_size=4)


class AnyCut(SynchronousTestCase):
    """However the bytes are cut, the same events come, each with its last byte."""

    @settings(max_examples=150, deadline=None)
    @example([(b"", b"<message><![CDATA[']]></message>"), (b"", b"<message id='' to='>'/>")], [21], 1)
    @given(STREAMS, st.lists(st.integers(0, 5000), max_size=12), st.sampled_from([1, 200, module.MAX_EXPAT_BYTES]))
    def test_the_same_events_at_the_same_moment(
        self, stream: list[tuple[bytes, bytes]], cuts: list[int], renewed_after: int
    ) -> None:
        self.patch(module, "MAX_EXPAT_BYTES", renewed_after)
        self.patch(readers, "LENT_BELOW", renewed_after)
        data = HEADER
        ends = [len(HEADER)]
        for blank, stanza in stream:
            data += blank + stanza
            ends.append(len(data))
        data += FOOTER
        ends.append(len(data))
        expected = [shown(event) for event in run([data], WIDE)]
        self.assertEqual(len(expected), len(ends))
        after_tags = [match.end() for match in re.finditer(b"/>", data)]
        for pieces in (cut(data, cuts), cut(data, ends), cut(data, after_tags), pieces_of(data, 1)):
            parser = StreamParser(WIDE)
            events: list[object] = []
            fed = 0
            for piece in pieces:
                events += map(shown, parser.feed(piece))
                fed += len(piece)
                self.assertEqual(len(events), sum(end <= fed for end in ends))
            self.assertEqual(events, expected)

    @settings(max_examples=100, deadline=None)
    @given(STREAMS)
    def test_a_stanza_is_what_another_parser_reads_and_keeps_its_own_bytes(
        self, stream: list[tuple[bytes, bytes]]
    ) -> None:
        data = HEADER + b"".join(blank + stanza for blank, stanza in stream) + FOOTER
        trees = list(ElementTree.fromstring(data))
        _header, *events, _footer = run([data])
        self.assertEqual(len(events), len(stream))
        for event, tree, (_, markup) in zip(events, trees, stream, strict=True):
            element = event.element if isinstance(event, Stanza) else event
            assert isinstance(element, Element)
            self.assertEqual(plain(element), plain_of_tree(tree))
            if isinstance(event, Stanza) and event.raw is not None:
                self.assertEqual(event.raw, markup)

    def test_text_in_many_pieces_is_one_string(self) -> None:
        [_, message] = run(pieces_of(HEADER + b"<message><body>a&amp;b<![CDATA[c]]>d</body></message>", 1))
        assert isinstance(message, Message) and message.element.first() is not None
        self.assertEqual([child.children for child in message.element.elements()], [["a&bc" + "d"]])

    def test_a_tail_that_ends_before_its_tag_is_named_is_not_a_keep_alive(self) -> None:
        parser = StreamParser(Limits())
        parser.feed(HEADER)
        self.assertTrue(parser.between)
        parser.feed(b"\n<")
        self.assertFalse(parser.between)
        self.assertEqual(parser.held, 1)
        parser.feed(b"message>")
        self.assertFalse(parser.between)
        parser.feed(b"</message> ")
        self.assertTrue(parser.between)
        self.assertEqual(parser.held, 0)


class Headers(SynchronousTestCase):
    def test_it_says_what_it_declares(self) -> None:
        [header] = run([HEADER])
        assert isinstance(header, Header)
        self.assertEqual((header.name, header.ns, header.content), ("stream", ns.STREAMS, ns.CLIENT))
        self.assertEqual(header.attrs, {"to": "example.org", "version": "1.0", "xml:lang": "en"})
        self.assertEqual(header.prefixes, {"": ns.CLIENT, "stream": ns.STREAMS, "p": "urn:p"})
        self.assertEqual(header.get("to"), "example.org")

    def test_blanks_before_it_are_forgiven(self) -> None:
        self.assertEqual(len(run(pieces_of(b" \r\n" + HEADER, 1))), 1)

    def test_an_empty_stream_is_a_header_and_a_footer(self) -> None:
        data = HEADER[:-1] + b"/>"
        for size in (1, len(data)):
            self.assertEqual([type(event) for event in run(pieces_of(data, size))], [Header, Footer])

    def test_a_stanza_of_another_namespace_than_its_streams_is_an_element(self) -> None:
        """RFC 6120 §4.8.3: a client MUST NOT send jabber:server, a server not jabber:client to a server."""
        for content in ns.CONTENT:
            for other in ns.CONTENT:
                stream = f"<s:stream xmlns='{content}' xmlns:s='{ns.STREAMS}'><message xmlns='{other}'/>"
                [_, event] = run([stream.encode()])
                self.assertIsInstance(event, Message if other == content else Element)

    def test_content_namespaces_are_one_inside_a_stanza(self) -> None:
        """RFC 6120 §4.8.3: else a body could hide from this server and show itself on the next."""
        for content in (ns.CLIENT, ns.SERVER, ns.COMPONENT):
            stream = f"<s:stream xmlns='{content}' xmlns:s='{ns.STREAMS}'>"
            for other in ns.CONTENT:
                body = f"<message><body xmlns='{other}'><i/></body></message>"
                [_, message] = run([stream.encode(), body.encode()])
                assert isinstance(message, Message)
                self.assertIsNotNone(message.body)
                inner = message.element.first()
                assert inner is not None
                self.assertIsNotNone(inner.child(ns.CLIENT, "i"))

    def test_content_namespaces_stay_below_a_foreign_element(self) -> None:
        [_, message] = run([HEADER, b"<message><x xmlns='urn:x'><body xmlns='jabber:server'/></x></message>"])
        assert isinstance(message, Message)
        inner = message.element.child("urn:x", "x")
        assert inner is not None
        self.assertIsNotNone(inner.child(ns.SERVER, "body"))


class Refusals(SynchronousTestCase):
    """RFC 6120 §4.9.3, §11: what ends a stream, and what its end is called."""

    RESTRICTED = StreamCondition.RESTRICTED_XML
    UNWELL = StreamCondition.NOT_WELL_FORMED
    ENCODING = StreamCondition.UNSUPPORTED_ENCODING
    POLICY = StreamCondition.POLICY_VIOLATION

    #: What comes after a header and a good stanza.
    LATER = (
        (b"<!-- a comment -->", RESTRICTED),
        (b"<!-- it's", RESTRICTED),
        (b"<!-- <b>", RESTRICTED),
        (b"<message><!-- --></message>", RESTRICTED),
        (b"<message><body>a<!", None),
        (b"<message><body>a<!-", RESTRICTED),
        (b"<?php <b> ", RESTRICTED),
        (b"<message><?php ?></message>", RESTRICTED),
        (b"<?xml version='1.0'?>", RESTRICTED),
        (b"<!DOCTYPE a>", RESTRICTED),
        (b"<!ENTITY a 'b'>", RESTRICTED),
        (b"<message><![IGNORE[a]]></message>", RESTRICTED),
        (b"<message>&undefined;</message>", RESTRICTED),
        (b"<message to='&undefined;'/>", RESTRICTED),
        (b"<message>&" + b"a" * 200 + b";</message>", RESTRICTED),
        (b"<message>&nbsp;", RESTRICTED),
        (b"<message>& </message>", UNWELL),
        (b"<message>&#0;</message>", UNWELL),
        (b"<message>&#x1F;</message>", UNWELL),
        (b"<message>&#xD800;</message>", UNWELL),
        (b"<message>\x00</message>", UNWELL),
        (b"<message>\x0b</message>", UNWELL),
        (b"<message>\xef\xbf\xbe</message>", UNWELL),
        (b"<message>]]></message>", UNWELL),
        (b"<message a='<'/><presence/>", UNWELL),
        (b"<message a='1' a='2'/>", UNWELL),
        (b"<message a=1/>", UNWELL),
        (b"<message></presence>", UNWELL),
        (b"</message>", UNWELL),
        (b"<message><body></message>", UNWELL),
        (b"< message/>", UNWELL),
        (b"<foo:message/>", UNWELL),
        (b"<message foo:a='1'/>", UNWELL),
        (b"<message><foo:body/></message>", UNWELL),
        (b"<message xmlns:foo=''/>", UNWELL),
        (b"<message xmlns:xml='urn:x'/>", UNWELL),
        (b"<message xmlns:xmlns='http://www.w3.org/2000/xmlns/'/>", UNWELL),
        (b"<message xmlns:foo='http://www.w3.org/XML/1998/namespace'/>", UNWELL),
        (b"<message xmlns='http://www.w3.org/2000/xmlns/'/>", UNWELL),
        (b"<xmlns:message/>", UNWELL),
        (b"<message xmlns:a='urn:a' xmlns:b='urn:a' a:x='' b:x=''/>", UNWELL),
        (b"<message xmlns='urn: x'/>", UNWELL),
        (b"<message><x xmlns='urn:&#10;x'/></message>", UNWELL),
        (b"<message><x xmlns='{urn:x}'/></message>", UNWELL),
        (b"<message xmlns:q='urn:|' q:x=''/>", UNWELL),
        (b"<message>\xff</message>", ENCODING),
        (b"<message>\xc0\xaf</message>", ENCODING),
        (b"<message>\xed\xa0\x80</message>", ENCODING),
        (b"<message>\xe2\x82</message>", ENCODING),
        (b"<message to='caf\xe9'/>", ENCODING),
        (b"text", StreamCondition.BAD_FORMAT),
        (b"&#65;", StreamCondition.BAD_FORMAT),
        ("\u00a0".encode(), StreamCondition.BAD_FORMAT),
        ("\ufeff".encode(), StreamCondition.BAD_FORMAT),
        (b"<![CDATA[text]]>", StreamCondition.BAD_FORMAT),
        (HEADER.partition(b"\n")[2], StreamCondition.BAD_FORMAT),
        (b"<message>" + b"<a>" * 10_000, POLICY),
        (b"<message " + b" ".join(b"a%d=''" % n for n in range(10_000)) + b"/>", POLICY),
        (b"<message " + b" ".join(b"a%d=''" % n for n in range(65)) + b"/>", POLICY),
        (b"<message>" + b"<a/>" * 10_000 + b"</message>", POLICY),
        (b"<message xmlns:a='" + b"u" * MAX_NAME + b"'><a:b/></message>", POLICY),
        (b"<message xmlns:a='" + b"u" * MAX_NAME + b"' a:b=''/>", POLICY),
        (b"<" + b"a" * (AFTER_AUTHENTICATION.tag_bytes + 1), POLICY),
        (b"<message a='" + b">" * AFTER_AUTHENTICATION.tag_bytes + b"'/>", POLICY),
        (b"<message><body>" + b"a" * AFTER_AUTHENTICATION.stanza_bytes, POLICY),
        (b"<message><![CDATA[" + b"<" * AFTER_AUTHENTICATION.stanza_bytes, POLICY),
    )

    #: What comes instead of a header.
    FIRST = (
        (b"text", UNWELL),
        (b"GET / HTTP/1.1\r\n\r\n", UNWELL),
        (b"</stream>", UNWELL),
        (b"<stream:stream>", UNWELL),
        (b"<?xml version='1.0'?><?xml version='1.0'?>", RESTRICTED),
        (b"<?xml-stylesheet href='x'?>", RESTRICTED),
        (b"<?xml-stylesheet <b>", RESTRICTED),
        (b"<?php it's", RESTRICTED),
        (b"<!-- -->", RESTRICTED),
        (b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", RESTRICTED),
        (b"<!DOCTYPE a SYSTEM 'http://example.org/a.dtd'>", RESTRICTED),
        (
            b"<!DOCTYPE a [<!ENTITY a0 'ha'>"
            + b"".join(b"<!ENTITY a%d '&a%d;&a%d;'>" % (n, n - 1, n - 1) for n in range(1, 30))
            + b"]><a>&a29;</a>",
            RESTRICTED,
        ),
        (b"<a b='&c;'>", RESTRICTED),
        (b"<?xml version='1.0' encoding='UTF-16'?><a>", ENCODING),
        (b"<?xml version='1.0' encoding='iso-8859-1'?><a>", ENCODING),
        (b"<?xml version='1.0' encoding='klingon'?><a>", ENCODING),
        ("\ufeff<a>".encode(), UNWELL),
        ("<?xml version='1.0'?><a>".encode("utf-16-le"), ENCODING),
        ("<?xml version='1.0'?><a>".encode("utf-16-be"), ENCODING),
        ("<?xml version='1.0'?><a>".encode("utf-16"), ENCODING),
        ("\ufeff<a>".encode("utf-16-be"), ENCODING),
        ("<a>".encode("utf-32"), ENCODING),
        (b"\x00", ENCODING),
        (b"<a b='\xff'>", ENCODING),
        (b"<a" + b" " * 9000, POLICY),
        (b"<a b='" + b"x" * 9000, POLICY),
        (b"<a b='" + b"x" * 9000 + b"'>", POLICY),
        (b"<?xml " + b"version='1.0' " * 1000, POLICY),
        (b"<a " + b" ".join(b"a%d=''" % n for n in range(17)) + b">", POLICY),
        (b"<a " + b" ".join(b"xmlns:a%d='u'" % n for n in range(17)) + b">", POLICY),
    )

    def refused(self, data: bytes, limits: Limits, size: int) -> tuple[list[Event], StreamCondition | None]:
        """The events, and the condition of the error that must be the last and let go of everything."""
        parser = StreamParser(limits)
        events: list[Event] = []
        for piece in pieces_of(data, size):
            events += parser.feed(piece)
            self.assertLessEqual(parser.held, limits.stanza_bytes + size)
        self.assertEqual(conditions(events[:-1]), [])
        last = events[-1] if events else None
        if not isinstance(last, StreamError):
            return events, None
        self.assertEqual(parser.held, 0)
        self.assertTrue(parser.between)
        self.assertEqual(parser.feed(HELLO), [])
        return events[:-1], last.condition

    def test_in_a_stream(self) -> None:
        for data, condition in self.LATER:
            for size in (len(HEADER + HELLO + data), 1 if len(data) < 1000 else 1021):
                events, found = self.refused(HEADER + HELLO + data, AFTER_AUTHENTICATION, size)
                self.assertEqual(found, condition, (data[:80], size))
                self.assertEqual([type(event) for event in events[:2]], [Header, Message], data[:80])
                self.assertLessEqual(len(events), 2)

    def test_before_a_stream(self) -> None:
        for data, condition in self.FIRST:
            for size in (len(data), 1):
                events, found = self.refused(data, BEFORE_AUTHENTICATION, size)
                self.assertEqual((events, found), ([], condition), (data[:80], size))

    def test_a_hundred_megabytes_are_never_held(self) -> None:
        parser = StreamParser(AFTER_AUTHENTICATION)
        parser.feed(HEADER + b"<message><body>")
        piece = b"a" * 65536
        events: list[Event] = []
        for _ in range(1600):
            events += parser.feed(piece)
            self.assertLessEqual(parser.held, AFTER_AUTHENTICATION.stanza_bytes + len(piece))
        self.assertEqual(conditions(events), [self.POLICY])

    def test_what_follows_the_footer_is_not_looked_at(self) -> None:
        for junk in (b"junk", b"<message/>", b"<!-- -->", b"\xff", b"</stream:stream>", HEADER):
            data = HEADER + FOOTER + junk
            for size in (1, len(data)):
                self.assertEqual([type(event) for event in run(pieces_of(data, size))], [Header, Footer], junk)

    def test_blanks_and_empty_sections_between_stanzas_are_nothing(self) -> None:
        self.assertEqual(len(run([HEADER, b" \r\n\t", b"&#32;", b"<![CDATA[]]>", HELLO])), 2)

    def test_a_comment_within_a_section_is_text(self) -> None:
        data = HEADER + b"<message><body><![CDATA[<!-- <?php ]]]]></body></message>"
        for size in (1, 7, len(data)):
            [_, message] = run(pieces_of(data, size))
            assert isinstance(message, Message)
            self.assertEqual(message.body, "<!-- <?php ]]")

    @settings(max_examples=300, deadline=None)
    @given(
        st.lists(
            st.binary(max_size=8)
            | st.sampled_from(
                [HEADER, FOOTER, HELLO, *ASKS, b"<", b">", b"'", b"<![CDATA[", b"]]>", b"&", b";", b"<!-", b"<?"]
            )
            | st.sampled_from(
                [b"<a ", b"</a>", b"/>", b"<p:b>", b"xmlns=", b"='", b"\xe2\x82", b"\xac", b"\x00", b" "]
            ),
            max_size=20,
        ),
        st.booleans(),
        st.lists(st.integers(0, 3000), max_size=5),
    )
    def test_nothing_but_events_comes_of_any_bytes(self, parts: list[bytes], begun: bool, cuts: list[int]) -> None:
        data = (HEADER if begun else b"") + b"".join(parts)
        assume(data)
        outcomes = []
        after_tags = [match.end() for match in re.finditer(b">", data)]
        for pieces in ([data], cut(data, cuts), cut(data, after_tags), pieces_of(data, 1)):
            parser = StreamParser(BEFORE_AUTHENTICATION)
            events: list[Event] = []
            for piece in pieces:
                events += parser.feed(piece)
                self.assertLessEqual(parser.held, BEFORE_AUTHENTICATION.stanza_bytes + len(piece))
            self.assertFalse(any(isinstance(event, StreamError | Footer) for event in events[:-1]))
            outcomes.append([shown(event) for event in events if not isinstance(event, StreamError)])
        for outcome in outcomes[1:]:
            self.assertEqual(outcomes[0], outcome)


class Sizes(SynchronousTestCase):
    """Each limit is met exactly, in any cut."""

    def fits(self, data: bytes, limits: Limits, cuts: list[int]) -> bool:
        verdicts = []
        for pieces in ([data], cut(data, cuts), pieces_of(data, 1) if len(data) < 5000 else [data]):
            events = run(pieces, limits)
            found = conditions(events)
            self.assertIn(found, ([], [StreamCondition.POLICY_VIOLATION]))
            verdicts.append(not found)
        self.assertEqual(len(set(verdicts)), 1)
        return verdicts[0]

    @settings(max_examples=60, deadline=None)
    @given(
        st.sampled_from([b"", b"<a/>", b"x<![CDATA[]]>", b"<a b='>'></a>", "é&amp;".encode()]),
        st.integers(400, 700),
        st.sampled_from([b"</message>", b"</message \n>"]),
        st.lists(st.integers(0, 2000), max_size=6),
    )
    def test_bytes_of_a_stanza(self, inner: bytes, size: int, end: bytes, cuts: list[int]) -> None:
        limits = Limits(stanza_bytes=size)
        stanza = b"<message>" + inner
        stanza += b"a" * (size - len(stanza) - len(end)) + end
        self.assertEqual(len(stanza), size)
        data = HEADER + HELLO + b"\n" * 1000 + stanza
        self.assertTrue(self.fits(data + b"\n" * 1000 + stanza + FOOTER, limits, cuts))
        self.assertFalse(self.fits(data.replace(b"<message>", b"<message >"), limits, cuts))

    @given(st.integers(50, 400), st.lists(st.integers(0, 2000), max_size=6))
    def test_bytes_of_an_empty_stanza(self, size: int, cuts: list[int]) -> None:
        stanza = b"<message a='" + b">" * (size - 15) + b"'/>"
        self.assertEqual(len(stanza), size)
        header = HEADER if size > len(HEADER) else b"<a xmlns='jabber:client'>"
        self.assertTrue(self.fits(header + stanza, Limits(stanza_bytes=size), cuts))
        self.assertFalse(self.fits(header + stanza[:-2] + b" />", Limits(stanza_bytes=size), cuts))

    @given(st.lists(st.integers(0, 2000), max_size=6))
    def test_bytes_of_a_header(self, cuts: list[int]) -> None:
        """With its XML declaration."""
        data = HEADER + b"<presence/>"
        self.assertTrue(self.fits(data, Limits(stanza_bytes=len(HEADER)), cuts))
        self.assertFalse(self.fits(data, Limits(stanza_bytes=len(HEADER) - 1), cuts))

    @given(st.integers(20, 300), st.lists(st.integers(0, 2000), max_size=6))
    def test_bytes_of_a_tag(self, size: int, cuts: list[int]) -> None:
        limits = Limits(tag_bytes=len(HEADER) + size)
        tag = b"<message a='" + b">" * (limits.tag_bytes - 15) + b"'/>"
        data = HEADER + b"<presence>" + b"a" * 500 + b"</presence>"
        self.assertEqual(len(tag), limits.tag_bytes)
        self.assertTrue(self.fits(data + tag * 2, limits, cuts))
        self.assertFalse(self.fits(data + tag[:-2] + b" />", limits, cuts))

    def test_a_long_section_is_no_tag(self) -> None:
        data = HEADER + b"<message><![CDATA[" + b"it's <b " * 20_000 + b"]]></message>"
        for size in (len(data), 65536, 1021):
            [_, message] = run(pieces_of(data, size))
            self.assertIsInstance(message, Message)

    @given(st.lists(st.integers(0, 400), max_size=6))
    def test_elements_of_a_stanza(self, cuts: list[int]) -> None:
        """The stanza itself counts; each stanza anew."""
        stanza = b"<message><a/><b><c/></b></message>"
        self.assertTrue(self.fits(HEADER + stanza + stanza, Limits(elements=4), cuts))
        self.assertFalse(self.fits(HEADER + stanza, Limits(elements=3), cuts))

    @given(st.lists(st.integers(0, 400), max_size=6))
    def test_depth_of_a_stanza(self, cuts: list[int]) -> None:
        stanza = b"<message><a><b><c/></b><b/></a></message>"
        self.assertTrue(self.fits(HEADER + stanza + stanza, Limits(depth=4), cuts))
        self.assertFalse(self.fits(HEADER + stanza, Limits(depth=3), cuts))

    @given(st.lists(st.integers(0, 400), max_size=6))
    def test_attributes_of_an_element(self, cuts: list[int]) -> None:
        stanza = b"<message a='' b='' c=''><x a='' b='' c='' d=''/></message>"
        self.assertTrue(self.fits(HEADER + stanza, Limits(attributes=4), cuts))
        self.assertFalse(self.fits(HEADER + stanza, Limits(attributes=3), cuts))

    def test_length_of_a_name(self) -> None:
        uri = b"u" * (MAX_NAME - 2)
        for markup in (b"<message xmlns:a='%s'><a:b/></message>", b"<message xmlns:a='%s' a:b=''/>"):
            self.assertTrue(self.fits(HEADER + markup % uri, Limits(), []))
            self.assertFalse(self.fits(HEADER + markup % (uri + b"u"), Limits(), []))

    def test_limits_may_change_while_the_stream_goes_on(self) -> None:
        """After a login without a stream restart (XEP-0388)."""
        large = b"<message><body>" + b"a" * 10_000 + b"</body></message>"
        parser = StreamParser(BEFORE_AUTHENTICATION)
        parser.feed(HEADER)
        parser.limits = AFTER_AUTHENTICATION
        self.assertIsInstance(parser.feed(large)[0], Message)
        self.assertEqual(conditions(run([HEADER, large], BEFORE_AUTHENTICATION)), [StreamCondition.POLICY_VIOLATION])


class Watched(StreamParser):
    """With room for a weak reference."""
