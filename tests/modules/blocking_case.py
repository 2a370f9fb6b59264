"""What the tests of mod_blocking share: who is there, and how he blocks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from federix.api import JID, Contact, Element, Message, RosterItem, message
from federix.modules.blocking import Blocking
from federix.testing import Client, World

from .rfc6121 import MERCUTIO, ROMEO, Elsewhere, arrive, befriend, keep

JULIET = "juliet@example.org"
ORCHARD, GARDEN, BALCONY = f"{ROMEO}/orchard", f"{ROMEO}/garden", f"{JULIET}/balcony"
MARKET = f"{MERCUTIO}/market"
ROOM = "room@muc.example"
BLOCKING = "xmlns='urn:xmpp:blocking'"
UNAVAILABLE = "service-unavailable"


def items(*jids: str) -> str:
    return "".join(f"<item jid='{jid}'/>" for jid in jids)


def refusal(kind: str, sender: str) -> str:
    return (
        f"<{kind} type='error' from='{sender}'><error type='cancel'>"
        "<not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
        f"<blocked xmlns='urn:xmpp:blocking:errors'/></error></{kind}>"
    )


def error(kind: str, condition: str = UNAVAILABLE) -> str:
    return f"<{kind} type='error'><error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></{kind}>"


def message_from(sender: str, kind: str = "chat", id: str | None = None) -> Message:
    return message(kind, body="Hey.", to=JID.parse(ORCHARD), sender=JID.parse(sender), id=id)


class BlockingCase(SynchronousTestCase):
    """Romeo and Juliet see each other; so do Mercutio, who is elsewhere, and Romeo. Romeo blocks."""

    blocking: Mapping[str, Any] = MappingProxyType({"max_items": 5})

    def setUp(self) -> None:
        self.modules = {"mod_blocking": self.blocking, "mod_roster": {}, "mod_disco": {}, "mod_last": {}}
        self.world = World(modules=self.modules)
        self.addCleanup(self.world.stop)
        self.remote = Elsewhere(self.world)
        self.rooms = Elsewhere(self.world, "muc.example")
        befriend(self.world, ROMEO, JULIET)
        keep(self.world, ROMEO, MERCUTIO, Contact(RosterItem(MERCUTIO, subscription="both")))

    def arrive(self, jid: str, presence: str | None = "<presence/>") -> Client:
        client = arrive(self.world, jid, presence=presence)
        self.remote.got.clear()
        return client

    def command(self, client: Client, name: str, content: str = "") -> Element:
        return client.request(
            f"<iq type='set' id='{client.new_id()}'><{name} xmlns='urn:xmpp:blocking'>{content}</{name}></iq>"
        )

    def block(self, client: Client, *jids: str) -> None:
        self.assertEqual(self.command(client, "block", items(*jids)).get("type"), "result")

    def unblock(self, client: Client, *jids: str) -> None:
        self.assertEqual(self.command(client, "unblock", items(*jids)).get("type"), "result")

    def ask(self, client: Client) -> list[str | None]:
        answer = client.request(f"<iq type='get' id='{client.new_id()}'><blocklist {BLOCKING}/></iq>")
        found = answer.child("urn:xmpp:blocking", "blocklist")
        assert found is not None
        return [item.get("jid") for item in found.elements()]

    def assert_error(self, answer: Element, condition: str) -> None:
        self.assertEqual(answer.get("type"), "error")
        self.assertIn(f"<{condition} ", answer.to_xml())

    @property
    def module(self) -> Blocking:
        return self.world.host("example.org").module(Blocking)
