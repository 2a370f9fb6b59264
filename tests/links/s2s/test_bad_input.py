"""What other servers must not get away with: names that are not theirs, XML that is none, steps out of their order."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from federix.links.s2s.incoming import MAX_ATTEMPTS
from federix.testing import PeerStream
from federix.xmpp import ns

from .attack import AttackTestCase, auth, condition
from .bidi import NONZA, message

TWO: dict[str, Any] = {"worlds": {"a.test": {"hosts": ("a.test", "also.test")}}}


class Headers(AttackTestCase):
    """Who opens a stream says who it is; RFC 6120 §4.7.1: in a header between servers that is a domain."""

    def setUp(self) -> None:
        super().setUp()
        self.begin(**TWO)

    def refuses(self, condition: str, *, to: str = "a.test", sender: str = "b.test", attrs: str = "") -> None:
        stream = self.peer.dial("a.test")
        stream.local, stream.remote = sender, to
        stream.send_header(attrs=attrs)
        self.assert_refused(stream, condition)

    def test_a_sender_that_is_one_of_ours_is_refused(self) -> None:
        for sender in ("a.test", "also.test", "A.TEST", "a.test.", "also.test。", "ａ.test"):
            self.refuses("invalid-from", sender=sender)

    def test_a_sender_that_is_no_domain_is_refused(self) -> None:
        for sender in ("juliet@b.test", "b.test/x", "juliet@b.test/x", "b..test", ".b.test", "b.test..", "b test"):
            self.refuses("improper-addressing", sender=sender)
        for sender in ("xn--a.test", "-b.test", "[::1", "[fe80::1%eth0]", "b" * 64 + ".test", "b\u2028.test"):
            self.refuses("improper-addressing", sender=sender)

    def test_a_stream_to_nobody_here_is_refused(self) -> None:
        for to in ("c.test", "sub.a.test", "a.test.c.test", "romeo@a.test", "a.test/x", "а.test"):
            self.refuses("host-unknown", to=to)
        self.refuses("improper-addressing", to="")

    def test_a_header_of_another_protocol_is_refused(self) -> None:
        for header, wanted in (
            (f"<stream:stream xmlns='jabber:client' xmlns:stream='{ns.STREAMS}'", "invalid-namespace"),
            (f"<stream:stream xmlns='jabber:component:accept' xmlns:stream='{ns.STREAMS}'", "invalid-namespace"),
            (f"<stream:stream xmlns:stream='{ns.STREAMS}'", "invalid-namespace"),
            (f"<stream:stream xmlns='{ns.SERVER}' xmlns:stream='urn:other'", "invalid-namespace"),
            (f"<stream:other xmlns='{ns.SERVER}' xmlns:stream='{ns.STREAMS}'", "bad-format"),
            (f"<s:stream xmlns='{ns.SERVER}' xmlns:s='{ns.STREAMS}'", "bad-namespace-prefix"),
        ):
            stream = self.peer.dial("a.test")
            stream.send(f"{header} from='b.test' to='a.test' version='1.0'>")
            self.assert_refused(stream, wanted)
        self.refuses("unsupported-version", attrs="version='0.5'")
        self.refuses("unsupported-version", attrs="version='-1.0'")
        self.assert_others_untouched()

    def test_what_is_no_stream_at_all_is_refused(self) -> None:
        for data, wanted in (
            (b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", "not-well-formed"),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "not-well-formed"),
            (b"\0" * 100, "unsupported-encoding"),
            (b"\xff\xfe<\0?\0", "unsupported-encoding"),
            (b"<!DOCTYPE x [<!ENTITY a 'aaaa'>]><x>&a;</x>", "restricted-xml"),
            (b"<?xml version='1.0' encoding='ISO-8859-1'?><stream:stream", "unsupported-encoding"),
            (b"</stream:stream>", "not-well-formed"),
            (b"<" + b"x" * 100_000, "policy-violation"),
        ):
            stream = self.peer.dial("a.test")
            stream.send(data)
            errors = self.errors(stream)
            self.assertEqual(errors, [wanted], data[:40])
            self.assert_closed(stream)
        self.assert_others_untouched()


class Logins(AttackTestCase):
    """SASL EXTERNAL proves one domain, which is that of the header; RFC 6120 §6, XEP-0178 §3."""

    def fails(self, stream: PeerStream, said: str, wanted: str) -> None:
        stream.send(said)
        failure = stream.expect(f"<failure xmlns='{ns.SASL}'/>")
        self.assertEqual(condition(failure), wanted, said)

    def test_the_domain_behind_a_login_is_the_one_that_was_proved(self) -> None:
        """Another one in the header that follows was taken for it."""
        for name in ("c.test", "rooms.b.test", "x.b.test", "b.test.c.test"):
            self.begin()
            stream = self.secured()
            stream.send(auth())
            stream.expect(f"<success xmlns='{ns.SASL}'/>")
            stream.local = name
            stream.send_header()
            stream.write(message("it is me", name))
            stream.expect_header()
            self.assert_refused(stream, "invalid-from")
            self.assert_others_untouched()

    def test_so_is_the_domain_that_it_was_proved_to(self) -> None:
        self.begin(**TWO)
        stream = self.secured()
        stream.send(auth())
        stream.expect(f"<success xmlns='{ns.SASL}'/>")
        stream.remote = "also.test"
        stream.send_header()
        stream.expect_header()
        self.assert_refused(stream, "not-authorized")

    def test_a_header_behind_a_login_needs_no_name(self) -> None:
        self.begin()
        stream = self.secured()
        stream.send(auth())
        stream.expect(f"<success xmlns='{ns.SASL}'/>")
        stream.local = ""
        stream.open()
        stream.send(message("1"))
        self.romeo.expect("<message from='juliet@b.test/y'/>")

    def test_another_name_than_the_headers_cannot_be_asked_for(self) -> None:
        names = (
            "c.test",
            "rooms.b.test",
            "a.test",
            "juliet@b.test",
            "b.test/x",
            "\0",
            "b.test\0c.test",
            "\ud7ff" * 100,
        )
        for name in names:
            self.begin()
            stream = self.secured()
            self.fails(stream, auth(b64encode(name.encode()).decode()), "invalid-authzid")
            self.fails(stream, auth(b64encode(b"\xff\xfe").decode()), "invalid-authzid")
            stream.nothing()

    def test_what_is_no_base64_is_told_so(self) -> None:
        for text in ("*", "Yg", "Y g==", "é", "====", "Yi50ZXN0Yi50ZXN0=", "<b/>", "<b xmlns='urn:x'/>Yi50ZXN0"):
            self.begin()
            stream = self.secured()
            stream.send(auth(text))
            self.assertIn(condition(stream.receive()), ("incorrect-encoding", "malformed-request", "invalid-authzid"))
            stream.nothing()

    def test_there_is_an_end_to_attempts(self) -> None:
        self.begin()
        for said in (auth(b64encode(b"c.test").decode()), auth(mechanism="PLAIN"), f"<response xmlns='{ns.SASL}'/>"):
            stream = self.secured()
            for _ in range(MAX_ATTEMPTS - 1):
                stream.send(said)
                stream.expect(f"<failure xmlns='{ns.SASL}'/>")
            stream.write(said * 10)
            stream.expect(f"<failure xmlns='{ns.SASL}'/>")
            self.assert_refused(stream, "policy-violation")
        self.assert_others_untouched()

    def test_who_shows_no_good_certificate_is_offered_no_login_and_gets_none(self) -> None:
        for certificate in (None, "self-signed", "stranger", "expired", "early", "wrong-name"):
            self.begin(peer={"certificate": certificate, "listen": False})
            stream = self.secured()
            assert stream.features is not None
            self.assertIsNone(stream.features.child(ns.SASL, "mechanisms"))
            self.fails(stream, auth(), "not-authorized")
            stream.send(message("it is me"))
            self.assert_refused(stream, "not-authorized")

    def test_nor_who_shows_one_of_another_domain(self) -> None:
        self.begin(peer={"listen": False})
        stream = self.peer.dial("a.test")
        stream.local = "c.test"
        stream.open()
        stream.start_tls()
        stream.open()
        for said in ("=", b64encode(b"c.test").decode()):
            self.fails(stream, auth(said), "not-authorized")
        self.fails(stream, auth(b64encode(b"b.test").decode()), "invalid-authzid")
        self.assertEqual(self.errors(stream), ["policy-violation"])

    def test_there_is_no_login_without_tls(self) -> None:
        for starttls in ("required", "optional"):
            self.begin(config={"s2s_use_starttls": starttls})
            stream = self.stranger()
            stream.send(auth())
            self.assert_refused(stream, "policy-violation")

    def test_nothing_may_be_sent_ahead_of_the_stream_behind_a_login(self) -> None:
        self.begin()
        for behind in (
            message("it is me"),
            "<stream:stream",
            f"<stream:stream xmlns='{ns.SERVER}' xmlns:stream='{ns.STREAMS}' from='b.test' to='a.test' version='1.0'>",
            f"<enable xmlns='{ns.SM}'/>",
        ):
            stream = self.secured()
            stream.send(auth() + behind)
            stream.expect(f"<success xmlns='{ns.SASL}'/>")
            self.assert_refused(stream, "policy-violation")

    def test_a_login_is_not_repeated(self) -> None:
        self.begin()
        stream = self.connected()
        stream.send(auth())
        self.assert_refused(stream, "policy-violation")


class BeforeTls(AttackTestCase):
    def test_what_is_sent_behind_starttls_is_forgotten(self) -> None:
        """It may be of somebody on the way; RFC 6120 §5.4.3.3."""
        self.begin()
        for behind in (
            message("it is me"),
            NONZA,
            auth(),
            "</stream:stream>",
            "<mess",
            f"<?xml version='1.0'?><stream:stream xmlns='{ns.SERVER}' xmlns:stream='{ns.STREAMS}' from='c.test'"
            f" to='a.test' version='1.0'>{auth()}",
            "x" * 10_000,
        ):
            stream = self.stranger()
            stream.send(f"<starttls xmlns='{ns.TLS}'/>" + behind)
            stream.proceed_tls()
            stream.open()
            link = self.link(stream)
            assert link is not None
            self.assertFalse(link.bidi)
            self.assertFalse(link.authorised)
            stream.authenticate()
            stream.send(message("1"))
            self.romeo.expect("<message from='juliet@b.test/y'/>")
            stream.close()
        self.assert_unheard(self.romeo)

    def test_what_was_said_of_bidi_in_the_clear_is_forgotten(self) -> None:
        self.begin(config={"s2s_use_starttls": "optional"})
        stream = self.stranger()
        stream.send(NONZA)
        stream.start_tls()
        stream.open()
        stream.authenticate()
        self.romeo.send(message("1", "romeo@a.test/x", "juliet@b.test"))
        stream.nothing()
        self.assertIsNot(self.route(), self.link(stream))

    def test_a_stanza_before_tls_ends_the_stream(self) -> None:
        for starttls in ("required", "optional"):
            self.begin(config={"s2s_use_starttls": starttls})
            for said in (message("it is me"), "<presence from='b.test' to='romeo@a.test'/>", "<iq/>"):
                stream = self.stranger()
                stream.send(said)
                self.assertIn(self.errors(stream)[0], ("not-authorized", "improper-addressing"))
                self.assert_closed(stream)
            self.assert_unheard(self.romeo)

    def test_tls_is_not_begun_twice(self) -> None:
        self.begin()
        stream = self.secured()
        stream.send(f"<starttls xmlns='{ns.TLS}'/>")
        self.assert_refused(stream, "policy-violation")

    def test_tls_cannot_be_had_where_it_is_switched_off(self) -> None:
        federation = self.federation = self.make("a.test", certificates={"a.test": None})
        self.peer = self.other = federation.peer("b.test")
        stream = self.others = self.stranger()
        assert stream.features is not None
        self.assertIsNone(stream.features.child(ns.TLS, "starttls"))
        stream.send(f"<starttls xmlns='{ns.TLS}'/>")
        stream.expect(f"<failure xmlns='{ns.TLS}'/>")
        self.assert_closed(stream)


class Stanzas(AttackTestCase):
    """On a stream that is authorised for b.test and a.test."""

    def setUp(self) -> None:
        super().setUp()
        self.begin(**TWO)

    def test_nobody_is_spoken_for_who_was_not_proved(self) -> None:
        benvolio = self.federation.client("benvolio@also.test/x")
        for sender, to, wanted in (
            ("juliet@c.test/y", "romeo@a.test/x", "invalid-from"),
            ("romeo@a.test/x", "romeo@a.test/x", "invalid-from"),
            ("a.test", "romeo@a.test/x", "invalid-from"),
            ("also.test", "romeo@a.test/x", "invalid-from"),
            ("rooms.b.test", "romeo@a.test/x", "invalid-from"),
            ("test", "romeo@a.test/x", "invalid-from"),
            ("b.test.c.test", "romeo@a.test/x", "invalid-from"),
            ("b.test@c.test/b.test", "romeo@a.test/x", "invalid-from"),
            ("ь.test", "romeo@a.test/x", "invalid-from"),
            ("juliet@b.test/y", "benvolio@also.test/x", "not-authorized"),
            ("juliet@b.test/y", "somebody@c.test", "host-unknown"),
            ("juliet@b.test/y", "sub.a.test", "host-unknown"),
            ("juliet@b.test/y", "juliet@b.test", "host-unknown"),
            ("@b.test", "romeo@a.test/x", "improper-addressing"),
            ("juliet@b.test/", "romeo@a.test/x", "improper-addressing"),
            ("", "romeo@a.test/x", "improper-addressing"),
            ("juliet@b.test/y", "", "improper-addressing"),
            ("juliet@b.test/y", "romeo@@a.test", "improper-addressing"),
        ):
            stream = self.connected()
            stream.send(message("it is me", sender, to))
            self.assert_refused(stream, wanted)
        self.assert_unheard(benvolio)
        self.assert_others_untouched()

    def test_one_without_addresses_ends_the_stream(self) -> None:
        for said in ("<message/>", "<presence from='b.test'/>", "<iq to='a.test' type='get' id='1'/>"):
            stream = self.connected()
            stream.send(said)
            self.assert_refused(stream, "improper-addressing")

    def test_other_spellings_of_the_same_domain_are_the_same(self) -> None:
        stream = self.connected()
        for sender in ("juliet@B.TEST/y", "juliet@b.test./y", "juliet@ｂ.test/y", "juliet@b。test/y"):
            stream.send(message(sender, sender, "Romeo@A.Test/x"))
            self.romeo.expect("<message/>")
        stream.nothing()

    def test_what_is_no_xml_for_a_stream_ends_it(self) -> None:
        for said, wanted in (
            ("<!-- a comment -->", "restricted-xml"),
            ("<message><!-- a comment --></message>", "restricted-xml"),
            ("<?php echo 1 ?>", "restricted-xml"),
            ("<!DOCTYPE x>", "restricted-xml"),
            ("<message>&lol;</message>", "restricted-xml"),
            ("<message></presence>", "not-well-formed"),
            ("<message a='1' a='2'/>", "not-well-formed"),
            ("<message xml:lang='en' from=b.test/>", "not-well-formed"),
            ("<x:message/>", "not-well-formed"),
            ("<message>\0</message>", "not-well-formed"),
            ("<message>&#0;</message>", "not-well-formed"),
            ("text between stanzas", "bad-format"),
            ("<message xmlns='jabber:client' from='b.test' to='a.test'/>", "unsupported-stanza-type"),
            ("<x xmlns='urn:x'/>", "unsupported-stanza-type"),
            (f"<stream:stream xmlns:stream='{ns.STREAMS}'/>", "bad-format"),
            ("<stream:features/>", "unsupported-stanza-type"),
        ):
            stream = self.connected()
            stream.send(said)
            self.assertEqual(self.errors(stream), [wanted], said)
            self.assert_closed(stream)
        stream = self.connected()
        stream.send(b"<message>\xff\xfe</message>")
        self.assert_refused(stream, "unsupported-encoding")
        self.assert_others_untouched()

    def test_one_that_is_too_large_ends_the_stream(self) -> None:
        start = "<message from='juliet@b.test/y' to='romeo@a.test/x'>"
        for said in (
            start + "<body>" + "x" * 600_000,
            start + "<x>" * 100,
            start + "<x/>" * 20_000,
            start[:-1] + "".join(f" a{n}='x'" for n in range(100)) + "/>",
            start[:-1] + f" a='{'x' * 100_000}'/>",
            "<" + "x" * 100_000,
        ):
            stream = self.connected()
            stream.send(said)
            self.assert_refused(stream, "policy-violation")
        self.assert_others_untouched()

    def test_before_it_is_authorised_much_less_is_too_large(self) -> None:
        for make in (self.stranger, self.secured):
            stream = make()
            stream.send("<message><body>" + "x" * 9_000)
            self.assert_refused(stream, "policy-violation")

    def test_what_is_wrong_with_a_stanza_alone_is_told_its_sender(self) -> None:
        stream = self.connected()
        for said in (
            "<iq from='juliet@b.test/y' to='a.test' type='get' id='1'/>",
            "<iq from='juliet@b.test/y' to='a.test' type='strange' id='1'><x xmlns='urn:x'/></iq>",
            "<iq from='juliet@b.test/y' to='a.test' id='1'><x xmlns='urn:x'/></iq>",
            "<iq from='juliet@b.test/y' to='a.test' type='get'><x xmlns='urn:x'/></iq>",
            "<iq from='juliet@b.test/y' to='nobody@a.test' type='get' id='1'><x xmlns='urn:x'/></iq>",
            "<iq from='juliet@b.test/y' to='romeo@a.test/none' type='set' id='1'><x xmlns='urn:x'/></iq>",
            "<message from='juliet@b.test/y' to='nobody@a.test' id='1'><body>x</body></message>",
        ):
            stream.send(said)
            answer = next(iter(self.stanzas(stream)))
            self.assertEqual(answer.get("type"), "error", said)
            self.assertIn(condition(answer), ("bad-request", "service-unavailable"), said)
        self.assertFalse(stream.ended)

    def test_answers_to_what_was_never_asked_go_nowhere(self) -> None:
        stream = self.connected()
        for said in (
            "<iq from='b.test' to='a.test' type='result' id='s2s-1'/>",
            "<iq from='juliet@b.test/y' to='nobody@a.test' type='error' id='1'/>",
            "<message from='juliet@b.test/y' to='nobody@a.test' type='error'/>",
            "<presence from='juliet@b.test/y' to='nobody@a.test' type='unavailable'/>",
            "<presence from='juliet@b.test/y' to='nobody@a.test' type='strange'/>",
        ):
            stream.send(said)
        self.assertEqual([e.to_xml() for e in self.stanzas(stream) if e.get("type") != "error"], [])
        self.assertFalse(stream.ended)
