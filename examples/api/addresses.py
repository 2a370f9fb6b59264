"""Addresses are parsed once; what is none raises InvalidJID."""

from federix.api import JID, InvalidJID

romeo = JID.parse("Romeo@Example.ORG/Orchard")
assert str(romeo) == "romeo@example.org/Orchard"  # case counts in a resource only
assert (romeo.local, romeo.domain, romeo.resource) == ("romeo", "example.org", "Orchard")
assert romeo == JID.build("ROMEO", "example.org", "Orchard")

assert str(romeo.bare) == "romeo@example.org" and romeo.bare.is_bare
assert str(romeo.host) == "example.org"
assert romeo.bare.with_resource("balcony") == JID.parse("romeo@example.org/balcony")

try:
    JID.parse("romeo@@example.org")
except InvalidJID as error:
    assert "domainpart" in str(error)
else:
    raise AssertionError("that is no address")
