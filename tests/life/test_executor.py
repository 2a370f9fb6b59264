from __future__ import annotations

import gc
import threading
from typing import Any

from twisted.internet import reactor
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase, TestCase

from federix.life import executor
from federix.life.executor import Executor, InlineExecutor, ThreadExecutor


def divided(number: int, *, by: int) -> float:
    return number / by


class InlineExecutorTest(SynchronousTestCase):
    def test_the_answer_is_there_at_once(self) -> None:
        inline: Executor = InlineExecutor()
        self.assertEqual(self.successResultOf(inline.run(divided, 6, by=3)), 2)

    def test_an_exception_becomes_a_failure(self) -> None:
        self.failureResultOf(InlineExecutor().run(divided, 6, by=0), ZeroDivisionError)


class ThreadExecutorTest(TestCase):
    def setUp(self) -> None:
        any_reactor: Any = reactor
        self.executor = ThreadExecutor(any_reactor, threads=2, name="work")

    def start(self) -> None:
        self.executor.start()
        self.addCleanup(self.executor.stop)

    async def test_work_runs_in_a_named_daemon_thread_and_answers_in_the_reactors(self) -> None:
        self.start()
        thread = await self.executor.run(threading.current_thread)
        self.assertIn("work", thread.name)
        self.assertIs(thread.daemon, True)
        self.assertIs(threading.current_thread(), threading.main_thread())

    async def test_an_exception_becomes_a_failure(self) -> None:
        self.start()
        with self.assertRaises(ZeroDivisionError):
            await self.executor.run(divided, 6, by=0)

    async def test_two_run_at_the_same_time(self) -> None:
        self.start()
        meeting = threading.Barrier(2, timeout=10)
        first, second = self.executor.run(meeting.wait), self.executor.run(meeting.wait)
        self.assertEqual({await first, await second}, {0, 1})

    async def test_no_thread_is_made_before_there_is_work(self) -> None:
        before = threading.active_count()
        self.start()
        self.assertEqual(threading.active_count(), before)

    async def test_work_leaves_nothing_for_the_cyclic_collector(self) -> None:
        self.start()
        await self.executor.run(divided, 6, by=3)
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        for _ in range(50):
            await self.executor.run(divided, 6, by=3)
        self.assertLess(gc.collect(), 50)

    async def test_it_starts_again_after_a_stop(self) -> None:
        self.executor.start()
        self.assertEqual(await self.executor.run(divided, 6, by=3), 2)
        self.executor.stop()
        self.start()
        self.assertEqual(await self.executor.run(divided, 6, by=2), 3)

    async def test_an_executor_that_is_not_running_refuses_work(self) -> None:
        with self.assertRaises(RuntimeError):
            await self.executor.run(divided, 6, by=3)
        self.executor.start()
        self.executor.stop()
        with self.assertRaises(RuntimeError):
            await self.executor.run(divided, 6, by=3)

    async def test_an_executor_may_be_stopped_without_a_start(self) -> None:
        self.executor.stop()

    async def test_work_that_hangs_does_not_keep_it_from_stopping(self) -> None:
        self.patch(executor, "STOP_TIMEOUT", 0.05)
        self.executor.start()
        begun, released = threading.Event(), threading.Event()
        self.addCleanup(released.set)

        def hang() -> None:
            begun.set()
            released.wait(30)

        hanging = self.executor.run(hang)
        begun.wait(10)
        with capturedLogs() as events:
            self.executor.stop()
        self.assertEqual([event["log_level"] for event in events], [LogLevel.error])
        self.assertFalse(hanging.called)
        released.set()
        await hanging
