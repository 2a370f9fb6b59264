"""Hooks: the three shapes and the one rule of each, the order of a chain, and what a bug in a handler costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import CancelledError, ensureDeferred
from twisted.internet.task import Clock

from federix.api import (
    HANDLED,
    JID,
    Collect,
    Condition,
    Element,
    Event,
    Filter,
    Message,
    Module,
    Outcome,
    Session,
    Slot,
    Stanza,
    StanzaError,
    hooks,
)
from federix.core.chain import Chains, Handled, HandlerCrashed, Place, places_of
from federix.life.scope import Scope
from federix.testing import Client

from .support import Gate, WorldTestCase, condition

EVENT: Event[[str]] = Event("event", "For tests.")
FILTER: Filter[str] = Filter("filter", "For tests.")
COLLECT: Collect[[], int] = Collect("collect", "For tests.")


def message(body: str) -> Message:
    return Message(Element("message", "jabber:client", Element("body", "jabber:client", text=body)))


class ChainTestCase(WorldTestCase):
    def setUp(self) -> None:
        self.chains = Chains(Scope(Clock()))
        self.heard: list[Any] = []

    def add(
        self, hook: Any, handler: Callable[..., Any], slot: Slot = Slot.NORMAL, owner: str = "", *, after: Any = ()
    ) -> Callable[[], None]:
        return self.chains.add(handler, Place(hook, slot, after), owner)

    def finish(self, awaitable: Any) -> Any:
        """The result of what need not wait."""
        return self.successResultOf(ensureDeferred(awaitable))


class EventTests(ChainTestCase):
    def test_everyone_hears_it_in_the_order_of_loading(self) -> None:
        self.add(EVENT, lambda text: self.heard.append((1, text)))
        self.add(EVENT, lambda text: self.heard.append((2, text)))
        EVENT.run(self.chains, "x")
        self.assertEqual(self.heard, [(1, "x"), (2, "x")])

    def test_one_that_fails_is_logged_and_the_others_hear_it(self) -> None:
        def fail(text: str) -> None:
            raise ZeroDivisionError

        self.add(EVENT, fail)
        self.add(EVENT, self.heard.append)
        EVENT.run(self.chains, "x")
        self.assertEqual(self.heard, ["x"])
        self.failures(ZeroDivisionError)

    def test_a_stanza_error_of_one_that_hears_is_a_bug_like_any_other(self) -> None:
        def fail(text: str) -> None:
            raise StanzaError(Condition.FORBIDDEN)

        self.add(EVENT, fail)
        EVENT.run(self.chains, "x")
        self.failures(StanzaError)

    def test_one_that_waits_holds_up_nobody(self) -> None:
        gate = Gate()

        async def slow(text: str) -> None:
            await gate.wait()
            self.heard.append(f"slow {text}")

        self.add(EVENT, slow)
        self.add(EVENT, self.heard.append)
        EVENT.run(self.chains, "x")
        self.assertEqual(self.heard, ["x"])
        gate.open()
        self.assertEqual(self.heard, ["x", "slow x"])

    def test_one_that_waits_ends_with_the_host(self) -> None:
        gate = Gate()

        async def slow(text: str) -> None:
            try:
                await gate.wait()
            finally:
                self.heard.append("ended")

        self.add(EVENT, slow)
        EVENT.run(self.chains, "x")
        self.chains.scope.close()
        self.assertEqual(self.heard, ["ended"])

    def test_one_that_waits_and_fails_is_logged(self) -> None:
        gate = Gate()

        async def slow(text: str) -> None:
            await gate.wait()

        self.add(EVENT, slow)
        EVENT.run(self.chains, "x")
        gate.open(ZeroDivisionError())
        self.failures(ZeroDivisionError)

    def test_tell_waits_for_each_in_turn(self) -> None:
        gate = Gate()

        async def slow(text: str) -> None:
            await gate.wait()
            self.heard.append("slow")

        self.add(EVENT, slow)
        self.add(EVENT, self.heard.append)
        told = ensureDeferred(EVENT.tell(self.chains, "x"))
        self.assertNoResult(told)
        self.assertEqual(self.heard, [])
        gate.open()
        self.successResultOf(told)
        self.assertEqual(self.heard, ["slow", "x"])

    def test_tell_goes_on_when_one_fails(self) -> None:
        def fail(text: str) -> None:
            raise ZeroDivisionError

        async def fail_later(text: str) -> None:
            raise ZeroDivisionError

        self.add(EVENT, fail)
        self.add(EVENT, fail_later)
        self.add(EVENT, self.heard.append)
        self.finish(EVENT.tell(self.chains, "x"))
        self.assertEqual(self.heard, ["x"])
        self.failures(ZeroDivisionError, 2)


class FilterTests(ChainTestCase):
    def handler(self, number: int, outcome: Outcome = None) -> Callable[[str, Stanza], Outcome]:
        def handle(subject: str, stanza: Stanza) -> Outcome:
            self.heard.append((number, stanza))
            return outcome

        return handle

    def slow(self, gate: Gate, number: int, outcome: Outcome = None) -> Callable[[str, Stanza], Any]:
        async def handle(subject: str, stanza: Stanza) -> Outcome:
            self.heard.append((number, stanza))
            await gate.wait()
            return outcome

        return handle

    def test_an_empty_chain_lets_it_pass(self) -> None:
        stanza = message("x")
        self.assertIs(FILTER.run(self.chains, "", stanza), stanza)

    def test_none_lets_it_pass(self) -> None:
        stanza = message("x")
        self.add(FILTER, self.handler(1))
        self.add(FILTER, self.handler(2))
        self.assertIs(FILTER.run(self.chains, "", stanza), stanza)
        self.assertEqual(self.heard, [(1, stanza), (2, stanza)])

    def test_handled_ends_it(self) -> None:
        self.add(FILTER, self.handler(1, HANDLED))
        self.add(FILTER, self.handler(2))
        self.assertIs(FILTER.run(self.chains, "", message("x")), HANDLED)
        self.assertEqual([number for number, _ in self.heard], [1])

    def test_a_stanza_takes_its_place(self) -> None:
        other = message("y")
        self.add(FILTER, self.handler(1, other))
        self.add(FILTER, self.handler(2))
        self.assertIs(FILTER.run(self.chains, "", message("x")), other)
        self.assertEqual(self.heard[1], (2, other))

    def test_a_stanza_error_ends_it(self) -> None:
        def refuse(subject: str, stanza: Stanza) -> Outcome:
            raise StanzaError(Condition.FORBIDDEN)

        self.add(FILTER, refuse)
        self.add(FILTER, self.handler(2))
        error = self.assertRaises(StanzaError, FILTER.run, self.chains, "", message("x"))
        self.assertIs(error.condition, Condition.FORBIDDEN)
        self.assertEqual(self.heard, [])

    def test_a_bug_refuses_it(self) -> None:
        def fail(subject: str, stanza: Stanza) -> Outcome:
            raise ZeroDivisionError

        self.add(FILTER, fail)
        self.add(FILTER, self.handler(2))
        self.assertRaises(HandlerCrashed, FILTER.run, self.chains, "", message("x"))
        self.assertEqual(self.heard, [])
        self.failures(ZeroDivisionError)

    def test_a_handler_may_wait_and_the_rest_stands_behind_it(self) -> None:
        gate, other = Gate(), message("y")
        self.add(FILTER, self.slow(gate, 1, other))
        self.add(FILTER, self.handler(2))
        self.add(FILTER, self.slow(gate, 3))
        self.add(FILTER, self.handler(4))
        done = ensureDeferred(FILTER.run(self.chains, "", message("x")))
        self.assertEqual([number for number, _ in self.heard], [1])
        gate.open()
        self.assertEqual(self.heard[1:], [(2, other), (3, other)])
        gate.open()
        self.assertIs(self.successResultOf(done), other)
        self.assertEqual(self.heard[3:], [(4, other)])

    def test_handled_later_ends_it_as_well(self) -> None:
        gate = Gate()
        self.add(FILTER, self.slow(gate, 1, HANDLED))
        self.add(FILTER, self.handler(2))
        done = ensureDeferred(FILTER.run(self.chains, "", message("x")))
        gate.open()
        self.assertIsInstance(self.successResultOf(done), Handled)
        self.assertEqual([number for number, _ in self.heard], [1])

    def test_handled_behind_one_that_waits_ends_it(self) -> None:
        gate = Gate()
        self.add(FILTER, self.slow(gate, 1))
        self.add(FILTER, self.handler(2, HANDLED))
        self.add(FILTER, self.handler(3))
        done = ensureDeferred(FILTER.run(self.chains, "", message("x")))
        gate.open()
        self.assertIsInstance(self.successResultOf(done), Handled)
        self.assertEqual([number for number, _ in self.heard], [1, 2])

    def test_an_error_that_comes_later_ends_it(self) -> None:
        for error, raised in ((StanzaError(Condition.FORBIDDEN), StanzaError), (ZeroDivisionError(), HandlerCrashed)):
            gate = Gate()
            undo = self.add(FILTER, self.slow(gate, 1))
            done = ensureDeferred(FILTER.run(self.chains, "", message("x")))
            gate.open(error)
            self.failureResultOf(done, raised)
            undo()
        self.failures(ZeroDivisionError)

    def test_a_bug_behind_one_that_waits_refuses_it(self) -> None:
        def fail(subject: str, stanza: Stanza) -> Outcome:
            raise ZeroDivisionError

        gate = Gate()
        self.add(FILTER, self.slow(gate, 1))
        self.add(FILTER, fail)
        done = ensureDeferred(FILTER.run(self.chains, "", message("x")))
        gate.open()
        self.failureResultOf(done, HandlerCrashed)
        self.failures(ZeroDivisionError)

    def test_what_is_neither_outcome_nor_awaitable_is_a_bug(self) -> None:
        def confused(subject: str, stanza: Stanza) -> Any:
            return True

        gate = Gate()
        self.add(FILTER, confused)
        outcome = FILTER.run(self.chains, "", message("x"))
        self.failureResultOf(ensureDeferred(outcome), HandlerCrashed)
        self.failures(TypeError)
        self.add(FILTER, self.slow(gate, 1), Slot.CHECK)
        done = ensureDeferred(FILTER.run(self.chains, "", message("x")))
        gate.open()
        self.failureResultOf(done, HandlerCrashed)
        self.failures(TypeError)


class CollectTests(ChainTestCase):
    def setUp(self) -> None:
        super().setUp()

        def fail() -> Iterable[int]:
            raise ZeroDivisionError

        async def slow() -> Iterable[int]:
            return [3]

        self.add(COLLECT, lambda: (1, 2))
        self.add(COLLECT, fail)
        self.slow = slow

    def test_the_items_of_all_are_joined_without_those_of_one_that_fails(self) -> None:
        self.add(COLLECT, self.slow)
        self.add(COLLECT, lambda: [4])
        self.assertEqual(self.finish(COLLECT.gather(self.chains)), [1, 2, 3, 4])
        self.failures(ZeroDivisionError)

    def test_a_refusal_is_the_answer(self) -> None:
        def refuse() -> Iterable[int]:
            raise StanzaError(Condition.ITEM_NOT_FOUND)

        self.add(COLLECT, refuse)
        self.failureResultOf(ensureDeferred(COLLECT.gather(self.chains)), StanzaError)
        self.failures(ZeroDivisionError)

    def test_one_that_waits_is_a_bug_where_no_time_is(self) -> None:
        self.add(COLLECT, self.slow)
        self.assertEqual(COLLECT.gather_now(self.chains), [1, 2])
        self.failures(ZeroDivisionError)
        self.failures(TypeError)


class OrderTests(ChainTestCase):
    def order(self) -> list[str]:
        return [entry.owner for entry in self.chains.entries(EVENT)]

    def place(self, owner: str, slot: Slot = Slot.NORMAL, after: tuple[str, ...] = ()) -> Callable[[], None]:
        return self.add(EVENT, lambda text: self.heard.append(owner), slot, owner, after=after)

    def test_slots_come_before_the_order_of_loading(self) -> None:
        self.place("d", Slot.FALLBACK)
        self.place("c")
        self.place("b", Slot.CHANGE)
        self.place("a", Slot.CHECK)
        self.place("c2")
        self.assertEqual(self.order(), ["a", "b", "c", "c2", "d"])
        EVENT.run(self.chains, "x")
        self.assertEqual(self.heard, ["a", "b", "c", "c2", "d"])

    def test_one_that_stands_behind_another_does_so_whichever_was_loaded_first(self) -> None:
        self.place("carbons", after=("archive",))
        self.place("other")
        self.place("archive")
        self.assertEqual(self.order(), ["other", "archive", "carbons"])

    def test_it_stays_where_it_is_when_the_other_is_before_it_anyway(self) -> None:
        self.place("archive", Slot.CHANGE)
        self.place("carbons", after=("archive",))
        self.place("other")
        self.assertEqual(self.order(), ["archive", "carbons", "other"])

    def test_who_is_not_there_need_not_be_waited_for(self) -> None:
        self.place("carbons", after=("archive",))
        self.place("other")
        self.assertEqual(self.order(), ["carbons", "other"])

    def test_a_row_of_them_stands_in_order_however_it_is_loaded(self) -> None:
        for names in (("a", "b", "c"), ("c", "b", "a"), ("b", "c", "a"), ("c", "a", "b")):
            undo = [self.place(name, after={"a": (), "b": ("a",), "c": ("b",)}[name]) for name in names]
            self.assertEqual(self.order(), ["a", "b", "c"], names)
            for take_out in undo:
                take_out()

    def test_what_is_taken_out_is_called_no_more(self) -> None:
        self.place("a")
        undo = self.place("b")
        undo()
        undo()
        self.assertEqual(self.order(), ["a"])
        EVENT.run(self.chains, "x")
        self.assertEqual(self.heard, ["a"])

    def test_an_empty_chain_leaves_nothing_behind(self) -> None:
        self.place("a")()
        self.assertEqual(self.chains.hooks(), [])
        self.assertEqual(self.chains.of(EVENT), ())

    def test_a_method_may_stand_in_several_chains(self) -> None:
        class Both:
            @hooks.user_send_packet.at(Slot.CHECK)
            @hooks.sm_receive_packet.at(Slot.CHANGE, after=("mod_x",))
            def check(self, subject: Any, stanza: Stanza) -> Outcome: ...

        places = places_of(Both.check)
        self.assertEqual(
            [(place.hook, place.slot, place.after) for place in places],
            [(hooks.sm_receive_packet, Slot.CHANGE, ("mod_x",)), (hooks.user_send_packet, Slot.CHECK, ())],
        )


# -- what it means on the way of a stanza -----------------------------------------------------------------------------


class Troubled(Module):
    """Does in each chain what the body of a message says, e.g. "send crash"."""

    name = "mod_troubled"

    async def on_start(self) -> None:
        self.gate = Gate()

    def act(self, where: str, stanza: Stanza) -> Any:
        words = (stanza.element.text_of("jabber:client", "body") or "").split() or (stanza.id or "").split()
        if len(words) != 2 or words[0] != where or (stanza.kind == "iq" and stanza.type == "error"):
            return None
        if words[1] == "crash":
            raise ZeroDivisionError
        if words[1] == "refuse":
            raise StanzaError(Condition.FORBIDDEN)
        if words[1] == "swallow":
            return HANDLED
        if words[1] == "replace":
            return stanza.appending(Element("replaced", "urn:example:replaced"))
        return self.later(words[1])

    async def later(self, what: str) -> Outcome:
        await self.gate.wait()
        if what == "crash-later":
            raise ZeroDivisionError
        if what == "refuse-later":
            raise StanzaError(Condition.FORBIDDEN)
        return HANDLED if what == "swallow-later" else None

    @hooks.user_sent_packet
    def watch(self, session: Session, stanza: Stanza) -> Any:
        return self.act("watch", stanza)

    @hooks.user_send_packet
    def send(self, session: Session, stanza: Stanza) -> Any:
        return self.act("send", stanza)

    @hooks.sm_receive_packet
    def receive(self, account: JID, stanza: Stanza) -> Any:
        return self.act("receive", stanza)

    @hooks.user_receive_packet
    def deliver(self, session: Session, stanza: Stanza) -> Any:
        if stanza.id == f"lost at {session.jid.resource}":
            raise ZeroDivisionError
        return self.act("deliver", stanza)

    @hooks.offline_message
    def offline(self, account: JID, stanza: Stanza) -> Any:
        return self.act("offline", stanza)

    @hooks.roster_in_subscription
    def roster(self, account: JID, stanza: Stanza) -> Any:
        return self.act("roster", stanza)

    @hooks.local_receive_packet
    def local(self, host: JID, stanza: Stanza) -> Any:
        return self.act("local", stanza)


class JourneyTests(WorldTestCase):
    """Where a bug in a handler is felt, and where it is not."""

    def setUp(self) -> None:
        self.world = self.new_world(modules={"mod_troubled": {}}, own_modules={"mod_troubled": Troubled})
        self.romeo = self.world.client("romeo@example.org/orchard")
        self.juliet = self.world.client("juliet@example.org/balcony")
        self.module = self.world.host("example.org").module(Troubled)

    def send(
        self, body: str, to: str = "juliet@example.org/balcony", id: str = "m1", client: Client | None = None
    ) -> None:
        (client or self.romeo).send(f"<message to='{to}' id='{id}'><body>{body}</body></message>")

    def refused(self, why: str) -> None:
        self.assertEqual(condition(self.romeo.receive()), why)
        self.romeo.nothing()
        self.juliet.nothing()

    def unheard(self) -> None:
        """Nobody has received anything."""
        self.romeo.nothing()
        self.juliet.nothing()

    def still_works(self) -> None:
        self.send("hello", id="after")
        self.juliet.expect("<message id='after'/>")
        self.romeo.nothing()

    def test_a_watcher_that_fails_costs_nobody_anything(self) -> None:
        self.send("watch crash")
        self.juliet.expect("<message id='m1'/>")
        self.romeo.nothing()
        self.failures(ZeroDivisionError)

    def test_a_watcher_that_waits_holds_nothing_up(self) -> None:
        self.send("watch go-later")
        self.juliet.expect("<message id='m1'/>")

    def test_a_check_that_fails_has_not_allowed_it(self) -> None:
        self.send("send crash")
        self.refused("internal-server-error")
        self.failures(ZeroDivisionError)
        self.still_works()

    def test_a_check_that_fails_later_has_not_allowed_it(self) -> None:
        self.send("send crash-later")
        self.unheard()
        self.module.gate.open()
        self.refused("internal-server-error")
        self.failures(ZeroDivisionError)
        self.still_works()

    def test_a_check_refuses_with_its_error(self) -> None:
        self.send("send refuse")
        self.refused("forbidden")
        self.send("send refuse-later")
        self.module.gate.open()
        self.refused("forbidden")

    def test_what_is_handled_goes_no_further(self) -> None:
        self.send("send swallow")
        self.unheard()
        self.send("receive swallow")
        self.unheard()
        self.send("deliver swallow")
        self.unheard()

    def test_what_is_handled_later_goes_no_further(self) -> None:
        for where in ("send", "receive"):
            self.send(f"{where} swallow-later")
            self.module.gate.open()
            self.unheard()

    def test_what_is_replaced_arrives_in_its_new_form(self) -> None:
        for where in ("send", "receive", "deliver"):
            self.send(f"{where} replace")
            self.juliet.expect("<message id='m1'><replaced xmlns='urn:example:replaced'/></message>")

    def test_an_error_is_never_refused_with_an_error(self) -> None:
        error = "<message to='juliet@example.org/balcony' type='error' id='m1'><body>{}</body></message>"
        for what in ("send refuse", "receive refuse", "send crash", "receive crash"):
            self.romeo.send(error.format(what))
            self.unheard()
        self.failures(ZeroDivisionError, 2)

    def test_a_recipient_refuses_with_an_error(self) -> None:
        self.send("receive refuse")
        self.refused("forbidden")
        self.send("receive refuse-later")
        self.module.gate.open()
        self.refused("forbidden")

    def test_a_bug_on_the_receiving_side_does_not_reach_the_sender(self) -> None:
        for what in ("receive crash", "receive crash-later", "deliver crash"):
            self.send(what)
            self.module.gate.open()
            self.unheard()
            self.failures(ZeroDivisionError)
        self.still_works()

    def test_what_is_not_kept_because_of_a_bug_comes_back_as_from_a_host_that_keeps_nothing(self) -> None:
        self.world.register("nurse@example.org")
        for what in ("offline crash", "offline crash-later"):
            self.send(what, "nurse@example.org")
            self.module.gate.open()
            self.refused("service-unavailable")
            self.failures(ZeroDivisionError)

    def test_offline_storage_refuses_with_its_own_error(self) -> None:
        self.world.register("nurse@example.org")
        for what in ("offline refuse", "offline refuse-later"):
            self.send(what, "nurse@example.org")
            self.module.gate.open()
            self.refused("forbidden")

    def test_a_bug_in_a_roster_does_not_reach_the_sender(self) -> None:
        self.romeo.send("<presence to='juliet@example.org' type='subscribe' id='roster crash'/>")
        self.unheard()
        self.romeo.send("<presence to='juliet@example.org' type='subscribe' id='roster crash-later'/>")
        self.module.gate.open()
        self.unheard()
        self.failures(ZeroDivisionError, 2)

    def test_a_bug_on_the_receiving_side_is_told_to_who_waits_for_an_answer(self) -> None:
        self.romeo.send("<iq to='juliet@example.org/balcony' id='receive crash' type='get'><q xmlns='urn:x'/></iq>")
        self.refused("internal-server-error")
        self.failures(ZeroDivisionError)
        self.romeo.send("<iq to='juliet@example.org' id='receive crash-later' type='get'><q xmlns='urn:x'/></iq>")
        self.module.gate.open()
        self.refused("internal-server-error")
        self.failures(ZeroDivisionError)

    def test_a_bug_in_what_is_for_the_host_does_not_end_a_stream(self) -> None:
        for what in ("local crash", "local crash-later"):
            self.send(what, "example.org")
            self.module.gate.open()
            self.romeo.drain()
            self.failures(ZeroDivisionError)
        self.still_works()

    def test_one_recipient_whose_copy_is_lost_costs_the_others_nothing(self) -> None:
        chamber = self.world.client("juliet@example.org/chamber")
        self.available(self.juliet)
        self.available(chamber)
        self.send("hello", "juliet@example.org", id="lost at balcony")
        self.unheard()
        chamber.expect("<message id='lost at balcony'/>")
        self.failures(ZeroDivisionError)
        self.still_works()

    def test_a_handler_that_waits_where_nobody_can_loses_the_copy(self) -> None:
        self.send("deliver go-later")
        self.unheard()
        self.failures(TypeError)

    def test_what_a_client_sends_stays_in_order_while_a_check_waits(self) -> None:
        self.send("send go-later", id="m1")
        self.send("hello", id="m2")
        self.send("hello", id="m3")
        self.unheard()
        self.module.gate.open()
        self.assertEqual([e.get("id") for e in self.juliet.drain()], ["m1", "m2", "m3"])

    def test_a_check_that_is_taken_out_while_it_works_has_not_allowed_it(self) -> None:
        self.send("send go-later")
        self.module.gate.open(CancelledError())
        self.refused("internal-server-error")
        self.still_works()

    def test_what_waits_when_the_server_stops_ends_in_silence(self) -> None:
        for where in ("send", "receive"):
            world = self.new_world(modules={"mod_troubled": {}}, own_modules={"mod_troubled": Troubled})
            romeo = world.client("romeo@example.org/orchard")
            self.send(f"{where} go-later", client=romeo)
            gate = world.host("example.org").module(Troubled).gate
            self.assertEqual(len(gate), 1)
            world.stop()
            self.assertEqual(len(gate), 0)
            self.assertEqual(world.clock.getDelayedCalls(), [])

    def test_what_others_send_does_not_wait(self) -> None:
        self.send("send go-later", id="m1")
        nurse = self.world.client("nurse@example.org/house")
        self.send("hello", id="n1", client=nurse)
        self.juliet.expect("<message id='n1'/>")
        self.module.gate.open()
        self.juliet.expect("<message id='m1'/>")

    def test_a_message_on_its_way_arrives_though_its_sender_has_gone(self) -> None:
        self.send("receive go-later")
        self.romeo.cut()
        self.module.gate.open()
        self.juliet.expect("<message id='m1'/>")
