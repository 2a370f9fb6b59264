"""Data forms (XEP-0004) and their FORM_TYPE (XEP-0068): the questions and answers of nearly every extension.

A form that makes no sense raises `StanzaError` (bad-request) when parsed; an answer that is not what its question wants
raises not-acceptable when read (XEP-0004 §4).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from . import ns
from .element import Element
from .errors import Condition, StanzaError
from .jid import JID, InvalidJID

#: The field that says what kind of form it is (XEP-0068).
FORM_TYPE = "FORM_TYPE"


class FormType(StrEnum):
    """XEP-0004 §3.1: what a form is for."""

    FORM = "form"
    SUBMIT = "submit"
    CANCEL = "cancel"
    RESULT = "result"


class FieldType(StrEnum):
    """XEP-0004 §3.3: what a field holds."""

    BOOLEAN = "boolean"
    FIXED = "fixed"
    HIDDEN = "hidden"
    JID_MULTI = "jid-multi"
    JID_SINGLE = "jid-single"
    LIST_MULTI = "list-multi"
    LIST_SINGLE = "list-single"
    TEXT_MULTI = "text-multi"
    TEXT_PRIVATE = "text-private"
    TEXT_SINGLE = "text-single"


_FIELD_TYPES = {kind.value: kind for kind in FieldType}
_LISTS = frozenset((FieldType.LIST_SINGLE, FieldType.LIST_MULTI))
_SEVERAL = frozenset((FieldType.LIST_MULTI, FieldType.JID_MULTI, FieldType.TEXT_MULTI, FieldType.HIDDEN))
# XML Schema's xs:boolean: "implementations MUST support both styles of lexical representation" (XEP-0004 §3.3).
_BOOLEANS = {"1": True, "true": True, "0": False, "false": False}


@dataclass(frozen=True, slots=True)
class Option:
    """One of the choices of a list: the *value* that is sent, and a *label* for people."""

    value: str
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """One field (XEP-0004 §3.2); without *type* it is known from the context, or text-single.

    *var* names it, *values* are its answers (or defaults), *options* the choices of a list. *label* and *desc* are for
    people, the one beside the field, the other to explain it. *required*: the form must not be sent without it.
    """

    var: str | None
    type: FieldType | None = None
    label: str | None = None
    values: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    required: bool = False
    desc: str | None = None
    #: Children of other namespaces: media (XEP-0221), validation (XEP-0122).
    extensions: tuple[Element, ...] = ()

    @classmethod
    def boolean(cls, var: str, value: bool, label: str | None = None) -> Field:
        """A yes or no."""
        return cls(var, FieldType.BOOLEAN, label, ("1" if value else "0",))

    @classmethod
    def hidden(cls, var: str, *values: str) -> Field:
        """What comes back as it was sent, and is not shown."""
        return cls(var, FieldType.HIDDEN, values=values)

    @classmethod
    def fixed(cls, text: str) -> Field:
        """A line of text between the fields."""
        return cls(None, FieldType.FIXED, values=(text,))

    @classmethod
    def parse(cls, element: Element) -> Field:
        """The field that *element* is; raises `StanzaError` (bad-request)."""
        name = element.get("type")
        # §3.3: text-single "MUST be assumed if a form-submitting entity receives a field type it does not understand".
        kind = None if name is None else _FIELD_TYPES.get(name, FieldType.TEXT_SINGLE)
        var = element.get("var")
        # §3.2: a field of any other type than "fixed" "MUST possess a 'var' attribute".
        if not var and kind is not FieldType.FIXED:
            raise _bad("a field without var")
        options = tuple(_option(child) for child in element.children_of(ns.FORM, "option"))
        if options and kind is not None and kind not in _LISTS:
            raise _bad("options in a field that is no list")
        return cls(
            var,
            kind,
            element.get("label"),
            tuple(child.text for child in element.children_of(ns.FORM, "value")),
            options,
            element.child(ns.FORM, "required") is not None,
            element.text_of(ns.FORM, "desc"),
            tuple(child for child in element.elements() if child.ns != ns.FORM),
        )

    def to_element(self) -> Element:
        """As XML."""
        return Element(
            "field",
            ns.FORM,
            None if self.desc is None else Element("desc", ns.FORM, text=self.desc),
            Element("required", ns.FORM) if self.required else None,
            *(Element("value", ns.FORM, text=value) for value in self.values),
            *(
                Element("option", ns.FORM, Element("value", ns.FORM, text=each.value), attrs={"label": each.label})
                for each in self.options
            ),
            *(extension.copy() for extension in self.extensions),
            attrs={"var": self.var, "type": self.type, "label": self.label},
        )


@dataclass(frozen=True, slots=True)
class Form:
    """A form: questions, answers, or a table of results (*reported* is its head, *items* its rows: XEP-0004 §3.4).

    *type* says which, *title* and *instructions* are for people, *fields* the questions or answers.
    """

    type: FormType
    title: str | None = None
    instructions: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()
    reported: tuple[Field, ...] = ()
    items: tuple[tuple[Field, ...], ...] = ()

    @classmethod
    def of(
        cls,
        type: FormType,
        form_type: str,
        fields: Iterable[Field] = (),
        title: str | None = None,
        instructions: tuple[str, ...] = (),
    ) -> Form:
        """A form whose hidden first field says what kind of form it is (XEP-0068)."""
        return cls(type, title, instructions, (Field.hidden(FORM_TYPE, form_type), *fields))

    @classmethod
    def find(cls, parent: Element) -> Form | None:
        """The form inside *parent*, if there is one; raises `StanzaError` (bad-request)."""
        element = parent.child(ns.FORM, "x")
        return None if element is None else cls.parse(element)

    @classmethod
    def parse(cls, element: Element) -> Form:
        """The form that *element* is; raises `StanzaError` (bad-request)."""
        if element.name != "x" or element.ns != ns.FORM:
            raise _bad("not a data form")
        try:
            kind = FormType(element.get("type") or "")
        except ValueError:
            raise _bad("a data form of no known type") from None
        reported = element.children_of(ns.FORM, "reported")
        # §3.4: "One and only one <reported/> element".
        if len(reported) > 1:
            raise _bad("a data form with two heads")
        items = tuple(_fields(item) for item in element.children_of(ns.FORM, "item"))
        # §3.4: "Each of these <item/> elements … MUST contain one or more <field/> children."
        if not all(items):
            raise _bad("an item without fields")
        form = cls(
            kind,
            element.text_of(ns.FORM, "title"),
            tuple(child.text for child in element.children_of(ns.FORM, "instructions")),
            _fields(element),
            _fields(reported[0]) if reported else (),
            items,
        )
        if kind is FormType.SUBMIT:
            form._check_answers()
        return form

    def to_element(self) -> Element:
        """As XML."""

        def row(name: str, fields: tuple[Field, ...]) -> Element:
            return Element(name, ns.FORM, *(field.to_element() for field in fields))

        return Element(
            "x",
            ns.FORM,
            None if self.title is None else Element("title", ns.FORM, text=self.title),
            *(Element("instructions", ns.FORM, text=line) for line in self.instructions),
            *(field.to_element() for field in self.fields),
            row("reported", self.reported) if self.reported else None,
            *(row("item", item) for item in self.items),
            attrs={"type": self.type},
        )

    # -- reading ------------------------------------------------------------------------------------------------------

    @property
    def form_type(self) -> str | None:
        """What kind of form it is (XEP-0068), if it says so."""
        field = self.field(FORM_TYPE)
        if field is None or not field.values:
            return None
        # XEP-0068 §4.3: "If the FORM_TYPE field is not hidden in a form with type="form" or type="result", it MUST be
        # ignored as a context indicator."
        if self.type in (FormType.FORM, FormType.RESULT) and field.type is not FieldType.HIDDEN:
            return None
        return field.values[0]

    def field(self, var: str) -> Field | None:
        """The (first) field of that name; ``None`` where there is none."""
        return next((field for field in self.fields if field.var == var), None)

    def values(self, var: str) -> tuple[str, ...]:
        """All values of a field; empty where it has none or is not there."""
        field = self.field(var)
        return () if field is None else field.values

    def value(self, var: str) -> str | None:
        """The (first) value of a field; ``None`` where it has none or is not there."""
        values = self.values(var)
        return values[0] if values else None

    def text(self, var: str) -> str | None:
        """The lines of a text-multi field as one text."""
        values = self.values(var)
        return "\n".join(values) if values else None

    def boolean(self, var: str) -> bool | None:
        """A yes or no; ``None`` where it was not answered."""
        value = self.value(var)
        if value is None or not value.strip():
            return None
        answer = _BOOLEANS.get(value.strip())
        if answer is None:
            raise _unacceptable(var, "is neither true nor false")
        return answer

    def integer(self, var: str, minimum: int, maximum: int) -> int | None:
        """A whole number in these bounds; ``None`` where it was not answered."""
        value = (self.value(var) or "").strip()
        if not value:
            return None
        digits = value[1:] if value[0] in "+-" else value
        # int() would also take underscores and the digits of every script, and be slow on very many.
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
            raise _unacceptable(var, "is not a number")
        if not minimum <= int(value) <= maximum:
            raise _unacceptable(var, f"is not between {minimum} and {maximum}")
        return int(value)

    def choice(self, var: str, among: Collection[str]) -> str | None:
        """One of the offered values; ``None`` where nothing was chosen."""
        value = self.value(var)
        # §3.3: a form-submitting entity "MUST NOT insert new options".
        if value is not None and value not in among:
            raise _unacceptable(var, "is none of the options")
        return value

    def jid(self, var: str) -> JID | None:
        """An address; ``None`` where there is none."""
        addresses = self.jids(var)
        return addresses[0] if addresses else None

    def jids(self, var: str) -> tuple[JID, ...]:
        """The addresses of a field, each once: "duplicate JIDs MUST be ignored" (§3.3)."""
        try:
            return tuple(dict.fromkeys(JID.parse(value.strip()) for value in self.values(var) if value.strip()))
        except InvalidJID as error:
            raise _unacceptable(var, "is not an address") from error

    def _check_answers(self) -> None:
        """What a server acts upon may not be ambiguous; results of others are only looked at."""
        seen: set[str] = set()
        for field in self.fields:
            if field.var is None:
                continue
            # §3.2: var "uniquely identifies the field in the context of the form".
            if field.var in seen:
                raise _bad("a field that occurs twice")
            seen.add(field.var)
            # §3.2: "all other field types MUST NOT contain more than one <value/> element".
            if field.type is not None and field.type not in _SEVERAL and len(field.values) > 1:
                raise _bad("a field with too many values")


def _fields(element: Element) -> tuple[Field, ...]:
    return tuple(Field.parse(child) for child in element.children_of(ns.FORM, "field"))


def _option(element: Element) -> Option:
    values = element.children_of(ns.FORM, "value")
    # §3.2: "The <option/> element MUST contain one and only one <value/> child."
    if len(values) != 1:
        raise _bad("an option without one value")
    return Option(values[0].text, element.get("label"))


def _bad(text: str) -> StanzaError:
    return StanzaError(Condition.BAD_REQUEST, text)


def _unacceptable(var: str, text: str) -> StanzaError:
    return StanzaError(Condition.NOT_ACCEPTABLE, f"{var} {text}")
