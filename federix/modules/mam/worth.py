"""Which messages are worth keeping, whatever their account prefers (XEP-0313 §6.1.1)."""

from __future__ import annotations

from typing import Final

from ...api import Message, ns

_CLIENT: Final = ns.CLIENT
_HINTS: Final = ns.HINTS
#: What a sender wishes not to be kept (XEP-0334 §4.1, §4.2).
_FORBIDDING: Final = frozenset(("no-store", "no-permanent-store"))
#: Children of `jabber:client` that people say something with.
_SAID: Final = frozenset(("body", "subject"))

#: What else belongs to a conversation: encrypted messages, which need have no body, what is said about messages that
#: are kept (that they arrived, were read, are taken back, met with a smile), invitations and calls.
_KEPT: Final = frozenset(
    (
        ns.JINGLE_MESSAGE,
        ns.MARKERS,
        ns.MUC_USER,
        ns.RECEIPTS,
        "eu.siacs.conversations.axolotl",
        "jabber:x:conference",
        "jabber:x:encrypted",
        "urn:xmpp:eme:0",
        "urn:xmpp:fasten:0",
        "urn:xmpp:message-moderate:1",
        "urn:xmpp:message-retract:0",
        "urn:xmpp:message-retract:1",
        "urn:xmpp:omemo:1",
        "urn:xmpp:omemo:2",
        "urn:xmpp:openpgp:0",
        "urn:xmpp:reactions:0",
    )
)
#: Children of those namespaces that say nothing by themselves: they ask for an answer to what they stand beside.
_ASKING: Final = frozenset(("request", "markable"))


def is_worth_keeping(message: Message) -> bool:
    """Whether an archive keeps *message*, unless its account does not want it.

    "a server SHOULD include in a user archive all of the messages a user sends or receives of type 'normal' or 'chat'
    that contain a <body> element", and "MAY include additional non-conversation messages": those that clients need to
    show a conversation as it was. Bare chat states are none of them; what rooms say is in the archives of rooms.
    """
    kind = message.type
    if kind == "error" or kind == "groupchat":
        return False
    is_said = is_wished = False
    for child in message.element.children:  # once over them, as this is asked of every message
        if isinstance(child, str):
            continue
        namespace, name = child.ns, child.name
        if namespace == _CLIENT:
            if name in _SAID:
                is_said = True
        elif namespace == _HINTS:
            if name in _FORBIDDING:
                return False
            # XEP-0334 §4.4: with it a message "that is not of type 'error' SHOULD be stored".
            if name == "store":
                is_wished = True
        elif namespace in _KEPT and name not in _ASKING:
            # Rooms mark what their occupants write each other in private so: alone it says no more than that.
            is_said = is_said or namespace != ns.MUC_USER or child.first() is not None
    # "messages of type 'headline' … not generally suggested": only where their sender asks for it.
    return is_wished or (is_said and kind != "headline")
