from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.xmpp import ns
from federix.xmpp.element import Element, escape_text, escape_value
from federix.xmpp.limits import Limits
from federix.xmpp.parser import StreamParser
from federix.xmpp.stanza import Stanza

#: XML 1.0 §2.2: the characters there are.
POSSIBLE = st.characters(
    exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff", include_characters="\t\n\r\x7f\x80\x85\x9f"
)
MARKUP = st.sampled_from(
    ["]]>", "<a>", "&amp;", "&#13;", "'", '"', "\r\n", "<![CDATA[", "<!--", "\u2028", "\U0001f600"]
)
TEXTS = st.lists(POSSIBLE | MARKUP, max_size=5).map("".join)
NAMES = st.sampled_from(["a", "body", "x-1", "é", "_", "a.b", "stream", "xmlfoo"])
NAMESPACES = st.sampled_from(["", ns.CLIENT, ns.SERVER, ns.STREAMS, ns.XML, "urn:x", "urn:it's&y", "urn:é"])
ATTRIBUTES = st.one_of(
    NAMES,
    st.sampled_from(["xml:lang", "xml:space"]),
    st.tuples(st.sampled_from(["urn:x", "urn:it's&y", ns.CLIENT]), NAMES).map(lambda key: "{{{}}}{}".format(*key)),
)
LEAVES = st.builds(
    lambda name, space, attrs: Element(name, space, attrs=attrs),
    NAMES,
    NAMESPACES,
    st.dictionaries(ATTRIBUTES, TEXTS, max_size=4),
)


def filled(element: Element, children: list[Element | str]) -> Element:
    element.children = children
    return element


TREES = st.recursive(LEAVES, lambda inner: st.builds(filled, LEAVES, st.lists(inner | TEXTS, max_size=4)), max_leaves=8)


def parsed(markup: bytes, default: str) -> Element:
    """The element that is read inside one of that default namespace."""
    parser = StreamParser(Limits())
    declared = f" xmlns='{escape_value(default)}'" if default else ""
    events = parser.feed(f"<stream:stream{declared} xmlns:stream='{ns.STREAMS}'><x xmlns='urn:none'><y>".encode())
    assert len(events) == 1
    inner = f"<z{declared or ' xmlns=' + repr('')}>".encode() + markup + b"</z></y></x>"
    [outer] = parser.feed(inner)
    assert isinstance(outer, Element)
    [wrapper] = list(outer.elements())
    [inmost] = list(wrapper.elements())
    [element] = list(inmost.elements())
    return element


class Writing(SynchronousTestCase):
    @settings(max_examples=300, deadline=None)
    @given(TREES, NAMESPACES.filter(lambda space: space != ns.XML))
    def test_what_is_written_is_read_again(self, tree: Element, default: str) -> None:
        self.assertEqual(parsed(tree.to_bytes(default), default), tree)

    @settings(max_examples=100, deadline=None)
    @given(TREES)
    def test_alone_it_needs_no_stream(self, tree: Element) -> None:
        """But one of the streams namespace, which no other element is written into."""
        if tree.ns == ns.STREAMS:
            tree = Element("x", "urn:x", tree)
        read = ElementTree.fromstring(tree.to_bytes())
        self.assertEqual(read.tag, f"{{{tree.ns}}}{tree.name}" if tree.ns else tree.name)
        self.assertEqual(len(read), sum(1 for _ in tree.elements()))
        self.assertEqual(read.text or "", "" if not tree.children else text_before(tree))

    def test_a_known_default_namespace_is_not_repeated(self) -> None:
        element = Element("query", ns.VERSION, Element("name", ns.VERSION, text="Federix"), Element("x", ns.CLIENT))
        self.assertEqual(
            element.to_xml(ns.CLIENT),
            "<query xmlns='jabber:iq:version'><name>Federix</name><x xmlns='jabber:client'/></query>",
        )
        self.assertEqual(element.to_xml(ns.VERSION), element.to_xml().replace(" xmlns='jabber:iq:version'", ""))

    def test_what_belongs_to_the_stream_has_its_prefix(self) -> None:
        features = Element("features", ns.STREAMS, Element("bind", ns.BIND))
        self.assertEqual(
            features.to_xml(ns.CLIENT),
            "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>",
        )

    def test_an_element_of_the_xml_namespace_is_not_declared(self) -> None:
        """XML Namespaces §3: a default namespace of that name would end the recipient's stream."""
        self.assertEqual(Element("x", ns.XML, Element("y", "")).to_xml(), "<xml:x><y/></xml:x>")


def text_before(tree: Element) -> str:
    text = ""
    for child in tree.children:
        if not isinstance(child, str):
            break
        text += child
    return text


class Impossible(SynchronousTestCase):
    """What XML cannot carry becomes U+FFFD: never does a text end the stream of him who gets it."""

    @given(st.text(st.characters(exclude_categories=[])))
    def test_any_text_at_all(self, text: str) -> None:
        possible = "".join(character if is_possible(character) else "\ufffd" for character in text)
        element = parsed(Element("a", "urn:x", text=text, attrs={"b": text, "{urn:y}c": text}).to_bytes(), ns.CLIENT)
        self.assertEqual((element.text, element.get("b"), element.get("{urn:y}c")), (possible, possible, possible))

    def test_each_of_them(self) -> None:
        for character in ("\x00", "\x08", "\x0b", "\x1f", "\ud800", "\udfff", "\ufffe", "\uffff"):
            self.assertEqual((escape_text(character), escape_value(character)), ("\ufffd", "\ufffd"))
        for character in ("\t", "\n", " ", "\x7f", "\x80", "\ud7ff", "\ue000", "\ufffd", "\U00010000", "\U0010ffff"):
            self.assertEqual(escape_text(character), character)

    def test_in_a_stanza(self) -> None:
        parser = StreamParser(Limits())
        parser.feed(f"<stream:stream xmlns='{ns.CLIENT}' xmlns:stream='{ns.STREAMS}'>".encode())
        [stanza] = parser.feed(b"<message to='a@b'/>")
        assert isinstance(stanza, Stanza) and stanza.reusable
        changed = stanza.with_attrs({"to": "\x00", "id": "\ud800"}).appending(Element("x", "urn:x", text="\x1b[0m"))
        [read] = parser.feed(changed.to_bytes())
        assert isinstance(read, Stanza)
        self.assertEqual(read.element.attrs, {"to": "\ufffd", "id": "\ufffd"})
        self.assertEqual(read.element.children, [Element("x", "urn:x", text="\ufffd[0m")])


def is_possible(character: str) -> bool:
    """XML 1.0 §2.2, Char."""
    code = ord(character)
    return code in (9, 10, 13) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000


class Reading(SynchronousTestCase):
    def setUp(self) -> None:
        self.one = Element("a", "urn:x", text="1")
        self.other = Element("a", "urn:y", text="2")
        self.two = Element("a", "urn:x", text="3")
        self.tree = Element("t", "urn:t", "x", self.one, None, "y", self.other, self.two, attrs={"b": "c", "d": None})

    def test_children_by_namespace_and_name(self) -> None:
        self.assertIs(self.tree.child("urn:y", "a"), self.other)
        self.assertIsNone(self.tree.child("urn:z", "a"))
        self.assertEqual(list(map(id, self.tree.children_of("urn:x", "a"))), [id(self.one), id(self.two)])
        self.assertIs(self.tree.first(), self.one)
        self.assertIsNone(self.one.first())
        self.assertEqual(self.tree.text_of("urn:x", "a"), "1")
        self.assertIsNone(self.tree.text_of("urn:x", "b"))

    def test_text_and_attributes(self) -> None:
        self.assertEqual(self.tree.text, "xy")
        self.assertEqual((self.tree.get("b"), self.tree.get("d")), ("c", None))

    def test_equal_is_what_means_the_same(self) -> None:
        def tree(*children: Element | str) -> Element:
            return Element("t", "urn:t", *children, attrs={"a": "1", "b": "2"})

        self.assertEqual(tree("a", "", "b"), tree("ab"))
        self.assertEqual(tree("a"), Element("t", "urn:t", "a", attrs={"b": "2", "a": "1"}))
        self.assertEqual(tree(""), tree())
        for different in (
            tree("a"),
            tree(self.one),
            Element("t", "urn:t"),
            Element("t", "", attrs={"a": "1", "b": "2"}),
        ):
            self.assertNotEqual(tree(), different)
        self.assertNotEqual(tree(), "t")

    def test_a_copy_shares_nothing(self) -> None:
        twin = self.tree.copy()
        self.assertEqual(twin, self.tree)
        child = twin.first()
        assert child is not None
        child.attrs["new"] = "1"
        child.children.append("more")
        twin.attrs["new"] = "1"
        self.assertEqual((self.one.attrs, self.one.text, self.tree.get("new")), ({}, "1", None))

    def test_another_namespace_down_to_the_first_foreign_element(self) -> None:
        """RFC 6120 §4.8.3."""
        inner = Element("message", ns.CLIENT)
        tree = Element("message", ns.CLIENT, Element("body", ns.CLIENT, "a"), Element("forwarded", ns.FORWARD, inner))
        moved = tree.in_namespace(ns.CLIENT, ns.SERVER)
        expected = Element(
            "message", ns.SERVER, Element("body", ns.SERVER, "a"), Element("forwarded", ns.FORWARD, inner)
        )
        self.assertEqual(moved, expected)
        self.assertEqual(tree.ns, ns.CLIENT)
        self.assertEqual(tree.in_namespace(ns.SERVER, ns.CLIENT), tree)
