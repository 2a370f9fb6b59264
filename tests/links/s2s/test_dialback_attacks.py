"""XEP-0220 §3 and beyond: keys that are wrong, old or of others, answers nobody asked for, and storms of both."""

from __future__ import annotations

from typing import Any

from federix.links.s2s.pair import Domains
from federix.testing import PeerStream
from federix.testing.peer import DIALBACK, STARTTLS
from federix.xmpp import ns

from .attack import DialbackTestCase, result
from .bidi import dialback_alone, message

TWO: dict[str, Any] = {"worlds": {"a.test": {"hosts": ("a.test", "also.test")}}}


class UnsolicitedAnswers(DialbackTestCase):
    """§3.1: answers count only where they were asked for, on the same stream and for the same pair."""

    def setUp(self) -> None:
        super().setUp()
        self.begin(**TWO)

    def said(self, id: str = "1") -> list[str]:
        found = []
        for kind in ("valid", "invalid", "error"):
            for sender, to in (
                ("b.test", "a.test"),
                ("c.test", "a.test"),
                ("a.test", "b.test"),
                ("b.test", "also.test"),
            ):
                found.append(result(sender, to, type=kind))
                found.append(f"<db:verify from='{sender}' to='{to}' id='{id}' type='{kind}'/>")
        return found

    def test_on_a_stream_that_was_just_opened_to_us(self) -> None:
        for make in (self.stranger, self.secured):
            stream = make()
            for said in self.said(stream.id):
                stream.send(said)
            stream.nothing()
            self.assert_unknown(stream)
            stream.send(message("it is me"))
            self.assert_refused(stream, "not-authorized")
        self.assert_others_untouched()

    def test_while_a_key_is_verified(self) -> None:
        stream = self.secured()
        asked = self.asked(stream)
        verify = asked.expect("<db:verify/>")
        for said in self.said(stream.id):
            stream.send(said)
        stream.nothing()
        self.assert_unknown(stream)
        asked.send(f"<db:verify from='b.test' to='a.test' id='{verify.get('id')}' type='invalid'/>")
        self.assertEqual(self.answers(stream), ["invalid"])
        self.assert_unknown(stream)

    def test_on_the_stream_where_another_key_is_asked_about(self) -> None:
        stream = self.secured()
        asked = self.asked(stream)
        verify = asked.expect("<db:verify/>")
        for sender, to, id in (
            ("c.test", "a.test", verify.get("id")),
            ("b.test", "also.test", verify.get("id")),
            ("a.test", "b.test", verify.get("id")),
            ("b.test", "a.test", "another"),
            ("b.test", "a.test", f"{verify.get('id')} "),
            ("b.test", "a.test", (verify.get("id") or "").upper()),
        ):
            asked.send(f"<db:verify from='{sender}' to='{to}' id='{id}' type='valid'/>")
        asked.send(result("b.test", type="valid"))
        self.assertEqual(self.answers(stream), [])
        self.assert_unknown(stream)

    def test_on_a_stream_of_ours_that_has_just_begun(self) -> None:
        stream = self.dialled()
        stream.answer(STARTTLS)
        stream.accept_tls()
        stream.expect_header()
        stream.send_header(id="1")
        for said in self.said():
            stream.send(said)
        stream.nothing()
        self.assert_unknown(stream)

    def test_while_our_key_is_asked_about(self) -> None:
        stream = self.negotiated(DIALBACK)
        stream.expect("<db:result/>")
        for sender, to in (("c.test", "a.test"), ("b.test", "also.test"), ("a.test", "b.test")):
            stream.send(result(sender, to, type="valid"))
        stream.send("<db:verify from='b.test' to='a.test' id='1' type='valid'/>")
        stream.nothing()
        self.assert_unknown(stream)

    def test_an_answer_to_the_same_question_on_another_stream(self) -> None:
        stream = self.negotiated(DIALBACK)
        stream.expect("<db:result/>")
        theirs = self.secured()
        theirs.send(result("b.test", type="valid"))
        stream.nothing()
        self.assert_unknown(stream)
        self.assert_unknown(theirs)

    def test_the_second_answer_to_one_question(self) -> None:
        stream = self.negotiated(DIALBACK)
        stream.accept_dialback("valid")
        stream.expect("<message/>")
        for kind in ("invalid", "error", "valid"):
            stream.send(result("b.test", type=kind))
        self.romeo.send(message("2", "romeo@a.test/x", "juliet@b.test"))
        stream.expect("<message/>")

    def test_an_invalid_that_follows_a_valid_does_not_undo_it_nor_the_other_way_round(self) -> None:
        stream = self.secured()
        asked = self.asked(stream)
        id = asked.expect("<db:verify/>").get("id")
        for kind in ("invalid", "valid"):
            asked.write(f"<db:verify from='b.test' to='a.test' id='{id}' type='{kind}'/>")
        asked.pump()
        self.assertEqual(self.answers(stream), ["invalid"])
        self.assert_unknown(stream)


class Keys(DialbackTestCase):
    """Our own keys, and whoever would use one that was not made for him."""

    def setUp(self) -> None:
        super().setUp()
        self.begin(**TWO)

    def ours(self) -> tuple[PeerStream, str]:
        """A stream of ours, and the key by which we prove there that we are a.test."""
        stream = self.negotiated(DIALBACK)
        return stream, stream.expect("<db:result from='a.test' to='b.test'/>").text

    def asks(self, sender: str, to: str, id: str, key: str) -> str:
        """What we say to who asks whether *key* is ours."""
        stream = self.stranger()
        stream.send(f"<db:verify from='{sender}' to='{to}' id='{id}'>{key}</db:verify>")
        (answer,) = self.answers(stream)
        stream.cut()
        return answer

    def test_a_key_is_good_for_its_stream_and_its_pair_alone(self) -> None:
        stream, key = self.ours()
        self.assertEqual(self.asks("b.test", "a.test", stream.id, key), "valid")
        for sender, to, id in (
            ("c.test", "a.test", stream.id),
            ("rooms.b.test", "a.test", stream.id),
            ("b.test", "also.test", stream.id),
            ("b.test", "a.test", "another"),
            ("b.test", "a.test", f"{stream.id} "),
        ):
            self.assertEqual(self.asks(sender, to, id, key), "invalid")
        for wrong in (key[:-1], key + "0", key.upper(), "0" * 64, "\u0660" * 64, "x"):
            self.assertEqual(self.asks("b.test", "a.test", stream.id, wrong), "invalid", wrong)

    def test_words_in_an_identifier_cannot_be_taken_for_domains(self) -> None:
        """The key is made of names and an identifier with spaces between them."""
        keys = self.core.keys
        self.assertEqual(self.asks("b.test", "a.test", "1", keys.key("b.test", "a.test", "1")), "valid")
        for id in ("a.test 1", "1 ", " 1", "a.test"):
            self.assertEqual(self.asks("b.test", "a.test", id, keys.key("b.test", "a.test", "1")), "invalid")

    def test_our_own_key_does_not_prove_the_peer_to_us(self) -> None:
        _, key = self.ours()
        theirs = self.secured()
        asked = self.asked(theirs, key=key)
        asked.answer_verify("invalid")
        self.assertEqual(self.answers(theirs), ["invalid"])

    def test_who_claims_to_be_ours_with_our_own_key_is_refused(self) -> None:
        _, key = self.ours()
        theirs = self.secured()
        for sender in ("a.test", "also.test", "A.Test", "a.test."):
            theirs.send(result(sender, "a.test", key))
            self.assertEqual(self.answers(theirs), ["not-allowed"], sender)
        self.peer.nobody()

    def test_a_key_is_asked_about_with_the_identifier_of_its_own_stream(self) -> None:
        """So the right key of another stream, or of the same one before TLS, proves nothing."""
        first = self.stranger()
        old = first.id
        first.start_tls()
        first.open()
        key = self.peer.keys.key("a.test", "b.test", old)
        asked = self.asked(first, key=key)
        verify = asked.expect("<db:verify/>")
        self.assertEqual((verify.get("id"), verify.text), (first.id, key))
        self.assertNotEqual(first.id, old)
        self.assertFalse(self.peer.keys.matches(key, "a.test", "b.test", verify.get("id") or ""))

    def test_identifiers_are_never_repeated(self) -> None:
        self.assertEqual(len({self.secured().id for _ in range(20)}), 20)

    def test_the_key_is_no_answer_for_domains_we_do_not_serve(self) -> None:
        for to in ("c.test", "sub.a.test", "b.test"):
            self.assertEqual(self.asks("b.test", to, "1", "x"), "item-not-found")

    def test_wrong_keys_prove_nothing_and_the_next_right_one_does(self) -> None:
        stream = self.secured()
        self.asked(stream).answer_verify("invalid")
        self.assertEqual(self.answers(stream), ["invalid"])
        self.assertTrue(stream.ended)  # §2.2.1: "MUST close the XML stream"
        stream = self.secured()
        self.asked(stream).answer_verify("error")
        self.assertEqual(self.answers(stream), ["undefined-condition"])
        self.asked(stream).answer_verify()
        self.assertEqual(self.answers(stream), ["valid"])
        stream.send(message("1"))
        self.romeo.expect("<message/>")
        self.assert_others_untouched()

    def test_a_stream_keeps_what_was_proved_when_another_key_is_wrong(self) -> None:
        """§2.1.2: "this behavior will not result in the loss of the whole stream"."""
        stream = self.secured()
        self.asked(stream).answer_verify()
        self.assertEqual(self.answers(stream), ["valid"])
        self.asked(stream, "rooms.b.test").answer_verify("invalid")
        self.assertEqual(self.answers(stream), ["forbidden"])
        stream.send(message("1"))
        self.romeo.expect("<message/>")
        stream.send(message("2", "rooms.b.test/x"))
        self.assert_refused(stream, "invalid-from")

    def test_it_counts_where_the_dns_leads_and_not_who_says_so(self) -> None:
        """The victim is c.test: it is asked itself, by a connection to where it lives."""
        stream = self.secured()
        stream.send(result("c.test", key=self.peer.keys.key("a.test", "c.test", stream.id)))
        self.peer.nobody()
        asked = self.other.accept()
        dialback_alone(asked)
        asked.answer_verify("invalid")
        self.assertEqual(self.answers(stream), ["invalid"])
        self.assert_others_untouched()

    def test_what_was_proved_for_one_of_our_domains_is_not_for_another(self) -> None:
        benvolio = self.federation.client("benvolio@also.test/x")
        stream = self.secured()
        self.asked(stream).answer_verify()
        self.assertEqual(self.answers(stream), ["valid"])
        stream.send(message("me", to="benvolio@also.test/x"))
        self.assert_refused(stream, "not-authorized")
        self.assert_unheard(benvolio)


class Addresses(DialbackTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.begin(**TWO)

    def test_dialback_between_what_are_no_domains_ends_the_stream(self) -> None:
        for sender, to in (
            ("juliet@b.test", "a.test"),
            ("b.test/x", "a.test"),
            ("b.test", "romeo@a.test"),
            ("", "a.test"),
            ("b.test", ""),
            ("b..test", "a.test"),
            ("b.test", "a.test/x"),
            ("xn--a.test", "a.test"),
            ("b" * 64 + ".test", "a.test"),
        ):
            for said in (result(sender, to), f"<db:verify from='{sender}' to='{to}' id='1'>x</db:verify>"):
                stream = self.secured()
                stream.send(said)
                self.assert_refused(stream, "improper-addressing")

    def test_what_is_no_dialback_ends_the_stream(self) -> None:
        for said in (
            "<db:result from='b.test' to='a.test'/>",
            "<db:result from='b.test' to='a.test'> </db:result>",
            "<db:result from='b.test' to='a.test' type='strange'>x</db:result>",
            f"<db:result from='b.test' to='a.test'>{'x' * 2000}</db:result>",
            "<db:verify from='b.test' to='a.test'>x</db:verify>",
            "<db:verify from='b.test' to='a.test' id=''>x</db:verify>",
            f"<db:verify from='b.test' to='a.test' id='{'x' * 2000}'>x</db:verify>",
            "<db:other from='b.test' to='a.test'>x</db:other>",
        ):
            stream = self.secured()
            stream.send(said)
            self.assert_refused(stream, "bad-format")
        self.peer.nobody()

    def test_only_domains_that_are_served_can_be_spoken_to(self) -> None:
        stream = self.secured()
        for to in ("c.test", "sub.a.test", "b.test"):
            stream.send(result("b.test", to))
            self.assertEqual(self.answers(stream), ["item-not-found"])
        self.peer.nobody()

    def test_look_alikes_are_themselves(self) -> None:
        """A domain that looks like another's is asked for by its own name, and proved under that name alone."""
        stream = self.secured()
        queries = self.federation.network.dns.queries
        stream.send(result("с.test"))  # Cyrillic
        self.assertEqual(self.answers(stream), ["remote-server-not-found"])
        self.assertIn("_xmpp-server._tcp.xn--q1a.test", [query.name for query in queries])
        self.other.nobody()

    def test_spellings_of_a_domain_are_that_domain(self) -> None:
        for sender in ("B.TEST", "b.test.", "ｂ.test", "b。test"):
            stream = self.secured()
            stream.send(result(sender))
            asked = self.peer.accept()
            dialback_alone(asked)
            asked.answer_verify("invalid")
            self.assertEqual(self.answers(stream), ["invalid"])
            stream.cut()

    def test_nobody_proves_himself_without_tls_where_that_is_required(self) -> None:
        stream = self.stranger()
        stream.send(result("b.test"))
        self.assertEqual(self.answers(stream), ["policy-violation"])
        self.peer.nobody()

    def test_a_domain_of_our_own_machine_is_not_believed(self) -> None:
        for sender in ("localhost", "127.0.0.1", "[::1]"):
            stream = self.secured()
            stream.send(result(sender, key=self.core.keys.key("a.test", sender, stream.id)))
            self.federation.advance(1)
            (answer,) = self.answers(stream)
            self.assertNotEqual(answer, "valid")
            self.assert_unknown(stream)
            stream.cut()


class InTheMiddle(DialbackTestCase):
    """A stream that begins anew while a key is verified: what was asked in the old one is not answered in the new."""

    def test_tls_begins(self) -> None:
        self.begin(config={"s2s_use_starttls": "optional"})
        stream = self.stranger()
        asked = self.asked(stream)
        stream.start_tls()
        asked.answer_verify()
        stream.open()
        self.assertEqual(stream.garbage, [])
        self.assertEqual(self.answers(stream), [])
        self.assert_unknown(stream)

    def test_a_login_succeeds(self) -> None:
        self.begin(peer={})
        stream = self.secured()
        stream.send(result("c.test"))
        asked = self.other.accept()
        dialback_alone(asked)
        stream.send(f"<auth xmlns='{ns.SASL}' mechanism='EXTERNAL'>=</auth>")
        asked.answer_verify()
        stream.expect(f"<success xmlns='{ns.SASL}'/>")
        stream.nothing()
        stream.open()
        self.assertEqual(self.answers(stream), [])
        link = self.link(stream)
        assert link is not None
        self.assertEqual(list(link.accepts), [Domains("a.test", "b.test")])

    def test_the_stream_ends(self) -> None:
        self.begin()
        stream = self.secured()
        stream.send(result("b.test"))
        asked = self.peer.accept()
        stream.cut()
        self.assert_closed(asked)

    def test_its_domain_is_served_no_more(self) -> None:
        self.begin(**TWO)
        stream = self.secured()
        asked = self.asked(stream, to="also.test")
        world = self.federation["a.test"]
        world.run(world.server.reload(world.configure({**world.settings, "hosts": ["a.test"]})))
        asked.answer_verify()
        self.assertNotIn("valid", self.answers(stream))

    def test_its_domain_is_served_no_more_and_the_key_is_good(self) -> None:
        """Where the stream of another domain of ours was there to ask, that says so still, and it is to be told."""
        self.begin(**TWO)
        self.federation.client("romeo@a.test/y").send("<message to='x@b.test'><body>1</body></message>")
        speaks = self.reached_by_dialback()
        speaks.drain()
        stream = self.secured()
        stream.send(result("b.test", to="also.test"))
        world = self.federation["a.test"]
        world.run(world.server.reload(world.configure({**world.settings, "hosts": ["a.test"]})))
        speaks.answer_verify()
        self.assertEqual(self.answers(stream), ["item-not-found"])
