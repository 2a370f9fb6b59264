"""Hooks: the three shapes and the one rule of each, the order of a chain, and what a bug in a handler costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock

from federix.api import (
    HANDLED,
    IQ,
    Collect,
    Condition,
    Element,
    Event,
    Filter,
    Message,
    Outcome,
    Presence,
    Slot,
    Stanza,
    StanzaError,
    Watch,
    hooks,
    iq,
    presence,
)
from federix.core.chain import Handled, HandlerCrashed, Place, places_of

from .support import Gate, WorldTestCase, new_chains

WATCH: Watch[str] = Watch("watch", "For tests.")
EVENT: Event[[str]] = Event("event", "For tests.")
FILTER: Filter[str] = Filter("filter", "For tests.")
COLLECT: Collect[[], int] = Collect("collect", "For tests.")


def message(body: str) -> Message:
    return Message(Element("message", "jabber:client", Element("body", "jabber:client", text=body)))


PRESENCE = presence(None)


class ChainTestCase(WorldTestCase):
    def setUp(self) -> None:
        self.chains = new_chains(Clock())
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

    def test_one_of_another_kind_does_not(self) -> None:
        self.add(FILTER, self.handler(1, PRESENCE))
        self.add(FILTER, self.handler(2))
        self.assertRaises(HandlerCrashed, FILTER.run, self.chains, "", message("x"))
        self.assertRaises(HandlerCrashed, FILTER.run_now, self.chains, "", message("x"))
        self.assertEqual([number for number, _ in self.heard], [1, 1])
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 2)

    def test_one_of_another_kind_that_comes_later_does_not_either(self) -> None:
        gate = Gate()
        self.add(FILTER, self.slow(gate, 1, PRESENCE))
        self.add(FILTER, self.handler(2))
        done = ensureDeferred(FILTER.run(self.chains, "", message("x")))  # type: ignore[arg-type]
        gate.open()
        self.failureResultOf(done, HandlerCrashed)
        self.assertEqual([number for number, _ in self.heard], [1])
        self.failures(TypeError)

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

    def taker(self, number: int) -> Callable[[str, Stanza], None]:
        return lambda subject, stanza: self.heard.append(number)

    def test_who_takes_one_kind_is_called_for_no_other(self) -> None:
        for number, kind in enumerate((Presence, Stanza, Message, IQ)):
            for hook in (FILTER, WATCH):
                self.chains.add(self.taker(number), Place(hook, Slot.NORMAL, (), kind), "")
        for stanza, expected in ((message("x"), [1, 2]), (PRESENCE, [0, 1]), (iq("get", None, id="1"), [1, 3])):
            FILTER.run(self.chains, "", stanza)
            FILTER.run_now(self.chains, "", stanza)
            WATCH.watch(self.chains, "", stanza)
            self.assertEqual(self.heard, 3 * expected)
            self.heard.clear()

    def test_who_is_taken_out_is_out_for_each_kind(self) -> None:
        undo = self.chains.add(self.heard.append, Place(FILTER, Slot.NORMAL, (), Message), "")
        self.assertEqual(len(self.chains.of_kind(FILTER, message("x"))), 1)
        undo()
        self.assertEqual(self.chains.of_kind(FILTER, message("x")), ())

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
