"""Storms of dialback: whoever asks for much is told so, what it has us do is bounded, and others prove themselves."""

from __future__ import annotations

from unittest.mock import patch

from federix.links.s2s import verifying
from federix.links.s2s.dialback import ANSWER_TIMEOUT, MOST_AT_ONCE
from federix.links.s2s.verifying import IN_VAIN, VERIFICATIONS_PER_ADDRESS
from federix.streams.resolver import Srv
from federix.testing import PeerStream
from federix.testing.peer import BIDI, DIALBACK, STARTTLS
from federix.xmpp import ns

from .attack import MOST, DialbackTestCase, result
from .bidi import NONZA, dialback_alone, message


class Storms(DialbackTestCase):
    """Whoever asks for much is answered that it is too much, and others are still served."""

    def storm(self, stream: PeerStream, count: int, name: str = "x{}.nowhere.test") -> None:
        for number in range(count):
            stream.write(result(name.format(number)))
        stream.pump()

    def honest(self) -> None:
        """A server with no certificate proves itself, from an address of its own."""
        honest = self.federation.peer("honest.test", certificate="self-signed")
        stream = honest.dial("a.test")
        stream.open()
        stream.start_tls()
        stream.open()
        self.assertEqual(stream.dialback(accept=dialback_alone).get("type"), "valid")

    def test_domains_that_do_not_exist(self) -> None:
        self.begin()
        dns = self.federation.network.dns
        dns.delay = 0.5
        stream = self.secured()
        before = len(dns.queries)
        self.storm(stream, 2000)
        self.assertLessEqual(len(dns.queries) - before, 4 * VERIFICATIONS_PER_ADDRESS)
        self.assertLess(self.held(stream), MOST)
        answers = self.answers(stream)
        self.assertGreaterEqual(len(answers), 2000 - MOST_AT_ONCE)
        self.assertEqual(set(answers), {"resource-constraint"})
        dns.delay = 0
        self.honest()
        self.assert_others_untouched()
        self.federation.advance(10)
        self.assertEqual(set(self.answers(stream)), {"remote-server-not-found"})
        self.assertEqual((len(self.core.verifications), len(self.core.dialers)), (0, 0))

    def test_domains_that_do_not_exist_one_after_the_other(self) -> None:
        """Where the DNS answers at once each question is over before the next: what was in vain counts for a while."""
        self.begin()
        dns = self.federation.network.dns
        stream = self.secured()
        before = len(dns.queries)
        self.storm(stream, 2000)
        self.assertLessEqual(len(dns.queries) - before, 4 * VERIFICATIONS_PER_ADDRESS)
        self.assertEqual(self.answers(stream).count("remote-server-not-found"), VERIFICATIONS_PER_ADDRESS)
        self.honest()
        self.assert_others_untouched()
        self.federation.advance(IN_VAIN)
        self.storm(stream, 1)
        self.assertEqual(self.answers(stream), ["remote-server-not-found"])

    def test_many_streams(self) -> None:
        self.begin()
        dns = self.federation.network.dns
        dns.delay = 5
        streams = [self.secured() for _ in range(20)]
        before = len(dns.queries)
        for stream in streams:
            self.storm(stream, 50)
        self.assertLessEqual(len(dns.queries) - before, 2 * VERIFICATIONS_PER_ADDRESS)
        dns.delay = 0
        self.honest()
        self.assert_others_untouched()

    def test_a_victim_that_is_knocked_at(self) -> None:
        """Keys in the name of a domain that lives: no more than so many connections to it at a time."""
        self.begin()
        victim = self.federation.peer("victim.test")
        streams = [self.secured() for _ in range(5)]
        for stream in streams:
            self.storm(stream, 50, "victim.test")
        connections = self.federation.network.connections("a.test", "victim.test")
        self.assertLessEqual(len(connections), VERIFICATIONS_PER_ADDRESS)
        self.assertGreater(len(connections), 0)
        while victim._accepted:
            victim.accept().cut()
        self.honest()

    def test_addresses_of_one_customer_are_one(self) -> None:
        """An IPv6 network of /64 is, and has as many addresses as one likes."""
        self.begin()
        dns = self.federation.network.dns
        machine = self.peer.machine
        ours = self.federation["a.test"].clock.addresses[1]
        dns.delay = 5
        before = len(dns.queries)
        for number in range(15):
            machine.addresses[1] = f"2001:db8:5::{number + 1:x}"
            stream = self.peer.dial("a.test", ip=ours)
            stream.open()
            stream.start_tls()
            stream.open()
            self.storm(stream, 5, f"x{{}}.n{number}.test")
        self.assertLessEqual(len(dns.queries) - before, 2 * VERIFICATIONS_PER_ADDRESS)

    def test_a_domain_that_never_answers_is_not_waited_for(self) -> None:
        """However many machines its DNS names."""
        self.begin()
        dns = self.federation.network.dns
        peer = self.federation.peer("tarpit.test")
        dns.set_srv("_xmpp-server._tcp.tarpit.test", *(Srv(n, 0, 5269, "tarpit.test") for n in range(10)))
        stream = self.secured()
        stream.send(result("tarpit.test"))
        self.federation.advance(ANSWER_TIMEOUT + 1)
        self.assertEqual(self.answers(stream), ["remote-server-timeout"])
        self.assertEqual(len(self.core.verifications), 0)
        self.federation.advance(10)
        self.assertEqual(self.federation.network.connections("a.test", "tarpit.test"), [])
        self.assertGreater(len(peer._accepted), 0)

    def test_all_places_taken_by_tarpits_are_free_again_soon(self) -> None:
        self.begin()
        self.federation.peer("tarpit.test")
        with patch.object(verifying, "VERIFICATIONS_PER_ADDRESS", 1000):
            for _ in range(6):
                self.storm(self.secured(), MOST_AT_ONCE, "tarpit.test")
        self.federation.advance(ANSWER_TIMEOUT + 1)
        self.honest()

    def test_keys_that_are_verified_on_a_stream_there_is_count_for_their_address_too(self) -> None:
        """Or whoever asks in the name of a domain that we speak with keeps it from proving itself."""
        self.begin()
        victim = self.federation.peer("victim.test", certificate="self-signed")
        self.romeo.send(message("1", "romeo@a.test/x", "tybalt@victim.test"))
        ours = victim.accept()
        ours.answer(STARTTLS)
        ours.accept_tls()
        ours.answer(DIALBACK)
        ours.accept_dialback()
        ours.expect("<message/>")
        for _ in range(VERIFICATIONS_PER_ADDRESS + 2):
            self.storm(self.secured(), 50, "victim.test")
        asked = [e for e in ours.drain() if (e.ns, e.name) == (ns.DIALBACK, "verify")]
        self.assertEqual(len(asked), VERIFICATIONS_PER_ADDRESS)
        victim.nobody()
        stream = victim.dial("a.test")
        stream.open()
        stream.start_tls()
        stream.open()
        stream.send(result("victim.test", key="right"))
        self.assertEqual(ours.expect("<db:verify/>").text, "right")

    def test_thousands_of_pairs_on_one_stream(self) -> None:
        """Who has a certificate for all names below his own may have so many of them."""
        self.begin(peer={})
        self.peer.certificate = self.federation.network.certificate("b.test", "*.b.test")
        stream = self.connected()
        for number in range(1500):
            stream.write(result(f"x{number}.b.test"))
        stream.pump()
        answers = self.answers(stream)
        self.assertEqual(len(answers), 1500)
        link = self.link(stream)
        assert link is not None
        self.assertLessEqual(len(link.accepts), 1000)
        self.assertEqual(answers.count("valid"), len(link.accepts) - 1)
        self.assertLess(self.held(stream), MOST)
        self.assert_others_untouched()

    def test_questions_about_keys_without_end(self) -> None:
        """A flood of them is answered as it is read, and nothing is kept."""
        self.begin()
        stream = self.secured()
        for number in range(2000):
            stream.write(f"<db:verify from='b.test' to='a.test' id='{number}'>x</db:verify>")
        stream.pump()
        self.assertEqual(self.answers(stream), ["invalid"] * 2000)
        self.assertEqual(len(self.core.verifications), 0)

    def test_the_same_question_again_and_again(self) -> None:
        self.begin()
        stream = self.secured()
        asked = self.asked(stream)
        self.storm(stream, 100, "b.test")
        self.assertEqual(set(self.answers(stream)), {"resource-constraint"})
        self.assertEqual(len([e for e in asked.drain() if e.name == "verify"]), 1)
        self.peer.nobody()


class Bidi(DialbackTestCase):
    """Keys that come by a stream of ours."""

    def test_a_storm_by_our_own_stream(self) -> None:
        self.begin()
        dns = self.federation.network.dns
        stream = self.dialled()
        stream.answer(STARTTLS)
        stream.accept_tls()
        stream.answer(BIDI, DIALBACK)
        stream.expect(NONZA)
        stream.accept_dialback()
        stream.expect("<message/>")
        dns.delay = 0.5
        before = len(dns.queries)
        for number in range(1000):
            stream.write(result(f"x{number}.nowhere.test"))
        stream.pump()
        self.assertLessEqual(len(dns.queries) - before, 4 * VERIFICATIONS_PER_ADDRESS)
        self.assertEqual(set(self.answers(stream)), {"resource-constraint"})

    def test_no_key_is_heard_before_we_are_known(self) -> None:
        self.begin()
        stream = self.negotiated(BIDI, DIALBACK)
        stream.expect(NONZA)
        stream.expect("<db:result/>")
        stream.send(result("b.test"))
        self.assertEqual(self.answers(stream), ["not-allowed"])
        self.peer.nobody()
