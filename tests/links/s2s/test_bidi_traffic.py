"""XEP-0288 with stream management (XEP-0198) and shapers: what goes either way is counted, and slowed down."""

from __future__ import annotations

from federix.links.s2s.confirm import Way
from federix.testing import PeerStream
from federix.xmpp import ns

from .bidi import NONZA, SM, BidiTestCase, bodies, message

ENABLE = f"<enable xmlns='{ns.SM}'/>"
ENABLED = f"<enabled xmlns='{ns.SM}'/>"
REQUEST = f"<r xmlns='{ns.SM}'/>"


def acknowledgement(h: int) -> str:
    return f"<a xmlns='{ns.SM}' h='{h}'/>"


class Counting(BidiTestCase):
    """What goes either way on one stream is counted apart."""

    def incoming(self) -> PeerStream:
        self.begin()
        stream = self.connected()
        stream.send(ENABLE)
        stream.expect(ENABLED)
        self.say("0")
        return stream

    def outgoing(self) -> PeerStream:
        self.begin()
        self.say("0")
        stream = self.reached(SM)
        stream.expect(ENABLE)
        stream.send(ENABLED)
        return stream

    def say(self, text: str) -> None:
        self.romeo.send(message(text, "romeo@a.test/x", "juliet@b.test/y"))

    def unconfirmed(self) -> int:
        link = self.route()
        assert link is not None
        self.assertEqual(link.confirmations.way, Way.ACKS)
        return len(link.confirmations)

    def test_both_directions_are_counted_on_either_kind_of_stream(self) -> None:
        for make in (self.incoming, self.outgoing):
            stream = make()
            for number in range(3):
                stream.send(message(str(number)))
            for number in range(1, 5):
                self.say(str(number))
            self.assertEqual(bodies(stream.drain()), ["0", "1", "2", "3", "4"])
            stream.send(REQUEST)
            stream.expect(acknowledgement(3))
            stream.send(acknowledgement(2))
            self.assertEqual(self.unconfirmed(), 3)
            stream.send(message("3"))
            stream.send(REQUEST)
            stream.expect(acknowledgement(4))
            self.federation.advance(1)
            stream.expect(REQUEST)
            stream.send(acknowledgement(5))
            self.assertEqual(self.unconfirmed(), 0)
            self.assertEqual(bodies(self.romeo.drain()), ["0", "1", "2", "3"])

    def test_who_acknowledges_more_than_was_sent_is_closed(self) -> None:
        """More than we have sent, though not more than the peer has."""
        for make in (self.incoming, self.outgoing):
            stream = make()
            for number in range(3):
                stream.send(message(str(number)))
            stream.drain()
            stream.send(acknowledgement(2))
            self.assert_ended(stream, "undefined-condition")

    def test_nothing_is_lost_or_said_twice_either_way_when_the_connection_breaks(self) -> None:
        federation = self.make("a.test", "b.test")
        people = [federation.client("romeo@a.test/x"), federation.client("juliet@b.test/y")]
        for client, other in (people, people[::-1]):
            client.send(f"<message to='{other.jid}'><body>0</body></message>")
        federation.advance(20)
        federation.network.partition("a.test", "b.test")
        for client, other in (people, people[::-1]):
            client.send(f"<message to='{other.jid}'><body>1</body></message>")
        federation.advance(1)
        self.assertEqual([bodies(client.drain()) for client in people], [["0"], ["0"]])
        federation.network.cut("a.test", "b.test")
        federation.network.heal()
        for client, other in (people, people[::-1]):
            client.send(f"<message to='{other.jid}'><body>2</body></message>")
        federation.advance(20)
        self.assertEqual([bodies(client.drain()) for client in people], [["1", "2"], ["1", "2"]])


class Slowly(BidiTestCase):
    """What other servers send is slowed down as their port says, whoever has opened the stream."""

    def begin_slowly(self) -> None:
        slow = {"shaper": {"slow": {"rate": 1000, "burst_size": 2000}}, "shaper_rules": {"for_servers": "slow"}}
        port = {"module": "ejabberd_s2s_in", "port": 5280, "ip": "::", "shaper": "for_servers"}
        self.begin(config=slow, worlds={"a.test": {"listen": [port]}})

    def check_slow(self, stream: PeerStream) -> None:
        for number in range(10):
            stream.write(message(f"{number} " + 1000 * "x"))
            self.federation.pump()
        self.assertLess(len(self.romeo.drain()), 5)
        self.federation.advance(5)
        self.assertLess(len(self.romeo.drain()), 6)
        self.federation.advance(10)
        self.assertTrue(bodies(self.romeo.drain())[-1].startswith("9"))

    def test_a_stream_that_the_peer_has_opened_is_read_slowly(self) -> None:
        self.begin_slowly()
        stream = self.peer.dial("a.test", port=5280)
        stream.open()
        stream.start_tls()
        stream.open()
        stream.send(NONZA)
        stream.authenticate()
        self.check_slow(stream)

    def test_one_that_we_have_opened_is_no_way_around_it(self) -> None:
        self.begin_slowly()
        self.romeo.send(message("0", "romeo@a.test/x", "juliet@b.test/y"))
        self.check_slow(self.reached(""))
