"""Hosts at run time: they come and go, start and stop, and leave nothing behind."""

from __future__ import annotations

import gc
import weakref
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import CancelledError, ensureDeferred

from federix.api import IQ, JID, Element, Module, Session, ShaperRule, StanzaError, hooks, iq_get, option
from federix.life.tree import Node, State
from federix.testing import Client, World

from .support import Gate, WorldTestCase, condition, stream_condition

NS = "urn:example:host"
ROMEO = "romeo@example.org/orchard"
VERONA = "verona.example"


class Clockwork(Module):
    """Keeps a timer, a task, a note on each session and an answer."""

    name = "mod_clockwork"

    @dataclass(frozen=True)
    class Options(Module.Options):
        say: str = option("tick", "What to answer.")
        fail: bool = option(False, "Whether the start fails.")

    async def on_start(self) -> None:
        self.ticks = 0
        self.gate = Gate()
        self.scope.later(10, self.tick)
        self.scope.spawn(self.gate.wait())
        if self.options.fail:
            raise ZeroDivisionError

    def tick(self) -> None:
        self.ticks += 1
        self.scope.later(10, self.tick)

    @hooks.sm_register_connection
    def came(self, session: Session) -> None:
        session.scope.later(1000, lambda: None)

    @iq_get(NS, "question")
    def answer(self, iq: IQ) -> Element:
        return Element("answer", NS, text=self.options.say)


class Slow(Module):
    """Never gets ready."""

    name = "mod_slow"

    async def on_start(self) -> None:
        await Gate().wait()


class HostTestCase(WorldTestCase):
    def arrange(self, start: bool = True, **config: Any) -> World:
        settings: dict[str, Any] = {"modules": {"mod_clockwork": {}}, **config}
        self.world = self.new_world(config=settings, own_modules={"mod_clockwork": Clockwork}, start=start)
        return self.world

    def reload(self, **changes: Any) -> None:
        self.world.settings = {**self.world.settings, **changes}
        self.world.run(self.world.server.reload(self.world.configure(self.world.settings)))
        self.world.pump()

    def says(self, client: Client) -> str:
        assert client.jid is not None
        answer = client.request(f"<iq type='get' id='1' to='{client.jid.domain}'><question xmlns='{NS}'/></iq>")
        payload = answer.first()
        assert payload is not None
        return payload.text or condition(answer)


class ReloadTests(HostTestCase):
    def test_a_host_is_added_while_others_live_on(self) -> None:
        self.arrange()
        romeo = self.world.client(ROMEO)
        self.assertIsNone(self.world.server.host(VERONA))
        romeo.send(f"<message to='juliet@{VERONA}/balcony'/>")
        self.assertEqual(condition(romeo.receive()), "remote-server-not-found")
        self.reload(hosts=["example.org", VERONA])
        juliet = self.world.client(f"juliet@{VERONA}/balcony")
        romeo.send(f"<message to='juliet@{VERONA}/balcony'/>")
        juliet.expect(f"<message from='{ROMEO}'/>")
        self.assertEqual(self.says(juliet), "tick")

    def test_a_host_is_taken_away_and_its_sessions_end(self) -> None:
        self.arrange(hosts=["example.org", VERONA])
        romeo, juliet = self.world.client(ROMEO), self.world.client(f"juliet@{VERONA}/balcony")
        self.reload(hosts=["example.org"])
        self.assertEqual(stream_condition(juliet.receive()), "system-shutdown")
        self.assertTrue(juliet.ended)
        romeo.nothing()
        romeo.send(f"<message to='juliet@{VERONA}/balcony'/>")
        self.assertEqual(condition(romeo.receive()), "remote-server-not-found")
        self.assertEqual(self.world.server.router.domains(), ["example.org"])
        late = self.world.connect()
        error = self.assertRaises(AssertionError, late.open, VERONA)
        self.assertIn("host-unknown", str(error))

    def test_a_host_that_comes_back_has_its_accounts(self) -> None:
        self.arrange(hosts=["example.org", VERONA])
        self.world.client(f"juliet@{VERONA}/balcony")
        self.reload(hosts=["example.org"])
        self.reload(hosts=["example.org", VERONA])
        self.assertTrue(self.world.run(self.world.host(VERONA).accounts.exists("juliet")))
        self.world.client(f"juliet@{VERONA}/balcony").nothing()

    def test_a_host_that_is_gone_is_forgotten(self) -> None:
        self.arrange(hosts=["example.org", VERONA])
        self.world.client(f"juliet@{VERONA}/balcony")
        host = weakref.ref(self.world.host(VERONA))
        self.reload(hosts=["example.org"])
        self.world.advance(60)
        gc.collect()
        self.assertIsNone(host())

    def test_options_of_modules_change_while_sessions_and_timers_live_on(self) -> None:
        self.arrange()
        romeo = self.world.client(ROMEO)
        module = self.world.host("example.org").module(Clockwork)
        self.world.advance(15)
        self.reload(modules={"mod_clockwork": {"say": "tock"}})
        self.assertEqual(self.says(romeo), "tock")
        self.world.advance(10)
        self.assertEqual(module.ticks, 2)
        self.assertIs(self.world.host("example.org").module(Clockwork), module)

    def test_options_may_differ_between_hosts(self) -> None:
        self.arrange(hosts=["example.org", VERONA])
        romeo, juliet = self.world.client(ROMEO), self.world.client(f"juliet@{VERONA}/balcony")
        self.reload(host_config={VERONA: {"modules": {"mod_clockwork": {"say": "tock"}}}})
        self.assertEqual((self.says(romeo), self.says(juliet)), ("tick", "tock"))

    def test_options_of_the_host_change_for_those_to_come(self) -> None:
        self.arrange()
        romeo = self.world.client(ROMEO)
        self.reload(resource_conflict="closenew")
        self.assertRaises(AssertionError, self.world.client, ROMEO)
        romeo.nothing()

    def test_rules_change_for_those_to_come(self) -> None:
        self.arrange()
        romeo = self.world.client(ROMEO)
        self.reload(access_rules={"c2s": [{"deny": "all"}]})
        self.assertRaises(AssertionError, self.world.client, ROMEO)
        romeo.send(f"<message to='{ROMEO}'/>")
        romeo.expect("<message/>")

    def test_listeners_come_and_go_and_connections_stay(self) -> None:
        self.arrange()
        romeo = self.world.client(ROMEO)
        c2s = {"module": "ejabberd_c2s", "ip": "127.0.0.1", "starttls_required": False}
        self.reload(listen=[{**c2s, "port": 5299}])
        self.assertEqual([call[0] for call in self.world.clock.tcpServers][-1], 5299)
        self.assertEqual(len(self.world.server.listeners.children), 1)
        romeo.send(f"<message to='{ROMEO}'/>")
        romeo.expect("<message/>")
        other = self.world.connect(5299)
        other.open("example.org")
        other.login(self.world.register("juliet@example.org").with_resource("x"), "secret")

    def test_the_same_configuration_again_changes_nothing(self) -> None:
        self.arrange(hosts=["example.org", VERONA])
        romeo = self.world.client(ROMEO)
        before = [node for _, node in self.world.server.walk()]
        for _ in range(3):
            self.reload()
        self.assertEqual([node for _, node in self.world.server.walk()], before)
        romeo.nothing()

    def test_a_host_whose_module_cannot_start_does_not_come_and_the_others_stay(self) -> None:
        self.arrange()
        romeo = self.world.client(ROMEO)
        broken = {VERONA: {"modules": {"mod_clockwork": {"fail": True}}}}
        self.assertRaises(ZeroDivisionError, self.reload, hosts=["example.org", VERONA], host_config=broken)
        self.assertIsNone(self.world.server.host(VERONA))
        self.assertEqual(self.world.server.router.domains(), ["example.org"])
        self.assertEqual(self.says(romeo), "tick")
        self.reload(host_config={})
        self.world.client(f"juliet@{VERONA}/balcony").nothing()


class LifeTests(HostTestCase):
    def test_nothing_is_left_of_a_server_that_has_stopped(self) -> None:
        self.arrange(hosts=["example.org", VERONA])
        clients = [self.world.client(jid) for jid in (ROMEO, "romeo@example.org/phone", f"juliet@{VERONA}/balcony")]
        half_way = self.world.connect()
        half_way.open("example.org")
        silent = self.world.connect()
        nodes = [node for _, node in self.world.server.walk()]
        self.world.stop()
        for client in clients:
            self.assertEqual(stream_condition(client.receive()), "system-shutdown")
        for client in (*clients, half_way, silent):
            self.assertIsNotNone(client.lost, client.name)
        self.assertEqual(self.world.clock.getDelayedCalls(), [])
        for node in nodes:
            self.assertIs(node.state, State.STOPPED, node.name)
            self.assertEqual(len(node.scope), 0, node.name)
            self.assertTrue(node.scope.closed, node.name)
        self.assertEqual(self.world.server.router.domains(), [])

    def test_a_server_can_be_started_again(self) -> None:
        self.arrange()
        self.world.client(ROMEO)
        self.world.stop()
        self.assertEqual(self.world.clock.getDelayedCalls(), [])
        self.world.run(self.world.server.start())
        romeo = self.world.client(ROMEO)
        self.assertEqual(self.says(romeo), "tick")

    def test_a_start_that_fails_leaves_nothing_running(self) -> None:
        for broken in ("example.org", VERONA):
            hosts = {broken: {"modules": {"mod_clockwork": {"fail": True}}}}
            self.arrange(start=False, hosts=["example.org", VERONA], host_config=hosts)
            self.assertRaises(ZeroDivisionError, self.world.run, self.world.server.start())
            self.assertEqual(self.world.clock.getDelayedCalls(), [], broken)
            self.assertIs(self.world.server.state, State.FAILED)
            for _, node in self.world.server.walk():
                self.assertIn(node.state, (State.STOPPED, State.FAILED), f"{broken}: {node.name}")
            self.assertEqual(self.world.server.router.domains(), [])
            self.assertEqual(self.world.clock.tcpServers, [])

    def test_a_start_that_failed_can_be_tried_again(self) -> None:
        self.arrange(start=False)
        failing = _Failing("failing", self.world.clock)
        self.world.server.attach(failing)
        self.assertRaises(ZeroDivisionError, self.world.run, self.world.server.start())
        del self.world.server.children["failing"]
        self.world.run(self.world.server.start())
        self.assertEqual(self.says(self.world.client(ROMEO)), "tick")

    def test_a_server_that_is_stopped_while_it_starts_comes_to_nothing(self) -> None:
        world = self.new_world(modules={"mod_slow": {}}, own_modules={"mod_slow": Slow}, start=False)
        starting = ensureDeferred(world.server.start())
        world.pump()
        self.assertNoResult(starting)
        world.stop()
        self.failureResultOf(starting, CancelledError)
        self.assertIs(world.server.state, State.STOPPED)
        self.assertEqual(world.clock.getDelayedCalls(), [])
        self.assertEqual(world.server.router.domains(), [])
        self.assertEqual(world.clock.tcpServers, [])

    def test_nobody_is_let_in_before_all_is_running(self) -> None:
        self.arrange()
        names = list(self.world.server.children)
        self.assertLess(names.index("hosts"), names.index("listeners"))
        self.assertLess(names.index("storage"), names.index("hosts"))

    def test_two_servers_in_one_process_know_nothing_of_each_other(self) -> None:
        one, two = self.arrange(), self.arrange()
        romeo, other = one.client(ROMEO), two.client(ROMEO)
        self.assertFalse(two.run(two.host("example.org").accounts.exists("juliet")))
        one.register("juliet@example.org")
        self.assertFalse(two.run(two.host("example.org").accounts.exists("juliet")))
        one.run(one.host("example.org").modules.remove("mod_clockwork"))
        self.assertEqual(self.says(romeo), "service-unavailable")
        self.assertEqual(self.says(other), "tick")
        one.stop()
        other.send(f"<message to='{ROMEO}'/>")
        other.expect("<message/>")


class _Failing(Node):
    async def on_start(self) -> None:
        raise ZeroDivisionError


class AccountTests(HostTestCase):
    """The accounts of a host, as modules and commands use them."""

    def setUp(self) -> None:
        self.accounts = self.arrange().host("example.org").accounts

    def refused(self, why: str, task: Any) -> None:
        error = self.assertRaises(StanzaError, self.world.run, task)
        self.assertEqual(error.condition.tag, why)

    def test_an_account_is_made_once(self) -> None:
        self.assertEqual(self.world.run(self.accounts.register("Romeo", "x")), JID.parse("romeo@example.org"))
        self.refused("conflict", self.accounts.register("romeo", "y"))
        self.assertTrue(self.world.run(self.accounts.check_password("ROMEO", "x")))
        self.assertFalse(self.world.run(self.accounts.check_password("romeo", "y")))

    def test_a_name_or_password_that_is_none_is_refused(self) -> None:
        self.refused("jid-malformed", self.accounts.register("a b", "x"))
        self.refused("jid-malformed", self.accounts.register("", "x"))
        self.refused("not-acceptable", self.accounts.register("romeo", ""))
        self.assertFalse(self.world.run(self.accounts.check_password("a b", "x")))
        self.assertFalse(self.world.run(self.accounts.check_password("nobody", "x")))

    def test_a_password_is_changed(self) -> None:
        self.world.run(self.accounts.register("romeo", "x"))
        self.world.run(self.accounts.set_password("romeo", "y"))
        self.assertTrue(self.world.run(self.accounts.check_password("romeo", "y")))
        self.assertFalse(self.world.run(self.accounts.check_password("romeo", "x")))
        self.refused("item-not-found", self.accounts.set_password("nobody", "x"))

    def test_an_account_is_removed(self) -> None:
        self.world.run(self.accounts.register("romeo", "x"))
        self.assertTrue(self.world.run(self.accounts.remove("romeo")))
        self.assertFalse(self.world.run(self.accounts.remove("romeo")))
        self.assertFalse(self.world.run(self.accounts.exists("romeo")))
        self.world.run(self.accounts.register("romeo", "y"))

    def test_accounts_are_counted_and_listed(self) -> None:
        for name in "cab":
            self.world.run(self.accounts.register(name, "x"))
        self.assertEqual(self.world.run(self.accounts.count()), 3)
        self.assertEqual(self.world.run(self.accounts.names(limit=2)), ["a", "b"])
        self.assertEqual(self.world.run(self.accounts.names(limit=2, after="b")), ["c"])


class RulesTests(WorldTestCase):
    def test_a_rule_of_a_module_gives_a_number_or_none_for_no_limit(self) -> None:
        config = {
            "shaper_rules": {"much": [{5: {"user": "romeo@example.org"}}, 2], "endless": "infinity", "c2s": "fast"}
        }
        host = self.new_world(config=config).host("example.org")
        who = [JID.parse("romeo@example.org"), JID.parse("juliet@example.org")]
        self.assertEqual([host.number(ShaperRule("much"), jid) for jid in who], [5, 2])
        self.assertEqual([host.number(ShaperRule(name), who[0]) for name in ("endless", "none", "c2s")], [None] * 3)
