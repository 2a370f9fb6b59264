"""However bytes are cut and whenever they come, a conversation is the same; chat is passed on in its own bytes."""

from __future__ import annotations

import random

from federix.testing import Client, World
from federix.testing.world import PASSWORD
from federix.xmpp import ns
from tests.links.support import WorldTestCase, auth, decoded, response, scram
from tests.xmpp.sasl.support import Client as Scram

STANZAS = (
    "<message to='juliet@example.org/balcony' type='chat'><body>Neither, fair saint &amp; &#x2665;</body></message>",
    "<message to='juliet@example.org/balcony' type='chat'><body><![CDATA[if > either]]></body></message>",
    "\n  <message to = 'juliet@example.org/balcony' a=\">\"><body>\u2665\U0001f339</body><x xmlns='urn:x'/></message>",
    "<presence to='juliet@example.org/balcony'/>",
    "<message to='@'><body>nobody</body></message>",
    "<iq type='get' id='2' to='example.org'><query xmlns='urn:unknown'/></iq>",
)


class Conversation:
    """A login and a chat, each thing said when the answer to the one before is here."""

    def __init__(self, world: World, *, tls: bool, wait: float = 0.0) -> None:
        self.world = world
        self.tls = tls
        self.wait = wait

    def say(self, client: Client, said: str | bytes) -> None:
        client.send(said)
        if self.wait:
            self.world.advance(self.wait)

    def open(self, client: Client) -> None:
        client._parser = type(client._parser)(client._parser.limits)
        self.say(
            client,
            f"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='{ns.STREAMS}' "
            "to='example.org' version='1.0' xml:lang='it'>",
        )
        client.expect("<features xmlns='http://etherx.jabber.org/streams'/>")

    def login(self, client: Client, user: str, resource: str) -> None:
        self.open(client)
        if self.tls:
            self.say(client, f"<starttls xmlns='{ns.TLS}'/>")
            client.expect(f"<proceed xmlns='{ns.TLS}'/>")
            client.begin_tls("example.org")
            if self.wait:
                self.world.advance(3 * self.wait)
            self.open(client)
        half = Scram("SHA-1", name=user, password=PASSWORD)
        self.say(client, auth("SCRAM-SHA-1", half.first()))
        self.say(client, response(half.final(decoded(client.expect(f"<challenge xmlns='{ns.SASL}'/>")))))
        client.expect(f"<success xmlns='{ns.SASL}'/>")
        self.open(client)
        bind = f"<iq type='set' id='b'><bind xmlns='{ns.BIND}'><resource>{resource}</resource></bind></iq>"
        self.say(client, bind)
        client.expect("<iq type='result' id='b'/>")

    def hold(self, romeo: Client, juliet: Client) -> tuple[list[str], list[str]]:
        """What each of them hears."""
        self.login(romeo, "romeo", "orchard")
        self.login(juliet, "juliet", "balcony")
        self.say(romeo, "".join(STANZAS))
        self.world.advance(self.wait)
        self.say(romeo, "</stream:stream>")
        self.world.advance(10)
        heard = tuple([element.to_xml() for element in client.drain()] for client in (romeo, juliet))
        return heard[0], heard[1]


class CutTests(WorldTestCase):
    def world_with_both(self) -> tuple[World, Client, Client]:
        world = self.make()
        for name in ("romeo", "juliet"):
            world.register(f"{name}@example.org")
        return world, world.connect(), world.connect()

    def plainly(self) -> tuple[list[str], list[str]]:
        world, romeo, juliet = self.world_with_both()
        heard = Conversation(world, tls=False).hold(romeo, juliet)
        self.assertEqual(len(heard[0]), 2, heard)
        self.assertEqual(len(heard[1]), 4, heard)
        self.assertTrue(romeo.ended)
        return heard

    def test_byte_by_byte(self) -> None:
        expected = self.plainly()
        for tls in (False, True):
            world, romeo, juliet = self.world_with_both()
            romeo.wire.byte_by_byte = juliet.wire.byte_by_byte = True
            self.assertEqual(Conversation(world, tls=tls).hold(romeo, juliet), expected)

    def test_with_delays(self) -> None:
        expected = self.plainly()
        for tls in (False, True):
            world, romeo, juliet = self.world_with_both()
            romeo.wire.delay, juliet.wire.delay = 0.3, 0.7
            self.assertEqual(Conversation(world, tls=tls, wait=2).hold(romeo, juliet), expected)

    def test_cut_anywhere(self) -> None:
        expected = self.plainly()
        for seed in range(20):
            chance = random.Random(seed)
            world, romeo, juliet = self.world_with_both()
            for client in (romeo, juliet):
                cut_at_random(client, chance)
            self.assertEqual(Conversation(world, tls=seed % 4 == 0).hold(romeo, juliet), expected, f"seed {seed}")


def cut_at_random(client: Client, chance: random.Random) -> None:
    """Have both ends of its wire write in pieces of random sizes."""
    for end in (client.wire.near, client.wire.far):
        whole = end.write

        def write(data: bytes, whole: object = whole) -> None:
            while data:
                size = chance.choice((1, 2, 3, 7, 20, 100, 1000))
                whole(data[:size])  # type: ignore[operator]
                data = data[size:]

        end.write = write  # type: ignore[method-assign]


class ReuseTests(WorldTestCase):
    """A stanza leaves in the bytes it came in."""

    def test_ordinary_chat_is_not_rendered(self) -> None:
        world = self.make()
        romeo, juliet = world.client("romeo@example.org/orchard"), world.client("juliet@example.org/balcony", tls=True)
        counters = world.server.counters
        reused, rendered = counters.reused, counters.rendered
        for n in range(100):
            romeo.send(
                f"<message to='juliet@example.org/balcony' id='{n}' type='chat'><body>Arise, fair sun</body>"
                "<active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/>"
                f"<origin-id xmlns='urn:xmpp:sid:0' id='{n}'/></message>"
            )
            juliet.expect(f"<message id='{n}' from='romeo@example.org/orchard'><body>Arise, fair sun</body></message>")
        self.assertEqual(counters.reused - reused, 100)
        self.assertEqual(counters.rendered, rendered)

    def test_its_bytes_are_the_senders_own(self) -> None:
        world = self.make()
        romeo, juliet = world.client("romeo@example.org/orchard"), world.client("juliet@example.org/balcony")
        inside = "<body  >a&lt;b\t c</body ><x\n xmlns = 'urn:x'  y=\"1\" />"
        romeo.send(f"<message to='juliet@example.org/balcony'>{inside}</message>")
        self.assertIn(inside.encode(), bytes(juliet.raw))

    def test_the_language_of_a_stream_does_not_prevent_it(self) -> None:
        world = self.make()
        address = world.register("romeo@example.org").with_resource("orchard")
        romeo, juliet = world.connect(), world.client("juliet@example.org/balcony")
        romeo.open("example.org")
        scram(romeo, Scram("SHA-1", name="romeo", password=PASSWORD), "SCRAM-SHA-1")
        romeo.open("example.org", "xml:lang='it'")
        romeo.bind(address)
        before = world.server.counters.rendered
        romeo.send("<message to='juliet@example.org/balcony'><body>ciao</body></message>")
        juliet.expect("<message xml:lang='it'><body>ciao</body></message>")
        self.assertEqual(world.server.counters.rendered, before)
