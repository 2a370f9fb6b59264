"""Addresses: any text is one or none, and what is one has one form."""

from __future__ import annotations

from federix.xmpp.jid import JID, MAX_PART, InvalidJID, prepare_domain, prepare_local, prepare_resource


def check(data: bytes) -> None:
    text = _decoded(data)
    for prepare in (prepare_local, prepare_domain, prepare_resource):
        try:
            part = prepare(text)
        except InvalidJID:
            continue
        assert prepare(part) == part, f"{prepare.__name__} of {text!r} is {part!r}, and of that {prepare(part)!r}"
        assert 0 < len(part.encode()) <= MAX_PART
    try:
        jid = JID.parse(text)
    except InvalidJID:
        return
    again = JID.parse(str(jid))
    assert again == jid and str(again) == str(jid)
    for address in (again, JID.build(jid.local, jid.domain, jid.resource)):
        assert (address.local, address.domain, address.resource) == (jid.local, jid.domain, jid.resource), text
    assert JID.parse(str(jid.bare)) == jid.bare and jid.bare.bare == jid.bare and jid.bare.is_bare
    assert jid.bare.with_resource(jid.resource) == jid
    assert hash(again) == hash(jid)
    assert not set("<>&'\"") & set(jid.local + jid.domain), jid  # nobody must escape them


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8", "surrogatepass")  # half a pair never comes in UTF-8, but in JSON
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")
