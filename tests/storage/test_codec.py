from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.storage.codec import BYTES, ELEMENT, JSON, STANZA, TEXT
from federix.xmpp.element import Element
from federix.xmpp.stanza import IQ, Message, Presence, Stanza

texts = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=10,
)
xml_texts = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff") | st.just("\n"))
names = st.sampled_from(["a", "message", "presence", "x-1"])
namespaces = st.sampled_from(["", "jabber:client", "urn:x", "urn:a'b&c"])


@st.composite
def elements(draw: st.DrawFn, depth: int = 3) -> Element:
    inner = elements(depth - 1) | xml_texts if depth else xml_texts
    attributes = st.dictionaries(st.sampled_from(["id", "xml:lang", "{urn:y}z"]), xml_texts)
    return Element(draw(names), draw(namespaces), *draw(st.lists(inner, max_size=3)), attrs=draw(attributes))


class CodecTest(SynchronousTestCase):
    @given(st.binary())
    def test_bytes_come_back(self, value: bytes) -> None:
        self.assertEqual(BYTES.decode(BYTES.encode(value)), value)

    @given(texts)
    def test_text_comes_back(self, value: str) -> None:
        self.assertEqual(TEXT.decode(TEXT.encode(value)), value)

    @given(json_values)
    def test_json_comes_back(self, value: object) -> None:
        self.assertEqual(JSON.decode(JSON.encode(value)), value)  # type: ignore[arg-type]

    @given(elements())
    def test_an_element_comes_back(self, value: Element) -> None:
        self.assertEqual(ELEMENT.decode(ELEMENT.encode(value)), value)

    def test_what_is_not_one_whole_element_is_refused(self) -> None:
        for stored in (b"", b"<a>", b"<a/><b/>", b"text", b"</stored>", b"<a/></stored>", b"<!DOCTYPE a><a/>"):
            self.assertRaises(ValueError, ELEMENT.decode, stored)

    @given(st.sampled_from((Message, Presence, IQ)), st.lists(elements()), st.dictionaries(names, xml_texts))
    def test_a_stanza_comes_back(self, kind: type[Stanza], children: list[Element], attrs: dict[str, str]) -> None:
        stanza = kind(Element(kind.kind, "jabber:client", *children, attrs=attrs))
        found = STANZA.decode(STANZA.encode(stanza))
        self.assertIs(type(found), kind)
        self.assertEqual(found.element, stanza.element)

    def test_a_stanza_comes_back_with_its_bytes(self) -> None:
        raw = b"<message  to = 'a' ><body  >&#120;</body><x xmlns = 'urn:x'/></message >"
        found = STANZA.decode(raw)
        self.assertEqual((found.raw, STANZA.encode(found)), (raw, raw))
        self.assertEqual(found.element.text_of("jabber:client", "body"), "x")

    def test_what_is_not_one_whole_stanza_is_refused(self) -> None:
        for stored in (b"", b"<message>", b"<message/><message/>", b"<a/>", b"<message xmlns='urn:x'/>", b"text"):
            self.assertRaises(ValueError, STANZA.decode, stored)

    def test_a_codec_writes_other_types_through_another(self) -> None:
        numbers = TEXT.through(write=str, read=int)
        self.assertEqual(numbers.encode(7), b"7")
        self.assertEqual(numbers.decode(b"7"), 7)
