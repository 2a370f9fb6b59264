"""Elements are built and read; a stanza is answered, or changed into another."""

from federix.api import JID, Condition, Element, iq, message, ns, presence

WEATHER = "urn:example:weather"

report = Element("report", WEATHER, Element("place", WEATHER, text="Verona"), attrs={"degrees": "31"})
assert report.to_xml() == "<report xmlns='urn:example:weather' degrees='31'><place>Verona</place></report>"
assert report.get("degrees") == "31" and report.get("wind") is None
assert report.text_of(WEATHER, "place") == "Verona"
assert [child.name for child in report.elements()] == ["place"]

romeo, juliet = JID.parse("romeo@example.org/orchard"), JID.parse("juliet@example.org")
hello = message("chat", body="hello", sender=romeo, to=juliet, id="1")
assert hello.sender == romeo and hello.to == juliet and hello.body == "hello"

other = hello.appending(report).with_attrs({"id": "2"}).addressed(romeo.bare)
assert other.child(WEATHER, "report") == report and other.to == romeo.bare
assert hello.child(WEATHER, "report") is None and hello.id == "1"  # it has not changed

error = hello.bounced(Condition.ITEM_NOT_FOUND, "Nobody is there.")
assert error is not None and error.to == romeo and error.type == "error"
assert error.bounced(Condition.ITEM_NOT_FOUND) is None  # an error is never answered with one

question = iq("get", Element("ping", ns.PING), id="3", to=juliet, sender=romeo)
assert question.result().to == romeo and question.result().id == "3"
assert presence("unavailable", to=juliet).type == "unavailable"
