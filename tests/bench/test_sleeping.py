"""The memory of sessions that sleep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench import sleeping
from bench.process import ServerFailed
from bench.scenarios import Size
from bench.sleeping import Scope, Waiting, bounds

SCOPE = Scope(Size(clients=10, count=5, repeat=1), 65.0)


class Load:
    """Its clients come, are cut off, and sent messages; unless they do not come back."""

    rounds: list[str]
    wakes = True

    def __init__(self, specification: Any) -> None:
        assert (specification.work, specification.clients, specification.count) == ("sleepers", 10, 5)

    def expect_ready(self) -> None:
        self.rounds = []

    def go(self) -> dict[str, Any]:
        self.rounds.append("round")
        if len(self.rounds) == 4 and not self.wakes:
            raise ServerFailed("u3 cannot resume")
        return {"done": 10}

    def end(self) -> None:
        pass


class SleepingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.rests: list[float] = []
        self.memory = iter((1000 * 1024, 1100 * 1024, 1150 * 1024, 1450 * 1024))
        self.patch(sleeping, "LoadProcess", Load)
        self.patch(sleeping, "pss_bytes", lambda pid: next(self.memory))
        self.patch(sleeping.time, "sleep", self.rests.append)
        self.patch(Waiting, "start", lambda server: None)
        self.patch(Waiting, "pid", 1)

    def run_it(self) -> Any:
        return sleeping.run(SCOPE, Path(self.mktemp()), Path("pem"), lambda line: None)

    def test_memory_is_looked_at_after_each_rest(self) -> None:
        session, stanza, further = self.run_it()
        self.assertEqual((session.samples, session.limit), ([10.0], None))
        self.assertEqual((stanza.samples, stanza.limit), ([1024.0], None))
        self.assertEqual((further.samples, further.limit), ([1536.0], None))
        self.assertEqual(self.rests, [65.0, 65.0, 65.0, 65.0])

    def test_sessions_that_cannot_be_resumed_are_a_failure(self) -> None:
        self.patch(Load, "wakes", False)
        (found,) = self.run_it()
        self.assertIn("cannot resume", found.failure)
        self.assertEqual(found.verdict, "FAILED")

    def test_the_size_of_what_was_sent_is_told(self) -> None:
        self.assertRegex(bounds(SCOPE.sleeping, 0, 1, 2, 3)[1].title, r"5 messages of 1[0-9]{2} bytes")

    def test_sessions_may_sleep_for_as_long_as_it_takes(self) -> None:
        settings = Waiting(Path(self.mktemp()), Path("pem"), 1)._settings()
        modules: Any = settings["modules"]
        self.assertEqual(modules["mod_stream_mgmt"]["resume_timeout"], 3600)
        self.assertNotIn("mod_mam", modules)
