"""XEP-0198 §5, §7: a session outlives the loss of its connection."""

from __future__ import annotations

from typing import Any

from federix.api import Message, Module, Session, hooks
from federix.core.managed import AGAIN_STANZAS, ASK_IN
from federix.core.stream_management import MOST_ASLEEP
from federix.links.management import MOST_ATTEMPTS
from federix.testing import Client
from federix.testing.match import parse
from federix.testing.wire import BUFFER
from federix.xmpp import ns
from federix.xmpp.delay import parse_stamp

from ..core.support import make_available
from ..modules.neighbours import reload
from .sm_case import SM, ManagedCase, R, a, failed


class Watcher(Module):
    """Notes what becomes of sessions."""

    name = "mod_watcher"

    async def on_start(self) -> None:
        self.seen: list[str] = []

    @hooks.sm_register_connection
    def opened(self, session: Session) -> None:
        self.seen.append(f"opened {session.jid.resource}")

    @hooks.sm_remove_connection
    def closed(self, session: Session) -> None:
        self.seen.append(f"closed {session.jid.resource}")

    @hooks.session_detached
    def detached(self, session: Session) -> None:
        self.seen.append(f"detached {session.jid.resource} {session.asleep}")

    @hooks.session_resumed
    def resumed(self, session: Session) -> None:
        self.seen.append(f"resumed {session.jid.resource} {session.asleep}")


class ResumingTests(ManagedCase):
    def setUp(self) -> None:
        self.begin(modules={"mod_roster": {}, "mod_watcher": {}}, own_modules={"mod_watcher": Watcher})
        self.id = self.enable(self.romeo)

    def test_resumed_must_have_the_previd_and_the_number_of_stanzas_handled(self) -> None:
        self.romeo.send("<message to='juliet@example.org/balcony'/><message to='juliet@example.org/balcony'/>")
        self.romeo.cut()
        _, answer = self.resume(self.id, 0)
        self.assertEqual(answer.to_xml(), f"<resumed {SM} previd='{self.id}' h='2'/>")

    def test_counters_go_on_where_they_were(self) -> None:
        """§5: "The sequence values are carried over from the previous session and are not reset"."""
        self.romeo.send("<message to='juliet@example.org/balcony'/>")
        self.say("1", "2")
        self.romeo.cut()
        romeo = self.resumed(self.id, 2)
        romeo.send("<message to='juliet@example.org/balcony'/>" + R)
        self.told(romeo, 2)
        self.say("3")
        self.answer_all(romeo, 3)
        romeo.cut()
        romeo = self.resumed(self.id, 3)
        romeo.nothing()

    def answer_all(self, client: Client, h: int) -> None:
        client.drain()
        client.send(a(h))

    def test_what_was_not_acknowledged_must_be_sent_again_and_then_what_came_meanwhile(self) -> None:
        self.say("1", "2", "3")
        self.romeo.cut()
        self.say("4", "5")
        romeo = self.resumed(self.id, 1)
        self.assertEqual(self.bodies(romeo), ["2", "3", "4", "5"])

    def test_what_is_on_its_way_when_the_connection_is_lost_is_not(self) -> None:
        self.romeo.wire.broken = True
        self.say("1", "2", "3")
        self.romeo.cut()
        self.assertEqual(self.bodies(self.resumed(self.id, 0)), ["1", "2", "3"])

    def test_what_is_sent_again_says_since_when(self) -> None:
        self.say("1")
        other = self.world.client("romeo@example.org/other")
        other.send("<iq type='get' to='romeo@example.org/orchard' id='q'><query xmlns='jabber:iq:version'/></iq>")
        sent = self.world.server.now()
        self.world.advance(10)
        self.romeo.cut()
        romeo = self.resumed(self.id, 0)
        message, iq = romeo.receive(), romeo.receive()
        delay = message.child(ns.DELAY, "delay")
        assert delay is not None
        self.assertEqual(delay.get("from"), "example.org")
        self.assertAlmostEqual(parse_stamp(delay.get("stamp") or ""), sent, delta=1)
        self.assertEqual([child.name for child in iq.elements()], ["query"])

    def test_what_only_mentions_a_delay_or_tells_of_somebody_elses_does_too(self) -> None:
        stamp = "stamp='2020-01-01T00:00:00Z'/>"
        for content in (
            "<body>urn:xmpp:delay</body>",
            f"<x xmlns='urn:x'><delay xmlns='urn:xmpp:delay' from='example.org' {stamp}</x>",
            f"<delay xmlns='urn:xmpp:delay' from='juliet@example.org/balcony' {stamp}",
            f"<delay xmlns='urn:xmpp:delay' {stamp}",
        ):
            self.juliet.send(f"<message to='romeo@example.org/orchard' type='chat'>{content}</message>")
        self.romeo.cut()
        romeo = self.resumed(self.id, 0)
        told = [romeo.receive().children_of(ns.DELAY, "delay") for _ in range(4)]
        self.assertEqual(
            [[delay.get("from") for delay in delays] for delays in told],
            [["example.org"], ["example.org"], ["juliet@example.org/balcony", "example.org"], [None, "example.org"]],
        )

    def test_what_says_so_already_is_left_as_it_is(self) -> None:
        stamp = "<delay xmlns='urn:xmpp:delay' from='example.org' stamp='2020-01-01T00:00:00Z'/>"
        make_available(self.romeo)
        host = self.world.host("example.org")
        host.deliver_again(Message(parse(f"<message xmlns='jabber:client' to='romeo@example.org'>{stamp}</message>")))
        self.romeo.cut()
        message = self.resumed(self.id, 0).receive()
        self.assertEqual([child.get("stamp") for child in message.elements()], ["2020-01-01T00:00:00Z"])

    def test_it_is_asked_behind_what_was_sent_again(self) -> None:
        self.say("1")
        self.romeo.cut()
        romeo = self.resumed(self.id, 0)
        self.assertEqual([element.name for element in romeo.drain()], ["message", "r"])

    def test_it_may_be_resumed_again_and_again(self) -> None:
        client = self.romeo
        for number in range(20):
            self.say(str(number))
            client.cut()
            client = self.resumed(self.id, number)
            self.assertEqual(self.bodies(client), [str(number)])

    def test_a_client_that_never_acknowledges_gets_everything_each_time(self) -> None:
        self.say("1")
        self.romeo.cut()
        self.say("2")
        self.resumed(self.id, 0).cut()
        self.assertEqual(self.bodies(self.resumed(self.id, 0)), ["1", "2"])

    def test_it_stays_available_while_it_sleeps(self) -> None:
        self.romeo.send("<presence/>")
        self.romeo.cut()
        self.assertTrue(self.session().available)
        self.say("1", to="romeo@example.org")
        self.assertEqual(self.bodies(self.resumed(self.id, 1)), ["1"])

    def test_contacts_do_not_notice(self) -> None:
        self.romeo.send("<presence to='juliet@example.org/balcony'/>")
        self.juliet.expect("<presence/>")
        self.romeo.cut()
        self.resumed(self.id, 0)
        self.juliet.nothing()

    def test_modules_are_told(self) -> None:
        watcher = self.world.host("example.org").module(Watcher)
        del watcher.seen[:]
        self.romeo.cut()
        self.resumed(self.id, 0)
        self.assertEqual(watcher.seen, ["detached orchard True", "resumed orchard False"])

    def test_another_address_is_no_obstacle(self) -> None:
        self.romeo.cut()
        self.resumed(self.id, 0, ip="198.51.100.7")

    def test_requests_of_the_resumed_client_are_answered_to_it(self) -> None:
        self.romeo.cut()
        romeo = self.resumed(self.id, 0)
        answer = romeo.request("<iq type='get' id='1' to='example.org'><x xmlns='none'/></iq>")
        self.assertEqual(answer.get("type"), "error")

    def test_where_the_old_stream_still_stands_it_ends_with_conflict(self) -> None:
        self.say("1")
        self.assertEqual(self.bodies(self.romeo), ["1"])
        romeo = self.resumed(self.id, 1)
        self.assert_stream_error(self.romeo, "conflict")
        self.say("2")
        self.assertEqual(self.bodies(romeo), ["2"])
        self.romeo.cut()
        self.assertFalse(self.session().asleep)

    def test_what_the_old_stream_still_says_is_not_heard(self) -> None:
        self.romeo.wire.broken = True
        romeo = self.resumed(self.id, 0)
        self.romeo.wire.broken = False
        self.romeo.send("<message to='juliet@example.org/balcony'><body>too late</body></message>")
        self.assertEqual(self.bodies(self.juliet), [])
        romeo.send(R)
        self.told(romeo, 0)

    def test_much_is_sent_again_bit_by_bit(self) -> None:
        self.romeo.cut()
        count = 2 * AGAIN_STANZAS + 10
        self.say(*map(str, range(count)))
        romeo, got = self.resumed(self.id, 0), []
        for _ in range(3):
            got += self.bodies(romeo)
            self.say(f"more {len(got)}")
            romeo.send(a(len(got)))
        got += self.bodies(romeo)
        self.assertEqual(got[:count], list(map(str, range(count))))
        self.assertEqual(len(got), count + 3)

    def test_and_no_faster_to_who_acknowledges_each_of_them(self) -> None:
        self.romeo.cut()
        self.say(*map(str, range(2 * AGAIN_STANZAS)))
        romeo = self.resumed(self.id, 0)
        for h in range(1, 11):
            romeo.send(a(h))
        self.assertEqual(len(self.bodies(romeo)), AGAIN_STANZAS + 10)
        romeo.send(a(AGAIN_STANZAS + 10))
        self.assertEqual(len(self.bodies(romeo)), AGAIN_STANZAS - 10)

    def test_nor_in_bytes(self) -> None:
        self.romeo.cut()
        self.juliet.send("<message to='romeo@example.org/orchard'><body>{}</body></message>".format("x" * 8000) * 64)
        romeo = self.resumed(self.id, 0)
        once = len(self.bodies(romeo))
        for h in range(1, 11):
            romeo.send(a(h))
        self.assertEqual(len(self.bodies(romeo)), 10)
        self.assertLess(once, 20)

    def test_who_closes_the_stream_ends_the_session(self) -> None:
        """§7: the client "MUST send a </stream:stream> so that the server can send unavailable presence"."""
        self.romeo.send("<presence to='juliet@example.org/balcony'/>")
        self.juliet.expect("<presence/>")
        self.romeo.close()
        self.assertFalse(self.is_there())
        self.juliet.expect("<presence type='unavailable'/>")
        _, answer = self.resume(self.id, 0)
        self.assertEqual(answer.to_xml(), failed("item-not-found"))

    def test_a_session_that_cannot_be_resumed_ends_with_its_connection(self) -> None:
        client = self.world.client("romeo@example.org/other")
        self.enable(client, "")
        client.cut()
        self.assertFalse(self.is_there(resource="other"))

    def test_who_takes_nothing_loses_the_connection_and_not_the_session(self) -> None:
        self.romeo.wire.broken = True
        for number in range(100):
            self.say(f"{number} " + "x" * (BUFFER // 100))
        self.world.advance(40)
        self.assertTrue(self.session().asleep)
        romeo = self.resumed(self.id, 0)
        count = len(self.bodies(romeo))
        romeo.send(a(count))
        self.assertEqual(count + len(self.bodies(romeo)), 100)

    def test_nor_does_he_lose_it_early_if_it_was_too_much_to_ask_him(self) -> None:
        stream: Any = self.session().attachment
        self.patch(stream, "write", lambda _: stream.overflowed(1))
        self.say("1")
        self.world.advance(ASK_IN)
        self.assertTrue(self.session().asleep)
        self.world.advance(290)
        self.assertEqual(self.bodies(self.resumed(self.id, 0)), ["1"])


class RefusalTests(ManagedCase):
    def setUp(self) -> None:
        self.begin()
        self.id = self.enable(self.romeo)

    def test_an_unknown_session_must_fail_with_item_not_found(self) -> None:
        _, answer = self.resume("nobody-knows", 0)
        self.assertEqual(answer.to_xml(), failed("item-not-found"))

    def test_then_a_resource_can_be_bound(self) -> None:
        client, _ = self.resume("nobody-knows", 0)
        self.binds(client)
        self.enable(client)

    def binds(self, client: Client) -> None:
        client.send(f"<iq type='set' id='b'><bind xmlns='{ns.BIND}'><resource>new</resource></bind></iq>")
        client.expect("<iq type='result' id='b'/>")

    def test_where_no_session_waits_for_its_client_it_must_fail_with_feature_not_implemented(self) -> None:
        """§5: "If the server does not support session resumption, it MUST return a <failed/> element"."""
        self.begin({"resume_timeout": 0})
        client, answer = self.resume("nobody-knows", 0)
        self.assertEqual(answer.to_xml(), failed("feature-not-implemented"))
        self.binds(client)

    def test_where_a_session_waits_for_who_asks_for_a_time_it_may_be_unknown(self) -> None:
        self.begin({"resume_timeout": 0, "max_resume_timeout": 60})
        _, answer = self.resume("nobody-knows", 0)
        self.assertEqual(answer.to_xml(), failed("item-not-found"))

    def test_a_session_that_was_promised_to_wait_is_resumed_where_no_other_will_be(self) -> None:
        self.romeo.cut()
        reload(self.world, {"mod_stream_mgmt": {"resume_timeout": 0}})
        self.resumed(self.id, 0)

    def test_of_one_that_is_over_it_is_still_told_how_much_had_arrived(self) -> None:
        self.romeo.send("<message to='juliet@example.org/balcony'/>")
        self.romeo.cut()
        reload(self.world, {"mod_stream_mgmt": {"resume_timeout": 0}})
        self.world.advance(301)
        _, answer = self.resume(self.id, 0)
        self.assertEqual((answer.name, answer.get("h")), ("failed", "1"))

    def test_who_comes_back_where_the_module_does_not_run_any_more_is_told_and_can_bind(self) -> None:
        self.romeo.cut()
        reload(self.world, {"mod_ping": {}})
        client = self.logged_in()
        assert client.features is not None
        self.assertIsNone(client.features.child(ns.SM, "sm"))
        for attrs in (f"previd='{self.id}' h='0'", ""):
            client.send(f"<resume {SM} {attrs}/>")
            client.expect(failed("feature-not-implemented"))
        self.binds(client)

    def test_a_session_there_cannot_ask_for_it(self) -> None:
        reload(self.world, {"mod_ping": {}})
        self.juliet.send(f"<resume {SM} previd='{self.id}' h='0'/>")
        self.assert_stream_error(self.juliet, "unsupported-stanza-type")

    def test_another_account_must_not_resume_it(self) -> None:
        self.romeo.cut()
        _, answer = self.resume(self.id, 0, "juliet")
        self.assertEqual(answer.to_xml(), failed("item-not-found"))
        self.resumed(self.id, 0)

    def test_without_previd_or_h_it_is_a_bad_request(self) -> None:
        client = self.logged_in()
        for attrs in ("", "h='0'", f"previd='{self.id}'", f"previd='{self.id}' h='x'", "previd='' h='0'"):
            client.send(f"<resume {SM} {attrs}/>")
            client.expect(failed("bad-request"))

    def test_who_has_bound_cannot_resume(self) -> None:
        self.juliet.send(f"<resume {SM} previd='{self.id}' h='0'/>")
        self.juliet.expect(failed("unexpected-request"))

    def test_who_has_what_was_never_sent_is_told_the_numbers_and_the_session_goes_on(self) -> None:
        self.romeo.cut()
        self.say("1")  # while there is no stream nothing is sent
        client = self.logged_in()
        client.send(f"<resume {SM} previd='{self.id}' h='1'/>")
        error = self.assert_stream_error(client, "undefined-condition")
        detail = error.child(ns.SM, "handled-count-too-high")
        assert detail is not None
        self.assertEqual((detail.get("h"), detail.get("send-count")), ("1", "0"))
        self.assertEqual(self.bodies(self.resumed(self.id, 0)), ["1"])

    def test_who_guesses_ids_may_do_so_a_few_times(self) -> None:
        client = self.logged_in()
        for _ in range(MOST_ATTEMPTS):
            client.send(f"<resume {SM} previd='{_}' h='0'/>")
            client.expect(failed("item-not-found"))
        self.assert_stream_error(client, "policy-violation")

    def test_a_very_long_id_is_not_looked_for(self) -> None:
        _, answer = self.resume("x" * 4000, 0)
        self.assertEqual(answer.name, "failed")

    def test_when_the_module_is_taken_out_what_sleeps_ends(self) -> None:
        self.romeo.cut()
        other = self.world.client("romeo@example.org/awake")
        self.enable(other)
        settings = {**self.world.settings, "modules": {}}
        self.world.run(self.world.server.reload(self.world.configure(settings)))
        self.assertFalse(self.is_there())
        other.send(R)
        self.told(other, 0)
        other.cut()
        self.assertFalse(self.is_there(resource="awake"))


class ConflictTests(ManagedCase):
    """Resources that are taken by a session which sleeps."""

    def test_a_new_session_of_the_same_resource_ends_it(self) -> None:
        for policy in ("acceptnew", "closenew", "setresource"):
            self.begin(config={"resource_conflict": policy})
            id = self.enable(self.romeo)
            self.romeo.cut()
            client = self.world.client("romeo@example.org/orchard")
            self.assertEqual(str(client.jid), "romeo@example.org/orchard")
            _, answer = self.resume(id, 0)
            self.assertEqual(answer.get("h"), "0")
            self.assertEqual(answer.name, "failed")

    def test_sessions_that_sleep_count_and_are_the_first_to_go(self) -> None:
        self.begin(config={"shaper_rules": {"max_user_sessions": 2}})
        second = self.world.client("romeo@example.org/second")
        self.enable(second)
        second.cut()
        self.world.client("romeo@example.org/third")
        self.assertTrue(self.is_there())
        self.assertFalse(self.is_there(resource="second"))

    def test_only_so_many_sleep_for_one_account(self) -> None:
        self.begin(config={"shaper_rules": {"max_user_sessions": "infinity"}})
        for number in range(MOST_ASLEEP + 3):
            client = self.world.client(f"romeo@example.org/{number}")
            self.enable(client)
            client.cut()
            self.world.advance(1)
        asleep = [s.jid.resource for s in self.world.host("example.org").sessions.of("romeo") if s.asleep]
        self.assertEqual(asleep, [str(number) for number in range(3, MOST_ASLEEP + 3)])
