"""Which server is asked, how often and how, on a clock of its own; and what is made of its answer."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.error import CannotListenError, ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.names import dns
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from federix.streams.name_servers import MAX_ALIASES, MAX_NEGATIVE_TTL, MAX_TTL, Answer, DnsError, NameServers

FIRST = ("192.0.2.53", 53)
SECOND = ("2001:db8::53", 53)


class UdpPort:
    """What `listenUDP` answers: a socket that keeps what is written to it."""

    def __init__(self, reactor: UdpReactor, protocol: Any, interface: str) -> None:
        self.reactor = reactor
        self.protocol = protocol
        self.interface = interface
        self.server: tuple[str, int] | None = None
        self.open = True
        protocol.makeConnection(self)

    def connect(self, host: str, port: int) -> None:
        self.server = (host, port)
        if self.server in self.reactor.unreachable:
            raise OSError(101, "Network is unreachable")

    def write(self, data: bytes, address: tuple[str, int]) -> None:
        assert address == self.server
        message = dns.Message()
        message.fromStr(data)
        self.reactor.questions.append((self, message))

    def stopListening(self) -> None:
        self.open = False
        self.protocol.doStop()


class UdpReactor(MemoryReactorClock):
    """A reactor in memory that has UDP, too."""

    def __init__(self) -> None:
        super().__init__()
        self.questions: list[tuple[UdpPort, dns.Message]] = []
        self.ports: list[UdpPort] = []
        self.unreachable: list[tuple[str, int]] = []
        self.full = False

    def listenUDP(self, port: int, protocol: Any, interface: str = "") -> UdpPort:
        if self.full:
            raise CannotListenError(interface, port, OSError(24, "Too many open files"))
        self.ports.append(UdpPort(self, protocol, interface))
        return self.ports[-1]

    def asked(self) -> list[str]:
        return [port.server[0] for port, _ in self.questions if port.server]


def reply(question: dns.Message, *answers: dns.RRHeader, code: int = dns.OK, trunc: bool = False) -> dns.Message:
    message = dns.Message(question.id, answer=1, rCode=code, trunc=trunc)
    message.queries = question.queries
    message.answers = list(answers)
    return message


def address(name: str, ip: str, ttl: int = 60) -> dns.RRHeader:
    return dns.RRHeader(name, dns.A, payload=dns.Record_A(ip), ttl=ttl)


def alias(name: str, canonical: str, ttl: int = 60) -> dns.RRHeader:
    return dns.RRHeader(name, dns.CNAME, payload=dns.Record_CNAME(canonical), ttl=ttl)


def authority(ttl: int, minimum: int) -> dns.RRHeader:
    return dns.RRHeader("example.org", dns.SOA, payload=dns.Record_SOA("ns", "mail", minimum=minimum), ttl=ttl)


class NameServersCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = UdpReactor()

    def ask(self, *servers: tuple[str, int], timeout: float = 10.0, name: str = "a.example.org") -> Deferred[Answer]:
        asker = NameServers(self.reactor, servers or (FIRST, SECOND), timeout)
        return ensureDeferred(asker.ask(name, dns.A))

    def answer(self, *answers: dns.RRHeader, code: int = dns.OK, **more: Any) -> None:
        """Answer the last question."""
        port, question = self.reactor.questions[-1]
        port.protocol.datagramReceived(reply(question, *answers, code=code, **more).toStr(), port.server)

    def addresses(self, task: Deferred[Answer]) -> list[str]:
        answer = self.successResultOf(task)
        self.assert_nothing_left()
        return [record.dottedQuad() for record in answer.records]

    def refused(self, task: Deferred[Answer]) -> str:
        failure = self.failureResultOf(task, DnsError)
        self.assert_nothing_left()
        return str(failure.value)

    def assert_nothing_left(self) -> None:
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertFalse([port for port in self.reactor.ports if port.open])


class Asking(NameServersCase):
    def test_the_first_server_is_asked_and_answers(self) -> None:
        task = self.ask()
        self.assertEqual(self.reactor.asked(), [FIRST[0]])
        _, question = self.reactor.questions[0]
        self.assertEqual(question.queries, [dns.Query("a.example.org", dns.A, dns.IN)])
        self.assertTrue(question.recDes)
        self.answer(address("a.example.org", "192.0.2.1"), address("a.example.org", "192.0.2.2"))
        self.assertEqual(self.addresses(task), ["192.0.2.1", "192.0.2.2"])

    def test_who_is_silent_is_passed_over_and_asked_again_more_patiently(self) -> None:
        task = self.ask()
        for seconds, asked in ((1, SECOND), (1, FIRST), (3, SECOND), (3, FIRST)):
            self.reactor.advance(seconds - 0.01)
            self.assertNotEqual(self.reactor.asked()[-1], asked[0])
            self.reactor.advance(0.01)
            self.assertEqual(self.reactor.asked()[-1], asked[0])
        self.answer(address("a.example.org", "192.0.2.1"))
        self.assertEqual(self.addresses(task), ["192.0.2.1"])

    def test_all_of_it_has_a_time(self) -> None:
        task = self.ask(timeout=5.0)
        for _ in range(50):
            self.assertNoResult(task)
            self.reactor.advance(0.1)
        self.reactor.advance(0.1)
        self.assertEqual(
            self.refused(task),
            "name server 192.0.2.53 did not answer in 5 s; name server 2001:db8::53 did not answer in 5 s",
        )

    def test_both_complaints_are_told_where_one_fails_and_the_other_is_silent(self) -> None:
        task = self.ask(timeout=2.0)
        self.answer(code=dns.ESERVER)
        for _ in range(3):
            self.reactor.advance(1)
        self.assertEqual(
            self.refused(task),
            "name server 192.0.2.53 failed (SERVFAIL); name server 2001:db8::53 did not answer in 2 s",
        )

    def test_a_lost_question_is_asked_again(self) -> None:
        task = self.ask(FIRST)
        self.reactor.advance(1)
        self.assertEqual(len(self.reactor.questions), 2)
        self.answer(address("a.example.org", "192.0.2.1"))
        self.assertEqual(self.addresses(task), ["192.0.2.1"])

    def test_a_server_that_fails_is_not_asked_again(self) -> None:
        for code in (dns.ESERVER, dns.EREFUSED, dns.ENOTIMP, dns.EFORMAT, 9):
            task = self.ask()
            self.answer(code=code)
            self.assertEqual(self.reactor.asked()[-2:], [FIRST[0], SECOND[0]])
            self.reactor.advance(1)
            self.assertEqual(self.reactor.asked()[-1], SECOND[0])
            self.answer(address("a.example.org", "192.0.2.1"))
            self.assertEqual(self.addresses(task), ["192.0.2.1"])

    def test_when_all_fail_it_says_how(self) -> None:
        task = self.ask()
        self.answer(code=dns.ESERVER)
        self.answer(code=dns.EREFUSED)
        self.assertEqual(
            self.refused(task),
            "name server 192.0.2.53 failed (SERVFAIL); name server 2001:db8::53 refused to answer",
        )

    def test_a_port_nobody_listens_on_fails_at_once(self) -> None:
        task = self.ask(FIRST)
        port, _ = self.reactor.questions[0]
        port.protocol.connectionRefused()
        self.assertEqual(self.refused(task), "name server 192.0.2.53 cannot be asked: nobody listens there")

    def test_a_network_that_is_not_there_fails_at_once(self) -> None:
        self.reactor.unreachable = [FIRST, SECOND]
        self.assertIn("Network is unreachable", self.refused(self.ask()))

    def test_without_a_socket_there_is_no_answer(self) -> None:
        self.reactor.full = True
        self.assertIn("Too many open files", self.refused(self.ask()))

    def test_without_servers_there_is_no_answer(self) -> None:
        asker = NameServers(self.reactor, (), 10.0)
        self.assertIn("no name server", self.refused(ensureDeferred(asker.ask("a", dns.A))))

    def test_a_server_is_asked_from_its_own_family(self) -> None:
        self.ask(SECOND)
        self.assertEqual(self.reactor.ports[0].interface, "::")

    def test_cancelled_it_leaves_nothing(self) -> None:
        task = self.ask()
        self.reactor.advance(1)
        task.cancel()
        self.failureResultOf(task, CancelledError)
        self.assert_nothing_left()

    def test_a_name_that_cannot_be_is_not_asked_for(self) -> None:
        for name in ("", "a..b", "x" * 64, ".".join(["x" * 50] * 6), "b\u00fccher.example", "a."):
            self.assertIn("no such name", self.refused(self.ask(name=name)))
        self.assertEqual(self.reactor.questions, [])


class Forgery(NameServersCase):
    def test_another_number_is_no_answer(self) -> None:
        task = self.ask()
        port, question = self.reactor.questions[-1]
        forged = reply(question, address("a.example.org", "203.0.113.1"))
        forged.id ^= 1
        port.protocol.datagramReceived(forged.toStr(), port.server)
        self.assertNoResult(task)
        self.answer(address("a.example.org", "192.0.2.1"))
        self.assertEqual(self.addresses(task), ["192.0.2.1"])

    def test_the_answer_to_another_question_is_none(self) -> None:
        task = self.ask(FIRST)
        port, question = self.reactor.questions[-1]
        forged = reply(question, address("b.example.org", "203.0.113.1"))
        forged.queries = [dns.Query("b.example.org", dns.A, dns.IN)]
        port.protocol.datagramReceived(forged.toStr(), port.server)
        self.assertIn("another question", self.refused(task))

    def test_records_of_other_names_are_left_out(self) -> None:
        task = self.ask()
        self.answer(address("b.example.org", "203.0.113.1"), address("a.EXAMPLE.org", "192.0.2.1"))
        self.assertEqual(self.addresses(task), ["192.0.2.1"])

    def test_an_answer_after_the_end_is_nothing(self) -> None:
        task = self.ask(FIRST)
        port, question = self.reactor.questions[-1]
        self.answer(address("a.example.org", "192.0.2.1"))
        self.addresses(task)
        port.protocol.liveMessages = {}
        port.protocol.datagramReceived(reply(question).toStr(), port.server)

    @given(st.binary(max_size=60), st.integers(0, 3))
    def test_no_datagram_does_harm(self, noise: bytes, head: int) -> None:
        self.reactor = UdpReactor()
        task = self.ask(FIRST)
        port, question = self.reactor.questions[-1]
        whole = reply(question, address("a.example.org", "192.0.2.1"), alias("a.example.org", "b.example.org")).toStr()
        port.protocol.datagramReceived(whole[: head * 12] + noise, port.server)
        outcome: list[Any] = []
        task.addBoth(outcome.append)
        task.cancel()
        self.assertTrue(isinstance(outcome[0], Answer) or outcome[0].check(DnsError, CancelledError))
        self.assert_nothing_left()


class Meaning(NameServersCase):
    def answered(self, *answers: dns.RRHeader, code: int = dns.OK, soa: dns.RRHeader | None = None) -> Answer:
        task = self.ask(FIRST)
        port, question = self.reactor.questions[-1]
        message = reply(question, *answers, code=code)
        message.authority = [soa] if soa else []
        port.protocol.datagramReceived(message.toStr(), port.server)
        return self.successResultOf(task)

    def test_the_shortest_time_to_live_counts(self) -> None:
        answer = self.answered(address("a.example.org", "192.0.2.1", 90), address("a.example.org", "192.0.2.2", 30))
        self.assertEqual(answer.ttl, 30)

    def test_nothing_is_believed_for_too_long(self) -> None:
        self.assertEqual(self.answered(address("a.example.org", "192.0.2.1", 10**6)).ttl, MAX_TTL)
        self.assertEqual(self.answered(soa=authority(10**6, 10**6)).ttl, MAX_NEGATIVE_TTL)

    def test_aliases_are_followed_and_their_time_counts(self) -> None:
        answer = self.answered(
            address("c.example.org", "192.0.2.1", 90),
            alias("b.example.org", "c.example.org", 40),
            alias("a.example.org", "B.example.org", 50),
        )
        self.assertEqual(len(answer.records), 1)
        self.assertEqual(answer.ttl, 40)

    def test_aliases_that_go_round_end(self) -> None:
        self.assertEqual(
            self.answered(alias("a.example.org", "b.example.org"), alias("b.example.org", "a.example.org")).records, ()
        )

    def test_so_many_aliases_and_no_more(self) -> None:
        names = ["a.example.org", *(f"{number}.example.org" for number in range(MAX_ALIASES + 1))]
        links = [alias(name, canonical) for name, canonical in pairwise(names)]
        self.assertEqual(self.answered(*links, address(names[-1], "192.0.2.1")).records, ())
        self.assertEqual(len(self.answered(*links[:-1], address(names[-2], "192.0.2.1")).records), 1)

    def test_that_there_is_nothing_is_believed_as_long_as_the_zone_says(self) -> None:
        """RFC 2308 §5: the smaller of the two times of the SOA record."""
        for code in (dns.OK, dns.ENAME):
            self.assertEqual(self.answered(code=code, soa=authority(100, 50)), Answer((), 50))
            self.assertEqual(self.answered(code=code, soa=authority(50, 100)), Answer((), 50))

    def test_that_there_is_nothing_is_not_remembered_where_the_zone_does_not_say(self) -> None:
        """RFC 2308 §5: "Negative responses without SOA records SHOULD NOT be cached"."""
        self.assertEqual(self.answered(code=dns.ENAME), Answer((), 0))


class LongAnswers(NameServersCase):
    def truncated(self) -> tuple[Deferred[Answer], Any]:
        """A question whose answer is too long for a datagram, and the factory of the connection that comes then."""
        task = self.ask(FIRST)
        self.answer(trunc=True)
        host, port, factory, *_ = self.reactor.tcpClients[-1]
        self.assertEqual((host, port), FIRST)
        return task, factory

    def connected(self, factory: Any) -> tuple[Any, StringTransport]:
        transport = StringTransport()
        protocol = factory.buildProtocol(None)
        protocol.makeConnection(transport)
        return protocol, transport

    def test_a_long_answer_comes_by_tcp(self) -> None:
        task, factory = self.truncated()
        protocol, transport = self.connected(factory)
        question = dns.Message()
        question.fromStr(transport.value()[2:])
        records = [address("a.example.org", f"192.0.2.{number}") for number in range(200)]
        whole = reply(question, *records)
        whole.maxSize = 0
        data = whole.toStr()
        data = len(data).to_bytes(2, "big") + data
        for start in range(0, len(data), 100):
            protocol.dataReceived(data[start : start + 100])
        self.assertEqual(len(self.addresses(task)), 200)
        self.assertTrue(transport.disconnecting)

    def test_a_refused_connection_is_a_failing_server(self) -> None:
        task, factory = self.truncated()
        factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))
        self.assertIn("refused", self.refused(task))

    def test_a_lost_connection_is_a_failing_server(self) -> None:
        task, factory = self.truncated()
        protocol, _ = self.connected(factory)
        protocol.connectionLost(Failure(ConnectionRefusedError()))
        self.assertIn("refused", self.refused(task))

    def test_nonsense_is_a_failing_server(self) -> None:
        task, factory = self.truncated()
        protocol, transport = self.connected(factory)
        number = transport.value()[2:4]
        protocol.dataReceived(b"\x00\x10" + number + b"\x80\x00\xff\xff" + b"\xff" * 8)
        self.reactor.advance(20)
        self.refused(task)

    def test_silence_has_an_end(self) -> None:
        task, factory = self.truncated()
        self.connected(factory)
        for _ in range(30):
            self.reactor.advance(1)
        self.refused(task)

    def test_cancelled_it_leaves_nothing(self) -> None:
        task, factory = self.truncated()
        _, transport = self.connected(factory)
        task.cancel()
        self.failureResultOf(task, CancelledError)
        self.assertTrue(transport.disconnecting)
        self.assert_nothing_left()
