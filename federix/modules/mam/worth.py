"""Which messages are worth keeping, whatever their account prefers (XEP-0313 §6.1.1)."""

from __future__ import annotations

from typing import Final

from ...api import Message, hints, ns

#: Children of `jabber:client` that people say something with.
_SAID: Final = frozenset(("body", "subject"))

#: What else belongs to a conversation: encrypted messages, which need have no body, what is said about messages that
#: are kept (that they arrived, were read, are taken back, met with a smile), invitations and calls.
_KEPT: Final = frozenset(
    (
        ns.JINGLE_MESSAGE,
        ns.MARKERS,
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
    if kind == "error" or kind == "groupchat" or hints.no_permanent_store(message):
        return False
    # "messages of type 'headline' … not generally suggested": only where their sender asks for it (XEP-0334 §4.4).
    if kind != "headline":
        for child in message.element.children:
            if isinstance(child, str):
                continue
            if child.ns == ns.CLIENT:
                if child.name in _SAID:
                    return True
            elif child.ns in _KEPT and child.name not in _ASKING:
                return True
    return hints.store(message)
