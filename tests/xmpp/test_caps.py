import random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.xmpp import ns
from federix.xmpp.caps import Caps, Identity, Information, ill_formed, verification, verification_string
from federix.xmpp.element import Element
from federix.xmpp.errors import Condition, StanzaError
from federix.xmpp.forms import FORM_TYPE, Field, FieldType, Form, FormType

MUC = (
    "http://jabber.org/protocol/caps",
    "http://jabber.org/protocol/disco#info",
    "http://jabber.org/protocol/disco#items",
    "http://jabber.org/protocol/muc",
)
SOFTWARE = Form.of(
    FormType.RESULT,
    "urn:xmpp:dataforms:softwareinfo",
    [
        Field("ip_version", FieldType.TEXT_MULTI, values=("ipv4", "ipv6")),
        Field("os", values=("Mac",)),
        Field("os_version", values=("10.5.1",)),
        Field("software", values=("Psi",)),
        Field("software_version", values=("0.11",)),
    ],
)
# XEP-0115 §5.2 and §5.3
SIMPLE = Information((Identity("client", "pc", name="Exodus 0.9.1"),), MUC)
COMPLEX = Information(
    (Identity("client", "pc", "en", "Psi 0.11"), Identity("client", "pc", "el", "\u03a8 0.11")), MUC, (SOFTWARE,)
)


def form(*fields: Field) -> Form:
    return Form(FormType.RESULT, fields=fields)


class TheExamples(SynchronousTestCase):
    def test_the_simple_one(self) -> None:
        self.assertEqual(
            verification_string(*SIMPLE),
            "client/pc//Exodus 0.9.1<http://jabber.org/protocol/caps<http://jabber.org/protocol/disco#info<"
            "http://jabber.org/protocol/disco#items<http://jabber.org/protocol/muc<",
        )
        self.assertEqual(verification(*SIMPLE), "QgayPKawpkPSDYmwT/WM94uAlu0=")

    def test_the_complex_one(self) -> None:
        self.assertEqual(
            verification_string(*COMPLEX),
            "client/pc/el/\u03a8 0.11<client/pc/en/Psi 0.11<http://jabber.org/protocol/caps<"
            "http://jabber.org/protocol/disco#info<http://jabber.org/protocol/disco#items<"
            "http://jabber.org/protocol/muc<urn:xmpp:dataforms:softwareinfo<ip_version<ipv4<ipv6<os<Mac<"
            "os_version<10.5.1<software<Psi<software_version<0.11<",
        )
        self.assertEqual(verification(*COMPLEX), "q07IKJEyjvHSyhy//CH0CxmKi8w=")


class TheString(SynchronousTestCase):
    def test_identities_sort_by_category_type_and_language_each_by_itself(self) -> None:
        """'a-b' sorts before 'a/' as one text, but the category 'a' before the category 'a-b'."""
        self.assertEqual(verification_string([Identity("a-b", "x"), Identity("a", "x")], []), "a/x//<a-b/x//<")

    def test_sorting_is_by_octets(self) -> None:
        features = ["\U00010000", "\uffff", "b", "B", "\u00e9"]
        self.assertEqual(verification_string([], features), "B<b<\u00e9<\uffff<\U00010000<")

    def test_forms_and_their_fields_and_values_are_sorted(self) -> None:
        forms = [
            form(Field("z", values=("2", "10")), Field.hidden(FORM_TYPE, "urn:b"), Field("a")),
            form(Field.hidden(FORM_TYPE, "urn:a")),
        ]
        self.assertEqual(verification_string([], [], forms), "urn:a<urn:b<a<z<10<2<")

    def test_a_form_without_a_hidden_form_type_does_not_count(self) -> None:
        visible = form(Field(FORM_TYPE, FieldType.TEXT_SINGLE, values=("urn:a",)), Field("a", values=("b",)))
        for ignored in (visible, form(Field("a", values=("b",))), form(Field.hidden(FORM_TYPE))):
            self.assertEqual(verification_string([], ["f"], [ignored]), "f<")

    def test_a_less_than_sign_in_a_feature_cannot_pass_for_two_features(self) -> None:
        self.assertNotEqual(verification_string([], ["a<b"]), verification_string([], ["a", "b"]))
        self.assertEqual(verification_string([], ["a<b"]), "a&lt;b<")

    def test_other_hashes(self) -> None:
        self.assertEqual(len(verification(*SIMPLE, algorithm="sha-256")), 44)
        self.assertRaises(KeyError, verification, *SIMPLE, algorithm="crc")


class IllFormed(SynchronousTestCase):
    def test_the_examples_are_well_formed(self) -> None:
        self.assertIsNone(ill_formed(*SIMPLE))
        self.assertIsNone(ill_formed(*COMPLEX))

    def test_an_identity_may_not_occur_twice(self) -> None:
        same = Identity("client", "pc", "en", "A")
        self.assertIsNotNone(ill_formed([same, same], []))
        self.assertIsNone(ill_formed([same, same._replace(lang="de")], []))

    def test_a_feature_may_not_occur_twice(self) -> None:
        self.assertIsNotNone(ill_formed([], ["a", "b", "a"]))

    def test_a_form_type_may_not_occur_twice(self) -> None:
        self.assertIsNotNone(ill_formed([], [], [SOFTWARE, SOFTWARE]))
        self.assertFalse(
            Caps("n", verification([], [], [SOFTWARE, SOFTWARE])).stands_for(Information(forms=(SOFTWARE,) * 2))
        )

    def test_a_form_type_has_one_value(self) -> None:
        self.assertIsNotNone(ill_formed([], [], [form(Field.hidden(FORM_TYPE, "urn:a", "urn:b"))]))
        self.assertIsNone(ill_formed([], [], [form(Field.hidden(FORM_TYPE, "urn:a", "urn:a"))]))

    def test_forms_without_form_type_are_no_fault(self) -> None:
        self.assertIsNone(ill_formed([], [], [form(Field("a")), form(Field("a"))]))


class Announcing(SynchronousTestCase):
    def test_the_element(self) -> None:
        caps = Caps("http://code.google.com/p/exodus", "QgayPKawpkPSDYmwT/WM94uAlu0=")
        self.assertEqual(
            caps.to_element().to_xml(),
            "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='http://code.google.com/p/exodus' "
            "ver='QgayPKawpkPSDYmwT/WM94uAlu0='/>",
        )
        self.assertEqual(caps.query_node, "http://code.google.com/p/exodus#QgayPKawpkPSDYmwT/WM94uAlu0=")
        self.assertEqual(Caps.find(Element("presence", ns.CLIENT, caps.to_element())), caps)

    def test_the_format_of_old_and_nonsense_are_not_there(self) -> None:
        for attrs in (
            {"node": "n", "ver": "0.9", "ext": "a b"},
            {"hash": "sha-1", "ver": "v"},
            {"hash": "sha-1", "node": "n"},
        ):
            self.assertIsNone(Caps.find(Element("presence", ns.CLIENT, Element("c", ns.CAPS, attrs=attrs))))
        self.assertIsNone(Caps.find(Element("presence", ns.CLIENT)))

    def test_it_stands_only_for_what_has_its_hash(self) -> None:
        caps = Caps("n", verification(*COMPLEX))
        self.assertTrue(caps.stands_for(COMPLEX))
        self.assertFalse(caps.stands_for(SIMPLE))
        self.assertFalse(Caps("n", "\u00fc").stands_for(SIMPLE))

    def test_an_unknown_hash_stands_for_nothing(self) -> None:
        caps = Caps("n", verification(*COMPLEX), "sha-9")
        self.assertFalse(caps.can_be_checked)
        self.assertFalse(caps.stands_for(COMPLEX))


class Answers(SynchronousTestCase):
    def test_an_answer_lacking_what_is_required_is_a_bad_request(self) -> None:
        for child in (
            Element("identity", ns.DISCO_INFO, attrs={"category": "client"}),
            Element("identity", ns.DISCO_INFO, attrs={"type": "pc", "category": ""}),
            Element("feature", ns.DISCO_INFO),
            Element("x", ns.FORM),
        ):
            with self.assertRaises(StanzaError) as caught:
                Information.parse(Element("query", ns.DISCO_INFO, child))
            self.assertEqual(caught.exception.condition, Condition.BAD_REQUEST)


TEXT = st.text(max_size=6)
NAME = st.text(min_size=1, max_size=6)
FORMS = st.builds(
    lambda kind, pairs: Form.of(FormType.RESULT, kind, [Field(var, values=tuple(values)) for var, values in pairs]),
    NAME,
    st.lists(st.tuples(NAME, st.lists(TEXT, max_size=3)), max_size=3),
)
INFORMATION = st.builds(
    Information,
    st.lists(st.builds(Identity, NAME, NAME, TEXT, TEXT), max_size=3).map(tuple),
    st.lists(NAME, max_size=5).map(tuple),
    st.lists(FORMS, max_size=3).map(tuple),
)


class Properties(SynchronousTestCase):
    @given(INFORMATION)
    def test_an_answer_written_and_read_is_the_same(self, information: Information) -> None:
        self.assertEqual(Information.parse(Element("query", ns.DISCO_INFO, *information.to_elements())), information)

    @given(INFORMATION, st.randoms(use_true_random=False))
    def test_order_does_not_matter(self, information: Information, randomness: random.Random) -> None:
        def shuffled(values: tuple[object, ...]) -> list[object]:
            return randomness.sample(values, len(values))

        def mixed(form: Form) -> Form:
            return Form(form.type, fields=tuple(shuffled(form.fields)))  # type: ignore[arg-type]

        other = Information(
            tuple(shuffled(information.identities)),  # type: ignore[arg-type]
            tuple(shuffled(information.features)),  # type: ignore[arg-type]
            tuple(mixed(form) for form in information.forms),
        )
        if ill_formed(*information) is None:
            self.assertEqual(verification(*other), verification(*information))
        self.assertEqual(ill_formed(*other) is None, ill_formed(*information) is None)

    @given(st.builds(Caps, NAME, NAME, NAME))
    def test_an_announcement_written_and_read_is_the_same(self, caps: Caps) -> None:
        self.assertEqual(Caps.find(Element("presence", ns.CLIENT, caps.to_element())), caps)
