"""Each recipient's stanzas keep their order, nobody waits for another's, and a stream waits when there is too much."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from federix.core.passage import Keeping
from federix.core.settled import Settled
from federix.life.scope import Scope
from federix.links.lanes import COUNTED_AFTER, MOST_BYTES, MOST_STANZAS, Lanes
from federix.xmpp import ns
from federix.xmpp.element import Element
from federix.xmpp.jid import JID
from federix.xmpp.stanza import Message, Presence, Stanza


class Router:
    """Delivers at once, but to those who are *slow*."""

    def __init__(self, *slow: str) -> None:
        self.slow = set(slow)
        self.arrived: list[tuple[str, str]] = []
        self.waiting: dict[str, list[Deferred[None]]] = {}
        self.behind: list[tuple[str, Keeping]] = []
        #: Whether what is slow has its place at once.
        self.placing = False

    def route(self, stanza: Stanza) -> Awaitable[None] | None:
        to = str(stanza.to.bare) if stanza.to is not None else ""
        self.arrived.append((to, stanza.element.get("id") or ""))
        if to not in self.slow:
            return None
        done: Deferred[None] = Keeping(placed=True) if self.placing and stanza.kind == "message" else Deferred()
        self.waiting.setdefault(to, []).append(done)
        return done

    def route_behind(
        self, message: Message, before: Keeping | None, delivered: Callable[[], object] | None
    ) -> Awaitable[None] | None:
        if before is not None:
            self.behind.append((message.element.get("id") or "", before))
        return self.route(message)

    def finish(self, to: str) -> None:
        for done in self.waiting.pop(to, []):
            done.callback(None)


class LanesTestCase(SynchronousTestCase):
    def begin(self, *slow: str) -> None:
        self.router = Router(*slow)
        self.clock = Clock()
        self.scope = Scope(self.clock, "test")
        self.lanes = Lanes(self.scope, self.router)
        self.addCleanup(self.scope.close)

    def take(self, to: str, id: str = "1", size: int = 0, kind: type[Stanza] = Message) -> Awaitable[None] | None:
        element = Element(kind.kind, ns.CLIENT, attrs={"to": to, "id": id})
        stanza = kind(element)
        if size:
            stanza.raw = b"x" * size
        return self.lanes.take(stanza, JID.parse(to))

    def test_what_goes_at_once_leaves_nothing_behind(self) -> None:
        self.begin()
        for number in range(1000):
            self.assertIsNone(self.take("a@a.test", str(number)))
        self.assertEqual((len(self.lanes), self.lanes._lanes, len(self.scope)), (0, {}, 0))

    def test_one_who_is_slow_holds_up_nobody_else(self) -> None:
        self.begin("slow@a.test")
        self.take("slow@a.test/x", "1")
        self.take("slow@a.test/y", "2")
        self.take("fast@a.test", "3")
        self.assertEqual(self.router.arrived, [("slow@a.test", "1"), ("fast@a.test", "3")])
        self.router.finish("slow@a.test")
        self.assertEqual(self.router.arrived[-1], ("slow@a.test", "2"))
        self.router.finish("slow@a.test")
        self.assertEqual((len(self.lanes), self.lanes._lanes), (0, {}))

    def test_too_many_stanzas_make_the_stream_wait_until_half_are_gone(self) -> None:
        self.begin("slow@a.test")
        for number in range(MOST_STANZAS - 1):
            self.assertIsNone(self.take("slow@a.test", str(number)))
        held = self.take("slow@a.test", "last")
        assert isinstance(held, Deferred)
        self.assertIs(self.take("slow@a.test", "one more"), held)
        for _ in range(MOST_STANZAS // 2 + 1):
            self.router.finish("slow@a.test")
        self.assertNoResult(held)
        self.router.finish("slow@a.test")
        self.successResultOf(held)

    def test_so_do_too_many_bytes(self) -> None:
        self.begin("slow@a.test")
        self.assertIsNone(self.take("slow@a.test", size=MOST_BYTES - 1))
        held = self.take("other@a.test", size=10)
        self.assertIsNone(held)
        held = self.take("slow@a.test", size=10)
        assert isinstance(held, Deferred)
        self.router.finish("slow@a.test")
        self.successResultOf(held)

    def test_one_that_fails_holds_up_nothing(self) -> None:
        self.begin("slow@a.test")
        held = None
        for number in range(MOST_STANZAS):
            held = self.take("slow@a.test", str(number))
        assert isinstance(held, Deferred)
        (waiting,) = self.router.waiting.pop("slow@a.test")
        waiting.errback(RuntimeError("no"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        (waiting,) = self.router.waiting.pop("slow@a.test")
        waiting.cancel()
        for _ in range(MOST_STANZAS):
            self.router.finish("slow@a.test")
        self.assertEqual(len(self.router.arrived), MOST_STANZAS)
        self.successResultOf(held)
        self.assertEqual((len(self.lanes), self.lanes.size, self.lanes._lanes), (0, 0, {}))

    def test_one_that_fails_is_settled_for_those_behind_it_to_be_counted(self) -> None:
        self.begin("slow@a.test")
        settled = self.lanes.settled = Settled()
        self.take("slow@a.test", "1")
        self.take("fast@a.test", "2")
        (waiting,) = self.router.waiting.pop("slow@a.test")
        waiting.errback(RuntimeError("no"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(settled.handled, 2)

    def test_one_that_is_cancelled_holds_the_count_back_only_for_a_while(self) -> None:
        self.begin("slow@a.test")
        settled = self.lanes.settled = Settled()
        self.take("slow@a.test", "1")
        self.take("fast@a.test", "2")
        (waiting,) = self.router.waiting.pop("slow@a.test")
        waiting.cancel()
        self.clock.advance(COUNTED_AFTER - 1)
        self.assertEqual(settled.handled, 0)
        self.clock.advance(1)
        self.assertEqual(settled.handled, 2)

    def test_what_ends_with_the_server_is_never_settled(self) -> None:
        self.begin("slow@a.test")
        settled = self.lanes.settled = Settled()
        self.take("slow@a.test", "1")
        self.scope.close()
        self.clock.advance(COUNTED_AFTER)
        self.assertEqual(settled.handled, 0)

    def test_what_has_its_place_lets_the_next_message_be_handed_on_behind_it(self) -> None:
        self.begin("slow@a.test")
        self.router.placing = True
        for number in range(5):
            self.take("slow@a.test/x", str(number))
        self.assertEqual([id for _, id in self.router.arrived], ["0", "1", "2", "3", "4"])
        keepings = self.router.waiting["slow@a.test"]
        self.assertEqual(self.router.behind, list(zip("1234", keepings, strict=False)))

    def test_what_is_no_message_waits_until_all_before_it_is_settled_and_so_does_what_follows_it(self) -> None:
        self.begin("slow@a.test")
        self.router.placing = True
        for number, kind in enumerate((Message, Message, Presence, Message)):
            self.take("slow@a.test", str(number), kind=kind)
        keepings = self.router.waiting["slow@a.test"]
        self.assertEqual([id for _, id in self.router.arrived], ["0", "1"])
        keepings[0].callback(None)
        self.assertEqual([id for _, id in self.router.arrived], ["0", "1"])
        keepings[1].callback(None)
        self.assertEqual([id for _, id in self.router.arrived], ["0", "1", "2"])
        keepings[2].callback(None)
        self.assertEqual([id for _, id in self.router.arrived], ["0", "1", "2", "3"])
        keepings[3].callback(None)
        self.assertEqual((len(self.lanes), self.lanes.size, self.lanes._lanes), (0, 0, {}))

    def test_no_more_than_the_bound_have_their_place_at_a_time(self) -> None:
        self.begin("slow@a.test")
        self.router.placing = True
        for number in range(MOST_STANZAS - 1):
            self.assertIsNone(self.take("slow@a.test", str(number)))
        held = self.take("slow@a.test", "last")
        assert isinstance(held, Deferred)
        keepings = self.router.waiting["slow@a.test"]
        for keeping in keepings[: MOST_STANZAS // 2]:
            keeping.callback(None)
        self.assertNoResult(held)
        keepings[MOST_STANZAS // 2].callback(None)
        self.successResultOf(held)

    @given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60), st.booleans())
    def test_the_order_of_each_is_kept(self, steps: list[tuple[str, bool]], placing: bool) -> None:
        self.begin("a@a.test", "b@a.test")
        self.router.placing = placing
        sent: dict[str, list[str]] = {}
        for number, (who, finish) in enumerate(steps):
            name = f"{who}@a.test"
            if finish:
                self.router.finish(name)
            else:
                sent.setdefault(name, []).append(str(number))
                self.take(name, str(number))
        for _ in steps:
            self.router.finish("a@a.test")
            self.router.finish("b@a.test")
        for name, ids in sent.items():
            self.assertEqual([id for to, id in self.router.arrived if to == name], ids)
        self.assertEqual((len(self.lanes), self.lanes.size, self.lanes._lanes), (0, 0, {}))
