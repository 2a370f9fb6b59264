"""The service tree: started in order, rolled back, drained, stopped in reverse; and loops that are begun again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import Clock, deferLater
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from federix.life import tree
from federix.life.tree import Branch, Loop, Node, State


class Recording(Node):
    """Writes down its life; fails where it is told to, and takes *seconds* to start, *stopping* seconds to stop."""

    def __init__(
        self, name: str, clock: Clock, heard: list[str], failing: str = "", seconds: float = 0, stopping: float = 0
    ) -> None:
        super().__init__(name, clock)
        self.heard = heard
        self.failing = failing
        self.seconds = seconds
        self.stopping = stopping

    async def _do(self, what: str, seconds: float = 0) -> None:
        if seconds:
            await deferLater(self.clock, seconds)  # type: ignore[call-overload]
        self.heard.append(f"{what} {self.name}")
        if self.failing == what:
            raise ZeroDivisionError

    async def on_start(self) -> None:
        self.scope.later(1000, lambda: None)
        await self._do("start", self.seconds)

    async def on_drain(self, deadline: float) -> None:
        await self._do("drain")

    async def on_stop(self) -> None:
        await self._do("stop", self.stopping)


class TreeTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.heard: list[str] = []

    def node(self, name: str, failing: str = "", seconds: float = 0, stopping: float = 0) -> Recording:
        return Recording(name, self.clock, self.heard, failing, seconds, stopping)

    def branch(self, *nodes: Node, name: str = "branch") -> Branch:
        branch = Branch(name, self.clock)
        for node in nodes:
            branch.attach(node)
        return branch

    def run_now(self, task: Any) -> Any:
        return self.successResultOf(ensureDeferred(task))

    def logged(self, count: int = 1) -> None:
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), count)


class NodeTests(TreeTestCase):
    def test_it_goes_through_its_states(self) -> None:
        node = self.node("a", seconds=1)
        states = [node.state]
        starting = ensureDeferred(node.start())
        states.append(node.state)
        self.clock.advance(1)
        self.successResultOf(starting)
        states.append(node.state)
        self.assertTrue(node.running)
        self.run_now(node.drain(0))
        states.append(node.state)
        self.assertTrue(node.running)
        self.run_now(node.stop())
        states.append(node.state)
        self.assertEqual(states, [State.STOPPED, State.STARTING, State.RUNNING, State.DRAINING, State.STOPPED])
        self.assertFalse(node.running)

    def test_it_knows_since_when(self) -> None:
        node = self.node("a")
        self.run_now(node.start())
        self.clock.advance(7)
        self.assertEqual(node.uptime, 7)
        self.run_now(node.stop())
        self.assertEqual(node.uptime, 0)

    def test_what_it_owns_ends_with_it(self) -> None:
        node = self.node("a")
        self.run_now(node.start())
        self.run_now(node.stop())
        self.assertTrue(node.scope.closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_that_cannot_start_leaves_nothing_and_says_why(self) -> None:
        node = self.node("a", failing="start")
        self.failureResultOf(ensureDeferred(node.start()), ZeroDivisionError)
        self.assertIs(node.state, State.FAILED)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_that_cannot_stop_cleanly_is_stopped_all_the_same(self) -> None:
        node = self.node("a", failing="stop")
        self.run_now(node.start())
        self.run_now(node.stop())
        self.assertIs(node.state, State.STOPPED)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.logged()

    def test_one_that_fails_later_is_logged_with_why(self) -> None:
        node = self.node("a", failing="stop", stopping=1)
        self.run_now(node.start())
        stopping = ensureDeferred(node.stop())
        self.clock.advance(1)
        self.successResultOf(stopping)
        self.assertIs(node.state, State.STOPPED)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.logged()

    def test_it_starts_and_stops_once(self) -> None:
        node = self.node("a")
        for _ in range(2):
            self.run_now(node.start())
        for _ in range(2):
            self.run_now(node.stop())
        self.assertEqual(self.heard, ["start a", "stop a"])

    def test_it_may_start_again(self) -> None:
        node = self.node("a")
        for _ in range(3):
            self.run_now(node.start())
            self.assertFalse(node.scope.closed)
            self.run_now(node.stop())
        self.assertEqual(self.heard, ["start a", "stop a"] * 3)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_who_starts_it_while_it_starts_waits_for_the_same_start(self) -> None:
        node = self.node("a", seconds=1)
        starts = [ensureDeferred(node.start()) for _ in range(2)]
        for start in starts:
            self.assertNoResult(start)
        self.clock.advance(1)
        for start in starts:
            self.successResultOf(start)
        self.assertEqual(self.heard, ["start a"])

    def test_who_starts_it_while_it_starts_hears_why_it_could_not(self) -> None:
        node = self.node("a", failing="start", seconds=1)
        starts = [ensureDeferred(node.start()) for _ in range(2)]
        self.clock.advance(1)
        for start in starts:
            self.failureResultOf(start, ZeroDivisionError)
        starts = [ensureDeferred(node.start()) for _ in range(2)]
        self.run_now(node.stop())
        for start in starts:
            self.failureResultOf(start, CancelledError)

    def test_who_stops_it_while_it_stops_waits_for_the_same_end(self) -> None:
        node = self.node("a", stopping=1)
        self.run_now(node.start())
        stops = [ensureDeferred(node.stop()) for _ in range(3)]
        for stop in stops:
            self.assertNoResult(stop)
        self.clock.advance(1)
        for stop in stops:
            self.successResultOf(stop)
        self.assertEqual(self.heard, ["start a", "stop a"])

    def test_a_start_while_it_stops_comes_after_the_end(self) -> None:
        node = self.node("a", stopping=1)
        self.run_now(node.start())
        stopping = ensureDeferred(node.stop())
        starting = ensureDeferred(node.start())
        self.assertNoResult(starting)
        self.clock.advance(1)
        self.successResultOf(stopping)
        self.successResultOf(starting)
        self.assertEqual(self.heard, ["start a", "stop a", "start a"])
        self.assertTrue(node.running)
        self.assertFalse(node.scope.closed)

    def test_who_stops_it_last_finds_it_stopped(self) -> None:
        node = self.node("a", seconds=1, stopping=1)
        starting = ensureDeferred(node.start())
        self.clock.advance(1)
        self.successResultOf(starting)
        first, again, last = (ensureDeferred(each()) for each in (node.stop, node.start, node.stop))
        self.clock.advance(1)
        self.successResultOf(first)
        self.successResultOf(last)
        self.failureResultOf(again, CancelledError)
        self.clock.advance(1)
        self.assertIs(node.state, State.STOPPED)
        self.assertEqual(self.heard, ["start a", "stop a"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_does_not_run_is_not_drained(self) -> None:
        node = self.node("a")
        self.run_now(node.drain(0))
        self.assertEqual(self.heard, [])

    def test_it_is_a_service_of_twisted(self) -> None:
        node = self.node("a")
        verifyObject(IService, node)
        parent = MultiService()  # type: ignore[no-untyped-call]
        node.setServiceParent(parent)
        parent.startService()  # type: ignore[no-untyped-call]
        self.assertTrue(node.running)
        parent.stopService()  # type: ignore[no-untyped-call]
        self.assertEqual(self.heard, ["start a", "stop a"])

    def test_a_service_that_is_taken_from_its_parent_stops(self) -> None:
        node = self.node("a", stopping=1)
        parent = MultiService()  # type: ignore[no-untyped-call]
        parent.startService()  # type: ignore[no-untyped-call]
        node.setServiceParent(parent)
        self.assertTrue(node.running)
        left = node.disownServiceParent()
        assert left is not None
        self.assertNoResult(left)
        self.clock.advance(1)
        self.successResultOf(left)
        self.assertIs(node.state, State.STOPPED)
        self.assertEqual(list(parent), [])  # type: ignore[call-overload]
        self.assertIsNone(node.disownServiceParent())

    def test_a_service_has_one_parent(self) -> None:
        node = self.node("a")
        one, other = MultiService(), MultiService()  # type: ignore[no-untyped-call]
        node.setServiceParent(one)
        node.setServiceParent(other)
        self.assertEqual((list(one), list(other)), ([], [node]))  # type: ignore[call-overload]


class BranchTests(TreeTestCase):
    def test_children_start_one_after_the_other_and_stop_in_reverse(self) -> None:
        branch = self.branch(self.node("a", seconds=1), self.node("b"), self.node("c"))
        starting = ensureDeferred(branch.start())
        self.assertEqual(self.heard, [])
        self.clock.advance(1)
        self.successResultOf(starting)
        self.run_now(branch.drain(5))
        self.run_now(branch.stop())
        starts = ["start a", "start b", "start c"]
        self.assertEqual(self.heard, [*starts, "drain c", "drain b", "drain a", "stop c", "stop b", "stop a"])

    def test_one_that_cannot_start_stops_those_before_it(self) -> None:
        last = self.node("c")
        branch = self.branch(self.node("a"), self.branch(self.node("b1"), self.node("b2", failing="start")), last)
        self.failureResultOf(ensureDeferred(branch.start()), ZeroDivisionError)
        self.assertEqual(self.heard, ["start a", "start b1", "start b2", "stop b1", "stop a"])
        self.assertIs(branch.state, State.FAILED)
        self.assertIs(last.state, State.STOPPED)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_that_cannot_drain_or_stop_does_not_keep_the_others_from_it(self) -> None:
        branch = self.branch(self.node("a"), self.node("b", failing="drain"), self.node("c", failing="stop"))
        self.run_now(branch.start())
        self.heard.clear()
        self.run_now(branch.drain(5))
        self.run_now(branch.stop())
        self.assertEqual(self.heard, ["drain c", "drain b", "drain a", "stop c", "stop b", "stop a"])
        self.logged(2)

    def test_one_that_never_ends_does_not_keep_the_others_from_it(self) -> None:
        branch = self.branch(self.node("a"), self.node("b", stopping=10**6), self.node("c"))
        self.run_now(branch.start())
        self.heard.clear()
        stopping = ensureDeferred(branch.stop())
        self.clock.advance(tree.STOP_TIMEOUT - 1)
        self.assertNoResult(stopping)
        with capturedLogs() as events:
            self.clock.advance(1)
        self.successResultOf(stopping)
        self.assertEqual(self.heard, ["stop c", "stop a"])
        self.assertEqual([event["node"] for event in events], ["b"])
        self.assertIs(branch.children["b"].state, State.STOPPED)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_that_will_not_be_told_to_end_does_not_either(self) -> None:
        class Stubborn(Node):
            async def on_stop(self) -> None:
                while True:
                    try:
                        await Deferred()
                    except CancelledError:
                        pass

        branch = self.branch(self.node("a"), Stubborn("b", self.clock))
        self.run_now(branch.start())
        stopping = ensureDeferred(branch.stop())
        self.clock.advance(tree.STOP_TIMEOUT)
        self.successResultOf(stopping)
        self.assertEqual(self.heard, ["start a", "stop a"])

    def test_one_that_does_not_end_its_drain_keeps_the_others_for_a_while(self) -> None:
        class Clinging(Node):
            async def on_drain(self, deadline: float) -> None:
                await Deferred()

        branch = self.branch(self.node("a"), Clinging("b", self.clock))
        self.run_now(branch.start())
        draining = ensureDeferred(branch.drain(5))
        self.clock.advance(5)
        self.assertNoResult(draining)
        self.clock.advance(tree.STOP_TIMEOUT)
        self.successResultOf(draining)
        self.assertEqual(self.heard, ["start a", "drain a"])
        self.run_now(branch.stop())

    def test_a_stop_that_nobody_waits_for_any_more_ends_at_once(self) -> None:
        node = self.node("a", stopping=5)
        self.run_now(node.start())
        stopping = ensureDeferred(node.stop())
        stopping.cancel()
        self.successResultOf(stopping)
        self.assertIs(node.state, State.STOPPED)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.flushLoggedErrors(CancelledError)), 1)

    def test_a_child_is_added_and_removed_while_it_runs(self) -> None:
        branch = self.branch()
        self.run_now(branch.add(self.node("early")))
        self.assertEqual(self.heard, [])
        self.run_now(branch.start())
        child = self.node("late")
        self.run_now(branch.add(child))
        self.assertTrue(child.running)
        self.run_now(branch.remove("late"))
        self.run_now(branch.remove("nobody"))
        self.assertEqual(list(branch.children), ["early"])
        self.assertEqual(self.heard, ["start early", "start late", "stop late"])

    def test_an_added_child_that_cannot_start_is_not_there(self) -> None:
        branch = self.branch(self.node("a"))
        self.run_now(branch.start())
        self.failureResultOf(ensureDeferred(branch.add(self.node("b", failing="start"))), ZeroDivisionError)
        self.assertEqual(list(branch.children), ["a"])
        self.assertTrue(branch.running)
        self.run_now(branch.add(self.node("b")))

    def test_names_are_unique(self) -> None:
        branch = self.branch(self.node("a"))
        self.assertRaises(ValueError, branch.attach, self.node("a"))

    def test_it_can_be_walked_through(self) -> None:
        branch = self.branch(self.node("a"), self.branch(self.node("c"), name="b"), name="root")
        self.assertEqual(
            [(depth, node.name) for depth, node in branch.walk()], [(0, "root"), (1, "a"), (1, "b"), (2, "c")]
        )

    def test_stopping_while_it_starts_ends_the_start(self) -> None:
        branch = self.branch(self.node("a"), self.node("slow", seconds=10), self.node("c"))
        starting = ensureDeferred(branch.start())
        self.run_now(branch.stop())
        self.failureResultOf(starting, CancelledError)
        self.clock.advance(100)
        self.assertEqual(self.heard.count("start slow") + self.heard.count("start c"), 0)
        self.assertIn("stop a", self.heard)
        for _, node in branch.walk():
            self.assertFalse(node.running, node.name)
        self.assertIs(branch.state, State.STOPPED)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopping_it_twice_while_it_starts_stops_all_that_had_begun(self) -> None:
        branch = self.branch(self.node("a", stopping=1), self.node("slow", seconds=10))
        starting = ensureDeferred(branch.start())
        stops = [ensureDeferred(branch.stop()) for _ in range(2)]
        self.clock.advance(1)
        for stop in stops:
            self.successResultOf(stop)
        self.failureResultOf(starting, CancelledError)
        self.assertEqual(self.heard, ["start a", "stop a"])

    def test_stopping_it_while_a_failed_start_is_undone_lets_that_end(self) -> None:
        branch = self.branch(self.node("a", stopping=1), self.node("b", failing="start"), name="inner")
        outer = self.branch(branch, name="outer")
        starting = ensureDeferred(outer.start())
        stopping = ensureDeferred(outer.stop())
        self.assertNoResult(stopping)
        self.clock.advance(1)
        self.successResultOf(stopping)
        self.failureResultOf(starting, ZeroDivisionError)
        self.assertEqual(self.heard, ["start a", "start b", "stop a"])


class LoopTests(TreeTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.gave_up: list[float] = []
        self.began: list[float] = []

    def loop(self, task: Callable[[], Any]) -> Loop:
        async def run() -> None:
            self.began.append(self.clock.seconds())
            await task()

        loop = Loop("loop", self.clock, run, on_giving_up=lambda: self.gave_up.append(self.clock.seconds()))
        self.run_now(loop.start())
        return loop

    async def crash(self) -> None:
        raise ZeroDivisionError

    def pass_time(self, seconds: float, step: float = 0.05) -> None:
        for _ in range(round(seconds / step)):
            self.clock.advance(step)

    def test_one_that_ends_is_done(self) -> None:
        async def task() -> None: ...

        loop = self.loop(task)
        self.clock.advance(1000)
        self.assertEqual(self.began, [0])
        self.assertTrue(loop.running)

    def test_one_that_crashes_is_begun_again_later_and_later(self) -> None:
        self.loop(self.crash)
        self.pass_time(7)
        pauses = [round(b - a, 1) for a, b in zip(self.began, self.began[1:], strict=False)]
        self.assertEqual(pauses, [0.1, 0.2, 0.4, 0.8, 1.6, 3.2])
        self.flushLoggedErrors(ZeroDivisionError)

    def test_one_that_crashes_too_often_is_given_up_loudly(self) -> None:
        loop = self.loop(self.crash)
        self.pass_time(60, 0.1)
        self.assertEqual(len(self.began), tree.MAX_CRASHES + 1)
        self.assertEqual(len(self.gave_up), 1)
        self.assertIs(loop.state, State.FAILED)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.logged(tree.MAX_CRASHES + 1)

    def test_one_that_crashes_now_and_then_goes_on_for_ever(self) -> None:
        async def task() -> None:
            await deferLater(self.clock, 20)  # type: ignore[call-overload]
            raise ZeroDivisionError

        loop = self.loop(task)
        for _ in range(1000):
            self.clock.advance(1)
        self.assertGreater(len(self.began), 3 * tree.MAX_CRASHES)
        self.assertEqual(self.gave_up, [])
        self.assertTrue(loop.running)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_stopping_ends_it_at_work_and_between(self) -> None:
        waiting: Deferred[None] = Deferred()

        async def work() -> None:
            await waiting

        for task in (work, self.crash):
            loop = self.loop(task)
            self.run_now(loop.stop())
            self.assertIs(loop.state, State.STOPPED)
            began = len(self.began)
            self.pass_time(10, 1)
            self.assertEqual(len(self.began), began)
            self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertTrue(waiting.called)
        self.logged()

    def test_one_that_was_given_up_can_be_started_again(self) -> None:
        loop = self.loop(self.crash)
        self.pass_time(60, 0.1)
        self.run_now(loop.stop())
        self.run_now(loop.start())
        self.assertTrue(loop.running)
        self.assertEqual(len(self.began), tree.MAX_CRASHES + 2)
        self.run_now(loop.stop())
        self.flushLoggedErrors(ZeroDivisionError)
