"""Asking name servers: one question, sent until one of them answers it.

Twisted has the messages and their way over UDP and TCP (`twisted.names.dns`). Its own client neither turns to the next
server when one is out of order, nor can it be cancelled, nor does it know what a network tells about a closed port.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import CannotListenError, ConnectError, ConnectionClosed
from twisted.internet.protocol import Factory, connectionDone
from twisted.names import dns
from twisted.python.failure import Failure

__all__ = ["Answer", "DnsError", "NameServers"]

PATIENCE: Final = (1.0, 3.0)
"""Seconds to wait for a server in the first rounds through all of them; in each later one as long as in the last."""

MAX_TTL: Final = 3600
"""Seconds for which records are believed, whatever their own time to live: a domain may move."""

MAX_NEGATIVE_TTL: Final = 300
"""Seconds for which it is believed that there are none."""

MAX_ALIASES: Final = 8
"""CNAME records followed from the name that was asked for."""

#: Answers that say something about the name; all others say something about the server.
_CODES: Final = {
    dns.EFORMAT: "did not understand the question",
    dns.ESERVER: "failed (SERVFAIL)",
    dns.ENOTIMP: "does not answer such questions",
    dns.EREFUSED: "refused to answer",
}


class DnsError(Exception):
    """The DNS gave no answer, or one that cannot be used; the text says so to an operator."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The *records* there are, empty where there are none, and for how many seconds this may be remembered."""

    records: tuple[Any, ...]
    ttl: int


class NameServers:
    """Asks *servers* (IP addresses and ports), the first one first, for *timeout* seconds.

    *reactor* has UDP, TCP and a clock.
    """

    def __init__(self, reactor: Any, servers: Sequence[tuple[str, int]], timeout: float) -> None:
        self._reactor = reactor
        self.servers = tuple(servers)
        self.timeout = timeout

    async def ask(self, name: str, kind: int) -> Answer:
        """The records of *kind* (a number of `twisted.names.dns`) that *name* has; raises `DnsError`."""
        query = dns.Query(_encoded(name), kind, dns.IN)
        deadline = self._reactor.seconds() + self.timeout
        working = list(self.servers)
        complaints: list[str] = []
        for patience in chain(PATIENCE, repeat(PATIENCE[-1])):
            for server in tuple(working):
                left = deadline - self._reactor.seconds()
                if left <= 0:
                    complaints += [f"name server {host} did not answer in {self.timeout:g} s" for host, _ in working]
                    raise DnsError("; ".join(complaints))
                try:
                    message = await self._exchange(server, query, min(patience, left))
                except dns.DNSQueryTimeoutError:
                    continue
                except (OSError, CannotListenError, ConnectError, ConnectionClosed) as error:
                    complaint = f"cannot be asked: {error}"
                else:
                    if message.rCode in (dns.OK, dns.ENAME):
                        return _answer(message, query)
                    complaint = _CODES.get(message.rCode, f"answered with code {message.rCode}")
                working.remove(server)
                complaints.append(f"name server {server[0]} {complaint}")
            if not working:
                break
        raise DnsError("; ".join(complaints) or "there is no name server to ask")

    async def _exchange(self, server: tuple[str, int], query: dns.Query, patience: float) -> dns.Message:
        message = await self._by_udp(server, query, patience)
        if message.trunc:
            message = await self._by_tcp(server, query, patience)
        # Who guesses number and port of a question does not know what was asked.
        if message.queries != [query]:
            raise ConnectionClosed("it answers another question")
        return message

    async def _by_udp(self, server: tuple[str, int], query: dns.Query, patience: float) -> dns.Message:
        datagrams = _Datagrams(server, self._reactor)
        # Port 0: the system takes one by chance, so that nobody can answer who does not see the question.
        port = self._reactor.listenUDP(0, datagrams, interface="::" if ":" in server[0] else "")
        try:
            # The system lets answers of this server through alone then, and tells when nobody listens there.
            port.connect(*server)
            answer: dns.Message = await datagrams.query(server, [query], patience)
            return answer
        finally:
            datagrams.forget()
            port.stopListening()

    async def _by_tcp(self, server: tuple[str, int], query: dns.Query, patience: float) -> dns.Message:
        kind = TCP6ClientEndpoint if ":" in server[0] else TCP4ClientEndpoint
        factory = Factory.forProtocol(partial(_Conversation, self._reactor))
        factory.noisy = False
        conversation: Any = await kind(self._reactor, *server, timeout=patience).connect(factory)
        try:
            answer: dns.Message = await conversation.query([query], patience)
            return answer
        finally:
            conversation.forget()
            conversation.transport.abortConnection()


class _Exchange:
    """Goes before a protocol of `twisted.names.dns`: it ends with its question, at once, whatever happens."""

    liveMessages: dict[int, tuple[Deferred[dns.Message], Any]]

    def forget(self) -> None:
        """Wait for nothing any more."""
        for _, timer in self.liveMessages.values():
            if timer.active():
                timer.cancel()
        self.liveMessages.clear()

    def fail(self, reason: Exception | Failure) -> None:
        """Have whatever is waited for fail."""
        waiting = [deferred for deferred, _ in self.liveMessages.values()]
        self.forget()
        for deferred in waiting:
            deferred.errback(reason)


class _Controller:
    """Whom `twisted.names.dns` tells what it does; nobody wants to know."""

    def connectionMade(self, protocol: object) -> None: ...

    def connectionLost(self, protocol: object) -> None: ...

    def messageReceived(self, *message: object) -> None: ...


class _Datagrams(_Exchange, dns.DNSDatagramProtocol):
    noisy = False

    def __init__(self, server: tuple[str, int], reactor: Any) -> None:
        dns.DNSDatagramProtocol.__init__(self, _Controller(), reactor)  # type: ignore[no-untyped-call]
        self._server = server

    def datagramReceived(self, data: bytes, addr: tuple[str, int]) -> None:
        # Not *addr*: it may be the same address in another spelling. The socket is connected to it.
        super().datagramReceived(data, self._server)

    def connectionRefused(self) -> None:
        self.fail(ConnectionRefusedError("nobody listens there"))

    def stopProtocol(self) -> None:
        # Some reactors close the socket when the system tells that nobody listens.
        self.connectionRefused()
        super().stopProtocol()


class _Conversation(_Exchange, dns.DNSProtocol):
    def __init__(self, reactor: Any) -> None:
        dns.DNSProtocol.__init__(self, _Controller(), reactor)  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.fail(reason)


def _encoded(name: str) -> bytes:
    """*name* for a question; raises `DnsError` where it is none (RFC 1035 §2.3.4)."""
    labels = name.split(".")
    if not name.isascii() or len(name) > 253 or not all(0 < len(label) <= 63 for label in labels):
        raise DnsError(f"the DNS can have no such name: {name[:253]}")
    return name.lower().encode()


def _answer(message: dns.Message, query: dns.Query) -> Answer:
    """What *message* says: the records at the end of the aliases that begin at the name asked for."""
    name = query.name.name.lower()
    ttl = MAX_TTL
    for _ in range(MAX_ALIASES + 1):
        found = [one for one in message.answers if one.type == query.type and one.name.name.lower() == name]
        if found:
            ttl = min(ttl, *(one.ttl for one in found))
            return Answer(tuple(one.payload for one in found), max(ttl, 0))
        aliases = [one for one in message.answers if one.type == dns.CNAME and one.name.name.lower() == name]
        if not aliases:
            break
        canonical: Any = aliases[0].payload
        name = canonical.name.name.lower()
        ttl = min(ttl, aliases[0].ttl)
    # RFC 2308 §5: "the TTL […] is the minimum of the MINIMUM field of the SOA record and the TTL of the SOA itself".
    authority: list[Any] = [one for one in message.authority if one.type == dns.SOA]
    times = [min(one.ttl, one.payload.minimum) for one in authority]
    return Answer((), max(min(ttl, MAX_NEGATIVE_TTL, *times), 0) if times else 0)
