"""Taking leave: what has arrived is acknowledged, and nothing comes twice."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from federix.links.s2s.pair import Domains
from federix.testing import Federation
from federix.testing.peer import DIALBACK, EXTERNAL, STARTTLS
from federix.xmpp import ns

from .bidi import SM, BidiTestCase, bodies, dialback_alone
from .logs import Logged, sentences
from .reliable import ENABLE, ENABLED, ReliableTestCase


class Stopping(SynchronousTestCase):
    """One of two servers stops while the other one's people write, and comes back."""

    def both(self, stops: str, first: str) -> None:
        federation = Federation("a.test", "b.test")
        self.addCleanup(federation.stop)
        other = "b.test" if stops == "a.test" else "a.test"
        hears = federation.client(f"juliet@{stops}/y")
        speaks = federation.client(f"romeo@{other}/x")
        opener, answerer = (speaks, hears) if first == other else (hears, speaks)
        opener.send(f"<message to='{answerer.jid}'><body>first</body></message>")
        federation.advance(1)
        hears.drain(), speaks.drain()
        for number in range(5):
            speaks.send(f"<message to='juliet@{stops}/y' id='{number}'><body>{number}</body></message>")
        federation.advance(0.1)
        arrived = bodies(hears.drain())
        self.assertEqual(arrived, ["0", "1", "2", "3", "4"])
        federation.restart(stops)
        again = federation.client(f"juliet@{stops}/y")
        federation.advance(200)
        self.assertEqual(bodies(again.drain()), [])
        self.assertEqual([e for e in speaks.drain() if e.get("type") == "error"], [])

    def test_the_one_that_was_connected_to(self) -> None:
        self.both("b.test", first="a.test")

    def test_the_one_that_has_connected(self) -> None:
        self.both("a.test", first="a.test")


class Rules(ReliableTestCase):
    def reload(self, options: dict[str, Any]) -> None:
        world = self.federation["a.test"]
        world.run(world.server.reload(world.configure(world.settings | options)))
        self.federation.pump()

    def forbid(self, *rules: dict[str, Any]) -> None:
        """Let servers be spoken with as *rules* say from now on; nobody unless given."""
        self.reload({"access_rules": {"some": [*rules, {"deny": "all"}]}, "s2s_access": "some"})

    def test_who_may_not_be_spoken_with_any_more_is_sent_away(self) -> None:
        self.begin()
        stream = self.connected()
        self.forbid()
        error = stream.expect("<stream:error xmlns:stream='http://etherx.jabber.org/streams'/>")
        self.assertIsNotNone(error.child(ns.STREAM_ERROR, "policy-violation"))
        self.romeo.send("<message to='juliet@b.test'><body>hi</body></message>")
        self.romeo.expect("<message type='error'><error><forbidden xmlns='*'/></error></message>")

    def test_what_he_has_not_acknowledged_goes_back(self) -> None:
        self.begin()
        self.say("1")
        stream = self.counting()
        self.acknowledge(stream, 1)
        self.say("2")
        self.federation.network.partition("a.test", "b.test")
        self.forbid()
        self.assertEqual(self.errors(), [("2", "remote-server-timeout")])

    def test_so_it_does_when_the_stream_goes_on_for_others_and_breaks_later(self) -> None:
        self.begin()
        self.say("1")
        stream = self.reached(SM, DIALBACK, bidi=False)
        stream.expect(ENABLE)
        stream.send(ENABLED)
        self.say("2", to="juliet@rooms.b.test")
        self.assertEqual(self.said(stream), ["1"])
        stream.send("<db:result from='rooms.b.test' to='a.test' type='valid'/>")
        self.assertEqual(self.said(stream), ["2"])
        self.forbid({"allow": [{"server": "rooms.b.test"}]})
        self.assertEqual(self.errors(), [])
        stream.cut()
        self.assertEqual(self.errors(), [("1", "remote-server-timeout")])

    def test_an_answer_to_a_ping_of_ours_ends_no_stream_though_its_domain_is_forbidden_by_then(self) -> None:
        self.begin()
        self.say("1")
        stream = self.reached(DIALBACK)
        self.say("2", to="juliet@rooms.b.test")
        stream.expect("<message id='1'/>")
        stream.accept_dialback()
        self.wait(0.6)
        (ping,) = self.pings(stream)
        self.forbid({"allow": [{"server": "rooms.b.test"}]})
        self.pong(stream, ping)
        self.wait(1)
        self.assertFalse(stream.ended)
        self.assertEqual(self.errors(), [])

    def test_one_that_we_are_connecting_to_is_left(self) -> None:
        self.begin()
        self.say("1")
        stream = self.peer.accept()
        stream.answer(STARTTLS)
        stream.accept_tls()
        self.forbid()
        self.assertEqual(self.errors(), [("1", "forbidden")])
        stream.answer(EXTERNAL)
        stream.accept_external()
        stream.answer()
        self.say("2")
        self.assertEqual((self.said(stream), stream.ended), ([], True))
        self.assertEqual(self.errors(), [("2", "forbidden")])

    def test_nobody_looks_for_one_where_nothing_waits_when_he_may_not_be_spoken_with_any_more(self) -> None:
        self.begin()
        self.say("1")
        stream = self.counting()
        self.acknowledge(stream, 1)
        self.forbid()
        self.say("2")
        self.assertEqual(self.errors(), [("2", "forbidden")])
        self.wait(30)
        self.peer.nobody()

    def test_what_waits_for_a_stream_that_ends_for_its_address_goes_back(self) -> None:
        self.begin()
        self.say("1")
        stream = self.reached(SM, DIALBACK, bidi=False)
        stream.expect(ENABLE)
        stream.send(ENABLED)
        self.say("2", to="juliet@rooms.b.test")
        stream.send("<db:result from='rooms.b.test' to='a.test' type='valid'/>")
        self.said(stream)
        self.acknowledge(stream, 2)
        stream.stop_reading()
        self.large(1, 15)
        self.assertGreater(len(self.core.pairs[Domains("a.test", "b.test")].queue), 0)
        here = [{"deny": [{"ip": ip}]} for ip in self.peer.machine.addresses]
        self.forbid({"allow": [{"server": "rooms.b.test"}]}, *here, {"allow": "all"})
        self.wait(1)
        self.assertEqual({condition for _, condition in self.errors()}, {"forbidden"})
        self.assertFalse(self.core.pairs[Domains("a.test", "b.test")].queue)

    def test_another_domain_that_is_being_proved_is_not_granted(self) -> None:
        self.begin()
        self.say("1")
        stream = self.reached(DIALBACK)
        self.assertEqual(self.said(stream), ["1"])
        self.say("2", to="juliet@rooms.b.test")
        stream.expect("<db:result to='rooms.b.test'/>")
        self.forbid({"allow": [{"server": "b.test"}]})
        stream.send("<db:result from='rooms.b.test' to='a.test' type='valid'/>")
        self.say("3", to="juliet@rooms.b.test")
        self.assertEqual(self.said(stream), [])
        self.assertEqual(self.errors(), [("2", "forbidden"), ("3", "forbidden")])

    def test_nor_is_one_that_proves_itself(self) -> None:
        self.begin(peer={"certificate": "self-signed"})
        stream = self.secured()
        stream.send("<db:result from='b.test' to='a.test'>key</db:result>")
        asked = self.peer.accept()
        dialback_alone(asked)
        self.forbid()
        asked.answer_verify()
        stream.expect("<db:result type='error'><error><policy-violation xmlns='*'/></error></db:result>")

    def test_a_stream_without_tls_ends_where_that_is_demanded_from_now_on(self) -> None:
        self.begin(config={"s2s_use_starttls": "optional"})
        self.say("1")
        stream = self.peer.accept()
        stream.answer(DIALBACK)
        stream.accept_dialback()
        self.assertEqual(self.said(stream), ["1"])
        self.reload({"s2s_use_starttls": "required"})
        self.assert_ended(stream, "policy-violation")
        self.say("2")
        self.assertEqual(self.said(self.reached()), ["2"])

    def test_so_does_one_that_was_proved_by_dialback_where_that_does_not_suffice_any_more(self) -> None:
        for trusted in (False, True):
            self.begin(peer={"certificate": "trusted" if trusted else "self-signed"})
            self.say("1")
            stream = self.reached_by_dialback()
            self.reload({"s2s_use_starttls": "required_trusted"})
            self.assertEqual(stream.ended, not trusted)
            self.federation.stop()

    def test_who_may_stays(self) -> None:
        self.begin()
        stream = self.connected()
        self.reload({})
        stream.nothing()
        self.assertFalse(stream.ended)


class Refused(BidiTestCase):
    def test_why_a_server_was_refused_stands_in_the_log(self) -> None:
        self.begin(dialback=False)
        logged = Logged(self)
        stream = self.federation.peer("c.test", certificate="expired").dial(
            "a.test", ip=self.federation["a.test"].clock.addresses[0]
        )
        stream.open()
        stream.start_tls()
        stream.open()
        stream.send("<db:result from='c.test' to='a.test'>key</db:result>")
        stream.expect("<db:result xmlns:db='jabber:server:dialback' type='error'/>")
        stream.cut()
        self.assertIn("server refused", sentences(logged))

    def test_without_a_certificate_for_the_domain_no_tls_is_offered(self) -> None:
        self.begin(certificates={"a.test": None})
        stream = self.peer.dial("a.test", ip=self.federation["a.test"].clock.addresses[0])
        self.assertIsNone(stream.open().child(ns.TLS, "starttls"))
