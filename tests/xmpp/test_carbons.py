from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from federix.testing.match import parse
from federix.xmpp import carbons, ns
from federix.xmpp.carbons import Side
from federix.xmpp.jid import JID
from federix.xmpp.stanza import Message

BODY: Final = "<body>Hark!</body>"
ACTIVE: Final = "<active xmlns='http://jabber.org/protocol/chatstates'/>"
RECEIPT: Final = "<received xmlns='urn:xmpp:receipts' id='1'/>"
MARKER: Final = "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>"
IN_ROOM: Final = "<x xmlns='http://jabber.org/protocol/muc#user'/>"
MEDIATED: Final = "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='juliet@example.org'/></x>"
DIRECT: Final = "<x xmlns='jabber:x:conference' jid='room@muc.example.org'/>"
PRIVATE: Final = "<private xmlns='urn:xmpp:carbons:2'/>"
NO_COPY: Final = "<no-copy xmlns='urn:xmpp:hints'/>"
OCCUPANT: Final = "room@muc.example.org/nick"


def said(
    kind: str | None, content: str, sender: str = "juliet@example.org/balcony", to: str = "romeo@example.org"
) -> Message:
    attrs = f"from='{sender}' to='{to}'" + (f" type='{kind}'" if kind else "")
    return Message(parse(f"<message {attrs}>{content}</message>", ns.CLIENT))


class Eligibility(SynchronousTestCase):
    """XEP-0280 §6.1."""

    def assert_eligible(self, message: Message, *sides: Side) -> None:
        for side in sides or ("sent", "received"):
            self.assertTrue(carbons.is_eligible(message, side), message)

    def assert_not_eligible(self, message: Message, *sides: Side) -> None:
        for side in sides or ("sent", "received"):
            self.assertFalse(carbons.is_eligible(message, side), message)

    def test_a_chat_message_is_whatever_it_holds(self) -> None:
        self.assert_eligible(said("chat", BODY))
        self.assert_eligible(said("chat", "<encrypted xmlns='eu.siacs.conversations.axolotl'/>"))

    def test_a_normal_message_is_with_a_body_only(self) -> None:
        for kind in ("normal", None, "unheard-of"):
            self.assert_eligible(said(kind, BODY))
            self.assert_not_eligible(said(kind, "<x xmlns='jabber:x:oob'/>"))

    def test_a_body_of_another_namespace_is_none(self) -> None:
        self.assert_not_eligible(said("normal", "<body xmlns='urn:example'>Hark!</body>"))

    def test_what_is_typical_of_im_is_in_a_message_of_any_type(self) -> None:
        for kind in ("normal", "headline"):
            for payload in (ACTIVE, RECEIPT, MARKER):
                self.assert_eligible(said(kind, payload))

    def test_a_headline_is_not(self) -> None:
        self.assert_not_eligible(said("headline", BODY))

    def test_of_an_error_only_who_remembers_its_cause_can_say(self) -> None:
        self.assert_not_eligible(said("error", BODY + ACTIVE))

    def test_a_private_message_is_not(self) -> None:
        self.assert_not_eligible(said("chat", BODY + PRIVATE))

    def test_one_with_the_hint_that_it_is_not_to_be_copied_is_not(self) -> None:
        self.assert_not_eligible(said("chat", BODY + NO_COPY))

    def test_a_groupchat_message_is_not(self) -> None:
        for content in (BODY, ACTIVE, DIRECT, MEDIATED):
            self.assert_not_eligible(said("groupchat", content, sender=OCCUPANT))

    def test_an_invitation_into_a_room_is(self) -> None:
        for invitation in (DIRECT, MEDIATED):
            self.assert_eligible(said("normal", invitation))
            self.assert_eligible(said("normal", invitation, sender="room@muc.example.org"), "received")
            self.assert_eligible(said("normal", invitation, to="room@muc.example.org"), "sent")

    def test_a_private_message_to_an_occupant_of_a_room_is(self) -> None:
        self.assert_eligible(said("chat", BODY + IN_ROOM, to=OCCUPANT), "sent")

    def test_a_private_message_from_an_occupant_is_not(self) -> None:
        for kind in ("chat", "normal"):
            self.assert_not_eligible(said(kind, BODY + IN_ROOM, sender=OCCUPANT), "received")

    def test_a_message_from_the_room_itself_is_one_like_any_other(self) -> None:
        self.assert_eligible(said("normal", BODY + IN_ROOM, sender="room@muc.example.org"), "received")

    def test_what_is_a_copy_or_pretends_to_be_one_is_not(self) -> None:
        for side in ("sent", "received"):
            self.assert_not_eligible(said("chat", f"{BODY}<{side} xmlns='urn:xmpp:carbons:2'/>"))

    def test_to_whom_in_a_room(self) -> None:
        self.assertTrue(carbons.is_to_occupant(said("chat", BODY + IN_ROOM, to=OCCUPANT)))
        self.assertFalse(carbons.is_to_occupant(said("chat", BODY, to=OCCUPANT)))
        self.assertFalse(carbons.is_to_occupant(said("chat", BODY + IN_ROOM, to="room@muc.example.org")))
        self.assertFalse(carbons.is_to_occupant(said("normal", MEDIATED, to=OCCUPANT)))


class Copies(SynchronousTestCase):
    """XEP-0280 §7, §8."""

    def test_a_copy_is_from_the_bare_address_and_keeps_the_type(self) -> None:
        original = said("chat", BODY)
        copy = carbons.copy(original, "received", JID.parse("romeo@example.org/home"))
        self.assertEqual((copy.element.get("from"), copy.type), ("romeo@example.org", "chat"))
        self.assertNotIn("to", copy.element.attrs)
        received = copy.child(ns.CARBONS, "received")
        assert received is not None
        forwarded = received.child(ns.FORWARD, "forwarded")
        assert forwarded is not None
        self.assertEqual(list(forwarded.elements()), [original.element])

    def test_one_of_a_message_without_a_type_has_none(self) -> None:
        self.assertNotIn("type", carbons.copy(said(None, BODY), "sent", JID.parse("romeo@example.org")).element.attrs)

    def test_all_copies_of_a_message_share_its_bytes(self) -> None:
        copy = carbons.copy(said("chat", BODY), "sent", JID.parse("romeo@example.org"))
        self.assertTrue(copy.reusable and copy.addressed(JID.parse("romeo@example.org/home")).reusable)

    def test_a_copy_is_known_as_one(self) -> None:
        for side in ("sent", "received"):
            self.assertTrue(carbons.is_copy(carbons.copy(said("chat", BODY), side, JID.parse("romeo@example.org"))))
        self.assertFalse(carbons.is_copy(said("chat", BODY + RECEIPT)))
