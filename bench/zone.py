"""The DNS that servers which federate are told to ask: names of our own, and nothing else.

It answers on port 53 of an address of the loopback, since not every server can be told another port: that needs root.
Every address of 127/8 is ours on Linux; a `Zone` takes a subnet of it that nobody has.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Final, Self

from twisted.names import dns

from .answering import Answering
from .place import S2S_PORT
from .process import ServerFailed

PORT: Final = 53
#: What N of 127.78.N.x may be.
SUBNETS: Final = range(1, 250)
#: Seconds for which an answer holds: longer than any scenario takes.
TTL: Final = 7200
TOP: Final = "test"
_SERVICE: Final = "_xmpp-server._tcp."


class Zone:
    """Names and their addresses; ``*.peers.test`` stands for all names with one label before it."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = dict(names)

    def answer(self, question: dns.Message) -> dns.Message:
        """The address of a name, and its SRV record, which says no more than the name and the usual port."""
        query = question.queries[0]
        name = query.name.name.decode().lower().rstrip(".")
        answer = dns.Message(id=question.id, answer=1, auth=True, recDes=question.recDes, recAv=1)
        answer.queries = [query]
        record = self._record(name, query.type)
        if record is not None:
            answer.answers = [dns.RRHeader(query.name.name, query.type, query.cls, TTL, record, auth=True)]
        else:
            # RFC 2308 §3: how long the absence may be remembered stands in the SOA record.
            authority = dns.Record_SOA(f"ns.{TOP}", f"hostmaster.{TOP}", 1, 60, 60, 60, TTL)  # type: ignore[no-untyped-call]
            answer.authority = [dns.RRHeader(TOP, dns.SOA, dns.IN, TTL, authority, auth=True)]
        answer.rCode = dns.OK if self._exists(name) else dns.ENAME
        return answer

    def _record(self, name: str, kind: int) -> dns.Record_A | dns.Record_SRV | None:
        address = self._address(name)
        if kind == dns.A and address is not None:
            return dns.Record_A(address, TTL)  # type: ignore[no-untyped-call]
        target = name.removeprefix(_SERVICE)
        if kind == dns.SRV and target != name and self._address(target) is not None:
            return dns.Record_SRV(0, 0, S2S_PORT, target, TTL)  # type: ignore[no-untyped-call]
        return None

    def _address(self, name: str) -> str | None:
        return self.names.get(name) or self.names.get(f"*.{name.partition('.')[2]}")

    def _exists(self, name: str) -> bool:
        # RFC 8020: a name that something stands below exists.
        name = name.removeprefix("_xmpp-server.").removeprefix("_tcp.")
        return self._address(name) is not None or any(known.endswith(f".{name}") for known in self.names)


class NameServer:
    """Answers for a zone in a thread of its own, until it is closed."""

    def __init__(self) -> None:
        """Raises `ServerFailed` where it cannot."""
        claimed, self.subnet = _claim()
        self.address = f"{self.subnet}.{PORT}"
        self.zone = Zone({})
        self._answering = Answering(claimed, self.zone.answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._answering.close()


def _claim() -> tuple[socket.socket, str]:
    problem = "all are taken"
    for number in SUBNETS:
        subnet = f"127.78.{number}"
        claimed = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            claimed.bind((f"{subnet}.{PORT}", PORT))
        except OSError as error:
            claimed.close()
            problem = str(error)
        else:
            return claimed, subnet
    raise ServerFailed(f"no 127.78.N.{PORT} for a name server: {problem}")
