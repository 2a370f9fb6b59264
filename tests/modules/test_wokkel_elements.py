"""Our elements become domish's, and theirs ours, without loss."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix._wokkel import MAX_ADDRESSES, domish, generic, jid
from federix.modules.wokkel_elements import from_domish, stanza_from_domish, to_domish
from federix.xmpp import ns
from federix.xmpp.element import Element

NAMES = st.sampled_from(["a", "body", "x-1", "item"])
NAMESPACES = st.sampled_from([ns.CLIENT, ns.SERVER, "urn:x", "urn:y", "urn:forward"])
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=6)
ATTRIBUTES = st.sampled_from(["id", "to", "xml:lang", "{urn:x}id", "{urn:y}id"])
LEAVES = st.builds(
    lambda name, space, attrs: Element(name, space, attrs=attrs),
    NAMES,
    NAMESPACES,
    st.dictionaries(ATTRIBUTES, TEXTS, max_size=3),
)


def filled(element: Element, children: list[Element | str]) -> Element:
    element.children = children
    return element


TREES = st.recursive(LEAVES, lambda inner: st.builds(filled, LEAVES, st.lists(inner | TEXTS, max_size=3)), max_leaves=8)
STANZAS = st.builds(
    lambda name, children: filled(Element(name, ns.CLIENT, attrs={"to": "a@b"}), children),
    st.sampled_from(["message", "iq", "presence"]),
    st.lists(TREES, max_size=3),
)


class Both(SynchronousTestCase):
    @settings(max_examples=200, deadline=None)
    @given(STANZAS)
    def test_there_and_back_it_is_the_same(self, stanza: Element) -> None:
        self.assertEqual(stanza_from_domish(to_domish(stanza)), stanza)

    @settings(max_examples=200, deadline=None)
    @given(TREES)
    def test_domish_writes_what_we_would(self, tree: Element) -> None:
        """Read by wokkel's parser, both are one."""
        outer = Element("outer", "urn:outer", tree)
        ours = generic.parseXml(outer.to_xml().encode())
        self.assertEqual(from_domish(ours, ""), outer)
        self.assertEqual(from_domish(generic.parseXml(to_domish(outer).toXml().encode()), ""), outer)


class Given(SynchronousTestCase):
    """What handlers make themselves."""

    def test_what_has_no_namespace_is_in_the_one_around_it(self) -> None:
        message = domish.Element((None, "message"))
        message.addElement("body", content="hello")
        message.addElement(("urn:x", "x")).addElement("y")
        self.assertEqual(
            stanza_from_domish(message),
            Element(
                "message",
                ns.CLIENT,
                Element("body", ns.CLIENT, text="hello"),
                Element("x", "urn:x", Element("y", "urn:x")),
            ),
        )

    def test_a_stanza_for_a_component_or_a_server_is_one_for_a_client(self) -> None:
        for content in ("jabber:component:accept", ns.SERVER, ns.CLIENT, ""):
            message = domish.Element((content, "message"))
            message.addElement("body")
            self.assertEqual(stanza_from_domish(message), Element("message", ns.CLIENT, Element("body", ns.CLIENT)))

    def test_what_is_forwarded_keeps_its_namespace(self) -> None:
        message = domish.Element((None, "message"))
        message.addElement(("urn:forward", "forwarded")).addElement((ns.SERVER, "message")).addElement("body")
        forwarded = stanza_from_domish(message).first()
        assert forwarded is not None
        self.assertEqual(
            forwarded, Element("forwarded", "urn:forward", Element("message", ns.SERVER, Element("body", ns.SERVER)))
        )

    def test_xml_that_a_handler_wrote_is_read(self) -> None:
        message = domish.Element((None, "message"))
        message.addRawXml("<body>1 &lt; 2</body> and <x xmlns='urn:x'><y/></x>")
        self.assertEqual(
            stanza_from_domish(message),
            Element(
                "message",
                ns.CLIENT,
                Element("body", ns.CLIENT, text="1 < 2"),
                " and ",
                Element("x", "urn:x", Element("y", "urn:x")),
            ),
        )

    def test_a_value_that_is_no_text_becomes_one(self) -> None:
        item = domish.Element(("urn:x", "item"))
        item["count"] = 3
        self.assertEqual(from_domish(item, ""), Element("item", "urn:x", attrs={"count": "3"}))


class Addresses(SynchronousTestCase):
    def test_only_so_many_are_remembered(self) -> None:
        for number in range(MAX_ADDRESSES + 10):
            jid.internJID(f"user{number}@example.org")
        self.assertEqual(jid.internJID.cache_info().currsize, MAX_ADDRESSES)

    def test_wokkel_remembers_them_here(self) -> None:
        message = domish.Element((None, "message"))
        message["from"] = "somebody@example.org/here"
        before = jid.internJID.cache_info().misses
        stanza = generic.Stanza.fromElement(message)
        self.assertEqual(stanza.sender.full(), "somebody@example.org/here")
        self.assertEqual(jid.internJID.cache_info().misses, before + 1)
