"""XEP-0288 §2.2: which pairs of domains a stream that goes both ways may carry, and how more of them are added."""

from __future__ import annotations

from typing import Any

from federix.testing import PeerStream
from federix.testing.peer_stream import Verdict
from federix.xmpp import ns

from .bidi import NONZA, BidiTestCase, bodies, dialback_alone, message

#: One server with two domains.
TWO: dict[str, Any] = {"worlds": {"a.test": {"hosts": ("a.test", "also.test")}}}
#: A peer for which dialback has to do.
UNKNOWN: dict[str, Any] = {"peer": {"certificate": "self-signed"}}


class PairsTestCase(BidiTestCase):
    def write_to(self, stream: PeerStream, sender: str, to: str) -> bool:
        """Have a user of *sender* write to one of *to*; whether it left by *stream*."""
        host = self.federation["a.test"].host(sender)
        self.sent = getattr(self, "sent", 0) + 1
        client = self.romeo if sender == "a.test" else self.federation["a.test"].client(f"benvolio@{host.name}/x")
        client.send(message(str(self.sent), str(client.jid), f"juliet@{to}/y"))
        return bodies(self.stanzas(stream)) == [str(self.sent)]

    def by_dialback(self) -> PeerStream:
        """The peer has connected to us, and has proved by dialback that it is b.test."""
        theirs = self.secured()
        theirs.send(NONZA)
        self.assertEqual(theirs.dialback(accept=dialback_alone).get("type"), "valid")
        return theirs

    def our_stream(self) -> PeerStream:
        """We have connected to the peer, which takes our certificate and has a good one; Romeo's message is there."""
        self.romeo.send(message("1", "romeo@a.test/x", "juliet@b.test/y"))
        ours = self.reached()
        ours.expect("<message><body>1</body></message>")
        return ours


class TheExactPair(PairsTestCase):
    def test_a_login_lets_us_send_for_the_pair_of_the_stream_and_no_other(self) -> None:
        self.begin(**TWO)
        theirs = self.connected()
        self.assertTrue(self.write_to(theirs, "a.test", "b.test"))
        self.assertFalse(self.write_to(theirs, "also.test", "b.test"))
        # The certificate names that one, too; but nobody has asked for it here.
        self.assertFalse(self.write_to(theirs, "a.test", "rooms.b.test"))
        self.assertFalse(self.write_to(theirs, "also.test", "rooms.b.test"))

    def test_dialback_lets_us_send_for_the_inverse_of_the_pair_and_no_other(self) -> None:
        self.begin(**TWO, **UNKNOWN)
        theirs = self.by_dialback()
        self.assertTrue(self.write_to(theirs, "a.test", "b.test"))
        self.assertFalse(self.write_to(theirs, "also.test", "b.test"))
        self.assertFalse(self.write_to(theirs, "a.test", "rooms.b.test"))
        self.assertFalse(self.write_to(theirs, "also.test", "rooms.b.test"))

    def test_a_second_domain_of_the_peers_is_added_both_ways(self) -> None:
        self.begin(**UNKNOWN)
        theirs = self.by_dialback()
        self.assertEqual(theirs.dialback("rooms.b.test", accept=dialback_alone).get("type"), "valid")
        theirs.send(message("hi", "verona@rooms.b.test/juliet"))
        self.romeo.expect("<message from='verona@rooms.b.test/juliet'/>")
        self.assertTrue(self.write_to(theirs, "a.test", "rooms.b.test"))
        self.assertTrue(self.write_to(theirs, "a.test", "b.test"))

    def test_a_second_domain_of_ours_is_added_both_ways(self) -> None:
        self.begin(**TWO, **UNKNOWN)
        theirs = self.by_dialback()
        self.assertEqual(theirs.dialback("b.test", "also.test", accept=dialback_alone).get("type"), "valid")
        benvolio = self.federation["a.test"].client("benvolio@also.test/x")
        theirs.send(message("hi", to="benvolio@also.test/x"))
        benvolio.expect("<message><body>hi</body></message>")
        self.assertTrue(self.write_to(theirs, "also.test", "b.test"))
        self.assertTrue(self.write_to(theirs, "a.test", "b.test"))
        self.assertFalse(self.write_to(theirs, "also.test", "rooms.b.test"))

    def test_behind_a_login_a_second_pair_is_added_by_dialback(self) -> None:
        self.begin(**TWO)
        theirs = self.connected()
        theirs.send("<db:result from='rooms.b.test' to='also.test'>whatever: the certificate says it</db:result>")
        theirs.expect("<db:result from='also.test' to='rooms.b.test' type='valid'/>")
        self.assertTrue(self.write_to(theirs, "also.test", "rooms.b.test"))
        self.assertFalse(self.write_to(theirs, "a.test", "rooms.b.test"))


class Piggybacking(PairsTestCase):
    """§2.2: "the receiving server MAY initiate Server Dialback authentications for other domains it hosts": here we
    have connected, and the peer does."""

    def proved(self, ours: PeerStream, sender: str, to: str, verdict: Verdict = "valid") -> str | None:
        """What becomes of the key that the peer sends for *sender* on our stream, its server saying *verdict*."""
        answer = ours.dialback(sender, to, verdict=verdict, accept=dialback_alone)
        self.assertFalse(ours.ended)
        error = answer.child(ns.SERVER, "error") or answer.child(ns.CLIENT, "error")
        return answer.get("type") if error is None else next(error.elements()).name

    def begun(self) -> PeerStream:
        """A stream of ours that the peer is known on by dialback."""
        self.begin(**TWO, **UNKNOWN)
        self.romeo.send(message("1", "romeo@a.test/x", "juliet@b.test/y"))
        ours = self.reached_by_dialback()
        ours.expect("<message><body>1</body></message>")
        return ours

    def test_one_that_is_valid_goes_both_ways(self) -> None:
        ours = self.begun()
        ours.send(message("too early", "verona@rooms.b.test/juliet"))
        self.assert_ended(ours, "invalid-from")
        ours = self.begun()
        self.assertEqual(self.proved(ours, "rooms.b.test", "a.test"), "valid")
        ours.send(message("hi", "verona@rooms.b.test/juliet"))
        self.romeo.expect("<message from='verona@rooms.b.test/juliet'/>")
        self.assertTrue(self.write_to(ours, "a.test", "rooms.b.test"))
        self.assertFalse(self.write_to(ours, "also.test", "rooms.b.test"))

    def test_one_that_is_invalid_is_refused_and_the_stream_goes_on(self) -> None:
        ours = self.begun()
        # XEP-0220 §2.1.2: an error in place of "invalid", for the sake of the other pairs.
        self.assertEqual(self.proved(ours, "rooms.b.test", "a.test", "invalid"), "forbidden")
        self.assert_goes_on(ours)

    def test_one_whose_server_reports_an_error_is_refused_and_the_stream_goes_on(self) -> None:
        ours = self.begun()
        self.assertNotIn(self.proved(ours, "rooms.b.test", "a.test", "error"), ("valid", "invalid", None))
        self.assert_goes_on(ours)

    def test_one_for_a_domain_that_is_not_ours_is_refused_and_the_stream_goes_on(self) -> None:
        ours = self.begun()
        ours.send("<db:result from='rooms.b.test' to='c.test'>key</db:result>")
        ours.expect(
            f"<db:result from='c.test' to='rooms.b.test' type='error'>"
            f"<error type='cancel'><item-not-found xmlns='{ns.STANZA_ERROR}'/></error></db:result>"
        )
        self.assert_goes_on(ours)

    def test_one_for_a_domain_of_ours_is_refused_and_the_stream_goes_on(self) -> None:
        ours = self.begun()
        ours.send("<db:result from='also.test' to='a.test'>key</db:result>")
        refused = ours.expect("<db:result from='a.test' to='also.test' type='error'/>")
        # At once, and without asking ourselves.
        self.assertIn("not-allowed", refused.to_xml())
        self.assert_goes_on(ours)

    def test_one_on_a_stream_that_does_not_go_both_ways_is_refused(self) -> None:
        self.begin()
        self.romeo.send(message("1", "romeo@a.test/x", "juliet@b.test/y"))
        ours = self.reached(bidi=False)
        ours.expect("<message><body>1</body></message>")
        ours.send("<db:result from='rooms.b.test' to='a.test'>key</db:result>")
        ours.expect("<db:result from='a.test' to='rooms.b.test' type='error'/>")
        self.assertTrue(self.write_to(ours, "a.test", "b.test"))

    def test_one_before_our_own_is_answered_is_refused(self) -> None:
        self.begin(**UNKNOWN)
        self.romeo.send(message("1", "romeo@a.test/x", "juliet@b.test/y"))
        ours = self.peer.accept()
        dialback_alone_with_bidi(ours)
        ours.expect("<db:result type='-'/>")
        ours.send("<db:result from='rooms.b.test' to='a.test'>key</db:result>")
        ours.expect("<db:result from='a.test' to='rooms.b.test' type='error'/>")
        self.peer.nobody()

    def assert_goes_on(self, ours: PeerStream) -> None:
        """The first pair is as before, and the second is not there."""
        self.assertTrue(self.write_to(ours, "a.test", "b.test"))
        ours.send(message("2"))
        self.romeo.expect("<message><body>2</body></message>")
        self.assertFalse(self.write_to(ours, "a.test", "rooms.b.test"))
        ours.send(message("3", "verona@rooms.b.test/juliet"))
        self.assert_ended(ours, "invalid-from")
        self.assert_unheard(self.romeo)


class Unsolicited(PairsTestCase):
    """§4: "the impact of the 'unsolicited server dialback' attack […] is considerably larger for bidirectional
    streams"."""

    RESULT = "<db:result from='{}' to='{}' type='valid'/>"
    VERIFY = "<db:verify from='{}' to='{}' id='{}' type='valid'/>"

    def test_a_result_on_a_stream_of_the_peers_grants_nothing(self) -> None:
        self.begin()
        theirs = self.secured()
        theirs.send(NONZA)
        theirs.send(self.RESULT.format("b.test", "a.test"))
        theirs.nothing()
        self.peer.stop_listening()
        self.assertFalse(self.write_to(theirs, "a.test", "b.test"))
        theirs.send(message("it is me"))
        self.assert_ended(theirs, "not-authorized")
        self.assert_unheard(self.romeo)

    def test_nor_does_one_behind_the_login(self) -> None:
        self.begin(**TWO)
        theirs = self.connected()
        for local, remote in (("also.test", "b.test"), ("a.test", "rooms.b.test"), ("also.test", "rooms.b.test")):
            theirs.send(self.RESULT.format(remote, local))
            self.assertFalse(self.write_to(theirs, local, remote))
        theirs.send(message("it is me", "verona@rooms.b.test/juliet"))
        self.assert_ended(theirs, "invalid-from")
        self.assert_unheard(self.romeo)

    def test_nor_does_one_on_a_stream_of_ours(self) -> None:
        self.begin(**TWO)
        ours = self.our_stream()
        for local, remote in (("a.test", "rooms.b.test"), ("also.test", "more.b.test")):
            ours.send(self.RESULT.format(remote, local))
            self.assertFalse(self.write_to(ours, local, remote))
        ours.send(message("it is me", "verona@rooms.b.test/juliet"))
        self.assert_ended(ours, "invalid-from")
        self.assert_unheard(self.romeo)

    def test_nor_does_one_on_a_stream_of_ours_that_has_yet_to_log_in(self) -> None:
        self.begin()
        self.romeo.send(message("1", "romeo@a.test/x", "juliet@b.test/y"))
        ours = self.peer.accept()
        dialback_alone_with_bidi(ours)
        ours.expect("<db:result type='-'/>")
        ours.send(self.RESULT.format("rooms.b.test", "a.test"))
        ours.send(self.RESULT.format("b.test", "elsewhere.test"))
        ours.nothing()
        ours.send(message("it is me"))
        self.assert_ended(ours, "not-authorized")
        self.assert_unheard(self.romeo)

    def test_our_own_question_is_answered_on_its_own_stream_only(self) -> None:
        self.begin()
        self.romeo.send(message("1", "romeo@a.test/x", "juliet@b.test/y"))
        ours = self.peer.accept()
        dialback_alone_with_bidi(ours)
        ours.expect("<db:result type='-'/>")
        theirs = self.secured()
        theirs.send(NONZA + self.RESULT.format("b.test", "a.test"))
        theirs.nothing()
        ours.nothing()
        ours.send(self.RESULT.format("b.test", "a.test"))
        ours.expect("<message><body>1</body></message>")

    def test_an_answer_counts_once(self) -> None:
        self.begin()
        self.romeo.send(message("1", "romeo@a.test/x", "juliet@b.test/y"))
        ours = self.peer.accept()
        dialback_alone_with_bidi(ours)
        ours.expect("<db:result type='-'/>")
        ours.send(2 * self.RESULT.format("b.test", "a.test"))
        self.assertEqual(bodies(self.stanzas(ours)), ["1"])
        # And nothing that comes late takes away what was granted.
        ours.send("<db:result from='b.test' to='a.test' type='invalid'/>")
        self.assertTrue(self.write_to(ours, "a.test", "b.test"))

    def test_a_key_is_confirmed_only_by_who_was_asked(self) -> None:
        self.begin(**UNKNOWN)
        theirs, other = self.secured(), self.secured()
        theirs.send(NONZA + "<db:result from='b.test' to='a.test'>anything</db:result>")
        asked = self.peer.accept()
        dialback_alone(asked)
        asked.expect(f"<db:verify from='a.test' to='b.test' id='{theirs.id}'/>")
        forged = self.VERIFY.format("b.test", "a.test", theirs.id)
        for stream in (theirs, other):
            stream.send(forged)
            stream.nothing()
            theirs.nothing()
        # For another stream, or another pair, than was asked about.
        asked.send(self.VERIFY.format("b.test", "a.test", other.id))
        asked.send(self.VERIFY.format("rooms.b.test", "a.test", theirs.id))
        theirs.nothing()
        asked.send(forged)
        theirs.expect("<db:result from='a.test' to='b.test' type='valid'/>")
        other.nothing()


def dialback_alone_with_bidi(stream: PeerStream) -> None:
    """As who is connected to: offer TLS, and dialback and bidi in it; take what enables that."""
    stream.answer("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    stream.accept_tls()
    stream.answer("<bidi xmlns='urn:xmpp:features:bidi'/>", "<dialback xmlns='urn:xmpp:features:dialback'/>")
    stream.expect(NONZA)
