"""What other servers say out of its turn, on streams of theirs and of ours: logins, features, counting, bidi."""

from __future__ import annotations

from federix.links.s2s.pair import Domains
from federix.testing.peer import BIDI, DIALBACK, EXTERNAL, STARTTLS
from federix.xmpp import ns

from .attack import AttackTestCase, condition, result
from .bidi import NONZA, message


class Answers(AttackTestCase):
    """What who was connected to may say, and when: nothing that was not asked for."""

    def setUp(self) -> None:
        super().setUp()
        self.begin()

    def test_bytes_behind_proceed_are_forgotten(self) -> None:
        for behind in (
            f"<success xmlns='{ns.SASL}'/>",
            message("it is me"),
            f"<stream:features>{EXTERNAL}</stream:features>",
            "</stream:stream>",
            "<mess",
        ):
            self.begin()
            stream = self.dialled()
            stream.answer(STARTTLS)
            stream.expect(f"<starttls xmlns='{ns.TLS}'/>")
            stream.write(f"<proceed xmlns='{ns.TLS}'/>{behind}")
            stream._begin_tls(None)
            stream.pump()
            stream.answer(EXTERNAL)
            stream.accept_external()
            stream.answer()
            stream.expect("<message/>")
            self.assert_unheard(self.romeo)

    def test_tls_that_was_not_asked_for_is_not_begun(self) -> None:
        stream = self.dialled()
        stream.expect_header()
        stream.send_header(id="1")
        stream.send(f"<proceed xmlns='{ns.TLS}'/>")
        self.assert_refused(stream, "unsupported-stanza-type")

    def test_nor_a_second_time_inside_tls(self) -> None:
        stream = self.negotiated()
        stream.expect(f"<auth xmlns='{ns.SASL}'/>")
        stream.send(f"<proceed xmlns='{ns.TLS}'/>")
        self.assert_refused(stream, "unsupported-stanza-type")

    def test_a_success_that_was_not_asked_for_ends_the_stream(self) -> None:
        said = f"<success xmlns='{ns.SASL}'/>"
        stream = self.dialled()
        stream.expect_header()
        stream.send_header(id="1")
        stream.send(said)
        self.assert_refused(stream, "unsupported-stanza-type")
        self.begin()
        stream = self.negotiated(DIALBACK)
        stream.expect("<db:result/>")
        stream.send(said)
        self.assert_refused(stream, "unsupported-stanza-type")

    def test_nor_is_a_login_repeated_on_a_stream_in_use(self) -> None:
        for said in ("success", "failure", "challenge"):
            self.begin()
            stream = self.reached()
            stream.expect("<message/>")
            stream.send(f"<{said} xmlns='{ns.SASL}'/>")
            self.assert_refused(stream, "unsupported-stanza-type")

    def test_features_come_once_for_each_header(self) -> None:
        stream = self.reached()
        stream.expect("<message/>")
        stream.send_features(EXTERNAL)
        self.assert_refused(stream, "unsupported-stanza-type")
        self.begin()
        stream = self.negotiated()
        stream.expect(f"<auth xmlns='{ns.SASL}'/>")
        stream.send_features(EXTERNAL)
        self.assert_refused(stream, "unsupported-stanza-type")

    def test_a_flood_of_features_is_logged_once_at_most(self) -> None:
        stream = self.reached()
        count = len(self.logged)
        stream.send("<stream:features/>" * 1000)
        self.assertLess(len(self.logged) - count, 10)
        self.assertEqual(len([link for link in self.core.links if not link.incoming]), 0)

    def test_huge_features_end_the_stream(self) -> None:
        for features in (
            "<x xmlns='urn:x'>" + "y" * 600_000 + "</x>",
            "<x xmlns='urn:x'/>" * 20_000,
            "<x>" * 100 + "</x>" * 100,
            f"<mechanisms xmlns='{ns.SASL}'>" + "<mechanism>X</mechanism>" * 20_000 + "</mechanisms>",
        ):
            self.begin()
            stream = self.dialled()
            stream.expect_header()
            stream.send_header(id="1")
            stream.send(f"<stream:features>{features}")
            self.assertEqual(self.errors(stream), ["policy-violation"])
            self.assert_closed(stream)
            self.assert_others_untouched()

    def test_honest_features_are_taken_however_many_there_are(self) -> None:
        stream = self.negotiated(EXTERNAL, *(f"<f{n} xmlns='urn:x:{n}'/>" for n in range(20)), DIALBACK)
        stream.accept_external()
        stream.answer()
        stream.expect("<message/>")

    def test_a_peer_without_end_of_challenges_is_left(self) -> None:
        stream = self.negotiated()
        stream.expect(f"<auth xmlns='{ns.SASL}'/>")
        for _ in range(100):
            stream.write(f"<challenge xmlns='{ns.SASL}'/>")
        stream.pump()
        self.assertLessEqual(len([e for e in stream.drain() if e.name == "response"]), 5)
        self.assertTrue(stream.ended or stream.lost)

    def test_our_own_stream_is_not_ours_to_answer(self) -> None:
        """A domain whose DNS leads to us: we connect to ourselves, and neither end takes the other for it."""
        network = self.federation.network
        network.dns.set_addresses("loop.test", *network.machine("a.test").addresses)
        self.romeo.send(message("1", "romeo@a.test/x", "juliet@loop.test"))
        self.federation.advance(150)
        self.assert_bounced(self.romeo, "remote-server-not-found")


class Management(AttackTestCase):
    """XEP-0198, as another server could abuse it."""

    def test_before_it_is_authorised_nothing_is_counted(self) -> None:
        self.begin()
        for stream in (self.stranger(), self.secured()):
            stream.send(f"<enable xmlns='{ns.SM}'/>")
            stream.expect(f"<failed xmlns='{ns.SM}'><unexpected-request xmlns='{ns.STANZA_ERROR}'/></failed>")
            stream.send(f"<r xmlns='{ns.SM}'/><a xmlns='{ns.SM}' h='1'/><enabled xmlns='{ns.SM}'/>")
            stream.send(f"<resume xmlns='{ns.SM}' h='0' previd='x'/><failed xmlns='{ns.SM}'/>")
            stream.nothing()

    def test_it_is_enabled_once(self) -> None:
        self.begin()
        stream = self.connected()
        stream.send(f"<enable xmlns='{ns.SM}'/>")
        stream.expect(f"<enabled xmlns='{ns.SM}'/>")
        stream.send(message("1") + f"<enable xmlns='{ns.SM}'/><r xmlns='{ns.SM}'/>")
        stream.expect(f"<failed xmlns='{ns.SM}'/>")
        stream.expect(f"<a xmlns='{ns.SM}' h='1'/>")

    def test_more_than_was_sent_cannot_be_acknowledged(self) -> None:
        for h in ("1", "4294967295", "99999999999", "-1", "", "x", "1.0", "\u0661"):
            self.begin()
            stream = self.connected(bidi=False)
            stream.send(f"<enable xmlns='{ns.SM}'/>")
            stream.send(f"<a xmlns='{ns.SM}' h='{h}'/>")
            self.assertEqual(self.errors(stream), ["undefined-condition"], h)
            self.assert_closed(stream)

    def test_what_was_acknowledged_cannot_be_taken_back(self) -> None:
        self.begin()
        stream = self.connected()
        stream.send(f"<enable xmlns='{ns.SM}'/>")
        for number in ("1", "2"):
            self.romeo.send(message(number, "romeo@a.test/x", "juliet@b.test"))
        stream.send(f"<a xmlns='{ns.SM}' h='2'/>")
        stream.send(f"<a xmlns='{ns.SM}' h='1'/>")
        self.assertEqual(self.errors(stream), ["undefined-condition"])

    def test_enabled_that_was_not_asked_for_counts_nothing_that_was_sent(self) -> None:
        self.begin()
        stream = self.reached()
        stream.expect("<message/>")
        stream.send(f"<enabled xmlns='{ns.SM}' resume='true' id='x'/><a xmlns='{ns.SM}' h='7'/>")
        self.assertFalse(stream.ended)
        self.assertEqual(self.core.pairs[Domains("a.test", "b.test")].link, self.link(stream))

    def test_a_peer_that_refuses_what_it_has_granted_is_asked_in_the_other_way(self) -> None:
        self.begin()
        stream = self.reached(f"<sm xmlns='{ns.SM}'/>")
        stream.expect(f"<enable xmlns='{ns.SM}'/>")
        stream.send(f"<enabled xmlns='{ns.SM}'/>")
        stream.send(f"<failed xmlns='{ns.SM}'/>" * 100 + f"<enabled xmlns='{ns.SM}'/>" * 100)
        self.assertEqual(len([e for e in stream.drain() if e.name == "message"]), 1)
        self.federation.advance(1)
        self.assertTrue([e for e in stream.drain() if e.child(ns.PING, "ping") is not None])


class Bidi(AttackTestCase):
    """XEP-0288 said too often, too late, or in the wrong words: it is as if it had not been said."""

    def test_to_say_it_again_changes_nothing(self) -> None:
        self.begin()
        stream = self.connected(bidi=False)
        stream.send(NONZA * 100 + BIDI)
        self.romeo.send(message("1", "romeo@a.test/x", "juliet@b.test"))
        self.assertEqual(self.stanzas(stream), [])
        self.assertIsNot(self.route(), self.link(stream))

    def test_nor_does_it_on_a_stream_of_ours(self) -> None:
        self.begin()
        stream = self.reached(bidi=False)
        stream.expect("<message/>")
        stream.send(NONZA + BIDI + message("it is me"))
        self.assertEqual(self.errors(stream), ["invalid-from"])
        self.assert_unheard(self.romeo)

    def test_keys_are_not_taken_on_a_stream_of_ours_that_goes_one_way(self) -> None:
        self.begin()
        stream = self.reached(bidi=False)
        stream.expect("<message/>")
        stream.send(result("b.test") + result("rooms.b.test"))
        for answer in (stream.receive(), stream.receive()):
            self.assertEqual((answer.get("type"), condition(answer)), ("error", "not-allowed"))
        stream.send(message("it is me"))
        self.assertEqual(self.errors(stream), ["invalid-from"])
