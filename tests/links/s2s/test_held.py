"""What another server can make us keep, and for how long: whoever stalls, floods or does not read."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import Deferred

from federix.api import JID, Module, Stanza, hooks
from federix.links.s2s import federation as core
from federix.links.s2s.link import Link
from federix.streams.arrivals import ARRIVING_AT_MOST
from federix.streams.resolver import Srv
from federix.testing import PeerStream
from federix.testing.peer import BIDI, DIALBACK, EXTERNAL, STARTTLS
from federix.xmpp import ns

from .attack import MOST, AttackTestCase, condition, result
from .bidi import NONZA, bodies, message

#: Seconds that negotiation may take; and that a connection may need to end when it has taken too long.
NEGOTIATION = 120
ENDING = 10
KIB = 1024


class Slow(Module):
    """Lets what is for Benvolio wait until it is told to go on."""

    name = "mod_slow"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waiting: list[Deferred[None]] = []

    @hooks.sm_receive_packet
    def hold(self, user: JID, _: Stanza) -> Any:
        return self.wait() if user.local == "benvolio" else None

    async def wait(self) -> None:
        gate: Deferred[None] = Deferred()
        self.waiting.append(gate)
        await gate

    def go_on(self) -> None:
        waiting, self.waiting = self.waiting, []
        for gate in waiting:
            gate.callback(None)


class NeverFinished(AttackTestCase):
    """A peer that stops in the middle of the way to a login, with as much sent as may be."""

    def stalls(self, stream: PeerStream, *, said: bool = True) -> None:
        """*stream* gets no further, whatever trickles in; it ends in time, and nothing remains."""
        if said:
            stream.write("<message><body>" + "x" * 7 * KIB)
        for _ in range(NEGOTIATION // 10):
            self.assertLess(self.held(stream), 64 * KIB)
            self.wait(10)
            if stream.end is not None and stream.end.connected and said:
                stream.send("x")
        self.wait(ENDING)
        self.assertIsNotNone(stream.lost)
        self.assertIsNone(self.link(stream))
        if not stream.accepted:
            self.assert_unheard(self.romeo)
        else:
            self.assert_bounced(self.romeo, "remote-server-timeout")
            self.romeo.nothing()
        self.assert_others_untouched()

    def theirs(self) -> Iterator[tuple[PeerStream, bool]]:
        """Streams that were opened to us, each stuck at another step, and whether more can be said on it."""
        self.begin()
        yield self.peer.dial("a.test"), False
        stream = self.peer.dial("a.test")
        stream.send("<?xml version='1.0'?><stream:stream xmlns='jabber:server' ")
        yield stream, False
        yield self.stranger(), True
        stream = self.stranger()
        stream.send(f"<starttls xmlns='{ns.TLS}'/>")
        yield stream, False
        stream = self.stranger()
        stream.send(f"<starttls xmlns='{ns.TLS}'/>")
        stream.send(b"\x16\x03\x01\x40\x00" + b"\x01" * 1000)  # the beginning of a long record
        yield stream, False
        yield self.peer.dial("a.test", tls=True), False
        yield self.secured(), True
        stream = self.secured()
        stream.send(f"<auth xmlns='{ns.SASL}' mechanism='EXTERNAL'>=</auth>")
        yield stream, False
        self.peer.certificate = self.federation.network.certificate("b.test", kind="self-signed")
        stream = self.secured()
        stream.send(result("b.test"))
        yield stream, True

    def test_streams_that_were_opened_to_us(self) -> None:
        for stream, said in self.theirs():
            self.stalls(stream, said=said)

    def ours(self) -> Iterator[tuple[PeerStream, bool]]:
        """Streams of ours, each stuck at another step."""

        def begun() -> PeerStream:
            self.begin()
            return self.dialled()

        yield begun(), False
        stream = begun()
        stream.send("<?xml version='1.0'?><stream:stream xmlns='jabber:server' ")
        yield stream, False
        stream = begun()
        stream.expect_header()
        stream.send_header(id="1")
        yield stream, True
        stream = begun()
        stream.answer(STARTTLS)
        yield stream, True
        stream = begun()
        stream.answer(STARTTLS)
        stream.send(f"<proceed xmlns='{ns.TLS}'/>")
        yield stream, False
        stream = begun()
        stream.answer(STARTTLS)
        stream.send(f"<proceed xmlns='{ns.TLS}'/>")
        stream.send(b"\x16\x03\x03\x40\x00" + b"\x02" * 1000)
        yield stream, False
        stream = begun()
        stream.answer(STARTTLS)
        stream.accept_tls()
        yield stream, False
        for features in (EXTERNAL, DIALBACK, BIDI + EXTERNAL, ""):
            self.begin()
            yield self.negotiated(features or "<x xmlns='urn:x'/>"), True
        self.begin()
        stream = self.negotiated(EXTERNAL)
        stream.accept_external()
        yield stream, False

    def test_streams_of_our_own(self) -> None:
        for stream, said in self.ours():
            self.stalls(stream, said=said)

    def test_a_server_that_takes_connections_and_says_nothing_is_not_dialled_for_ever(self) -> None:
        """What waited has gone back to its sender long before the last of its many machines was tried."""
        self.begin()
        dns = self.federation.network.dns
        self.federation.peer("tarpit.test")
        dns.set_srv("_xmpp-server._tcp.tarpit.test", *(Srv(n, 0, 5269, "tarpit.test") for n in range(10)))
        self.romeo.send(message("1", "romeo@a.test/x", "juliet@tarpit.test"))
        self.wait(130)
        self.assert_bounced(self.romeo, "remote-server-timeout")
        connections = self.federation.transcript.connections("a.test", "tarpit.test")
        self.wait(1200)
        after = self.federation.transcript.connections("a.test", "tarpit.test")
        self.assertLessEqual(len(after) - len(connections), 1)
        self.assertEqual(self.federation.network.connections("a.test", "tarpit.test"), [])
        self.wait(600)
        self.assertEqual((len(self.core.dialers), len(self.core.pairs)), (0, 0))


class Openings(AttackTestCase):
    def test_connections_that_have_ended_do_not_count_for_their_address(self) -> None:
        """After 256 of them nobody was let in any more."""
        self.begin()
        for _ in range(300):
            self.wait(0.1)
            self.peer.dial("a.test").cut()
        self.assertIsNone(self.connected().lost)

    def test_one_address_has_so_many_at_a_time(self) -> None:
        self.begin()
        streams = []
        for _ in range(300):
            self.wait(0.1)
            streams.append(self.peer.dial("a.test"))
        lost = [stream for stream in streams if stream.lost is not None]
        self.assertEqual(len(streams) - len(lost), 256)
        self.assert_others_untouched()

    def test_a_flood_from_everywhere_does_not_keep_out_who_means_it(self) -> None:
        self.begin()
        machine = self.peer.machine
        for number in range(ARRIVING_AT_MOST + 60):
            machine.addresses[0] = f"203.0.{number // 250}.{number % 250 + 1}"
            self.peer.dial("a.test")
        self.wait(5)
        self.assertLess(len(self.core.links), ARRIVING_AT_MOST + 2)
        honest = self.federation.peer("honest.test")
        stream = honest.dial("a.test")
        stream.open()
        stream.start_tls()
        stream.open()
        stream.authenticate()
        stream.send(message("1", "somebody@honest.test"))
        self.romeo.expect("<message from='somebody@honest.test'/>")
        self.assert_others_untouched()


class NotRead(AttackTestCase):
    """A peer that stops reading, and what goes to it."""

    def setUp(self) -> None:
        super().setUp()
        self.begin()

    def fill(self, stream: PeerStream, size: int, to: str = "juliet@b.test/y") -> None:
        """Romeo sends up to ten MiB in stanzas of that size, and whatever of it comes back to him is counted."""
        self.most, self.bounced = 0, 0
        for number in range(min(10 * 1024 * KIB // size, 4000)):
            self.romeo.write(message("x" * (size - 80), "romeo@a.test/x", to))
            if number % max(200_000 // size, 1) == 0:
                self.romeo.pump()
                self.most = max(self.most, self.held(stream))
                self.bounced += sum(e.get("type") == "error" for e in self.romeo.drain())
        self.romeo.pump()
        self.most = max(self.most, self.held(stream))
        self.bounced += sum(e.get("type") == "error" for e in self.romeo.drain())

    def streams(self) -> Iterator[PeerStream]:
        yield self.connected()
        self.begin()
        stream = self.reached()
        stream.expect("<message/>")
        yield stream
        self.begin()
        stream = self.reached(f"<sm xmlns='{ns.SM}'/>")
        stream.expect(f"<enable xmlns='{ns.SM}'/>")
        stream.send(f"<enabled xmlns='{ns.SM}'/>")
        yield stream

    def test_what_local_users_send_to_it_is_bounded(self) -> None:
        for size in (1000, 20_000, 200_000):
            for stream in self.streams():
                stream.stop_reading()
                self.fill(stream, size)
                self.assertLessEqual(self.most, MOST, size)
                self.assertGreater(self.most, MOST // 8)
                self.assertGreater(self.bounced, 0)
                self.assert_others_untouched()
                self.begin()

    def test_such_a_connection_ends(self) -> None:
        stream = self.connected()
        stream.stop_reading()
        self.fill(stream, 20_000)
        self.wait(200)
        self.assertIsNone(self.link(stream))
        self.wait(200)
        self.assertEqual(self.core.waiting, 0)
        self.assert_unheard(self.romeo)
        self.assert_others_untouched()

    def test_who_has_many_domains_has_no_more_of_it(self) -> None:
        self.peer.certificate = self.federation.network.certificate("b.test", "*.b.test")
        stream = self.connected()
        names = [f"x{number}.b.test" for number in range(20)]
        for name in names:
            stream.send(result(name))
        stream.drain()
        stream.stop_reading()
        most = 0
        for name in names:
            for _ in range(50):
                self.romeo.write(message("x" * 20_000, "romeo@a.test/x", name))
            self.romeo.pump()
            self.romeo.drain()
            most = max(most, self.held(stream))
        self.assertLessEqual(most, MOST)

    def test_answers_to_what_it_asks_are_bounded(self) -> None:
        asks = (
            f"<r xmlns='{ns.SM}'/>",
            "<db:verify from='b.test' to='a.test' id='1'>x</db:verify>",
            result("b.test", "nobody." * 30 + "test"),
            "<iq from='juliet@b.test/y' to='nobody@a.test' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
            message("x" * 5000, to="nobody@a.test"),
        )
        for ask in asks:
            self.begin()
            stream = self.connected()
            stream.send(f"<enable xmlns='{ns.SM}'/>")
            stream.stop_reading()
            most = 0
            for _ in range(24):
                stream.write(ask * (64 * KIB // len(ask)))
                stream.pump()
                self.romeo.drain()
                most = max(most, self.held(stream))
                if stream.lost is not None:
                    break
            self.assertLessEqual(most, MOST, ask)
            self.wait(200)
            self.assertIsNotNone(stream.lost, ask)
            self.assert_others_untouched()

    def test_before_it_is_authorised_it_is_much_less(self) -> None:
        for make in (self.stranger, self.secured):
            self.begin()
            stream = make()
            stream.stop_reading()
            most = 0
            ask = "<db:verify from='b.test' to='a.test' id='1'>x</db:verify>"
            for _ in range(40):
                stream.write(ask * (64 * KIB // len(ask)))
                stream.pump()
                most = max(most, self.held(stream))
            self.assertLessEqual(most, MOST)
            self.wait(NEGOTIATION + ENDING)
            self.assertIsNotNone(stream.lost)


class NotWaitedFor(AttackTestCase):
    """A peer that sends to whoever is slow, or not there."""

    def setUp(self) -> None:
        super().setUp()
        self.begin(modules={"mod_slow": {}}, worlds={"a.test": {"own_modules": {"mod_slow": Slow}}})
        self.benvolio = self.federation.client("benvolio@a.test/x")
        self.slow = self.federation["a.test"].host("a.test").module(Slow)

    def test_what_waits_for_a_slow_recipient_is_bounded_and_arrives_in_order(self) -> None:
        stream = self.connected()
        most = 0
        for number in range(300):
            stream.write(message(f"{number}" + "x" * 10_000, to="benvolio@a.test/x"))
            stream.pump()
            most = max(most, self.held(stream) - (stream.end.unsent if stream.end else 0))
        self.assertGreater(most, 100 * KIB)
        self.assertLess(most, MOST)
        self.assert_others_untouched()
        got: list[str] = []
        for _ in range(310):
            self.slow.go_on()
            self.federation.pump()
            got += bodies(self.benvolio.drain())
        self.assertEqual([text.rstrip("x") for text in got], [str(number) for number in range(300)])

    def test_one_that_is_slow_does_not_hold_up_the_others(self) -> None:
        stream = self.connected()
        for number in range(10):
            stream.send(message(f"{number}", to="benvolio@a.test/x"))
        stream.send(message("not slow"))
        self.romeo.expect("<message><body>not slow</body></message>")

    def test_what_waits_when_the_stream_ends_still_arrives(self) -> None:
        stream = self.connected()
        for number in range(5):
            stream.send(message(f"{number}", to="benvolio@a.test/x"))
        stream.cut()
        for _ in range(6):
            self.slow.go_on()
            self.federation.pump()
        self.assertEqual(bodies(self.benvolio.drain()), ["0", "1", "2", "3", "4"])

    def test_who_is_not_there_costs_an_answer(self) -> None:
        stream = self.connected()
        for number in range(500):
            stream.write(message(f"{number}", to=f"nobody{number}@a.test"))
        stream.pump()
        self.assertEqual(sum(e.get("type") == "error" for e in stream.drain()), 500)
        self.assertLess(self.held(stream), MOST)


class Remains(AttackTestCase):
    """What is left of connections that are gone: nothing."""

    def test_a_failed_connection_is_not_kept_by_the_reason_why_it_failed(self) -> None:
        self.begin()
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        stream = self.dialled()
        link = self.link(stream)
        assert link is not None
        gone = weakref.ref(link)
        del link
        stream.send("<?xml version='1.0'?><stream:stream xmlns='urn:x'>")
        self.assert_closed(stream)
        self.assertTrue(self.core.dialers)
        self.assertIsNone(_shown(gone()))

    def test_a_stream_that_is_refused_is_freed_at_once(self) -> None:
        self.begin()
        for said in ("<message/>", "<x", message("it is me"), NONZA + result("b..test")):
            gc.collect()
            gc.disable()
            self.addCleanup(gc.enable)
            stream = self.secured()
            link = self.link(stream)
            assert link is not None
            gone = weakref.ref(link)
            del link
            stream.send(said)
            stream.cut()
            self.wait(ENDING)
            self.assertIsNone(_shown(gone()))
            gc.enable()

    def test_thousands_of_domains_that_cannot_be_reached_are_forgotten(self) -> None:
        self.begin()
        for number in range(3000):
            self.romeo.write(message("1", "romeo@a.test/x", f"x{number}.nowhere.test"))
        self.romeo.pump()
        self.assertEqual(sum(e.get("type") == "error" for e in self.romeo.drain()), 3000)
        self.wait(100)
        self.assertEqual(len(self.core.pairs), 0)
        self.wait(900)
        self.assertEqual(self.core.dialers, {})

    def test_who_looks_for_very_many_servers_does_not_keep_others_from_new_ones(self) -> None:
        self.begin()
        with patch.object(core, "MOST_PAIRS", 50):
            for number in range(200):
                self.romeo.write(message("1", "romeo@a.test/x", f"x{number}.nowhere.test"))
                if number % 40 == 0:
                    self.wait(1)
                self.romeo.pump()
            conditions = [condition(e) for e in self.romeo.drain() if e.get("type") == "error"]
            self.assertEqual(conditions, ["remote-server-not-found"] * 200)
            self.assertLessEqual(len(self.core.pairs), 50)
            self.assertLessEqual(len(self.core.dialers), 50)


def _shown(link: Link | None) -> Any:
    """What keeps it, where something does."""
    return None if link is None else gc.get_referrers(link)
