"""The names of servers that federate."""

from __future__ import annotations

from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase

from bench.zone import Zone

NAMES = {"one.make.servers.test": "127.78.1.1", "*.make.peers.test": "127.78.1.2"}


def ask(name: str, kind: int) -> dns.Message:
    """The answer, by way of the bytes that leave."""
    question = dns.Message(id=7, recDes=1)
    question.addQuery(name.encode(), kind)
    answer = dns.Message()
    answer.fromStr(Zone(NAMES).answer(question).toStr())
    return answer


class ZoneTests(SynchronousTestCase):
    def test_a_name_has_its_address(self) -> None:
        (record,) = ask("One.make.servers.test", dns.A).answers
        self.assertEqual(record.payload.dottedQuad(), "127.78.1.1")

    def test_a_star_stands_for_every_first_label(self) -> None:
        for name in ("p0.make.peers.test", "p999.make.peers.test"):
            (record,) = ask(name, dns.A).answers
            self.assertEqual(record.payload.dottedQuad(), "127.78.1.2")
        self.assertEqual(ask("a.b.make.peers.test", dns.A).rCode, dns.ENAME)

    def test_the_service_of_a_domain_is_at_the_domain(self) -> None:
        (record,) = ask("_xmpp-server._tcp.p3.make.peers.test", dns.SRV).answers
        self.assertEqual((record.payload.target.name, record.payload.port), (b"p3.make.peers.test", 5269))

    def test_a_name_without_such_a_record_exists_and_others_do_not(self) -> None:
        there = ask("one.make.servers.test", dns.AAAA)
        self.assertEqual((there.rCode, there.answers), (dns.OK, []))
        for name in ("servers.test", "_tcp.one.make.servers.test"):
            self.assertEqual(ask(name, dns.A).rCode, dns.OK, name)
        for name in ("two.make.servers.test", "_xmpps-server._tcp.one.make.servers.test", "example.org"):
            self.assertEqual(ask(name, dns.SRV).rCode, dns.ENAME, name)
