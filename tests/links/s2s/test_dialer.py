"""Why no stream comes about, what is told the sender then, and when it is tried again."""

from __future__ import annotations

from itertools import pairwise

from federix.links.s2s.verifying import VERIFICATIONS_PER_ADDRESS
from federix.streams.resolver import Srv
from federix.testing import PeerStream
from federix.testing.peer import DIALBACK, EXTERNAL, STARTTLS
from federix.xmpp import ns

from .reliable import ReliableTestCase

SERVICE = "_xmpp-server._tcp.b.test"


class Conditions(ReliableTestCase):
    """RFC 6120 §10.4.3: not found where the domain cannot be resolved, else a timeout; XEP-0220 §2.1.1."""

    def bounced_at_once(self, condition: str) -> None:
        self.say("1")
        self.wait(1)
        self.assertEqual(self.errors(), [("1", condition)])
        self.wait(300)
        self.assertEqual(self.errors(), [])

    def bounced_in_time(self, condition: str) -> None:
        self.say("1")
        self.wait(119)
        self.assertEqual(self.errors(), [])
        self.wait(2)
        self.assertEqual(self.errors(), [("1", condition)])

    def test_a_domain_that_does_not_exist(self) -> None:
        self.begin()
        dns = self.federation.network.dns
        dns.set_srv(SERVICE)
        dns.set_addresses("b.test")
        self.bounced_at_once("remote-server-not-found")

    def test_a_domain_that_says_it_has_no_server(self) -> None:
        self.begin()
        self.federation.network.dns.set_srv(SERVICE, Srv(0, 0, 5269, "."))
        self.bounced_at_once("remote-server-not-found")

    def test_name_servers_that_do_not_answer(self) -> None:
        self.begin()
        dns = self.federation.network.dns
        for name in (SERVICE, "_xmpps-server._tcp.b.test", "b.test"):
            dns.fail(name)
        self.bounced_in_time("remote-server-not-found")

    def test_name_servers_that_answer_after_all(self) -> None:
        self.begin()
        dns = self.federation.network.dns
        for name in (SERVICE, "_xmpps-server._tcp.b.test", "b.test"):
            dns.fail(name)
        self.say("1")
        self.wait(20)
        dns.heal()
        self.wait(40)
        self.assertEqual(self.said(self.reached()), ["1"])

    def test_a_port_where_nobody_listens(self) -> None:
        self.begin()
        self.peer.stop_listening()
        self.bounced_in_time("remote-server-timeout")

    def test_a_machine_that_says_nothing(self) -> None:
        self.begin()
        self.federation.network.partition("a.test", "b.test")
        self.bounced_in_time("remote-server-timeout")

    def test_a_server_that_never_finishes(self) -> None:
        self.begin(config={"negotiation_timeout": 30})
        self.say("1")
        self.peer.accept().answer(STARTTLS)
        self.wait(121)
        self.assertEqual(self.errors(), [("1", "remote-server-timeout")])

    def test_a_server_without_tls(self) -> None:
        self.begin()
        self.say("1")
        self.peer.accept().answer(DIALBACK)
        self.wait(1)
        self.assertEqual(self.errors(), [("1", "remote-server-timeout")])

    def test_a_bad_certificate(self) -> None:
        self.begin(peer={"certificate": "self-signed"}, dialback=False)
        self.say("1")
        stream = self.peer.accept()
        stream.answer(STARTTLS)
        stream.accept_tls()
        self.wait(1)
        self.assertEqual(self.errors(), [("1", "remote-server-timeout")])

    def test_a_certificate_that_is_not_taken(self) -> None:
        self.begin(dialback=False)
        self.say("1")
        stream = self.peer.accept()
        stream.answer(STARTTLS)
        stream.accept_tls()
        stream.answer(EXTERNAL)
        stream.expect(f"<auth xmlns='{ns.SASL}'/>")
        stream.send(f"<failure xmlns='{ns.SASL}'><not-authorized/></failure>")
        self.wait(1)
        self.assertEqual(self.errors(), [("1", "remote-server-timeout")])

    def asked(self) -> PeerStream:
        self.begin()
        self.say("1")
        stream = self.peer.accept()
        stream.answer(STARTTLS)
        stream.accept_tls()
        stream.answer(DIALBACK)
        return stream

    def test_a_key_that_is_called_invalid(self) -> None:
        self.asked().accept_dialback("invalid")
        self.wait(1)
        self.assertEqual(self.errors(), [("1", "internal-server-error")])

    def test_a_reload_may_have_mended_what_it_was_refused_for(self) -> None:
        self.begin(config={"s2s_use_starttls": "required"})
        self.say("1")
        self.peer.accept().answer(DIALBACK)
        self.wait(0.1)
        self.say("2")
        self.assertEqual(self.errors(), [("1", "remote-server-timeout"), ("2", "remote-server-timeout")])
        self.peer.nobody()
        world = self.federation["a.test"]
        world.run(world.server.reload(world.configure({**world.settings, "s2s_use_starttls": "optional"})))
        self.say("3")
        stream = self.peer.accept()
        stream.answer(DIALBACK)
        stream.accept_dialback()
        self.assertEqual(self.said(stream), ["3"])

    def test_an_error_of_dialback(self) -> None:
        stream = self.asked()
        stream.expect("<db:result type='-'/>")
        stream.send(
            "<db:result from='b.test' to='a.test' type='error'><error type='cancel'>"
            f"<item-not-found xmlns='{ns.STANZA_ERROR}'/></error></db:result>"
        )
        self.wait(1)
        self.assertEqual(self.errors(), [("1", "remote-server-timeout")])

    def test_dialback_that_is_not_answered(self) -> None:
        self.asked()
        self.wait(59)
        self.assertEqual(self.errors(), [])
        self.wait(2)
        self.assertEqual(self.errors(), [("1", "remote-server-timeout")])

    def test_a_host_that_is_not_known_there(self) -> None:
        self.begin()
        self.say("1")
        stream = self.peer.accept()
        stream.expect_header()
        stream.send_header(id="x")
        stream.send(f"<stream:error><host-unknown xmlns='{ns.STREAM_ERROR}'/></stream:error></stream:stream>")
        self.wait(1)
        self.assertEqual(self.errors(), [("1", "remote-server-not-found")])

    def test_something_that_is_no_server_for_xmpp(self) -> None:
        self.begin()
        self.say("1")
        stream = self.peer.accept()
        stream.send("SSH-2.0-OpenSSH_9.2\r\n")
        self.wait(121)
        self.assertEqual(self.errors(), [("1", "remote-server-timeout")])


class BackOff(ReliableTestCase):
    """Each failure in a row doubles the delay, up to `s2s_max_retry_delay`; chance takes up to half of it away."""

    def begin_refused(self, chance: int, **config: object) -> None:
        self.begin(config={"s2s_queue_timeout": 100_000, **config})
        self.peer.stop_listening()
        self.federation["a.test"].server.random_bytes = lambda count: bytes([chance]) * count

    def tries(self, seconds: float) -> list[float]:
        """The seconds between one try and the next."""
        begun = len(self.times())
        self.wait(seconds)
        times = self.times()[begun - 1 if begun else 0 :]
        return [round(later - earlier, 1) for earlier, later in pairwise(times)]

    def times(self) -> list[float]:
        return [query.time for query in self.federation.network.dns.asked(SERVICE)]

    def test_delays_double(self) -> None:
        self.begin_refused(255)
        self.say("1")
        self.assertEqual(self.tries(1500), [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300])
        self.assertEqual(self.errors(), [])

    def test_chance_takes_half_of_them_at_most(self) -> None:
        self.begin_refused(0)
        self.say("1")
        self.assertEqual(self.tries(100), [0.5, 1, 2, 4, 8, 16, 32])

    def test_the_longest_is_an_option(self) -> None:
        self.begin_refused(255, s2s_max_retry_delay=5)
        self.say("1")
        self.assertEqual(self.tries(30), [1, 2, 4, 5, 5, 5, 5])

    def test_they_begin_anew_after_a_success(self) -> None:
        self.begin_refused(255)
        self.say("1")
        self.tries(40)
        self.peer.listen()
        self.wait(40)
        stream = self.counting()
        self.said(stream)
        self.acknowledge(stream, 1)
        self.wait(30)
        self.peer.stop_listening()
        stream.cut()
        self.say("2")
        self.assertEqual(self.tries(10), [1, 2, 4])

    def test_nobody_tries_when_nothing_waits(self) -> None:
        self.begin_refused(255, s2s_queue_timeout=10)
        self.say("1")
        self.wait(20)
        self.assertEqual(len(self.errors()), 1)
        self.assertEqual(self.tries(3600), [])
        self.assertEqual((self.core.dialers, self.core.pairs), ({}, {}))

    def test_what_comes_meanwhile_waits_for_the_next_try(self) -> None:
        self.begin_refused(255)
        self.say("1")
        self.wait(8)
        before = len(self.times())
        for number in range(2, 8):
            self.say(str(number))
            self.wait(1)
        self.assertEqual(len(self.times()), before)

    def test_what_cannot_succeed_is_not_tried_for_each_stanza(self) -> None:
        self.begin()
        self.federation["a.test"].server.random_bytes = lambda count: b"\xff" * count
        self.federation.network.dns.set_srv(SERVICE, Srv(0, 0, 5269, "."))
        for number in range(100):
            self.say(str(number))
            self.wait(0.1)
        self.assertEqual(len(self.errors()), 100)
        self.assertEqual(len(self.times()), 4)

    def test_a_server_that_cuts_each_new_connection_is_left_alone_longer_and_longer(self) -> None:
        self.begin(config={"s2s_queue_timeout": 100_000})
        self.federation["a.test"].server.random_bytes = lambda count: b"\xff" * count
        begun = []
        for number in range(6):
            self.say(str(number))
            while not self.federation.network.connections("a.test", "b.test"):
                self.wait(0.1)
            stream = self.counting()
            begun.append(self.federation.network.clock.seconds())
            stream.cut()
        gaps = [round(b - a) for a, b in pairwise(begun)]
        self.assertEqual(gaps, [1, 2, 4, 8, 16])


class Others(ReliableTestCase):
    """What fails for one pair of domains says nothing about others."""

    def test_dialback_that_fails_for_one_domain_does_not_hold_up_another(self) -> None:
        self.begin(worlds={"a.test": {"hosts": ("a.test", "conference.a.test")}})
        crowd = self.federation["a.test"].client("crowd@conference.a.test/x")
        for number in range(3):
            crowd.send(f"<message id='crowd-{number}' to='juliet@b.test'/>")
        self.say("1")
        first = self.peer.accept()
        first.answer(STARTTLS)
        first.accept_tls()
        first.answer(DIALBACK)
        first.accept_dialback("invalid")
        self.assertEqual(self.errors(crowd), [(f"crowd-{number}", "internal-server-error") for number in range(3)])
        stream = self.reached(bidi=False)
        self.assertEqual(self.said(stream), ["1"])
        crowd.send("<message id='crowd-3' to='juliet@b.test'/>")
        self.assertEqual(self.errors(crowd), [("crowd-3", "internal-server-error")])  # for a while it is left alone
        self.wait(2)
        crowd.send("<message id='crowd-4' to='juliet@b.test'/>")
        self.assertEqual(self.errors(), [])
        self.peer.nobody()

    def test_one_who_has_too_much_to_do_is_asked_again(self) -> None:
        """As whoever serves more domains than keys that he verifies at a time for one address."""
        domains = [f"{number}.b.test" for number in range(VERIFICATIONS_PER_ADDRESS + 5)]
        hosts = {"b.test": {"hosts": ("b.test", *domains)}}
        federation = self.make("a.test", "b.test", certificates="self-signed", bidi=False, worlds=hosts)
        romeo = federation.client("romeo@a.test/x")
        people = [federation["b.test"].client(f"juliet@{domain}/y") for domain in domains]
        federation.network.set_delay("a.test", "b.test", 0.2)
        for domain in domains:
            romeo.write(f"<message id='{domain}' to='juliet@{domain}/y'/>")
        federation.advance(60)
        self.assertEqual(self.errors(romeo), [])
        self.assertEqual([[each.get("id") for each in juliet.drain()] for juliet in people], [[one] for one in domains])

    def test_what_is_said_when_all_that_waited_first_has_gone_back_is_answered_with_the_outcome(self) -> None:
        self.begin(config={"s2s_queue_timeout": 50})
        self.say("1")
        stream = self.peer.accept()
        stream.expect_header()
        stream.send_header(id="x")
        self.wait(70)
        self.assertEqual(self.errors(), [("1", "remote-server-timeout")])
        self.say("2")
        stream.send(f"<stream:error><host-unknown xmlns='{ns.STREAM_ERROR}'/></stream:error></stream:stream>")
        self.assertEqual(self.errors(), [("2", "remote-server-not-found")])

    def test_what_one_domain_of_ours_demands_is_nothing_to_the_others(self) -> None:
        elsewhere = {"access_rules": {"elsewhere": [{"allow": [{"ip": "203.0.113.1"}]}, {"deny": "all"}]}}
        for demands, condition in (
            ({"s2s_use_starttls": "required"}, "remote-server-timeout"),
            ({"s2s_use_starttls": "required_trusted"}, "remote-server-timeout"),
            ({"s2s_access": "elsewhere"}, "forbidden"),
        ):
            config = {"s2s_use_starttls": "optional", "host_config": {"conference.a.test": demands}, **elsewhere}
            self.begin(worlds={"a.test": {"hosts": ("a.test", "conference.a.test")}}, config=config)
            crowd = self.federation["a.test"].client("crowd@conference.a.test/x")
            self.federation.network.dns.delay = 1
            crowd.send("<message id='2' to='juliet@b.test'/>")
            self.say("1")
            self.wait(3)
            refused = self.peer.accept()
            if condition != "forbidden":
                refused.answer(DIALBACK)
            self.assertEqual((self.errors(), self.errors(crowd)), ([], [("2", condition)]))
            self.wait(3)
            stream = self.peer.accept()
            stream.answer(DIALBACK)
            stream.accept_dialback()
            self.assertEqual(self.said(stream), ["1"])
            self.federation.stop()


class Targets(ReliableTestCase):
    def test_the_next_target_is_tried(self) -> None:
        self.begin()
        network = self.federation.network
        silent = network.add("silent.test")
        closed = network.add("closed.test")
        network.dns.set_addresses("one.test", *silent.addresses)
        network.partition("silent.test")
        network.dns.set_addresses("two.test", *closed.addresses)
        network.dns.set_addresses("four.test", *self.peer.machine.addresses)
        network.dns.set_srv(
            SERVICE,
            *(Srv(n, 0, 5269, name) for n, name in enumerate(("one.test", "two.test", "none.test", "four.test"))),
        )
        self.say("1")
        self.wait(11)
        self.assertEqual(self.said(self.reached()), ["1"])

    def test_so_it_is_where_the_first_shows_a_bad_certificate(self) -> None:
        self.begin(dialback=False)
        network = self.federation.network
        other = self.federation.peer("other.test")
        network.dns.set_addresses("one.test", *other.machine.addresses)
        network.dns.set_addresses("two.test", *self.peer.machine.addresses)
        network.dns.set_srv(SERVICE, Srv(0, 0, 5269, "one.test"), Srv(1, 0, 5269, "two.test"))
        self.say("1")
        stream = other.accept()
        stream.answer(STARTTLS)
        stream.accept_tls()
        self.assertEqual(self.said(self.reached()), ["1"])

    def test_a_try_sees_what_the_dns_says_then(self) -> None:
        self.begin()
        network = self.federation.network
        closed = network.add("closed.test")
        network.dns.set_addresses("b.test", *closed.addresses)
        self.say("1")
        self.wait(5)
        self.peer.nobody()
        network.dns.set_addresses("b.test", *self.peer.machine.addresses)
        self.wait(10)
        self.assertEqual(self.said(self.reached()), ["1"])
