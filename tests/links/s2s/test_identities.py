"""Domains in certificates: which names count, in which spelling, and what a wildcard stands for."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.links.s2s.identities import (
    MAX_INTERNATIONAL,
    MAX_NAMES,
    SRV_NAME,
    UNREADABLE,
    XMPP_ADDR,
    Identities,
    TooManyNames,
    identities,
)
from federix.testing.authority import Authority, der
from federix.xmpp.jid import InvalidJID, prepare_domain

AUTHORITY = Authority()
KEY = ec.generate_private_key(ec.SECP256R1())

labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,5}[a-z0-9])?", fullmatch=True).filter(
    lambda label: not label.isdigit() and label[2:4] != "--"
)
domains = st.lists(labels, min_size=1, max_size=4).map(".".join)


def read(
    *names: str, srv: tuple[str, ...] = (), xmpp: tuple[str, ...] = (), others: tuple[x509.GeneralName, ...] = ()
) -> Identities:
    """What is read from a certificate with these names."""
    general = [x509.DNSName(name) for name in names]
    return identities(AUTHORITY.issue(srv=srv, xmpp=xmpp, names=[*general, *others], key=KEY).certificate)


BROKEN = (
    b"",
    b"\x0c",
    b"\x0c\x09b.exampl",  # shorter than it says
    b"\x0c\x01b.example",  # longer than it says
    b"\x0c\x81\x09b.example",  # a length that could have been spelt shorter
    b"\x0c\x82\x00\x09b.example",
    b"\x0c\x80b.example\0\0",  # BER's endless kind
    b"\x0c\x84\xff\xff\xff\xffb.example",
)


def raw_names(content: bytes) -> tuple[str, ...]:
    """The names read from a certificate whose subjectAltName is *content*; none where it cannot be read."""
    extension = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, content)
    issued = AUTHORITY.issue(key=KEY, change=lambda builder: builder.add_extension(extension, critical=False))
    try:
        return identities(issued.certificate).names
    except UNREADABLE:
        return ()


class NameTests(SynchronousTestCase):
    def test_a_dns_name_proves_its_domain_whatever_its_case(self) -> None:
        found = read("Chat.Example.ORG")
        self.assertEqual(found.names, ("chat.example.org",))
        self.assertTrue(found.prove("chat.example.org"))
        for other in ("example.org", "a.chat.example.org", "xchat.example.org", "chat.example.or", "org"):
            self.assertFalse(found.prove(other), other)

    def test_the_common_name_counts_for_nothing(self) -> None:
        issued = AUTHORITY.issue(common_name="a.example", key=KEY)
        self.assertEqual(identities(issued.certificate), Identities())

    def test_a_service_name_counts_if_it_is_that_of_servers(self) -> None:
        found = read(srv=("_XMPP-Server.a.example", "_xmpp-client.b.example", "_imaps.c.example", "d.example"))
        self.assertEqual(found.names, ("a.example",))
        self.assertTrue(found.prove("a.example"))
        self.assertFalse(found.prove("b.example") or found.prove("_xmpp-server.a.example"))

    def test_an_xmpp_address_counts_if_it_is_a_domain(self) -> None:
        found = read(xmpp=("a.example", "juliet@b.example", "c.example/here", "*.d.example", "", "bücher.example"))
        self.assertEqual(found.names, ("a.example", "xn--bcher-kva.example"))
        self.assertTrue(found.prove("a.example") and found.prove("bücher.example"))
        self.assertFalse(found.prove("b.example") or found.prove("c.example") or found.prove("x.d.example"))

    def test_an_international_domain_is_compared_in_ascii(self) -> None:
        self.assertTrue(read("xn--bcher-kva.example").prove("bücher.example"))
        self.assertTrue(read("XN--BCHER-KVA.example").prove("bücher.example"))
        self.assertTrue(read("*.example.org").prove("bücher.example.org"))
        self.assertFalse(read("bucher.example").prove("bücher.example"))

    def test_an_address_is_proven_by_an_address_alone(self) -> None:
        authority = AUTHORITY.issue("192.0.2.1", "2001:db8::1", key=KEY)
        found = identities(authority.certificate)
        self.assertEqual(found.names, ("192.0.2.1", "[2001:db8::1]"))
        self.assertTrue(found.prove("192.0.2.1") and found.prove("[2001:db8::1]"))
        self.assertFalse(found.prove("192.0.2.2"))
        self.assertEqual(read("192.0.2.1").names, ())
        self.assertFalse(Identities(("*.0.2.1",)).prove("192.0.2.1"))

    def test_names_that_are_no_domains_are_passed_over(self) -> None:
        junk = ("a.example\0.evil.example", "a b.example", "-a.example", "a..example", ".example", "a.example.")
        stars = ("*", "*.", "*.org", "*.*.example.org", "w*.example.org", "a.*.example")
        found = read(*junk, *stars, "x" * 64 + ".example", ".".join(["x" * 60] * 5), "b.example")
        self.assertEqual(found.names, ("b.example",))
        self.assertFalse(found.prove("a.example"))

    def test_other_names_of_the_wrong_kind_are_passed_over(self) -> None:
        wrong = (
            b"\x0c\x09\xff\xfe\xfdxample",  # not UTF-8
            b"\x13\x09a.example",  # a PrintableString
            b"\x30\x0b\x0c\x09a.example",  # something around it
            b"\x05\x00",
        )
        others = [x509.OtherName(kind, value) for kind in (XMPP_ADDR, SRV_NAME) for value in wrong]
        others.append(x509.OtherName(SRV_NAME, der(0x0C, b"_xmpp-server.a.example")))
        others.append(x509.OtherName(SRV_NAME, der(0x16, "_xmpp-server.ä.example".encode())))
        others.append(x509.OtherName(XMPP_ADDR, der(0x16, b"a.example")))
        others.append(x509.OtherName(XMPP_ADDR, der(0x0C, b"a.example\0")))
        others.append(x509.OtherName(XMPP_ADDR, der(0x0C, "xn--\u202e\ud7ff.example".encode())))
        self.assertEqual(read(others=tuple(others)).names, ())

    def test_names_that_are_no_der_prove_nothing(self) -> None:
        for wrong in BROKEN:
            for kind in (b"\x05", b"\x07"):
                for around in (b"", b"\x82\x09a.example"):
                    name = der(0xA0, der(0x06, b"\x2b\x06\x01\x05\x05\x07\x08" + kind) + der(0xA0, wrong))
                    self.assertNotIn("b.example", raw_names(der(0x30, around + name)), wrong)
        for wrong in (b"", b"\x30", b"\x30\x81", b"\x30\x00", b"\x04\x00", b"\xff" * 100, der(0x30, b"\x82\xff")):
            self.assertEqual(raw_names(wrong), (), wrong)
        # To show that the scaffold does prove what is well made.
        good = der(0xA0, der(0x06, b"\x2b\x06\x01\x05\x05\x07\x08\x05") + der(0xA0, der(0x0C, b"b.example")))
        self.assertEqual(raw_names(der(0x30, good)), ("b.example",))

    @settings(max_examples=150, deadline=None)
    @given(content=st.binary(max_size=60))
    def test_any_bytes_for_names_are_read_or_refused(self, content: bytes) -> None:
        self.assertNotIn("b.example", raw_names(content) + raw_names(der(0x30, content)))

    def test_long_names_in_utf8_are_read(self) -> None:
        long = ".".join(["ü" * 50] * 3)
        self.assertTrue(read(xmpp=(long,)).prove(prepare_domain(long)))
        self.assertGreater(len(long.encode()), 0xFF)
        middle = ".".join(["a" * 50] * 3)
        self.assertTrue(read(xmpp=(middle,)).prove(middle))

    def test_there_is_a_bound_on_names(self) -> None:
        self.assertEqual(len(read(*(f"a{number}.example" for number in range(MAX_NAMES))).names), MAX_NAMES)
        with self.assertRaises(TooManyNames):
            read(*(f"a{number}.example" for number in range(MAX_NAMES + 1)))

    def test_there_is_a_bound_on_names_that_have_to_be_prepared(self) -> None:
        found = read(xmpp=(*(f"ü{number}.example" for number in range(MAX_INTERNATIONAL + 1)), "plain.example"))
        self.assertEqual(len(found.names), MAX_INTERNATIONAL + 1)
        self.assertTrue(found.prove("plain.example"))

    def test_names_proven_by_xmpp_alone_can_be_left_aside(self) -> None:
        found = Identities(("a.example", "*.c.example"), ("b.example", "*.d.example"))
        proven = [name for name in ("a.example", "b.example", "x.c.example", "x.d.example") if found.prove(name)]
        self.assertEqual(proven, ["a.example", "b.example", "x.c.example", "x.d.example"])
        self.assertEqual([name for name in proven if found.prove(name, dns_only=True)], ["a.example", "x.c.example"])


class WildcardTests(SynchronousTestCase):
    @settings(max_examples=150, deadline=None)
    @given(parent=domains, child=domains)
    @example(parent="org", child="example")
    @example(parent="a.b", child="c.d")
    def test_a_wildcard_stands_for_exactly_one_label(self, parent: str, child: str) -> None:
        found = read(f"*.{parent}")
        one_label = "." not in child
        self.assertEqual(found.prove(f"{child}.{parent}"), one_label and "." in parent)
        self.assertFalse(found.prove(parent))
        self.assertFalse(found.prove(child) and child != f"{child.partition('.')[0]}.{parent}")

    @settings(max_examples=150, deadline=None)
    @given(reference=domains, presented=st.text("a-z0-9.*-\0 A", max_size=12) | domains)
    @example(reference="localhost", presented="*")
    @example(reference="a.example", presented="*.example")
    @example(reference="a.b.example", presented="*.*.example")
    def test_what_is_proven_is_the_name_itself_or_one_label_below_a_wildcard(
        self, reference: str, presented: str
    ) -> None:
        proven = read(presented).prove(reference) if presented else False
        equal = presented.lower() == reference
        below = presented.startswith("*.") and reference.partition(".")[2] == presented[2:].lower()
        self.assertLessEqual(proven, equal or (below and presented.count(".") > 1))
        if equal:
            self.assertTrue(proven)


class AnythingTests(SynchronousTestCase):
    @settings(max_examples=200, deadline=None)
    @given(
        dns=st.lists(st.text(st.characters(max_codepoint=127), max_size=20), max_size=4),
        values=st.lists(
            st.tuples(
                st.sampled_from([XMPP_ADDR, SRV_NAME]),
                st.builds(der, st.sampled_from([0x04, 0x0C, 0x13, 0x16, 0x1E]), st.binary(max_size=30)),
            ),
            max_size=4,
        ),
        texts=st.lists(st.text(max_size=30), max_size=4),
    )
    def test_nothing_in_a_name_breaks_the_reading(
        self, dns: list[str], values: list[tuple[x509.ObjectIdentifier, bytes]], texts: list[str]
    ) -> None:
        others = [x509.OtherName(kind, value) for kind, value in values]
        others += [x509.OtherName(XMPP_ADDR, der(0x0C, text.encode())) for text in texts]
        found = read(*dns, others=tuple(others))
        for name in found.names:
            self.assertTrue(name.isascii() and name.isprintable() and name == name.lower())
        self.assertFalse(found.prove("victim.example"))

    @settings(max_examples=100, deadline=None)
    @given(text=st.text(min_size=1, max_size=20))
    @example("xn--bcher-kva.example")
    @example("BÜCHER.example")
    def test_an_xmpp_address_proves_the_domain_that_it_is_prepared_as(self, text: str) -> None:
        found = read(xmpp=(text,))
        try:
            domain = prepare_domain(text)
        except InvalidJID:
            self.assertEqual(found.names, ())
            return
        if found.names and "[" not in text:
            self.assertTrue(found.prove(domain))
