"""The reactor that `twistd federix` runs on."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from federix.server.reactor import EVENTS_AT_MOST, LeanReactor, install_unless_chosen

#: Seconds that a reactor waits for something that must come; and how often it does at most.
WAIT = 1.0
TURNS = 20

_INSTALLED = """
import sys
from federix.server.tap import Options, makeService
{before}
options = Options()
options.parent = {{"nodaemon": 1}}
options.parseOptions(["-d", sys.argv[1]])
makeService(options)
from twisted.internet import reactor
print(type(reactor).__name__)
"""


class Talk(Protocol):
    """Keeps what it hears, and raises at a word."""

    def __init__(self, talks: list[Talk]) -> None:
        talks.append(self)
        self.heard = b""
        self.lost: Failure | None = None
        self.do: Any = None

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        if self.do is not None:
            self.do()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.lost = reason


class ReactorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor: Any = LeanReactor()  # type: ignore[no-untyped-call]
        self.addCleanup(self.close)
        self.talks: list[Talk] = []
        factory = Factory.forProtocol(lambda: Talk(self.talks))  # type: ignore[arg-type]
        factory.noisy = False
        self.port = self.reactor.listenTCP(0, factory, interface="127.0.0.1")

    def close(self) -> None:
        for selectable in self.reactor.removeAll():
            selectable.connectionLost(Failure(ConnectionLost()))
        for reader in list(self.reactor._internalReaders):
            reader.connectionLost(None)
        self.reactor._poller.close()

    def connect(self) -> tuple[socket.socket, Talk]:
        peer = socket.create_connection(self.port.socket.getsockname(), WAIT)
        self.addCleanup(peer.close)
        count = len(self.talks)
        self.until(lambda: len(self.talks) > count)
        return peer, self.talks[-1]

    def until(self, done: Any) -> None:
        for _ in range(TURNS):
            if done():
                return
            self.reactor.iterate(WAIT / TURNS)
        self.fail("it did not come")

    def test_who_has_something_to_read_reads_it(self) -> None:
        peer, talk = self.connect()
        peer.sendall(b"hello")
        self.until(lambda: talk.heard == b"hello")

    def test_timers_are_looked_at_between_many_events_and_nobody_is_left_out(self) -> None:
        peers = [self.connect()[0] for _ in range(3 * EVENTS_AT_MOST)]
        for peer in peers:
            peer.sendall(b"hello")
        heard = []
        for _ in range(4):
            self.reactor.iterate(0)
            heard.append(sum(talk.heard == b"hello" for talk in self.talks))
        self.assertEqual(heard[0], EVENTS_AT_MOST)
        self.assertEqual(heard[-1], len(peers))

    def test_what_the_system_does_not_take_at_once_is_written_later(self) -> None:
        peer, talk = self.connect()
        size = 8_000_000
        talk.transport.write(bytes(size))  # type: ignore[union-attr]
        left = size
        for _ in range(100_000):
            self.reactor.iterate(0)
            left -= len(peer.recv(1 << 20))
            if not left:
                return
        self.fail(f"{left} bytes were not written")

    def test_a_connection_that_is_closed_is_told(self) -> None:
        peer, talk = self.connect()
        peer.sendall(b"bye")
        peer.close()
        self.until(lambda: talk.lost is not None)
        self.assertEqual(talk.heard, b"bye")
        assert talk.lost is not None
        talk.lost.trap(ConnectionDone)  # type: ignore[no-untyped-call]

    def test_a_connection_that_is_reset_is_told(self) -> None:
        peer, talk = self.connect()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()
        self.until(lambda: talk.lost is not None)

    def test_who_raises_loses_its_connection_and_the_others_go_on(self) -> None:
        peer, talk = self.connect()
        other, second = self.connect()

        def fail() -> None:
            raise ValueError("this one")

        talk.do = fail
        peer.sendall(b"x")
        other.sendall(b"y")
        self.until(lambda: talk.lost is not None and second.heard == b"y")
        (failure,) = self.flushLoggedErrors(ValueError)
        self.assertEqual(str(failure.value), "this one")
        assert talk.lost is not None
        talk.lost.trap(ValueError)  # type: ignore[no-untyped-call]
        self.assertIsNone(second.lost)

    def test_who_was_closed_by_another_in_the_same_turn_reads_nothing(self) -> None:
        (peer, talk), (other, second) = self.connect(), self.connect()
        for one, two in ((talk, second), (second, talk)):
            one.do = two.transport.abortConnection  # type: ignore[union-attr]
        peer.sendall(b"x")
        other.sendall(b"y")
        self.until(lambda: talk.lost is not None or second.lost is not None)
        self.assertEqual(len(talk.heard + second.heard), 1)

    def test_calls_are_made_when_they_are_due(self) -> None:
        called: list[int] = []
        self.reactor.callLater(0, called.append, 1)
        self.until(lambda: called)

    def test_a_program_that_has_a_reactor_keeps_it(self) -> None:
        from twisted.internet import reactor

        self.assertFalse(install_unless_chosen())
        self.assertNotIsInstance(reactor, LeanReactor)


class ChoiceTests(SynchronousTestCase):
    """What a server runs on that was started by `twistd`."""

    def chosen(self, before: str = "") -> str:
        folder = Path(self.mktemp()).absolute()
        command = [sys.executable, "-c", _INSTALLED.format(before=before), str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def test_it_is_the_lean_one(self) -> None:
        self.assertEqual(self.chosen(), "LeanReactor")

    def test_the_operator_may_choose_another(self) -> None:
        chosen = self.chosen("from twisted.internet import selectreactor\nselectreactor.install()")
        self.assertEqual(chosen, "SelectReactor")
