"""Memory of idle sessions, fresh and rested."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench import resting
from bench.place import Place
from bench.process import ServerFailed
from bench.resting import run_resting
from bench.results import Limit
from bench.scenarios import SCENARIOS, Size

SIZE = Size(clients=10, count=1, repeat=1)


class Server:
    """A server whose memory is 1 MiB at first, and then what it is set to."""

    port = 0
    mechanism = "PLAIN"
    peers = None

    def __init__(self, name: str, pid: int) -> None:
        self.name = name
        self.pid = pid
        self.running = False

    @property
    def places(self) -> list[Place]:
        return [Place(self.port)]

    @property
    def pids(self) -> list[int]:
        return [self.pid]

    def start(self) -> None:
        if self.pid < 0:
            raise ServerFailed("it will not start")
        self.running = True

    def stop(self) -> None:
        self.running = False

    def said(self) -> str:
        return ""


class Load:
    """Its clients come; those of the server on port 1 do not stay."""

    def __init__(self, specification: Any) -> None:
        self.stay = 10 if specification.places[0].port == 0 else 9

    def expect_ready(self) -> None:
        pass

    def go(self) -> dict[str, Any]:
        return {"done": 10}

    def connected(self) -> int:
        return self.stay

    def end(self) -> None:
        pass


class RestingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.slept = False
        self.before: set[int] = set()
        self.patch(resting, "LoadProcess", Load)
        self.patch(resting, "pss_bytes", self.memory)
        self.patch(resting.time, "sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.assertEqual(seconds, 130.0)
        self.slept = True

    def memory(self, pid: int) -> int:
        """Empty, then with ten sessions of 50 KiB, of which each gives back 10 when it rests."""
        if pid not in self.before:
            self.before.add(pid)
            return 1024 * 1024
        return 1024 * 1024 + 10 * 1024 * (40 if self.slept else 50)

    def run_on(self, *servers: Any) -> Any:
        return run_resting(SCENARIOS["idle-resting"], SIZE, 130.0, servers, lambda line: None)

    def test_memory_is_looked_at_before_and_after(self) -> None:
        server = Server("federix", 1)
        fresh, rested = self.run_on(server)
        self.assertEqual((fresh.name, fresh.samples), ("idle", {"federix": [50.0]}))
        self.assertEqual((rested.name, rested.samples), ("idle-resting", {"federix": [40.0]}))
        self.assertFalse(server.running)

    def test_clients_that_are_gone_are_a_failure(self) -> None:
        server = Server("prosody", 1)
        server.port = 1
        fresh, rested = self.run_on(server)
        self.assertEqual(fresh.failures, {})
        self.assertIn("connected", rested.failures["prosody"])

    def test_streams_have_rows_of_their_own(self) -> None:
        any_server: Any = Server("federix", 1)
        fresh, rested = run_resting(SCENARIOS["s2s-in-resting"], SIZE, 130.0, [any_server], lambda line: None)
        self.assertEqual((fresh.name, rested.name), ("s2s-in", "s2s-in-resting"))
        self.assertEqual((fresh.limit, rested.limit), (Limit(1.0, ("prosody",)), Limit(1.0, ("prosody",))))

    def test_a_server_that_does_not_start_fails_in_both(self) -> None:
        fresh, rested = self.run_on(Server("ejabberd", -1), Server("federix", 2))
        self.assertEqual((set(fresh.failures), set(rested.failures)), ({"ejabberd"}, {"ejabberd"}))
        self.assertEqual(set(rested.samples), {"federix"})
