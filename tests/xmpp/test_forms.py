from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.xmpp import ns
from federix.xmpp.element import Element
from federix.xmpp.errors import Condition, StanzaError
from federix.xmpp.forms import FORM_TYPE, Field, FieldType, Form, FormType, Option
from federix.xmpp.jid import JID


def x(kind: str | None, *children: Element) -> Element:
    return Element("x", ns.FORM, *children, attrs={"type": kind})


def field(var: str | None, *values: str, type: str | None = None, options: tuple[Element, ...] = ()) -> Element:
    values_ = (Element("value", ns.FORM, text=value) for value in values)
    return Element("field", ns.FORM, *values_, *options, attrs={"var": var, "type": type})


def submitted(*fields: Element) -> Form:
    return Form.parse(x("submit", *fields))


class Refusing(SynchronousTestCase):
    def assert_refused(self, element: Element) -> None:
        with self.assertRaises(StanzaError) as caught:
            Form.parse(element)
        self.assertEqual(caught.exception.condition, Condition.BAD_REQUEST)

    def test_a_form_of_no_or_of_an_unknown_type_is_refused(self) -> None:
        for kind in (None, "", "error", "Submit"):
            self.assert_refused(x(kind))

    def test_what_is_no_form_is_refused(self) -> None:
        self.assert_refused(Element("x", "jabber:x:other", attrs={"type": "form"}))
        self.assert_refused(Element("y", ns.FORM, attrs={"type": "form"}))

    def test_only_fixed_fields_may_be_without_var(self) -> None:
        self.assert_refused(x("form", field(None, "a")))
        self.assert_refused(x("form", field("", "a", type="hidden")))
        self.assertEqual(Form.parse(x("form", field(None, "a", type="fixed"))).fields, (Field.fixed("a"),))

    def test_an_option_has_just_one_value(self) -> None:
        value = Element("value", ns.FORM, text="a")
        for children in ((), (value, value)):
            option = Element("option", ns.FORM, *children)
            self.assert_refused(x("form", field("a", type="list-single", options=(option,))))

    def test_only_lists_have_options(self) -> None:
        option = Element("option", ns.FORM, Element("value", ns.FORM, text="a"))
        self.assert_refused(x("form", field("a", type="text-single", options=(option,))))
        self.assertEqual(submitted(field("a", options=(option,))).fields[0].options, (Option("a"),))

    def test_an_ambiguous_answer_is_refused(self) -> None:
        self.assert_refused(x("submit", field("a", "1"), field("a", "2")))
        self.assert_refused(x("submit", field("a", "1", "2", type="boolean")))

    def test_the_repetitions_of_other_forms_are_only_looked_at(self) -> None:
        self.assertEqual(len(Form.parse(x("result", field("a", "1", "2", type="boolean"), field("a"))).fields), 2)

    def test_a_table_has_one_head_and_no_empty_rows(self) -> None:
        head = Element("reported", ns.FORM, field("a"))
        self.assert_refused(x("result", head, head))
        self.assert_refused(x("result", head, Element("item", ns.FORM)))


class Reading(SynchronousTestCase):
    def assert_unacceptable(self, var: str, function: object, *args: object) -> None:
        assert callable(function)
        with self.assertRaises(StanzaError) as caught:
            function(var, *args)
        self.assertEqual(caught.exception.condition, Condition.NOT_ACCEPTABLE)

    def test_values(self) -> None:
        form = submitted(field("a", "1", "2"), field("b"), field("c", ""))
        self.assertEqual((form.value("a"), form.values("a"), form.text("a")), ("1", ("1", "2"), "1\n2"))
        self.assertEqual((form.value("b"), form.values("b"), form.text("b")), (None, (), None))
        self.assertEqual((form.value("c"), form.values("c"), form.text("c")), ("", ("",), ""))
        self.assertEqual((form.value("d"), form.values("d"), form.text("d"), form.field("d")), (None, (), None, None))

    def test_booleans_are_written_in_four_ways(self) -> None:
        for text, expected in (("1", True), ("true", True), ("0", False), ("false", False), (" 1\n", True), ("", None)):
            self.assertIs(submitted(field("a", text)).boolean("a"), expected)
        self.assertIsNone(submitted().boolean("a"))
        for text in ("yes", "True", "2"):
            self.assert_unacceptable("a", submitted(field("a", text)).boolean)

    def test_numbers_have_bounds(self) -> None:
        for text, expected in (("7", 7), (" -3 ", -3), ("+7", 7), ("", None)):
            self.assertEqual(submitted(field("a", text)).integer("a", -10, 10), expected)
        self.assertIsNone(submitted().integer("a", 0, 1))
        for text in ("11", "-11", "1_0", "1.0", "\u0661", "-", "9" * 5000, "ten"):
            self.assert_unacceptable("a", submitted(field("a", text)).integer, -10, 10)

    def test_a_choice_is_one_of_the_offered(self) -> None:
        self.assertEqual(submitted(field("a", "moderators")).choice("a", ("anyone", "moderators")), "moderators")
        self.assertIsNone(submitted().choice("a", ("anyone",)))
        self.assert_unacceptable("a", submitted(field("a", "x")).choice, ("anyone",))

    def test_addresses_are_prepared_and_counted_once(self) -> None:
        form = submitted(field("a", "Juliet@Example.com", " juliet@example.com ", "", "romeo@example.net"))
        self.assertEqual(form.jids("a"), (JID.parse("juliet@example.com"), JID.parse("romeo@example.net")))
        self.assertEqual(form.jid("a"), JID.parse("juliet@example.com"))
        self.assertIsNone(submitted(field("a", "")).jid("a"))
        self.assert_unacceptable("a", submitted(field("a", "ok@x", "@@")).jids)

    def test_a_type_nobody_knows_is_a_line_of_text(self) -> None:
        self.assertEqual(Form.parse(x("form", field("a", type="colour"))).fields[0].type, FieldType.TEXT_SINGLE)

    def test_a_form_is_found_in_its_parent(self) -> None:
        self.assertIsNone(Form.find(Element("query", "urn:example")))
        self.assertEqual(Form.find(Element("query", "urn:example", x("cancel"))), Form(FormType.CANCEL))


class Types(SynchronousTestCase):
    def test_a_question_and_a_result_hide_their_form_type(self) -> None:
        for kind in ("form", "result"):
            self.assertEqual(Form.parse(x(kind, field(FORM_TYPE, "urn:a", type="hidden"))).form_type, "urn:a")
            self.assertIsNone(Form.parse(x(kind, field(FORM_TYPE, "urn:a", type="text-single"))).form_type)
            self.assertIsNone(Form.parse(x(kind, field(FORM_TYPE, "urn:a"))).form_type)

    def test_an_answer_need_not_say_that_it_is_hidden(self) -> None:
        self.assertEqual(submitted(field(FORM_TYPE, "urn:a")).form_type, "urn:a")
        self.assertIsNone(submitted(field(FORM_TYPE)).form_type)
        self.assertIsNone(submitted().form_type)

    def test_a_form_can_be_made_of_a_type(self) -> None:
        form = Form.of(FormType.FORM, "urn:a", [Field.boolean("b", True, "Really?")], "Title", ("Do it.",))
        self.assertEqual(form.form_type, "urn:a")
        self.assertEqual(
            form.to_element().to_xml(ns.FORM),
            "<x type='form'><title>Title</title><instructions>Do it.</instructions>"
            "<field var='FORM_TYPE' type='hidden'><value>urn:a</value></field>"
            "<field var='b' type='boolean' label='Really?'><value>1</value></field></x>",
        )


TEXT = st.text(max_size=10)
OPTIONAL = st.none() | TEXT
EXTENSION = st.builds(Element, st.just("validate"), st.just("http://jabber.org/protocol/xdata-validate"))


@st.composite
def fields(draw: st.DrawFn) -> Field:
    kind = draw(st.none() | st.sampled_from(FieldType))
    may_list = kind in (FieldType.LIST_SINGLE, FieldType.LIST_MULTI, None)
    return Field(
        draw(OPTIONAL if kind is FieldType.FIXED else st.text(min_size=1, max_size=10)),
        kind,
        draw(OPTIONAL),
        tuple(draw(st.lists(TEXT, max_size=3))),
        tuple(draw(st.lists(st.builds(Option, TEXT, OPTIONAL), max_size=3 if may_list else 0))),
        draw(st.booleans()),
        draw(OPTIONAL),
        tuple(draw(st.lists(EXTENSION, max_size=1))),
    )


ROW = st.lists(fields(), min_size=1, max_size=3).map(tuple)
FORMS = st.builds(
    Form,
    st.sampled_from([FormType.FORM, FormType.RESULT, FormType.CANCEL]),
    OPTIONAL,
    st.lists(TEXT, max_size=2).map(tuple),
    st.lists(fields(), max_size=3).map(tuple),
    st.just(()) | ROW,
    st.lists(ROW, max_size=2).map(tuple),
)
ELEMENTS = st.recursive(
    st.builds(
        Element,
        st.sampled_from(["x", "field", "value", "option", "reported", "item"]),
        st.just(ns.FORM),
        text=OPTIONAL,
        attrs=st.dictionaries(st.sampled_from(["var", "type"]), TEXT | st.sampled_from([*FormType, *FieldType])),
    ),
    lambda inner: st.builds(
        lambda name, children, kind: Element(name, ns.FORM, *children, attrs={"type": kind, "var": "v"}),
        st.sampled_from(["x", "field", "option", "reported", "item"]),
        st.lists(inner, max_size=4),
        st.none() | st.sampled_from([*FormType, *FieldType]),
    ),
    max_leaves=8,
)


class Properties(SynchronousTestCase):
    @given(FORMS)
    def test_a_form_written_and_read_is_the_same(self, form: Form) -> None:
        self.assertEqual(Form.parse(form.to_element()), form)

    @given(ELEMENTS)
    def test_anything_is_a_form_or_a_bad_request(self, element: Element) -> None:
        try:
            form = Form.parse(element)
        except StanzaError as error:
            self.assertEqual(error.condition, Condition.BAD_REQUEST)
        else:
            self.assertEqual(Form.parse(form.to_element()), form)
