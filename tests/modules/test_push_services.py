from __future__ import annotations

from types import MappingProxyType

from federix.api import IQ, JID, Element, iq, message
from federix.modules import push, push_services
from federix.modules.push_services import FAILING_FOR, FIRST_RETRY, LONGEST_RETRY

from .neighbours import reload, worries
from .push_case import DESK, JULIET, NODE, PHONE, ROMEO, SERVICE, PushCase

GONE = "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
BUSY = "<error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
UNREACHABLE = "<error type='cancel'><remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"


def jingle(kind: str = "set", sender: str = f"{JULIET}/balcony") -> IQ:
    return iq(kind, Element("jingle", "urn:xmpp:jingle:1"), id="1", to=JID.parse(PHONE), sender=JID.parse(sender))


class WhoTests(PushCase):
    """Which of the clients are woken."""

    def test_who_is_there_is_not(self) -> None:
        phone = self.register()
        self.write()
        phone.send("<presence type='unavailable'/>")
        self.write()
        self.assertEqual(self.nodes(), [])

    def test_a_client_that_is_gone_is_not_where_another_got_it_and_nothing_is_kept(self) -> None:
        self.register().close()
        self.arrive(DESK)
        self.write()
        self.assertEqual(self.nodes(), [])

    def test_a_client_that_is_gone_is_where_the_archive_keeps_it(self) -> None:
        self.register().close()
        desk = self.arrive(DESK)
        self.assertEqual(self.enable(desk, "desk").get("type"), "result")
        session = self.world.host("example.org").sessions.find("romeo", "desk")
        assert session is not None
        kept = message(
            "chat",
            Element("stanza-id", "urn:xmpp:sid:0", attrs={"by": ROMEO, "id": "1"}),
            body="Hey",
            to=JID.parse(ROMEO),
        )
        self.module.delivered(JID.parse(ROMEO), kept, [session])
        self.assertEqual(self.nodes(), [NODE])

    def test_nobody_is_for_what_its_own_user_writes(self) -> None:
        self.register().close()
        desk = self.arrive(DESK)
        desk.send(f"<presence type='unavailable'/><message to='{ROMEO}' type='chat'><body>Buy poison.</body></message>")
        self.assertEqual(self.nodes(), [])

    def test_nobody_is_for_what_nobody_keeps(self) -> None:
        reload(self.world, {name: options for name, options in self.modules.items() if name != "mod_keeps"})
        self.register().close()
        self.write()
        self.assertEqual(self.nodes(), [])

    def test_a_client_that_sleeps_is_for_what_waits_for_it(self) -> None:
        self.sleep(self.register())
        self.write()
        self.assertEqual(self.nodes(), [NODE])
        self.settle()
        self.write(to=PHONE, kind="normal")
        self.assertEqual(self.nodes(), [NODE])

    def test_a_client_that_sleeps_is_not_for_what_another_got(self) -> None:
        self.sleep(self.register())
        self.arrive(DESK)
        self.write(to=DESK)
        self.assertEqual(self.nodes(), [])

    def test_a_client_that_woke_and_sleeps_again_counts_anew(self) -> None:
        id = self.sleep(self.register())
        for h in (2, 4):
            for count in ("1", "2"):
                self.write()
                (request,) = self.pushed()
                self.assertEqual(self.fields(request)["message-count"], count)
                self.settle()
            phone = self.resume(id)
            self.world.advance(0.1)
            phone.send(f"<a xmlns='urn:xmpp:sm:3' h='{h}'/>")
            phone.cut()
            self.assertEqual(self.nodes(), [])
            self.world.advance(0.1)

    def test_what_was_on_its_way_when_the_stream_was_lost_wakes_a_client(self) -> None:
        phone = self.register()
        self.manage(phone)
        self.write("<body>One</body>")
        self.write("<active xmlns='http://jabber.org/protocol/chatstates'/>")
        self.write("<body>Two</body>")
        self.assertEqual(self.nodes(), [])
        phone.cut()
        (request,) = self.pushed()
        self.assertEqual(self.fields(request)["message-count"], "2")
        self.settle()
        self.write("<body>Three</body>")
        (request,) = self.pushed()
        self.assertEqual(self.fields(request)["message-count"], "3")

    def test_what_a_client_has_acknowledged_does_not_wake_it_when_its_stream_is_lost(self) -> None:
        phone = self.register()
        self.manage(phone)
        self.write()
        phone.send("<a xmlns='urn:xmpp:sm:3' h='1'/>")
        phone.cut()
        self.assertEqual(self.nodes(), [])

    def test_a_call_that_was_on_its_way_when_the_stream_was_lost_wakes_a_client(self) -> None:
        phone = self.register()
        self.manage(phone)
        session = self.world.host("example.org").sessions.find("romeo", "phone")
        assert session is not None
        session.send(jingle())
        phone.cut()
        self.assertEqual(self.nodes(), [NODE])

    def test_how_much_of_what_was_on_its_way_is_looked_at_is_bounded(self) -> None:
        self.patch(push, "MOST_LOST", 3)
        phone = self.register()
        self.manage(phone)
        for _ in range(5):
            self.write()
        phone.cut()
        (request,) = self.pushed()
        self.assertEqual(self.fields(request)["message-count"], "3")

    def test_a_client_whose_session_ends_at_last_is_still_woken(self) -> None:
        self.sleep(self.register())
        self.write()
        self.nodes()
        for _ in range(80):
            self.world.advance(5)
            self.nodes()
        self.assertIsNone(self.world.host("example.org").sessions.find("romeo", "phone"))
        self.write()
        self.assertEqual(self.nodes(), [NODE])

    def test_what_waited_in_a_session_that_ends_is_told_once(self) -> None:
        phone = self.register()
        self.enable(phone, "second")
        self.world.advance(1)
        self.sleep(phone)
        self.world.advance(1)
        for said in "one", "two":
            self.write(f"<body>{said}</body>")
            self.assertEqual(self.nodes(), [NODE, "second"])
            self.settle()
        for _ in range(80):
            self.world.advance(5)
            self.assertEqual(self.nodes(), [])
        self.assertIsNone(self.world.host("example.org").sessions.find("romeo", "phone"))
        self.write()
        self.assertEqual([self.fields(request)["message-count"] for request in self.pushed()], ["3", "3"])

    def test_what_waited_in_a_session_that_ends_is_told_to_others(self) -> None:
        self.register(node="phone").close()
        self.sleep(self.register(DESK, node="desk"))
        self.write()
        self.assertEqual(self.nodes(), ["desk"])
        told = []
        for _ in range(80):
            self.world.advance(5)
            told += self.nodes()
        self.assertEqual(told, ["phone"])

    def test_a_client_that_comes_back_with_its_resource_need_not_register_anew(self) -> None:
        self.register().close()
        phone = self.arrive(PHONE)
        self.write()
        self.assertEqual(self.nodes(), [])
        phone.close()
        self.write()
        self.assertEqual(self.nodes(), [NODE])

    def test_how_many_accounts_are_remembered_is_bounded(self) -> None:
        reload(self.world, {**self.modules, "mod_push": {"cache_size": 2}})
        for count in range(4):
            self.world.register(f"user{count}@example.org")
            self.write(to=f"user{count}@example.org")
        self.assertLessEqual(len(self.module.registrations), 3)


class RequestsTests(PushCase):
    """What wakes a client beside messages."""

    def session(self, resource: str = "phone"):  # type: ignore[no-untyped-def]
        return self.world.host("example.org").sessions.find("romeo", resource)

    def test_a_call_for_a_client_that_sleeps_does(self) -> None:
        self.sleep(self.register())
        self.session().send(jingle())
        self.assertEqual(self.nodes(), [NODE])

    def test_what_the_server_asks_or_tells_does_not(self) -> None:
        self.sleep(self.register())
        for stanza in (jingle("get"), jingle(sender="example.org"), jingle(sender=ROMEO)):
            self.session().send(stanza)
        self.assertEqual(self.nodes(), [])

    def test_a_call_for_a_client_that_is_there_does_not(self) -> None:
        self.register()
        self.session().send(jingle())
        self.assertEqual(self.nodes(), [])

    def test_where_only_messages_count_nothing_else_does(self) -> None:
        reload(self.world, {**self.modules, "mod_push": {"notify_on": "messages"}})
        self.sleep(self.register())
        self.session().send(jingle())
        self.juliet.send(f"<presence to='{ROMEO}' type='subscribe'/>")
        self.world.advance(5)
        self.assertEqual(self.nodes(), [])

    def test_a_subscription_request_for_who_is_gone_does_and_is_counted(self) -> None:
        self.register().close()
        for sender, expected in (("juliet", "1"), ("nurse", "2")):
            client = self.arrive(f"{sender}@example.org/house")
            for _ in range(3):
                client.send(f"<presence to='{ROMEO}' type='subscribe'/>")
            self.world.advance(push.SOON)
            (request,) = self.pushed()
            self.assertEqual(self.fields(request)["pending-subscription-count"], expected)
            self.settle()

    def test_the_same_request_again_does_not(self) -> None:
        self.register().close()
        for expected in (1, 0, 0):
            self.juliet.send(f"<presence to='{ROMEO}' type='subscribe'/>")
            self.world.advance(push.SOON)
            self.assertEqual(len(self.nodes()), expected)
            self.settle()

    def test_a_subscription_request_for_who_sleeps_does(self) -> None:
        self.sleep(self.register())
        self.juliet.send(f"<presence to='{ROMEO}' type='subscribe'/>")
        self.assertEqual(self.nodes(), [NODE])

    def test_how_many_accounts_are_looked_at_for_requests_is_bounded(self) -> None:
        self.patch(push, "MOST_ASKED", 1)
        for name in ("romeo", "tybalt"):
            self.register(f"{name}@example.org/phone", node=name).close()
            self.juliet.send(f"<presence to='{name}@example.org' type='subscribe'/>")
        self.world.advance(push.SOON)
        self.assertEqual(self.nodes(), ["romeo"])


class PaceTests(PushCase):
    """How often a service is told."""

    options = MappingProxyType({"include_body": True})

    def test_one_request_at_a_time_is_on_its_way_for_one_client(self) -> None:
        self.register().close()
        for count in range(20):
            self.write(f"<body>{count}</body>")
        (first,) = self.pushed()
        self.assertEqual(self.fields(first)["last-message-body"], "0")
        self.assertEqual(self.pushed(), [])
        self.settle()
        (second,) = self.pushed()
        told = self.fields(second)
        self.assertEqual((told["last-message-body"], told["message-count"]), ("19", "20"))
        self.settle()
        self.assertEqual(self.pushed(), [])

    def test_how_many_are_told_at_a_time_is_bounded(self) -> None:
        self.patch(push_services, "MOST_ACTIVE", 1)
        self.register().close()
        self.register("tybalt@example.org/phone", node="tybalt").close()
        self.write()
        self.write(to="tybalt@example.org")
        self.assertEqual(self.nodes(), [NODE])
        self.settle()
        self.write(to="tybalt@example.org")
        self.assertEqual(self.nodes(), ["tybalt"])

    def test_how_many_are_counted_is_bounded(self) -> None:
        self.patch(push_services, "MOST_IDLE", 1)
        for name in ("romeo", "tybalt", "paris"):
            self.register(f"{name}@example.org/phone", node=name).close()
            self.write(to=f"{name}@example.org")
        self.nodes()
        self.settle()
        self.assertEqual(len(self.module.services), 1)


class ErrorTests(PushCase):
    """§7.1."""

    def setUp(self) -> None:
        super().setUp()
        self.register().close()
        self.logged = worries(self)

    def assert_registered(self, registered: bool) -> None:
        self.assertEqual(bool(self.world.run(self.module.kept.get(ROMEO))), registered)
        self.assertEqual(self.logged, [])

    def test_an_error_disables_the_registration(self) -> None:
        self.write()
        self.pushed(answer="error", error=GONE)
        self.assert_registered(False)
        self.settle()
        self.write()
        self.assertEqual(self.nodes(), [])

    def test_an_error_disables_none_but_that_one(self) -> None:
        phone = self.arrive(PHONE)
        self.enable(phone, "second")
        phone.close()
        self.write()
        first, second = self.service.drain()
        for request, kind, error in ((first, "error", GONE), (second, "result", "")):
            self.service.send(
                f"<iq type='{kind}' id='{request.get('id')}' from='{SERVICE}' to='example.org'>{error}</iq>"
            )
        self.settle()
        self.write()
        self.assertEqual(self.nodes(), ["second"])

    def test_an_error_that_will_pass_keeps_it_and_it_is_tried_again(self) -> None:
        for error in (BUSY, UNREACHABLE):
            with self.subTest(error):
                self.write()
                self.assertEqual(len(self.pushed(answer="error", error=error)), 1)
                self.assert_registered(True)
                self.write()
                self.assertEqual(self.pushed(), [])
                self.world.advance(FIRST_RETRY)
                (request,) = self.pushed()
                self.assertEqual(self.fields(request)["message-count"], "2")
                self.settle()
                self.arrive(PHONE).close()

    def test_a_service_that_does_not_answer_is_tried_again(self) -> None:
        self.write()
        self.service.drain()
        self.world.advance(32 + FIRST_RETRY)
        self.assertEqual(self.nodes(), [NODE])
        self.assert_registered(True)

    def test_who_has_come_meanwhile_is_not_woken(self) -> None:
        self.write()
        self.pushed(answer="error", error=BUSY)
        self.arrive(PHONE)
        self.world.advance(2 * FIRST_RETRY)
        self.assertEqual(self.nodes(), [])

    def test_who_has_come_and_gone_meanwhile_is_not_woken_for_what_came_before(self) -> None:
        self.write()
        self.pushed(answer="error", error=BUSY)
        self.arrive(PHONE).close()
        self.world.advance(2 * FIRST_RETRY)
        self.assertEqual(self.nodes(), [])
        self.write()
        (request,) = self.pushed()
        self.assertEqual(self.fields(request)["message-count"], "1")

    def test_who_has_come_and_gone_while_it_was_told_is_not_woken_again(self) -> None:
        for come in (False, True):
            self.write()
            if come:
                self.arrive(PHONE).close()
            self.pushed(answer="error", error=BUSY)
            self.world.advance(2 * FIRST_RETRY)
            self.assertEqual(self.nodes(), [] if come else [NODE])
            self.settle()
            self.arrive(PHONE).close()

    def test_a_service_that_failed_before_its_client_came_again_is_not_given_up_for_that(self) -> None:
        self.write()
        self.pushed(answer="error", error=BUSY)
        self.arrive(PHONE).close()
        self.world.advance(FAILING_FOR)
        self.write()
        self.assertEqual(len(self.pushed(answer="error", error=BUSY)), 1)
        self.assert_registered(True)
        self.world.advance(FIRST_RETRY)
        self.assertEqual(self.nodes(), [NODE])

    def test_a_service_that_fails_for_long_is_given_up(self) -> None:
        self.write()
        tries = 0
        for _ in range(60):
            tries += len(self.pushed(answer="error", error=BUSY))
            self.world.advance(LONGEST_RETRY / 2)
        self.assert_registered(False)
        self.assertLess(tries, 8 + FAILING_FOR / LONGEST_RETRY)
        self.assertGreater(tries, 8)

    def test_what_was_enabled_anew_meanwhile_stays(self) -> None:
        self.write()
        desk = self.arrive(DESK)
        self.enable(desk)
        self.pushed(answer="error", error=GONE)
        self.assert_registered(True)

    def test_what_comes_for_what_was_enabled_anew_meanwhile_is_told(self) -> None:
        self.write()
        desk = self.arrive(DESK)
        self.enable(desk)
        desk.close()
        self.write()
        self.assertEqual(len(self.pushed(answer="error", error=GONE)), 1)
        self.settle()
        self.assertEqual(self.nodes(), [NODE])
        self.settle()
        self.write()
        self.assertEqual(self.nodes(), [NODE])

    def test_a_service_may_take_the_right_to_publish_back(self) -> None:
        """§8."""
        self.write()
        self.nodes()
        self.settle()
        told = (
            "<message from='{0}' to='" + ROMEO + "'><pubsub xmlns='http://jabber.org/protocol/pubsub' node='{1}'>"
            "<affiliation jid='" + ROMEO + "' affiliation='{2}'/></pubsub></message>"
        )
        for sender, node, affiliation in (
            (SERVICE, "other", "none"),
            (SERVICE, NODE, "publish-only"),
            (f"{SERVICE}/other", NODE, "none"),
        ):
            self.service.send(told.format(sender, node, affiliation))
            self.assert_registered(True)
        self.service.send(told.format(SERVICE, NODE, "none"))
        self.assert_registered(False)
