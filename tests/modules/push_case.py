"""What the tests of mod_push share: a push service, one who is woken, and one who writes to him."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from federix.api import HANDLED, JID, Element, Message, Module, Outcome, hooks
from federix.modules.push import Push
from federix.modules.push_services import PAUSE
from federix.testing import Client, World
from federix.testing.login import scram_sha_1

from .rfc6121 import arrive

ROMEO, JULIET = "romeo@example.org", "juliet@example.org"
PHONE, DESK = f"{ROMEO}/phone", f"{ROMEO}/desk"
SERVICE = "push.example.org"
NODE = "yxs32uqsflafdk3iuqo"
OPTIONS = (
    "<x xmlns='jabber:x:data' type='submit'>"
    "<field var='FORM_TYPE'><value>http://jabber.org/protocol/pubsub#publish-options</value></field>"
    "<field var='secret'><value>eruio234vzxc2kla-91</value></field></x>"
)
PUBSUB = "http://jabber.org/protocol/pubsub"


class Keeps(Module):
    """Keeps messages for those who are not there, as far as their senders can tell."""

    name = "mod_keeps"

    @hooks.offline_message
    def keep(self, account: JID, message: Message) -> Outcome:
        return HANDLED


class PushCase(SynchronousTestCase):
    """Romeo's phone has registered and is gone; Juliet writes to him."""

    options: Mapping[str, Any] = MappingProxyType({})

    def setUp(self) -> None:
        self.modules = {
            "mod_push": self.options,
            "mod_roster": {},
            "mod_disco": {},
            "mod_keeps": {},
            "mod_stream_mgmt": {},
        }
        self.world = World(modules=self.modules, own_modules={"mod_keeps": Keeps}, components={SERVICE: "secret"})
        self.addCleanup(self.world.stop)
        self.service = self.world.component(SERVICE, "secret")
        self.juliet = self.arrive(f"{JULIET}/balcony")

    @property
    def module(self) -> Push:
        return self.world.host("example.org").module(Push)

    def arrive(self, jid: str) -> Client:
        return arrive(self.world, jid)

    def manage(self, client: Client) -> str:
        """Have the stream of *client* managed, so that its session sleeps when it is lost; the id to resume it by."""
        client.drain()
        client.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        return client.expect("<enabled xmlns='urn:xmpp:sm:3'/>").get("id") or ""

    def sleep(self, client: Client) -> str:
        """Have *client* lose its stream, and its session sleep."""
        id = self.manage(client)
        client.cut()
        return id

    def resume(self, id: str) -> Client:
        """Romeo's phone comes back, and has got nothing of what it was sent."""
        client = self.world.connect()
        client.open("example.org")
        scram_sha_1(client, "romeo", "secret")
        client.open("example.org")
        client.send(f"<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='0'/>")
        client.expect("<resumed xmlns='urn:xmpp:sm:3'/>")
        return client

    def enable(self, client: Client, node: str | None = NODE, form: str = "", service: str = SERVICE) -> Element:
        attribute = "" if node is None else f"node='{node}'"
        return client.request(
            f"<iq type='set' id='{client.new_id()}'><enable xmlns='urn:xmpp:push:0' jid='{service}' {attribute}>{form}"
            "</enable></iq>"
        )

    def disable(self, client: Client, attributes: str) -> Element:
        return client.request(
            f"<iq type='set' id='{client.new_id()}'><disable xmlns='urn:xmpp:push:0' {attributes}/></iq>"
        )

    def register(self, jid: str = PHONE, node: str = NODE, form: str = "") -> Client:
        client = self.arrive(jid)
        self.assertEqual(self.enable(client, node, form).get("type"), "result")
        return client

    def write(self, content: str = "<body>Wherefore art thou?</body>", to: str = ROMEO, kind: str = "chat") -> None:
        self.juliet.send(f"<message to='{to}' type='{kind}'>{content}</message>")

    def pushed(self, *, answer: str = "result", error: str = "") -> list[Element]:
        """The publish requests that came, each answered."""
        found = self.service.drain()
        for request in found:
            self.service.send(
                f"<iq type='{answer}' id='{request.get('id')}' from='{SERVICE}' to='{request.get('from')}'>{error}</iq>"
            )
        return found

    def nodes(self) -> list[str | None]:
        """On which nodes something was published."""
        found = []
        for request in self.pushed():
            pubsub = request.child(PUBSUB, "pubsub")
            publish = pubsub.child(PUBSUB, "publish") if pubsub is not None else None
            found.append(publish.get("node") if publish is not None else None)
        return found

    def fields(self, request: Element) -> dict[str, str]:
        """What the summary of a notification says."""
        pubsub = request.child(PUBSUB, "pubsub")
        assert pubsub is not None
        publish = pubsub.child(PUBSUB, "publish")
        assert publish is not None
        item = publish.child(PUBSUB, "item")
        assert item is not None
        notification = item.child("urn:xmpp:push:0", "notification")
        assert notification is not None
        form = notification.child("jabber:x:data", "x")
        if form is None:
            return {}
        return {
            str(field.get("var")): str(field.text_of("jabber:x:data", "value"))
            for field in form.children_of("jabber:x:data", "field")
        }

    def settle(self) -> None:
        """Let the pause between two notifications pass."""
        self.world.advance(PAUSE)

    def assert_error(self, answer: Element, condition: str) -> None:
        self.assertEqual(answer.get("type"), "error")
        self.assertIn(f"<{condition} ", answer.to_xml())
