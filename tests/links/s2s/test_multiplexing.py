"""One stream for several pairs of domains (XEP-0220 §2.6)."""

from __future__ import annotations

from typing import Any
from unittest import mock

from federix.links.s2s import authorised as authorised_module
from federix.links.s2s import dialback as dialback_module
from federix.links.s2s.confirm import MOST_STANZAS
from federix.testing import Client, PeerStream
from federix.testing.peer import BIDI, DIALBACK, EXTERNAL, STARTTLS
from federix.xmpp import ns

from .reliable import ReliableTestCase, numbers

SILENT = f"<dialback xmlns='{ns.DIALBACK_FEATURE}'/>"


class Multiplexing(ReliableTestCase):
    crowd: Client

    def begin(self, *domains: str, **options: Any) -> None:
        hosts = {"a.test": {"hosts": ("a.test", "conference.a.test")}}
        super().begin(*domains, worlds=hosts, **options)
        self.crowd = self.federation["a.test"].client("crowd@conference.a.test/x")

    def send(self, id: str, to: str = "juliet@b.test") -> None:
        self.crowd.send(f"<message id='{id}' to='{to}'><body>{id}</body></message>")

    def first(self, dialback: str = DIALBACK) -> PeerStream:
        """A stream for what goes from a.test to b.test; the peer offers *dialback*."""
        self.say("1")
        stream = self.peer.accept()
        stream.answer(STARTTLS)
        stream.accept_tls()
        stream.answer(EXTERNAL, dialback)
        stream.accept_external()
        stream.answer(dialback)
        self.assertEqual(self.said(stream), ["1"])
        return stream

    def test_another_domain_of_ours_goes_over_the_same_stream(self) -> None:
        for dialback in (DIALBACK, SILENT):
            self.begin()
            stream = self.first(dialback)
            self.send("2")
            self.send("3")
            stream.accept_dialback()
            self.assertEqual(self.said(stream), ["2", "3"])
            self.peer.nobody()
            self.federation.stop()

    def test_what_is_refused_goes_back_and_the_rest_goes_on(self) -> None:
        self.begin()
        stream = self.first()
        self.send("2")
        stream.expect("<db:result from='conference.a.test' to='b.test'/>")
        stream.send(
            "<db:result from='b.test' to='conference.a.test' type='error'><error type='cancel'>"
            f"<not-authorized xmlns='{ns.STANZA_ERROR}'/></error></db:result>"
        )
        self.assertEqual(self.errors(self.crowd), [("2", "remote-server-timeout")])
        self.say("3")
        self.assertEqual(self.said(stream), ["3"])
        self.peer.nobody()

    def test_a_stream_that_ends_at_the_question_takes_nobody_with_it(self) -> None:
        self.begin()
        stream = self.first(SILENT)
        self.send("2")
        stream.expect("<db:result from='conference.a.test' to='b.test'/>")
        stream.cut()
        self.say("3")
        self.assertEqual(self.said(self.reached(bidi=False)), ["3"])
        self.wait(2)
        self.assertEqual(self.errors(self.crowd), [])
        self.assertEqual(self.said(self.reached(bidi=False)), ["2"])

    def test_a_stream_that_breaks_soon_is_one_failure_for_all_of_them(self) -> None:
        hosts = [f"{number}.a.test" for number in range(8)]
        ReliableTestCase.begin(self, worlds={"a.test": {"hosts": ("a.test", *hosts)}})
        self.say("a.test")
        stream = self.counting()
        for host in hosts:
            self.federation["a.test"].client(f"one@{host}/x").send(
                f"<message to='juliet@b.test'><body>{host}</body></message>"
            )
            stream.send(f"<db:result from='b.test' to='{host}' type='valid'/>")
        self.assertEqual(self.said(stream), ["a.test", *hosts])
        stream.cut()
        self.wait(2)
        self.assertEqual(self.said(self.counting()), ["a.test"])

    def test_who_does_not_want_it_there_is_asked_on_a_stream_of_its_own(self) -> None:
        self.begin()
        stream = self.first()
        self.say("2", to="rooms.b.test")
        stream.expect("<db:result from='a.test' to='rooms.b.test'/>")
        stream.send(
            "<db:result from='rooms.b.test' to='a.test' type='error'><error type='cancel'>"
            f"<item-not-found xmlns='{ns.STANZA_ERROR}'/></error></db:result>"
        )
        self.assertEqual(self.said(self.reached(bidi=False)), ["2"])
        self.assertEqual(self.errors(), [("1", "remote-server-timeout")] if stream.lost else [])

    def test_another_domain_of_theirs_goes_over_the_same_stream(self) -> None:
        self.begin()
        stream = self.first()
        self.say("2", to="rooms.b.test")
        stream.accept_dialback()
        self.assertEqual(self.said(stream), ["2"])
        self.peer.nobody()

    def test_but_not_where_errors_would_end_the_stream(self) -> None:
        self.begin()
        stream = self.first(SILENT)
        self.say("2", to="rooms.b.test")
        self.assertEqual(self.said(stream), [])
        self.peer.accept()

    def test_nor_where_the_certificate_names_it_not(self) -> None:
        self.begin(dialback=False)
        stream = self.first()
        self.say("2", to="rooms.b.test")
        self.assertEqual(self.said(stream), [])
        self.peer.accept()

    def test_nor_in_the_clear_where_our_other_domain_demands_tls(self) -> None:
        demanding = {"conference.a.test": {"s2s_use_starttls": "required"}}
        self.begin(config={"s2s_use_starttls": "optional", "host_config": demanding})
        self.say("1")
        stream = self.peer.accept()
        stream.answer(DIALBACK)
        stream.accept_dialback()
        self.assertEqual(self.said(stream), ["1"])
        self.send("2")
        self.assertEqual(stream.drain(), [])
        self.peer.accept().answer(DIALBACK)
        self.assertEqual(self.errors(self.crowd), [("2", "remote-server-timeout")])

    def test_nor_where_our_other_domain_does_not_speak_with_such_an_address(self) -> None:
        self.begin()
        world = self.federation["a.test"]
        elsewhere = [*({"deny": [{"ip": ip}]} for ip in self.peer.machine.addresses), {"allow": "all"}]
        options = {
            "access_rules": {"elsewhere": elsewhere},
            "host_config": {"conference.a.test": {"s2s_access": "elsewhere"}},
        }
        world.run(world.server.reload(world.configure(world.settings | options)))
        stream = self.first()
        self.send("2")
        self.assertEqual(stream.drain(), [])
        self.assertEqual(self.errors(self.crowd), [("2", "forbidden")])

    def test_where_it_lives_elsewhere_another_stream_is_opened(self) -> None:
        self.begin()
        other = self.federation.peer("chat.b.test")
        stream = self.first()
        self.say("2", to="chat.b.test")
        self.assertEqual(self.said(stream), [])
        other.accept()

    def test_where_too_much_is_asked_there_already_another_stream_is_opened(self) -> None:
        with mock.patch.object(dialback_module, "MOST_AT_ONCE", 1):
            self.begin()
            stream = self.first()
            for remote in ("rooms.b.test", "more.b.test"):
                self.say(remote, to=f"juliet@{remote}")
                stream.send(f"<db:result from='{remote}' to='a.test' type='valid'/>")
            self.send("2", to="juliet@rooms.b.test")
            self.send("3", to="juliet@more.b.test")
            self.assertEqual(self.said(self.reached(bidi=False)), ["3"])
            self.assertEqual(self.errors(self.crowd), [])

    def test_one_who_sends_without_end_does_not_keep_others_from_the_stream(self) -> None:
        self.begin(config={"s2s_max_queue": 5000})
        self.say("0")
        stream = self.counting()
        self.send("crowd")
        stream.send("<db:result from='b.test' to='conference.a.test' type='valid'/>")
        self.acknowledge(stream, taken := len(self.said(stream)))
        self.say(*numbers(1, 3 * MOST_STANZAS))
        self.send("patient")
        for last in (MOST_STANZAS, 2 * MOST_STANZAS):
            self.assertEqual(self.said(stream)[-1], str(last))
            self.acknowledge(stream, taken := taken + MOST_STANZAS)
        self.assertEqual(self.said(stream), ["patient", *numbers(2 * MOST_STANZAS + 1, 3 * MOST_STANZAS - 1)])

    def test_one_stream_takes_so_many_pairs_and_no_more(self) -> None:
        with mock.patch.object(authorised_module, "MOST_PAIRS", 1):
            self.begin()
            stream = self.first()
            self.send("2")
            self.assertEqual(self.said(stream), [])
            second = self.reached(bidi=False)
            self.assertEqual(self.said(second), ["2"])


class Limits(ReliableTestCase):
    """XEP-0478."""

    def limits(self, size: int) -> str:
        return f"<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>{size}</max-bytes></limits>"

    def big(self, id: str, size: int, kind: str = "message") -> None:
        self.romeo.send(f"<{kind} id='{id}' to='juliet@b.test/y'><body>{'x' * size}</body></{kind}>")

    def test_what_is_larger_than_the_peer_takes_goes_back(self) -> None:
        self.begin()
        self.big("1", 30_000)
        self.say("2")
        stream = self.reached(self.limits(20_000), bidi=False)
        self.assertEqual(self.errors(), [("1", "policy-violation")])
        self.big("3", 15_000)
        self.big("4", 25_000)
        self.assertEqual(len(self.said(stream)), 2)
        self.assertEqual(self.errors(), [("4", "policy-violation")])
        link = self.route()
        assert link is not None
        self.assertEqual(self.core.waiting, link.confirmations.size)

    def test_in_place_of_a_large_answer_whoever_waits_for_it_gets_an_error(self) -> None:
        self.begin()
        self.say("1")
        stream = self.reached(self.limits(20_000), bidi=False)
        self.assertEqual(self.said(stream), ["1"])
        self.romeo.send(f"<iq type='result' id='2' to='juliet@b.test/y'><query xmlns='x'>{'x' * 30_000}</query></iq>")
        stream.expect(
            "<iq type='error' id='2' from='romeo@a.test/x' to='juliet@b.test/y'>"
            "<error><policy-violation xmlns='*'/></error></iq>"
        )
        self.assertEqual(self.romeo.drain(), [])

    def test_the_later_features_count(self) -> None:
        self.begin()
        self.big("1", 30_000)
        stream = self.peer.accept()
        stream.answer(STARTTLS, self.limits(10_000))
        stream.accept_tls()
        stream.answer(EXTERNAL, self.limits(20_000))
        stream.accept_external()
        stream.answer(self.limits(40_000))
        self.assertEqual(len(self.said(stream)), 1)
        self.assertEqual(self.errors(), [])

    def test_in_bidi_it_says_so_there(self) -> None:
        self.begin()
        stream = self.secured()
        stream.send(f"<bidi xmlns='{ns.BIDI}'>{self.limits(20_000)}</bidi>")
        stream.authenticate()
        self.big("1", 25_000)
        self.big("2", 15_000)
        self.assertEqual(len(self.said(stream)), 1)
        self.assertEqual(self.errors(), [("1", "policy-violation")])

    def test_what_is_no_limit_is_none(self) -> None:
        for text in ("", "-1", "many", "٣" * 6, "9" * 30):
            self.begin()
            self.big("1", 30_000)
            stream = self.reached(
                f"<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>{text}</max-bytes></limits>", bidi=False
            )
            self.assertEqual(len(self.said(stream)), 1, text)
            self.federation.stop()

    def test_nobody_can_make_everything_too_large(self) -> None:
        self.begin()
        self.say("1")
        stream = self.reached(self.limits(1), bidi=False)
        self.assertEqual(self.said(stream), ["1"])

    def test_ours_are_said_on_either_side(self) -> None:
        self.begin()
        ours = (
            "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>524288</max-bytes>"
            "<idle-seconds>3600</idle-seconds></limits>"
        )
        stream = self.peer.dial("a.test")
        stream.send_header()
        stream.expect_header()
        stream.expect_features(ours)
        self.say("1")
        stream = self.peer.accept()
        stream.answer(STARTTLS)
        stream.accept_tls()
        stream.answer(BIDI, EXTERNAL)
        stream.expect(f"<bidi xmlns='{ns.BIDI}'>{ours}</bidi>")
