"""What is asked and answered in the ``jabber:iq:register`` namespace (XEP-0077 §3, §4, §5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..api import IQ, Condition, Element, StanzaError, error_element, forms, ns

CHANGE_PASSWORD: Final = "jabber:iq:register:changepassword"

INSTRUCTIONS: Final = "Choose a username and password to register with this server"
REGISTERED: Final = "You are registered. Send username and a new password to change it"

#: XEP-0086: §9 asks for "both old-style and new-style error handling".
CODES: Final = {
    Condition.BAD_REQUEST: 400,
    Condition.CONFLICT: 409,
    Condition.FORBIDDEN: 403,
    Condition.INTERNAL_SERVER_ERROR: 500,
    Condition.ITEM_NOT_FOUND: 404,
    Condition.JID_MALFORMED: 400,
    Condition.NOT_ACCEPTABLE: 406,
    Condition.NOT_ALLOWED: 405,
    Condition.NOT_AUTHORIZED: 401,
    Condition.REGISTRATION_REQUIRED: 407,
    Condition.RESOURCE_CONSTRAINT: 500,
    Condition.SERVICE_UNAVAILABLE: 503,
    Condition.UNEXPECTED_REQUEST: 400,
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request of type set is for: to remove an account, or to give one this password. Empty is missing."""

    remove: bool
    username: str = ""
    # Not part of the representation: secrets must not reach a log.
    password: str = ""

    def __repr__(self) -> str:
        return f"<Wish {'to remove' if self.remove else self.username}>"


def wish(query: Element) -> Wish:
    """What *query* is for; raises `StanzaError` (bad-request)."""
    if query.child(ns.REGISTER, "remove") is not None:
        # Table 1: bad-request when "the <remove/> element was not the only child element of the <query/> element".
        if sum(1 for _ in query.elements()) > 1:
            raise StanzaError(Condition.BAD_REQUEST, "<remove/> stands alone")
        return Wish(True)
    form = forms.Form.find(query)
    # §4: "The x:data form shall take precedence over the iq:register fields".
    if form is None:
        return Wish(False, query.text_of(ns.REGISTER, "username") or "", query.text_of(ns.REGISTER, "password") or "")
    if form.type is not forms.FormType.SUBMIT:
        raise StanzaError(Condition.BAD_REQUEST, "a form that is not submitted")
    if form.form_type not in (None, ns.REGISTER, CHANGE_PASSWORD):
        raise StanzaError(Condition.BAD_REQUEST, "another form was asked for")
    return Wish(False, form.value("username") or "", form.value("password") or "")


def questions() -> Element:
    """What one who is not registered is to send; fields and form ask for the same (§4, §6)."""
    form = forms.Form.of(
        forms.FormType.FORM,
        ns.REGISTER,
        (
            forms.Field("username", forms.FieldType.TEXT_SINGLE, "Username", required=True),
            forms.Field("password", forms.FieldType.TEXT_PRIVATE, "Password", required=True),
        ),
        "Registration",
        (INSTRUCTIONS,),
    )
    return Element(
        "query",
        ns.REGISTER,
        Element("instructions", ns.REGISTER, text=INSTRUCTIONS),
        Element("username", ns.REGISTER),
        Element("password", ns.REGISTER),
        form.to_element(),
    )


def registered(username: str) -> Element:
    """What is on file for one who is registered; nobody knows the password (§3.1: it "MAY be empty")."""
    return Element(
        "query",
        ns.REGISTER,
        Element("registered", ns.REGISTER),
        Element("instructions", ns.REGISTER, text=REGISTERED),
        Element("username", ns.REGISTER, text=username),
        Element("password", ns.REGISTER),
    )


def elsewhere(url: str) -> Element:
    """Where to register instead (§5)."""
    return Element(
        "query",
        ns.REGISTER,
        Element("instructions", ns.REGISTER, text=f"To register, visit {url}"),
        Element("x", ns.OOB, Element("url", ns.OOB, text=url)),
    )


def refused(iq: IQ, error: StanzaError) -> IQ:
    """The answer that says no, old style and new. What was sent does not come back: it may hold a password (§3.3)."""
    told = error_element(error.condition, error.text, error.kind)
    code = CODES.get(error.condition)
    if code is not None:
        told.attrs["code"] = str(code)
    attrs = iq.element.attrs
    answer = {"from": attrs.get("to"), "to": attrs.get("from"), "id": attrs.get("id"), "type": "error"}
    return IQ(Element("iq", ns.CLIENT, told, attrs=answer))
