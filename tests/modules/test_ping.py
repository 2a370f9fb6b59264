from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from federix.api import IQ_TIMEOUT, Handled, Module, Session, Stanza, hooks
from federix.modules.ping import WATCH, Ping
from federix.testing import Client, World

from .neighbours import FRIENDS, Pausable, Sleepy, reload, worries

PING = "<ping xmlns='urn:xmpp:ping'/>"
ASKED = f"<iq type='get' from='example.org' to='romeo@example.org/orchard' id='*'>{PING}</iq>"
INFO = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
FEATURE = f"<iq type='result'>{INFO.replace('/>', '>')}<feature var='urn:xmpp:ping'/></query></iq>"
FORGET_ME = "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"


class Watcher(Module):
    """Notes who did not answer a ping, and holds back the messages of a client until it is let go."""

    name = "mod_watcher"

    async def on_start(self) -> None:
        self.silent: list[Session] = []
        self.held: Deferred[None] = Deferred()

    @hooks.user_ping_timeout
    def timeout(self, session: Session) -> None:
        self.silent.append(session)

    @hooks.user_send_packet
    def hold(self, session: Session, stanza: Stanza) -> Any:
        return self._later() if stanza.kind == "message" else None

    async def _later(self) -> Handled | None:
        await self.held
        return None


class Case(SynchronousTestCase):
    def make_world(self, options: dict[str, Any], **more: Any) -> World:
        own = {"mod_watcher": Watcher, **FRIENDS}
        modules = {"mod_ping": options, "mod_watcher": {}, "mod_friends": {}, "mod_disco": {}}
        world = World(modules=modules, own_modules=own, **more)
        self.addCleanup(world.stop)
        return world

    def watcher(self, world: World) -> Watcher:
        return world.host("example.org").module(Watcher)

    def reload(self, world: World, options: dict[str, Any]) -> None:
        reload(world, {"mod_ping": options, "mod_watcher": {}, "mod_friends": {}, "mod_disco": {}})

    def answer(self, client: Client, ping: Any, error: str = "") -> None:
        kind = "error" if error else "result"
        body = f"<error type='cancel'>{error}</error>" if error else ""
        client.send(f"<iq type='{kind}' to='example.org' id='{ping.get('id')}'>{body}</iq>")


class AnsweringTests(Case):
    """XEP-0199 §4.2 to §4.4: pings of others."""

    def setUp(self) -> None:
        self.world = self.make_world({})
        self.romeo = self.world.client("romeo@example.org/orchard")

    def test_the_host_answers_with_an_empty_result(self) -> None:
        self.romeo.send(f"<iq type='get' to='example.org' id='1'>{PING}</iq>")
        self.romeo.expect("<iq type='result' from='example.org' to='romeo@example.org/orchard' id='1'/>", exact=True)

    def test_the_clients_own_account_answers(self) -> None:
        self.romeo.send(f"<iq type='get' to='romeo@example.org' id='1'>{PING}</iq>")
        self.romeo.expect("<iq type='result' from='romeo@example.org' id='1'/>")

    def test_without_an_address_the_account_answers(self) -> None:
        self.romeo.send(f"<iq type='get' id='1'>{PING}</iq>")
        self.romeo.expect("<iq type='result' id='1'/>")

    def test_a_ping_to_a_full_address_goes_to_the_client(self) -> None:
        juliet = self.world.client("juliet@example.org/balcony")
        self.romeo.send(f"<iq type='get' to='juliet@example.org/balcony' id='1'>{PING}</iq>")
        juliet.expect(f"<iq type='get' from='romeo@example.org/orchard' id='1'>{PING}</iq>")

    def test_a_full_address_without_a_client_is_unavailable(self) -> None:
        """§7: "RFC 6120 requires it to reply with a <service-unavailable/> error"."""
        self.world.client("juliet@example.org/balcony")
        self.romeo.send(f"<iq type='get' to='juliet@example.org/chamber' id='1'>{PING}</iq>")
        self.romeo.expect(f"<iq type='error' from='juliet@example.org/chamber' id='1'><error>{FORGET_ME}</error></iq>")

    def test_an_account_answers_those_who_may_see_its_presence(self) -> None:
        self.world.register("juliet@example.org")
        answer = self.romeo.request(f"<iq type='get' to='juliet@example.org' id='1'>{PING}</iq>")
        self.assertEqual(answer.get("type"), "result")

    def test_for_strangers_an_account_is_as_if_it_were_not_there(self) -> None:
        self.world.register("mercutio@example.org")
        for payload in (PING, "<pong xmlns='urn:xmpp:ping'/>"):
            there = self.romeo.request(f"<iq type='get' to='mercutio@example.org' id='1'>{payload}</iq>")
            nowhere = self.romeo.request(f"<iq type='get' to='mercutia@example.org' id='1'>{payload}</iq>")
            self.assertEqual(there.get("type"), "error")
            self.assertEqual(there.to_xml().replace("mercutio", "mercutia"), nowhere.to_xml())

    def test_anything_else_in_the_namespace_is_a_bad_request(self) -> None:
        for payload, kind in (("<pong xmlns='urn:xmpp:ping'/>", "get"), (PING, "set")):
            for to in ("to='example.org'", ""):
                self.romeo.send(f"<iq type='{kind}' {to} id='1'>{payload}</iq>")
                self.romeo.expect(
                    "<iq type='error' id='1'><error type='modify'>"
                    "<bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
                )

    def test_host_and_account_must_report_the_feature(self) -> None:
        """§5: "it MUST report that fact by including a service discovery feature of "urn:xmpp:ping"."""
        for to in ("to='example.org'", ""):
            self.romeo.send(f"<iq type='get' {to} id='1'>{INFO}</iq>")
            self.romeo.expect(FEATURE)

    def test_nobody_is_pinged_unless_asked_for(self) -> None:
        self.world.advance(600)
        self.romeo.nothing()

    def test_each_host_has_its_own_service_of_that_name(self) -> None:
        world = self.make_world({}, hosts=("example.org", "localhost"))
        services = [world.host(name).module(Ping) for name in ("example.org", "localhost")]
        self.assertIsNot(*services)
        for service in services:
            self.assertEqual(service.name, "mod_ping")
            self.assertTrue(service.running)
            self.assertIs(service.parent, service.host.modules)


class PingingTests(Case):
    """XEP-0199 §4.1: pings of ours."""

    def setUp(self) -> None:
        self.worries = worries(self)
        self.world = self.make_world({"send_pings": True})
        self.romeo = self.world.client("romeo@example.org/orchard")

    def tearDown(self) -> None:
        self.assertEqual(self.worries, [])

    def test_a_silent_client_is_pinged_after_the_interval_by_its_host(self) -> None:
        self.world.advance(59.9)
        self.romeo.nothing()
        self.world.advance(0.1)
        self.romeo.expect(ASKED)

    def test_a_stanza_begins_the_interval_anew(self) -> None:
        self.world.advance(50)
        self.romeo.send("<presence to='romeo@example.org'/>")
        self.romeo.drain()
        self.world.advance(59.9)
        self.romeo.nothing()
        self.world.advance(0.1)
        self.romeo.expect(ASKED)

    def test_whitespace_is_silence(self) -> None:
        for _ in range(6):
            self.world.advance(10)
            self.romeo.send(" ")
        self.romeo.expect(ASKED)

    def test_what_the_client_receives_is_silence(self) -> None:
        juliet = self.world.client("juliet@example.org/balcony")
        self.world.advance(50)
        juliet.send(f"<iq type='get' to='romeo@example.org/orchard' id='1'>{PING}</iq>")
        self.romeo.receive()
        self.world.advance(10)
        self.romeo.expect(ASKED)

    def test_an_answer_begins_the_interval_anew(self) -> None:
        self.world.advance(60)
        ping = self.romeo.expect(ASKED)
        self.world.advance(5)
        self.answer(self.romeo, ping)
        self.world.advance(59.9)
        self.romeo.nothing()
        self.world.advance(0.1)
        self.romeo.expect(ASKED)
        self.assertEqual(self.watcher(self.world).silent, [])

    def test_a_silent_client_is_pinged_again_each_interval(self) -> None:
        for _ in range(5):
            self.world.advance(60)
            self.romeo.expect(ASKED)
            self.romeo.nothing()

    def test_a_silent_client_is_pinged_each_interval_even_if_its_answer_may_take_longer(self) -> None:
        self.reload(self.world, {"send_pings": True, "ping_interval": 10, "ping_ack_timeout": 32})
        for _ in range(5):
            self.world.advance(10)
            self.romeo.expect(ASKED)
            self.romeo.nothing()

    def test_an_unanswered_ping_is_told(self) -> None:
        self.world.advance(60 + 31.9)
        self.assertEqual(self.watcher(self.world).silent, [])
        self.world.advance(0.1)
        silent = self.watcher(self.world).silent
        self.assertEqual([str(session.jid) for session in silent], ["romeo@example.org/orchard"])

    def test_by_default_an_unanswered_ping_ends_nothing(self) -> None:
        self.world.advance(600)
        self.assertIsNone(self.romeo.lost)

    def test_a_client_that_does_not_know_pings_is_not_pinged_again(self) -> None:
        self.world.advance(60)
        self.answer(self.romeo, self.romeo.expect(ASKED), FORGET_ME)
        self.world.advance(600)
        self.romeo.nothing()
        self.assertEqual(self.watcher(self.world).silent, [])

    def test_nor_is_it_after_a_reload(self) -> None:
        self.world.advance(60)
        self.answer(self.romeo, self.romeo.expect(ASKED), FORGET_ME)
        self.reload(self.world, {"send_pings": True, "ping_interval": 10})
        self.world.advance(600)
        self.romeo.nothing()

    def test_its_next_session_is_asked_again(self) -> None:
        self.world.advance(60)
        self.answer(self.romeo, self.romeo.expect(ASKED), FORGET_ME)
        self.romeo.close()
        romeo = self.world.client("romeo@example.org/orchard")
        self.world.advance(60)
        romeo.expect(ASKED)

    def test_another_error_is_an_answer(self) -> None:
        self.world.advance(60)
        error = "<not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
        self.answer(self.romeo, self.romeo.expect(ASKED), error)
        self.world.advance(60)
        self.romeo.expect(ASKED)
        self.assertEqual(self.watcher(self.world).silent, [])

    def test_an_answer_of_somebody_else_is_none(self) -> None:
        self.world.advance(60)
        ping = self.romeo.expect(ASKED)
        self.answer(self.world.client("mercutio@example.org/street"), ping)
        self.world.advance(32)
        self.assertEqual(len(self.watcher(self.world).silent), 1)

    def test_the_end_of_a_replaced_session_does_not_stop_the_timer_of_the_new_one(self) -> None:
        self.world.advance(30)
        new = self.world.client("romeo@example.org/orchard")
        self.assertTrue(self.romeo.ended)
        self.world.advance(59.9)
        new.nothing()
        self.world.advance(0.1)
        new.expect(ASKED)

    def test_the_silence_of_a_replaced_session_is_not_the_new_ones(self) -> None:
        self.world.advance(60)
        new = self.world.client("romeo@example.org/orchard")
        self.world.advance(32)
        self.assertEqual(self.watcher(self.world).silent, [])
        new.nothing()

    def test_a_session_that_ends_while_a_ping_is_on_its_way_is_forgotten(self) -> None:
        host = self.world.host("example.org")
        self.world.advance(60)
        self.romeo.expect(ASKED)
        self.assertEqual(len(host.requests), 1)
        self.romeo.cut()
        self.assertEqual(len(host.requests), 0)
        self.world.advance(600)
        self.assertEqual(self.watcher(self.world).silent, [])

    def test_nobody_is_pinged_after_its_session(self) -> None:
        before = len(self.world.clock.getDelayedCalls())
        other = self.world.client("mercutio@example.org/street")
        (session,) = self.world.host("example.org").sessions.of("mercutio")
        self.assertIn(WATCH, session.notes)
        other.close()
        self.world.advance(10)
        self.assertEqual(len(self.world.clock.getDelayedCalls()), before)
        self.assertNotIn(WATCH, session.notes)

    def test_stanzas_cost_no_timers(self) -> None:
        timers = [id(call) for call in self.world.clock.getDelayedCalls()]
        times = [call.getTime() for call in self.world.clock.getDelayedCalls()]
        for _ in range(5):
            self.romeo.send("<presence to='romeo@example.org'/>")
        self.assertEqual([id(call) for call in self.world.clock.getDelayedCalls()], timers)
        self.assertEqual([call.getTime() for call in self.world.clock.getDelayedCalls()], times)

    def test_sessions_have_one_timer_each(self) -> None:
        before = len(self.world.clock.getDelayedCalls())
        for resource in "abc":
            self.world.client(f"romeo@example.org/{resource}")
        self.assertEqual(len(self.world.clock.getDelayedCalls()), before + 3)


class PausedTests(Case):
    """A client whose stream we do not read is not silent: what it says cannot reach us."""

    def setUp(self) -> None:
        self.world = self.make_world({"send_pings": True, "timeout_action": "kill"})
        self.romeo = self.world.client("romeo@example.org/orchard")
        (session,) = self.world.host("example.org").sessions
        self.stream = session.attachment = Pausable(session.attachment)

    def test_while_a_stanza_of_its_own_waits_a_client_is_not_pinged(self) -> None:
        (session,) = self.world.host("example.org").sessions
        session.attachment = self.stream._attachment
        self.romeo.send("<message to='romeo@example.org/orchard' type='chat'/>")
        self.assertTrue(session.attachment.paused)
        self.world.advance(100)
        self.romeo.nothing()
        self.watcher(self.world).held.callback(None)
        self.romeo.expect("<message type='chat'/>")

    def test_after_the_pause_silence_counts_anew(self) -> None:
        self.stream.paused = True
        self.world.advance(60)
        self.stream.paused = False
        self.world.advance(59.9)
        self.romeo.nothing()
        self.world.advance(0.1)
        self.romeo.expect(ASKED)

    def test_an_answer_that_waits_to_be_read_counts(self) -> None:
        self.world.advance(60)
        ping = self.romeo.expect(ASKED)
        self.stream.paused = True
        self.world.advance(32)
        self.stream.paused = False
        self.answer(self.romeo, ping)
        self.world.advance(32)
        self.assertIsNone(self.romeo.lost)
        self.assertEqual(self.watcher(self.world).silent, [])

    def test_who_stays_silent_after_the_pause_is_not_spared(self) -> None:
        self.world.advance(60)
        self.stream.paused = True
        self.world.advance(32)
        self.stream.paused = False
        self.world.advance(31.9)
        self.assertIsNone(self.romeo.lost)
        self.world.advance(0.1)
        self.assertIsNotNone(self.romeo.lost)


class KillingTests(Case):
    def setUp(self) -> None:
        self.worries = worries(self)
        self.world = self.make_world({"send_pings": True, "timeout_action": "kill"})
        self.romeo = self.world.client("romeo@example.org/orchard")

    def test_an_unanswered_ping_ends_the_session(self) -> None:
        host = self.world.host("example.org")
        self.world.advance(60 + 31.9)
        self.assertIsNone(self.romeo.lost)
        self.assertEqual(len(host.sessions), 1)
        self.world.advance(0.1)
        self.assertIsNotNone(self.romeo.lost)
        self.assertEqual(len(host.sessions), 0)
        self.assertEqual(self.worries, [])

    def test_the_hook_fires_once(self) -> None:
        self.reload(self.world, {"send_pings": True, "timeout_action": "kill", "ping_interval": 10})
        self.world.advance(600)
        self.assertEqual(len(self.watcher(self.world).silent), 1)
        self.assertEqual(len(self.world.host("example.org").requests), 0)
        self.assertEqual(self.worries, [])

    def test_a_session_that_sleeps_then_is_left_alone_until_it_wakes(self) -> None:
        self.reload(self.world, {"send_pings": True, "timeout_action": "kill", "ping_interval": 20})
        (session,) = self.world.host("example.org").sessions
        stream = session.attachment = Sleepy(session.attachment)
        self.world.advance(20 + 32)
        self.assertTrue(stream.paused)
        self.romeo.drain()
        self.world.advance(600)
        self.romeo.nothing()
        stream.paused = False
        self.world.advance(20)
        self.romeo.expect(ASKED)
        self.assertEqual(len(self.watcher(self.world).silent), 1)

    def test_the_silence_of_a_session_that_wakes_counts_anew(self) -> None:
        self.reload(self.world, {"send_pings": True, "timeout_action": "kill", "ping_interval": 20})
        (session,) = self.world.host("example.org").sessions
        stream = session.attachment = Sleepy(session.attachment)
        self.world.advance(20 + 32)
        self.romeo.drain()
        stream.paused = False
        self.world.advance(19.9)
        self.romeo.nothing()
        self.world.advance(0.1)
        self.romeo.expect(ASKED)
        self.assertEqual(len(self.watcher(self.world).silent), 1)

    def test_a_silent_peer_on_a_dead_line_is_cut(self) -> None:
        self.romeo.wire.broken = True
        self.world.advance(92)
        self.assertEqual(len(self.world.host("example.org").sessions), 0)

    def test_who_answers_stays(self) -> None:
        for _ in range(5):
            self.world.advance(60)
            self.answer(self.romeo, self.romeo.expect(ASKED))
        self.assertIsNone(self.romeo.lost)

    def test_who_speaks_without_answering_pings_stays(self) -> None:
        """§6: "Some XMPP clients do not respond to IQ stanzas containing unsupported payloads"."""
        self.world.advance(60)
        self.romeo.expect(ASKED)
        self.world.advance(10)
        self.romeo.send("<presence to='romeo@example.org'/>")
        self.world.advance(30)
        self.assertIsNone(self.romeo.lost)
        self.assertEqual(self.watcher(self.world).silent, [])


class ReloadTests(Case):
    def test_pings_are_switched_on_for_sessions_that_are_there(self) -> None:
        world = self.make_world({})
        romeo = world.client("romeo@example.org/orchard")
        world.advance(100)
        self.reload(world, {"send_pings": True})
        world.advance(59.9)
        romeo.nothing()
        world.advance(0.1)
        romeo.expect(ASKED)

    def test_pings_are_switched_off(self) -> None:
        world = self.make_world({"send_pings": True, "timeout_action": "kill"})
        romeo = world.client("romeo@example.org/orchard")
        world.advance(60)
        romeo.expect(ASKED)
        self.reload(world, {"send_pings": False, "timeout_action": "kill"})
        world.advance(600)
        romeo.nothing()
        self.assertIsNone(romeo.lost)
        self.assertEqual(self.watcher(world).silent, [])

    def test_a_shorter_interval_counts_at_once(self) -> None:
        world = self.make_world({"send_pings": True, "ping_interval": "1 hour"})
        romeo = world.client("romeo@example.org/orchard")
        world.advance(10)
        self.reload(world, {"send_pings": True, "ping_interval": 20})
        world.advance(9.9)
        romeo.nothing()
        world.advance(0.1)
        romeo.expect(ASKED)

    def test_an_interval_that_has_passed_already_pings_now(self) -> None:
        world = self.make_world({"send_pings": True, "ping_interval": "1 hour"})
        romeo = world.client("romeo@example.org/orchard")
        world.advance(100)
        self.reload(world, {"send_pings": True, "ping_interval": 20})
        romeo.expect(ASKED)

    def test_a_longer_interval_counts_at_once(self) -> None:
        world = self.make_world({"send_pings": True})
        romeo = world.client("romeo@example.org/orchard")
        world.advance(50)
        self.reload(world, {"send_pings": True, "ping_interval": 100})
        world.advance(49.9)
        romeo.nothing()
        world.advance(0.1)
        romeo.expect(ASKED)

    def test_reload_leaves_one_timer(self) -> None:
        world = self.make_world({"send_pings": True})
        romeo = world.client("romeo@example.org/orchard")
        for interval in (50, 40, 30):
            self.reload(world, {"send_pings": True, "ping_interval": interval})
        world.advance(30)
        romeo.expect(ASKED)
        romeo.nothing()

    def test_without_the_module_nobody_is_pinged(self) -> None:
        world = self.make_world({"send_pings": True})
        romeo = world.client("romeo@example.org/orchard")
        world.advance(60)
        romeo.expect(ASKED)
        reload(world, {"mod_watcher": {}})
        world.advance(600)
        romeo.nothing()
        self.assertEqual(self.watcher(world).silent, [])


class OptionsTests(SynchronousTestCase):
    def test_defaults_are_those_operators_know(self) -> None:
        options = Ping.Options()
        self.assertEqual(
            (options.send_pings, options.ping_interval, options.ping_ack_timeout, options.timeout_action),
            (False, 60.0, IQ_TIMEOUT, "none"),
        )
