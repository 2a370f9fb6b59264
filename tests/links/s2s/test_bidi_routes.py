"""XEP-0288: a stream that a server has opened to us is a way to it, for as long as it is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from federix.api import HANDLED, DomainPair, Handled, Module, RemoteServer, Stanza, hooks
from federix.links.s2s.pair import Domains
from federix.testing import PeerStream
from federix.testing.peer import BIDI, DIALBACK, EXTERNAL, STARTTLS
from federix.xmpp import ns
from federix.xmpp.errors import Condition, StanzaError

from .bidi import NONZA, BidiTestCase, bodies, message


class Names(BidiTestCase):
    def test_domains_in_any_case_are_one_route(self) -> None:
        self.begin()
        self.peer.domain = "B.Test"
        stream = self.connected("A.TEST")
        for number, to in enumerate(("juliet@b.test", "Juliet@B.TEST", "b.TEST")):
            self.romeo.send(message(str(number), "romeo@a.test/x", to))
        self.assertEqual(bodies(self.stanzas(stream)), ["0", "1", "2"])
        stream.send(message("3", "juliet@B.Test/y", "romeo@A.Test/x"))
        self.romeo.expect("<message><body>3</body></message>")
        self.assertEqual(list(self.core.pairs), [Domains("a.test", "b.test")])
        self.peer.nobody()

    def test_so_they_are_in_dialback(self) -> None:
        self.begin()
        stream = self.connected()
        stream.send("<db:result from='Rooms.B.Test' to='A.Test'>a key</db:result>")
        stream.expect("<db:result type='valid'/>")
        self.romeo.send(message("1", "romeo@a.test/x", "ROOMS.b.test"))
        self.assertEqual(bodies(self.stanzas(stream)), ["1"])
        self.peer.nobody()


class Death(BidiTestCase):
    """Every route goes with its stream: what waits takes another one, and who is told nothing would wait for ever."""

    ROOMS = ("b.test", "rooms.b.test", "more.b.test")

    def many(self, count: int, *, counting: bool) -> PeerStream:
        """The peer has connected, and has proved itself for so many domains; a stanza goes to each."""
        self.begin()
        stream = self.connected()
        if counting:
            stream.send(f"<enable xmlns='{ns.SM}'/>")
            stream.expect(f"<enabled xmlns='{ns.SM}'/>")
        for domain in self.ROOMS[1:count]:
            stream.send(f"<db:result from='{domain}' to='a.test'>a key</db:result>")
            stream.expect(f"<db:result from='a.test' to='{domain}' type='valid'/>")
        for domain in self.ROOMS[:count]:
            self.romeo.send(message(f"to {domain}", "romeo@a.test/x", domain))
        self.assertEqual(len(bodies(self.stanzas(stream))), count)
        self.peer.nobody()
        return stream

    def test_what_was_not_confirmed_goes_again_over_a_new_stream(self) -> None:
        for count in (1, 2, 3):
            stream = self.many(count, counting=True)
            stream.cut()
            self.assertEqual({self.route(remote=domain) for domain in self.ROOMS}, {None})
            self.federation.advance(5)  # the one that broke was young
            again = [text for _ in range(count) for text in bodies(self.reached("").drain())]
            self.assertEqual(sorted(again), sorted(f"to {domain}" for domain in self.ROOMS[:count]))
            self.romeo.nothing()
            self.peer.nobody()

    def test_where_nobody_counts_it_goes_back(self) -> None:
        for count in (1, 2, 3):
            stream = self.many(count, counting=False)
            stream.cut()
            for domain in self.ROOMS[:count]:
                bounce = self.assert_bounced(self.romeo, "remote-server-timeout")
                self.assertEqual(bounce.get("from"), domain)
            self.romeo.nothing()
            self.romeo.send(message("again", "romeo@a.test/x", "b.test"))
            self.assertEqual(bodies(self.reached("").drain()), ["again"])

    def test_a_stream_with_two_domains_leaves_no_route_behind(self) -> None:
        for end in (PeerStream.close, PeerStream.cut):
            stream = self.many(2, counting=False)
            self.assertEqual(self.route(remote="b.test"), self.route(remote="rooms.b.test"))
            end(stream)
            self.romeo.drain()
            for domain in self.ROOMS[:2]:
                self.romeo.send(message(f"again to {domain}", "romeo@a.test/x", domain))
            self.assertEqual([link.incoming for link in self.core.links], [False, False])
            for domain in self.ROOMS[:2]:
                self.assertEqual(bodies(self.reached("").drain()), [f"again to {domain}"])

    def test_what_comes_while_the_stream_closes_is_not_lost(self) -> None:
        self.begin()
        stream = self.connected()
        stream.send(f"<enable xmlns='{ns.SM}'/>")
        self.romeo.send(message("in time", "romeo@a.test/x", "juliet@b.test"))
        stream.send(f"<a xmlns='{ns.SM}' h='1'/>")
        link = self.route()
        assert link is not None
        link.stream.close()
        self.romeo.write(message("late", "romeo@a.test/x", "juliet@b.test"))
        self.romeo.send(message("and later", "romeo@a.test/x", "juliet@b.test"))
        self.assertFalse(stream.lost, "it is closing")
        self.assertEqual(bodies(stream.drain()), ["in time"])
        self.assertEqual(bodies(self.reached("").drain()), ["late", "and later"])
        self.romeo.nothing()

    def test_what_no_stream_can_be_had_for_goes_back_in_time(self) -> None:
        self.begin(config={"s2s_queue_timeout": 30})
        stream = self.connected()
        stream.send(f"<enable xmlns='{ns.SM}'/>")
        self.romeo.send(message("1", "romeo@a.test/x", "juliet@b.test"))
        self.peer.stop_listening()
        stream.cut()
        self.federation.advance(29)
        self.romeo.nothing()
        self.federation.advance(2)
        self.assert_bounced(self.romeo, "remote-server-timeout")
        self.romeo.nothing()


class Silence(BidiTestCase):
    """What goes in either direction keeps a stream open at both ends."""

    TIMEOUT = 400.0

    def test_traffic_in_either_direction_keeps_it_open_and_nothing_else_does(self) -> None:
        for opener in ("a.test", "b.test"):
            federation = self.make("a.test", "b.test", config={"s2s_timeout": self.TIMEOUT})
            people = [federation.client("romeo@a.test/x"), federation.client("juliet@b.test/x")]
            if opener == "b.test":
                people.reverse()
            people[0].send(f"<message to='{people[1].jid}'><body>first</body></message>")
            opened = federation.network.connections("a.test", "b.test")
            for sender, other in (people, people[::-1]):
                for _ in range(5):
                    federation.advance(self.TIMEOUT * 0.7)
                    sender.send(f"<message to='{other.jid}'><body>more</body></message>")
                self.assertEqual(federation.network.connections("a.test", "b.test"), opened)
            federation.advance(self.TIMEOUT - 1)
            self.assertEqual(federation.network.connections("a.test", "b.test"), opened)
            federation.advance(10)
            self.assertEqual(federation.network.connections("a.test", "b.test"), [])
            self.assertEqual(len(federation.transcript.connections()), 1)


class Changes(BidiTestCase):
    def reload(self, **changed: Any) -> None:
        world = self.federation["a.test"]
        settings = world.settings | changed
        world.run(world.server.reload(world.configure(settings)))

    def test_streams_stay_as_they_are_when_bidi_is_switched_and_new_ones_follow(self) -> None:
        self.begin()
        old = self.connected()
        modules = self.federation["a.test"].settings["modules"]
        self.reload(modules={name: options for name, options in modules.items() if name != "mod_s2s_bidi"})
        self.romeo.send(message("1", "romeo@a.test/x", "b.test"))
        self.assertEqual(bodies(self.stanzas(old)), ["1"])
        old.cut()
        self.romeo.drain()
        new = self.secured()
        assert new.features is not None
        self.assertIsNone(new.features.child(ns.BIDI_FEATURE, "bidi"))
        new.send(NONZA)
        new.authenticate()
        self.romeo.send(message("2", "romeo@a.test/x", "b.test"))
        self.assertEqual(self.stanzas(new), [])
        ours = self.peer.accept()
        ours.answer(STARTTLS)
        ours.accept_tls()
        ours.answer(BIDI, EXTERNAL, DIALBACK)
        ours.expect(f"<auth xmlns='{ns.SASL}'/>")
        self.reload(modules=modules)
        self.assertEqual(self.stanzas(new), [])
        ours.cut()
        new.cut()
        self.romeo.send(message("3", "romeo@a.test/x", "b.test"))
        self.federation.advance(5)
        self.assertEqual(bodies(self.reached("").drain()), ["2", "3"])

    def test_the_streams_of_a_host_that_is_taken_away_are_closed_and_no_others(self) -> None:
        self.begin(worlds={"a.test": {"hosts": ("a.test", "also.test")}})
        benvolio = self.federation.client("benvolio@also.test/x")
        kept, closed = self.connected("a.test"), self.connected("also.test")
        self.reload(hosts=["a.test"])
        self.assert_ended(closed, "host-gone")
        self.assertTrue(benvolio.ended)
        self.romeo.send(message("1", "romeo@a.test/x", "b.test"))
        self.assertEqual(bodies(self.stanzas(kept)), ["1"])
        kept.send(message("2"))
        self.romeo.expect("<message/>")
        self.assertEqual({domains for link in self.core.links for domains in link.sends}, {Domains("a.test", "b.test")})

    def test_one_that_serves_another_host_as_well_takes_nothing_for_it_any_more(self) -> None:
        self.begin(worlds={"a.test": {"hosts": ("a.test", "also.test")}})
        stream = self.connected()
        stream.send("<db:result from='b.test' to='also.test'>a key</db:result>")
        stream.expect("<db:result type='valid'/>")
        self.reload(hosts=["a.test"])
        self.romeo.send(message("1", "romeo@a.test/x", "b.test"))
        self.assertEqual(bodies(self.stanzas(stream)), ["1"])
        stream.send(message("2", to="benvolio@also.test"))
        self.assert_ended(stream, "host-unknown")


class Seen(Module):
    """Sees all that goes to other servers and comes from them, keeps silence about secrets, and hates noise."""

    name = "mod_seen"

    async def on_start(self) -> None:
        self.seen: list[tuple[str, bool | None, str]] = []

    def check(self, text: str) -> None:
        if text == "noise":
            raise StanzaError(Condition.NOT_ACCEPTABLE)

    @hooks.s2s_receive_packet
    def receive(self, remote: RemoteServer, stanza: Stanza) -> Handled | None:
        text = stanza.element.text_of(ns.CLIENT, "body") or ""
        self.seen.append((remote.remote, remote.incoming, text))
        self.check(text)
        return HANDLED if text == "secret" else None

    @hooks.s2s_send_packet
    def send(self, domains: DomainPair, stanza: Stanza) -> Handled | None:
        text = stanza.element.text_of(ns.CLIENT, "body") or ""
        self.seen.append((domains.remote, None, text))
        self.check(text)
        return HANDLED if text == "secret" else None


class Filters(BidiTestCase):
    def streams(self) -> Iterator[tuple[bool, PeerStream]]:
        own: dict[str, Any] = {"own_modules": {"mod_seen": Seen}}
        options: dict[str, Any] = {"modules": {"mod_seen": {}}, "worlds": {"a.test": own}}
        self.begin(**options)
        yield True, self.connected()
        self.begin(**options)
        self.romeo.send(message("first", "romeo@a.test/x", "b.test"))
        stream = self.reached("")
        self.assertEqual(bodies(self.stanzas(stream)), ["first"])
        yield False, stream

    def test_modules_see_both_directions_of_both_kinds_of_streams(self) -> None:
        for incoming, stream in self.streams():
            seen = self.federation["a.test"].host("a.test").module(Seen).seen
            seen.clear()
            for text in ("noise", "secret", "talk"):
                self.romeo.send(message(text, "romeo@a.test/x", "juliet@b.test/y"))
                stream.send(message(text))
            self.assertEqual([each for each in seen if each[1] is None and each[2]],
                [("b.test", None, text) for text in ("noise", "secret", "talk")])  # fmt: skip
            self.assertEqual([each for each in seen if each[1] is not None],
                [("b.test", incoming, text) for text in ("noise", "secret", "talk")])  # fmt: skip
            self.assert_bounced(self.romeo, "not-acceptable")
            self.romeo.expect(message("talk"))
            self.romeo.nothing()
            got = self.stanzas(stream)
            self.assertEqual(bodies(got), ["", "talk"])
            self.assertEqual([element.get("type") for element in got], ["error", None])
