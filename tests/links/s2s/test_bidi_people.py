"""What people do with contacts whose server nobody can connect to: the one stream it has opened carries it all."""

from __future__ import annotations

from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from zope.interface import implementer

from federix.testing import Client, Federation, PeerStream
from federix.xmpp import ns
from federix.xmpp.element import Element

from .bidi import BidiTestCase, message

MUC = "http://jabber.org/protocol/muc"
VCARD = "vcard-temp"
AVATAR = "urn:xmpp:avatar:data"
PUBSUB = "http://jabber.org/protocol/pubsub"
CAPS = "http://jabber.org/protocol/caps"
DISCO = "http://jabber.org/protocol/disco#info"
MODULES: dict[str, dict[str, object]] = {"mod_roster": {}, "mod_ping": {}, "mod_disco": {}}


class BehindNat(BidiTestCase):
    """b.test has connected to us, and to connect to it is impossible."""

    def setUp(self) -> None:
        super().setUp()
        self.begin(modules=MODULES, peer={"listen": False})
        self.stream = self.connected()
        self.addCleanup(self.check)

    def check(self) -> None:
        self.assertEqual(len(self.federation.transcript.connections()), 1)
        self.assertEqual(self.federation.network.attempts, [])
        self.assertFalse(self.stream.ended)

    def authorise(self, domain: str) -> None:
        self.stream.send(f"<db:result from='{domain}' to='a.test'>a key</db:result>")
        self.stream.expect(f"<db:result from='a.test' to='{domain}' type='valid'/>")

    def ask(self, to: str, payload: str, answer: str) -> Element:
        """Romeo asks; the peer answers, and Romeo gets that."""
        self.romeo.send(f"<iq type='get' id='q' to='{to}'>{payload}</iq>")
        asked = self.stream.expect(f"<iq type='get' from='romeo@a.test/x' to='{to}' id='q'>{payload}</iq>")
        self.stream.send(f"<iq type='result' id='{asked.get('id')}' from='{to}' to='romeo@a.test/x'>{answer}</iq>")
        return self.romeo.expect(f"<iq type='result' from='{to}' id='q'/>")

    def join(self) -> None:
        self.authorise("rooms.b.test")
        self.romeo.send(f"<presence to='hall@rooms.b.test/Romeo'><x xmlns='{MUC}'/></presence>")
        self.stream.expect(
            f"<presence from='romeo@a.test/x' to='hall@rooms.b.test/Romeo'><x xmlns='{MUC}'/></presence>"
        )
        for nick in ("Juliet", "Nurse", "Romeo"):
            self.stream.write(f"<presence from='hall@rooms.b.test/{nick}' to='romeo@a.test/x'/>")
        self.stream.send("<message type='groupchat' from='hall@rooms.b.test' to='romeo@a.test/x'><subject/></message>")

    def test_a_room_is_joined_talked_in_and_left(self) -> None:
        self.join()
        for nick in ("Juliet", "Nurse", "Romeo"):
            self.romeo.expect(f"<presence from='hall@rooms.b.test/{nick}'/>")
        self.romeo.expect("<message type='groupchat'><subject/></message>")
        self.romeo.send("<message type='groupchat' to='hall@rooms.b.test'><body>hello</body></message>")
        self.stream.expect("<message type='groupchat' to='hall@rooms.b.test'><body>hello</body></message>")
        self.romeo.close()
        self.stream.expect("<presence type='unavailable' from='romeo@a.test/x' to='hall@rooms.b.test/Romeo'/>")

    def test_a_vcard_is_fetched(self) -> None:
        got = self.ask("juliet@b.test", f"<vCard xmlns='{VCARD}'/>", f"<vCard xmlns='{VCARD}'><FN>J</FN></vCard>")
        self.assertIsNotNone(got.child(VCARD, "vCard"))

    def test_an_avatar_is_announced_and_fetched(self) -> None:
        event = f"<event xmlns='{PUBSUB}#event'><items node='urn:xmpp:avatar:metadata'/></event>"
        self.stream.send(f"<message type='headline' from='juliet@b.test' to='romeo@a.test/x'>{event}</message>")
        self.romeo.expect(f"<message from='juliet@b.test'>{event}</message>")
        items = f"<pubsub xmlns='{PUBSUB}'><items node='{AVATAR}'>{{}}</items></pubsub>"
        picture = "A" * 60_000
        got = self.ask(
            "juliet@b.test",
            items.format("<item id='1'/>"),
            items.format(f"<item id='1'><data xmlns='{AVATAR}'>{picture}</data></item>"),
        )
        self.assertIn(picture, got.to_xml())

    def test_presence_is_subscribed_to_and_probed(self) -> None:
        self.romeo.request("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
        self.romeo.send("<presence><status>here</status></presence>")
        self.stream.send("<presence type='subscribe' from='juliet@b.test' to='romeo@a.test'/>")
        self.romeo.send("<presence type='subscribed' to='juliet@b.test'/>")
        self.stream.expect("<presence type='subscribed' from='romeo@a.test' to='juliet@b.test'/>")
        self.stream.expect("<presence from='romeo@a.test/x' to='juliet@b.test'><status>here</status></presence>")
        self.stream.send("<presence type='probe' from='juliet@b.test/y' to='romeo@a.test'/>")
        self.stream.expect("<presence from='romeo@a.test/x' to='juliet@b.test/y'><status>here</status></presence>")

    def test_servers_are_pinged_both_ways(self) -> None:
        """XEP-0199 §4.4."""
        ping = f"<ping xmlns='{ns.PING}'/>"
        self.ask("b.test", ping, "")
        self.stream.send(f"<iq type='get' id='p' from='b.test' to='a.test'>{ping}</iq>")
        self.stream.expect("<iq type='result' id='p' from='a.test' to='b.test'/>")

    def test_a_server_that_was_silent_is_asked_on_its_own_stream(self) -> None:
        for _ in range(3):
            self.federation.advance(300)
            asked = self.stream.expect(f"<iq type='get' from='a.test' to='b.test'><ping xmlns='{ns.PING}'/></iq>")
            self.stream.send(f"<iq type='result' id='{asked.get('id')}' from='b.test' to='a.test'/>")
        self.romeo.nothing()

    def test_who_is_in_a_room_asks_himself_whether_he_still_is(self) -> None:
        """XEP-0410: the room hands the ping to who sent it, and his answer back to him."""
        self.join()
        self.romeo.drain()
        ping = f"<ping xmlns='{ns.PING}'/>"
        self.romeo.send(f"<iq type='get' id='self' to='hall@rooms.b.test/Romeo'>{ping}</iq>")
        self.stream.expect(f"<iq type='get' from='romeo@a.test/x' to='hall@rooms.b.test/Romeo'>{ping}</iq>")
        self.stream.send(f"<iq type='get' id='1' from='hall@rooms.b.test/Romeo' to='romeo@a.test/x'>{ping}</iq>")
        self.romeo.expect(f"<iq type='get' id='1'>{ping}</iq>")
        self.romeo.send("<iq type='result' id='1' to='hall@rooms.b.test/Romeo'/>")
        self.stream.expect("<iq type='result' id='1' from='romeo@a.test/x' to='hall@rooms.b.test/Romeo'/>")
        self.stream.send("<iq type='result' id='self' from='hall@rooms.b.test/Romeo' to='romeo@a.test/x'/>")
        self.romeo.expect("<iq type='result' id='self' from='hall@rooms.b.test/Romeo'/>")


@implementer(ILogObserver)
class Records:
    """What is logged at info or above."""

    def __init__(self) -> None:
        self.said: list[tuple[LogLevel, str]] = []

    def __call__(self, event: LogEvent) -> None:
        level = event["log_level"]
        if level >= LogLevel.info:
            self.said.append((level, str(event.get("log_format"))))


class NormalTraffic(BidiTestCase):
    """Three minutes of what goes between servers all day is nothing to write about."""

    def setUp(self) -> None:
        super().setUp()
        self.records = Records()
        globalLogPublisher.addObserver(self.records)
        self.addCleanup(globalLogPublisher.removeObserver, self.records)

    def become_contacts(self, people: list[Client]) -> None:
        for client, other in (people, people[::-1]):
            client.request("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
            client.send("<presence/>")
            client.send(f"<presence type='subscribe' to='{bare(other)}'/>")
        for client, other in (people, people[::-1]):
            client.send(f"<presence type='subscribed' to='{bare(other)}'/>")

    def talk(self, client: Client, other: Client, number: int) -> None:
        """Presence with caps, what is asked because of that, a vCard, pings, and something to read."""
        caps = f"<c xmlns='{CAPS}' hash='sha-1' node='urn:x' ver='{number}'/>"
        photo = "<x xmlns='vcard-temp:x:update'><photo>abc</photo></x>"
        client.send(f"<presence>{caps}{photo}</presence>")
        for each in (client, other):
            each.expect(f"<presence from='{client.jid}'>{caps}</presence>")
        for payload, answer in (
            (f"<query xmlns='{DISCO}' node='urn:x#{number}'/>", f"<query xmlns='{DISCO}'/>"),
            (f"<vCard xmlns='{VCARD}'/>", f"<vCard xmlns='{VCARD}'><FN>x</FN></vCard>"),
            (f"<ping xmlns='{ns.PING}'/>", ""),
        ):
            other.send(f"<iq type='get' id='keepalive:{number}' to='{client.jid}'>{payload}</iq>")
            client.expect(f"<iq type='get'>{payload}</iq>")
            client.send(f"<iq type='result' id='keepalive:{number}' to='{other.jid}'>{answer}</iq>")
            other.expect(f"<iq type='result' id='keepalive:{number}' from='{client.jid}'/>")
        client.send(f"<iq type='get' id='p' to='{bare(other).partition('@')[2]}'><ping xmlns='{ns.PING}'/></iq>")
        client.expect("<iq type='result' id='p'/>")
        client.send(f"<message type='chat' to='{other.jid}'><body>{number}</body></message>")
        other.expect(f"<message type='chat'><body>{number}</body></message>")

    def test_normal_traffic_logs_nothing_at_warning(self) -> None:
        for both, direct_tls in ((True, False), (True, True), (False, False)):
            federation: Federation = self.make("a.test", "b.test", modules=MODULES, bidi=both, direct_tls=direct_tls)
            people = [federation.client("romeo@a.test/x"), federation.client("juliet@b.test/y")]
            self.become_contacts(people)
            # Streams are opened, and people log in; that is written down, and is all.
            self.assertEqual({level for level, _ in self.records.said}, {LogLevel.info})
            self.pause(federation, people)
            self.records.said.clear()
            for number in range(18):
                self.talk(people[0], people[1], number)
                self.talk(people[1], people[0], number)
                self.pause(federation, people)
            self.assertEqual(self.records.said, [])
            self.assertEqual(len(federation.network.connections("a.test", "b.test")), 1 if both else 2)

    def pause(self, federation: Federation, people: list[Client]) -> None:
        federation.advance(10)
        for client in people:
            client.drain()

    def test_nor_does_that_with_a_server_that_counts_nothing_and_pings(self) -> None:
        self.begin(modules=MODULES)
        theirs = self.connected()
        self.romeo.send(message("1", "romeo@a.test/x", "juliet@b.test/y"))
        self.federation.advance(1)
        self.answer(theirs)
        self.records.said.clear()
        to = "from='juliet@b.test/y' to='romeo@a.test/x'"
        for number in range(18):
            self.romeo.send(message(str(number), "romeo@a.test/x", "juliet@b.test/y"))
            theirs.send(f"<iq type='get' id='k{number}' from='b.test' to='a.test'><ping xmlns='{ns.PING}'/></iq>")
            theirs.send(f"<iq type='result' id='keepalive:{number}' from='b.test' to='a.test'/>")
            theirs.send(f"<presence {to}><c xmlns='{CAPS}' node='x' ver='1'/></presence>")
            theirs.send(f"<iq type='result' id='v{number}' {to}><vCard xmlns='{VCARD}'/></iq>")
            self.federation.advance(10)
            self.answer(theirs)
        self.assertEqual(self.records.said, [])
        self.assertEqual(len(self.romeo.drain()), 36)

    def answer(self, stream: PeerStream) -> None:
        """Answer the pings that came."""
        for element in stream.drain():
            if element.child(ns.PING, "ping") is not None:
                stream.send(f"<iq type='result' id='{element.get('id')}' from='b.test' to='a.test'/>")


def bare(client: Client) -> str:
    assert client.jid is not None
    return str(client.jid.bare)
