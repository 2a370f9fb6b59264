from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.xmpp import ns
from federix.xmpp.dialback import MAX_KEY, Dialback, DialbackKeys, feature, read, understands_errors
from federix.xmpp.element import Element
from federix.xmpp.errors import Condition, StreamCondition, StreamError
from federix.xmpp.events import Header
from federix.xmpp.limits import Limits
from federix.xmpp.parser import StreamParser

HEADER = (
    f"<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='{ns.DIALBACK}' "
    f"xmlns:stream='{ns.STREAMS}' from='capulet.example' to='montague.example' version='1.0'>"
).encode()


def received(xml: bytes) -> Element:
    """What comes out of a stream of servers where *xml* goes in."""
    parser = StreamParser(Limits())
    header, element = parser.feed(HEADER + xml)
    assert isinstance(header, Header)
    parser.close()
    assert isinstance(element, Element)
    return element


def result(type: str | None = None, *children: Element, **attrs: str) -> Element:
    values = {"from": "capulet.example", "to": "montague.example", "type": type, **attrs}
    return Element("result", ns.DIALBACK, *children, text=None if type else "key", attrs=values)


def error(condition: str, namespace: str = ns.SERVER) -> Element:
    return Element("error", namespace, Element(condition, ns.STANZA_ERROR), attrs={"type": "cancel"})


class Keys(SynchronousTestCase):
    def test_the_example_of_xep_0185(self) -> None:
        """XEP-0185 §3."""
        self.assertEqual(
            DialbackKeys(b"s3cr3tf0rd14lb4ck").key("xmpp.example.com", "example.org", "D60000229F"),
            "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643",
        )

    def test_the_examples_of_xep_0220(self) -> None:
        """XEP-0220 §2.1.1 and §2.2.2."""
        self.assertEqual(
            DialbackKeys(b"s3cr3tf0rd14lb4ck").key("montague.example", "capulet.example", "D60000229F"),
            "b4835385f37fe2895af6c196b59097b16862406db80559900d96bf6fa7d23df3",
        )
        self.assertTrue(
            DialbackKeys(b"d14lb4ck43v3r").matches(
                "225cc5aa6a071133249d25fef42ae516fc7a86c523aa1c6980a7f73e784c972d",
                "capulet.example",
                "montague.example",
                "417GAF25",
            )
        )

    def test_a_key_is_good_for_one_pair_in_one_direction_on_one_stream(self) -> None:
        keys = DialbackKeys(b"secret")
        key = keys.key("a.example", "b.example", "1")
        self.assertTrue(keys.matches(key, "a.example", "b.example", "1"))
        self.assertFalse(keys.matches(key, "b.example", "a.example", "1"))
        self.assertFalse(keys.matches(key, "c.example", "b.example", "1"))
        self.assertFalse(keys.matches(key, "a.example", "c.example", "1"))
        self.assertFalse(keys.matches(key, "a.example", "b.example", "2"))
        self.assertFalse(DialbackKeys(b"Secret").matches(key, "a.example", "b.example", "1"))

    @given(st.text(), st.text())
    def test_no_other_text_is_the_key(self, text: str, stream_id: str) -> None:
        keys = DialbackKeys(b"secret")
        key = keys.key("a.example", "b\u00fccher.example", stream_id)
        for other in (text, key + text, text + key):
            self.assertEqual(keys.matches(other, "a.example", "b\u00fccher.example", stream_id), other == key)


class Examples(SynchronousTestCase):
    """XEP-0220, as it is written there; numbers are those of its examples."""

    def test_a_key_is_sent(self) -> None:
        """1 and 9."""
        element = received(
            b"<db:result\n          from='capulet.example'\n          to='montague.example'>\n"
            b"        b4835385f37fe2895af6c196b59097b16862406db80559900d96bf6fa7d23df3\n      </db:result>"
        )
        self.assertEqual(
            read(element),
            Dialback(
                "result",
                "capulet.example",
                "montague.example",
                key="b4835385f37fe2895af6c196b59097b16862406db80559900d96bf6fa7d23df3",
            ),
        )

    def test_the_result_is_valid_or_invalid(self) -> None:
        """2, 3, 11 and 12."""
        request = Dialback("result", "capulet.example", "montague.example", key="key")
        self.assertEqual(
            request.answer("valid").to_bytes(),
            b"<db:result from='montague.example' to='capulet.example' type='valid'/>",
        )
        self.assertEqual(
            read(received(b"<db:result from='montague.example' to='capulet.example' type='invalid'/>")),
            request.answer("invalid"),
        )

    def test_the_result_is_an_error(self) -> None:
        """4 and 10."""
        written = (
            b"<db:result from='montague.example' to='capulet.example' type='error'><error type='cancel'>"
            b"<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>"
        )
        answer = Dialback("result", "capulet.example", "montague.example", key="key").answer(
            "error", Condition.ITEM_NOT_FOUND
        )
        self.assertEqual(answer.to_bytes(), written)
        self.assertEqual(read(received(written)), answer)

    def test_a_key_is_to_be_verified(self) -> None:
        """5 and 13."""
        request = Dialback("verify", "capulet.example", "montague.example", key="225cc5aa6a", id="417GAF25")
        self.assertEqual(
            request.to_bytes(),
            b"<db:verify from='capulet.example' to='montague.example' id='417GAF25'>225cc5aa6a</db:verify>",
        )
        self.assertEqual(
            read(
                received(
                    b"<db:verify from='capulet.example' id='417GAF25' to='montague.example'>\n 225cc5aa6a\n</db:verify>"
                )
            ),
            request,
        )

    def test_it_is_verified_or_not_or_there_is_an_error(self) -> None:
        """6 to 8 and 14 to 16."""
        request = Dialback("verify", "capulet.example", "montague.example", key="225cc5aa6a", id="417GAF25")
        self.assertEqual(
            read(received(b"<db:verify from='montague.example' id='417GAF25' to='capulet.example' type='valid'/>")),
            request.answer("valid"),
        )
        self.assertEqual(
            read(received(b"<db:verify from='montague.example' id='417GAF25' to='capulet.example' type='invalid'/>")),
            request.answer("invalid"),
        )
        self.assertEqual(
            read(
                received(
                    b"<db:verify from='montague.example' id='417GAF25' to='capulet.example' type='error'>\n"
                    b"<error type='cancel'>\n<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>\n"
                    b"</db:verify>"
                )
            ),
            request.answer("error", Condition.ITEM_NOT_FOUND),
        )

    def test_errors_are_offered_among_the_features(self) -> None:
        """§2.4.2."""
        self.assertEqual(feature().to_xml(), "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>")
        self.assertTrue(understands_errors(Element("features", ns.STREAMS, feature())))
        without = Element("features", ns.STREAMS, Element("dialback", ns.DIALBACK_FEATURE))
        self.assertFalse(understands_errors(without))
        self.assertFalse(understands_errors(Element("features", ns.STREAMS)))


class Reading(SynchronousTestCase):
    def assert_refused(self, element: Element, condition: StreamCondition) -> None:
        with self.assertRaises(StreamError, msg=str(element)) as caught:
            read(element)
        self.assertEqual(caught.exception.condition, condition)

    def test_domains_come_prepared(self) -> None:
        request = read(result(**{"from": "CAPULET.example.", "to": "xn--bcher-kva.example"}))
        self.assertEqual((request.sender, request.to), ("capulet.example", "b\u00fccher.example"))

    def test_what_is_no_domain_is_improper_addressing(self) -> None:
        for domain in ("", "a@b.example", "b.example/resource", "-.example", "a..example", "x" * 2000):
            for name in ("from", "to"):
                self.assert_refused(result(**{name: domain}), StreamCondition.IMPROPER_ADDRESSING)
        for name in ("from", "to"):
            element = result()
            del element.attrs[name]
            self.assert_refused(element, StreamCondition.IMPROPER_ADDRESSING)

    def test_all_else_that_is_wrong_is_a_bad_format(self) -> None:
        for element in (
            result("Valid"),
            result(""),
            Element("result", ns.SERVER, text="key", attrs=result().attrs),
            Element("results", ns.DIALBACK, text="key", attrs=result().attrs),
            Element("result", ns.DIALBACK, text=" \n", attrs=result().attrs),
            Element("verify", ns.DIALBACK, text="key", attrs=result().attrs),
            Element("verify", ns.DIALBACK, text="key", attrs={**result().attrs, "id": ""}),
        ):
            self.assert_refused(element, StreamCondition.BAD_FORMAT)

    def test_a_key_and_an_identifier_have_a_bound(self) -> None:
        attrs = {**result().attrs, "id": "i" * MAX_KEY}
        self.assertEqual(len(read(Element("verify", ns.DIALBACK, text="k" * MAX_KEY, attrs=attrs)).key), MAX_KEY)
        too_long = Element("verify", ns.DIALBACK, text="k" * (MAX_KEY + 1), attrs=attrs)
        self.assert_refused(too_long, StreamCondition.BAD_FORMAT)
        attrs["id"] += "i"
        self.assert_refused(Element("verify", ns.DIALBACK, text="k", attrs=attrs), StreamCondition.BAD_FORMAT)

    def test_an_answer_has_no_key_and_a_result_no_identifier(self) -> None:
        answer = result("valid", id="1")
        answer.children.append("some text")
        self.assertEqual(read(answer), Dialback("result", "capulet.example", "montague.example", "valid"))

    def test_an_error_is_known_whatever_namespace_it_is_put_into(self) -> None:
        for namespace in (ns.CLIENT, ns.SERVER, ns.DIALBACK):
            self.assertEqual(read(result("error", error("forbidden", namespace))).error, Condition.FORBIDDEN)

    def test_an_error_that_says_nothing_known_is_undefined(self) -> None:
        for element in (result("error"), result("error", error("oops")), result("error", error("forbidden", "urn:x"))):
            self.assertEqual(read(element).error, Condition.UNDEFINED_CONDITION)

    def test_a_failed_connection_is_a_condition_of_dialback_alone(self) -> None:
        """§2.5, table 1."""
        answer = read(result("error", error("remote-connection-failed")))
        self.assertEqual(answer.error, Condition.REMOTE_SERVER_TIMEOUT)

    def test_an_error_is_read_only_where_the_type_says_so(self) -> None:
        self.assertIsNone(read(result("valid", error("forbidden"))).error)


DOMAINS = st.sampled_from(["capulet.example", "b\u00fccher.example", "[::1]", "192.0.2.1", "localhost"])
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=70)
MESSAGES = st.one_of(
    st.builds(Dialback, st.just("result"), DOMAINS, DOMAINS, st.none(), TEXT),
    st.builds(Dialback, st.just("verify"), DOMAINS, DOMAINS, st.none(), TEXT, TEXT),
    st.builds(Dialback, st.just("result"), DOMAINS, DOMAINS, st.sampled_from(["valid", "invalid"])),
    st.builds(
        Dialback,
        st.just("verify"),
        DOMAINS,
        DOMAINS,
        st.just("error"),
        id=TEXT,
        error=st.sampled_from(Condition),
    ),
)


class Properties(SynchronousTestCase):
    @given(MESSAGES)
    def test_what_is_written_is_read_again(self, message: Dialback) -> None:
        self.assertEqual(read(message.element()), message)
        self.assertEqual(read(received(message.to_bytes())), message)

    @given(MESSAGES)
    def test_both_ways_of_writing_mean_the_same(self, message: Dialback) -> None:
        self.assertEqual(received(message.to_bytes()), received(message.element().to_bytes(ns.SERVER)))

    @given(
        st.sampled_from(["result", "verify", "other"]),
        st.dictionaries(st.sampled_from(["from", "to", "id", "type"]), st.text(max_size=8) | DOMAINS),
        st.text(),
    )
    def test_anything_is_read_or_refused(self, name: str, attrs: dict[str, str], text: str) -> None:
        try:
            read(Element(name, ns.DIALBACK, text=text, attrs=attrs))
        except StreamError as refused:
            self.assertIn(refused.condition, (StreamCondition.BAD_FORMAT, StreamCondition.IMPROPER_ADDRESSING))
