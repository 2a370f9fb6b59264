"""Where a bug in a handler is felt on the way of a stanza, and where it is not; what waits, and what that holds up."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError

from federix.api import HANDLED, JID, Condition, Element, Module, Outcome, Session, Stanza, StanzaError, hooks
from federix.testing import Client

from .support import Gate, WorldTestCase, condition


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

    def test_what_nobody_stores_goes_back_where_the_session_it_was_for_has_ended_meanwhile(self) -> None:
        for what in ("offline nothing-later", "offline crash-later"):
            session = self.world.host("example.org").sessions.find("juliet", "balcony")
            assert session is not None
            session.catching_up = True
            self.send(what)
            self.unheard()
            self.juliet.close()
            self.module.gate.open()
            self.assertEqual(condition(self.romeo.receive()), "service-unavailable")
            self.juliet = self.world.client("juliet@example.org/balcony")
        self.failures(ZeroDivisionError)

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
