"""XEP-0288 §2: when bidirectionality may be enabled, when it is not, and what may be said before it counts."""

from __future__ import annotations

from collections.abc import Mapping

from federix.testing import PeerStream
from federix.testing.peer import BIDI, DIALBACK, EXTERNAL, STARTTLS
from federix.xmpp import ns
from federix.xmpp.element import Element

from .bidi import NONZA, BidiTestCase, bodies, dialback_alone, message

PLAIN: Mapping[str, object] = {"s2s_use_starttls": "optional"}
NO_TLS: Mapping[str, object] = {"s2s_use_starttls": "false"}
MAX_BYTES = 20_000


def limits(max_bytes: object) -> str:
    return f"<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>{max_bytes}</max-bytes></limits>"


def enabling(inner: str) -> str:
    return f"<bidi xmlns='urn:xmpp:bidi'>{inner}</bidi>"


class NegotiationTestCase(BidiTestCase):
    def say(self, text: str) -> None:
        """Romeo writes to Juliet."""
        self.romeo.send(message(text, "romeo@a.test/x", "juliet@b.test/y"))

    def assert_one_way(self, theirs: PeerStream) -> None:
        """The peer may send on its stream, and we do not."""
        theirs.send(message("hither"))
        self.romeo.expect("<message><body>hither</body></message>")
        self.say("thither")
        self.assertEqual(self.stanzas(theirs), [])
        self.peer.accept()

    def assert_both_ways(self, stream: PeerStream, connections: int = 1) -> None:
        """One stream carries it all; there were not more *connections*."""
        stream.send(message("hither"))
        self.romeo.expect("<message><body>hither</body></message>")
        self.say("thither")
        self.assertEqual(bodies(self.stanzas(stream))[-1:], ["thither"])
        self.peer.nobody()
        self.assertEqual(len(self.federation.transcript.connections("a.test", "b.test")), connections)


class Limits(NegotiationTestCase):
    """XEP-0478 §3: who connects has no features to tell its limits in, so they are in what enables bidi."""

    def connected_with(self, said: str) -> PeerStream:
        self.begin()
        theirs = self.secured()
        theirs.send(enabling(said))
        theirs.authenticate()
        return theirs

    def test_those_of_a_server_that_connects_are_kept(self) -> None:
        theirs = self.connected_with(limits(MAX_BYTES))
        self.assert_both_ways(theirs)
        self.assert_limit(theirs, MAX_BYTES)

    def test_those_in_the_features_are_kept(self) -> None:
        self.begin()
        self.say("1")
        ours = self.peer.accept()
        ours.answer(STARTTLS)
        ours.accept_tls()
        ours.answer(BIDI, EXTERNAL, limits(MAX_BYTES))
        ours.expect(NONZA)
        ours.accept_external()
        ours.answer(limits(MAX_BYTES))
        self.assertEqual(bodies(self.stanzas(ours)), ["1"])
        self.assert_limit(ours, MAX_BYTES)

    def test_no_server_can_have_all_refused(self) -> None:
        # XEP-0478 §2: "the value MUST NOT be less than 10000".
        self.assert_limit(self.connected_with(limits(1)), 10_000)

    def test_what_is_no_number_is_no_limit(self) -> None:
        for nonsense in ("", "many", "-1", "9" * 11, "٣٠٠٠٠"):
            theirs = self.connected_with(limits(nonsense))
            self.say("x" * 2 * MAX_BYTES)
            theirs.expect("<message/>")

    def test_ours_are_in_what_we_enable_it_with(self) -> None:
        self.begin()
        self.say("1")
        self.reached()
        (said,) = self.federation.transcript.elements(ns.BIDI)
        told = said.child(ns.LIMITS, "limits")
        assert told is not None
        self.assertEqual(told.text_of(ns.LIMITS, "max-bytes"), str(self.core.limits.stanza_bytes))

    def assert_limit(self, stream: PeerStream, most: int) -> None:
        self.say("")
        empty = stream.raw[stream.raw.rindex(b"<message") :]
        self.assertEqual(len(stream.drain()), 1)
        self.say("x" * (most - len(empty)))
        self.assertEqual(len(self.stanzas(stream)), 1)
        self.say("x" * (most - len(empty) + 1))
        self.assertEqual(self.stanzas(stream), [])
        self.assert_bounced(self.romeo, "policy-violation")


class TlsFirst(NegotiationTestCase):
    """§2.1: "If the initiating entity chooses to use TLS, STARTTLS negotiation MUST be completed before enabling"."""

    def test_what_is_offered_in_the_clear_is_taken_up_inside_tls(self) -> None:
        for config in ({}, PLAIN):
            self.begin(config=config)
            self.say("1")
            ours = self.peer.accept()
            ours.answer(BIDI, STARTTLS.replace("<required/>", ""), BIDI, DIALBACK)
            ours.accept_tls()
            self.assertEqual(self.enabled(in_clear=True), [])
            ours.answer(BIDI, EXTERNAL)
            self.assertEqual(len(self.enabled(in_clear=False)), 1)
            self.assertEqual(self.enabled(in_clear=True), [])

    def test_what_is_offered_in_the_clear_alone_is_not_remembered(self) -> None:
        self.begin()
        self.say("1")
        ours = self.peer.accept()
        ours.answer(BIDI, STARTTLS)
        ours.accept_tls()
        ours.answer(EXTERNAL)
        ours.accept_external()
        ours.answer()
        ours.expect("<message><body>1</body></message>")
        self.assertEqual(self.enabled(in_clear=False), [])
        ours.send(message("2"))
        self.assert_ended(ours, "invalid-from")
        self.assert_unheard(self.romeo)

    def test_where_there_is_no_tls_it_is_taken_up_in_the_clear(self) -> None:
        self.begin(config=PLAIN)
        self.say("1")
        ours = self.peer.accept()
        ours.answer(BIDI, DIALBACK)
        ours.expect(NONZA)
        ours.accept_dialback()
        ours.expect("<message><body>1</body></message>")
        self.assert_both_ways(ours)

    def test_enabling_before_tls_counts_for_nothing_behind_it(self) -> None:
        for config in ({}, PLAIN):
            self.begin(config=config)
            theirs = self.peer.dial("a.test")
            theirs.open()
            theirs.send(NONZA)
            theirs.nothing()
            theirs.start_tls()
            theirs.open()
            theirs.authenticate()
            self.assert_one_way(theirs)

    def test_enabling_before_tls_does_not_prevent_it_behind_it(self) -> None:
        # ejabberd up to 26.07 says it twice where TLS is optional.
        self.begin()
        theirs = self.peer.dial("a.test")
        theirs.open()
        theirs.write(NONZA)
        theirs.start_tls()
        theirs.open()
        theirs.send(NONZA)
        theirs.authenticate()
        self.assert_both_ways(theirs)

    def test_enabling_where_tls_is_offered_and_not_used_counts_for_nothing(self) -> None:
        self.begin(config=PLAIN)
        theirs = self.peer.dial("a.test")
        theirs.open()
        theirs.send(NONZA)
        self.assertEqual(theirs.dialback().get("type"), "valid")
        self.assert_one_way(theirs)

    def test_enabling_in_the_clear_counts_where_we_have_no_tls(self) -> None:
        self.begin(config=NO_TLS)
        theirs = self.peer.dial("a.test")
        theirs.open()
        theirs.send(NONZA)
        self.assertEqual(theirs.dialback().get("type"), "valid")
        self.assert_both_ways(theirs, connections=2)

    def enabled(self, *, in_clear: bool) -> list[Element]:
        """How we have enabled it, in the clear or inside TLS."""
        said = self.federation.transcript.where(lambda entry: entry.encrypted != in_clear).sent_by("a.test")
        return [element for element in said.elements() if element.name == "bidi"]


class OutOfTime(NegotiationTestCase):
    """§2.2: "This SHOULD be done before either SASL negotiation or Server Dialback"."""

    def test_behind_the_login_it_has_no_effect(self) -> None:
        self.begin()
        theirs = self.connected(bidi=False)
        theirs.send(NONZA)
        theirs.nothing()
        self.assert_one_way(theirs)

    def test_behind_dialback_it_has_no_effect(self) -> None:
        self.begin(peer={"certificate": "self-signed"})
        theirs = self.secured()
        self.assertEqual(theirs.dialback(accept=dialback_alone).get("type"), "valid")
        theirs.send(NONZA)
        theirs.nothing()
        self.assert_one_way(theirs)

    def test_on_a_stream_of_ours_it_has_no_effect(self) -> None:
        self.begin()
        self.say("1")
        ours = self.reached(bidi=False)
        ours.expect("<message><body>1</body></message>")
        ours.send(NONZA)
        ours.nothing()
        ours.send(message("2"))
        self.assert_ended(ours, "invalid-from")
        self.assert_unheard(self.romeo)

    def test_said_twice_it_is_as_if_said_once(self) -> None:
        self.begin()
        theirs = self.secured()
        theirs.send(NONZA + NONZA)
        theirs.authenticate()
        theirs.send(NONZA)
        self.assert_both_ways(theirs)

    def test_without_the_module_it_has_no_effect(self) -> None:
        self.begin(bidi=False)
        theirs = self.secured()
        theirs.send(NONZA)
        theirs.authenticate()
        self.assert_one_way(theirs)


class NothingBeforeTheLogin(NegotiationTestCase):
    """§2.2: "The receiving server MUST NOT send stanzas to the peer before it has authenticated"."""

    def test_what_waits_comes_behind_the_features_of_the_stream_that_the_login_begins(self) -> None:
        self.begin()
        self.peer.stop_listening()
        theirs = self.secured()
        theirs.send(NONZA)
        self.say("1")
        theirs.nothing()
        theirs.send(f"<auth xmlns='{ns.SASL}' mechanism='EXTERNAL'>=</auth>")
        theirs.expect(f"<success xmlns='{ns.SASL}'/>")
        self.say("2")
        # RFC 6120 §6.4.6: another stream begins here, and nothing may be said before its header.
        theirs.nothing()
        self.assertTrue(theirs.raw.endswith(f"<success xmlns='{ns.SASL}'/>".encode()))
        theirs.open()
        self.assertEqual(bodies(self.stanzas(theirs)), ["1", "2"])

    def test_a_login_that_fails_lets_nothing_out(self) -> None:
        self.begin(peer={"certificate": "stranger"})
        self.peer.stop_listening()
        theirs = self.secured()
        theirs.send(NONZA)
        self.say("1")
        theirs.send(f"<auth xmlns='{ns.SASL}' mechanism='EXTERNAL'>=</auth>")
        theirs.expect(f"<failure xmlns='{ns.SASL}'/>")
        theirs.nothing()

    def test_what_waits_comes_behind_the_answer_to_the_key(self) -> None:
        self.begin(peer={"certificate": "self-signed"})
        theirs = self.secured()
        theirs.send(NONZA)
        theirs.send(
            f"<db:result from='b.test' to='a.test'>{self.peer.keys.key('a.test', 'b.test', theirs.id)}</db:result>"
        )
        verifying = self.peer.accept()
        self.peer.stop_listening()
        self.say("1")
        theirs.nothing()
        dialback_alone(verifying)
        theirs.nothing()
        verifying.answer_verify()
        theirs.expect("<db:result from='a.test' to='b.test' type='valid'/>")
        self.assertEqual(bodies(self.stanzas(theirs)), ["1"])

    def test_a_key_that_is_not_known_lets_nothing_out(self) -> None:
        self.begin(peer={"certificate": "self-signed"})
        theirs = self.secured()
        theirs.send(NONZA)
        self.assertEqual(theirs.dialback(accept=dialback_alone, verdict="invalid").get("type"), "invalid")
        # XEP-0220 §2.2.1: where it is the first one, the server "MUST close the XML stream".
        self.assertTrue(theirs.ended)
        self.say("1")
        self.assertEqual(self.stanzas(theirs), [])
