"""Where a domain's server is, and how a connection to it comes about, on a clock of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from federix.streams.dial import MAX_TARGETS, DialError, Target, connect, targets
from federix.streams.race import ATTEMPT_DELAY, MAX_ADDRESSES, RESOLUTION_DELAY
from federix.streams.resolver import DnsError, Family, Srv
from federix.xmpp.errors import Condition

FOUR = ("192.0.2.1", "192.0.2.2", "192.0.2.3")
SIX = ("2001:db8::1", "2001:db8::2")
TARGET = Target("xmpp.example.org", 5269, False, "a test")


class Book:
    """A resolver that answers from a book. What is a `Deferred` in it is waited for, what is an error is raised."""

    def __init__(self, srv: Mapping[str, Any] | None = None, addresses: Mapping[Family, Any] | None = None) -> None:
        self._srv = srv or {}
        self._addresses = addresses or {}
        self.asked: list[str] = []

    async def srv(self, name: str) -> Sequence[Srv]:
        self.asked.append(name)
        return await self._answer(self._srv.get(name, ()))

    async def addresses(self, host: str, families: Sequence[Family]) -> Sequence[str]:
        self.asked.append(f"{host} {families[0]}")
        return await self._answer(self._addresses.get(families[0], ()))

    async def _answer(self, answer: Any) -> Any:
        if isinstance(answer, Deferred):
            answer = await answer
        if isinstance(answer, Exception):
            raise answer
        return answer


class Targets(SynchronousTestCase):
    def setUp(self) -> None:
        self.steps: list[str] = []

    def find(self, book: Book, domain: str = "example.org") -> list[Target]:
        task = targets(book, domain, port=5269, random=Random(1).randbytes, step=self.steps.append)
        found = self.successResultOf(ensureDeferred(task))
        return list(found)

    def refused(self, book: Book) -> DialError:
        task = targets(book, "example.org", port=5269, random=Random(1).randbytes, step=self.steps.append)
        failure = self.failureResultOf(ensureDeferred(task), DialError)
        assert isinstance(failure.value, DialError)
        return failure.value

    def test_both_kinds_of_records_are_tried_in_the_order_of_their_priority(self) -> None:
        book = Book(
            {
                "_xmpp-server._tcp.example.org": [Srv(10, 0, 5269, "b.example.org"), Srv(30, 0, 5269, "d.example.org")],
                "_xmpps-server._tcp.example.org": [Srv(20, 0, 443, "c.example.org"), Srv(5, 0, 5270, "a.example.org.")],
            }
        )
        found = self.find(book)
        self.assertEqual(
            [(target.host, target.port, target.direct_tls) for target in found],
            [
                ("a.example.org", 5270, True),
                ("b.example.org", 5269, False),
                ("c.example.org", 443, True),
                ("d.example.org", 5269, False),
            ],
        )
        self.assertEqual(found[0].source, "the SRV record _xmpps-server._tcp")
        self.assertIn("_xmpp-server._tcp.example.org is b.example.org port 5269, priority 10, weight 0", self.steps)

    def test_without_records_the_domain_itself_is_the_host(self) -> None:
        (target,) = self.find(Book())
        self.assertEqual((target.host, target.port, target.direct_tls), ("example.org", 5269, False))
        self.assertIn("_xmpps-server._tcp.example.org does not exist", self.steps)

    def test_the_dns_is_asked_for_a_labels(self) -> None:
        book = Book()
        (target,) = self.find(book, "b\u00fccher.example")
        self.assertEqual(target.host, "xn--bcher-kva.example")
        self.assertEqual(
            book.asked, ["_xmpps-server._tcp.xn--bcher-kva.example", "_xmpp-server._tcp.xn--bcher-kva.example"]
        )

    def test_an_address_has_no_records(self) -> None:
        book = Book()
        self.assertEqual([target.host for target in self.find(book, "192.0.2.7")], ["192.0.2.7"])
        self.assertEqual([target.host for target in self.find(book, "[2001:db8::7]")], ["2001:db8::7"])
        self.assertEqual(book.asked, [])

    def test_the_root_says_that_there_is_no_server(self) -> None:
        root = [Srv(0, 0, 0, ".")]
        for records in (
            {"_xmpp-server._tcp.example.org": root},
            {"_xmpps-server._tcp.example.org": root},
            {"_xmpp-server._tcp.example.org": root, "_xmpps-server._tcp.example.org": root},
        ):
            error = self.refused(Book(records))
            self.assertEqual(error.condition, Condition.REMOTE_SERVER_NOT_FOUND)
            self.assertEqual(error.text, "example.org says in the DNS that it has no server")

    def test_the_root_of_one_kind_leaves_the_other(self) -> None:
        for kind, other, direct_tls in (
            ("_xmpps-server._tcp", "_xmpp-server._tcp", False),
            ("_xmpp-server._tcp", "_xmpps-server._tcp", True),
        ):
            book = Book({f"{kind}.example.org": [Srv(0, 0, 0, ".")], f"{other}.example.org": [Srv(0, 0, 1, "a")]})
            self.assertEqual([target.direct_tls for target in self.find(book)], [direct_tls])

    def test_one_kind_is_enough_where_the_other_cannot_be_looked_up(self) -> None:
        book = Book(
            {
                "_xmpps-server._tcp.example.org": DnsError("SERVFAIL"),
                "_xmpp-server._tcp.example.org": [Srv(0, 0, 5269, "a")],
            }
        )
        self.assertEqual([target.host for target in self.find(book)], ["a"])
        self.assertIn("_xmpps-server._tcp.example.org could not be looked up: SERVFAIL", self.steps)

    def test_where_the_dns_does_not_answer_the_domain_itself_is_tried(self) -> None:
        """RFC 6120 §3.2.1, 9."""
        silent = DnsError("no answer")
        book = Book({"_xmpps-server._tcp.example.org": silent, "_xmpp-server._tcp.example.org": silent})
        self.assertEqual([target.host for target in self.find(book)], ["example.org"])

    def test_the_root_is_believed_where_the_other_kind_cannot_be_looked_up(self) -> None:
        """XEP-0368 §5: no fallback then."""
        book = Book(
            {
                "_xmpps-server._tcp.example.org": [Srv(0, 0, 0, ".")],
                "_xmpp-server._tcp.example.org": DnsError("no answer"),
            }
        )
        self.refused(book)

    def test_so_many_targets_and_no_more(self) -> None:
        records = [Srv(0, 1, 5269, f"{number}.example.org") for number in range(50)]
        self.assertEqual(len(self.find(Book({"_xmpp-server._tcp.example.org": records}))), MAX_TARGETS)

    def test_both_are_asked_at_once_and_cancelled_together(self) -> None:
        cancelled: list[str] = []
        book = Book(
            {
                f"{kind}.example.org": Deferred(lambda _, kind=kind: cancelled.append(kind))
                for kind in ("_xmpp-server._tcp", "_xmpps-server._tcp")
            }
        )
        task = ensureDeferred(targets(book, "example.org", port=5269, random=Random(1).randbytes, step=str))
        self.assertEqual(len(book.asked), 2)
        self.assertNoResult(task)
        task.cancel()
        self.failureResultOf(task, CancelledError)
        self.assertEqual(sorted(cancelled), ["_xmpp-server._tcp", "_xmpps-server._tcp"])


class Connecting(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.steps: list[str] = []

    def dial(self, book: Book, target: Target = TARGET, **changes: Any) -> Deferred[Any]:
        options: dict[str, Any] = {
            "families": ("ipv6", "ipv4"),
            "timeout": 10.0,
            "bind_ipv4": None,
            "bind_ipv6": None,
            "step": self.steps.append,
            **changes,
        }
        factory = Factory.forProtocol(Protocol)
        return ensureDeferred(connect(self.reactor, self.reactor, book, target, factory, **options))

    def tried(self) -> list[str]:
        return [client[0] for client in self.reactor.tcpClients]

    def stopped(self) -> list[bool]:
        return [connector.stoppedConnecting for connector in self.reactor.connectors]

    def accept(self, number: int) -> StringTransport:
        factory = self.reactor.tcpClients[number][2]
        transport = StringTransport()
        factory.buildProtocol(IPv4Address("TCP", "192.0.2.99", 5269)).makeConnection(transport)
        return transport

    def refuse(self, number: int) -> None:
        factory = self.reactor.tcpClients[number][2]
        factory.clientConnectionFailed(self.reactor.connectors[number], Failure(ConnectionRefusedError()))

    def assert_nothing_left(self) -> None:
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def failed(self, task: Deferred[Any]) -> DialError:
        failure = self.failureResultOf(task, DialError)
        assert isinstance(failure.value, DialError)
        self.assert_nothing_left()
        return failure.value

    def test_the_first_to_answer_wins_and_nothing_is_left(self) -> None:
        task = self.dial(Book(addresses={"ipv4": FOUR, "ipv6": SIX}))
        self.reactor.advance(ATTEMPT_DELAY)
        self.assertEqual(self.tried(), ["2001:db8::1", "192.0.2.1"])
        transport = self.accept(1)
        protocol = self.successResultOf(task)
        self.assertIsInstance(protocol, Protocol)
        self.assertIs(protocol.transport, transport)
        self.assertEqual(self.stopped(), [True, False])
        self.assert_nothing_left()
        self.assertEqual(self.steps[-1], "connected to 192.0.2.1 port 5269")

    def test_families_take_turns(self) -> None:
        """RFC 8305 §4."""
        self.dial(Book(addresses={"ipv4": FOUR, "ipv6": SIX})).addErrback(lambda _: None)
        for _ in range(10):
            self.reactor.advance(ATTEMPT_DELAY)
        self.assertEqual(self.tried(), ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "192.0.2.3"])

    def test_the_first_family_is_the_preferred_one(self) -> None:
        self.dial(Book(addresses={"ipv4": FOUR, "ipv6": SIX}), families=("ipv4", "ipv6"))
        self.reactor.advance(ATTEMPT_DELAY)
        self.assertEqual(self.tried(), ["192.0.2.1", "2001:db8::1"])

    def test_a_family_that_is_not_named_is_not_asked_for(self) -> None:
        book = Book(addresses={"ipv4": FOUR, "ipv6": SIX})
        self.dial(book, families=("ipv4",))
        self.assertEqual(book.asked, ["xmpp.example.org ipv4"])

    def test_the_next_address_is_not_tried_too_early(self) -> None:
        """RFC 8305 §5."""
        self.dial(Book(addresses={"ipv4": FOUR}))
        self.reactor.advance(ATTEMPT_DELAY - 0.01)
        self.assertEqual(self.tried(), ["192.0.2.1"])
        self.reactor.advance(0.02)
        self.assertEqual(self.tried(), ["192.0.2.1", "192.0.2.2"])

    def test_the_next_address_is_tried_at_once_when_one_is_refused(self) -> None:
        task = self.dial(Book(addresses={"ipv4": FOUR}))
        self.refuse(0)
        self.assertEqual(self.tried(), ["192.0.2.1", "192.0.2.2"])
        self.reactor.advance(ATTEMPT_DELAY)
        self.assertEqual(self.tried(), ["192.0.2.1", "192.0.2.2", "192.0.2.3"])
        self.accept(1)
        self.successResultOf(task)

    def test_a_slow_address_may_still_win(self) -> None:
        task = self.dial(Book(addresses={"ipv4": FOUR}))
        self.reactor.advance(1)
        self.reactor.advance(1)
        self.refuse(1)
        self.accept(0)
        self.successResultOf(task)
        self.assert_nothing_left()

    def test_when_all_refuse_the_error_names_each(self) -> None:
        task = self.dial(Book(addresses={"ipv4": FOUR[:2]}))
        self.refuse(0)
        self.assertNoResult(task)
        self.refuse(1)
        error = self.failed(task)
        self.assertEqual(error.condition, Condition.REMOTE_SERVER_TIMEOUT)
        self.assertEqual(
            error.text,
            "192.0.2.1 port 5269: Connection was refused by other side; "
            "192.0.2.2 port 5269: Connection was refused by other side",
        )

    def test_the_preferred_family_is_waited_for_a_little(self) -> None:
        """RFC 8305 §3."""
        six: Deferred[Any] = Deferred()
        self.dial(Book(addresses={"ipv4": FOUR, "ipv6": six}))
        self.reactor.advance(RESOLUTION_DELAY / 2)
        self.assertEqual(self.tried(), [])
        six.callback(SIX)
        self.assertEqual(self.tried(), ["2001:db8::1"])
        self.reactor.advance(ATTEMPT_DELAY)
        self.assertEqual(self.tried(), ["2001:db8::1", "192.0.2.1"])

    def test_the_preferred_family_is_not_waited_for_longer_and_may_come_later(self) -> None:
        six: Deferred[Any] = Deferred()
        task = self.dial(Book(addresses={"ipv4": FOUR, "ipv6": six}))
        self.reactor.advance(RESOLUTION_DELAY)
        self.assertEqual(self.tried(), ["192.0.2.1"])
        six.callback(SIX)
        self.reactor.advance(ATTEMPT_DELAY)
        self.assertEqual(self.tried(), ["192.0.2.1", "2001:db8::1"])
        self.accept(1)
        self.successResultOf(task)
        self.assert_nothing_left()

    def test_the_other_family_is_not_waited_for_at_all(self) -> None:
        four: Deferred[Any] = Deferred()
        task = self.dial(Book(addresses={"ipv4": four, "ipv6": SIX}))
        self.assertEqual(self.tried(), ["2001:db8::1"])
        self.accept(0)
        self.successResultOf(task)
        self.assert_nothing_left()

    def test_a_family_without_addresses_is_not_waited_for(self) -> None:
        self.dial(Book(addresses={"ipv4": FOUR, "ipv6": ()}))
        self.assertEqual(self.tried(), ["192.0.2.1"])

    def test_a_late_family_is_waited_for_when_all_others_refused(self) -> None:
        six: Deferred[Any] = Deferred()
        task = self.dial(Book(addresses={"ipv4": FOUR[:1], "ipv6": six}))
        self.reactor.advance(RESOLUTION_DELAY)
        self.refuse(0)
        self.assertNoResult(task)
        six.callback(SIX)
        self.accept(1)
        self.successResultOf(task)

    def test_one_family_is_enough_where_the_other_cannot_be_looked_up(self) -> None:
        task = self.dial(Book(addresses={"ipv4": FOUR, "ipv6": DnsError("SERVFAIL")}))
        self.assertEqual(self.tried(), ["192.0.2.1"])
        self.accept(0)
        self.successResultOf(task)

    def test_no_address_means_there_is_no_server(self) -> None:
        error = self.failed(self.dial(Book()))
        self.assertEqual(error.condition, Condition.REMOTE_SERVER_NOT_FOUND)
        self.assertEqual(error.text, "xmpp.example.org has no address (ipv6 or ipv4)")

    def test_a_host_that_cannot_be_looked_up_is_not_found(self) -> None:
        """RFC 6120 §10.4.3."""
        book = Book(addresses={"ipv4": DnsError("SERVFAIL"), "ipv6": DnsError("no answer")})
        error = self.failed(self.dial(book))
        self.assertEqual(error.condition, Condition.REMOTE_SERVER_NOT_FOUND)
        self.assertIn("SERVFAIL", error.text)
        self.assertIn("no answer", error.text)

    def test_the_time_for_all_of_it_is_bounded(self) -> None:
        task = self.dial(Book(addresses={"ipv4": FOUR, "ipv6": Deferred()}), timeout=3)
        for _ in range(29):
            self.reactor.advance(0.1)
        self.assertNoResult(task)
        self.reactor.advance(0.2)
        error = self.failed(task)
        self.assertEqual(error.condition, Condition.REMOTE_SERVER_TIMEOUT)
        self.assertIn("no connection in 3 s", error.text)
        self.assertEqual(self.stopped(), [True, True, True])

    def test_an_attempt_has_the_time_that_is_left(self) -> None:
        self.dial(Book(addresses={"ipv4": FOUR}), timeout=3)
        self.reactor.advance(ATTEMPT_DELAY)
        self.assertEqual([client[3] for client in self.reactor.tcpClients], [3, 3 - ATTEMPT_DELAY])

    def test_time_that_ends_in_the_look_up_means_not_found(self) -> None:
        cancelled: list[object] = []
        task = self.dial(Book(addresses={"ipv4": Deferred(cancelled.append), "ipv6": Deferred(cancelled.append)}))
        self.reactor.advance(10)
        self.assertEqual(self.failed(task).condition, Condition.REMOTE_SERVER_NOT_FOUND)
        self.assertEqual(len(cancelled), 2)

    def test_cancelled_it_leaves_nothing(self) -> None:
        cancelled: list[object] = []
        task = self.dial(Book(addresses={"ipv4": FOUR, "ipv6": Deferred(cancelled.append)}))
        self.reactor.advance(RESOLUTION_DELAY)
        self.reactor.advance(ATTEMPT_DELAY)
        task.cancel()
        self.failureResultOf(task, CancelledError)
        self.assertEqual(self.stopped(), [True, True])
        self.assertEqual(len(cancelled), 1)
        self.assert_nothing_left()

    def test_cancelled_before_anything_began_it_leaves_nothing(self) -> None:
        task = self.dial(Book(addresses={"ipv4": FOUR, "ipv6": Deferred()}))
        task.cancel()
        self.failureResultOf(task, CancelledError)
        self.reactor.advance(60)
        self.assertEqual(self.tried(), [])
        self.assert_nothing_left()

    def test_so_many_addresses_and_no_more(self) -> None:
        many = [f"192.0.2.{number}" for number in range(1, 100)]
        task = self.dial(Book(addresses={"ipv4": many, "ipv6": SIX}), timeout=100)
        for _ in range(50):
            self.reactor.advance(ATTEMPT_DELAY)
        self.assertEqual(len(self.tried()), MAX_ADDRESSES)
        for number in range(MAX_ADDRESSES):
            self.refuse(number)
        self.failed(task)

    def test_each_family_has_its_own_address_to_connect_from(self) -> None:
        self.dial(
            Book(addresses={"ipv4": FOUR[:1], "ipv6": SIX[:1]}), bind_ipv4="198.51.100.1", bind_ipv6="2001:db8::ffff"
        )
        self.reactor.advance(ATTEMPT_DELAY)
        self.assertEqual(
            [(client[0], client[4]) for client in self.reactor.tcpClients],
            [("2001:db8::1", ("2001:db8::ffff", 0)), ("192.0.2.1", ("198.51.100.1", 0))],
        )

    def test_without_one_the_system_chooses(self) -> None:
        self.dial(Book(addresses={"ipv4": FOUR[:1]}))
        self.assertIsNone(self.reactor.tcpClients[0][4])

    def test_the_port_is_the_targets(self) -> None:
        self.dial(Book(addresses={"ipv4": FOUR[:1]}), Target("xmpp.example.org", 443, True, "a test"))
        self.assertEqual(self.reactor.tcpClients[0][:2], ("192.0.2.1", 443))

    def test_a_fault_of_the_resolver_is_not_taken_for_an_answer(self) -> None:
        task = self.dial(Book(addresses={"ipv4": FOUR, "ipv6": ZeroDivisionError()}))
        self.failureResultOf(task, ZeroDivisionError)
        self.assert_nothing_left()


class Sockets(TestCase):
    """The same over the loopback device, with the reactor's own connections."""

    async def test_a_port_where_nobody_listens_is_passed_over(self) -> None:
        reactor: Any = global_reactor
        lost: Deferred[None] = Deferred()

        class Arrived(Protocol):
            def connectionLost(self, reason: object = None) -> None:
                lost.callback(None)

        listening = Factory.forProtocol(Arrived)
        listening.noisy = False
        port = reactor.listenTCP(0, listening, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        steps: list[str] = []
        target = Target("xmpp.example.org", port.getHost().port, False, "a test")
        protocol: Any = await connect(
            reactor,
            reactor,
            Book(addresses={"ipv4": ("127.0.0.2", "127.0.0.1")}),
            target,
            Factory.forProtocol(Protocol),
            families=("ipv4",),
            timeout=10,
            bind_ipv4="127.0.0.3",
            bind_ipv6=None,
            step=steps.append,
        )
        self.assertEqual(protocol.transport.getPeer().host, "127.0.0.1")
        self.assertEqual(protocol.transport.getHost().host, "127.0.0.3")
        self.assertIn("refused", " ".join(steps))
        protocol.transport.loseConnection()
        await lost
