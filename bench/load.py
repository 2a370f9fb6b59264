"""The clients: one process, one epoll, many connections, each of them lean enough not to be the bottleneck.

``python -m bench.load SPECIFICATION`` (JSON, see `Specification`). It logs its clients in, warms up, prints a line
``ready``, waits for a line on its standard input, does what is measured, and prints a line of JSON: what was done. In
between its caller looks at what the server uses. At the line ``again`` it does the same once more; at another one it
says how many are still connected, and ends. It only ever connects to the loopback address, and only for so long.
"""

from __future__ import annotations

import gc
import json
import select
import socket
import ssl
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Final

from .ask import Ask
from .inbox import LoadFailed
from .place import Peers, Place
from .process import raise_open_files

#: Bytes one read takes at most.
READ: Final = 64 * 1024
#: Seconds in which connections that were closed are noticed at the end.
LAST_LOOK: Final = 0.2
#: The line that asks for another round.
AGAIN: Final = "again"
#: Logins under way at the same time.
LOGINS_AT_ONCE: Final = 16


@dataclass(frozen=True)
class Specification:
    """What the load is to do; *work* names one of `works.py`, *count* is how often it does it."""

    places: Sequence[Place]
    """Where the clients connect to, in turns."""
    mechanism: str
    work: str
    tls: bool
    clients: int
    count: int
    in_flight: int
    seconds: float
    first: int = 0
    """The number of the first user, so that two loads can have different ones."""
    rate: float = 0.0
    """Messages a second, of all clients together, for work that keeps to a rate."""
    peers: Peers | None = None
    """The servers that the load plays, where it does."""
    asks: Sequence[Ask] = ()
    """What is asked, for work that is told."""

    @classmethod
    def read(cls, text: str) -> Specification:
        """From JSON."""
        told = json.loads(text)
        peers = told["peers"] and Peers(**told["peers"])
        places, asks = [Place(**place) for place in told["places"]], tuple(Ask(**ask) for ask in told["asks"])
        return cls(**{**told, "places": places, "peers": peers, "asks": asks})


#: A dialogue waits for a mark in what the server sends (`None`: for anything to happen) and goes on with what came.
Dialogue = Generator[bytes | None, bytes, Any]


class Connection:
    """One client's connection."""

    __slots__ = ("_buffer", "_dialogue", "_mark", "_out", "fd", "jid", "loop", "place", "received", "sock")

    def __init__(self, loop: Loop, place: Place, sock: socket.socket) -> None:
        """*sock* is connected to *place*, or from there."""
        self.loop = loop
        self.place = place
        self.sock: socket.socket | ssl.SSLSocket = sock
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.fd = self.sock.fileno()
        self.jid = ""
        self.received: Callable[[bytes], object] = self._converse
        self._out = b""
        self._buffer = b""
        self._mark: bytes | None = None
        self._dialogue: Dialogue | None = None
        loop.add(self)

    @classmethod
    def to(cls, loop: Loop, place: Place) -> Connection:
        """A new one."""
        return cls(loop, place, socket.create_connection((place.address, place.port), 5.0))

    # -- writing --------------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        if self._out:
            self._out += data
            return
        sent = self._try(data)
        if sent < len(data):
            self._out = data[sent:]
            self.loop.epoll.modify(self.fd, select.EPOLLIN | select.EPOLLOUT)

    def _try(self, data: bytes) -> int:
        try:
            return self.sock.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0

    def writable(self) -> None:
        self._out = self._out[self._try(self._out) :]
        if not self._out:
            self.loop.epoll.modify(self.fd, select.EPOLLIN)

    # -- reading --------------------------------------------------------------------------------------------------

    def readable(self) -> None:
        sock = self.sock
        while True:
            if self._dialogue is not None and self._mark is None:
                self._go_on(b"")
                return
            try:
                data = sock.recv(READ)
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            except ConnectionError:
                data = b""
            if not data:
                self.loop.closed(self)
                return
            self.received(data)
            sock = self.sock
            # What OpenSSL has already decrypted epoll does not tell of.
            if not (isinstance(sock, ssl.SSLSocket) and sock.pending()):
                return

    def close(self) -> None:
        self.loop.remove(self)
        self.sock.close()

    # -- dialogues: logging in ------------------------------------------------------------------------------------

    def converse(self, dialogue: Dialogue) -> None:
        """Go through *dialogue*; afterwards what comes is ignored until `received` is set."""
        self.received = self._converse
        self._dialogue = dialogue
        self._mark = next(dialogue)
        self._converse(b"")

    def _converse(self, data: bytes) -> None:
        self._buffer += data
        while self._mark is not None:
            at = self._buffer.find(self._mark)
            if at < 0:
                if b"<failure" in self._buffer or b"<stream:error" in self._buffer:
                    raise LoadFailed(f"logging in: {self._buffer.decode(errors='replace')}")
                return
            at += len(self._mark)
            told, self._buffer = self._buffer[:at], self._buffer[at:]
            self._go_on(told)

    def _go_on(self, told: bytes) -> None:
        assert self._dialogue is not None
        try:
            self._mark = self._dialogue.send(told)
        except StopIteration:
            self._dialogue = None
            self._mark = None
            self._buffer = b""
            if self.received == self._converse:
                self.received = _ignore


def _ignore(data: object) -> None:
    """Not for us."""


class Loop:
    """All connections, and the clock that runs out."""

    def __init__(self, specification: Specification) -> None:
        self.specification = specification
        self.epoll = select.epoll()
        self.connections: dict[int, Connection] = {}
        self.finished = False
        self.cipher: tuple[str, str] | None = None  # TLS version and cipher agreed on
        self._deadline = time.monotonic() + specification.seconds
        self._closing: set[Connection] = set()
        self._listening: socket.socket | None = None
        self._accepted: Callable[[socket.socket], object] = _ignore

    def listen(self, address: str, port: int, accepted: Callable[[socket.socket], object]) -> None:
        """Give *accepted* whoever connects there; once in a loop."""
        self._listening = socket.create_server((address, port), backlog=4096)
        self._listening.setblocking(False)
        self._accepted = accepted
        self.epoll.register(self._listening.fileno(), select.EPOLLIN)

    def add(self, connection: Connection) -> None:
        self.connections[connection.fd] = connection
        self.epoll.register(connection.fd, select.EPOLLIN)

    def remove(self, connection: Connection) -> None:
        if self.connections.pop(connection.fd, None) is not None:
            self.epoll.unregister(connection.fd)
        self._closing.discard(connection)

    def expect_end(self, connection: Connection) -> None:
        """The server may now close *connection*; whoever else is closed is a failure."""
        self._closing.add(connection)

    def closed(self, connection: Connection) -> None:
        if connection not in self._closing:
            raise LoadFailed(f"the server closed the connection of {connection.jid or 'somebody who logs in'}")
        connection.close()

    def run(self, done: Callable[[], bool], every: float = 0.1) -> None:
        """Serve the connections until *done* says yes; it is asked at least *every* so many seconds.

        Raises `LoadFailed` when the time is over.
        """
        poll, connections = self.epoll.poll, self.connections
        while not done():
            events = poll(every)
            for fd, event in events:
                connection = connections.get(fd)
                if connection is None:
                    if self._listening is not None and fd == self._listening.fileno():
                        self._accepted(self._listening.accept()[0])
                    continue
                if event & select.EPOLLOUT:
                    connection.writable()
                if event & ~select.EPOLLOUT:
                    connection.readable()
            if time.monotonic() > self._deadline:
                raise LoadFailed(f"not done after {self.specification.seconds:g} s: a stanza is lost, or all is slow")

    def pause(self, seconds: float) -> None:
        """Serve the connections for so long."""
        end = time.monotonic() + seconds
        self.run(lambda: time.monotonic() >= end)


def log_in(
    loop: Loop,
    names: list[str],
    dialogue: Callable[[Connection, str], Dialogue],
    places: Sequence[Place] | None = None,
) -> list[Connection]:
    """Connections for *names*, logged in by *dialogue*, some at a time, at each of the *places* in turn: those of the
    clients unless it is told others."""
    waiting = deque(zip(names, cycle(places or loop.specification.places)))
    under_way: list[Connection] = []
    found: list[Connection] = []

    def done() -> bool:
        under_way[:] = [connection for connection in under_way if not connection.jid]
        while waiting and len(under_way) < LOGINS_AT_ONCE:
            name, place = waiting.popleft()
            connection = Connection.to(loop, place)
            connection.converse(dialogue(connection, name))
            under_way.append(connection)
            found.append(connection)
        return not under_way and not waiting

    loop.run(done)
    return found


def _is_told() -> bool:
    return bool(select.select([sys.stdin], [], [], 0)[0])


def say(line: str) -> None:
    print(line, flush=True)


def main(text: str) -> int:
    from .works import WORKS

    raise_open_files()
    specification = Specification.read(text)
    loop = Loop(specification)
    try:
        work = WORKS[specification.work](loop)
        work.prepare()
        # What our own collector takes its time for would be told as the server's delay.
        gc.collect()
        gc.freeze()
        gc.disable()
        say("ready")
        if not sys.stdin.readline():
            return 1
        while True:
            before = time.perf_counter()
            work.run()
            took, trips = time.perf_counter() - before, work.round_trips()
            # Whoever asked looks at the server now, while all are still connected.
            say(json.dumps({"done": work.done, "seconds": took, "round_trips": trips, "cipher": loop.cipher}))
            loop.run(_is_told)  # servers ask whether we are still there
            if sys.stdin.readline().strip() != AGAIN:
                break
            work.times.clear()
        loop.pause(LAST_LOOK)  # whoever was closed meanwhile is noticed here
        say(json.dumps({"connected": len(loop.connections)}))
    except (LoadFailed, OSError) as error:
        say(json.dumps({"error": f"{type(error).__name__}: {error}"}))
        return 1
    return 0


if __name__ == "__main__":
    # As a module of the package: `works` imports the classes of this file, and there must be one of each.
    from bench.load import main as run_main

    sys.exit(run_main(sys.argv[1]))
