"""What the DNS is asked, and what is known without it; once with a real name server on this machine."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, ensureDeferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock
from twisted.names import common, dns
from twisted.names.error import DNSNameError
from twisted.names.server import DNSServerFactory
from twisted.trial.unittest import SynchronousTestCase, TestCase

from federix.streams.name_servers import Answer
from federix.streams.resolver import (
    MAX_NAME_SERVERS,
    MAX_RECORDS,
    DnsError,
    DnsResolver,
    Family,
    Srv,
    read_hosts,
    read_name_servers,
)

BOTH: tuple[Family, Family] = ("ipv6", "ipv4")


class NoSockets(Clock):
    """A reactor with nothing but a clock: to ask anything at all is an error."""


class Unasked(SynchronousTestCase):
    def resolver(self, hosts: str = "") -> DnsResolver:
        return DnsResolver(NoSockets(), (("192.0.2.53", 53),), timeout=10, retries=2, hosts=read_hosts(hosts))

    def addresses(self, host: str, families: tuple[Family, ...] = BOTH, hosts: str = "") -> list[str]:
        return list(self.successResultOf(ensureDeferred(self.resolver(hosts).addresses(host, families))))

    def test_an_address_is_its_own_answer(self) -> None:
        self.assertEqual(self.addresses("192.0.2.1"), ["192.0.2.1"])
        self.assertEqual(self.addresses("2001:db8::1"), ["2001:db8::1"])
        self.assertEqual(self.addresses("[2001:db8::1]"), ["2001:db8::1"])

    def test_an_address_of_another_family_is_none(self) -> None:
        self.assertEqual(self.addresses("192.0.2.1", ("ipv6",)), [])
        self.assertEqual(self.addresses("2001:db8::1", ("ipv4",)), [])

    def test_localhost_is_this_machine(self) -> None:
        """RFC 6761 §6.3."""
        for name in ("localhost", "LOCALHOST.", "xmpp.localhost"):
            self.assertEqual(self.addresses(name), ["::1", "127.0.0.1"])
        self.assertEqual(self.addresses("localhost", ("ipv4",)), ["127.0.0.1"])

    def test_names_that_the_dns_cannot_have_are_not_asked_for(self) -> None:
        """RFC 6761 §6.4, RFC 7686 §2."""
        for name in ("a.invalid", "abc.onion", "onion"):
            self.assertEqual(self.addresses(name), [])

    def test_the_hosts_file_comes_first(self) -> None:
        hosts = "192.0.2.1 a.example.org\n192.0.2.2 localhost\n"
        self.assertEqual(self.addresses("A.example.org.", hosts=hosts), ["192.0.2.1"])
        self.assertEqual(self.addresses("a.example.org", ("ipv6",), hosts), [])
        self.assertEqual(self.addresses("localhost", hosts=hosts), ["192.0.2.2"])

    def test_they_have_no_srv_records(self) -> None:
        for name in ("localhost", "192.0.2.1", "_xmpp-server._tcp.localhost", "_xmpp-server._tcp.abc.onion"):
            self.assertEqual(self.successResultOf(ensureDeferred(self.resolver().srv(name))), ())

    def test_a_name_that_cannot_be_is_an_error(self) -> None:
        self.failureResultOf(ensureDeferred(self.resolver().addresses("a..b", BOTH)), DnsError)
        self.failureResultOf(ensureDeferred(self.resolver().srv("x" * 64)), DnsError)

    def test_time_is_a_timeout_for_each_attempt(self) -> None:
        for retries, seconds in ((0, 10), (1, 10), (2, 20)):
            resolver = DnsResolver(NoSockets(), (), timeout=10, retries=retries, hosts={})
            self.assertEqual(resolver._asker.timeout, seconds)


class Files(SynchronousTestCase):
    def test_the_name_servers(self) -> None:
        text = "# a comment\nsearch example.org\nnameserver 192.0.2.53\n  nameserver\t2001:db8::53 \nnameserver dns\n"
        self.assertEqual(read_name_servers(text), [("192.0.2.53", 53), ("2001:db8::53", 53)])

    def test_without_name_servers_it_is_this_machine(self) -> None:
        """resolv.conf(5)."""
        for text in ("", "nameserver\n", "options edns0\n"):
            self.assertEqual(read_name_servers(text), [("127.0.0.1", 53)])

    def test_so_many_name_servers_and_no_more(self) -> None:
        text = "".join(f"nameserver 192.0.2.{number}\n" for number in range(1, 10))
        self.assertEqual(len(read_name_servers(text)), MAX_NAME_SERVERS)

    def test_the_hosts(self) -> None:
        text = "127.0.0.1 localhost\n\n# no\n::1\tlocalhost ip6-localhost\n192.0.2.1 A.example.org a # b\nnonsense x\n"
        self.assertEqual(
            read_hosts(text),
            {
                "localhost": ["127.0.0.1", "::1"],
                "ip6-localhost": ["::1"],
                "a.example.org": ["192.0.2.1"],
                "a": ["192.0.2.1"],
            },
        )

    def test_the_files_of_this_machine_can_be_read(self) -> None:
        resolver = DnsResolver(NoSockets(), timeout=10, retries=2)
        self.assertTrue(resolver._asker.servers)

    @given(st.text())
    def test_any_text_can_be_read(self, text: str) -> None:
        for address, port in read_name_servers(text):
            self.assertTrue(address)
            self.assertEqual(port, 53)
        for addresses in read_hosts(text).values():
            self.assertTrue(addresses)


class Reading(SynchronousTestCase):
    """What comes of the records of an answer."""

    def srv(self, *records: dns.Record_SRV) -> list[Srv]:
        async def ask(name: str, kind: int) -> Answer:
            return Answer(records, 60)

        resolver = DnsResolver(NoSockets(), (), timeout=10, retries=2, hosts={})
        resolver._asker.ask = ask  # type: ignore[method-assign]
        return list(self.successResultOf(ensureDeferred(resolver.srv("_xmpp-server._tcp.example.org"))))

    def test_a_record_is_read(self) -> None:
        self.assertEqual(self.srv(dns.Record_SRV(1, 2, 3, "A.example.org")), [Srv(1, 2, 3, "a.example.org")])

    def test_the_root_is_a_dot(self) -> None:
        self.assertEqual(self.srv(dns.Record_SRV(0, 0, 0, "")), [Srv(0, 0, 0, ".")])

    def test_a_target_that_is_no_name_is_left_out(self) -> None:
        found = self.srv(dns.Record_SRV(0, 0, 1, b"\xc3\xbc.org"), dns.Record_SRV(0, 0, 1, "a"))
        self.assertEqual(found, [Srv(0, 0, 1, "a")])

    def test_so_many_records_and_no_more_and_those_that_come_first(self) -> None:
        records = [dns.Record_SRV(100 - number, 0, 1, str(number)) for number in range(100)]
        found = self.srv(*records)
        self.assertEqual([record.priority for record in found], list(range(1, MAX_RECORDS + 1)))


class Zone(common.ResolverBase):
    """What the name server knows, by name and kind of record; it counts what it is asked."""

    def __init__(self, records: dict[tuple[str, int], list[Any]]) -> None:
        super().__init__()
        self._records = records
        self.asked: list[tuple[str, int]] = []

    def _lookup(self, name: bytes, cls: int, kind: int, timeout: object) -> Deferred[Any]:
        self.asked.append((name.decode(), kind))
        if not any(name.decode() == known for known, _ in self._records):
            return fail(DNSNameError(dns.Message(rCode=dns.ENAME)))
        soa = dns.RRHeader("test", dns.SOA, payload=dns.Record_SOA("ns.test", "mail.test", minimum=60), ttl=60)
        payloads = self._records.get((name.decode(), kind), [])
        answers = [dns.RRHeader(name, payload.TYPE, payload=payload, ttl=60) for payload in payloads]
        return succeed((answers, [] if answers else [soa], []))


class Datagrams(dns.DNSDatagramProtocol):
    """As servers do: a datagram has no more than 512 bytes (RFC 1035 §2.3.4). Twisted's sends whatever it has."""

    noisy = False

    def writeMessage(self, message: dns.Message, address: tuple[str, int]) -> None:
        message.maxSize = 512
        super().writeMessage(message, address)


class RealServer(TestCase):
    """The reactor's own sockets, and a name server of Twisted's on the loopback device."""

    def setUp(self) -> None:
        reactor: Any = global_reactor
        self.zone = Zone(
            {
                ("_xmpp-server._tcp.a.test", dns.SRV): [dns.Record_SRV(5, 6, 5269, "xmpp.a.test", ttl=60)],
                ("_xmpp-server._tcp.many.test", dns.SRV): [
                    dns.Record_SRV(1, 0, 5269, f"a-rather-long-name-{number}.many.test") for number in range(60)
                ],
                ("xmpp.a.test", dns.A): [dns.Record_A("127.0.0.1"), dns.Record_A("127.0.0.2")],
                ("xmpp.a.test", dns.AAAA): [dns.Record_AAAA("::1")],
            }
        )
        self.server = DNSServerFactory(clients=[self.zone])
        self.server.noisy = False
        self.server.canRecurse = True
        self.resolver = DnsResolver(reactor, (("127.0.0.1", self.listen()),), timeout=5, retries=2, hosts={})

    def listen(self) -> int:
        """A port that is free for both, in a few attempts."""
        reactor: Any = global_reactor
        for _ in range(20):
            tcp = reactor.listenTCP(0, self.server, interface="127.0.0.1")
            self.addCleanup(tcp.stopListening)
            try:
                udp = reactor.listenUDP(tcp.getHost().port, Datagrams(self.server), interface="127.0.0.1")
            except CannotListenError:
                continue
            self.addCleanup(udp.stopListening)
            return int(tcp.getHost().port)
        raise AssertionError("no port is free")

    async def test_records_and_addresses_are_found_and_remembered(self) -> None:
        for _ in range(3):
            self.assertEqual(
                list(await self.resolver.srv("_xmpp-server._tcp.a.test")), [Srv(5, 6, 5269, "xmpp.a.test")]
            )
            self.assertEqual(
                list(await self.resolver.addresses("xmpp.a.test", BOTH)), ["::1", "127.0.0.1", "127.0.0.2"]
            )
        self.assertEqual(
            self.zone.asked,
            [("_xmpp-server._tcp.a.test", dns.SRV), ("xmpp.a.test", dns.AAAA), ("xmpp.a.test", dns.A)],
        )

    async def test_what_is_not_there_is_empty(self) -> None:
        self.assertEqual(list(await self.resolver.srv("_xmpp-server._tcp.b.test")), [])
        self.assertEqual(list(await self.resolver.addresses("_xmpp-server._tcp.a.test", BOTH)), [])
        asked = len(self.zone.asked)
        await self.resolver.addresses("_xmpp-server._tcp.a.test", BOTH)
        self.assertEqual(len(self.zone.asked), asked)  # its zone said for how long

    async def test_all_that_is_known_can_be_forgotten(self) -> None:
        await self.resolver.srv("_xmpp-server._tcp.a.test")
        self.resolver.forget()
        await self.resolver.srv("_xmpp-server._tcp.a.test")
        self.assertEqual(len(self.zone.asked), 2)

    async def test_an_answer_too_long_for_a_datagram_comes_whole(self) -> None:
        self.assertEqual(len(await self.resolver.srv("_xmpp-server._tcp.many.test")), MAX_RECORDS)
        self.assertEqual(len(self.zone.asked), 2)

    async def test_nobody_there_is_known_at_once(self) -> None:
        reactor: Any = global_reactor
        port = reactor.listenUDP(0, Datagrams(None), interface="127.0.0.1")
        number = port.getHost().port
        await port.stopListening()
        resolver = DnsResolver(reactor, (("127.0.0.1", number),), timeout=60, retries=2, hosts={})
        with self.assertRaises(DnsError) as caught:
            await resolver.srv("_xmpp-server._tcp.a.test")
        self.assertIn("nobody listens there", str(caught.exception))
