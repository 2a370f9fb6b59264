"""Handlers that do not come to an end: the log names each, and nothing else changes."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from federix.api import Collect, Event, Filter, Stanza, presence
from federix.core.chain import Place, Slot
from federix.core.unfinished import AGAIN, LEAST, PATIENCE

from .support import WorldTestCase, new_chains
from .test_module_faults import NS, Faulty

EVENT: Event[[str]] = Event("event", "For tests.")
FILTER: Filter[str] = Filter("filter", "For tests.")
COLLECT: Collect[[], int] = Collect("collect", "For tests.")


class Named:
    """Hears which handlers the log names."""

    def __init__(self, test: SynchronousTestCase) -> None:
        self._events: list[LogEvent] = []
        globalLogPublisher.addObserver(self._hear)
        test.addCleanup(globalLogPublisher.removeObserver, self._hear)

    def _hear(self, event: LogEvent) -> None:
        if event.get("log_format") == "handler does not end":
            self._events.append(event)

    def take(self, *fields: str) -> list[tuple[object, ...]]:
        """These fields of what was logged since the last time."""
        taken = [tuple(event.get(field) for field in fields) for event in self._events]
        self._events.clear()
        return taken


class UnfinishedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.chains = new_chains(self.clock)
        self.waiting: list[Deferred[Any]] = []
        self.named = Named(self)

    def add(self, hook: Any) -> None:
        def slow(*_: object) -> Deferred[Any]:
            self.waiting.append(Deferred())
            return self.waiting[-1]

        slow.__qualname__ = f"slow_{hook.name}"
        self.chains.add(slow, Place(hook, Slot.NORMAL, ()), "")

    def filter(self) -> Deferred[Any]:
        outcome: Any = FILTER.run(self.chains, "x", presence(None))
        return ensureDeferred(outcome)

    def test_one_of_each_shape_is_named_after_a_minute_with_its_hook(self) -> None:
        asked = {
            EVENT: lambda: EVENT.run(self.chains, "x"),
            FILTER: self.filter,
            COLLECT: lambda: ensureDeferred(COLLECT.gather(self.chains)),
        }
        for hook, ask in asked.items():
            self.add(hook)
            ask()
            self.clock.advance(PATIENCE - 1)
            self.assertEqual(self.named.take("hook"), [], hook)
            self.clock.advance(1)
            self.assertEqual(self.named.take("hook", "module"), [(hook.name, f"slow_{hook.name}")])

    def test_an_event_whose_end_is_waited_for_names_who_does_not_come_to_it(self) -> None:
        self.add(EVENT)
        told = ensureDeferred(EVENT.tell(self.chains, "x"))
        self.clock.advance(PATIENCE)
        self.assertEqual(self.named.take("hook"), [("event",)])
        self.assertNoResult(told)

    def test_the_second_of_a_filter_that_waits_is_named_for_its_own_time(self) -> None:
        self.add(FILTER)
        self.add(FILTER)
        self.filter()
        self.clock.advance(PATIENCE - 1)
        self.waiting[0].callback(None)
        self.clock.advance(PATIENCE - 1)
        self.assertEqual(self.named.take("hook"), [])
        self.clock.advance(LEAST)
        self.assertEqual(self.named.take("hook"), [("filter",)])

    def test_what_ends_in_time_is_not_named_however_it_ends(self) -> None:
        self.add(COLLECT)
        for end in (lambda d: d.callback([1]), lambda d: d.errback(ZeroDivisionError()), lambda d: d.cancel()):
            found = ensureDeferred(COLLECT.gather(self.chains))
            self.assertEqual(len(self.chains.unfinished), 1)
            self.clock.advance(PATIENCE - 1)
            end(self.waiting.pop())
            self.successResultOf(found)
            self.assertEqual(len(self.chains.unfinished), 0)
            self.clock.advance(PATIENCE)
        self.assertEqual(self.named.take("hook"), [])
        self.flushLoggedErrors(ZeroDivisionError)

    def test_what_ends_after_it_was_named_has_its_effect(self) -> None:
        self.add(FILTER)
        outcome = self.filter()
        self.clock.advance(PATIENCE)
        self.waiting[0].callback(None)
        self.assertIsInstance(self.successResultOf(outcome), Stanza)

    def test_the_same_handler_is_not_named_again_for_some_minutes(self) -> None:
        self.add(COLLECT)
        for _ in range(3):
            for _ in range(100):
                ensureDeferred(COLLECT.gather(self.chains))
            self.clock.advance(PATIENCE)
        self.assertEqual(self.named.take("hook"), [("collect",)])
        self.clock.advance(AGAIN)
        self.assertEqual(self.named.take("hook"), [])
        ensureDeferred(COLLECT.gather(self.chains))
        self.clock.advance(PATIENCE)
        self.assertEqual(self.named.take("hook"), [("collect",)])

    def test_nothing_is_kept_of_what_was_named(self) -> None:
        self.add(COLLECT)
        for _ in range(100):
            ensureDeferred(COLLECT.gather(self.chains))
        self.clock.advance(PATIENCE)
        self.assertEqual(len(self.chains.unfinished), 0)

    def test_there_is_one_timer_however_many_wait_and_none_when_nobody_does(self) -> None:
        self.add(COLLECT)
        for _ in range(100):
            ensureDeferred(COLLECT.gather(self.chains))
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        for waiting in self.waiting:
            waiting.callback([])
        self.clock.advance(PATIENCE)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_those_who_began_one_shortly_after_the_other_are_looked_at_together(self) -> None:
        self.add(COLLECT)
        looks = 0
        for _ in range(100):
            ensureDeferred(COLLECT.gather(self.chains))
            self.clock.advance(LEAST / 10)
        self.clock.advance(PATIENCE - 100 * LEAST / 10)
        while len(self.chains.unfinished):
            self.clock.advance(self.clock.getDelayedCalls()[0].getTime() - self.clock.seconds())
            looks += 1
        self.assertLessEqual(looks, 11)


class HostTests(WorldTestCase):
    """With a whole server."""

    def setUp(self) -> None:
        self.world = self.new_world(modules={"mod_faulty": {}}, own_modules={"mod_faulty": Faulty})
        self.romeo = self.world.client("romeo@example.org/orchard")
        self.named = Named(self)

    def fault(self, fault: str) -> None:
        self.world.host("example.org").module(Faulty).options = Faulty.Options(fault=fault)

    def ask(self, name: str) -> None:
        self.romeo.send(f"<iq type='get' to='example.org' id='i'><{name} xmlns='{NS}'/></iq>")

    def test_a_request_that_is_never_answered_is_named(self) -> None:
        self.fault("iq never")
        for name in ("detached", "query"):
            self.ask(name)
            self.world.advance(PATIENCE)
            self.assertEqual(self.named.take("ns", "name", "module"), [(NS, name, "mod_faulty")])
        self.romeo.nothing()

    def test_a_filter_that_never_ends_is_named(self) -> None:
        self.fault("user_send_packet never")
        self.romeo.send("<message to='juliet@example.org' id='marked'/>")
        self.world.advance(PATIENCE)
        self.assertEqual(self.named.take("hook", "module"), [("user_send_packet", "mod_faulty")])

    def test_a_server_that_stops_names_nobody_and_leaves_nothing_behind(self) -> None:
        self.fault("iq never")
        self.ask("detached")
        self.ask("query")
        unfinished = self.world.host("example.org").chains.unfinished
        self.assertEqual(len(unfinished), 2)
        self.world.stop()
        self.assertEqual(len(unfinished), 0)
        self.assertEqual(self.world.clock.getDelayedCalls(), [])
        self.assertEqual(self.named.take("module"), [])

    def test_a_server_that_was_stopped_and_started_names_them_again(self) -> None:
        self.fault("iq never")
        self.ask("detached")
        stopped = ensureDeferred(self.world.server.stop())
        self.world.advance(10)
        self.successResultOf(stopped)
        self.world.run(self.world.server.start())
        self.romeo = self.world.client("romeo@example.org/orchard")
        self.fault("iq never")
        self.ask("detached")
        self.world.advance(PATIENCE)
        self.assertEqual(self.named.take("name"), [("detached",)])
