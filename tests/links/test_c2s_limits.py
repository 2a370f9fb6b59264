"""What a client may send, exactly; what hostile ones get, and how little they cost (RFC 6120 §13.12, XEP-0478)."""

from __future__ import annotations

from typing import Any

from federix.core.listener_options import C2SOptions
from federix.streams.stream import CLOSE_TIMEOUT
from federix.testing import Client, World
from federix.xmpp import ns
from tests.links.support import MOST, WorldTestCase, held, names

BEFORE = {
    "pre_auth_max_stanza_size": 2000,
    "pre_auth_max_stanza_elements": 6,
    "pre_auth_max_stanza_depth": 5,
    "pre_auth_max_stanza_attributes": 7,
}
AFTER = {
    "max_stanza_size": 12_000,
    "max_stanza_elements": 12,
    "max_stanza_depth": 9,
    "max_stanza_attributes": 11,
}


def sized(size: int, name: str = "message") -> str:
    """A stanza of *size* bytes."""
    empty = f"<{name} to='example.org'></{name}>"
    return empty.replace("></", f">{'x' * (size - len(empty))}</")


def with_elements(count: int, name: str = "message") -> str:
    return f"<{name}>{'<x/>' * (count - 1)}</{name}>"


def nested(depth: int, name: str = "message") -> str:
    return f"<{name}>{'<x>' * (depth - 1)}{'</x>' * (depth - 1)}</{name}>"


def with_attributes(count: int, name: str = "message") -> str:
    attributes = " ".join(f"a{n}=''" for n in range(count))
    return f"<{name} {attributes}/>"


class ExactLimitTests(WorldTestCase):
    """Each limit is met to the last byte, element, level and attribute."""

    CASES = (
        (sized, "size"),
        (with_elements, "elements"),
        (nested, "depth"),
        (with_attributes, "attributes"),
    )

    def test_before_the_login(self) -> None:
        world = self.make(listener={**BEFORE, **AFTER})
        for build, name in self.CASES:
            limit = BEFORE[f"pre_auth_max_stanza_{name}"]
            for most, condition in ((limit, "unsupported-stanza-type"), (limit + 1, "policy-violation")):
                client = world.connect()
                client.open("example.org")
                client.send(build(most, "a"))
                self.assert_stream_error(client, condition)

    def test_after_the_login(self) -> None:
        world = self.make(listener={**BEFORE, **AFTER})
        for build, name in self.CASES:
            limit = AFTER[f"max_stanza_{name}"]
            client = world.client("romeo@example.org/orchard")
            client.send(build(limit))
            client.drain()
            self.assertFalse(client.ended, name)
            client.send(build(limit + 1))
            self.assert_stream_error(client, "policy-violation")

    def test_they_are_announced(self) -> None:
        """XEP-0478 §3."""
        world = self.make(listener={**BEFORE, **AFTER})
        client = world.connect()
        for limits, features in (
            (BEFORE["pre_auth_max_stanza_size"], client.open("example.org")),
            (AFTER["max_stanza_size"], world.client("romeo@example.org/orchard").features),
        ):
            assert features is not None
            announced = features.child(ns.LIMITS, "limits")
            assert announced is not None
            self.assertEqual(announced.text_of(ns.LIMITS, "max-bytes"), str(limits))

    def test_no_limit_is_not_announced(self) -> None:
        client = self.make(listener={"max_stanza_size": "infinity"}).client("romeo@example.org/orchard")
        self.assertNotIn("limits", names(client.features))
        client.send(f"<message to='romeo@example.org/orchard'><body>{'x' * 1_000_000}</body></message>")
        self.assertEqual(len(client.receive().text_of(ns.CLIENT, "body") or ""), 1_000_000)

    def test_the_header_has_the_limits_of_before_the_login(self) -> None:
        world = self.make(listener={**BEFORE, **AFTER})
        client = world.connect()
        client.send(f"<stream:stream xmlns:stream='{ns.STREAMS}' from='{'x' * 2000}'>")
        self.assert_stream_error(client, "policy-violation")

    def test_new_limits_hold_for_those_who_connect_from_then_on(self) -> None:
        world = self.make()
        listen: list[dict[str, Any]] = world.settings["listen"]
        settings = {**world.settings, "listen": [{**listen[0], **BEFORE}, listen[1]]}
        world.run(world.server.reload(world.configure(settings)))
        client = world.connect()
        client.open("example.org")
        client.send(sized(2001, "a"))
        self.assert_stream_error(client, "policy-violation")


class HostileTests(WorldTestCase):
    """Each gets the right error, leaves no traceback, costs little, and disturbs nobody."""

    def setUp(self) -> None:
        self.world = self.make(
            listener={"max_connections_per_address": "infinity", "max_connections_per_second": "infinity"}
        )
        self.juliet = self.world.client("juliet@example.org/balcony")
        self.most = 0

    def tearDown(self) -> None:
        self.assert_no_traceback()

    def send(self, client: Client, data: bytes) -> None:
        """Send it piece by piece, and look after each what the server keeps."""
        for at in range(0, len(data), 65536):
            if client.lost is not None:
                break
            client.send(data[at : at + 65536])
            self.most = max(self.most, held(client))

    def connections(self) -> list[Client]:
        """One before, and one after the login."""
        stranger = self.world.connect()
        stranger.open("example.org")
        return [stranger, self.world.client("romeo@example.org/orchard")]

    def assert_refused(self, said: str | bytes, *conditions: str) -> None:
        data = said.encode() if isinstance(said, str) else said
        for client, condition in zip(self.connections(), [*conditions, *conditions], strict=False):
            self.send(client, data)
            self.assert_stream_error(client, condition)
            self.assertLessEqual(self.most, MOST)
            self.world.advance(3)
            self.assertIsNotNone(client.lost)
            self.juliet.send("<message to='juliet@example.org/balcony' type='chat'><body>hello</body></message>")
            self.juliet.expect("<message><body>hello</body></message>")

    def test_a_stanza_of_a_hundred_megabytes(self) -> None:
        self.assert_refused(b"<message><body>" + b"x" * 100_000_000, "policy-violation")

    def test_a_hundred_megabytes_of_elements(self) -> None:
        self.assert_refused(b"<message>" + b"<x/>" * 25_000_000, "policy-violation")

    def test_a_tag_that_never_ends(self) -> None:
        self.assert_refused(b"<message " + b"a" * 1_000_000, "policy-violation")

    def test_an_attribute_that_never_ends(self) -> None:
        self.assert_refused(b"<message to='" + b"a" * 1_000_000, "policy-violation")

    def test_a_header_that_never_ends(self) -> None:
        client = self.world.connect()
        self.send(client, b"<stream:stream " + b" " * 1_000_000)
        self.assert_stream_error(client, "policy-violation")
        self.assertLessEqual(self.most, MOST)

    def test_whitespace_before_the_header_is_not_kept(self) -> None:
        client = self.world.connect()
        self.send(client, b" " * 1_000_000)
        self.assertLessEqual(held(client), 65536)
        self.assertIn("mechanisms", names(client.open("example.org")))

    def test_ten_thousand_attributes(self) -> None:
        self.assert_refused(with_attributes(10_000), "policy-violation")

    def test_ten_thousand_levels(self) -> None:
        self.assert_refused(nested(10_000), "policy-violation")

    def test_ten_thousand_namespaces(self) -> None:
        declared = " ".join(f"xmlns:n{n}='urn:{n}'" for n in range(10_000))
        self.assert_refused(f"<message {declared}/>", "policy-violation")

    def test_a_name_of_many_bytes(self) -> None:
        self.assert_refused(f"<{'x' * 60_000}/>", "policy-violation")

    def test_a_document_type(self) -> None:
        self.assert_refused("<!DOCTYPE x [<!ENTITY a 'b'>]><message/>", "restricted-xml")

    def test_a_billion_laughs(self) -> None:
        entities = "".join(f"<!ENTITY l{n} '{f'&l{n - 1};' * 10}'>" for n in range(1, 10))
        self.assert_refused(f"<!DOCTYPE x [<!ENTITY l0 'lol'>{entities}]><message>&l9;</message>", "restricted-xml")

    def test_an_entity_nobody_declared(self) -> None:
        self.assert_refused("<message><body>&nbsp;</body></message>", "restricted-xml")

    def test_a_comment(self) -> None:
        self.assert_refused("<message><!-- x --></message>", "restricted-xml")

    def test_a_comment_that_never_ends(self) -> None:
        self.assert_refused(b"<message><!--" + b"x" * 1_000_000, "restricted-xml")

    def test_an_instruction(self) -> None:
        self.assert_refused("<message><?php x ?></message>", "restricted-xml")

    def test_bytes_that_are_no_utf_8(self) -> None:
        for data in (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80"):
            self.assert_refused(b"<message><body>" + data + b"</body></message>", "unsupported-encoding")

    def test_characters_that_xml_does_not_allow(self) -> None:
        for text in ("\0", "\x0b", "&#0;", "&#x1F;", "\ufffe", "&#xD800;"):
            self.assert_refused(f"<message><body>{text}</body></message>", "not-well-formed")

    def test_prefixes_that_mean_nothing(self) -> None:
        for said in ("<x:message/>", "<message x:a=''/>", "<message xmlns:x=''/>", "<message><xml:x/></x></message>"):
            self.assert_refused(said, "not-well-formed")

    def test_prefixes_that_may_not_be_bound(self) -> None:
        for said in (
            "<message xmlns:xml='urn:x'/>",
            "<message xmlns:xmlns='urn:x'/>",
            f"<message xmlns='{ns.XML}'/>",
            f"<message xmlns:x='{ns.XMLNS}'/>",
        ):
            self.assert_refused(said, "not-well-formed")

    def test_an_attribute_twice(self) -> None:
        for said in ("<message a='1' a='2'/>", "<message xmlns:x='u' xmlns:y='u' x:a='' y:a=''/>"):
            self.assert_refused(said, "not-well-formed")

    def test_text_between_stanzas(self) -> None:
        self.assert_refused("<![CDATA[x]]>", "bad-format")
        self.assert_refused("]]>", "not-well-formed")

    def test_cdata_is_text(self) -> None:
        romeo = self.connections()[1]
        romeo.send("<message to='juliet@example.org/balcony'><body><![CDATA[<b>&amp;</b>]]></body></message>")
        self.juliet.expect("<message><body>&lt;b>&amp;amp;&lt;/b></body></message>")

    def test_a_stanza_in_another_servers_namespace_is_none(self) -> None:
        romeo = self.connections()[1]
        romeo.send("<message xmlns='jabber:server' to='juliet@example.org/balcony'><body>x</body></message>")
        self.assert_stream_error(romeo, "unsupported-stanza-type")
        self.juliet.nothing()

    def test_prefixed_stanzas_are_understood(self) -> None:
        romeo = self.connections()[1]
        romeo.send(
            "<c:message xmlns:c='jabber:client' to='juliet@example.org/balcony'>"
            "<c:body>x</c:body><stream:error/></c:message>"
        )
        self.juliet.expect("<message from='romeo@example.org/orchard'><body>x</body></message>")

    def test_a_flood_of_tiny_stanzas(self) -> None:
        romeo = self.connections()[1]
        self.send(romeo, b"<iq/>" * 20_000)
        self.assertLessEqual(self.most, MOST)
        self.assertEqual(len(romeo.drain()), 20_000)
        self.assertFalse(romeo.ended)


class AddressTests(WorldTestCase):
    """RFC 7622: whoever sends to what is no address hears of it, and nobody else does."""

    INVALID = (
        "@example.org",
        "@",
        "/",
        "",
        "example.org/",
        "a@b@example.org",
        "a b@example.org",
        "a@",
        "a@/b",
        "a@exa mple.org",
        "a@..",
        "a@.",
        "a@example..org",
        "a&quot;b@example.org",
        "a&amp;b@example.org",
        "a&apos;b@example.org",
        "a:b@example.org",
        "a&lt;b@example.org",
        "a&gt;b@example.org",
        "a@[::1",
        "a@-",
        "\u00ad@example.org",
        "a\u200b@example.org",
        "\U0001f600\ufdd0@example.org",
        "a@example.org/\u0085",
        "a@example.org/\ufdd0",
        "x" * 1024 + "@example.org",
        "\u00e4" * 512 + "@example.org",
        "a@" + "x" * 1024,
        "a@example.org/" + "x" * 1024,
        "a@example.org/" + "\u00e4" * 512,
    )

    def test_what_is_no_address(self) -> None:
        world = self.make()
        romeo, juliet = world.client("romeo@example.org/orchard"), world.client("juliet@example.org/balcony")
        for kind, attributes, content in (
            ("message", "", "<body>x</body>"),
            ("presence", "", ""),
            ("iq", "type='get'", "<ping xmlns='urn:xmpp:ping'/>"),
        ):
            for to in self.INVALID:
                romeo.send(f"<{kind} id='1' {attributes} to='{to}'>{content}</{kind}>")
                romeo.expect(
                    f"<{kind} id='1' type='error'><error type='modify'>"
                    f"<jid-malformed xmlns='{ns.STANZA_ERROR}'/></error></{kind}>"
                )
                romeo.nothing()
        juliet.nothing()
        self.assertFalse(romeo.ended)
        self.assert_no_traceback()

    def test_what_must_not_be_answered_is_not(self) -> None:
        """RFC 6120 §8.3.1: no error for an error."""
        romeo = self.make().client("romeo@example.org/orchard")
        romeo.send("<message type='error' to='@'/><iq type='result' id='1' to='@'/><iq type='error' id='1' to='@'/>")
        romeo.nothing()
        self.assertFalse(romeo.ended)


class DefaultsTests(WorldTestCase):
    def test_the_limits_before_the_login_are_small(self) -> None:
        options = C2SOptions()
        self.assertLessEqual(options.pre_auth_max_stanza_size, 16_384)
        self.assertLessEqual(options.pre_auth_max_stanza_elements, 64)
        # RFC 6120 §13.12: "MUST NOT be smaller than 10000 bytes"
        self.assertGreaterEqual(options.max_stanza_size or 0, 10_000)

    def test_a_login_fits_into_them(self) -> None:
        world = World(listener=BEFORE)
        self.addCleanup(world.stop)
        world.client("romeo@example.org/orchard", tls=True)


class HearingOutTests(WorldTestCase):
    """Who goes on sending after his stream has ended is not read for long."""

    def test_a_flood_behind_a_stream_error_ends_the_connection_at_once(self) -> None:
        world = self.make()
        client = world.connect()
        client.open("example.org")
        client.send("<nonsense/>")
        self.assertIsNone(client.lost)  # the client has two seconds to close its side
        for _ in range(5):
            client.send(b" " * 64 * 1024)
        self.assertIsNotNone(client.lost)

    def test_who_says_a_little_more_may_still_close(self) -> None:
        world = self.make()
        client = world.connect()
        client.open("example.org")
        client.send("<nonsense/>")
        client.send("<presence/>" * 100)
        self.assertIsNone(client.lost)
        world.advance(CLOSE_TIMEOUT + 1)
        self.assertIsNotNone(client.lost)
