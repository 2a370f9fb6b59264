import copy
import pickle
from unicodedata import lookup

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.xmpp import jid as module
from federix.xmpp.jid import JID, InvalidJID, prepare_domain, prepare_local, prepare_resource

# RFC 7622 §3.5, table 1: the address, and its parts in canonical form.
LEGAL = [
    ("juliet@example.com", "juliet", "example.com", ""),
    ("juliet@example.com/foo", "juliet", "example.com", "foo"),
    ("juliet@example.com/foo bar", "juliet", "example.com", "foo bar"),
    ("juliet@example.com/foo@bar", "juliet", "example.com", "foo@bar"),
    ("foo\\20bar@example.com", "foo\\20bar", "example.com", ""),
    ("fussball@example.com", "fussball", "example.com", ""),
    ("fu\u00dfball@example.com", "fu\u00dfball", "example.com", ""),
    ("\u03c0@example.com", "\u03c0", "example.com", ""),
    ("\u03a3@example.com/foo", "\u03c3", "example.com", "foo"),
    ("\u03c3@example.com/foo", "\u03c3", "example.com", "foo"),
    ("\u03c2@example.com/foo", "\u03c2", "example.com", "foo"),
    ("king@example.com/\u265a", "king", "example.com", "\u265a"),
    ("example.com", "", "example.com", ""),
    ("example.com/foobar", "", "example.com", "foobar"),
    ("a.example.com/b@example.net", "", "a.example.com", "b@example.net"),
]
# Table 2: what is no address, and the part that is at fault.
ILLEGAL = [
    ('"juliet"@example.com', "localpart"),
    ("foo bar@example.com", "localpart"),
    ("juliet@example.com/ foo", "resourcepart"),
    ("@example.com/", "localpart"),
    ("henry\u2163@example.com", "localpart"),
    ("\u265a@example.com", "localpart"),
    ("juliet@", "domainpart"),
    ("/foobar", "domainpart"),
]

# Texts that look like addresses: plain ones, and ones made of what is special to one of the rules.
TROUBLE = st.sampled_from(
    (
        *"aZ09-_.@/:[]%&'\"<> \t\n\0\x7f",
        *"\u03a3\u00df\u0130\u1e9e\u017f\u2163\u2126\u212b\u0f73\U0001d6ba",  # mapped, folded, decomposed
        *"\u3002\uff0e\uff0f\uff20\uff21",  # of another width
        *"\u00ad\u200c\u200d\u0345\u0301\u00b7\u30fb\u0375\u05f3\u094d",  # ignored, combining, bound to a context
        *"\u05d0\u0628\u0661\u06f1\u202e",  # from right to left
        *"\u00a0\u3000\u2028\uffff\U0010ffff",
        *("\ud800", "\udfff", "xn--", "--", "\uff76\uff9e", "\u1100\u1161", "\U0001f469\u200d\U0001f680", "\U0001faff"),
    )
)
HOSTILE = st.lists(TROUBLE | st.characters() | st.characters(categories=["Cs"]), max_size=20).map("".join)
SHAPED = st.builds("{}@{}/{}".format, HOSTILE, HOSTILE | st.just("example.org"), HOSTILE)
A_LABELS = st.text(max_size=6).map(lambda text: f"xn--{text.encode('punycode').decode()}")
ANYTHING = st.text() | HOSTILE | SHAPED | HOSTILE.map("xn--{}".format) | A_LABELS


class TheTables(SynchronousTestCase):
    def test_what_the_rfc_calls_legal_is_accepted(self) -> None:
        for text, local, domain, resource in LEGAL:
            address = JID.parse(text)
            self.assertEqual((address.local, address.domain, address.resource), (local, domain, resource), text)

    def test_what_the_rfc_calls_illegal_is_refused_for_the_right_part(self) -> None:
        for text, part in ILLEGAL:
            with self.assertRaises(InvalidJID, msg=text) as caught:
                JID.parse(text)
            self.assertTrue(str(caught.exception).startswith(part), f"{text}: {caught.exception}")

    def test_capital_sigma_never_becomes_a_final_sigma(self) -> None:
        self.assertEqual(JID.parse("\u0391\u03a3@example.com"), JID.parse("\u03b1\u03c3@example.com"))
        self.assertNotEqual(JID.parse("\u03b1\u03c3@example.com"), JID.parse("\u03b1\u03c2@example.com"))


class Splitting(SynchronousTestCase):
    def test_the_first_slash_then_the_first_at_sign_divide_an_address(self) -> None:
        address = JID.parse("room@chat.example/user@host/1")
        self.assertEqual((address.local, address.domain, address.resource), ("room", "chat.example", "user@host/1"))

    def test_a_second_at_sign_before_the_slash_is_refused(self) -> None:
        self.assertRaises(InvalidJID, JID.parse, "a@b@example.com")

    def test_an_empty_part_is_refused(self) -> None:
        for text in ("", "/", "@", "@example.com", "a@/b", "example.com/", "a@example.com/"):
            self.assertRaises(InvalidJID, JID.parse, text)


class Localparts(SynchronousTestCase):
    def test_case_and_width_are_mapped(self) -> None:
        self.assertEqual(prepare_local("J\u00dcliet"), "j\u00fcliet")
        self.assertEqual(prepare_local("\uff2a\uff35\uff2c"), "jul")

    def test_the_eight_excluded_characters_are_refused(self) -> None:
        for character in "\"&'/:<>@":
            self.assertRaises(InvalidJID, prepare_local, f"a{character}b")
            self.assertRaises(InvalidJID, prepare_local, f"\u00fc{character}b")

    def test_an_excluded_character_is_refused_in_its_full_width_too(self) -> None:
        for name in ("QUOTATION MARK", "AMPERSAND", "APOSTROPHE", "SOLIDUS", "COLON", "COMMERCIAL AT"):
            self.assertRaises(InvalidJID, prepare_local, "a" + lookup(f"FULLWIDTH {name}"))

    def test_all_other_visible_ascii_is_accepted(self) -> None:
        allowed = [chr(code) for code in range(0x21, 0x7F) if chr(code) not in "\"&'/:<>@"]
        for character in allowed:
            self.assertEqual(prepare_local(character), character.lower())
            self.assertEqual(prepare_local("\u00fc" + character), "\u00fc" + character.lower())

    def test_what_stringprep_would_map_is_refused(self) -> None:
        for text in ("\u017foft", "\u2163", "\u2173"):
            self.assertRaises(InvalidJID, prepare_local, text)

    def test_mixed_directions_are_refused(self) -> None:
        with self.assertRaisesRegex(InvalidJID, "Bidi"):
            prepare_local("\u05d0a")
        self.assertEqual(prepare_local("\u05d0\u05d1"), "\u05d0\u05d1")


class Resourceparts(SynchronousTestCase):
    def test_case_is_kept_and_spaces_inside_are_allowed(self) -> None:
        self.assertEqual(prepare_resource("My Phone "), "My Phone ")

    def test_foreign_spaces_become_spaces(self) -> None:
        self.assertEqual(prepare_resource("a\u3000b\u00a0c"), "a b c")
        self.assertRaises(InvalidJID, prepare_resource, "\u3000a")

    def test_emoji_of_any_age_are_accepted(self) -> None:
        """U+1FAE8 is of Unicode 15, which Python 3.11 does not know; U+1FAFF is not taken yet."""
        for text in ("\U0001fae8", "e\u0301\U0001faff\U0001f600\u3000\U0001f000\u0301"):
            expected = text.replace("e\u0301", "\u00e9").replace("\u3000", " ")
            self.assertEqual(prepare_resource(text), expected)
        self.assertRaises(InvalidJID, prepare_resource, "\U0001f600\0")
        self.assertRaises(InvalidJID, prepare_resource, "\U0001fae8" * 256)

    def test_control_characters_are_refused(self) -> None:
        for character in "\0\t\n\r\x1b\x7f\u0085\u2028":
            self.assertRaises(InvalidJID, prepare_resource, f"a{character}")

    def test_the_composed_form_is_the_canonical_one(self) -> None:
        self.assertEqual(prepare_resource("e\u0301"), "\u00e9")


class Domainparts(SynchronousTestCase):
    def test_one_final_dot_is_stripped(self) -> None:
        self.assertEqual(prepare_domain("Example.COM."), "example.com")
        self.assertEqual(prepare_domain("b\u00fccher.example\u3002"), "b\u00fccher.example")
        for text in (".", "example.com..", ".example.com", "a..b"):
            self.assertRaises(InvalidJID, prepare_domain, text)

    def test_a_labels_become_u_labels(self) -> None:
        self.assertEqual(prepare_domain("XN--Bcher-KVA.example"), "b\u00fccher.example")
        self.assertEqual(JID.parse("a@xn--bcher-kva.example/b"), JID.parse("a@B\u00dcCHER.example/b"))

    def test_a_label_that_only_looks_like_an_a_label_is_refused(self) -> None:
        for text in ("xn--a.example", "xn--.example", "xn---bbk.example", "xn--99999999", "xn--zca-"):
            self.assertRaises(InvalidJID, prepare_domain, text)

    def test_sharp_s_is_itself_and_not_two_letters(self) -> None:
        self.assertEqual(prepare_domain("fu\u00dfball.example"), "fu\u00dfball.example")

    def test_ip_addresses_are_domains(self) -> None:
        self.assertEqual(JID.parse("a@192.0.2.1/b").domain, "192.0.2.1")
        self.assertEqual(JID.parse("a@[2001:DB8:0:0::1]/b").domain, "[2001:db8::1]")
        for text in ("[", "[]", "[1]", "[::1", "::1", "[::1]x", "[fe80::1%eth0]", "[::ffff:1.2.3.400]"):
            self.assertRaises(InvalidJID, prepare_domain, text)

    def test_underscores_are_tolerated_in_ascii_labels_only(self) -> None:
        self.assertEqual(JID.parse("a@my_host.example").domain, "my_host.example")
        self.assertEqual(prepare_domain("_a-_.b\u00fccher"), "_a-_.b\u00fccher")
        self.assertRaises(InvalidJID, prepare_domain, "b\u00fccher_1.example")

    def test_hyphens_at_the_ends_or_in_the_reserved_places_are_refused(self) -> None:
        for text in ("-a.example", "a-.example", "ab--c.example", "-"):
            self.assertRaises(InvalidJID, prepare_domain, text)
        self.assertEqual(prepare_domain("a--b.c-d--e"), "a--b.c-d--e")

    def test_symbols_are_refused(self) -> None:
        for text in ("\u265a.example", "a b.example", "a!b", "a:5222", "a@b", "a/b", "\0", "\uff0f", "a\u202eb"):
            self.assertRaises(InvalidJID, prepare_domain, text)


class Lengths(SynchronousTestCase):
    def test_a_part_holds_1023_octets_and_no_more(self) -> None:
        for prepare in (prepare_local, prepare_resource):
            self.assertEqual(len(prepare("a" * 1023)), 1023)
            self.assertRaises(InvalidJID, prepare, "a" * 1024)
            self.assertEqual(len(prepare("\u00e9" * 511)), 511)
            self.assertRaises(InvalidJID, prepare, "\u00e9" * 512)

    def test_the_limit_counts_what_is_left_after_mapping(self) -> None:
        self.assertEqual(prepare_resource("e\u0301" * 511), "\u00e9" * 511)
        self.assertEqual(prepare_local("\uff41" * 1023), "a" * 1023)

    def test_a_domain_holds_what_the_dns_can(self) -> None:
        name = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
        self.assertEqual(JID.parse(f"x@{name}").domain, name)
        self.assertEqual(prepare_domain(name + "."), name)
        for text in (name + "d", "a" * 64, "a." * 127 + "a"):
            self.assertRaises(InvalidJID, prepare_domain, text)

    def test_the_length_of_an_international_domain_is_that_of_its_a_labels(self) -> None:
        label = "\u4e00" * 57  # its A-label has just 63 octets
        self.assertEqual(prepare_domain(label), label)
        self.assertRaises(InvalidJID, prepare_domain, label + "\u4e00")
        # 253 octets in the DNS, then 254
        self.assertEqual(len(prepare_domain(f"{label}.{label}.{label}." + "a" * 61)), 58 * 3 + 61)
        self.assertRaises(InvalidJID, prepare_domain, f"{label}.{label}.{label}." + "a" * 62)

    def test_huge_texts_are_refused_at_once(self) -> None:
        for text in ("a" * 1_000_000, "\u00e9" * 1_000_000, "e\u0301" * 1_000_000, "." * 1_000_000, "@" * 1_000_000):
            self.assertRaises(InvalidJID, JID.parse, text)
            self.assertRaises(InvalidJID, JID.parse, f"a@b/{text}\n")


class Values(SynchronousTestCase):
    def test_equal_addresses_are_one_key(self) -> None:
        address = JID.parse("Juliet@Example.com/balcony")
        self.assertEqual(address, JID("juliet", "example.com", "balcony"))
        self.assertEqual({address: 1}[JID("juliet", "example.com", "balcony")], 1)
        self.assertNotEqual(address, JID.parse("juliet@example.com/Balcony"))
        self.assertNotEqual(address, str(address))

    def test_its_parts_cannot_be_changed(self) -> None:
        address = JID.parse("juliet@example.com")
        for name in ("local", "domain", "resource", "other"):
            self.assertRaises(AttributeError, setattr, address, name, "x")
        self.assertRaises(AttributeError, delattr, address, "local")
        self.assertEqual(str(address), "juliet@example.com")

    def test_the_bare_address_and_the_host(self) -> None:
        address = JID.parse("juliet@example.com/balcony")
        self.assertEqual(str(address.bare), "juliet@example.com")
        self.assertEqual(str(address.host), "example.com")
        self.assertEqual((address.is_bare, address.bare.is_bare, address.host.is_bare), (False, True, True))
        self.assertIs(address.bare.bare, address.bare)
        self.assertEqual(address.host.host, address.host)
        self.assertEqual(str(JID.parse("example.com/a").bare), "example.com")

    def test_another_resource(self) -> None:
        address = JID.parse("juliet@example.com/balcony")
        self.assertEqual(str(address.with_resource("orchard")), "juliet@example.com/orchard")
        self.assertEqual(address.with_resource(""), address.bare)

    def test_build_prepares_each_part(self) -> None:
        self.assertEqual(JID.build("Juliet", "EXAMPLE.com", "e\u0301"), JID("juliet", "example.com", "\u00e9"))
        self.assertEqual(JID.build("", "example.com"), JID.parse("example.com"))
        for parts in (("a@b", "c", ""), ("a/b", "c", ""), ("a", "", ""), ("a", "b/c", ""), ("a", "b", "\0")):
            self.assertRaises(InvalidJID, JID.build, *parts)

    def test_it_can_be_copied_and_pickled(self) -> None:
        address = JID.parse("juliet@example.com/balcony")
        self.assertEqual(copy.deepcopy(address), address)
        self.assertEqual(pickle.loads(pickle.dumps(address)), address)

    def test_it_shows_itself(self) -> None:
        self.assertEqual(repr(JID.parse("a@b/c")), "JID('a@b/c')")


class Memory(SynchronousTestCase):
    def test_the_same_text_gives_the_same_object(self) -> None:
        self.assertIs(JID.parse("juliet@example.com/again"), JID.parse("juliet@example.com/again"))

    def test_only_so_many_addresses_are_remembered(self) -> None:
        for number in range(module.CACHED + 10):
            JID.parse(f"{number}@flood.example")
        self.assertEqual(module._remembered.cache_info().currsize, module.CACHED)

    def test_long_addresses_are_not_remembered(self) -> None:
        text = "a@b/".ljust(module.MAX_CACHED_LENGTH, "c")
        self.assertIs(JID.parse(text), JID.parse(text))
        self.assertIsNot(JID.parse(text + "c"), JID.parse(text + "c"))

    def test_what_is_refused_is_not_remembered(self) -> None:
        before = module._remembered.cache_info().currsize
        self.assertRaises(InvalidJID, JID.parse, "no one@example.com")
        self.assertEqual(module._remembered.cache_info().currsize, before)


class Properties(SynchronousTestCase):
    @given(ANYTHING)
    def test_any_text_is_an_address_that_stays_itself_or_is_refused(self, text: str) -> None:
        try:
            address = JID.parse(text)
        except InvalidJID as error:
            self.assertTrue(str(error))
            return
        again = JID.parse(str(address))
        self.assertEqual((again.local, again.domain, again.resource), (address.local, address.domain, address.resource))
        self.assertEqual(JID.build(address.local, address.domain, address.resource), address)
        for part in (address.local, address.domain, address.resource):
            self.assertLessEqual(len(part.encode()), module.MAX_PART)

    @given(ANYTHING)
    def test_preparing_twice_changes_nothing(self, text: str) -> None:
        for prepare in (prepare_local, prepare_domain, prepare_resource):
            try:
                prepared = prepare(text)
            except InvalidJID:
                continue
            self.assertEqual(prepare(prepared), prepared)

    @given(st.text(alphabet=st.characters(max_codepoint=127), max_size=30))
    def test_the_fast_way_agrees_with_the_long_way(self, text: str) -> None:
        """Any ASCII text, parsed, is what its parts are when prepared one by one."""
        rest, slash, resource = text.partition("/")
        local, at, domain = rest.rpartition("@") if rest.count("@") == 1 else ("", "", rest)
        try:
            expected: JID | None = JID(
                prepare_local(local) if at else "",
                prepare_domain(domain),
                prepare_resource(resource) if slash else "",
            )
        except InvalidJID:
            expected = None
        try:
            self.assertEqual(JID.parse(text), expected)
        except InvalidJID:
            self.assertIsNone(expected)

    @given(st.text(alphabet="aA1-_.", min_size=1, max_size=70))
    def test_the_fast_way_accepts_no_domain_that_the_long_way_refuses(self, text: str) -> None:
        try:
            expected = prepare_domain(text)
        except InvalidJID:
            self.assertRaises(InvalidJID, JID.parse, f"a@{text}/b")
        else:
            self.assertEqual(JID.parse(f"a@{text}/b").domain, expected)
