"""What becomes of streams and of what waits when a server, a domain or a certificate comes to its end."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from twisted.internet.defer import ensureDeferred

from federix.links.s2s.pair import Domains
from federix.testing import Client, Federation, Network, PeerStream
from federix.testing.peer import DIALBACK, STARTTLS
from federix.xmpp import ns

from .bidi import dialback_alone
from .reliable import ReliableTestCase

HOSTS = {"a.test": {"hosts": ("a.test", "also.test")}}


class Domain(ReliableTestCase):
    """A domain of ours comes or goes while the server runs."""

    def reload(self, *hosts: str) -> None:
        world = self.federation["a.test"]
        world.run(world.server.reload(world.configure({**world.settings, "hosts": list(hosts)})))

    def test_streams_that_were_opened_for_it_end(self) -> None:
        self.begin(worlds=HOSTS)
        other = self.federation["a.test"].client("other@also.test/x")
        other.send("<message to='juliet@b.test'><body>1</body></message>")
        stream = self.reached()
        self.assertEqual(self.said(stream), ["1"])
        self.reload("a.test")
        self.assert_ended(stream, "host-gone")
        self.assertNotIn(Domains("also.test", "b.test"), self.core.pairs)
        self.assertEqual(self.core.waiting, 0)

    def test_others_go_on(self) -> None:
        self.begin(worlds=HOSTS)
        other = self.federation["a.test"].client("other@also.test/x")
        self.say("1")
        stream = self.reached()
        other.send("<message to='juliet@b.test'><body>2</body></message>")
        self.said(stream)
        stream.send("<db:result from='b.test' to='also.test' type='valid'/>")
        self.assertEqual(self.said(stream), ["2"])
        self.reload("a.test")
        self.say("3")
        self.assertEqual(self.said(stream), ["3"])
        self.assertEqual(self.errors(), [])
        stream.send("<message from='juliet@b.test' to='other@also.test/x'/>")
        self.assertTrue(stream.ended)

    def test_what_waits_for_it_goes_back_before_its_sender_is_sent_away(self) -> None:
        self.begin(worlds=HOSTS)
        self.peer.stop_listening()
        other = self.federation["a.test"].client("other@also.test/x")
        other.send("<message id='1' to='juliet@b.test'><body>1</body></message>")
        self.reload("a.test")
        self.assertEqual(self.errors(other), [("1", "remote-server-timeout")])
        self.reload("a.test", "also.test")
        again = self.federation["a.test"].client("other@also.test/x")
        again.send("<message id='2' to='juliet@b.test'><body>2</body></message>")
        self.assertEqual(self.errors(again), [])

    def test_what_waits_for_it_is_forgotten_and_nothing_is_dialled(self) -> None:
        self.begin(worlds=HOSTS)
        other = self.federation["a.test"].client("other@also.test/x")
        other.send("<message to='juliet@b.test'><body>1</body></message>")
        stream = self.peer.accept()
        self.reload("a.test")
        self.wait(30)
        self.assertIsNotNone(stream.lost)
        self.assertEqual((self.core.pairs, self.core.waiting, len(self.core.links)), ({}, 0, 0))
        self.peer.nobody()

    def test_it_goes_while_the_dns_is_asked(self) -> None:
        self.begin(worlds=HOSTS)
        self.federation.network.dns.delay = 5
        other = self.federation["a.test"].client("other@also.test/x")
        other.send("<message to='juliet@b.test'><body>1</body></message>")
        self.reload("a.test")
        self.wait(30)
        self.assertEqual(len(self.core.links), 0)
        self.assertEqual(self.core.pairs, {})

    def test_streams_of_others_that_are_negotiated_meanwhile_go_on(self) -> None:
        self.begin(worlds=HOSTS)
        incoming = self.secured()
        self.say("1")
        outgoing = self.peer.accept()
        outgoing.answer(STARTTLS)
        outgoing.accept_tls()
        outgoing.answer(DIALBACK)
        self.reload("a.test")
        outgoing.accept_dialback()
        self.assertEqual(self.said(outgoing), ["1"])
        incoming.authenticate()
        incoming.send("<message from='juliet@b.test' to='romeo@a.test/x'><body>2</body></message>")
        self.romeo.expect("<message><body>2</body></message>")

    def test_one_that_comes_is_spoken_for_at_once(self) -> None:
        self.begin()
        self.reload("a.test", "also.test")
        other = self.federation["a.test"].client("other@also.test/x")
        other.send("<message to='juliet@b.test'><body>1</body></message>")
        stream = self.peer.accept()
        self.assertEqual(stream.answer(STARTTLS).get("from"), "also.test")

    def test_who_served_it_before_does_not_speak_for_it_any_more(self) -> None:
        self.begin()
        stream = self.connected()
        self.reload("a.test", "b.test")
        stream.send("<message from='juliet@b.test' to='romeo@a.test/x'><body>1</body></message>")
        self.assert_ended(stream, "invalid-from")
        self.assert_unheard(self.romeo)


class Stop(ReliableTestCase):
    def test_streams_are_told_and_closed(self) -> None:
        self.begin()
        self.say("1")
        streams = [self.reached(bidi=False), self.connected(bidi=False)]
        stopping = ensureDeferred(self.federation["a.test"].server.stop())
        self.wait(5)
        for stream in streams:
            errors = [e for e in stream.drain() if e.name == "error"]
            self.assertEqual([next(e.elements()).name for e in errors], ["system-shutdown"])
            self.assertTrue(stream.ended)
            stream.send("</stream:stream>")
        self.federation.advance(30)
        self.successResultOf(stopping)

    def test_connections_are_cut_when_the_peer_does_not_take_leave(self) -> None:
        self.begin()
        self.say("1")
        streams = [self.reached(bidi=False), self.connected(bidi=False), self.peer.dial("a.test")]
        stopping = ensureDeferred(self.federation["a.test"].server.stop())
        self.wait(10)
        self.successResultOf(stopping)
        self.assertEqual([stream.lost is None for stream in streams], [False, False, False])

    def test_what_waits_for_a_connection_goes_back_before_its_sender_is_sent_away(self) -> None:
        self.begin()
        self.peer.stop_listening()
        self.say("1")
        stopping = ensureDeferred(self.federation["a.test"].server.stop())
        self.assertEqual(self.errors(), [("1", "remote-server-timeout")])
        self.wait(10)
        self.successResultOf(stopping)

    def test_so_does_what_is_sent_after_that_and_what_a_connection_carried_that_breaks(self) -> None:
        self.begin(modules={"mod_stream_mgmt": {}})
        self.romeo.send(f"<enable xmlns='{ns.SM}'/><message to='romeo@a.test/x'/>")  # he has something to acknowledge
        self.say("1")
        stream = self.counting()
        self.say("2")
        self.acknowledge(stream, 1)
        stopping = ensureDeferred(self.federation["a.test"].server.stop())
        stream.cut()
        self.say("3")
        self.assertEqual([id for id, _ in self.errors()], ["2", "3"])
        self.wait(10)
        self.successResultOf(stopping)

    def test_nothing_is_left(self) -> None:
        def queued() -> None:
            self.say("1")

        def negotiating() -> None:
            self.say("1")
            self.peer.accept().answer(STARTTLS)

        def unconfirmed() -> None:
            self.say("1")
            self.reached()
            self.say("2")

        def counted() -> None:
            self.say("1")
            self.counting()
            self.say("2")

        def refused() -> None:
            self.peer.stop_listening()
            self.say("1")
            self.wait(20)

        def asking() -> None:
            self.federation.network.dns.delay = 100
            self.say("1")

        def cut() -> None:
            self.say("1")
            self.counting().cut()

        def silent() -> None:
            unconfirmed()
            self.federation.network.partition("a.test", "b.test")
            self.wait(10)

        def keys() -> None:
            stream = self.secured()
            stream.send("<db:result from='b.test' to='a.test'>a key</db:result>")

        for happens in (queued, negotiating, unconfirmed, counted, refused, asking, cut, silent, keys):
            self.begin()
            happens()
            self.federation.stop()
            left = list(self.federation.network.clock.getDelayedCalls())
            self.assertEqual(left, [], happens.__name__)
            self.assertEqual(self.flushLoggedErrors(), [], happens.__name__)


class Restart(ReliableTestCase):
    """The other server begins anew in the middle of it."""

    def test_the_next_message_finds_the_new_one(self) -> None:
        for silently in (False, True):
            for bidi in (False, True):
                federation, romeo = self.talking(bidi=bidi)
                federation["b.test"].crash(silently=silently)
                federation.advance(5)
                romeo.send("<message id='2' to='juliet@b.test/y'><body>2</body></message>")
                federation.advance(10)
                federation.restart("b.test")
                juliet = federation.client("juliet@b.test/y")
                federation.advance(100)
                # The new one may have it before there is somebody to take it.
                came = [("2", "service-unavailable")] if silently else []
                self.assertEqual(self.errors(romeo), came, (silently, bidi))
                self.assertEqual([e.get("id") for e in juliet.drain() if e.name == "message"], [] if came else ["2"])
                romeo.send("<message id='3' to='juliet@b.test/y'><body>3</body></message>")
                juliet.expect("<message><body>3</body></message>")
                self.assertEqual(romeo.drain(), [])
                federation.stop()

    def test_the_new_one_proves_itself_while_a_stream_to_the_old_one_is_there(self) -> None:
        federation, romeo = self.talking(certificates="self-signed", bidi=False)
        federation["b.test"].crash(silently=True)
        federation.advance(5)
        federation.restart("b.test")
        juliet = federation.client("juliet@b.test/y")
        juliet.send("<message id='2' to='romeo@a.test/x'><body>2</body></message>")
        federation.advance(10)
        romeo.expect("<message><body>2</body></message>")
        self.assertEqual(self.errors(juliet), [])

    def test_so_it_does_where_the_stream_to_the_old_one_says_nothing_at_all(self) -> None:
        self.begin(peer={"certificate": "self-signed"})
        self.say("1")
        old = self.reached_by_dialback()
        new = self.secured()
        new.send("<db:result from='b.test' to='a.test'>key</db:result>")
        old.expect("<message/>")
        old.expect("<db:verify/>")
        self.wait(10)
        asked = self.peer.accept()
        dialback_alone(asked)
        asked.answer_verify()
        new.expect("<db:result from='a.test' to='b.test' type='valid'/>")

    def talking(self, **options: Any) -> tuple[Federation, Client]:
        federation = self.make("a.test", "b.test", **options)
        romeo, juliet = federation.client("romeo@a.test/x"), federation.client("juliet@b.test/y")
        romeo.send("<message to='juliet@b.test/y'><body>1</body></message>")
        juliet.expect("<message><body>1</body></message>")
        juliet.send("<message to='romeo@a.test/x'><body>1</body></message>")
        romeo.expect("<message><body>1</body></message>")
        federation.advance(2)
        return federation, romeo


class Expiry(ReliableTestCase):
    """RFC 6120 §13.7.2.3: each party SHOULD "close the stream when any such certificate expires"."""

    def expiring(self) -> None:
        """The certificate of the peer is good for ten minutes, and nothing else counts."""
        self.federation = self.make("a.test", dialback=False)
        issued = self.federation.network.authority.issue("b.test", ends=timedelta(minutes=10))
        self.peer = self.federation.peer("b.test", certificate=issued)
        self.romeo = self.federation.client("romeo@a.test/x")

    def almost(self) -> PeerStream:
        """One stream that we have opened, and that has a minute left."""
        self.expiring()
        self.say("1")
        stream = self.counting()
        for _ in range(9):
            self.acknowledge(stream, 1)
            self.wait(60)
        self.said(stream)
        return stream

    def refused(self) -> None:
        """We have connected once more, and do not like what we see."""
        asked = self.peer.accept()
        asked.answer(STARTTLS)
        asked.accept_tls()
        self.wait(5)

    def test_the_stream_ends_with_the_certificate_which_is_good_for_no_new_one(self) -> None:
        stream = self.almost()
        self.assertFalse(stream.ended)
        self.wait(62)
        self.assert_ended(stream, "reset")
        self.say("2")
        self.refused()
        self.assertEqual(self.errors(), [("2", "remote-server-timeout")])
        (pair,) = self.core.pairs.values()
        self.assertIn("expired on", pair.last_error)

    def test_what_is_under_way_then_is_sent_again_or_comes_back(self) -> None:
        stream = self.almost()
        self.wait(30)
        self.say("2")
        self.assertEqual(self.said(stream), ["2"])
        self.wait(35)
        self.refused()
        self.assertEqual(self.errors(), [("2", "remote-server-timeout")])

    def test_with_a_new_one_it_goes_on_over_another_stream(self) -> None:
        stream = self.almost()
        self.peer.certificate = self.federation.network.certificate("b.test")
        self.wait(30)
        self.say("2")
        self.assertEqual(self.said(stream), ["2"])
        self.wait(35)
        self.assertEqual(self.said(self.counting()), ["2"])
        self.assertEqual(self.errors(), [])

    def test_a_stream_of_the_peers_own_ends_as_well(self) -> None:
        self.expiring()
        stream = self.connected(bidi=False)
        self.wait(595)
        self.assertFalse(stream.ended)
        self.wait(10)
        self.assert_ended(stream, "reset")

    def test_what_was_proved_by_dialback_does_not_depend_on_it(self) -> None:
        self.federation = self.make("a.test")
        self.peer = self.federation.peer("b.test", certificate="expired")
        self.romeo = self.federation.client("romeo@a.test/x")
        self.say("1")
        stream = self.reached_by_dialback()
        self.assertEqual(self.said(stream), ["1"])
        self.wait(50)
        self.assertFalse(stream.ended)

    def test_renewed_it_is_good_again(self) -> None:
        self.federation = self.make("a.test", dialback=False)
        self.peer = self.federation.peer("b.test", certificate="expired")
        self.romeo = self.federation.client("romeo@a.test/x")
        self.say("1")
        asked = self.peer.accept()
        asked.answer(STARTTLS)
        asked.accept_tls()
        self.wait(5)
        self.assertEqual(self.errors(), [("1", "remote-server-timeout")])
        self.peer.certificate = self.federation.network.certificate("b.test")
        self.say("2")
        self.assertEqual(self.said(self.reached()), ["2"])


class Component(ReliableTestCase):
    """A domain behind a component has no options of its own: those of the host above it are in force."""

    def setUp(self) -> None:
        network = Network()
        file = Path(self.mktemp())
        file.write_bytes(network.certificate("a.test", "comp.a.test").pem)
        world = {"components": {"comp.a.test": "secret"}, "config": {"certfiles": [str(file)]}}
        self.begin(worlds={"a.test": world}, network=network)
        self.component = self.federation["a.test"].component("comp.a.test", "secret")

    def test_it_speaks_with_other_servers(self) -> None:
        self.component.send("<message from='x@comp.a.test' to='juliet@b.test/y'><body>1</body></message>")
        stream = self.peer.accept()
        self.assertEqual(stream.answer(STARTTLS).get("from"), "comp.a.test")
        stream.accept_tls()
        stream.answer(f"<dialback xmlns='{ns.DIALBACK_FEATURE}'/>")
        stream.accept_dialback()
        self.assertEqual(self.said(stream), ["1"])

    def test_other_servers_speak_with_it(self) -> None:
        stream = self.connected("comp.a.test")
        stream.send("<message from='juliet@b.test' to='x@comp.a.test'><body>1</body></message>")
        self.assertEqual([e.name for e in self.component.drain()], ["message"])
