"""The router: one look-up by domain, and one place from which everything that cannot go there comes back."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from twisted.internet.defer import CancelledError, ensureDeferred
from twisted.internet.task import Clock

from federix.api import IQ, Condition, Element, ErrorType, Message, Presence, Stanza, StanzaError
from federix.core.router import Router

from .support import Gate, WorldTestCase, condition

ROMEO = "romeo@example.org/orchard"


def message(to: str | None = "b@there.example", sender: str | None = "a@here.example", **attrs: str) -> Message:
    return Message(Element("message", "jabber:client", attrs={"to": to, "from": sender, "id": "m1", **attrs}))


class Place:
    """A destination that does as it is told."""

    def __init__(self, error: BaseException | None = None, gate: Gate | None = None) -> None:
        self.got: list[Stanza] = []
        self._error = error
        self._gate = gate

    def deliver(self, stanza: Stanza) -> Awaitable[None] | None:
        self.got.append(stanza)
        if self._gate is not None:
            return self._gate.wait()
        if self._error is not None:
            raise self._error
        return None


class RouterTests(WorldTestCase):
    def setUp(self) -> None:
        self.router = Router("router", Clock())
        self.successResultOf(ensureDeferred(self.router.start()))
        self.here = Place()
        self.router.register("here.example", self.here)

    def returned(self) -> list[tuple[str, str | None]]:
        """What came back to `here`: the condition, and from whom."""
        return [(condition(stanza.element), stanza.element.get("from")) for stanza in self.here.got]

    def place(self, error: BaseException | None = None, gate: Gate | None = None) -> Place:
        place = Place(error, gate)
        self.router.register("there.example", place)
        return place

    def test_a_stanza_goes_to_its_domain_as_it_is(self) -> None:
        there, stanza = self.place(), message()
        self.assertIsNone(self.router.route(stanza))
        self.assertEqual(there.got, [stanza])
        self.assertEqual(self.here.got, [])

    def test_what_is_for_no_domain_here_goes_elsewhere(self) -> None:
        elsewhere = self.router.elsewhere = Place()
        stanza = message()
        self.router.route(stanza)
        self.assertEqual(elsewhere.got, [stanza])

    def test_what_is_for_a_domain_here_never_goes_elsewhere(self) -> None:
        # RFC 6120 §10.5: "the server MUST NOT route or "forward" the stanza to another domain".
        elsewhere = self.router.elsewhere = Place()
        self.router.route(message("nobody@here.example"))
        self.assertEqual(elsewhere.got, [])

    def test_what_is_for_nowhere_comes_back(self) -> None:
        self.router.route(message())
        self.assertEqual(self.returned(), [("remote-server-not-found", "b@there.example")])

    def test_what_is_for_nobody_comes_back(self) -> None:
        self.router.route(message(None))
        self.assertEqual(self.returned(), [("bad-request", None)])

    def test_what_has_an_impossible_address_comes_back(self) -> None:
        self.router.route(message("@"))
        self.assertEqual(self.returned(), [("jid-malformed", "@")])

    def test_what_is_refused_comes_back_with_the_error(self) -> None:
        self.place(StanzaError(Condition.GONE, "moved", ErrorType.MODIFY))
        self.router.route(message())
        error = self.here.got[0].element.first()
        assert error is not None
        self.assertEqual(error.get("type"), "modify")
        self.assertEqual(error.text_of("urn:ietf:params:xml:ns:xmpp-stanzas", "text"), "moved")
        self.assertEqual(self.returned(), [("gone", "b@there.example")])
        self.assertEqual(self.here.got[0].id, "m1")

    def test_a_bug_comes_back_as_internal_server_error(self) -> None:
        self.place(ZeroDivisionError())
        self.router.route(message())
        self.assertEqual(self.returned(), [("internal-server-error", "b@there.example")])
        self.failures(ZeroDivisionError)

    def test_a_destination_may_take_its_time(self) -> None:
        gate = Gate()
        self.place(gate=gate)
        done = ensureDeferred(self.router.route(message()))  # type: ignore[arg-type]
        self.assertNoResult(done)
        gate.open()
        self.successResultOf(done)
        self.assertEqual(self.here.got, [])

    def test_what_is_refused_later_comes_back_as_well(self) -> None:
        gate = Gate()
        self.place(gate=gate)
        for error in (StanzaError(Condition.GONE), ZeroDivisionError()):
            done = ensureDeferred(self.router.route(message()))  # type: ignore[arg-type]
            gate.open(error)
            self.successResultOf(done)
        self.assertEqual([why for why, _ in self.returned()], ["gone", "internal-server-error"])
        self.failures(ZeroDivisionError)

    def test_a_delivery_that_is_cancelled_brings_nothing_back(self) -> None:
        gate = Gate()
        self.place(gate=gate)
        done = ensureDeferred(self.router.route(message()))  # type: ignore[arg-type]
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertEqual(self.here.got, [])

    def test_an_error_or_a_result_never_comes_back(self) -> None:
        # RFC 6120 §8.3.1: "an entity … MUST NOT respond to the error stanza with a further error stanza".
        self.place(StanzaError(Condition.GONE))
        attrs = {"to": "b@there.example", "from": "a@here.example", "id": "1"}
        for cls, name, kind in (
            (Message, "message", "error"),
            (Presence, "presence", "error"),
            (IQ, "iq", "error"),
            (IQ, "iq", "result"),
        ):
            self.router.route(cls(Element(name, "jabber:client", attrs={**attrs, "type": kind})))
        self.assertEqual(self.here.got, [])

    def test_what_has_no_sender_cannot_come_back(self) -> None:
        self.place(StanzaError(Condition.GONE))
        self.assertIsNone(self.router.route(message(sender=None)))
        self.assertEqual(self.here.got, [])

    def test_two_that_refuse_everything_do_not_go_on_for_ever(self) -> None:
        there = self.place(StanzaError(Condition.GONE))
        refusing = Place(StanzaError(Condition.GONE))
        self.router.register("third.example", refusing)
        self.router.route(message(sender="x@third.example"))
        self.assertEqual((len(there.got), len(refusing.got)), (1, 1))

    def test_a_domain_is_taken_once(self) -> None:
        self.assertRaises(ValueError, self.router.register, "here.example", Place())
        self.assertEqual(self.router.domains(), ["here.example"])

    def test_a_domain_that_is_given_up_is_free(self) -> None:
        self.router.unregister("here.example")
        self.router.unregister("here.example")
        self.assertFalse(self.router.serves("here.example"))
        self.router.register("here.example", Place())
        self.assertTrue(self.router.serves("here.example"))

    # -- who wants to know hears that a message was delivered ---------------------------------------------------------

    def behind(self) -> Awaitable[None] | None:
        self.delivered: list[str] = []
        return self.router.route_behind(message(), None, lambda: self.delivered.append("m1"))

    def test_who_wants_to_know_is_told_when_it_is_there(self) -> None:
        self.place()
        self.assertIsNone(self.behind())
        self.assertEqual(self.delivered, ["m1"])

    def test_where_that_takes_time_it_is_told_then(self) -> None:
        gate = Gate()
        self.place(gate=gate)
        going = self.behind()
        assert going is not None
        waiting = ensureDeferred(going)  # type: ignore[arg-type]
        self.assertEqual(self.delivered, [])
        gate.open()
        self.successResultOf(waiting)
        self.assertEqual(self.delivered, ["m1"])

    def test_of_what_comes_back_it_is_not(self) -> None:
        self.behind()
        self.place(StanzaError(Condition.GONE))
        self.behind()
        self.router.unregister("there.example")
        gate = Gate()
        self.place(gate=gate)
        waiting = ensureDeferred(self.behind())  # type: ignore[arg-type]
        gate.open(StanzaError(Condition.GONE))
        self.successResultOf(waiting)
        self.assertEqual([each for each, _ in self.returned()], ["remote-server-not-found", "gone", "gone"])
        self.assertEqual(self.delivered, [])


class SlowTests(WorldTestCase):
    """A destination elsewhere that takes its time."""

    def test_what_goes_to_somebody_stays_behind_what_waits_for_him_and_nothing_else_does(self) -> None:
        world: Any = self.new_world()
        gate = Gate()
        world.server.router.elsewhere = far = Place(gate=gate)
        romeo, juliet = world.client(ROMEO), world.client("juliet@example.org/balcony")
        to_juliet = "<message to='juliet@example.org/balcony' id='{}'/>"
        romeo.send("<message to='far.example' id='1'/>" + to_juliet.format("r") + "<presence to='far.example' id='2'/>")
        juliet.send(to_juliet.format("j"))
        self.assertEqual([e.get("id") for e in juliet.drain()], ["r", "j"])
        self.assertEqual([stanza.id for stanza in far.got], ["1"])
        gate.open()
        self.assertEqual([stanza.id for stanza in far.got], ["1", "2"])
