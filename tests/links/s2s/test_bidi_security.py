"""XEP-0288: what a stream that goes both ways must not let anybody do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from federix.api import Module, hooks
from federix.links.s2s.pair import Domains
from federix.testing import PeerStream
from federix.testing.certificates import Kind
from federix.testing.peer import BIDI, DIALBACK, EXTERNAL, STARTTLS
from federix.xmpp import ns
from federix.xmpp.element import Element

from .bidi import NONZA, BidiTestCase, bodies, dialback_alone, message

BAD: tuple[Kind, ...] = ("self-signed", "stranger", "expired", "early", "wrong-name")
#: One server with two domains.
TWO: dict[str, Any] = {"worlds": {"a.test": {"hosts": ("a.test", "also.test")}}}


class Keys(BidiTestCase):
    """§2.2: "the receiving server MUST NOT attempt to verify a dialback key on the same connection where the
    corresponding request was issued"."""

    def test_a_key_that_comes_by_our_own_stream_is_verified_on_another_one(self) -> None:
        self.begin(**TWO, peer={"certificate": "self-signed"})
        self.romeo.send(message("1", "romeo@a.test/x", "juliet@b.test"))
        ours = self.reached_by_dialback()
        ours.expect("<message/>")
        key = self.peer.keys.key("also.test", "b.test", ours.id)
        ours.send(f"<db:result from='b.test' to='also.test'>{key}</db:result>")
        other = self.peer.accept()
        dialback_alone(other)
        other.answer_verify()
        ours.expect("<db:result from='also.test' to='b.test' type='valid'/>")
        self.assertEqual(self.sent_on(ours, ns.DIALBACK, "verify"), [])

    def test_a_key_that_comes_by_a_stream_of_the_peers_is_verified_on_one_of_ours(self) -> None:
        """Not on another one of the peer's either: DNS is what is believed, and only we follow it."""
        self.begin(peer={"certificate": "self-signed"})
        streams = [self.secured(), self.secured()]
        for stream in streams:
            stream.send(NONZA)
            for domain in ("b.test", "rooms.b.test"):
                self.assertEqual(stream.dialback(domain, accept=dialback_alone).get("type"), "valid")
        self.assertEqual([self.sent_on(stream, ns.DIALBACK, "verify") for stream in streams], [[], []])

    def test_who_would_verify_its_own_key_is_not_authorised(self) -> None:
        self.begin(peer={"certificate": "self-signed"})
        theirs = self.secured()
        theirs.send(NONZA)
        theirs.send("<db:result from='b.test' to='a.test'>anything</db:result>")
        theirs.send(f"<db:verify from='b.test' to='a.test' id='{theirs.id}' type='valid'/>")
        theirs.nothing()
        theirs.send(message("it is me"))
        self.assert_ended(theirs, "not-authorized")
        self.assert_unheard(self.romeo)

    def sent_on(self, stream: PeerStream, namespace: str, name: str) -> list[Element]:
        """What we have said on the connection of *stream*."""
        transcript = self.federation.transcript
        connection = next(each for each in transcript.connections() if each.wire is stream.wire)
        return transcript.on(connection).sent_by("a.test").elements(namespace, name)


class StreamsForKeys(BidiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.begin(peer={"certificate": "self-signed"})

    def asked(self) -> PeerStream:
        """A stream of ours that asks the peer about a key, and nothing else."""
        self.theirs = self.secured()
        key = self.peer.keys.key("a.test", "b.test", self.theirs.id)
        self.theirs.send(f"<db:result from='b.test' to='a.test'>{key}</db:result>")
        stream = self.peer.accept()
        stream.answer(BIDI, STARTTLS)
        stream.accept_tls()
        stream.answer(BIDI, EXTERNAL, DIALBACK)
        return stream

    def test_a_stream_of_ours_that_only_verifies_takes_no_bidi(self) -> None:
        stream = self.asked()
        stream.expect("<db:verify/>")
        stream.nothing()

    def test_no_stanza_goes_over_it_either_way(self) -> None:
        stream = self.asked()
        asked = stream.expect("<db:verify/>")
        self.romeo.send(message("1", "romeo@a.test/x", "juliet@b.test"))
        stream.nothing()
        stream.write(f"<db:verify from='b.test' to='a.test' id='{asked.get('id')}' type='invalid'/>")
        stream.send(message("it is me"))
        self.assert_unheard(self.romeo)
        self.assertEqual(bodies(stream.drain()), [])

    def test_a_stream_of_the_peers_that_only_verifies_becomes_no_route(self) -> None:
        theirs = self.secured()
        theirs.send(NONZA)
        theirs.send("<db:verify from='b.test' to='a.test' id='x'>no key of ours</db:verify>")
        theirs.expect("<db:verify type='invalid'/>")
        self.romeo.send(message("1", "romeo@a.test/x", "juliet@b.test"))
        theirs.nothing()
        self.peer.accept().expect_header(to="b.test")


class BeforeAuthentication(BidiTestCase):
    """A stanza on a stream of ours counts only from whom we have authenticated, whatever was said about bidi."""

    STEPS = ("header", "plain features", "TLS", "features", "dialback", "success")

    def reach(self, step: str) -> PeerStream:
        stream = self.peer.accept()
        if step == "header":
            stream.expect_header()
            stream.send_header(id="1")
            return stream
        stream.answer(BIDI, STARTTLS)
        if step == "plain features":
            return stream
        stream.accept_tls()
        if step == "TLS":
            stream.send_header(id="2")
            return stream
        stream.answer(BIDI, DIALBACK if step == "dialback" else EXTERNAL)
        if step == "success":
            stream.expect(NONZA)
            stream.accept_external()
            stream.expect_header()
            stream.send_header(id="3")
        return stream

    def test_a_stanza_on_our_stream_before_it_is_authenticated_ends_it(self) -> None:
        for step in self.STEPS:
            self.begin()
            self.romeo.send(message("1", "romeo@a.test/x", "juliet@b.test"))
            stream = self.reach(step)
            stream.send(message("it is me"))
            self.assert_ended(stream, "not-authorized")
            self.assert_unheard(self.romeo)

    def test_nor_is_one_routed_that_is_read_together_with_the_features(self) -> None:
        self.begin()
        self.romeo.send(message("1", "romeo@a.test/x", "juliet@b.test"))
        stream = self.reach("TLS")
        stream.send(f"<stream:features>{BIDI}{EXTERNAL}</stream:features>" + message("it is me"))
        self.assert_unheard(self.romeo)
        self.assert_ended(stream, "not-authorized")

    def test_nothing_behind_the_features_of_a_bad_certificate_is_routed(self) -> None:
        for kind in BAD:
            self.begin(dialback=False, peer={"certificate": kind})
            self.romeo.send(message("1", "romeo@a.test/x", "juliet@b.test"))
            stream = self.peer.accept()
            stream.answer(BIDI, STARTTLS)
            stream.accept_tls()
            stream.send(
                f"<?xml version='1.0'?><stream:stream xmlns='{ns.SERVER}' xmlns:stream='{ns.STREAMS}' id='1'"
                f" from='b.test' to='a.test' version='1.0'><stream:features>{BIDI}{EXTERNAL}</stream:features>"
                + message("it is me")
            )
            self.assert_bounced(self.romeo, "remote-server-timeout")
            self.assert_unheard(self.romeo)
            self.assertEqual(bodies(stream.drain()), [])

    def test_nothing_behind_plain_features_is_routed_where_tls_is_required(self) -> None:
        self.begin(dialback=False)
        self.romeo.send(message("1", "romeo@a.test/x", "juliet@b.test"))
        stream = self.peer.accept()
        stream.expect_header()
        stream.send_header(id="1")
        stream.send(f"<stream:features>{BIDI}{EXTERNAL}</stream:features>" + message("it is me"))
        self.assert_bounced(self.romeo, "remote-server-timeout")
        self.assert_unheard(self.romeo)

    def test_tls_comes_first_also_where_it_is_optional(self) -> None:
        """§2.2: "STARTTLS negotiation MUST be completed before enabling bidirectionality"."""
        self.begin(config={"s2s_use_starttls": "optional"})
        self.romeo.send(message("1", "romeo@a.test/x", "juliet@b.test"))
        stream = self.peer.accept()
        stream.answer(BIDI, f"<starttls xmlns='{ns.TLS}'/>", DIALBACK)
        stream.expect(f"<starttls xmlns='{ns.TLS}'/>")
        stream.nothing()
        self.assertEqual(self.federation.transcript.in_clear().elements(ns.BIDI), [])


class Senders(BidiTestCase):
    """RFC 6120 §4.9.3.9: whom the peer has proved to be, it may send for, and only to whom it has proved it."""

    def streams(self) -> Iterator[PeerStream]:
        """One that the peer has opened to us, and one that we have opened; both are for b.test and a.test."""
        self.begin(**TWO)
        yield self.connected()
        self.begin(**TWO)
        self.romeo.send(message("1", "romeo@a.test/x", "juliet@b.test"))
        yield self.reached("")

    def test_a_sender_of_another_domain_ends_the_stream(self) -> None:
        for sender in ("juliet@c.test/y", "rooms.b.test", "b.test.c.test", "tybalt@a.test/x", "a.test"):
            for stream in self.streams():
                stream.send(message("it is me", sender))
                self.assert_ended(stream, "invalid-from")
                self.assert_unheard(self.romeo)

    def test_a_recipient_outside_the_pair_ends_the_stream_although_he_is_ours(self) -> None:
        for stream in self.streams():
            benvolio = self.federation.client("benvolio@also.test/x")
            stream.send(message("me", to="benvolio@also.test/x"))
            self.assert_ended(stream, "not-authorized")
            self.assert_unheard(benvolio)

    def test_a_recipient_elsewhere_ends_the_stream(self) -> None:
        for stream in self.streams():
            other = self.federation.peer("c.test")
            stream.send(message("pass it on", to="somebody@c.test"))
            self.assert_ended(stream, "host-unknown")
            other.nobody()

    def test_a_stanza_without_addresses_ends_the_stream(self) -> None:
        for stanza in ("<message to='romeo@a.test/x'/>", "<message from='juliet@b.test'/>", "<presence/>"):
            for stream in self.streams():
                stream.send(stanza)
                self.assert_ended(stream, "improper-addressing")
                self.assert_unheard(self.romeo)

    def test_another_domain_of_the_peers_may_send_once_it_has_proved_itself(self) -> None:
        """XEP-0288 §2.2: the receiving server, too, may ask for more of its domains."""
        for stream in self.streams():
            stream.drain()
            key = self.peer.keys.key("a.test", "rooms.b.test", stream.id)
            stream.send(f"<db:result from='rooms.b.test' to='a.test'>{key}</db:result>")
            stream.expect("<db:result from='a.test' to='rooms.b.test' type='valid'/>")
            stream.send(message("from a room", "rooms.b.test/room"))
            self.romeo.expect("<message from='rooms.b.test/room'/>")
            stream.send(message("and from another", "more.b.test"))
            self.assert_ended(stream, "invalid-from")
            self.assert_unheard(self.romeo)


class Never(Module):
    """Keeps servers away that `s2s_access` would let in."""

    name = "mod_never"

    @hooks.s2s_allow_host
    def allow(self, local: str, remote: str) -> list[bool]:
        return [remote != "b.test"]


#: Two ways to say that nobody speaks with b.test.
DENIED: tuple[dict[str, Any], ...] = (
    {"config": {"acl": {"bad": {"server": "b.test"}}, "s2s_access": [{"deny": "bad"}, {"allow": "all"}]}},
    {"modules": {"mod_never": {}}, "worlds": {"a.test": {"own_modules": {"mod_never": Never}}}},
)


class Denied(BidiTestCase):
    def test_a_server_that_is_denied_cannot_open_a_stream(self) -> None:
        for options in DENIED:
            self.begin(**options)
            stream = self.peer.dial("a.test")
            stream.send_header()
            self.assert_ended(stream, "policy-violation")

    def test_a_server_that_is_denied_does_not_become_a_route(self) -> None:
        """Not even behind the name of one that is welcome, which has a certificate for both."""
        for options in DENIED:
            self.begin(**options)
            self.peer.domain = "rooms.b.test"
            stream = self.connected()
            stream.send("<db:result from='b.test' to='a.test'>a key</db:result>")
            stream.expect("<db:result from='a.test' to='b.test' type='error'><error/></db:result>")
            self.romeo.send(message("1", "romeo@a.test/x", "juliet@b.test"))
            self.assert_bounced(self.romeo, "forbidden")
            self.assertEqual(self.stanzas(stream), [])
            self.assertNotIn(Domains("a.test", "b.test"), self.core.pairs)
            stream.send(message("let me in"))
            self.assert_ended(stream, "invalid-from")
            self.assert_unheard(self.romeo)

    def test_an_address_that_is_denied_does_not_become_a_route(self) -> None:
        bad = {"acl": {"bad": {"ip": "198.51.100.0/24"}}, "s2s_access": [{"deny": "bad"}, {"allow": "all"}]}
        self.begin(config=bad)
        stream = self.peer.dial("a.test", ip=self.federation.network.machine("a.test").addresses[0])
        stream.send_header()
        self.assert_ended(stream, "policy-violation")

    def test_a_route_is_in_the_name_of_the_pair_that_was_proved(self) -> None:
        """Not in that of the stream's header, which may be written as one likes."""
        self.begin()
        self.peer.domain = "B.Test"
        stream = self.connected("A.TEST")
        self.romeo.send(message("1", "romeo@a.test/x", "Juliet@b.TEST/y"))
        self.assertEqual(bodies(self.stanzas(stream)), ["1"])
        self.assertEqual(list(self.core.pairs), [Domains("a.test", "b.test")])
        self.peer.nobody()
