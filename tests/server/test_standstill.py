"""A server that stands still: what the log says of it, and when it says nothing."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any
from unittest import mock

from twisted.internet import defer
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from federix.server.standstill import AGAIN, ENDLESS, LATE, LOOK_EVERY, STANDSTILL, Standstill, place_of

from .processes import ProcessCase


def frame_in(function: Callable[[Callable[[], None]], object]) -> FrameType:
    """The frame of what *function* calls, as another thread would see it."""
    seen: list[FrameType] = []
    function(lambda: seen.append(sys._getframe(1)))
    return seen[0]


def module(name: str, path: str) -> dict[str, Any]:
    """A module whose `slow`, in line 2, calls what it is given."""
    names: dict[str, Any] = {"__name__": name}
    exec(compile("def slow(call):\n    return call()\n", path, "exec"), names)
    return names


class StandstillTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 1000.0
        self.calls: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        self.taken = 0
        self.frame = frame_in(module("federix_modules_dir.mod_slow", "/srv/mod_slow.py")["slow"])
        self.told: list[str] = []
        globalLogPublisher.addObserver(self.hear)
        self.addCleanup(globalLogPublisher.removeObserver, self.hear)
        self.watch = Standstill(self, lambda: self.now, self.frames)
        self.watch.begin()

    def hear(self, event: LogEvent) -> None:
        if event.get("log_namespace") == "federix.server.standstill":
            self.assertEqual(event["log_level"].name, "warn")
            self.told.append(formatEvent(event))

    def callFromThread(self, function: Callable[..., object], /, *args: Any) -> None:
        self.calls.append((function, args))

    def frames(self) -> dict[int, FrameType]:
        self.taken += 1
        return {threading.get_ident(): self.frame, -1: sys._getframe()}

    def turn(self) -> None:
        """The reactor comes round."""
        calls, self.calls = self.calls, []
        for function, args in calls:
            function(*args)

    def look(self, after: float = LOOK_EVERY) -> None:
        self.now += after
        self.watch.look()

    def stand_still(self, seconds: float) -> None:
        """The reactor does not come round for so many seconds and a look."""
        self.look()
        for _ in range(int(seconds / LOOK_EVERY)):
            self.look()
        self.turn()

    def test_a_reactor_that_comes_round_is_asked_and_nothing_else(self) -> None:
        for _ in range(100):
            self.look()
            self.assertEqual(len(self.calls), 1)
            self.turn()
        self.assertEqual((self.told, self.taken), ([], 0))

    def test_one_that_does_not_is_told_with_the_time_and_the_place(self) -> None:
        self.stand_still(1.5)
        self.assertEqual(self.told, ["the server stood still for 1.5 seconds in mod_slow (mod_slow.py:2)"])
        self.assertEqual(self.taken, 1)

    def test_a_second_is_not_told(self) -> None:
        self.stand_still(STANDSTILL)
        self.assertEqual(self.told, [])

    def test_it_is_asked_once_however_long_it_does_not_answer(self) -> None:
        for _ in range(100):
            self.look()
        self.assertEqual((len(self.calls), self.taken), (1, 1))

    def test_the_log_has_one_line_a_minute(self) -> None:
        begun = self.now
        while self.now < begun + 3 * AGAIN - 5:
            self.stand_still(2)
        self.assertEqual(len(self.told), 3)

    def test_what_never_ends_is_told_by_the_thread(self) -> None:
        for _ in range(int((ENDLESS + 10) / LOOK_EVERY)):
            self.look()
        self.assertEqual(self.told, [f"the server stood still for {ENDLESS:.1f} seconds in mod_slow (mod_slow.py:2)"])
        self.turn()
        self.assertEqual(len(self.told), 1)

    def test_a_machine_that_was_suspended_is_no_module_that_blocks(self) -> None:
        """The thread wakes first."""
        self.look()
        self.look(600)
        self.look()
        self.turn()
        self.assertEqual((self.told, self.taken), ([], 0))
        self.stand_still(2)
        self.assertEqual(len(self.told), 1)

    def test_nor_is_one_whose_reactor_wakes_first(self) -> None:
        self.look()
        for _ in range(3):
            self.look()
        self.assertEqual(self.taken, 1)
        self.now += 600
        self.turn()
        self.look(0)
        self.assertEqual(self.told, [])

    def test_nor_is_a_machine_that_has_no_time_for_either(self) -> None:
        self.look()
        for _ in range(5):
            self.look()
        self.look(LOOK_EVERY + 2 * LATE)
        for _ in range(5):
            self.look()
        self.turn()
        self.assertEqual(self.told, [])

    def test_a_server_that_stops_says_nothing(self) -> None:
        self.look()
        for _ in range(10):
            self.look()
        self.watch.stop()
        self.turn()
        self.assertEqual(self.told, [])

    def test_the_thread_ends_with_the_service(self) -> None:
        before = set(threading.enumerate())
        watch = Standstill(self)
        watch.start()
        [thread] = set(threading.enumerate()) - before
        self.assertTrue(thread.daemon)
        watch.stop()
        thread.join(10)
        self.assertFalse(thread.is_alive())


class PlaceTests(SynchronousTestCase):
    def test_the_library_and_twisted_are_passed_over(self) -> None:
        slow = module("mod_slow", "/srv/mod_slow.py")["slow"]
        library = module("socket", threading.__file__)["slow"]
        twisted = module("twisted.internet.defer", defer.__file__)["slow"]
        frame = frame_in(lambda call: slow(partial(library, partial(twisted, call))))
        self.assertEqual(place_of(frame), "mod_slow (mod_slow.py:2)")

    def test_what_is_installed_is_not_the_library(self) -> None:
        path = threading.__file__.replace("threading.py", "site-packages/fancy/slow.py")
        self.assertEqual(place_of(frame_in(module("fancy.slow", path)["slow"])), "fancy.slow (slow.py:2)")

    def test_where_there_is_nothing_else_the_innermost_is_told(self) -> None:
        main = module("__main__", "/usr/bin/twistd")["slow"]
        frame = mock.Mock(spec=["f_globals", "f_code", "f_back", "f_lineno"])
        outer = frame_in(main)
        frame.f_globals, frame.f_lineno = {"__name__": "twisted.internet.base"}, 7
        frame.f_code.co_filename = defer.__file__.replace("defer.py", "base.py")
        frame.f_back = mock.Mock(f_globals=outer.f_globals, f_code=outer.f_code, f_back=None)
        self.assertEqual(place_of(frame), "twisted.internet.base (base.py:7)")

    def test_a_thread_that_is_not_there_is_nowhere(self) -> None:
        self.assertIsNone(place_of(None))


SLOW = """
import time
from federix.api import Module

class Slow(Module):
    name = "mod_slow"

    async def on_start(self):
        self.scope.later(1, self.sleep)

    def sleep(self):
        time.sleep(1.5)
        self.scope.later(1, self.sleep)  # the machine may have been slow
"""


class ProcessTests(ProcessCase):
    def test_twistd_names_a_module_that_blocks(self) -> None:
        (self.folder / "modules").mkdir()
        (self.folder / "modules" / "mod_slow.py").write_text(SLOW)
        path = self.write("modules: {mod_slow: {}}\n")
        with self.twistd("-c", str(path), "-d", str(self.folder / "data")) as process:
            told = self.until("stood still", process)
        self.assertRegex(
            told, r"\[warning\] the server stood still for \d\.\d seconds in mod_slow \(mod_slow\.py:12\)\n"
        )
