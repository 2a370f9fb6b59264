"""An iq to the host that is nobody's: a module may take it."""

from __future__ import annotations

from collections.abc import Awaitable

from federix.api import HANDLED, IQ, JID, Condition, Element, Module, Outcome, Stanza, StanzaError, hooks, iq_get
from tests.core.support import Gate, WorldTestCase, condition

ODD = "urn:example:odd"


class Odd(Module):
    """Takes what has an odd name."""

    name = "mod_odd"
    gate: Gate | None = None
    heard: list[str]

    async def on_start(self) -> None:
        self.heard = []

    @iq_get(ODD, "known")
    def known(self, _: IQ) -> Element:
        return Element("known", ODD)

    @hooks.local_iq
    def take(self, to: JID, stanza: Stanza) -> Outcome | Awaitable[Outcome]:
        assert isinstance(stanza, IQ) and stanza.payload is not None
        self.heard.append(stanza.payload.name)
        if stanza.type == "result":
            return self.late(stanza) if stanza.payload.name == "late" else HANDLED
        if stanza.payload.name == "late":
            return self.late(stanza)
        if stanza.payload.name == "forbidden":
            raise StanzaError(Condition.FORBIDDEN)
        if stanza.payload.name == "broken":
            raise KeyError
        if stanza.payload.name != "odd":
            return None
        self.host.route(stanza.result(Element("yes", ODD)))
        return HANDLED

    async def late(self, iq: IQ) -> Outcome:
        assert self.gate is not None
        await self.gate.wait()
        return None


class Taken(WorldTestCase):
    def setUp(self) -> None:
        self.world = self.new_world(modules={"mod_odd": {}}, own_modules={"mod_odd": Odd})
        self.module = self.world.host("example.org").module(Odd)
        self.romeo = self.world.client("romeo@example.org/orchard")

    def ask(self, name: str, to: str = "example.org", ns: str = ODD) -> Element:
        return self.romeo.request(f"<iq type='get' id='1' to='{to}'><{name} xmlns='{ns}'/></iq>")

    def test_what_a_module_takes_it_answers(self) -> None:
        self.assertIsNotNone(self.ask("odd").child(ODD, "yes"))

    def test_what_it_leaves_is_refused_as_ever(self) -> None:
        self.assertEqual(condition(self.ask("even")), "bad-request")  # the namespace is served
        self.assertEqual(condition(self.ask("even", ns="urn:example:even")), "service-unavailable")
        self.assertEqual(self.module.heard, ["even", "even"])

    def test_what_it_leaves_after_a_while_is_refused_then(self) -> None:
        self.module.gate = Gate()
        self.romeo.send(f"<iq type='get' id='1' to='example.org'><late xmlns='{ODD}'/></iq>")
        self.romeo.nothing()
        self.module.gate.open()
        self.assertEqual(condition(self.romeo.receive()), "bad-request")

    def test_what_it_raises_is_the_answer(self) -> None:
        self.assertEqual(condition(self.ask("forbidden")), "forbidden")

    def test_a_crash_refuses(self) -> None:
        self.assertEqual(condition(self.ask("broken")), "internal-server-error")
        self.failures(KeyError)

    def test_an_answer_that_nobody_waits_for_is_offered_too(self) -> None:
        self.romeo.send(f"<iq type='result' id='1' to='example.org'><odd xmlns='{ODD}'/></iq>")
        self.assertEqual(self.module.heard, ["odd"])

    def test_an_answer_is_dropped_when_it_is_not_taken_in_the_end(self) -> None:
        self.module.gate = Gate()
        self.romeo.send(f"<iq type='result' id='1' to='example.org'><late xmlns='{ODD}'/></iq>")
        self.assertEqual(self.module.heard, ["late"])
        self.module.gate.open()
        self.romeo.nothing()

    def test_what_has_a_handler_or_is_for_an_account_is_not_offered(self) -> None:
        self.ask("known")
        self.ask("odd", to="romeo@example.org")
        self.assertEqual(self.module.heard, [])
