"""What hostile connections do to a real server: little. `bench/abuse.py` does it at full size, and takes times."""

from __future__ import annotations

import os
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench.attacks import (
    FIRST,
    PIECE,
    Attack,
    Flood,
    FloodFin,
    FloodHandshake,
    HeaderOnly,
    Held,
    HeldBefore,
    Silent,
    SlowHandshake,
    SlowHeader,
    TlsOnly,
    Unread,
)
from bench.hostile import Hostile
from bench.names import PASSWORD, user
from bench.usage import pss_bytes
from federix.streams.arrivals import ARRIVING_AT_MOST
from federix.testing import ServerProcess

KIB = 1024
MIB = 1024 * KIB
#: Seconds for something to happen on a machine that is busy with other tests.
PATIENCE = 40.0


class AbuseCase(SynchronousTestCase):
    def serve(self, accounts: int = 0, config: dict[str, Any] | None = None, **listener: Any) -> None:
        """A server of its own: what a process has taken it does not give back."""
        self.server = ServerProcess(config, hosts=("localhost",), listener=listener)
        self.server.start()
        self.addCleanup(self.server.stop)
        process = self.server._process
        assert process is not None
        self.pid = process.pid
        for number in range(accounts):
            self.server.register(user(FIRST + number), PASSWORD)
        self.server.register(user(0), PASSWORD)
        for _ in range(5):
            self.visit()
        self.files = self.open_files()
        self.memory = pss_bytes(self.pid)

    def visit(self) -> None:
        """Somebody honest logs in, and is heard."""
        somebody = Hostile(self.server.port)
        somebody.log_in(user(0), "honest")
        somebody.send(b"<message to='u0@localhost/honest' type='chat'><body>to me</body></message>")
        self.assertIn(b"to me", somebody.until(b"</message>"))
        somebody.close()

    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def grown(self) -> int:
        return pss_bytes(self.pid) - self.memory

    def begin(self, attack: type[Attack], count: int) -> Attack:
        attacking = attack(self.server.port, count)
        attacking.arrive()
        attacking.begin()
        return attacking

    def until(self, happened: Any, what: str, attacking: Attack | None = None) -> None:
        end = time.monotonic() + PATIENCE
        while not happened():
            self.assertLess(time.monotonic(), end, what)
            if attacking is not None:
                attacking.tick()
            time.sleep(0.05)

    def assert_as_before(self, lines: int = 100) -> None:
        """Nothing is left of an attack, and little was said of it."""
        self.until(lambda: self.open_files() <= self.files, "connections are left")
        self.visit()
        log = self.server.log()
        self.assertNotIn("Traceback", log)
        self.assertNotIn("[warn", log)
        self.assertLess(log.count("\n"), lines)


class UnauthenticatedTests(AbuseCase):
    def test_what_connections_cost_that_never_log_in(self) -> None:
        self.serve()
        for attack, most in ((Silent, 16), (HeaderOnly, 32), (TlsOnly, 72)):
            attacking = self.begin(attack, 200)
            self.assertEqual(len(attacking.connections), 200)
            self.assertLess(self.grown() / 200, most * KIB, attack)
            self.visit()
            attacking.end()
            self.assert_as_before()

    def test_the_largest_unfinished_stanza_before_a_login(self) -> None:
        self.serve()
        attacking = self.begin(HeldBefore, 100)
        self.assertLess(self.grown() / 100, 160 * KIB)
        attacking.end()
        self.assertEqual(attacking.outcome, {"open": 100})
        self.assert_as_before(200)

    def test_who_says_too_little_is_told_that_it_took_too_long(self) -> None:
        self.serve(config={"negotiation_timeout": 2})
        slow = [self.begin(kind, 20) for kind in (Silent, SlowHeader, SlowHandshake)]
        for _ in range(30):
            for attacking in slow:
                attacking.tick()
            time.sleep(0.1)
        for attacking in slow:
            attacking.end()
        self.assertEqual(slow[0].outcome, {"connection-timeout": 20})
        self.assertEqual(slow[1].outcome, {"connection-timeout": 20})
        # In the middle of a handshake nothing can be said.
        self.assertEqual(slow[2].outcome, {"cut": 20})
        self.assert_as_before(200)

    def test_a_crowd_that_stalls_makes_room(self) -> None:
        self.serve()
        attacking = self.begin(Silent, ARRIVING_AT_MOST + 50)
        self.visit()  # behind fifty of them
        self.assertLess(self.open_files(), self.files + ARRIVING_AT_MOST + 60)
        attacking.end()
        self.assertGreaterEqual(attacking.outcome["resource-constraint"], 50)
        self.assert_as_before(1000)

    def test_floods_leave_nothing_behind(self) -> None:
        self.serve()
        for flood, count in ((Flood, 200), (FloodFin, 200), (FloodHandshake, 50)):
            self.begin(flood, count)
            self.assert_as_before()
        self.assertLess(self.grown(), 16 * MIB)


class AuthenticatedTests(AbuseCase):
    def test_large_unfinished_stanzas(self) -> None:
        self.serve(20)
        attacking = self.begin(Held, 20)
        self.assertEqual(len(attacking.connections), 20)
        self.assertLess(self.grown() / 20, 2 * MIB)
        self.visit()
        attacking.end()
        self.assert_as_before(200)

    def test_those_who_do_not_read(self) -> None:
        # What is archived, and kept for those who are thrown out, belongs on a disk.
        self.serve(5, {"default_db": "sql"}, send_timeout=1)
        attacking = self.begin(Unread, 3)
        assert isinstance(attacking, Unread)
        attacking.left = [4 * MIB // PIECE] * 3
        self.until(lambda: self.grown() > MIB, "nothing waits for them", attacking)
        most = 0
        while self.open_files() > self.files + Unread.SENDERS:
            attacking.tick()
            most = max(most, self.grown())
        self.assertLess(most, (3 + Unread.SENDERS) * 2 * MIB)
        self.visit()
        attacking.end()
        self.assert_as_before(200)
