from collections.abc import Callable
from xml.etree import ElementTree

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.xmpp import ns
from federix.xmpp.element import Element
from federix.xmpp.errors import Condition, ErrorType, StanzaError
from federix.xmpp.jid import JID
from federix.xmpp.limits import AFTER_AUTHENTICATION
from federix.xmpp.parser import StreamParser
from federix.xmpp.reading import read_start
from federix.xmpp.stanza import IQ, Message, Presence, Stanza, error_element, iq, message, presence

ROMEO = JID.parse("romeo@example.net/orchard")
JULIET = JID.parse("juliet@example.com")

#: What a tree says, without any of our code: namespace, name, attributes, children.
Meaning = tuple[str, str, dict[str, str], list["Meaning | str"]]
Change = tuple[Callable[[Stanza], Stanza], Callable[[Meaning], Meaning]]


def meaning(tree: ElementTree.Element) -> Meaning:
    space, _, name = tree.tag.rpartition("}")
    attrs = {key.replace(f"{{{ns.XML}}}", "xml:"): value for key, value in tree.attrib.items()}
    children: list[Meaning | str] = [tree.text] if tree.text else []
    for child in tree:
        children.append(meaning(child))
        if child.tail:
            children.append(child.tail)
    return space[1:], name, attrs, children


def meaning_of_ours(element: Element) -> Meaning:
    children = [child if isinstance(child, str) else meaning_of_ours(child) for child in element.children]
    return element.ns, element.name, dict(element.attrs), joined(children)


def joined(children: list[Meaning | str]) -> list[Meaning | str]:
    found: list[Meaning | str] = []
    for child in children:
        if isinstance(child, str) and found and isinstance(found[-1], str):
            found[-1] += child
        else:
            found.append(child)
    return found


def scoped(tree: Meaning, content: frozenset[str] = ns.CONTENT) -> Meaning:
    """RFC 6120 §4.8.3: *tree* with its content namespace, down to the first foreign element, called jabber:client."""
    space, name, attrs, children = tree
    if space not in content:
        return tree
    return ns.CLIENT, name, attrs, [child if isinstance(child, str) else scoped(child, content) for child in children]


def read_elsewhere(markup: bytes, content: str) -> Meaning:
    """What the recipient on a stream with that default namespace reads; its header declares nothing else."""
    header = f"<stream:stream xmlns='{content}' xmlns:stream='{ns.STREAMS}'>".encode()
    [tree] = ElementTree.fromstring(header + markup + b"</stream:stream>")
    return scoped(meaning(tree), frozenset([content]))


# -- what may be done with a stanza -----------------------------------------------------------------------------------


def with_attrs(attrs: dict[str, str | None]) -> Change:
    def model(tree: Meaning) -> Meaning:
        merged = {**tree[2], **attrs}
        return tree[0], tree[1], {key: value for key, value in merged.items() if value is not None}, tree[3]

    return lambda stanza: stanza.with_attrs(attrs), model


def stamped(lang: str | None) -> Change:
    def model(tree: Meaning) -> Meaning:
        language = {} if lang is None else {"xml:lang": lang}
        return tree[0], tree[1], {**language, **tree[2], "from": str(ROMEO)}, tree[3]

    return lambda stanza: stanza.stamped(ROMEO, lang), model


def appending(*markups: str) -> Change:
    trees = [ElementTree.fromstring(markup) for markup in markups]
    children = [ours(tree) for tree in trees]

    def model(tree: Meaning) -> Meaning:
        return tree[0], tree[1], tree[2], [*tree[3], *map(meaning, trees)]

    return lambda stanza: stanza.appending(*children), model


def ours(tree: ElementTree.Element) -> Element:
    space, name, attrs, children = meaning(tree)
    element = Element(name, space, attrs=attrs)
    subtrees = iter(tree)
    element.children = [child if isinstance(child, str) else ours(next(subtrees)) for child in children]
    return element


def dropping(names: frozenset[str]) -> Change:
    def model(tree: Meaning) -> Meaning:
        kept = [child for child in tree[3] if isinstance(child, str) or child[1] not in names]
        return tree[0], tree[1], tree[2], joined(kept)

    return lambda stanza: stanza.dropping(lambda child: child.name in names), model


ADDRESSED: Change = (lambda stanza: stanza.addressed(JULIET), with_attrs({"to": str(JULIET)})[1])
VALUES = st.sampled_from([None, "", "it's", 'a "word"', "<&>", "a\nb\tc\rd", "é\U0001f600", "xmlns='jabber:server'"])
KEYS = st.sampled_from(["to", "from", "id", "type", "xml:lang", "{urn:k}x", "{urn:q}r"])
CHILDREN = st.sampled_from(
    [
        "<x xmlns='urn:x'/>",
        "<body xmlns='jabber:client'>it's &lt;i&gt;</body>",
        "<forwarded xmlns='urn:f'><message xmlns='jabber:client'><body>a</body></message></forwarded>",
        "<x xmlns='urn:f'><message xmlns='jabber:server'/></x>",
        "<error xmlns='http://etherx.jabber.org/streams' a='1'/>",
        "<none/>",
        "<k:x xmlns:k='urn:k' k:a='1' xml:lang='de' b='2'> a <k:y/></k:x>",
        "<xml:x><y xmlns='urn:y'/></xml:x>",
    ]
)
CHANGES = st.one_of(
    st.dictionaries(KEYS, VALUES, max_size=3).map(with_attrs),
    st.sampled_from([None, "en", "de'"]).map(stamped),
    st.just(ADDRESSED),
    st.lists(CHILDREN, max_size=2).map(lambda markups: appending(*markups)),
    st.frozensets(st.sampled_from(["body", "x", "message", "none"]), max_size=2).map(dropping),
)

# -- what may come ----------------------------------------------------------------------------------------------------

CONTENTS = st.sampled_from([ns.CLIENT, ns.SERVER, ns.COMPONENT])
DECLARED = "xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams' xmlns:a='urn:a'"
#: How namespaces are declared; CONTENT stands for the stream's.
DECLARATIONS = st.sampled_from(
    [
        "xmlns='CONTENT'",
        'xmlns = "CONTENT"',
        "xmlns='jabber:client'",
        "xmlns='jabber:server'",
        "xmlns='jabber:component:accept'",
        "xmlns='jabber&#58;client'",
        "xmlns='jabber:&#x73;erver'",
        "xmlns='jabber:server:dialback'",
        "xmlns=''",
        "xmlns='urn:x'",
        "xmlns='http://etherx.jabber.org/streams'",
        "xmlns:q='jabber:client'",
        "xmlns:q='jabber&#58;server'",
        "xmlns:a='CONTENT'",
        "xmlns:db='urn:x'",
    ]
)
ATTRIBUTES = st.sampled_from(
    [
        "to='romeo@example.net'",
        'from = "juliet@example.com"',
        "\n id\t=\n'>'",
        "type='/>'",
        "xml:lang='fr'",
        "a:to='x'",
        "db:from='x'",
        "q:r='x'",
        "about=\" xmlns='jabber:server'\"",
        "other=' to=\"x\"'",
        "to2='&#10;&lt;'",
        "x-to='</message>'".replace("<", "&lt;"),
    ]
)
PREFIXES = st.sampled_from([*[""] * 12, "q:", "a:", "c:", "db:", "stream:", "xml:"])
TEXTS = st.one_of(
    st.sampled_from(
        ["a", " ", "é", "/>", "]&gt;", "&lt;/message&gt;", "<![CDATA[</message><body/>]]>", "<![CDATA[]]>"]
    ),
    st.sampled_from(
        [*["a"] * 12, "db:", "a:", "xmlns", "jabber:client", "&#65;", "<![CDATA[<x xmlns='jabber:server'>]]>"]
    ),
)


@st.composite
def start_tags(draw: st.DrawFn, names: st.SearchStrategy[str], prefixes: st.SearchStrategy[str]) -> tuple[str, str]:
    """A name and its attributes, with a declaration for each prefix that the header does not declare."""
    name = draw(prefixes) + draw(names)
    markup: dict[str, str] = {}
    for attribute in draw(st.lists(DECLARATIONS, max_size=2)) + draw(st.lists(ATTRIBUTES, max_size=3)):
        markup.setdefault(attribute.partition("=")[0].strip(), attribute)
    if name.startswith("q:") or "q:r" in markup:
        markup.setdefault("xmlns:q", "xmlns:q='urn:q'")
    blank = draw(st.sampled_from(["", " ", "\n"]))
    return name, "".join(f" {blank}{attribute}" for attribute in draw(st.permutations(list(markup.values())))) + blank


@st.composite
def children(draw: st.DrawFn, depth: int = 0) -> str:
    name, attributes = draw(start_tags(st.sampled_from(["body", "x", "message"]), PREFIXES))
    if draw(st.booleans()):
        return f"<{name}{attributes}/>"
    inner = TEXTS | children(depth + 1) if depth < 2 else TEXTS
    return f"<{name}{attributes}>{''.join(draw(st.lists(inner, max_size=3)))}</{name}>"


@st.composite
def stanzas(draw: st.DrawFn) -> str:
    prefixes = st.sampled_from(["", "", "", "", "", "c:"])
    name, attributes = draw(start_tags(st.sampled_from(["message", "presence", "iq"]), prefixes))
    if draw(st.integers(0, 4)) == 0:
        return f"<{name}{attributes}/>"
    end = draw(st.sampled_from(["", " ", "\n"]))
    return f"<{name}{attributes}>{''.join(draw(st.lists(TEXTS | children(), max_size=4)))}</{name}{end}>"


class Meanings(SynchronousTestCase):
    """Reused or rendered, changed or not: what leaves means what the tree means, on every stream."""

    @settings(max_examples=600, deadline=None)
    @given(CONTENTS, stanzas(), st.lists(CHANGES, max_size=4))
    @example(ns.CLIENT, "<message><xml:x/></message>", [dropping(frozenset(["body"])), with_attrs({"{urn:k}x": "1"})])
    @example(ns.CLIENT, "<message><body xmlns='jabber:server'/></message>", [])
    @example(ns.CLIENT, "<message><body xmlns='jabber&#58;client'/></message>", [])
    @example(ns.SERVER, "<message><x xmlns='urn:x'><q:y xmlns:q='jabber&#58;server'/></x></message>", [])
    @example(ns.SERVER, "<message a:to='x'/>", [with_attrs({"{urn:a}to": "y"})])
    def test_on_every_stream(self, content: str, markup: str, changes: list[Change]) -> None:
        markup = markup.replace("CONTENT", content)
        header = f"<stream:stream xmlns='{content}' xmlns:c='{content}' {DECLARED}>"
        [tree] = ElementTree.fromstring(f"{header}{markup}</stream:stream>")
        expected = meaning(tree)
        [_, stanza] = StreamParser(AFTER_AUTHENTICATION).feed((header + markup).encode())
        if expected[0] != content:
            self.assertIsInstance(stanza, Element)
            return
        assert isinstance(stanza, Stanza)
        expected = scoped(expected)
        self.check(stanza, expected)
        for change, model in changes:
            before, earlier = stanza, expected
            stanza, expected = change(stanza), model(expected)
            self.assertIs(type(stanza), type(before))
            self.check(stanza, expected)
            self.assertEqual(meaning_of_ours(before.element), earlier)

    def check(self, stanza: Stanza, expected: Meaning) -> None:
        self.assertEqual(meaning_of_ours(stanza.element), expected)
        for target in sorted(ns.CONTENT):
            markup = stanza.to_bytes(target)
            self.assertEqual(read_elsewhere(markup, target), expected, markup)
        start = read_start(stanza.to_bytes(ns.SERVER))
        self.assertEqual((type(start), meaning_of_ours(start.element)), (type(stanza), (*expected[:3], [])))
        alone = stanza.standalone()
        self.assertEqual(scoped(meaning(ElementTree.fromstring(alone)), frozenset([ns.CLIENT])), expected, alone)
        self.assertEqual(read_elsewhere(b"<f xmlns='urn:f'>" + alone + b"</f>", ns.SERVER)[3][0][0], ns.CLIENT)

    def test_a_child_of_the_streams_namespace_needs_no_stream(self) -> None:
        message = Message(Element("message", ns.CLIENT), b"<message/>").appending(Element("error", ns.STREAMS))
        self.check(message, (ns.CLIENT, "message", {}, [(ns.STREAMS, "error", {}, [])]))


class Reuse(SynchronousTestCase):
    """Ordinary traffic leaves in the bytes it came in."""

    #: As mobile and desktop clients write them, and servers among each other.
    FROM_CLIENTS = (
        b"<message id='ad51ecc4-c2a5' to='juliet@example.com' type='chat'><body>Wherefore?</body>"
        b"<request xmlns='urn:xmpp:receipts'/><markable xmlns='urn:xmpp:chat-markers:0'/>"
        b"<origin-id xmlns='urn:xmpp:sid:0' id='ad51ecc4-c2a5'/><active xmlns='http://jabber.org/protocol/chatstates'/>"
        b"</message>",
        b"<message to='juliet@example.com/balcony' type='chat' id='7'>"
        b"<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='27183'>"
        b"<key rid='31415'>BASE64ENCODED==</key><iv>BASE64/ENCODED+</iv></header>"
        b"<payload>BASE64ENCODED</payload></encrypted><encryption xmlns='urn:xmpp:eme:0' name='OMEMO' "
        b"namespace='eu.siacs.conversations.axolotl'/><store xmlns='urn:xmpp:hints'/><body>I sent you an OMEMO "
        b"encrypted message but your client doesn&apos;t seem to support that.</body></message>",
        b'<message xmlns="jabber:client" to="room@conference.example.org" id="f0c9b7a2" type="groupchat"><body>Hi '
        b'&amp; welcome: see https://example.org/?a=1&amp;b=2</body><origin-id xmlns="urn:xmpp:sid:0" id="f0c9b7a2" />'
        b"</message>",
        b'<message xmlns="jabber:client" type="chat" to="juliet@example.com" id="2" xml:lang="en"><body>It\'s 5 &gt; 4 '
        b'\xf0\x9f\x98\x80</body><active xmlns="http://jabber.org/protocol/chatstates"/></message>',
        b'<message to="juliet@example.com" type="chat" id="e2"><body>corrected</body><replace xmlns="urn:xmpp:'
        b"message-correct:0\" id=\"e1\"/><html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3."
        b"org/1999/xhtml'><p>corrected</p></body></html></message>",
        b"<message type='chat' id='r1' to='juliet@example.com'>"
        b"<received xmlns='urn:xmpp:receipts' id='ad51'/></message>",
        b"<message to='juliet@example.com' type='chat'>"
        b"<composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
        b"<presence/>",
        b'<presence xmlns="jabber:client"/>',
        b"<presence><show>away</show><status>On the balcony</status><priority>5</priority><c xmlns='http://jabber.org/"
        b"protocol/caps' hash='sha-1' node='https://example.org/client' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/>"
        b"<x xmlns='vcard-temp:x:update'><photo>sha1-hash</photo></x></presence>",
        b"<presence to='juliet@example.com' type='subscribe' />",
        b"<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
        b"<iq xmlns='jabber:client' type='get' to='example.org' id='d1'>"
        b"<query xmlns='http://jabber.org/protocol/disco#info' node='x'/></iq>",
        b"<iq type='set' id='p1'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish "
        b"node='urn:xmpp:avatar:metadata'><item id='111f4b3c'>"
        b"<metadata xmlns='urn:xmpp:avatar:metadata'><info bytes='12345' id='111f4b3c' height='64' "
        b"type='image/png' width='64'/></metadata></item></publish></pubsub></iq>",
    )
    CLIENT_HEADER = (
        "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
    )
    SERVER_HEADER = (
        "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' "
        "xmlns:db='jabber:server:dialback' from='example.net' to='example.com' version='1.0'>"
    )

    def read(self, header: str, stanza: bytes) -> Stanza:
        parser = StreamParser(AFTER_AUTHENTICATION)
        parser.feed(header.encode())
        [event] = parser.feed(stanza)
        assert isinstance(event, Stanza)
        return event

    def test_from_client_to_client(self) -> None:
        for markup in self.FROM_CLIENTS:
            stanza = self.read(self.CLIENT_HEADER, markup)
            self.assertTrue(stanza.reusable, markup)
            stanza = stanza.stamped(ROMEO, "en").addressed(JULIET)
            stanza = stanza.appending(Element("stanza-id", "urn:xmpp:sid:0", attrs={"id": "1", "by": "example.org"}))
            self.assertTrue(stanza.reusable, markup)
            self.assertEqual(stanza.to_bytes(ns.CLIENT), stanza.to_bytes(ns.SERVER))
            self.assertNotIn(b"jabber:client", stanza.to_bytes(ns.SERVER))

    def test_from_server_to_client(self) -> None:
        for markup in self.FROM_CLIENTS:
            markup = markup.replace(b" xmlns='jabber:client'", b"").replace(b' xmlns="jabber:client"', b"")
            stanza = self.read(self.SERVER_HEADER, markup).stamped(ROMEO)
            self.assertTrue(stanza.reusable, markup)
            self.assertEqual(read_elsewhere(stanza.to_bytes(ns.CLIENT), ns.CLIENT), meaning_of_ours(stanza.element))

    def test_what_is_not_touched_keeps_every_byte(self) -> None:
        markup = b"<message  to = 'a@b'\n><body>\xc3\xa9<![CDATA[<]]>&#65;</body></message >"
        self.assertEqual(self.read(self.CLIENT_HEADER, markup).to_bytes(ns.SERVER), markup)

    def test_a_prefix_that_nobody_uses_does_not_travel(self) -> None:
        """Its namespace may be one that other parsers refuse."""
        stanza = self.read(self.CLIENT_HEADER, b"<message><x xmlns='urn:x' xmlns:q='urn:{'/></message>")
        self.assertEqual(stanza.to_bytes(), b"<message><x xmlns='urn:x'/></message>")

    def test_a_stamp_is_a_splice(self) -> None:
        stanza = self.read(self.CLIENT_HEADER, b"<message from='x@y' to='a@b'><body/></message>")
        self.assertEqual(
            stanza.stamped(ROMEO).to_bytes(),
            b"<message from='romeo@example.net/orchard' to='a@b'><body/></message>",
        )
        self.assertEqual(stanza.stamped(ROMEO).sender, ROMEO)

    def test_one_that_was_just_read_is_stamped_itself(self) -> None:
        for attrs in (b"", b" from='x@y'", b" xml:lang='fr'", b" from='x@y' xml:lang='fr'"):
            markup = b"<message%b><body/></message>" % attrs
            for lang in (None, "en"):
                stanza = self.read(self.CLIENT_HEADER, markup)
                stamped = stanza.stamped(ROMEO, lang)
                self.assertEqual(stanza.to_bytes(), markup)
                self.assertNotEqual(stanza.element.get("from"), str(ROMEO))
                stanza.stamp(ROMEO, lang)
                self.assertEqual(stanza.to_bytes(), stamped.to_bytes())
                self.assertEqual(stanza.element, stamped.element)
                self.assertEqual(stanza.sender, ROMEO)
                self.assertEqual(read_elsewhere(stanza.to_bytes(), ns.CLIENT), meaning_of_ours(stanza.element))

    def test_a_long_address_is_stamped_like_a_short_one(self) -> None:
        sender = ROMEO.with_resource("o'" * 400)
        stanza = self.read(self.CLIENT_HEADER, b"<message to='a@b'/>").stamped(sender)
        self.assertTrue(stanza.reusable)
        self.assertEqual(read_elsewhere(stanza.to_bytes(), ns.CLIENT), meaning_of_ours(stanza.element))

    def test_whatever_the_end_tag_looks_like_it_ends_the_stanza(self) -> None:
        behind = b"<iq><a/></iq>"
        for markup in (b"<message></message>", b"<message><a/></message\n >", b"<message/>", b"<message>/></message>"):
            parser = StreamParser(AFTER_AUTHENTICATION)
            parser.feed(self.CLIENT_HEADER.encode())
            first, second = parser.feed(markup + behind)
            assert isinstance(first, Stanza) and isinstance(second, Stanza)
            self.assertEqual((first.raw, second.raw), (markup, behind))

    def test_nothing_changed_is_the_same_stanza(self) -> None:
        stanza = self.read(self.CLIENT_HEADER, b"<message to='juliet@example.com'/>")
        self.assertIs(stanza.addressed(JULIET), stanza)
        self.assertIs(stanza.dropping(lambda child: True), stanza)

    def test_a_language_of_its_own_stays(self) -> None:
        """RFC 6120 §12: a server MUST NOT modify or delete 'xml:lang'."""
        for header, markup in ((self.CLIENT_HEADER, b"<message xml:lang='fr'/>"), (self.CLIENT_HEADER, b"<message/>")):
            stanza = self.read(header, markup).stamped(ROMEO, "en")
            self.assertEqual(stanza.element.get("xml:lang"), "fr" if b"fr" in markup else "en")


class Reading(SynchronousTestCase):
    def test_addresses(self) -> None:
        message = Message(Element("message", ns.CLIENT, attrs={"to": str(ROMEO), "from": "a@@b", "id": "7"}))
        self.assertEqual((message.to, message.id, message.type), (ROMEO, "7", "normal"))
        error = self.assertRaises(StanzaError, lambda: message.sender)
        self.assertEqual(error.condition, Condition.JID_MALFORMED)
        self.assertIsNone(message.with_attrs({"to": None}).to)
        self.assertEqual(message.addressed(JULIET).to, JULIET)
        self.assertEqual(message.to, ROMEO)

    def test_an_unknown_type_of_message_is_normal(self) -> None:
        """RFC 6121 §5.2.2."""
        for kind, expected in (("chat", "chat"), ("unknown", "normal"), (None, "normal"), ("error", "error")):
            self.assertEqual(Message(Element("message", ns.CLIENT, attrs={"type": kind})).type, expected)

    def test_a_body(self) -> None:
        message = Message(Element("message", ns.CLIENT, Element("body", "urn:x", text="a")))
        self.assertIsNone(message.body)
        self.assertEqual(message.appending(Element("body", ns.CLIENT, text="b")).body, "b")

    def test_a_priority(self) -> None:
        for text, expected in (("5", 5), (" -128\n", -128), ("127", 127), ("", 0), ("+1", 1)):
            self.assertEqual(presence(None, Element("priority", ns.CLIENT, text=text)).priority, expected)
        self.assertEqual(presence(None).priority, 0)
        for text in ("128", "-129", "high", "1.5", "\u0665", "1 1"):
            wrong = presence(None, Element("priority", ns.CLIENT, text=text))
            self.assertEqual(
                self.assertRaises(StanzaError, lambda p=wrong: p.priority).condition, Condition.BAD_REQUEST
            )


class Making(SynchronousTestCase):
    def test_a_message(self) -> None:
        there, here = JID.parse("b@c"), JID.parse("a@c/r")
        made = message("chat", Element("x", "urn:x"), body="<hi>", to=there, sender=here, id="1")
        self.assertEqual(made.type, "chat")
        self.assertEqual(made.body, "<hi>")
        self.assertEqual((made.sender, made.to, made.id), (here, there, "1"))
        self.assertIsNotNone(made.child("urn:x", "x"))
        self.assertEqual(message(None).to_bytes(), b"<message/>")


class Answers(SynchronousTestCase):
    def test_a_result_goes_back(self) -> None:
        request = iq("get", Element("ping", ns.PING), id="1", to=JULIET, sender=ROMEO)
        result = request.result()
        self.assertEqual(
            (result.type, result.id, result.to, result.sender, result.payload), ("result", "1", ROMEO, JULIET, None)
        )

    def test_an_error_goes_back(self) -> None:
        """RFC 6120 §8.3.1: type, id and the exchanged addresses."""
        message = Message(Element("message", ns.CLIENT, attrs={"to": str(JULIET), "from": str(ROMEO), "id": "1"}))
        bounce = message.bounced(Condition.ITEM_NOT_FOUND, "no such <user>")
        assert bounce is not None
        self.assertEqual((bounce.type, bounce.id, bounce.to, bounce.sender), ("error", "1", ROMEO, JULIET))
        error = bounce.child(ns.CLIENT, "error")
        assert error is not None
        self.assertEqual(error.get("type"), "cancel")
        self.assertIsNotNone(error.child(ns.STANZA_ERROR, "item-not-found"))
        self.assertEqual(error.text_of(ns.STANZA_ERROR, "text"), "no such <user>")

    def test_what_went_to_no_address_comes_back_from_nobody(self) -> None:
        """RFC 6120 §8.3.3.8: 'from' is what was no address, and whoever handles the error need not stumble over it."""
        for kind in (Message, Presence, IQ):
            attrs = {"to": "juliet@", "from": "romeo@example.org/orchard", "id": "1", "type": "get"}
            error = kind(Element(kind.kind, ns.CLIENT, attrs=attrs)).bounced(Condition.JID_MALFORMED)
            assert error is not None
            self.assertEqual(error.element.get("from"), "juliet@")
            for same in (error, error.rendered(), error.appending(Element("a", "b")), error.dropping(lambda _: True)):
                self.assertIsNone(same.sender)
            self.assertIsNone(error.addressed(JID.parse("romeo@example.org")).sender)

    def test_what_must_not_be_answered_is_not(self) -> None:
        """RFC 6120 §8.3.1."""
        self.assertIsNone(iq("result", None, id="1").bounced(Condition.BAD_REQUEST))
        self.assertIsNone(iq("error", None, id="1").bounced(Condition.BAD_REQUEST))
        self.assertIsNone(presence("error").bounced(Condition.BAD_REQUEST))
        self.assertIsInstance(iq("get", None, id="1").bounced(Condition.BAD_REQUEST), IQ)
        self.assertIsInstance(presence("subscribe").bounced(Condition.BAD_REQUEST), Presence)

    def test_an_error_may_have_another_type(self) -> None:
        self.assertEqual(error_element(Condition.CONFLICT, kind=ErrorType.MODIFY).get("type"), "modify")
