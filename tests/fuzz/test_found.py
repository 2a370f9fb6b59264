"""What fuzzing has found: each input broke a rule once."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from federix.xmpp import ns
from federix.xmpp.errors import StreamCondition, StreamError
from federix.xmpp.limits import AFTER_AUTHENTICATION
from federix.xmpp.parser import StreamParser
from federix.xmpp.stanza import Stanza
from fuzz.mutation import HEADER
from fuzz.targets import load


class ParserTests(SynchronousTestCase):
    def test_the_first_mistake_is_named_whatever_comes_behind_it(self) -> None:
        """Bytes that are no UTF-8 behind another mistake made it one of the encoding, unless they came later."""
        mistake, behind = b"<message><a 1='x'/>", b"<b>\xff</b>"
        for pieces in ([mistake + behind], [mistake, behind]):
            parser = StreamParser(AFTER_AUTHENTICATION)
            events = [event for piece in (HEADER, *pieces) for event in parser.feed(piece)]
            self.assertEqual(self.conditions(events), [StreamCondition.NOT_WELL_FORMED])

    def test_half_a_character_before_a_tag_is_a_mistake_of_the_encoding_in_any_cut(self) -> None:
        for stanza in (b"<message>\xc3<a/>", b"\xc3<message/>", b"<message a='\xc3'/>"):
            for pieces in ([stanza], [stanza[at : at + 1] for at in range(len(stanza))]):
                parser = StreamParser(AFTER_AUTHENTICATION)
                events = [event for piece in (HEADER, *pieces) for event in parser.feed(piece)]
                self.assertEqual(self.conditions(events), [StreamCondition.UNSUPPORTED_ENCODING], pieces)

    def test_a_mistake_before_a_comment_is_named_in_any_cut(self) -> None:
        for pieces in ([b"<message>& <!-- -->"], [b"<message>& ", b"<", b"!-- -->"]):
            parser = StreamParser(AFTER_AUTHENTICATION)
            events = [event for piece in (HEADER, *pieces) for event in parser.feed(piece)]
            self.assertEqual(self.conditions(events), [StreamCondition.NOT_WELL_FORMED], pieces)

    def conditions(self, events: list[object]) -> list[StreamCondition]:
        return [event.condition for event in events if isinstance(event, StreamError)]


class ElementTests(SynchronousTestCase):
    def test_what_stands_inside_an_element_of_the_xml_namespace_keeps_its_own(self) -> None:
        """Its bytes say nothing of the namespace of what is in it: on a stream between servers they meant another."""
        parser = StreamParser(AFTER_AUTHENTICATION)
        [_, stanza] = parser.feed(HEADER + b"<message><xml:y><show/></xml:y></message>")
        assert isinstance(stanza, Stanza)
        self.assertIn(b"<show xmlns='jabber:client'/>", stanza.to_bytes(ns.SERVER))
        load("element").check(b"<message><xml:y><show/></xml:y></message>")
