"""Many streams are read by few readers, and none notices the others."""

from __future__ import annotations

import gc
import re
import weakref

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.xmpp import readers as module
from federix.xmpp.errors import StreamCondition, StreamError
from federix.xmpp.events import Footer
from federix.xmpp.limits import AFTER_AUTHENTICATION, BEFORE_AUTHENTICATION, Limits
from federix.xmpp.parser import StreamParser
from federix.xmpp.readers import LENT_BELOW, Readers
from federix.xmpp.stanza import Message
from tests.xmpp.test_parser import BLANKS, HELLO, STANZAS, WIDE, conditions, cut, shown

STREAMS = "http://etherx.jabber.org/streams"
HEADERS = [
    f"<stream:stream to='a.test' xmlns='jabber:client' xmlns:stream='{STREAMS}' xmlns:p='urn:p'>",
    f"<?xml version='1.0'?><stream:stream id='x' xmlns='jabber:client' xmlns:stream='{STREAMS}' xmlns:p='urn:p'>",
    f"<s:stream xmlns='jabber:client' xmlns:s='{STREAMS}' xmlns:p='urn:q'>",
    f"<stream:stream xmlns='jabber:server' xmlns:stream='{STREAMS}' xmlns:p='jabber:server'>",
    f"<stream xmlns='{STREAMS}' xmlns:p='urn:p'>",
    f"<p:stream xmlns='{STREAMS}' xmlns:p='{STREAMS}'>",
    f"<stream:stream xmlns='jabber:client' xmlns:stream='{STREAMS}' xmlns:p='urn:p'/>",
    f"<s:stream xmlns='jabber:client' xmlns:s='{STREAMS}' xmlns:p='urn:q' a='>'>",
]
MISTAKES = [
    b"<!-- -->",
    b"</x>",
    b"<a><b></a>",
    b"text",
    b"\xff",
    b"&x;",
    b"<message>" + b"<a>" * 120,
    b"]]>",
    b"<a b=''b=''/>",
    b"\xf4y>",
    b" \xf0\x9f>",
]
LIMITS = [
    WIDE,
    AFTER_AUTHENTICATION,
    BEFORE_AUTHENTICATION,
    Limits(300, elements=6, depth=4, attributes=3, tag_bytes=200),
]


def whole(header: str, stanzas: list[tuple[bytes, bytes]], end: bytes) -> bytes:
    root = header.rpartition("<")[2].partition(" ")[0]
    return header.encode() + b"".join(map(b"".join, stanzas)) + (end or f"</{root}>".encode())


STREAM = st.tuples(
    st.builds(
        whole,
        st.sampled_from(HEADERS),
        st.lists(st.tuples(BLANKS, STANZAS), max_size=4),
        st.just(b"") | st.sampled_from(MISTAKES),
    ),
    st.sampled_from(LIMITS),
    st.lists(st.integers(0, 3000), max_size=10),
)


class Sharing(SynchronousTestCase):
    @settings(max_examples=300, deadline=None)
    @given(
        st.lists(STREAM, min_size=2, max_size=5),
        st.randoms(use_true_random=False),
        st.sampled_from([1, 300, LENT_BELOW]),
        st.sampled_from([0, 1, 2]),
    )
    def test_each_stream_is_read_as_if_it_were_alone(
        self, streams: list[tuple[bytes, Limits, list[int]]], chance: object, lent_below: int, kept: int
    ) -> None:
        self.patch(module, "LENT_BELOW", lent_below)
        self.patch(module, "_KEPT", kept)  # the fewer, the more know the header from another stream
        shared = Readers()
        together = [StreamParser(limits, shared) for _, limits, _ in streams]
        alone = [StreamParser(limits) for _, limits, _ in streams]
        pieces = [cut(data, cuts) for data, _, cuts in streams]
        turns = [number for number, cut_up in enumerate(pieces) for _ in cut_up]
        chance.shuffle(turns)  # type: ignore[attr-defined]
        for number in turns:
            piece = pieces[number].pop(0)
            found = [shown(event) for event in together[number].feed(piece)]
            self.assertEqual(found, [shown(event) for event in alone[number].feed(piece)])
            self.assertEqual(together[number].between, alone[number].between)
            self.assertEqual(together[number].held, alone[number].held)
        for parser in (*together, *alone):
            parser.close()
        shared.close()


class Lending(SynchronousTestCase):
    def setUp(self) -> None:
        self.readers = Readers()
        self.made = 0
        new = module.new_expat

        def counted() -> object:
            self.made += 1
            return new()

        self.patch(module, "new_expat", counted)

    def stream(self, header: str = HEADERS[0], limits: Limits = AFTER_AUTHENTICATION) -> StreamParser:
        parser = StreamParser(limits, self.readers)
        parser.feed(header.encode())
        return parser

    def test_a_stream_that_says_nothing_has_none(self) -> None:
        StreamParser(AFTER_AUTHENTICATION, self.readers)
        self.assertEqual(self.made, 0)

    def test_one_is_enough_for_all_whose_headers_declare_the_same(self) -> None:
        streams = [self.stream(HEADERS[number % 2]) for number in range(10)]
        before = self.made
        for _ in range(3):
            for stream in streams:
                [event] = stream.feed(HELLO)
                self.assertIsInstance(event, Message)
        self.assertEqual(self.made, before)

    def test_who_is_in_the_middle_keeps_its_own(self) -> None:
        first, second = self.stream(), self.stream()
        first.feed(HELLO[:40])
        [event] = second.feed(HELLO)
        self.assertEqual(event.raw, HELLO)  # type: ignore[union-attr]
        [event] = first.feed(HELLO[40:])
        self.assertEqual(event.raw, HELLO)  # type: ignore[union-attr]

    def test_a_mistake_is_its_makers_alone(self) -> None:
        streams = [self.stream() for _ in range(2 * len(MISTAKES))]
        for bad, good, mistake in zip(streams[::2], streams[1::2], MISTAKES, strict=True):
            self.assertEqual(len(conditions(bad.feed(HELLO + mistake + b"<x/>" * 20))), 1, mistake)
            [event] = good.feed(HELLO)
            self.assertIsInstance(event, Message)

    def test_what_expat_holds_back_is_of_its_own_stream(self) -> None:
        """Of a character that is not whole it waits for the rest, which may look like a tag."""
        for held_back in (b"\xf4y>", b"\xf0\x9f>", b" \xe2>", b"\r", b"]", b"]]", b"&", b" \n\t", b" \n\r"):
            first, second = self.stream(), self.stream()
            first.feed(HELLO + held_back)
            [event] = second.feed(HELLO)
            assert isinstance(event, Message)
            self.assertEqual(event.raw, HELLO)
            first.close()
            second.close()

    def test_blanks_behind_a_stanza_keep_nothing(self) -> None:
        stream = self.stream()
        for _ in range(5):
            stream.feed(HELLO + b" \n\t")
        self.assertIsNone(stream._reader)

    def test_the_end_of_a_stream_has_the_name_of_its_own_beginning(self) -> None:
        declared = f"xmlns='{STREAMS}' xmlns:s='{STREAMS}'"
        long, short = self.stream(f"<s:stream {declared}>"), self.stream(f"<stream {declared}>")
        for stream in (long, short):
            stream.feed(b"<x/>")
        [event] = short.feed(b"</stream>")
        self.assertIsInstance(event, Footer)
        [event] = long.feed(b"</stream>")
        assert isinstance(event, StreamError)
        self.assertIs(event.condition, StreamCondition.NOT_WELL_FORMED)

    def test_names_that_others_have_used_weigh_nothing(self) -> None:
        first, second = self.stream(), self.stream()
        first.feed(b"<message>%s</message>" % b"".join(b"<e%d/>" % number for number in range(500)))
        second.feed(b"<message><body>")
        self.assertLess(second.weight, 2000)

    def test_none_is_lent_for_ever(self) -> None:
        stream = self.stream()
        before = self.made
        for number in range(LENT_BELOW * 4 // len(HELLO)):
            stream.feed(HELLO.replace(b"Hello", b"<e%d/>" % number))
        self.assertGreaterEqual(self.made - before, 4)
        self.assertLess(self.made - before, 8)

    def test_a_long_header_is_not_read_for_others(self) -> None:
        long = self.stream(HEADERS[0].replace("a.test", "a" * 5000))
        self.stream()
        for _ in range(1000):
            long.feed(HELLO)
        given = 1000 * len(HELLO)
        self.assertLess(self.made, 3 + given / LENT_BELOW + 1)

    def test_a_header_that_ends_its_stream_at_once_ends_no_other(self) -> None:
        headers = [header for header in HEADERS if "/>" not in header]
        streams = [self.stream(header) for header in headers for _ in range(5)]
        for header in headers:
            short = re.sub(r" (to|id)='.*?'", "", header).replace(">", "/>").replace("?/>", "?>")
            [_, event] = StreamParser(WIDE, self.readers).feed(short.encode())
            self.assertIsInstance(event, Footer)
        for stream in streams:  # all at once, or those that know the first headers would do
            self.assertEqual(stream.feed(b"<x><y>"), [])
        for stream in streams:
            [event] = stream.feed(b"</y></x>")
            self.assertNotIsInstance(event, StreamError)

    def test_whatever_a_namespace_is_called_it_is_the_same_for_all(self) -> None:
        header = HEADERS[0].replace("urn:p", "a&#98;&amp;amp;&apos;\u00e9")
        streams = [self.stream(header) for _ in range(5)]
        for stream in streams:
            self.assertEqual(stream.feed(b"<message><p:x>"), [])
        for stream in streams:
            [event] = stream.feed(b"</p:x></message>")
            assert isinstance(event, Message)
            [child] = event.element.elements()
            self.assertEqual(child.ns, "ab&amp;'\u00e9")

    def test_headings_are_bounded(self) -> None:
        streams = [self.stream(HEADERS[0].replace("urn:p", f"urn:{number}")) for number in range(100)]
        for stream in streams:
            [event] = stream.feed(HELLO)
            self.assertIsInstance(event, Message)
        gc.collect()
        for stream in streams:
            stream.close()
        del streams, stream
        gc.collect()
        headings = [each for each in gc.get_objects() if isinstance(each, module.Reader)]
        self.assertLessEqual(len(headings), 2 * module._HEADINGS)

    def test_nothing_is_kept_of_what_was_read(self) -> None:
        class Canary:
            pass

        stream = self.stream()
        events = stream.feed(HELLO)
        canary = Canary()
        died: list[str] = []
        weakref.finalize(canary, died.append, "canary")
        events.append(canary)  # type: ignore[arg-type]
        gc.disable()
        self.addCleanup(gc.enable)
        del events, canary
        self.assertEqual(died, ["canary"])

    def test_closed_it_leaves_nothing_to_the_collector(self) -> None:
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        streams = [self.stream(header) for header in HEADERS]
        for stream in streams:
            stream.feed(b"<x/>")
            stream.close()
        self.readers.close()
        del streams, stream
        self.assertEqual(gc.collect(), 0)

    def test_nor_does_one_whose_heading_is_forgotten(self) -> None:
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        first = self.stream()
        for number in range(100):
            self.stream(HEADERS[0].replace("urn:p", f"urn:{number}")).close()
        first.feed(HELLO)
        first.close()
        self.readers.close()
        del first
        self.assertEqual(gc.collect(), 0)

    def test_nor_one_that_had_rested_with_readers_of_its_own(self) -> None:
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        stream = StreamParser(WIDE)
        stream.feed(HEADERS[0].encode())
        self.assertTrue(stream.rest())
        stream.feed(HELLO)
        stream.close()
        del stream
        self.assertEqual(gc.collect(), 0)
