"""What only the recipient's own server may say in a message is not believed of others, whatever modules run."""

from __future__ import annotations

from typing import Any, ClassVar

from federix.api import JID, Message, Module, Outcome, hooks
from federix.testing import Client
from federix.testing.match import parse
from federix.xmpp import ns

from .passage_case import Keeper, SlowArchives
from .support import WorldTestCase

STAMP = "2002-09-10T23:08:25Z"
FETCHED = "<offline xmlns='http://jabber.org/protocol/offline'><item node='1'/></offline>"


def delay(from_: str | None) -> str:
    said = "" if from_ is None else f" from='{from_}'"
    return f"<delay xmlns='urn:xmpp:delay'{said} stamp='{STAMP}'/>"


OURS = delay("example.org")


class Seeing(Module):
    """Notes what hooks see of messages to accounts."""

    name = "mod_seeing"

    async def on_start(self) -> None:
        self.seen: list[Message] = []

    @hooks.sm_receive_packet.only(Message)
    def received(self, account: JID, message: Message) -> Outcome:
        self.seen.append(message)
        return None


class ForgeriesTests(WorldTestCase):
    modules: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        own: dict[str, type[Module]] = {"mod_seeing": Seeing, "mod_keeper": Keeper}
        self.world = self.new_world(modules={**{name: {} for name in own}, **self.modules}, own_modules=own)
        self.archives = SlowArchives()
        self.world.server.storage.archives = self.archives
        self.romeo = self.world.client("romeo@example.org/orchard")
        self.juliet = self.world.client("juliet@example.org/balcony")

    def write(self, content: str, to: str = "juliet@example.org/balcony") -> None:
        self.romeo.send(f"<message to='{to}' type='chat'>{content}<body>hark</body></message>")

    def froms(self, client: Client) -> list[str | None]:
        """From whom the delays are of which the next message tells."""
        return [child.get("from") for child in client.receive().children_of(ns.DELAY, "delay")]

    def test_a_delay_that_claims_to_be_the_hosts_is_removed(self) -> None:
        """XEP-0203 §5: "the recipient's server SHOULD discard a delayed delivery notation whose 'from' attribute
        matches the server's JabberID".
        """
        self.write(OURS)
        self.assertEqual(self.froms(self.juliet), [])

    def test_however_it_spells_the_host(self) -> None:
        self.write(delay("Example.ORG") + OURS + delay("example.org."))
        self.assertEqual(self.froms(self.juliet), [])

    def test_those_of_others_stay(self) -> None:
        others = ["room@chat.example", "a@@b", "romeo@example.org", "other.example", None, ""]
        self.write("".join(map(delay, others)))
        self.assertEqual(self.froms(self.juliet), others)

    def test_and_what_the_message_only_quotes(self) -> None:
        quoted = f"<forwarded xmlns='urn:xmpp:forward:0'>{OURS}</forwarded>"
        self.write(f"{quoted}<body>urn:xmpp:delay</body>")
        self.assertIn(b"<body>urn:xmpp:delay</body>", self.juliet.raw)
        forwarded = self.juliet.receive().child(ns.FORWARD, "forwarded")
        assert forwarded is not None
        self.assertEqual([child.get("from") for child in forwarded.elements()], ["example.org"])

    def test_that_it_was_fetched_from_where_it_waited_is_the_servers_to_say(self) -> None:
        self.write(FETCHED)
        self.assertIsNone(self.juliet.receive().child(ns.OFFLINE, "offline"))

    def test_whoever_sends_it(self) -> None:
        """A component, or another server."""
        xml = f"<message xmlns='jabber:client' from='a@b.example' to='juliet@example.org/balcony'>{OURS}</message>"
        router = self.world.server.router
        for waiting in (router.route(Message(parse(xml))), router.route_behind(Message(parse(xml)), None, None)):
            self.assertIsNone(waiting)
            self.world.pump()
            self.assertEqual(self.froms(self.juliet), [])

    def test_no_handler_sees_it_and_no_archive_keeps_it(self) -> None:
        self.write(OURS)
        (seen,) = self.world.host("example.org").module(Seeing).seen
        self.assertEqual(seen.element.children_of(ns.DELAY, "delay"), [])
        (kept,) = (row for row in self.archives.kept if not row.sent)
        self.assertNotIn(b"delay", kept.stanza)

    def test_what_was_delivered_before_says_so_still(self) -> None:
        xml = f"<message xmlns='jabber:client' from='a@b.example' to='juliet@example.org/balcony'>{OURS}</message>"
        self.available(self.juliet)
        self.world.host("example.org").deliver_again(Message(parse(xml)))
        self.assertEqual(self.froms(self.juliet), ["example.org"])


class OfflineForgeriesTests(ForgeriesTests):
    modules: ClassVar[dict[str, Any]] = {"mod_offline": {}}
