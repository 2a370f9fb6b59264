"""Requests: who answers them, what a handler may answer, and what becomes of those the server makes itself."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred

from federix.api import (
    IQ,
    IQ_TIMEOUT,
    JID,
    Condition,
    Element,
    Module,
    RequestError,
    StanzaError,
    hooks,
    iq_get,
    iq_set,
)
from federix.core import iq as iq_module
from federix.testing import World

from .support import Gate, WorldTestCase, condition

NS = "urn:example:service"
ROMEO = "romeo@example.org/orchard"


class Service(Module):
    """Answers in every way there is."""

    name = "mod_service"

    async def on_start(self) -> None:
        self.gate = Gate()
        self.asked: list[IQ] = []

    @iq_get(NS, "empty")
    def empty(self, iq: IQ) -> None:
        self.asked.append(iq)

    @iq_get(NS, "payload")
    def payload(self, iq: IQ) -> Element:
        return Element("payload", NS, text="here")

    @iq_get(NS, "whole")
    def whole(self, iq: IQ) -> IQ:
        return iq.result(Element("payload", NS)).with_attrs({"xml:lang": "it"})

    @iq_get(NS, "refuse")
    def refuse(self, iq: IQ) -> None:
        raise StanzaError(Condition.NOT_ALLOWED, "no")

    @iq_get(NS, "crash")
    def crash(self, iq: IQ) -> None:
        raise ZeroDivisionError

    @iq_get(NS, "slow")
    async def slow(self, iq: IQ) -> Element:
        await self.gate.wait()
        return Element("payload", NS)

    @iq_get(NS, "detached", detached=True)
    async def detached(self, iq: IQ) -> Element:
        await self.gate.wait()
        return Element("payload", NS)

    @iq_set(NS, "change", on=("account",))
    def change(self, iq: IQ) -> None: ...

    @iq_set(NS, "both")
    @iq_get(NS, "both")
    def both(self, iq: IQ) -> Element:
        return Element(iq.type or "", NS)


class Thoughtful(Module):
    """Thinks about what comes for an account."""

    name = "mod_thoughtful"

    async def on_start(self) -> None:
        self.gate = Gate()

    @hooks.sm_receive_packet.only(IQ)
    async def think(self, account: JID, stanza: IQ) -> None:
        await self.gate.wait()


class AnswerTests(WorldTestCase):
    def setUp(self) -> None:
        self.world = self.new_world(modules={"mod_service": {}}, own_modules={"mod_service": Service})
        self.romeo = self.world.client(ROMEO)
        self.module = self.world.host("example.org").module(Service)

    def ask(self, name: str, kind: str = "get", to: str = "to='example.org'", id: str = "i1") -> str:
        return f"<iq type='{kind}' id='{id}' {to}><{name} xmlns='{NS}'/></iq>"

    def test_nothing_is_an_empty_result(self) -> None:
        self.romeo.send(self.ask("empty"))
        self.romeo.expect(f"<iq type='result' id='i1' from='example.org' to='{ROMEO}'/>", exact=True)

    def test_an_element_is_the_payload_of_the_result(self) -> None:
        self.romeo.send(self.ask("payload"))
        self.romeo.expect(
            f"<iq type='result' id='i1' from='example.org' to='{ROMEO}'><payload xmlns='{NS}'>here</payload></iq>",
            exact=True,
        )

    def test_a_whole_iq_is_the_answer_itself(self) -> None:
        self.romeo.send(self.ask("whole"))
        self.romeo.expect("<iq type='result' id='i1' xml:lang='it'/>")

    def test_a_raised_error_is_the_other_answer(self) -> None:
        self.romeo.send(self.ask("refuse"))
        answer = self.romeo.receive()
        self.assertEqual((condition(answer), answer.get("id")), ("not-allowed", "i1"))

    def test_a_bug_is_an_internal_server_error_and_says_no_more(self) -> None:
        self.romeo.send(self.ask("crash"))
        answer = self.romeo.receive()
        self.assertEqual(condition(answer), "internal-server-error")
        self.assertNotIn("ZeroDivision", answer.to_xml())
        self.failures(ZeroDivisionError)

    def test_an_answer_may_come_later_and_what_was_sent_after_the_request_waits(self) -> None:
        self.romeo.send(self.ask("slow") + self.ask("empty", id="i2"))
        self.romeo.nothing()
        self.assertEqual(self.module.asked, [])
        self.module.gate.open()
        self.assertEqual([e.get("id") for e in self.romeo.drain()], ["i1", "i2"])

    def test_an_answer_of_one_that_is_detached_holds_up_nothing(self) -> None:
        self.romeo.send(self.ask("detached") + self.ask("empty", id="i2"))
        self.romeo.expect("<iq id='i2'/>")
        self.module.gate.open()
        self.romeo.expect("<iq id='i1' type='result'/>")

    def test_an_error_that_comes_later_is_an_answer(self) -> None:
        for name in ("slow", "detached"):
            self.romeo.send(self.ask(name))
            self.module.gate.open(StanzaError(Condition.NOT_ALLOWED))
            self.assertEqual(condition(self.romeo.receive()), "not-allowed")

    def test_a_bug_that_comes_later_is_an_internal_server_error(self) -> None:
        for name in ("slow", "detached"):
            self.romeo.send(self.ask(name))
            self.module.gate.open(ZeroDivisionError())
            self.assertEqual(condition(self.romeo.receive()), "internal-server-error")
            self.failures(ZeroDivisionError)

    def test_an_error_that_comes_later_may_take_its_time_to_its_receiver(self) -> None:
        world = self.new_world(
            modules={"mod_service": {}, "mod_thoughtful": {}},
            own_modules={"mod_service": Service, "mod_thoughtful": Thoughtful},
        )
        romeo = world.client(ROMEO)
        for name in ("slow", "detached"):
            romeo.send(self.ask(name))
            world.host("example.org").module(Service).gate.open(StanzaError(Condition.FORBIDDEN))
            romeo.nothing()
            world.host("example.org").module(Thoughtful).gate.open()
            self.assertEqual(condition(romeo.receive()), "forbidden")

    def test_an_answer_for_who_has_gone_is_lost_in_silence(self) -> None:
        self.romeo.send(self.ask("slow"))
        self.romeo.cut()
        self.module.gate.open()

    def test_an_answer_whose_module_is_taken_out_is_that_nobody_answers(self) -> None:
        for name in ("slow", "detached"):
            self.romeo.send(self.ask(name))
            self.module.gate.open(CancelledError())
            self.assertEqual(condition(self.romeo.receive()), "service-unavailable")

    def test_a_detached_answer_ends_with_the_host(self) -> None:
        self.romeo.send(self.ask("detached"))
        self.world.stop()
        self.assertEqual(self.world.clock.getDelayedCalls(), [])

    def test_get_and_set_are_different_requests(self) -> None:
        for kind in ("get", "set"):
            self.romeo.send(self.ask("both", kind))
            self.romeo.expect(f"<iq type='result'><{kind} xmlns='{NS}'/></iq>")

    def test_the_other_type_of_a_request_is_a_mistake_that_is_named(self) -> None:
        self.romeo.send(self.ask("empty", "set"))
        answer = self.romeo.receive()
        self.assertEqual(condition(answer), "bad-request")
        self.assertIn("type get", answer.to_xml())

    def test_an_unknown_request_of_a_known_namespace_is_a_mistake(self) -> None:
        self.romeo.send(self.ask("unknown"))
        self.assertEqual(condition(self.romeo.receive()), "bad-request")

    def test_a_request_without_an_address_is_for_ones_own_account(self) -> None:
        # RFC 6120 §10.3.3: "responding as if the server were the bare JID of the sending entity".
        for to in ("", "to='romeo@example.org'"):
            self.romeo.send(self.ask("change", "set", to))
            self.romeo.expect(f"<iq type='result' id='i1' from='romeo@example.org' to='{ROMEO}'/>")

    def test_a_request_for_an_account_is_not_one_for_the_host(self) -> None:
        self.romeo.send(self.ask("change", "set"))
        self.assertEqual(condition(self.romeo.receive()), "bad-request")

    def test_a_request_for_another_account_reaches_the_handler_that_decides(self) -> None:
        self.world.register("juliet@example.org")
        self.romeo.send(self.ask("empty", to="to='juliet@example.org'"))
        self.romeo.expect("<iq type='result' from='juliet@example.org'/>")
        self.assertEqual(str(self.module.asked[0].to), "juliet@example.org")

    def test_a_request_for_a_resource_of_the_host_reaches_no_handler(self) -> None:
        self.romeo.send(self.ask("empty", to="to='example.org/somewhere'"))
        self.assertEqual(condition(self.romeo.receive()), "service-unavailable")
        self.assertEqual(self.module.asked, [])

    def test_a_request_for_no_account_reaches_no_handler(self) -> None:
        self.romeo.send(self.ask("empty", to="to='nobody@example.org'"))
        self.assertEqual(condition(self.romeo.receive()), "service-unavailable")
        self.assertEqual(self.module.asked, [])

    def test_what_is_no_request_is_refused(self) -> None:
        # RFC 6120 §8.2.3.
        child = f"<empty xmlns='{NS}'/>"
        for attributes, inside in (
            ("type='get'", child),
            ("type='get' id=''", child),
            ("id='1'", child),
            ("type='' id='1'", child),
            ("type='GET' id='1'", child),
            ("type='get' id='1'", ""),
            ("type='set' id='1'", "text"),
            ("type='get' id='1'", child * 2),
        ):
            for to in ("", "to='example.org'", "to='romeo@example.org'", f"to='{ROMEO}'"):
                self.romeo.send(f"<iq {attributes} {to}>{inside}</iq>")
                self.assertEqual(condition(self.romeo.receive()), "bad-request", f"{attributes} {to} {inside}")
                self.romeo.nothing()
        self.assertEqual(self.module.asked, [])

    def test_an_answer_nobody_waits_for_is_dropped(self) -> None:
        for kind in ("result", "error"):
            for to in ("", "to='example.org'", "to='romeo@example.org'"):
                self.romeo.send(f"<iq type='{kind}' id='1' {to}><empty xmlns='{NS}'/></iq>")
                self.romeo.nothing()
        self.assertEqual(self.module.asked, [])

    def test_one_request_has_one_handler(self) -> None:
        class Rival(Module):
            name = "mod_rival"

            @iq_get("urn:example:rival", "mine")
            def mine(self, iq: IQ) -> None: ...

            @iq_get(NS, "empty")
            def empty(self, iq: IQ) -> None: ...

        modules: dict[str, Any] = {"mod_service": {}, "mod_rival": {}}
        own = {"mod_service": Service, "mod_rival": Rival}
        world = self.new_world(modules=modules, own_modules=own, start=False)
        error = self.assertRaises(ValueError, world.run, world.server.start())
        self.assertIn("already has a handler", str(error))

    def test_namespaces_come_and_go_with_their_handlers(self) -> None:
        host = self.world.host("example.org")
        self.assertIn(NS, host.iqs.namespaces("host"))
        self.assertIn(NS, host.iqs.namespaces("account"))
        self.world.run(host.modules.remove("mod_service"))
        self.assertNotIn(NS, host.iqs.namespaces("host"))
        self.assertNotIn(NS, host.iqs.namespaces("account"))
        self.romeo.send(self.ask("empty"))
        self.assertEqual(condition(self.romeo.receive()), "service-unavailable")


class RequestTests(WorldTestCase):
    """What the server asks."""

    def setUp(self) -> None:
        self.world: World = self.new_world()
        self.romeo = self.world.client(ROMEO)
        self.juliet = self.world.client("juliet@example.org/balcony")
        self.host = self.world.host("example.org")

    def ask(self, to: str = ROMEO, **options: Any) -> Deferred[IQ]:
        asked: Deferred[IQ] = ensureDeferred(self.host.request("get", JID.parse(to), Element("query", NS), **options))
        self.world.pump()
        return asked

    def test_the_answer_comes_back(self) -> None:
        asked = self.ask()
        question = self.romeo.expect(f"<iq type='get' from='example.org' to='{ROMEO}'><query xmlns='{NS}'/></iq>")
        self.romeo.send(f"<iq type='result' id='{question.get('id')}' to='example.org'><a xmlns='{NS}'/></iq>")
        answer = self.successResultOf(asked)
        self.assertEqual(answer.payload, Element("a", NS))
        self.assertEqual(len(self.host.requests), 0)

    def test_an_account_may_be_the_one_who_asks(self) -> None:
        asked = self.ask(sender=JID.parse("juliet@example.org"))
        question = self.romeo.expect("<iq type='get' from='juliet@example.org'/>")
        self.romeo.send(f"<iq type='result' id='{question.get('id')}' to='juliet@example.org'/>")
        self.successResultOf(asked)
        self.juliet.nothing()

    def test_ids_cannot_be_guessed(self) -> None:
        ids = set()
        for _ in range(20):
            self.ask().addErrback(lambda _: None)
            ids.add(self.romeo.receive().get("id"))
        self.assertEqual(len(ids), 20)
        self.assertEqual({len(id or "") for id in ids}, {30})

    def test_an_error_is_raised_with_its_condition(self) -> None:
        asked = self.ask()
        id = self.romeo.receive().get("id")
        self.romeo.send(
            f"<iq type='error' id='{id}' to='example.org'><query xmlns='{NS}'/><error type='wait'>"
            "<not-allowed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
            "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>no</text></error></iq>"
        )
        error = self.failureResultOf(asked, RequestError).value
        self.assertEqual((error.condition, error.kind, error.text), (Condition.NOT_ALLOWED, "wait", "no"))

    def test_an_error_that_says_nothing_is_undefined(self) -> None:
        for inside in ("", "<error/>", "<error type='odd'><odd xmlns='urn:x'/></error>"):
            asked = self.ask()
            id = self.romeo.receive().get("id")
            self.romeo.send(f"<iq type='error' id='{id}' to='example.org'>{inside}</iq>")
            error = self.failureResultOf(asked, RequestError).value
            self.assertIs(error.condition, Condition.UNDEFINED_CONDITION)

    def test_an_answer_that_does_not_come_in_time_is_a_timeout(self) -> None:
        self.assertEqual(IQ_TIMEOUT, 32.0)
        asked = self.ask()
        self.world.advance(31.9)
        self.assertNoResult(asked)
        self.world.advance(0.2)
        self.failureResultOf(asked, TimeoutError)
        self.assertEqual(len(self.host.requests), 0)

    def test_the_deadline_may_be_another(self) -> None:
        asked = self.ask(timeout=5)
        self.world.advance(5)
        self.failureResultOf(asked, TimeoutError)

    def test_an_answer_that_comes_too_late_is_dropped(self) -> None:
        asked = self.ask(timeout=5)
        id = self.romeo.receive().get("id")
        self.world.advance(5)
        self.failureResultOf(asked, TimeoutError)
        self.romeo.send(f"<iq type='result' id='{id}' to='example.org'/>")
        self.romeo.nothing()

    def test_nothing_stays_of_a_request_that_is_over(self) -> None:
        owned, timers = len(self.host.scope), len(self.world.clock.getDelayedCalls())
        for kind in ("result", "error"):
            asked = self.ask().addErrback(lambda _: None)
            id = self.romeo.receive().get("id")
            self.assertGreater(len(self.host.scope), owned)
            self.romeo.send(f"<iq type='{kind}' id='{id}' to='example.org'/>")
            self.successResultOf(asked)
            self.assertEqual((len(self.host.scope), len(self.world.clock.getDelayedCalls())), (owned, timers))

    def test_a_second_answer_is_dropped(self) -> None:
        asked = self.ask()
        id = self.romeo.receive().get("id")
        self.romeo.send(f"<iq type='result' id='{id}' to='example.org'/>" * 2)
        self.successResultOf(asked)
        self.romeo.nothing()

    def test_an_answer_of_somebody_else_is_ignored(self) -> None:
        asked = self.ask()
        id = self.romeo.receive().get("id")
        other = self.world.client("romeo@example.org/elsewhere")
        for client in (self.juliet, other):
            for kind in ("result", "error"):
                client.send(f"<iq type='{kind}' id='{id}' to='example.org'/>")
                client.nothing()
        self.assertNoResult(asked)
        self.romeo.send(f"<iq type='result' id='{id}' to='example.org'/>")
        self.successResultOf(asked)

    def test_an_answer_to_somebody_else_is_not_ours(self) -> None:
        asked = self.ask()
        id = self.romeo.receive().get("id")
        self.romeo.send(f"<iq type='result' id='{id}' to='juliet@example.org/balcony'/>")
        self.juliet.expect(f"<iq type='result' id='{id}'/>")
        self.assertNoResult(asked)
        asked.addErrback(lambda _: None)

    def test_a_request_in_place_of_an_answer_settles_nothing(self) -> None:
        asked = self.ask()
        id = self.romeo.receive().get("id")
        self.romeo.send(f"<iq type='get' id='{id}' to='example.org'><query xmlns='{NS}'/></iq>")
        self.assertEqual(condition(self.romeo.receive()), "service-unavailable")
        self.assertNoResult(asked)
        asked.addErrback(lambda _: None)

    def test_who_is_not_there_answers_at_once(self) -> None:
        for to in ("nobody@example.org/x", "romeo@example.org/elsewhere", "elsewhere.example"):
            error = self.failureResultOf(self.ask(to), RequestError).value
            self.assertIn(error.condition, (Condition.SERVICE_UNAVAILABLE, Condition.REMOTE_SERVER_NOT_FOUND))
        self.assertEqual(len(self.host.requests), 0)

    def test_an_answer_without_a_sender_is_that_of_the_own_account(self) -> None:
        asked = self.ask("romeo@example.org", sender=JID.parse(ROMEO))
        self.failureResultOf(asked, RequestError)

    def test_who_waits_when_the_host_stops_is_told(self) -> None:
        asked = self.ask()
        self.world.stop()
        self.failureResultOf(asked, CancelledError)
        self.assertEqual(len(self.host.requests), 0)
        self.assertEqual(self.world.clock.getDelayedCalls(), [])

    def test_who_does_not_want_to_know_any_more_leaves_nothing_behind(self) -> None:
        asked = self.ask()
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.assertEqual(len(self.host.requests), 0)

    def test_there_is_a_bound_for_what_is_waited_for(self) -> None:
        self.patch(iq_module, "MAX_REQUESTS", 2)
        waiting = [self.ask(), self.ask()]
        error = self.failureResultOf(self.ask(), StanzaError).value
        self.assertIs(error.condition, Condition.RESOURCE_CONSTRAINT)
        id = self.romeo.receive().get("id")
        self.romeo.send(f"<iq type='result' id='{id}' to='example.org'/>")
        self.successResultOf(waiting[0])
        self.assertNoResult(self.ask().addErrback(lambda _: None))
        waiting[1].addErrback(lambda _: None)
