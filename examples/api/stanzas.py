"""Elements are built and read; a stanza is answered, or changed into another."""

from federix.api import JID, Condition, Element, Message, iq, ns, presence

WEATHER = "urn:example:weather"

report = Element("report", WEATHER, Element("place", WEATHER, text="Verona"), attrs={"degrees": "31"})
assert report.to_xml() == "<report xmlns='urn:example:weather' degrees='31'><place>Verona</place></report>"
assert report.get("degrees") == "31" and report.get("wind") is None
assert report.text_of(WEATHER, "place") == "Verona"
assert [child.name for child in report.elements()] == ["place"]

romeo, juliet = JID.parse("romeo@example.org/orchard"), JID.parse("juliet@example.org")
addresses = {"from": str(romeo), "to": str(juliet), "type": "chat", "id": "1"}
message = Message(Element("message", ns.CLIENT, Element("body", ns.CLIENT, text="hello"), attrs=addresses))
assert message.sender == romeo and message.to == juliet and message.body == "hello"

other = message.appending(report).with_attrs({"id": "2"}).addressed(romeo.bare)
assert other.child(WEATHER, "report") == report and other.to == romeo.bare
assert message.child(WEATHER, "report") is None and message.id == "1"  # it has not changed

error = message.bounced(Condition.ITEM_NOT_FOUND, "Nobody is there.")
assert error is not None and error.to == romeo and error.type == "error"
assert error.bounced(Condition.ITEM_NOT_FOUND) is None  # an error is never answered with one

question = iq("get", Element("ping", ns.PING), id="3", to=juliet, sender=romeo)
assert question.result().to == romeo and question.result().id == "3"
assert presence("unavailable", to=juliet).type == "unavailable"
