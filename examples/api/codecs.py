"""A form is asked and answered, a long list cut into pages, abilities hashed, a delay told."""

from federix.api import Condition, Element, StanzaError, caps, delay, forms, rsm

# A form: the question, and what is read from an answer.
fields = [forms.Field("size", forms.FieldType.TEXT_SINGLE, "How large?"), forms.Field.boolean("public", True)]
question = forms.Form.of(forms.FormType.FORM, "urn:example:room", fields, title="A room").to_element()
assert question.get("type") == "form" and len(question.children) == 4  # a title, a hidden field, and two

submitted = [forms.Field("size", values=("12",)), forms.Field("public", values=("true",))]
answer = forms.Form.of(forms.FormType.SUBMIT, "urn:example:room", submitted)
answer = forms.Form.parse(answer.to_element())
assert answer.integer("size", 1, 100) == 12 and answer.boolean("public") is True and answer.value("name") is None
try:
    answer.integer("size", 1, 10)
except StanzaError as error:
    assert error.condition is Condition.NOT_ACCEPTABLE

# Pages (XEP-0059): at most 10 of what is asked for, and which page it is.
people = ["benvolio", "juliet", "mercutio", "nurse", "romeo"]
request = rsm.Request.parse(rsm.Request(max=2, after="juliet").to_element())
items, page = rsm.cut(people, str, request, request.size(default=10, most=10))
assert items == ["mercutio", "nurse"] and (page.first, page.last, page.index, page.count) == ("mercutio", "nurse", 2, 5)
query = Element("query", "urn:example:people", *(Element("p", "urn:example:people", text=p) for p in items))
query.children.append(page.to_element())

# Capabilities (XEP-0115), with the example of its section 5.2.
features = ["disco#info", "disco#items", "muc"]
exodus = [caps.Identity("client", "pc", "", "Exodus 0.9.1")]
names = ["http://jabber.org/protocol/" + feature for feature in (*features, "caps")]
assert caps.verification(exodus, names) == "QgayPKawpkPSDYmwT/WM94uAlu0="

# Delays (XEP-0203).
told = delay.Delay.parse(delay.delay(None, 1_800_000_000.0, "Offline storage"))
assert told.seconds == 1_800_000_000.0 and delay.stamp(told.seconds) == "2027-01-15T08:00:00Z"
