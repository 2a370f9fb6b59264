"""The DNS of a test: a zone `.test` that can be changed while others ask, and a subnet of the loopback of its own.

Every address of 127/8 is ours on Linux. A zone takes the first 127.77.N.53 whose port 53 is free, and with it
127.77.N.1 to 127.77.N.250 for servers: so test runs beside one another never meet, though all servers want port 5269.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from twisted.names import dns

from bench.answering import Answering

from .daemon import accepts

#: What N of 127.77.N.x may be.
SUBNETS: Final = range(100, 250)
DNS_PORT: Final = 53
_SERVER_PORT: Final = 5269
#: Seconds that an answer, and the absence of one, may be remembered.
TTL: Final = 1


@dataclass(frozen=True, slots=True)
class Service:
    """One SRV record (RFC 2782)."""

    target: str
    port: int
    priority: int = 0
    weight: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody asked: the type is one of "A", "AAAA", "SRV" or a number."""

    name: str
    type: str


class Zone:
    """Answers for `.test` on port 53 of its own address, until it is closed; everything else does not exist."""

    def __init__(self) -> None:
        claimed, self.subnet = _claim()
        #: Where to ask.
        self.address = f"{self.subnet}.53"
        self._addresses: dict[str, Sequence[str]] = {}
        self._services: dict[str, Sequence[Service]] = {}
        self._asked: list[Question] = []
        self._next = 1
        self._lock = threading.Lock()
        self._answering = Answering(claimed, self._answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Answer no longer, and give the subnet back."""
        self._answering.close()

    def new_address(self) -> str:
        """An address of the subnet that nobody in this test has."""
        number = self._next
        self._next += 2 if number == 52 else 1
        assert number <= 250, "the subnet is used up"
        return f"{self.subnet}.{number}"

    def point(self, host: str, *addresses: str) -> None:
        """Let *host* have these addresses from now on; without any it does not exist."""
        with self._lock:
            self._addresses[host] = addresses

    def serve(self, name: str, *services: Service) -> None:
        """Let *name* (``_xmpp-server._tcp.…``) have these SRV records from now on; without any it does not exist."""
        with self._lock:
            self._services[name] = services

    def asked(self) -> list[Question]:
        """What has been asked since the last call."""
        with self._lock:
            asked, self._asked = self._asked, []
            return asked

    def _answer(self, question: dns.Message) -> dns.Message:
        query = question.queries[0]
        name = query.name.name.decode().lower().rstrip(".")
        kind = dns.QUERY_TYPES.get(query.type, str(query.type))
        answer = dns.Message(id=question.id, answer=1, auth=True, recDes=question.recDes, recAv=1)
        answer.queries = [query]
        with self._lock:
            self._asked.append(Question(name, kind))
            records = self._records(name, query.type)
            exists = self._exists(name)
        answer.answers = [dns.RRHeader(name, query.type, query.cls, TTL, record, auth=True) for record in records]
        if not records:
            # RFC 2308 §3: how long the absence may be remembered stands in the SOA record.
            authority = dns.Record_SOA(f"ns.{_ZONE}", f"hostmaster.{_ZONE}", 1, 60, 60, 60, TTL)  # type: ignore[no-untyped-call]
            answer.authority = [dns.RRHeader(_ZONE, dns.SOA, dns.IN, TTL, authority, auth=True)]
        answer.rCode = dns.OK if exists else dns.ENAME
        return answer

    def _records(self, name: str, type_: int) -> list[dns.Record_A | dns.Record_AAAA | dns.Record_SRV]:
        addresses = self._addresses.get(name, ())
        if type_ == dns.A:
            return [dns.Record_A(each, TTL) for each in addresses if ":" not in each]  # type: ignore[no-untyped-call]
        if type_ == dns.AAAA:
            return [dns.Record_AAAA(each, TTL) for each in addresses if ":" in each]  # type: ignore[no-untyped-call]
        if type_ == dns.SRV:
            return [
                dns.Record_SRV(s.priority, s.weight, s.port, s.target, TTL)  # type: ignore[no-untyped-call]
                for s in self._services.get(name, ())
            ]
        return []

    def _exists(self, name: str) -> bool:
        # RFC 8020: a name that something stands below exists, and careful resolvers walk down name by name.
        names = [known for table in (self._addresses, self._services) for known, found in table.items() if found]
        return name == _ZONE or any(known == name or known.endswith(f".{name}") for known in names)


_ZONE: Final = "test"


def _claim() -> tuple[socket.socket, str]:
    for number in SUBNETS:
        subnet = f"127.77.{number}"
        claimed = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            claimed.bind((f"{subnet}.53", DNS_PORT))
        except OSError:
            claimed.close()
            continue
        if not accepts(f"{subnet}.1", _SERVER_PORT):
            return claimed, subnet
        claimed.close()  # somebody's servers have outlived their zone
    raise AssertionError("no 127.77.N.53 has a free port 53: this needs root, or others hold them all")
