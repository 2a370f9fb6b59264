"""A handler that waits for its own client is caught, and only such a one."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from federix.api import IQ, JID, Element, Module, Session, Stanza, hooks, iq_get, ns
from federix.testing import World

NS = "urn:example:ask"
PING = Element("ping", ns.PING)


class Asker(Module):
    """Asks whom the request names, while it waits for the answer."""

    name = "mod_asker"

    @iq_get(NS, "ask")
    async def ask(self, iq: IQ) -> Element:
        await self.host.requests.ask("get", self.whom(iq), PING)
        return Element("answered", NS)

    @iq_get(NS, "ask-detached", detached=True)
    async def ask_detached(self, iq: IQ) -> Element:
        await self.host.requests.ask("get", self.whom(iq), PING)
        return Element("answered", NS)

    def whom(self, iq: IQ) -> JID:
        assert iq.payload is not None
        return JID.parse(iq.payload.get("whom") or "")


class Watcher(Module):
    """Asks everybody who says anything, beside what is going on."""

    name = "mod_watcher"

    @hooks.user_sent_packet
    def heard(self, session: Session, stanza: Stanza) -> None:
        if stanza.kind == "message":
            self.scope.spawn(self.host.requests.ask("get", session.jid, PING))


class GuardTests(SynchronousTestCase):
    def setUp(self) -> None:
        own: dict[str, Any] = {"mod_asker": Asker, "mod_watcher": Watcher}
        self.world = World(modules={"mod_asker": {}, "mod_watcher": {}}, own_modules=own)
        self.addCleanup(self.world.stop)
        self.romeo = self.world.client("romeo@example.org/r")
        self.juliet = self.world.client("juliet@example.org/j")

    def ask(self, name: str, whom: str) -> None:
        self.romeo.send(f"<iq type='get' to='example.org' id='q'><{name} xmlns='{NS}' whom='{whom}'/></iq>")

    def test_who_waits_for_his_own_client_is_caught(self) -> None:
        self.ask("ask", "romeo@example.org/r")
        answers = [element for element in self.romeo.drain() if element.get("id") == "q"]
        self.assertEqual([answer.get("type") for answer in answers], ["error"])
        [failure] = self.flushLoggedErrors(AssertionError)
        self.assertIn("cannot answer", str(failure.value))

    def test_another_client_may_be_asked(self) -> None:
        self.ask("ask", "juliet@example.org/j")
        ping = self.juliet.expect(f"<iq type='get'><ping xmlns='{ns.PING}'/></iq>")
        self.juliet.send(f"<iq type='result' id='{ping.get('id')}' to='example.org'/>")
        self.romeo.expect(f"<iq type='result' id='q'><answered xmlns='{NS}'/></iq>")

    def answer_own_ping(self) -> None:
        ping = next(element for element in self.romeo.drain() if element.child(ns.PING, "ping"))
        self.romeo.send(f"<iq type='result' id='{ping.get('id')}' to='example.org'/>")

    def test_a_detached_handler_may_ask_its_own_client(self) -> None:
        self.ask("ask-detached", "romeo@example.org/r")
        self.answer_own_ping()
        self.romeo.expect(f"<iq type='result' id='q'><answered xmlns='{NS}'/></iq>")

    def test_what_goes_on_beside_a_stanza_may_ask_its_client(self) -> None:
        self.romeo.send("<message to='juliet@example.org/j'><body>hi</body></message>")
        self.answer_own_ping()
        self.juliet.expect("<message><body>hi</body></message>")
        self.assertEqual(len(self.world.host("example.org").requests), 0)
