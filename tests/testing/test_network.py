"""Connections between machines in memory: made, refused, late, cut, in silence; and the DNS and the certificates."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import (
    CannotListenError,
    ConnectBindError,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TimeoutError,
)
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from federix.streams.resolver import DnsError, Srv
from federix.testing import Network, dns
from federix.testing.certificates import WRONG_NAME
from federix.testing.machine import Machine
from federix.testing.network import BEGINNING


class Talker(Protocol):
    transport: Any = None

    def __init__(self, got: list[Talker]) -> None:
        self.got = got
        self.data = b""
        self.lost: Failure | None = None

    def connectionMade(self) -> None:
        self.got.append(self)

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.lost = reason


class Server(Factory[Talker]):
    noisy = False
    refuses = False

    def __init__(self) -> None:
        self.got: list[Talker] = []

    def buildProtocol(self, addr: object) -> Talker | None:
        return None if self.refuses else Talker(self.got)


class Client(ClientFactory[Talker]):
    noisy = False

    def __init__(self) -> None:
        self.got: list[Talker] = []
        self.failed: Failure | None = None
        self.gone: Failure | None = None
        self.running = 0

    def startFactory(self) -> None:
        self.running += 1

    def stopFactory(self) -> None:
        self.running -= 1

    def buildProtocol(self, addr: object) -> Talker:
        return Talker(self.got)

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        self.failed = reason

    def clientConnectionLost(self, connector: object, reason: Failure) -> None:
        self.gone = reason


class TwoMachines(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = Network()
        self.a = self.network.add("a.test")
        self.b = self.network.add("b.test", "conference.b.test")
        self.server = Server()
        self.port = self.b.listenTCP(5269, self.server, interface="::")

    def dial(self, port: int = 5269, *, ip: str | None = None, timeout: float = 30.0, bound_to: str = "") -> Client:
        client = Client()
        bind = (bound_to, 0) if bound_to else None
        self.connector: Any = self.a.connectTCP(ip or self.b.addresses[0], port, client, timeout, bind)
        self.network.pump()
        return client

    def failure(self, client: Client) -> type[BaseException]:
        assert client.failed is not None
        self.assertEqual((client.got, client.running), ([], 0))
        return type(client.failed.value)

    def connected(self, **options: Any) -> tuple[Talker, Talker]:
        (near,) = self.dial(**options).got
        return near, self.server.got[-1]


class Connecting(TwoMachines):
    def test_two_machines_have_addresses_of_their_own_and_one_clock(self) -> None:
        self.assertEqual(len({*self.a.addresses, *self.b.addresses}), 4)
        called: list[float] = []
        self.a.callLater(2, lambda: called.append(self.b.seconds()))
        self.network.advance(1.5)
        self.assertEqual((called, self.a.seconds(), self.b.seconds()), ([], 1.5, 1.5))
        self.network.advance(1)
        self.assertEqual(called, [2])

    def test_a_domain_has_one_server(self) -> None:
        self.assertIs(self.network.machine("conference.b.test"), self.b)
        self.assertIs(self.network.machine(self.b.addresses[1]), self.b)
        self.assertRaises(KeyError, self.network.machine, "c.test")
        self.assertRaises(ValueError, self.network.add, "c.test", "a.test")

    def test_what_is_written_arrives_at_the_other_end(self) -> None:
        near, far = self.connected()
        near.transport.write(b"one")
        far.transport.write(b"two")
        self.network.pump()
        self.assertEqual((near.data, far.data), (b"two", b"one"))

    def test_a_socket_for_ipv6_shows_ipv4_addresses_mapped(self) -> None:
        near, far = self.connected()
        self.assertEqual(far.transport.getPeer().host, f"::ffff:{self.a.addresses[0]}")
        self.assertEqual(near.transport.getPeer().host, self.b.addresses[0])
        near, far = self.connected(ip=self.b.addresses[1])
        self.assertEqual(far.transport.getPeer().host, self.a.addresses[1])

    def test_a_socket_for_ipv4_shows_them_as_they_are_and_takes_no_ipv6(self) -> None:
        self.b.listenTCP(7000, self.server, interface="0.0.0.0")
        _, far = self.connected(port=7000)
        self.assertEqual(far.transport.getPeer().host, self.a.addresses[0])
        self.assertIs(self.failure(self.dial(7000, ip=self.b.addresses[1])), ConnectionRefusedError)

    def test_who_listens_at_one_address_is_not_reached_at_another(self) -> None:
        self.b.listenTCP(7000, self.server, interface="127.0.0.1")
        self.assertIs(self.failure(self.dial(7000)), ConnectionRefusedError)

    def test_a_machine_reaches_itself(self) -> None:
        self.a.listenTCP(7000, self.server)
        near, far = self.connected(port=7000, ip="127.0.0.1")
        near.transport.write(b"x")
        self.network.pump()
        self.assertEqual(far.data, b"x")
        self.assertEqual(self.transcribed(), [("a.test", "a.test")])

    def transcribed(self) -> list[tuple[str, str]]:
        return [(each.client, each.server) for each in self.network.transcript.connections()]

    def test_nobody_listens_any_more(self) -> None:
        self.port.stopListening()
        self.assertIs(self.failure(self.dial()), ConnectionRefusedError)

    def test_a_port_is_had_by_one(self) -> None:
        self.assertRaises(CannotListenError, self.b.listenTCP, 5269, self.server, interface="::")

    def test_a_port_may_be_any(self) -> None:
        port: Any = self.b.listenTCP(0, self.server)
        self.connected(port=port.getHost().port)

    def test_who_builds_no_protocol_closes_the_connection(self) -> None:
        self.server.refuses = True
        client = self.dial()
        (near,) = client.got
        self.assertIsNotNone(near.lost)
        self.assertIsNotNone(client.gone)

    def test_the_factory_is_told_after_the_protocol_that_the_connection_is_gone(self) -> None:
        client = self.dial()
        self.server.got[0].transport.loseConnection()
        self.network.pump()
        assert client.got[0].lost is not None and client.gone is not None
        self.assertIsInstance(client.gone.value, ConnectionDone)
        self.assertEqual(client.running, 0)

    def test_an_address_to_connect_from_must_be_ones_own(self) -> None:
        self.a.addresses.append("198.51.100.77")
        _, far = self.connected(bound_to="198.51.100.77")
        self.assertEqual(far.transport.getPeer().host, "::ffff:198.51.100.77")
        self.assertIs(self.failure(self.dial(bound_to="198.51.100.78")), ConnectBindError)

    def test_without_ipv6_there_is_no_way_to_it(self) -> None:
        self.a.addresses.pop()
        self.assertIs(self.failure(self.dial(ip=self.b.addresses[1])), NoRouteError)

    def test_names_are_not_looked_up_here(self) -> None:
        self.assertIs(self.failure(self.dial(ip="b.test")), DNSLookupError)

    def test_endpoints_of_twisted_connect(self) -> None:
        for kind, ip in ((TCP4ClientEndpoint, self.b.addresses[0]), (TCP6ClientEndpoint, self.b.addresses[1])):
            done = kind(self.a, ip, 5269).connect(Client())
            self.network.pump()
            protocol: Any = self.successResultOf(done)
            self.assertEqual(protocol.transport.getPeer().host, ip)

    def test_an_attempt_can_be_given_up(self) -> None:
        self.network.set_delay("a.test", "b.test", 1.0)
        client = self.dial()
        self.connector.stopConnecting()
        self.network.advance(60)
        self.failure(client)
        self.assertEqual((self.server.got, self.network.attempts), ([], []))

    def test_the_first_to_connect_may_give_up_the_others(self) -> None:
        self.network.hold()
        others: list[Client] = []
        connectors: list[Any] = []

        class First(Client):
            def buildProtocol(self, addr: object) -> Talker:
                for each in connectors:
                    each.stopConnecting()
                return super().buildProtocol(addr)

        first = First()
        for options in ({"port": 5269}, {"port": 1}, {"ip": "203.0.113.1"}):
            others.append(self.dial(**options))
            connectors.append(self.connector)
        self.a.connectTCP(self.b.addresses[0], 5269, first)
        self.network.attempts.reverse()
        self.network.release()
        self.assertEqual((len(first.got), len(self.server.got), self.network.attempts), (1, 1, []))
        self.assertEqual([other.got for other in others], [[], [], []])


class Faults(TwoMachines):
    def test_a_connection_and_what_is_written_take_their_time(self) -> None:
        self.network.set_delay("b.test", "a.test", 0.5)
        client = self.dial()
        self.network.advance(0.4)
        self.assertEqual(client.got, [])
        self.network.advance(0.2)
        (near,), (far,) = client.got, self.server.got
        near.transport.write(b"x")
        self.network.advance(0.4)
        self.assertEqual(far.data, b"")
        self.network.advance(0.2)
        self.assertEqual(far.data, b"x")

    def test_so_does_a_refusal(self) -> None:
        self.network.set_delay("a.test", "b.test", 0.5)
        client = self.dial(1)
        self.network.advance(0.4)
        self.assertIsNone(client.failed)
        self.network.advance(0.2)
        self.assertIs(self.failure(client), ConnectionRefusedError)

    def test_a_delay_holds_for_connections_there_are(self) -> None:
        near, far = self.connected()
        self.network.set_delay("a.test", "b.test", 2)
        near.transport.write(b"x")
        self.network.advance(1)
        self.assertEqual(far.data, b"")
        self.network.advance(1)
        self.assertEqual(far.data, b"x")

    def test_who_is_not_there_does_not_answer(self) -> None:
        client = self.dial(ip="203.0.113.1", timeout=20)
        self.network.advance(19)
        self.assertIsNone(client.failed)
        self.network.advance(2)
        self.assertIs(self.failure(client), TimeoutError)

    def test_who_is_cut_off_does_not_answer_either(self) -> None:
        self.network.partition("b.test")
        client = self.dial(timeout=20)
        self.network.advance(21)
        self.assertIs(self.failure(client), TimeoutError)

    def test_who_still_waits_when_it_is_healed_is_connected(self) -> None:
        self.network.partition("a.test", "conference.b.test")
        client = self.dial(timeout=20)
        self.network.advance(10)
        self.network.heal()
        self.assertEqual(len(client.got), 1)
        self.network.advance(30)
        self.assertIsNone(client.got[0].lost)

    def test_a_partition_is_silent_and_loses_nothing(self) -> None:
        near, far = self.connected()
        self.network.partition("b.test", "a.test")
        near.transport.write(b"x")
        near.transport.loseConnection()
        self.network.advance(1000)
        self.assertEqual((far.data, far.lost), (b"", None))
        self.network.heal()
        self.assertEqual(far.data, b"x")
        assert far.lost is not None and near.lost is not None

    def test_others_are_not_concerned(self) -> None:
        self.network.add("c.test")
        self.network.partition("a.test", "c.test")
        self.connected()

    def test_who_gives_up_in_the_silence_leaves_the_other_alone(self) -> None:
        near, far = self.connected()
        self.network.partition("a.test", "b.test")
        near.transport.abortConnection()
        self.network.advance(60)
        self.assertIsNotNone(near.lost)
        self.network.heal()
        self.network.advance(60)
        self.assertIsNone(far.lost)  # nobody told, and nobody asked
        far.transport.write(b"are you there?")
        self.network.pump()
        assert far.lost is not None
        self.assertIsInstance(far.lost.value, ConnectionLost)

    def test_a_cut_tells_both(self) -> None:
        near, far = self.connected()
        self.network.cut("b.test", "a.test")
        assert near.lost is not None and far.lost is not None
        self.assertEqual(self.network.connections("a.test", "b.test"), [])

    def test_held_connections_are_made_in_any_order(self) -> None:
        self.network.hold()
        first, second, third = self.dial(), self.dial(), self.dial()
        self.network.advance(1)
        self.assertEqual((first.got, second.got, third.got), ([], [], []))
        self.network.attempts[1].release()
        self.assertEqual((len(first.got), len(second.got)), (0, 1))
        self.network.attempts[0].release()
        self.assertEqual((len(first.got), len(third.got)), (1, 0))
        self.network.release()
        self.assertEqual(len(third.got), 1)
        self.assertEqual(len(self.dial().got), 1)

    def test_byte_by_byte(self) -> None:
        self.network.byte_by_byte = True
        near, far = self.connected()
        pieces: list[bytes] = []
        far.dataReceived = pieces.append  # type: ignore[method-assign]
        near.transport.write(b"abc")
        self.network.pump()
        self.assertEqual(pieces, [b"a", b"b", b"c"])


class Crashes(TwoMachines):
    def test_a_crash_is_noticed_by_those_who_are_connected(self) -> None:
        near, far = self.connected()
        self.b.callLater(1, self.fail)
        self.a.callLater(1, lambda: None)
        self.b.crash()
        self.network.advance(2)
        assert near.lost is not None
        self.assertIsNone(far.lost)  # it was not told anything any more
        self.assertIs(self.failure(self.dial()), ConnectionRefusedError)

    def test_when_the_current_goes_nobody_is_told(self) -> None:
        near, _ = self.connected()
        self.b.crash(silently=True)
        near.transport.write(b"hello?")
        client = self.dial(timeout=10)
        self.network.advance(11)
        self.assertIs(self.failure(client), TimeoutError)
        self.assertIsNone(near.lost)
        self.b.boot()
        self.network.pump()
        self.assertIsNotNone(near.lost)
        self.assertIs(self.failure(self.dial()), ConnectionRefusedError)


class Names(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = Network()
        self.dns = self.network.dns

    def ask(self, question: Any) -> Deferred[Any]:
        return ensureDeferred(question)

    def test_records_are_what_was_set_last(self) -> None:
        one, two = Srv(0, 0, 5269, "one.test"), Srv(0, 0, 5269, "two.test")
        name = "_xmpp-server._tcp.b.test"
        self.assertEqual(list(self.successResultOf(self.ask(self.dns.srv(name)))), [])
        self.dns.set_srv(name, one)
        self.dns.set_srv(name.upper() + ".", two)
        self.assertEqual(list(self.successResultOf(self.ask(self.dns.srv(name)))), [two])
        self.dns.set_srv(name)
        self.assertEqual(list(self.successResultOf(self.ask(self.dns.srv(name)))), [])

    def addresses(self, host: str, *families: Any) -> list[str]:
        return list(self.successResultOf(self.ask(self.dns.addresses(host, families))))

    def test_addresses_come_in_the_order_of_their_families(self) -> None:
        self.dns.set_addresses("b.test", "198.51.100.1", "2001:db8::1", "198.51.100.2")
        self.assertEqual(self.addresses("b.test", "ipv4"), ["198.51.100.1", "198.51.100.2"])
        self.assertEqual(self.addresses("b.test", "ipv6", "ipv4")[0], "2001:db8::1")
        self.assertEqual(self.addresses("c.test", "ipv6", "ipv4"), [])

    def test_addresses_and_the_machine_itself_need_no_query(self) -> None:
        self.assertEqual(self.addresses("[2001:db8::1]", "ipv4", "ipv6"), ["2001:db8::1"])
        self.assertEqual(self.addresses("localhost", "ipv4", "ipv6"), ["127.0.0.1"])
        self.assertEqual(list(self.dns.queries), [])

    def test_what_was_asked_is_remembered(self) -> None:
        self.network.advance(5)
        self.addresses("B.test", "ipv6", "ipv4")
        self.ask(self.dns.srv("_xmpp-server._tcp.b.test"))
        self.assertEqual([(q.time, q.kind) for q in self.dns.asked("b.test")], [(5.0, "ipv6"), (5.0, "ipv4")])
        self.assertEqual(len(self.dns.queries), 3)

    def test_queries_are_not_remembered_for_ever(self) -> None:
        self.patch(dns, "QUERIES", 3)
        self.dns = Network().dns
        for number in range(5):
            self.addresses(f"{number}.test", "ipv4")
        self.assertEqual([query.name for query in self.dns.queries], ["2.test", "3.test", "4.test"])

    def test_international_names_are_asked_for_in_a_labels(self) -> None:
        self.dns.set_srv("_xmpp-server._tcp.bücher.test", Srv(0, 0, 1, "x"))
        answer = self.successResultOf(self.ask(self.dns.srv("_xmpp-server._tcp.xn--bcher-kva.test")))
        self.assertEqual(len(answer), 1)

    def test_answers_may_be_late_or_fail(self) -> None:
        self.dns.slow("b.test", 2)
        self.dns.fail("b.test", "no name server answers")
        answer = self.ask(self.dns.addresses("b.test", ("ipv4",)))
        self.network.advance(1)
        self.assertNoResult(answer)
        self.network.advance(1)
        error = self.failureResultOf(answer, DnsError).value
        self.assertEqual(str(error), "no name server answers")
        self.dns.heal()
        self.assertEqual(self.addresses("b.test", "ipv4"), [])


class Certificates(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = Network()

    def issued(self, kind: Any) -> x509.Certificate:
        return self.network.certificate("a.test", kind=kind).certificate

    def names(self, certificate: x509.Certificate) -> list[str]:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return found.get_values_for_type(x509.DNSName)

    def test_each_is_made_once(self) -> None:
        self.assertEqual(self.network.authority.pem, Network().authority.pem)
        self.assertIs(self.network.certificate("a.test"), Network().certificate("a.test"))
        self.assertIsNot(self.network.certificate("a.test"), self.network.certificate("b.test"))

    def test_each_is_right_or_wrong_in_its_own_way(self) -> None:
        root = self.network.authority.certificate
        now = datetime.fromtimestamp(BEGINNING, UTC)
        for kind, in_time, ours, named in (
            ("trusted", True, True, True),
            ("self-signed", True, False, True),
            ("stranger", True, False, True),
            ("expired", False, True, True),
            ("early", False, True, True),
            ("wrong-name", True, True, False),
        ):
            shown = self.issued(kind)
            with self.subTest(kind):
                self.assertEqual(shown.not_valid_before_utc < now < shown.not_valid_after_utc, in_time)
                self.assertEqual(shown.issuer == root.subject, ours)
                self.assertEqual(self.names(shown), ["a.test"] if named else [WRONG_NAME])


class Machines(SynchronousTestCase):
    def test_there_may_be_a_thousand(self) -> None:
        network = Network()
        machines: list[Machine] = [network.add(f"{number}.test") for number in range(1000)]
        self.assertEqual(len({ip for machine in machines for ip in machine.addresses}), 2000)
