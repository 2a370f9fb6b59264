"""Resource binding (RFC 6120 §7): the request and its answer."""

from __future__ import annotations

from ..xmpp import ns
from ..xmpp.element import Element
from ..xmpp.errors import Condition, StanzaError
from ..xmpp.jid import JID, InvalidJID, prepare_resource
from ..xmpp.stanza import IQ


def requested_resource(iq: IQ) -> str:
    """The resource a client asks for, prepared; "" when it leaves that to us. Raises `StanzaError` (bad-request)."""
    well_formed = iq.type == "set" and iq.id and sum(1 for _ in iq.element.elements()) == 1
    payload = iq.payload
    if not well_formed or payload is None:
        raise StanzaError(Condition.BAD_REQUEST)
    wanted = payload.text_of(ns.BIND, "resource")
    if not wanted:
        return ""
    try:
        return prepare_resource(wanted)
    except InvalidJID as error:
        # §7.7.2.1: where it "violates the rules for resourceparts", "the server can return a <bad-request/>". What
        # preparing can mend "SHOULD" be mended, and is.
        raise StanzaError(Condition.BAD_REQUEST, str(error)) from None


def bound(iq: IQ, jid: JID) -> IQ:
    """The answer: the full JID."""
    answer = Element("bind", ns.BIND, Element("jid", ns.BIND, text=str(jid)))
    return IQ(Element("iq", ns.CLIENT, answer, attrs={"type": "result", "id": iq.id}))
