"""XEP-0313 §6.1.1, XEP-0334: what an archive keeps."""

from __future__ import annotations

import pytest

from federix.api import STANZA, Message
from federix.modules.mam.worth import is_worth_keeping

HINT = "xmlns='urn:xmpp:hints'"
BODY = "<body>hark</body>"
STATE = "<active xmlns='http://jabber.org/protocol/chatstates'/>"


def message(inside: str, kind: str = "chat") -> Message:
    found = STANZA.decode(f"<message from='a@b/c' to='d@e' type='{kind}'>{inside}</message>".encode())
    assert isinstance(found, Message)
    return found


KEPT = {
    "a chat message with a body": (BODY, "chat"),
    "a normal message with a body": (BODY, "normal"),
    "a message of a type that nobody knows": (BODY, "gossip"),
    "an empty body": ("<body/>", "chat"),
    "a body with a chat state": (BODY + STATE, "chat"),
    "a subject": ("<subject>love</subject>", "normal"),
    "an encrypted message": ("<encrypted xmlns='eu.siacs.conversations.axolotl'/>", "chat"),
    "an explicitly encrypted message": ("<encryption xmlns='urn:xmpp:eme:0' namespace='x'/>", "chat"),
    "a receipt": ("<received xmlns='urn:xmpp:receipts' id='1'/>", "chat"),
    "a marker": ("<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>", "chat"),
    "a retraction": ("<retract xmlns='urn:xmpp:message-retract:1' id='1'/>", "chat"),
    "a reaction": ("<reactions xmlns='urn:xmpp:reactions:0' id='1'/>", "chat"),
    "a call": ("<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>", "chat"),
    "an invitation": ("<x xmlns='jabber:x:conference' jid='a@b'/>", "normal"),
    "an invitation that a room passes on": (
        "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@b'/></x>",
        "normal",
    ),
    "what its sender wants stored": (f"{STATE}<store {HINT}/>", "chat"),
    "a headline that its sender wants stored": (f"{BODY}<store {HINT}/>", "headline"),
}
DROPPED = {
    "an error": (BODY + f"<store {HINT}/>", "error"),
    "a message of a room": (BODY, "groupchat"),
    "a message of a room that its sender wants stored": (f"{BODY}<store {HINT}/>", "groupchat"),
    "a headline": (BODY, "headline"),
    "a bare chat state": (STATE, "chat"),
    "a chat state of somebody in a room": (f"{STATE}<x xmlns='http://jabber.org/protocol/muc#user'/>", "chat"),
    "nothing": ("", "chat"),
    "a thread alone": ("<thread>1</thread>", "chat"),
    "a request for a receipt alone": ("<request xmlns='urn:xmpp:receipts'/>", "chat"),
    "markable alone": ("<markable xmlns='urn:xmpp:chat-markers:0'/>", "chat"),
    "no-store": (f"{BODY}<no-store {HINT}/>", "chat"),
    "no-permanent-store": (f"{BODY}<no-permanent-store {HINT}/>", "chat"),
    "both store and no-store": (f"{BODY}<store {HINT}/><no-store {HINT}/>", "chat"),
    "a body that is none": ("<body xmlns='urn:x'>hark</body>", "chat"),
    "an event of pubsub": ("<event xmlns='http://jabber.org/protocol/pubsub#event'/>", "normal"),
}


@pytest.mark.parametrize("what", KEPT)
def test_what_people_say_is_kept(what: str) -> None:
    assert is_worth_keeping(message(*KEPT[what]))


@pytest.mark.parametrize("what", DROPPED)
def test_what_is_said_by_the_way_is_not_kept(what: str) -> None:
    assert not is_worth_keeping(message(*DROPPED[what]))
