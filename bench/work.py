"""What the clients do: one class per kind of work, each counting what it has done. Messages are in `pairs.py`."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from .figures import percentile
from .inbox import Answers, Inbox, LoadFailed, numbered
from .load import Connection, Loop, log_in
from .login import full_jid, login
from .names import CONTACTS, DOMAIN, HUB, contact, user

STATUS: Final = b" At home, awake, and willing to talk"
#: One part in so many of the work is done before the measuring begins.
WARM_UP: Final = 10
#: Seconds to let everything come to rest: collectors, and what servers do behind a login.
SETTLE: Final = 1.0
SETTLE_MEMORY: Final = 4.0
LOGINS_PER_SECOND: Final = 100


class Work(ABC):
    """Something to measure: `prepare` it, `run` it."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.specification = loop.specification
        self.done = 0
        """How many units of work the measured part held."""
        self.times: list[float] = []

    @abstractmethod
    def prepare(self) -> None:
        """Everything before the measuring."""

    @abstractmethod
    def run(self) -> None:
        """The measured part. Raises `LoadFailed`."""

    def round_trips(self) -> dict[str, float]:
        """Median, 99th percentile and the longest, in seconds."""
        return {
            "median": percentile(self.times, 0.5),
            "p99": percentile(self.times, 0.99),
            "max": max(self.times, default=0.0),
        }

    def users(self, count: int) -> list[str]:
        """The first *count* of the users that are ours."""
        first = self.specification.first
        return [user(n) for n in range(first, first + count)]

    def log_in(self, names: list[str]) -> list[Connection]:
        connections = log_in(self.loop, names, login)
        self.loop.pause(SETTLE)
        return connections


class Idle(Work):
    """Sessions that do nothing. A few come and go before, to have everything loaded that a login needs."""

    def prepare(self) -> None:
        for connection in self.log_in(self.users(self.specification.in_flight)):
            leave(self.loop, connection)
        self.loop.run(lambda: not self.loop.connections)
        self.loop.pause(SETTLE_MEMORY)

    def run(self) -> None:
        self.done = len(self.log_in(self.users(self.specification.clients)))
        self.loop.pause(SETTLE_MEMORY)


class Logins(Work):
    """Logins, evenly spread, each closed again."""

    def prepare(self) -> None:
        self._log_in(max(self.specification.count // WARM_UP, 5))
        self.loop.pause(SETTLE)

    def run(self) -> None:
        self._log_in(self.specification.count)
        self.done = self.specification.count

    def _log_in(self, count: int) -> None:
        begun = time.monotonic()
        self._begun = 0
        self._under_way: list[Connection] = []

        def done() -> bool:
            for connection in [c for c in self._under_way if c.jid]:
                self._under_way.remove(connection)
                leave(self.loop, connection)
            due = min(count, int((time.monotonic() - begun) * LOGINS_PER_SECOND) + 1)
            # A server that cannot keep up gets them as fast as it can, but not all at once.
            while self._begun < due and len(self._under_way) < 2 * LOGINS_PER_SECOND:
                connection = Connection.to(self.loop, self.specification.places[0])
                connection.converse(login(connection, user(self._begun % self.specification.clients)))
                self._under_way.append(connection)
                self._begun += 1
            return self._begun == count and not self.loop.connections

        self.loop.run(done)


class Presence(Work):
    """The hub says how it is; all its contacts hear it before it speaks again."""

    def prepare(self) -> None:
        self.contacts = self.log_in([contact(n) for n in range(CONTACTS)])
        (self.hub,) = self.log_in([HUB])
        self.number = 0
        self.inboxes = []
        for connection in self.contacts:
            inbox = Inbox(b"presence", b"status", full_jid(HUB).encode(), STATUS)
            connection.received = self._taker(inbox)
            self.inboxes.append(inbox)
        self._tell(max(self.specification.count // WARM_UP, 1))

    def run(self) -> None:
        self._tell(self.specification.count)
        self.done = self.specification.count * CONTACTS

    def _taker(self, inbox: Inbox) -> Callable[[bytes], None]:
        def take(data: bytes) -> None:
            self.heard += inbox.feed(data)

        return take

    def _tell(self, rounds: int) -> None:
        for _ in range(rounds):
            self.heard = 0
            since = time.perf_counter()
            self.hub.send(b"<presence><status>%s</status></presence>" % numbered(self.number, STATUS))
            self.number += 1
            self.loop.run(lambda: self.heard >= CONTACTS)
            self.times.append(time.perf_counter() - since)
        if any(inbox.expected != self.number for inbox in self.inboxes):
            raise LoadFailed("somebody heard too much, somebody else too little")


class Questions(Work):
    """Iqs to the server, one at a time for each client."""

    payload: bytes

    def prepare(self) -> None:
        clients = self.log_in(self.users(self.specification.clients))
        self.askers = [Asker(connection, self.payload, self.times) for connection in clients]
        self._ask(max(self.specification.count // WARM_UP, 1))
        self.times.clear()

    def run(self) -> None:
        self._ask(self.specification.count)
        self.done = self.specification.count * len(self.askers)

    def _ask(self, count: int) -> None:
        for asker in self.askers:
            asker.left = count
            asker.ask()
        self.loop.run(lambda: all(asker.left == 0 for asker in self.askers))


class Ping(Questions):
    payload = b"<ping xmlns='urn:xmpp:ping'/>"


class Disco(Questions):
    payload = b"<query xmlns='http://jabber.org/protocol/disco#info'/>"


class Asker:
    """A client that asks the server the same again and again."""

    def __init__(self, connection: Connection, payload: bytes, times: list[float]) -> None:
        self.connection = connection
        self.payload = payload
        self.times = times
        self.left = 0
        self.number = 0
        self.answers = Answers()
        connection.received = self.take

    def ask(self) -> None:
        self.number += 1
        self.since = time.perf_counter()
        self.connection.send(b"<iq type='get' id='i%08d' to='%s'>%s</iq>" % (self.number, _DOMAIN, self.payload))

    def take(self, data: bytes) -> None:
        if self.answers.feed(data, b"i%08d" % self.number):
            self.times.append(time.perf_counter() - self.since)
            self.left -= 1
            if self.left:
                self.ask()


def leave(loop: Loop, connection: Connection) -> None:
    """Close the stream, and let the server close the connection."""
    loop.expect_end(connection)
    connection.send(b"</stream:stream>")


_DOMAIN: Final = DOMAIN.encode()
