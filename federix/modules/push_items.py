"""XEP-0357: what clients register, what is worth waking one, and how a push service is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ..api import (
    ELEMENT,
    IQ,
    JID,
    JSON,
    Codec,
    Condition,
    Element,
    ErrorType,
    InvalidJID,
    Json,
    Message,
    StanzaError,
    forms,
    hints,
    ns,
)

#: §5, §11.3: the kinds of forms.
PUBLISH_OPTIONS: Final = "http://jabber.org/protocol/pubsub#publish-options"
SUMMARY: Final = "urn:xmpp:push:summary"
#: Characters of a node's name, as for a part of an address, and of a body that is passed on.
MAX_NODE: Final = 1023
MAX_BODY: Final = 1024

#: What stands beside a message's content, or is no content that anybody wants to be woken for.
_BESIDE: Final = frozenset(
    (
        ns.CARBONS,
        ns.CLIENT,
        ns.CHAT_MARKERS,
        ns.CHAT_STATES,
        ns.DELAY,
        ns.HINTS,
        ns.MAM,
        ns.OCCUPANT_ID,
        ns.PUBSUB_EVENT,
        ns.REACTIONS,
        ns.RECEIPTS,
        ns.SID,
    )
)
#: Where the content is encrypted: OMEMO, OpenPGP, and what names the way it was done (XEP-0380).
_ENCRYPTED: Final = frozenset(("encrypted", "openpgp", "encryption"))


@dataclass(frozen=True, slots=True)
class Registration:
    """Where the client that had *resource* wants to be woken: a *node* of a push *service*, and the form that goes
    along with each notification."""

    service: JID
    node: str
    resource: str
    form: Element | None = None

    @property
    def key(self) -> tuple[str, str]:
        """§5: "The JID for a Push Service MAY be enabled multiple times for a user only if different node values"."""
        return str(self.service), self.node


Registrations = tuple[Registration, ...]


def _write(registrations: Registrations) -> Json:
    return [
        {
            "service": str(each.service),
            "node": each.node,
            "resource": each.resource,
            "form": None if each.form is None else ELEMENT.encode(each.form).decode(),
        }
        for each in registrations
    ]


def _read(stored: Json) -> Registrations:
    assert isinstance(stored, list)
    return tuple(map(_read_one, stored))


def _read_one(stored: Json) -> Registration:
    assert isinstance(stored, dict)
    form = stored["form"]
    return Registration(
        JID.parse(str(stored["service"])),
        str(stored["node"]),
        str(stored["resource"]),
        None if form is None else ELEMENT.decode(str(form).encode()),
    )


#: How they are kept: those enabled of late last.
KEPT: Final[Codec[Registrations]] = JSON.through(_write, _read)


# -- commands ---------------------------------------------------------------------------------------------------------


def read_owner(iq: IQ) -> tuple[JID, str]:
    """The account *iq* is about, its sender's, and his resource. To others it is as if there were no such account."""
    to, sender = iq.to, iq.sender
    if to is None or sender is None or to.bare != sender.bare:
        raise StanzaError(Condition.SERVICE_UNAVAILABLE)
    return to.bare, sender.resource


def read_service(command: Element) -> JID:
    """§5, §6: both "MUST include a 'jid' attribute"."""
    text = command.get("jid")
    if not text:
        raise StanzaError(Condition.BAD_REQUEST, "a 'jid' is needed")
    try:
        return JID.parse(text)
    except InvalidJID as error:
        raise StanzaError(Condition.JID_MALFORMED, str(error)) from None


def read_enable(command: Element, resource: str, most: int) -> Registration:
    """What a client registers; its form may take *most* bytes. Raises `StanzaError`."""
    service, node = read_service(command), command.get("node")
    # §5: it "SHOULD contain a 'node' attribute", without which nothing could be published (XEP-0060 §7.1).
    if not node:
        raise StanzaError(Condition.FEATURE_NOT_IMPLEMENTED, "a 'node' is needed")
    if len(node) > MAX_NODE:
        raise StanzaError(Condition.NOT_ACCEPTABLE, "the node's name is too long")
    found = command.child(ns.FORM, "x")
    if found is not None:
        # §5: "adding a Data Forms (XEP-0004) data form with a FORM_TYPE of".
        if forms.Form.parse(found).form_type != PUBLISH_OPTIONS:
            raise StanzaError(Condition.BAD_REQUEST, "the form is not one of publish options")
        if len(found.to_bytes()) > most:
            raise StanzaError(Condition.POLICY_VIOLATION, f"the form has more than {most} bytes", ErrorType.MODIFY)
    return Registration(service, node, resource, found)


def enabling(new: Registration, most: int, known: Registrations | None) -> Registrations:
    """§5: of the same service and node "the server SHOULD use the last received request". The oldest give way."""
    others = (each for each in known or () if each.key != new.key)
    return (*others, new)[-most:]


def disabling(service: JID, node: str | None, known: Registrations | None) -> Registrations | None:
    """§6: "If a 'node' attribute is provided, then only that combination of JID and node", otherwise all of it."""
    return tuple(each for each in known or () if each.service != service or node not in (None, each.node)) or None


def removing(gone: Registration, known: Registrations | None) -> Registrations | None:
    """All but the one that is *gone*, unless it has been enabled anew in another way."""
    return tuple(each for each in known or () if each != gone) or None


def revoked_node(message: Message, account: JID) -> str | None:
    """§8: the node on which *account* may not publish any more, if that is what a push service says."""
    told = message.child(ns.PUBSUB, "pubsub")
    node = told.get("node") if told is not None else None
    if told is None or node is None:
        return None
    for child in told.children_of(ns.PUBSUB, "affiliation"):
        if child.get("jid") == str(account) and child.get("affiliation") in ("none", "outcast", "member"):
            return node
    return None


# -- notifications ----------------------------------------------------------------------------------------------------


def is_worth_waking(message: Message, *, any_content: bool) -> bool:
    """Whether somebody should be woken for *message*: for a text, encrypted or not; with *any_content*, an invitation
    or a call, too. What is about other messages, or about who writes one, is not worth it.
    """
    if message.type in ("error", "headline"):
        return False
    if message.body:
        return True
    if hints.no_store(message):
        return False
    if any(child.name in _ENCRYPTED for child in message.element.elements()):
        return True
    # What a room says without a text is about the room.
    if not any_content or message.type == "groupchat":
        return False
    return any(child.ns not in _BESIDE and not _is_mark(child) for child in message.element.elements())


def _is_mark(child: Element) -> bool:
    """XEP-0045 §7.5: what an occupant of a room writes in private has an empty ``<x/>``."""
    return child.ns == ns.MUC_USER and child.first() is None


def notification(registration: Registration, fields: Iterable[tuple[str, str]]) -> Element:
    """§7: a publish request, with a summary of these *fields* and the options that were "provided when enabling"."""
    summary = [forms.Field(name, values=(value,)) for name, value in fields]
    form = forms.Form.of(forms.FormType.SUBMIT, SUMMARY, summary).to_element() if summary else None
    item = Element("item", ns.PUBSUB, Element("notification", ns.PUSH, form))
    options = None
    if registration.form is not None:
        options = Element("publish-options", ns.PUBSUB, registration.form)
    return Element("pubsub", ns.PUBSUB, Element("publish", ns.PUBSUB, item, attrs={"node": registration.node}), options)
