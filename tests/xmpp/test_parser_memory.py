"""What a peer can make a parser hold, and what an idle one lets go."""

from __future__ import annotations

import gc
import tracemalloc
import weakref

from twisted.trial.unittest import SynchronousTestCase

from federix.xmpp import ns, readers
from federix.xmpp.element import Element
from federix.xmpp.errors import StreamCondition, StreamError
from federix.xmpp.events import Event
from federix.xmpp.limits import AFTER_AUTHENTICATION
from federix.xmpp.parser import MAX_EXPAT_BYTES, StreamParser
from federix.xmpp.stanza import Message
from tests.xmpp.test_parser import FOOTER, HEADER, HELLO, Watched, pieces_of


class Leaving(SynchronousTestCase):
    """A parser that is done leaves nothing to the cyclic collector."""

    def setUp(self) -> None:
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)

    def test_a_parser_that_ended_is_in_no_cycle(self) -> None:
        endings = (FOOTER, b"<!-- -->", b"<message></presence>", b"text", b"\xff", b"<message>" + b"<a>" * 100)
        for ending in endings:
            parser = Watched(AFTER_AUTHENTICATION)
            parser_reference = weakref.ref(parser)
            events = parser.feed(HEADER + HELLO + b"<presence/>" + ending)
            error_reference = weakref.ref(events[-1]) if isinstance(events[-1], StreamError) else None
            del parser, events
            self.assertIsNone(parser_reference(), ending)
            self.assertIsNone(error_reference and error_reference(), ending)
        self.assertEqual(gc.collect(), 0)

    def test_a_closed_parser_is_in_no_cycle(self) -> None:
        parser = Watched(AFTER_AUTHENTICATION)
        reference = weakref.ref(parser)
        parser.feed(HEADER + b"<message><body>Wherefore")
        parser.close()
        self.assertEqual((parser.held, parser.between), (0, True))
        self.assertEqual(parser.feed(b"</body></message>"), [])
        del parser
        self.assertIsNone(reference())

    def test_names_are_forgotten(self) -> None:
        """Expat keeps each name it ever met: a peer with ever new ones would fill the memory."""
        stanzas = [
            b"<message>%s</message>"
            % b"".join(b"<e%d a%d='' xmlns:p%d='u'/>" % (n, n, n) for n in range(at, at + 1000))
            for at in range(0, 49_950, 999)
        ]
        parser = StreamParser(AFTER_AUTHENTICATION)
        parser.feed(HEADER)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for stanza in stanzas:
            self.assertIsInstance(parser.feed(stanza)[0], Message)
        grown, _ = tracemalloc.get_traced_memory()
        self.assertLess(grown, 2 * 1024 * 1024)
        self.assertGreater(sum(map(len, stanzas)), 5 * MAX_EXPAT_BYTES)

    def test_a_byte_at_a_time_costs_no_more_than_all_at_once(self) -> None:
        """A piece of text each would be fifty times its size."""
        parser = StreamParser(AFTER_AUTHENTICATION)
        parser.feed(HEADER + b"<message><body>")
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        text = "€".encode() * 10_000
        for piece in pieces_of(text, 1):
            parser.feed(piece)
        grown, _ = tracemalloc.get_traced_memory()
        self.assertLess(grown, 4 * len(text))


class Memory(SynchronousTestCase):
    """What a peer can make us hold is bounded by what it takes, not by how it looks."""

    def test_expat_is_renewed_whatever_the_cut(self) -> None:
        """Expat keeps every name it has met; a peer whose reads never end between stanzas must not keep it for ever."""
        made: list[int] = []
        new = readers.new_expat
        self.patch(readers, "new_expat", lambda: [made.append(1), new()][1])
        for pattern in ("<presence a{n}=''></presence> <presen", "<presence a{n}=''></presence><presence><x/>"):
            parser = StreamParser(AFTER_AUTHENTICATION)
            parser.feed(HEADER)
            rest = b""
            made.clear()
            for number in range(30_000):
                piece = pattern.format(n=number).encode()
                parser.feed(rest + piece)
                rest = b"ce></presence>" if piece.endswith(b"presen") else b"</presence>"
                if parser._reader is not None:
                    self.assertLess(parser._reader.fed, 2 * MAX_EXPAT_BYTES)
            self.assertGreater(len(made), 20, pattern)

    def test_a_stanza_of_many_small_parts_is_refused_before_it_takes_two_mebibytes(self) -> None:
        attributes = "".join(f" a{n}=''" for n in range(60))
        for part in ("<a b=''/>", "<x>a</x>", f"<y{attributes}/>", "<z xmlns='urn:{n}'/>"):
            parser = StreamParser(AFTER_AUTHENTICATION)
            parser.feed(HEADER + b"<message>")
            tracemalloc.start()
            self.addCleanup(tracemalloc.stop)
            before = tracemalloc.get_traced_memory()[0]
            events: list[Event] = []
            for number in range(20_000):
                events = parser.feed(part.replace("{n}", str(number)).encode())
                if events:
                    break
                if number % 100 == 0:
                    self.assertLess(tracemalloc.get_traced_memory()[0] - before, 2 * 1024 * 1024, part)
            [error] = events
            assert isinstance(error, StreamError)
            self.assertIs(error.condition, StreamCondition.POLICY_VIOLATION)
            tracemalloc.stop()

    def test_nor_does_one_whose_text_or_names_take_more_than_they_show(self) -> None:
        wide = "\U0001f600"
        long = "p" * 470
        many = "".join(f" é{{n}}x{m}='€'" for m in range(60))
        for head, part in (
            ("<message>", f"<é{{n}}>{wide}</é{{n}}>"),
            ("<message>", f"<x/>{wide}{'y' * 60}"),
            ("<message>", f"<a{many}/>"),
            (f"<message xmlns:p='urn:{wide}{long}'>", "<p:b{n}/>"),
            (f"<message xmlns:p='urn:{long}'>", "<a p:b{n}=''/>"),
            ("<message>", f"<b xmlns='{wide}{long}{{n}}'/>"),
            ("<message>" + "<a/>" * 2000 + "<body>", wide + "y" * 1000),
            ("<message/>" * 3000 + "<message><body>", wide + "y" * 1000),
        ):
            parser = StreamParser(AFTER_AUTHENTICATION)
            parser.feed(HEADER)
            tracemalloc.start()
            self.addCleanup(tracemalloc.stop)
            before = tracemalloc.get_traced_memory()[0]
            parser.feed(head.encode())
            fed = 0
            for number in range(100_000):
                data = part.replace("{n}", str(number)).encode()
                if parser.feed(data):
                    break
                fed += len(data)
                if number % 50 == 0:
                    self.assertLess(tracemalloc.get_traced_memory()[0] - before, 2 * 1024 * 1024, part)
                    self.assertLess(parser.weight, 2 * 1024 * 1024, part)
            else:
                self.fail("it goes on for ever")
            tracemalloc.stop()

    def test_a_long_text_of_any_script_passes(self) -> None:
        for letter in ("x", "é", "字", "\U0001f600"):
            text = letter.encode() * (250 * 1024 // len(letter.encode()))
            parser = StreamParser(AFTER_AUTHENTICATION)
            events = parser.feed(HEADER)
            for piece in pieces_of(b"<message><body>" + text + b"</body></message>", 8192):
                events = parser.feed(piece)
            self.assertIsInstance(events[-1], Message, letter)

    def test_a_stanza_of_fifteen_hundred_elements_passes(self) -> None:
        parser = StreamParser(AFTER_AUTHENTICATION)
        parser.feed(HEADER)
        [stanza] = parser.feed(b"<message>" + b"<a b='c'>text</a>" * 1500 + b"</message>")
        self.assertIsInstance(stanza, Message)

    def test_a_parser_that_rested_goes_on_where_it_was_and_is_not_stirred_by_questions(self) -> None:
        parser = StreamParser(AFTER_AUTHENTICATION)
        parser.feed(HEADER)
        for _ in range(3):
            self.assertTrue(parser.rest())
            self.assertFalse(parser.rest())
            parser.feed(b" ")
            [question] = parser.feed(b"<r xmlns='urn:xmpp:sm:3'/>")
            assert isinstance(question, Element)
            self.assertEqual((question.name, question.ns), ("r", ns.SM))
            self.assertTrue(parser.rests)
            [stanza] = parser.feed(HELLO)
            assert isinstance(stanza, Message)
            self.assertEqual(stanza.raw, HELLO)
            self.assertFalse(parser.rests)

    def test_nothing_rests_in_the_middle_of_something(self) -> None:
        parser = StreamParser(AFTER_AUTHENTICATION)
        for data in (HEADER[:20], HEADER[20:], HELLO[:5], HELLO[5:-2]):
            parser.feed(data)
            self.assertEqual(parser.rest(), data == HEADER[20:])
        [stanza] = parser.feed(HELLO[-2:])
        self.assertIsInstance(stanza, Message)
