"""XEP-0198 §4: what becomes of stanzas that were not acknowledged when their session ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred

from federix.api import HANDLED, JID, STREAM_MANAGEMENT, Message, Module, Outcome, hooks
from federix.core import returning
from federix.core.returning import TOGETHER
from federix.testing import Client
from federix.xmpp import ns
from federix.xmpp.delay import parse_stamp
from federix.xmpp.reading import read_stanza

from .sm_case import ManagedCase, R, a, failed


class Store(Module):
    """Takes what nobody is there for."""

    name = "mod_store"

    async def on_start(self) -> None:
        self.kept: list[Message] = []

    @hooks.offline_message
    def keep(self, account: JID, message: Message) -> Outcome:
        self.kept.append(message)
        return HANDLED


class Stuck(Module):
    """A store that never answers."""

    name = "mod_stuck"

    @hooks.offline_message
    async def keep(self, account: JID, message: Message) -> Outcome:
        await Deferred()
        return HANDLED


class EndingTests(ManagedCase):
    def begin_with(self, options: dict[str, Any] | None = None) -> None:
        self.begin(options, modules={"mod_store": {}, "mod_roster": {}}, own_modules={"mod_store": Store})
        self.id = self.enable(self.romeo)
        self.store = self.world.host("example.org").module(Store)

    def stored(self) -> list[str | None]:
        return [message.body for message in self.store.kept]

    def test_a_session_that_is_not_resumed_in_time_ends(self) -> None:
        self.begin_with()
        self.romeo.cut()
        self.world.advance(299)
        self.assertTrue(self.is_there())
        self.world.advance(2)
        self.assertFalse(self.is_there())

    def test_its_messages_are_stored_for_later(self) -> None:
        self.begin_with()
        self.say("1")
        sent = self.world.server.now()
        self.romeo.cut()
        self.say("2", to="romeo@example.org/orchard")
        self.world.advance(301)
        self.assertEqual(self.stored(), ["1", "2"])
        message = self.store.kept[0]
        self.assertEqual(str(message.to), "romeo@example.org")
        delay = message.child(ns.DELAY, "delay")
        assert delay is not None
        self.assertEqual(delay.get("from"), "example.org")
        self.assertAlmostEqual(parse_stamp(delay.get("stamp") or ""), sent, delta=1)

    def test_since_when_is_nothing_their_sender_can_claim(self) -> None:
        self.begin_with()
        forged = "<delay xmlns='urn:xmpp:delay' from='example.org' stamp='2002-09-10T23:08:25Z'/>"
        self.juliet.send(f"<message to='romeo@example.org/orchard' type='chat'><body>1</body>{forged}</message>")
        sent = self.world.server.now()
        self.romeo.cut()
        self.world.advance(301)
        (delay,) = self.store.kept[0].element.children_of(ns.DELAY, "delay")
        self.assertAlmostEqual(parse_stamp(delay.get("stamp") or ""), sent, delta=1)

    def test_what_comes_while_they_are_on_their_way_stays_behind_them(self) -> None:
        """RFC 6120 §10.1: what its sender wrote first arrives first."""
        self.begin_with()
        self.say("1", "2")
        self.romeo.cut()
        self.end_session()
        self.deliver("3")
        self.deliver("4")
        self.world.pump()
        self.assertEqual(self.stored(), ["1", "2", "3", "4"])
        self.deliver("5")
        self.assertEqual(self.stored(), ["1", "2", "3", "4", "5"])

    def test_though_a_new_session_is_there_already(self) -> None:
        self.begin_with()
        other = self.world.client("romeo@example.org/other")
        other.send("<presence/>")
        self.say("1", "2")
        self.romeo.cut()
        self.end_session()
        self.deliver("3")
        self.world.pump()
        self.assertEqual(self.bodies(other), ["1", "2", "3"])

    def test_an_error_waits_for_nothing(self) -> None:
        """It may be about one of them."""
        self.begin_with()
        other = self.world.client("romeo@example.org/other")
        self.say("1")
        self.romeo.cut()
        self.end_session()
        self.deliver("refused", "error", "romeo@example.org/other")
        self.assertEqual(self.bodies(other), ["refused"])

    def end_session(self) -> None:
        host = self.world.host("example.org")
        (session,) = [session for session in host.sessions.of("romeo") if session.asleep]
        host.sessions.close(session)

    def deliver(self, body: str, kind: str = "chat", to: str = "romeo@example.org") -> None:
        """A message comes, and nothing else has its turn."""
        attrs = f"xmlns='jabber:client' from='juliet@example.org/balcony' to='{to}' type='{kind}'"
        xml = f"<message {attrs}><body>{body}</body></message>"
        going = self.world.host("example.org").deliver(read_stanza(xml.encode()))
        if going is not None:
            ensureDeferred(going)

    def test_or_delivered_to_another_resource(self) -> None:
        self.begin_with()
        other = self.world.client("romeo@example.org/other")
        other.send("<presence/>")
        self.say("1")
        self.romeo.cut()
        self.world.advance(301)
        self.assertEqual(self.bodies(other), ["1"])
        self.assertEqual(self.stored(), [])

    def test_what_was_acknowledged_is_not(self) -> None:
        self.begin_with()
        self.say("1", "2")
        self.romeo.send(a(1))
        self.romeo.cut()
        self.world.advance(301)
        self.assertEqual(self.stored(), ["2"])

    def test_who_closes_the_stream_gets_it_later_as_well(self) -> None:
        self.begin_with()
        self.say("1")
        self.romeo.close()
        self.assertEqual(self.stored(), ["1"])

    def test_and_who_cannot_resume(self) -> None:
        self.begin_with()
        client = self.world.client("romeo@example.org/other")
        self.enable(client, "")
        self.say("1", to="romeo@example.org/other")
        client.cut()
        self.assertEqual(self.stored(), ["1"])

    def test_requests_go_back_to_their_senders(self) -> None:
        self.begin_with()
        self.romeo.cut()
        other = self.world.client("romeo@example.org/other")
        other.send("<iq type='get' to='romeo@example.org/orchard' id='q'><query xmlns='jabber:iq:version'/></iq>")
        other.send("<iq type='result' to='romeo@example.org/orchard' id='z'/>")
        self.world.advance(301)
        other.expect(
            "<iq type='error' from='romeo@example.org/orchard' id='q'><error type='cancel'>"
            "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        )
        other.nothing()

    def test_presence_headlines_and_errors_are_dropped(self) -> None:
        self.begin_with()
        self.romeo.cut()
        self.juliet.send("<presence to='romeo@example.org/orchard'/>")
        self.say("news", kind="headline")
        self.say("wrong", kind="error")
        self.world.advance(301)
        self.assertEqual(self.stored(), [])
        self.juliet.nothing()

    def test_what_a_room_said_goes_back_to_it(self) -> None:
        self.begin_with()
        self.romeo.cut()
        self.say("1", kind="groupchat")
        self.world.advance(301)
        self.juliet.expect("<message type='error' id='1'/>")
        self.assertEqual(self.stored(), [])

    def test_copies_of_what_the_account_has_are_dropped(self) -> None:
        self.begin_with()
        session = self.session()
        for copy in (f"<received xmlns='{ns.CARBONS}'/>", f"<result xmlns='{ns.MAM}'/>"):
            session.pass_on(_message(f"<message from='romeo@example.org' to='{session.jid}'>{copy}</message>"))
        self.romeo.cut()
        self.world.advance(301)
        self.assertEqual(self.stored(), [])

    def test_without_resending_it_stays_in_the_archive_or_goes_back(self) -> None:
        self.begin_with({"resend_on_timeout": "false"})
        archived = f"<stanza-id xmlns='{ns.SID}' by='romeo@example.org' id='1'/><body>archived</body>"
        self.session().pass_on(
            _message(f"<message from='juliet@example.org/balcony' to='romeo@example.org'>{archived}</message>")
        )
        self.say("not")
        self.romeo.cut()
        self.world.advance(301)
        self.assertEqual(self.stored(), [])
        self.juliet.expect("<message type='error' id='not'/>")
        self.juliet.nothing()

    def test_if_offline_means_if_no_other_client_is_there(self) -> None:
        for others, stored in ((False, ["1"]), (True, [])):
            self.begin_with({"resend_on_timeout": "if_offline"})
            if others:
                self.world.client("romeo@example.org/other")
            self.say("1")
            self.romeo.cut()
            self.world.advance(301)
            self.assertEqual(self.stored(), stored)

    def test_when_the_same_resource_is_bound_anew_the_old_sessions_messages_are_not_lost(self) -> None:
        self.begin_with()
        self.romeo.cut()
        self.say("1")
        self.world.client("romeo@example.org/orchard")
        self.assertEqual(self.stored(), ["1"])

    def test_when_the_server_stops_they_are_stored(self) -> None:
        self.begin_with()
        awake = self.world.client("romeo@example.org/awake")
        self.enable(awake)
        self.romeo.cut()
        self.say("asleep")
        self.say("awake", to="romeo@example.org/awake")
        store = self.store
        self.stop()
        self.assertEqual(sorted(str(message.body) for message in store.kept), ["asleep", "awake"])

    def test_what_several_had_not_acknowledged_is_stored_once_and_in_order(self) -> None:
        for acknowledged in (0, 3):
            self.begin_with()
            other = self.two_available()
            self.say("1", "2", "3", "4", "5", to="romeo@example.org")
            other.send(a(2 + acknowledged))
            store = self.store
            self.stop()
            self.assertEqual([message.body for message in store.kept], ["1", "2", "3", "4", "5"])

    def test_nor_twice_if_one_ends_after_the_other(self) -> None:
        self.begin_with()
        other = self.two_available()
        self.romeo.cut()
        self.world.advance(10)
        other.cut()
        self.say("1", "1", "2", to="romeo@example.org")
        self.world.advance(320)
        self.assertEqual(self.stored(), ["1", "1", "2"])

    def two_available(self) -> Client:
        """Another client of Romeo's, available as he is himself; both have what they got until now."""
        other = self.world.client("romeo@example.org/other")
        self.enable(other)
        self.romeo.send("<presence/>")
        other.send("<presence/>")
        self.romeo.send(a(2))
        other.send(a(2))
        return other

    def test_before_that_clients_are_asked_for_what_they_have(self) -> None:
        self.begin_with()
        self.say("1")
        store = self.store
        stopping = ensureDeferred(self.world.server.stop())
        self.romeo.expect("<message id='1'/>")
        self.answer(self.romeo, 1)
        self.world.advance(30)
        self.successResultOf(stopping)
        self.assertEqual(store.kept, [])

    def test_when_its_host_is_taken_out_they_are_stored(self) -> None:
        self.begin(modules={"mod_store": {}}, own_modules={"mod_store": Store}, hosts=("example.org", "example.net"))
        store = self.world.host("example.org").module(Store)
        self.enable(self.romeo)
        self.say("1")
        settings = {**self.world.settings, "hosts": ["example.net"]}
        reloading = ensureDeferred(self.world.server.reload(self.world.configure(settings)))
        self.world.advance(30)
        self.successResultOf(reloading)
        self.assertEqual([message.body for message in store.kept], ["1"])


class ManyTests(ManagedCase):
    def test_when_many_sessions_end_at_once_their_stanzas_go_back_bit_by_bit(self) -> None:
        config = {"shaper_rules": {"max_user_sessions": "infinity"}}
        self.begin(modules={"mod_store": {}}, own_modules={"mod_store": Store}, config=config)
        store, count = self.world.host("example.org").module(Store), TOGETHER + 50
        for number in range(count):
            self.enable(self.world.client(f"romeo@example.org/{number}", ip=f"192.0.2.{number % 200}"))
            self.say(str(number), to=f"romeo@example.org/{number}")
        self.stop()
        self.assertEqual(sorted(int(message.body or "") for message in store.kept), list(range(count)))

    def test_nobody_waits_for_ever_for_those_whose_turn_does_not_come(self) -> None:
        """As who removes an account does."""
        self.patch(returning, "TOGETHER", 1)
        self.begin(modules={"mod_stuck": {}}, own_modules={"mod_stuck": Stuck})
        for name in ("romeo", "mercutio"):
            client = self.world.client(f"{name}@example.org/field")
            self.enable(client)
            self.say("1", to=f"{name}@example.org/field")
            client.cut()
            for session in self.world.host("example.org").sessions.of(name):
                session.end()
        self.world.pump()
        returns = self.world.host("example.org").sessions.returns
        behind = [returns.after(name) for name in ("romeo", "mercutio")]
        stopping = ensureDeferred(self.world.server.stop())
        self.world.advance(60)
        self.successResultOf(stopping)
        for waiting in behind:
            assert waiting is not None
            self.successResultOf(waiting)
        self.assertEqual(len(returns), 0)


class TooMuchTests(ManagedCase):
    """A client that never acknowledges is not remembered for ever."""

    def test_past_max_ack_queue_the_session_ends(self) -> None:
        self.begin({"max_ack_queue": 10, "ack_timeout": "infinity"})
        self.enable(self.romeo)
        self.say(*map(str, range(11)))
        self.romeo.drain()
        self.assertTrue(self.romeo.ended)
        self.assertFalse(self.is_there())

    def test_past_so_many_bytes_as_well(self) -> None:
        self.begin({"max_ack_queue_size": 10_000, "max_ack_queue": "infinity"})
        self.enable(self.romeo)
        for _ in range(2):
            self.say("x" * 2000)
        self.assertTrue(self.is_there())
        self.say("x" * 2000)
        self.assertFalse(self.is_there())

    def test_where_all_together_leave_too_much_the_one_with_most_ends(self) -> None:
        self.begin()
        other = self.world.client("romeo@example.org/other")
        for client in (self.romeo, other):
            self.enable(client)
        management = self.world.host("example.org").notes[STREAM_MANAGEMENT]
        management.most_held = 20_000
        self.say("x" * 6000)
        for _ in range(3):
            self.say("x" * 1000, to="romeo@example.org/other")
        self.assertTrue(self.is_there())
        self.say("x" * 2000, to="romeo@example.org/other")
        self.assertFalse(self.is_there())
        self.assertTrue(self.is_there(resource="other"))
        other.send(a(4))
        self.assertEqual(management.held, 0)

    def test_and_one_that_sleeps_too(self) -> None:
        self.begin({"max_ack_queue": 10}, modules={"mod_store": {}}, own_modules={"mod_store": Store})
        self.enable(self.romeo)
        self.romeo.cut()
        self.say(*map(str, range(11)))
        self.assertFalse(self.is_there())
        self.assertEqual(len(self.world.host("example.org").module(Store).kept), 11)


class MemoryTests(ManagedCase):
    """§5: <failed/> may have 'h', "the number of stanzas received before the timeout"."""

    def begin_and_send(self, count: int, options: dict[str, Any] | None = None, **more: Any) -> str:
        self.begin(options, **more)
        id = self.enable(self.romeo)
        for _ in range(count):
            self.romeo.send("<message to='juliet@example.org/balcony'/>")
        return id

    def test_after_it_has_expired_the_client_is_told_how_much_arrived(self) -> None:
        id = self.begin_and_send(3)
        self.romeo.cut()
        self.world.advance(400)
        client, answer = self.resume(id, 0)
        self.assertEqual(answer.get("h"), "3")
        self.assertEqual(next(answer.elements()).name, "item-not-found")
        client.bind(JID.parse("romeo@example.org/orchard"))

    def test_only_its_own_account_is_told(self) -> None:
        id = self.begin_and_send(3)
        self.romeo.cut()
        self.world.advance(400)
        _, answer = self.resume(id, 0, "juliet")
        self.assertEqual(answer.to_xml(), failed("item-not-found"))

    def test_for_cache_life_time(self) -> None:
        id = self.begin_and_send(1, {"cache_life_time": "1 hour"})
        self.romeo.cut()
        self.world.advance(300 + 3500)
        self.assertEqual(self.resume(id, 0)[1].get("h"), "1")
        self.world.advance(200)
        self.assertIsNone(self.resume(id, 0)[1].get("h"))

    def test_after_the_server_was_stopped(self) -> None:
        id = self.begin_and_send(2, config={"sql_database": "kept.sqlite"})
        asleep = self.world.client("romeo@example.org/asleep")
        sleeping = self.enable(asleep)
        asleep.cut()
        self.stop()
        self.world.run(self.world.server.start())
        self.assertEqual(self.resume(id, 0)[1].get("h"), "2")
        self.assertEqual(self.resume(sleeping, 0)[1].get("h"), "0")

    def test_not_for_more_than_the_last_sessions_of_an_account(self) -> None:
        self.begin({"resume_timeout": 1})
        ids = []
        for number in range(25):
            client = self.world.client(f"romeo@example.org/{number}")
            ids.append(self.enable(client))
            client.cut()
            self.world.advance(2)
        told = [self.resume(id, 0)[1].get("h") for id in ids]
        self.assertEqual(told, [None] * 5 + ["0"] * 20)


def _message(xml: str) -> Message:
    stanza = read_stanza(xml.encode())
    assert isinstance(stanza, Message)
    return stanza


class Everything:
    """An archive that keeps every message."""

    def wants(self, account: JID, peer: JID, message: Message, sent: bool) -> bool:
        return True


class CrashTests(ManagedCase):
    def setUp(self) -> None:
        self.config = {"sql_database": self.mktemp()}
        Path(self.config["sql_database"]).parent.mkdir(parents=True, exist_ok=True)
        self.begin(config=self.config)
        self.world.host("example.org").archive = Everything()
        self.id = self.enable(self.romeo)

    def restart(self) -> None:
        self.world.crash()
        self.world = self.make(self.config, modules={"mod_stream_mgmt": {}})

    def test_after_a_crash_the_client_is_told_how_much_was_kept(self) -> None:
        for body in ("1", "2"):
            self.romeo.send(f"<message to='juliet@example.org/balcony' type='chat'><body>{body}</body></message>")
        self.romeo.send(R)
        self.told(self.romeo, 2)
        self.restart()
        _, answer = self.resume(self.id, 0)
        self.assertEqual(answer.get("h"), "2")
        self.assertEqual(next(answer.elements()).name, "item-not-found")
        self.assertIsNone(self.resume(self.id, 0, "juliet")[1].get("h"))

    def test_that_is_forgotten_after_cache_life_time(self) -> None:
        self.romeo.send("<message to='juliet@example.org/balcony' type='chat'><body>1</body></message>")
        self.restart()
        self.world.advance(49 * 3600)
        self.assertIsNone(self.resume(self.id, 0)[1].get("h"))
