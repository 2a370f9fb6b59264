"""A module that raises, blocks or leaks: what it costs, whom it costs nothing, and what the log says of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher

from federix.api import (
    IQ,
    JID,
    Collect,
    Event,
    Module,
    Outcome,
    Session,
    Stanza,
    hooks,
    iq_get,
    option,
)
from federix.core import chain
from federix.core import iq as iq_module
from federix.core.chain import Place, Slot
from federix.life.tree import STOP_TIMEOUT
from federix.streams.reading import LEFT_BEHIND
from federix.testing import Client

from .support import WorldTestCase, condition, new_chains

NS = "urn:example:faulty"
EVENT: Event[[str]] = Event("event", "For tests.")
COLLECT: Collect[[], int] = Collect("collect", "For tests.")


class Faulty(Module):
    """Fails where, and how, its option says: "<hook> raise", "… raise-later", "… never", "… endless", "… block"."""

    name = "mod_faulty"

    @dataclass(frozen=True)
    class Options(Module.Options):
        fault: str = option("", "What to do wrong.")

    options: Options

    async def on_start(self) -> None:
        self.waiting: list[Deferred[Any]] = []
        self.ended = 0
        self.block: Any = None
        await self.maybe_later("on_start")

    async def on_stop(self) -> None:
        await self.maybe_later("on_stop")

    def reconfigure(self, old: Options, new: Options) -> None:
        self.fail("reconfigure")

    def fault(self, where: str) -> str:
        hook, _, fault = self.options.fault.partition(" ")
        return fault if hook == where else ""

    def fail(self, where: str) -> Any:
        fault = self.fault(where)
        if fault == "raise":
            raise ZeroDivisionError
        if fault == "endless":
            return itertools.repeat(None)
        if fault == "block":
            self.block()
        return self.later(fault) if fault in ("raise-later", "never") else None

    async def maybe_later(self, where: str) -> None:
        waiting = self.fail(where)
        if waiting is not None:
            await waiting

    async def later(self, fault: str) -> None:
        waiting: Deferred[None] = Deferred()
        self.waiting.append(waiting)
        try:
            await waiting
        finally:
            self.ended += 1
        raise ZeroDivisionError

    @hooks.user_sent_packet
    def watch(self, session: Session, stanza: Stanza) -> Any:
        return self.fail("user_sent_packet") if self.is_marked(stanza) else None

    @hooks.user_send_packet
    def send(self, session: Session, stanza: Stanza) -> Outcome:
        outcome: Outcome = self.fail("user_send_packet") if self.is_marked(stanza) else None
        return outcome

    @hooks.sm_receive_packet
    def receive(self, account: JID, stanza: Stanza) -> Outcome:
        outcome: Outcome = self.fail("sm_receive_packet") if self.is_marked(stanza) else None
        return outcome

    @hooks.sm_remove_connection
    def gone(self, session: Session) -> Any:
        return self.fail("sm_remove_connection")

    @hooks.register_user
    def registered(self, account: JID) -> Any:
        return self.fail("register_user")

    @hooks.disco_local_features
    def local_features(self, who: JID, node: str) -> Any:
        found = self.fail("disco_local_features") if node else None
        return () if found is None else found

    @iq_get(NS, "query")
    def answer(self, iq: IQ) -> Any:
        return self.fail("iq")

    @iq_get(NS, "detached", detached=True)
    def answer_detached(self, iq: IQ) -> Any:
        return self.fail("iq")

    @iq_get(NS, "timer")
    def set_timer(self, iq: IQ) -> None:
        self.scope.later(1, self.fail, "timer")

    @iq_get(NS, "task")
    def begin_task(self, iq: IQ) -> None:
        self.scope.spawn(self.maybe_later("task"))

    def is_marked(self, stanza: Stanza) -> bool:
        return stanza.id == "marked"


class FaultTestCase(WorldTestCase):
    def setUp(self) -> None:
        self.logged: list[LogEvent] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)

    def blamed(self, **fields: str) -> None:
        """One failure was logged, and says whose it is."""
        [event] = [event for event in self.logged if "log_failure" in event]
        self.assertEqual({key: event.get(key) for key in fields}, fields)
        self.logged.clear()
        self.failures(ZeroDivisionError)

    def nothing_logged(self) -> None:
        self.assertEqual([event["log_format"] for event in self.logged if "log_failure" in event], [])


class SceneTestCase(FaultTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.world = self.new_world(modules=self.modules(""), own_modules={"mod_faulty": Faulty})
        self.romeo = self.world.client("romeo@example.org/orchard")
        self.juliet = self.world.client("juliet@example.org/balcony")
        self.nurse = self.world.client("nurse@example.org/house")

    def modules(self, fault: str) -> dict[str, Any]:
        return {"mod_disco": {}, "mod_faulty": {"fault": fault}}

    @property
    def module(self) -> Faulty:
        return self.world.host("example.org").module(Faulty)

    def faulty(self, fault: str) -> None:
        self.module.options = Faulty.Options(fault=fault)

    def send_marked(self, client: Client | None = None) -> None:
        (client or self.romeo).send("<message to='juliet@example.org/balcony' id='marked'/>")

    def others_chat(self) -> None:
        self.nurse.send("<message to='juliet@example.org/balcony' id='n'><body>x</body></message>")
        self.juliet.expect("<message from='nurse@example.org/house' id='n'/>")
        self.juliet.nothing()


class HookFaultTests(SceneTestCase):
    """The three shapes."""

    # -- events: the others hear it, and the stanza goes on -------------------------------------------------------

    def test_an_event_handler_that_fails_is_named_and_costs_nobody_anything(self) -> None:
        for fault in ("raise", "raise-later"):
            self.faulty(f"user_sent_packet {fault}")
            self.send_marked()
            for waiting in self.module.waiting:
                waiting.callback(None)
            self.juliet.expect("<message id='marked'/>")
            self.blamed(module="mod_faulty", hook="user_sent_packet")
            self.others_chat()

    def test_event_handlers_that_never_end_hold_up_nothing_and_are_so_many_at_most(self) -> None:
        self.patch(chain, "MAX_BACKGROUND", 3)
        self.faulty("user_sent_packet never")
        for _ in range(5):
            self.send_marked()
            self.juliet.expect("<message id='marked'/>")
        self.assertEqual(len(self.module.waiting), 3)
        self.assertEqual({event["module"] for event in self.logged if "log_failure" in event}, {"mod_faulty"})
        self.failures(chain.TooMuch, 2)
        self.others_chat()
        module = self.module
        self.world.stop()
        self.assertEqual(module.ended, 3)

    def test_a_session_ends_for_all_though_a_handler_fails_to_hear_of_it(self) -> None:
        self.faulty("sm_remove_connection raise")
        self.romeo.cut()
        self.assertEqual(len(self.world.host("example.org").sessions), 2)
        self.blamed(module="mod_faulty", hook="sm_remove_connection")
        self.others_chat()
        self.faulty("")

    def test_an_account_is_made_though_a_handler_fails_to_hear_of_it(self) -> None:
        for count, fault in enumerate(("raise", "raise-later")):
            self.faulty(f"register_user {fault}")
            made = ensureDeferred(self.world.host("example.org").accounts.register(f"paris{count}", "secret"))
            for waiting in self.module.waiting:
                waiting.callback(None)
            self.successResultOf(made)
            self.blamed(module="mod_faulty", hook="register_user")

    # -- filters: what was not allowed does not pass ----------------------------------------------------------------

    def test_a_filter_that_fails_is_named_and_refuses_that_stanza_alone(self) -> None:
        for fault in ("raise", "raise-later"):
            self.faulty(f"user_send_packet {fault}")
            self.send_marked()
            for waiting in self.module.waiting:
                waiting.callback(None)
            self.assertEqual(condition(self.romeo.receive()), "internal-server-error")
            self.blamed(module="mod_faulty", hook="user_send_packet")
            self.others_chat()

    def test_a_filter_that_never_ends_pauses_that_stream_alone(self) -> None:
        for hook in ("user_send_packet", "sm_receive_packet"):
            romeo = self.world.client(f"romeo@example.org/{hook}")
            self.faulty(f"{hook} never")
            self.send_marked(romeo)
            romeo.send("<message to='juliet@example.org/balcony' id='behind'/>")
            self.others_chat()
            self.faulty("")

    def test_what_never_ends_is_given_up_some_time_after_its_stream_is_gone(self) -> None:
        scope = self.world.server.scope
        before = len(scope)
        self.faulty("user_send_packet never")
        for count in range(5):
            romeo = self.world.client(f"romeo@example.org/{count}")
            self.send_marked(romeo)
            romeo.cut()
        self.assertGreater(len(scope), before)
        self.assertEqual(self.module.ended, 0)
        self.world.advance(LEFT_BEHIND)
        self.assertEqual(self.module.ended, 5)
        self.assertEqual(len(scope), before)
        self.nothing_logged()
        self.others_chat()

    def test_what_ends_after_its_stream_is_not_given_up(self) -> None:
        self.faulty("user_send_packet never")
        self.send_marked()
        self.romeo.cut()
        [waiting] = self.module.waiting
        waiting.errback(ZeroDivisionError())
        self.blamed(module="mod_faulty", hook="user_send_packet")
        self.assertFalse([call for call in self.world.clock.getDelayedCalls() if call.func.__name__ == "cancel"])

    def test_a_filter_that_never_ends_ends_with_the_server(self) -> None:
        self.faulty("user_send_packet never")
        self.send_marked()
        module = self.module
        self.world.stop()
        self.assertEqual(module.ended, 1)
        self.nothing_logged()

    def test_a_handler_that_blocks_loses_nothing(self) -> None:
        """One thread is one thread: everybody waits. What came meanwhile is there afterwards, in its order."""
        self.module.block = lambda: self.nurse.transport.write(
            b"<message to='juliet@example.org/balcony' id='n1'/><message to='juliet@example.org/balcony' id='n2'/>"
        )
        self.faulty("user_send_packet block")
        self.send_marked()
        self.assertEqual([element.get("id") for element in self.juliet.drain()], ["marked", "n1", "n2"])
        self.faulty("")

    # -- collects: its items are missing -----------------------------------------------------------------------------

    def ask_disco(self) -> None:
        """Ask the host for its features; it is a list that modules add to."""
        self.romeo.send(
            "<iq type='get' id='d' to='example.org'>"
            "<query xmlns='http://jabber.org/protocol/disco#info' node='x'/></iq>"
        )

    def collected(self) -> list[str]:
        """What the list holds, where it is asked for directly."""
        host = self.world.host("example.org")
        found = ensureDeferred(hooks.disco_local_features.gather(host.chains, host.jid, "x"))
        for waiting in self.module.waiting:
            waiting.callback(None)
        return self.successResultOf(found)

    def test_a_list_lacks_the_items_of_who_fails_and_names_it(self) -> None:
        for fault in ("raise", "raise-later"):
            self.faulty(f"disco_local_features {fault}")
            self.assertEqual(self.collected(), [])
            self.blamed(module="mod_faulty", hook="disco_local_features")

    def test_an_endless_list_is_cut_short(self) -> None:
        self.patch(chain, "MAX_ITEMS", 100)
        self.faulty("disco_local_features endless")
        self.assertEqual(self.collected(), [])
        self.assertEqual([event["module"] for event in self.logged if "log_failure" in event], ["mod_faulty"])
        self.failures(chain.TooMuch)

    def test_a_list_that_never_comes_pauses_the_stream_that_asks_alone(self) -> None:
        self.faulty("disco_local_features never")
        self.ask_disco()
        self.romeo.send("<message to='juliet@example.org/balcony' id='behind'/>")
        self.others_chat()
        module = self.module
        self.world.stop()
        self.assertEqual(module.ended, len(module.waiting))
        self.nothing_logged()


class IqFaultTests(SceneTestCase):
    """Handlers of requests, timers, tasks."""

    def ask(self, name: str = "query") -> None:
        self.romeo.send(f"<iq type='get' to='example.org' id='i'><{name} xmlns='{NS}'/></iq>")

    def test_a_request_whose_handler_fails_is_answered_and_the_module_named(self) -> None:
        for fault in ("raise", "raise-later"):
            self.faulty(f"iq {fault}")
            self.ask()
            for waiting in self.module.waiting:
                waiting.callback(None)
            self.assertEqual(condition(self.romeo.receive()), "internal-server-error")
            self.blamed(module="mod_faulty", ns=NS, name="query")
            self.others_chat()

    def test_a_request_that_is_never_answered_pauses_its_stream_alone_and_ends_with_the_server(self) -> None:
        self.faulty("iq never")
        self.ask()
        self.romeo.send("<message to='juliet@example.org/balcony' id='behind'/>")
        self.others_chat()
        module = self.module
        self.world.stop()
        self.assertEqual(module.ended, 1)
        self.nothing_logged()

    def test_answers_that_never_come_are_so_many_at_most(self) -> None:
        self.patch(iq_module, "MAX_DETACHED", 3)
        self.faulty("iq never")
        for _ in range(3):
            self.ask("detached")
        self.romeo.nothing()
        self.ask("detached")
        self.assertEqual(condition(self.romeo.receive()), "resource-constraint")
        self.module.waiting[0].callback(None)
        self.assertEqual(condition(self.romeo.receive()), "internal-server-error")
        self.failures(ZeroDivisionError)
        self.ask("detached")
        self.romeo.nothing()
        self.others_chat()

    def test_a_timer_that_fails_is_named_and_the_others_go_off(self) -> None:
        heard: list[str] = []
        self.faulty("timer raise")
        self.ask("timer")
        self.romeo.expect("<iq type='result'/>")
        self.world.server.scope.later(1, heard.append, "x")
        self.world.advance(1)
        self.blamed(scope="mod_faulty")
        self.assertEqual(heard, ["x"])
        self.others_chat()

    def test_a_task_that_fails_is_named(self) -> None:
        self.faulty("task raise")
        self.ask("task")
        self.romeo.expect("<iq type='result'/>")
        self.blamed(scope="mod_faulty")


class LifeFaultTests(SceneTestCase):
    """Starting, stopping, reloading."""

    def reload(self, fault: str) -> Deferred[None]:
        modules = self.modules(fault)
        done = ensureDeferred(
            self.world.server.reload(self.world.configure({**self.world.settings, "modules": modules}))
        )
        self.world.pump()
        return done

    def test_a_module_that_cannot_take_its_options_is_named_and_the_rest_is_reloaded(self) -> None:
        [told] = self.successResultOf(self.reload("reconfigure raise"))
        self.assertRegex(
            told, r"^mod_faulty could not take its new options on example.org: ZeroDivisionError: .*:\d+\)$"
        )
        self.blamed(module="mod_faulty", host="example.org")
        self.others_chat()

    def test_a_module_that_fails_to_stop_is_named_and_stops(self) -> None:
        self.faulty("on_stop raise")
        self.world.stop()
        self.blamed(node="mod_faulty")
        self.assertEqual(self.world.clock.getDelayedCalls(), [])

    def test_a_module_that_never_stops_is_named_and_the_server_stops(self) -> None:
        self.faulty("on_stop never")
        stopping = ensureDeferred(self.world.server.stop())
        self.world.advance(STOP_TIMEOUT + 5)
        self.successResultOf(stopping)
        self.assertIn("mod_faulty", [event.get("node") for event in self.logged])
        self.assertEqual(self.world.clock.getDelayedCalls(), [])

    def test_a_module_that_never_stops_does_not_keep_a_reload_from_its_end(self) -> None:
        self.faulty("on_stop never")
        settings = {**self.world.settings, "modules": {}}
        reloading = ensureDeferred(self.world.server.reload(self.world.configure(settings)))
        self.world.advance(STOP_TIMEOUT)
        self.successResultOf(reloading)

    def test_a_module_that_fails_to_start_leaves_no_server_behind(self) -> None:
        world = self.new_world(modules=self.modules("on_start raise"), own_modules={"mod_faulty": Faulty}, start=False)
        self.assertRaises(ZeroDivisionError, world.run, world.server.start())
        self.assertEqual(world.clock.getDelayedCalls(), [])

    def test_a_server_whose_module_never_starts_can_be_stopped(self) -> None:
        world = self.new_world(modules=self.modules("on_start never"), own_modules={"mod_faulty": Faulty}, start=False)
        starting = ensureDeferred(world.server.start())
        self.assertNoResult(starting)
        world.stop()
        self.failureResultOf(starting, CancelledError)
        self.assertEqual(world.clock.getDelayedCalls(), [])


class CancelledTests(FaultTestCase):
    """Who waits when all ends, or when its module is taken out, has not failed."""

    def setUp(self) -> None:
        super().setUp()
        self.chains = new_chains(Clock())
        self.waiting: list[Deferred[Any]] = []
        self.heard: list[str] = []

    def add(self, hook: Any, handler: Any) -> None:
        self.chains.add(handler, Place(hook, Slot.NORMAL, ()), "")

    async def slow(self, *_: object) -> Iterable[int]:
        waiting: Deferred[Any] = Deferred()
        self.waiting.append(waiting)
        await waiting
        return (1,)

    def test_telling_ends_with_the_host(self) -> None:
        self.add(EVENT, self.slow)
        self.add(EVENT, self.heard.append)
        told = ensureDeferred(EVENT.tell(self.chains, "x"))
        self.chains.scope.close()
        told.cancel()
        self.failureResultOf(told, CancelledError)
        self.assertEqual(self.heard, [])
        self.nothing_logged()

    def test_the_others_are_told_when_one_is_taken_out_meanwhile(self) -> None:
        self.add(EVENT, self.slow)
        self.add(EVENT, self.heard.append)
        told = ensureDeferred(EVENT.tell(self.chains, "x"))
        self.waiting[0].cancel()
        self.successResultOf(told)
        self.assertEqual(self.heard, ["x"])
        self.nothing_logged()

    def test_gathering_ends_with_the_host(self) -> None:
        self.add(COLLECT, self.slow)
        found = ensureDeferred(COLLECT.gather(self.chains))
        self.chains.scope.close()
        found.cancel()
        self.failureResultOf(found, CancelledError)
        self.nothing_logged()

    def test_the_items_of_one_that_is_taken_out_meanwhile_are_missing(self) -> None:
        self.add(COLLECT, self.slow)
        self.add(COLLECT, lambda: (2,))
        found = ensureDeferred(COLLECT.gather(self.chains))
        self.waiting[0].cancel()
        self.assertEqual(self.successResultOf(found), [2])
        self.nothing_logged()


class CollectFaultTests(FaultTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.chains = new_chains(Clock())

    def add(self, handler: Any) -> None:
        self.chains.add(handler, Place(COLLECT, Slot.NORMAL, ()), "")

    def test_an_endless_list_is_a_bug_and_its_items_are_missing(self) -> None:
        self.patch(chain, "MAX_ITEMS", 3)
        self.add(lambda: itertools.count())
        self.add(lambda: (1, 2, 3))
        self.assertEqual(COLLECT.gather_now(self.chains), [1, 2, 3])
        self.failures(chain.TooMuch)
        self.assertEqual(self.successResultOf(ensureDeferred(COLLECT.gather(self.chains))), [1, 2, 3])
        self.failures(chain.TooMuch)

    def test_a_list_that_fails_in_its_middle_adds_nothing(self) -> None:
        def half() -> Iterable[int]:
            yield 1
            raise ZeroDivisionError

        self.add(half)
        self.add(lambda: (2,))
        self.assertEqual(COLLECT.gather_now(self.chains), [2])
        self.assertEqual(self.successResultOf(ensureDeferred(COLLECT.gather(self.chains))), [2])
        self.failures(ZeroDivisionError, 2)
