"""Which messages are copied to a user's other clients, and what a copy looks like (XEP-0280)."""

from __future__ import annotations

from typing import Final, Literal

from . import hints, ns
from .element import Element
from .forward import forwarding
from .jid import JID
from .stanza import Message

#: Whether the user has sent or received a message.
Side = Literal["sent", "received"]

#: §6.1: "payload elements typically used in IM": XEP-0184, XEP-0085, XEP-0333.
IM_PAYLOADS: Final = frozenset((ns.RECEIPTS, ns.CHAT_STATES, ns.CHAT_MARKERS))


def is_eligible(message: Message, side: Side) -> bool:
    """Whether *message* is to be copied, by the rules of §6.1.

    For errors they ask about the message that was answered with one, so of them only whoever remembers it can say.
    """
    kind = message.type
    # "A <message/> of type "groupchat" SHOULD NOT be carbon-copied."
    if kind in ("groupchat", "error") or is_private(message) or is_copy(message):
        return False
    if side == "received" and is_from_occupant(message):
        return False
    # "it is of type "chat"", "it is of type "normal" and contains a <body> element"
    if kind == "chat" or (kind == "normal" and message.child(ns.CLIENT, "body") is not None):
        return True
    return any(child.ns in IM_PAYLOADS for child in message.element.elements()) or _is_invitation(message)


def is_private(message: Message) -> bool:
    """§9: neither server delivers copies of it. `<private/>` stays where it is, for the next server to see.

    "earlier versions of this XEP required or recommended the removal of the <private/> element …, but this behavior was
    considered as a potential security issue".
    """
    return message.child(ns.CARBONS, "private") is not None or hints.no_copy(message)


def is_copy(message: Message) -> bool:
    """Whether it is a copy, or says it is: only one from the account's bare JID can be (§11). Copies are not copied."""
    element = message.element
    return element.child(ns.CARBONS, "received") is not None or element.child(ns.CARBONS, "sent") is not None


def is_to_occupant(message: Message) -> bool:
    """§6.1: "A private <message/> from a local user to a MUC participant (sent to a full JID)"."""
    to = message.to
    return to is not None and bool(to.resource) and _is_private_in_room(message)


def is_from_occupant(message: Message) -> bool:
    """§6.1: "A private <message/> from a MUC participant (received from a full JID) to a local user"."""
    sender = message.sender
    return sender is not None and bool(sender.resource) and _is_private_in_room(message)


def copy(message: Message, side: Side, account: JID) -> Message:
    """*message* as the other clients of *account* get it; to whom, `addressed` says.

    There is no ``<delay/>`` in it: it is sent at once, as is the message.
    """
    # §7, §8: "the 'from' attribute MUST be the Carbons-enabled user's bare JID", "The wrapping message SHOULD maintain
    # the same 'type' attribute value".
    attrs = {"from": str(account.bare), "type": message.element.get("type")}
    return forwarding(message, Element(side, ns.CARBONS), attrs)


def _is_private_in_room(message: Message) -> bool:
    """§6.1: known "by checking for the <x xmlns="http://jabber.org/protocol/muc#user"> element"."""
    user = message.child(ns.MUC_USER, "x")
    return user is not None and user.child(ns.MUC_USER, "invite") is None and message.type != "groupchat"


def _is_invitation(message: Message) -> bool:
    """§6.1: one into a room, direct (XEP-0249) or mediated (XEP-0045 §7.8.2)."""
    if message.child(ns.CONFERENCE, "x") is not None:
        return True
    user = message.child(ns.MUC_USER, "x")
    return user is not None and user.child(ns.MUC_USER, "invite") is not None
