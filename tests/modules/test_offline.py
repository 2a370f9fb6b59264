"""XEP-0160: what is kept, of whom, in which order it comes, and that nothing is lost on the way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from twisted.internet.defer import Deferred

from federix.api import JID, Message, StoreError, delay, hooks, message
from federix.modules import offline, offline_deliveries
from federix.modules import offline_catching_up as catching
from federix.modules.offline_deliveries import LEFT_BEHIND, MOST_IN_TURN, RETRY_AFTER
from federix.modules.offline_gaps import HEARD_WITHIN
from federix.storage.archive import EVERYTHING
from federix.testing import Client, World
from federix.testing.world import BEGINNING

from .neighbours import reload, worries
from .offline_case import JULIET, OfflineCase

REFUSED = "cancel service-unavailable"
COMPOSING = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
HINTS = "xmlns='urn:xmpp:hints'"


class TypesTest(OfflineCase):
    """XEP-0160 §3."""

    def assert_kept(self, content: str, kind: str = "chat") -> None:
        self.write("m", kind=kind, content=content)
        self.assertEqual((self.errors(), self.kept()), ({}, 1))

    def assert_refused(self, content: str, kind: str = "chat") -> None:
        self.write("m", kind=kind, content=content)
        self.assertEqual((self.errors(), self.kept()), ({"m": REFUSED}, 0))

    def test_a_normal_message_is_kept(self) -> None:
        self.assert_kept("<body>x</body>", "normal")

    def test_a_chat_message_is_kept(self) -> None:
        self.assert_kept("<body>x</body>")

    def test_a_message_of_type_groupchat_is_not(self) -> None:
        self.assert_refused("<body>x</body>", "groupchat")

    def test_a_headline_is_not_and_nobody_hears_of_it(self) -> None:
        self.write("m", kind="headline")
        self.assertEqual((self.errors(), self.kept()), ({}, 0))

    def test_an_error_is_not(self) -> None:
        self.write("m", kind="error", content=f"<body>x</body><store {HINTS}/>")
        self.assertEqual((self.errors(), self.kept()), ({}, 0))

    def test_a_chat_state_alone_is_not(self) -> None:
        self.assert_refused(COMPOSING)

    def test_nor_with_its_thread_and_hints_and_the_ids_of_its_stanza(self) -> None:
        self.assert_refused(
            f"{COMPOSING}<thread>t</thread><no-copy {HINTS}/><origin-id xmlns='urn:xmpp:sid:0' id='1'/>"
        )

    def test_nor_that_of_somebody_in_a_room(self) -> None:
        self.assert_refused(
            f"{COMPOSING}<x xmlns='http://jabber.org/protocol/muc#user'/><occupant-id xmlns='urn:xmpp:occupant-id:0'/>"
        )

    def test_an_invitation_is(self) -> None:
        self.assert_kept("<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@b.example'/></x>")

    def test_nor_what_is_altogether_empty(self) -> None:
        self.assert_refused("")

    def test_a_chat_state_with_a_body_is(self) -> None:
        self.assert_kept(f"<body>x</body>{COMPOSING}")

    def test_what_has_no_body_and_is_no_chat_state_is(self) -> None:
        self.assert_kept("<received xmlns='urn:xmpp:receipts' id='1'/>")

    def test_what_is_not_to_be_stored_is_not(self) -> None:
        # XEP-0334 §4.2.
        self.assert_refused(f"<body>x</body><no-store {HINTS}/>")

    def test_what_is_not_to_be_stored_for_good_is_kept_until_it_is_delivered(self) -> None:
        # XEP-0334 §3.3.
        self.assert_kept(f"<body>x</body><no-permanent-store {HINTS}/>")

    def test_what_is_worth_storing_in_the_eyes_of_its_sender_is_kept(self) -> None:
        # XEP-0334 §4.4.
        self.assert_kept(f"{COMPOSING}<store {HINTS}/>")

    def test_the_host_says_that_it_keeps_messages(self) -> None:
        # XEP-0160 §4, XEP-0013 §2.1.
        answer = self.romeo.request(
            "<iq type='get' id='d' to='example.org'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
        )
        for feature in ("msgoffline", "http://jabber.org/protocol/offline"):
            self.assertIn(f"<feature var='{feature}'/>", answer.to_xml())


class EmptyKeptTest(TypesTest):
    options: ClassVar = {"store_empty_body": True}

    def test_a_chat_state_alone_is_not(self) -> None:
        self.assert_kept(COMPOSING)

    def test_nor_with_its_thread_and_hints_and_the_ids_of_its_stanza(self) -> None:
        self.assert_kept(f"{COMPOSING}<thread>t</thread>")

    def test_nor_that_of_somebody_in_a_room(self) -> None:
        self.assert_kept(f"{COMPOSING}<x xmlns='http://jabber.org/protocol/muc#user'/>")

    def test_nor_what_is_altogether_empty(self) -> None:
        self.assert_kept("")


class BodiesOnlyTest(TypesTest):
    options: ClassVar = {"store_empty_body": False}

    def test_an_invitation_is(self) -> None:
        self.assert_refused("<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@b.example'/></x>")

    def test_what_has_no_body_and_is_no_chat_state_is(self) -> None:
        self.assert_refused("<received xmlns='urn:xmpp:receipts' id='1'/>")


class GroupchatTest(OfflineCase):
    options: ClassVar = {"store_groupchat": True}
    rules: ClassVar = {"max_user_offline_messages": 1}

    def test_it_is_kept_where_the_operator_wants_it(self) -> None:
        self.write("m", kind="groupchat")
        self.assertEqual((self.errors(), self.kept()), ({}, 1))
        self.assertEqual(self.got(self.come()), ["m"])

    def test_what_there_is_no_room_for_is_dropped(self) -> None:
        self.write("m", "n", kind="groupchat")
        self.assertEqual((self.errors(), self.kept()), ({}, 1))

    def test_or_returned_where_the_operator_wants_that(self) -> None:
        reload(self.world, {"mod_roster": {}, "mod_offline": {"store_groupchat": True, "bounce_groupchat": True}})
        self.write("m", "n", kind="groupchat")
        self.assertEqual((self.errors(), self.kept()), ({"n": REFUSED}, 1))

    def test_who_is_there_gets_none_for_the_account(self) -> None:
        # RFC 6121 §8.5.2.1.1: "MUST NOT deliver the stanza to any of the available resources".
        juliet = self.come()
        self.write("m", kind="groupchat")
        self.assertEqual((self.errors(), self.kept(), self.got(juliet)), ({"m": REFUSED}, 0, []))


class DeliveryTest(OfflineCase):
    """XEP-0160 §2."""

    def test_who_becomes_available_gets_it_all_in_order_and_once(self) -> None:
        self.write(*"abcdefg")
        juliet = self.come()
        self.assertEqual(self.got(juliet), list("abcdefg"))
        self.assertEqual(self.kept(), 0)
        self.assertEqual(self.got(self.come("garden")), [])
        juliet.send("<presence><show>away</show></presence>")
        self.assertEqual(self.got(juliet), [])

    def test_it_says_when_it_came_and_who_held_it_back(self) -> None:
        self.world.advance(90.25)
        self.romeo.send(f"<message id='m' to='{JULIET}' type='chat' xml:lang='it'><body>né &lt;</body></message>")
        sent_at = self.world.clock.seconds()
        self.world.advance(3600)
        juliet = self.world.client(f"{JULIET}/balcony")
        juliet.send("<presence/>")
        juliet.receive()
        # XEP-0160 §2: "RECOMMENDED for the server to add a Delayed Delivery (XEP-0203) extension".
        juliet.expect(
            f"<message id='m' from='romeo@example.org/orchard' to='{JULIET}' type='chat' xml:lang='it'>"
            f"<body>né &lt;</body><delay xmlns='urn:xmpp:delay' from='example.org'"
            f" stamp='{delay.stamp(BEGINNING + sent_at)}'/></message>"
        )

    def test_its_bytes_are_those_its_sender_wrote(self) -> None:
        inside = "<body >x</body ><x  xmlns='urn:x' b='1' a='2'/>"
        self.romeo.send(f"<message  to='{JULIET}'  type = 'chat' >{inside}</message >")
        juliet = self.come()
        self.assertIn(b"type = 'chat' ><body >x</body ><x  xmlns='urn:x' b='1' a='2'/><delay ", juliet.raw)

    def test_a_delay_that_claims_to_be_ours_is_removed_and_those_of_others_stay(self) -> None:
        # XEP-0203 §5: "the recipient's server SHOULD discard a delayed delivery notation whose 'from' attribute
        # matches the server's JabberID".
        delays = (
            "<delay xmlns='urn:xmpp:delay' from='Example.ORG' stamp='2002-09-10T23:08:25Z'/>"
            "<delay xmlns='urn:xmpp:delay' from='a@@b' stamp='2002-09-10T23:08:26Z'/>"
            "<delay xmlns='urn:xmpp:delay' from='room@chat.example' stamp='2002-09-10T23:08:27Z'/>"
        )
        self.write("m", content=f"<body>x</body>{delays}<offline xmlns='http://jabber.org/protocol/offline'/>")
        juliet = self.come()
        xml = next(element for element in juliet.drain() if element.name == "message").to_xml()
        self.assertEqual([year in xml for year in ("08:25Z", "08:26Z", "08:27Z")], [False, True, True])
        self.assertEqual((xml.count("<delay "), xml.count("<offline ")), (3, 0))

    def test_who_has_a_negative_priority_gets_nothing_until_it_is_raised(self) -> None:
        # §2: "delivers the message to the resource that has sent that presence", which is "non-negative".
        juliet = self.come(presence="<presence><priority>-1</priority></presence>")
        self.write("a")
        self.assertEqual((self.errors(), self.got(juliet), self.kept()), ({}, [], 1))
        juliet.send("<presence><priority>0</priority></presence>")
        self.assertEqual(self.got(juliet), ["a"])

    def test_who_is_connected_and_has_said_nothing_gets_nothing(self) -> None:
        juliet = self.world.client(f"{JULIET}/balcony")
        self.write("a")
        self.assertEqual((self.got(juliet), self.kept()), ([], 1))

    def test_who_goes_and_comes_again_gets_what_came_in_between(self) -> None:
        juliet = self.come()
        juliet.send("<presence type='unavailable'/>")
        self.write("a")
        self.assertEqual(self.got(juliet), [])
        juliet.send("<presence/>")
        self.assertEqual(self.got(juliet), ["a"])

    def test_a_chat_message_for_a_resource_that_is_gone_waits_for_the_account(self) -> None:
        self.write("a", to=f"{JULIET}/gone")
        self.assertEqual(self.got(self.come()), ["a"])

    def test_a_normal_message_for_a_resource_that_is_gone_is_returned(self) -> None:
        # RFC 6121 §8.5.3.2.1: "the server MUST either (a) silently ignore the stanza or (b) return an error stanza".
        self.write("a", to=f"{JULIET}/gone", kind="normal")
        self.assertEqual((self.errors(), self.kept()), ({"a": REFUSED}, 0))

    def test_nothing_is_kept_for_an_account_that_is_not_there(self) -> None:
        self.write("a", to="nobody@example.org")
        self.assertEqual((self.errors(), self.kept("nobody@example.org")), ({"a": REFUSED}, 0))

    def test_what_has_expired_is_dropped_without_a_word(self) -> None:
        # XEP-0023 §3.
        expiring = "<body>x</body><x xmlns='jabber:x:expire' seconds='{}'/>"
        for id, seconds in (("a", "60"), ("b", "7200"), ("c", "soon"), ("d", "9" * 30), ("e", "0")):
            self.write(id, content=expiring.format(seconds))
        self.world.advance(3600)
        self.assertEqual((self.got(self.come()), self.errors(), self.kept()), (["b", "c", "d"], {}, 0))

    def test_a_removed_account_leaves_nothing_to_the_next_of_its_name(self) -> None:
        self.write("a")
        self.world.run(self.world.host("example.org").accounts.remove("juliet"))
        self.world.register(JULIET)
        self.assertEqual(self.got(self.come()), [])


class QuotaTest(OfflineCase):
    rules: ClassVar = {"max_user_offline_messages": [{5: {"user": "nurse@example.org"}}, 3]}

    def test_what_is_beyond_an_accounts_quota_goes_back(self) -> None:
        # §2: "if not (e.g., because the recipient's offline message queue is full), the server returns a
        # <service-unavailable/> error to the sender".
        self.write(*"abcde")
        self.assertEqual((self.errors(), self.kept()), ({"d": REFUSED, "e": REFUSED}, 3))
        self.assertEqual(self.got(self.come()), list("abc"))

    def test_a_quota_is_that_of_whom_the_messages_are_for(self) -> None:
        self.world.register("nurse@example.org")
        self.write(*"abcdef", to="nurse@example.org")
        self.assertEqual(self.errors(), {"f": REFUSED})

    def test_there_is_room_again_when_they_are_fetched(self) -> None:
        self.write(*"abc")
        self.come().close()
        self.write(*"def")
        self.assertEqual(self.errors(), {})


class RefusedCopiesTest(OfflineCase):
    """Juliet's phone is not for messages to her account, and wants copies (XEP-0280)."""

    rules: ClassVar = {"max_user_offline_messages": 1}

    def new_world(self, **more: Any) -> World:
        modules = {"mod_roster": {}, "mod_carboncopy": {}, "mod_offline": {}}
        world = World(modules=modules, config={"shaper_rules": dict(self.rules)}, **more)
        self.addCleanup(world.stop)
        return world

    def test_what_goes_back_is_not_copied(self) -> None:
        phone = self.come("phone", "<presence><priority>-1</priority></presence>")
        phone.request("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
        self.write(*"ab")
        self.assertEqual((self.errors(), self.kept()), ({"b": REFUSED}, 1))
        (copy,) = (element for element in phone.drain() if element.name == "message")
        self.assertIn("id='a'", copy.to_xml())


class NoQuotaTest(OfflineCase):
    rules: ClassVar = {"max_user_offline_messages": "infinity"}

    def test_an_account_may_have_no_quota(self) -> None:
        self.write(*(str(number) for number in range(150)))
        self.assertEqual((self.errors(), self.kept()), ({}, 150))


class PiecesTest(OfflineCase):
    """They come in pieces, each when the one before has been taken; nothing is removed that was not."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(catching, "PIECE", 2)
        self.patch(catching, "MOST_ON_THE_WAY", 3)

    def slow_client(self, resource: str = "balcony") -> Any:
        """Juliet's client, which takes nothing of what is sent to it from now on."""
        client = self.world.client(f"{JULIET}/{resource}")
        client.wire.far.producer.pauseProducing()
        return client

    def take(self, client: Any) -> None:
        """It takes what is sent to it again."""
        client.wire.far.producer.resumeProducing()
        self.world.advance(5)

    def test_a_client_that_takes_nothing_is_handed_no_more_than_a_piece(self) -> None:
        self.write(*"abcdefgh")
        juliet = self.slow_client()
        session = self.world.host("example.org").sessions.find("juliet", "balcony")
        assert session is not None
        juliet.send("<presence/>")
        self.world.advance(5)
        self.assertEqual((self.got(juliet), self.kept()), ([], 8))
        self.assertGreater(session.attachment.waiting, 0)
        self.take(juliet)
        self.assertEqual((self.got(juliet), self.kept()), (list("abcdefgh"), 0))

    def test_what_was_not_taken_waits_for_the_next_session(self) -> None:
        self.write(*"abcdefgh")
        juliet = self.slow_client()
        juliet.send("<presence/>")
        self.world.advance(1)
        juliet.cut()
        self.world.advance(5)
        self.assertEqual(self.kept(), 8)
        self.assertEqual(self.got(self.come("garden")), list("abcdefgh"))

    def test_another_session_takes_over_at_once(self) -> None:
        self.write(*"abcdefgh")
        juliet = self.slow_client()
        juliet.send("<presence/>")
        garden = self.come("garden")
        self.assertEqual((self.got(garden), self.kept()), ([], 8))
        juliet.cut()
        self.world.advance(5)
        self.assertEqual((self.got(garden), self.kept()), (list("abcdefgh"), 0))

    def test_one_that_is_there_already_takes_over_and_nothing_overtakes(self) -> None:
        self.write(*"abcdefgh")
        juliet = self.slow_client()
        garden = self.world.client(f"{JULIET}/garden")
        juliet.send("<presence><priority>5</priority></presence>")
        garden.send("<presence/>")
        self.world.advance(1)
        juliet.cut()
        self.write("i")
        self.world.advance(5)
        self.assertEqual((self.got(garden), self.kept()), (list("abcdefghi"), 0))

    def test_one_that_is_there_gets_what_another_that_does_not_want_more_has_left(self) -> None:
        self.write(*"abcdefgh")
        juliet = self.slow_client()
        garden = self.world.client(f"{JULIET}/garden")
        juliet.send("<presence><priority>5</priority></presence>")
        garden.send("<presence/>")
        juliet.send("<presence type='unavailable'/>")
        self.write("i")
        self.world.advance(1)
        self.assertEqual(self.got(garden), [])
        self.take(juliet)
        self.assertEqual((self.got(juliet), self.got(garden), self.kept()), (list("abc"), list("defghi"), 0))

    def test_one_that_lowers_its_priority_leaves_the_rest(self) -> None:
        self.write(*"abcdefgh")
        juliet = self.slow_client()
        juliet.send("<presence/>")
        juliet.send("<presence><priority>-1</priority></presence>")
        self.take(juliet)
        self.assertEqual((self.got(juliet), self.kept()), (list("abc"), 5))

    def test_what_arrives_meanwhile_comes_behind_what_waited(self) -> None:
        # RFC 6120 §10.1.
        self.write(*"abcdefgh")
        juliet = self.slow_client()
        juliet.send("<presence/>")
        self.write("i")
        self.write("j", to=f"{JULIET}/balcony", kind="normal")
        self.write("k", content=COMPOSING)
        self.take(juliet)
        self.assertEqual((self.got(juliet), self.errors(), self.kept()), (list("abcdefghijk"), {}, 0))
        self.write("l")
        self.assertEqual(self.got(juliet), ["l"])

    def test_a_second_resource_of_the_same_priority_gets_what_arrives_at_once(self) -> None:
        self.write(*"abcdefgh")
        juliet = self.slow_client()
        juliet.send("<presence/>")
        garden = self.come("garden")
        self.write("i")
        self.assertEqual(self.got(garden), ["i"])
        self.take(juliet)
        self.assertEqual(self.got(juliet), list("abcdefghi"))

    def test_an_error_does_not_wait_behind_what_waited(self) -> None:
        self.write(*"abcdefgh")
        juliet = self.slow_client()
        juliet.send("<presence/>")
        error = "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
        self.write("z", to=f"{JULIET}/balcony", kind="error", content=error)
        self.take(juliet)
        self.assertEqual(self.got(juliet), list("abczdefgh"))

    def test_what_is_held_meanwhile_is_bounded(self) -> None:
        self.patch(catching, "MOST_HELD", 2)
        self.write(*"abcdefgh")
        juliet = self.slow_client()
        juliet.send("<presence/>")
        self.write(*"ijkl", content=COMPOSING)
        self.take(juliet)
        self.assertEqual(self.got(juliet), list("abckldefghij"))

    def test_a_full_queue_refuses_nothing_while_it_is_being_emptied_within_bounds(self) -> None:
        self.patch(offline, "MOST_BEHIND", 2)
        ids = [str(number) for number in range(100)]
        self.write(*ids)
        juliet = self.slow_client()
        juliet.send("<presence/>")
        self.write(*"abc")
        self.assertEqual(self.errors(), {"c": REFUSED})
        self.take(juliet)
        self.assertEqual(self.got(juliet), [*ids, "a", "b"])

    def test_a_piece_is_bounded_in_bytes(self) -> None:
        self.patch(catching, "BYTES_ON_THE_WAY", 1)
        self.write(*"abc")
        juliet = self.slow_client()
        juliet.send("<presence/>")
        session = self.world.host("example.org").sessions.find("juliet", "balcony")
        assert session is not None
        self.assertLess(session.attachment.waiting, 600)
        self.take(juliet)
        self.assertEqual(self.got(juliet), list("abc"))

    def test_many_come_in_their_order(self) -> None:
        reload(self.world, {"mod_roster": {}, "mod_offline": {"access_max_user_messages": 5000}})
        ids = [str(number) for number in range(1000)]
        self.write(*ids)
        juliet = self.come()
        self.world.advance(30)
        self.assertEqual((self.got(juliet), self.kept()), (ids, 0))


class AgainTest(OfflineCase):
    """What a session got and did not take waits again."""

    def again(self, juliet: Client) -> None:
        """Her client has gone, and what it was handed is delivered again."""
        self.world.pump()
        got = [element for element in juliet.drain() if element.name == "message"]
        juliet.cut()
        for element in got:
            waiting = self.world.host("example.org").deliver_again(Message(element))
            if waiting is not None:
                self.world.run(waiting)
        self.world.pump()

    def test_it_is_as_old_as_it_was_and_says_so_once(self) -> None:
        # XEP-0203 §2: "one and only one <delay/> child".
        self.write("a", content="<body>x</body><x xmlns='jabber:x:expire' seconds='7200'/>")
        self.world.advance(3600)
        self.again(self.come())
        self.world.advance(3500)
        garden = self.come("garden")
        (message,) = [element for element in garden.drain() if element.name == "message"]
        (found,) = message.children_of("urn:xmpp:delay", "delay")
        self.assertEqual(found.get("stamp"), delay.stamp(BEGINNING))

    def test_its_lifetime_is_not_longer_for_that(self) -> None:
        self.write("a", content="<body>x</body><x xmlns='jabber:x:expire' seconds='7200'/>")
        self.world.advance(3600)
        self.again(self.come())
        self.world.advance(3700)
        self.assertEqual((self.got(self.come("garden")), self.kept()), ([], 0))

    def test_what_was_on_its_way_to_a_session_is_not_kept_twice(self) -> None:
        # XEP-0198 §4 has what was not acknowledged delivered anew: it is where it was.
        self.write(*"abc")
        juliet = self.world.client(f"{JULIET}/balcony")
        stopped = Deferred[None]()
        self.patch(self.offline, "sleep", lambda seconds: stopped)
        juliet.send("<presence/>")
        self.again(juliet)
        self.assertEqual(self.kept(), 3)
        self.world.advance(LEFT_BEHIND)
        self.assertEqual(self.offline.deliveries._left_behind, {})

    def test_while_nothing_is_handed_over_nobody_looks_at_messages(self) -> None:
        chains = self.world.host("example.org").chains

        def listening() -> bool:
            return bool(chains.of_kind(hooks.user_receive_packet, message("chat")))

        self.write(*"abc")
        juliet = self.world.client(f"{JULIET}/balcony")
        before = listening()
        stopped = Deferred[None]()
        self.patch(self.offline, "sleep", lambda seconds: stopped)
        juliet.send("<presence/>")
        during = listening()
        juliet.cut()
        stopped.callback(None)
        behind = listening()
        self.world.advance(LEFT_BEHIND)
        self.assertEqual((before, during, behind, listening()), (False, True, True, False))

    def test_what_was_fetched_and_not_removed_is_kept_once(self) -> None:
        # XEP-0013 §2.5.
        self.write("a")
        juliet = self.world.client(f"{JULIET}/balcony")
        juliet.send("<iq type='get' id='q'><offline xmlns='http://jabber.org/protocol/offline'><fetch/></offline></iq>")
        self.world.advance(1)
        self.again(juliet)
        self.assertEqual(self.kept(), 1)


class Everything:
    """An archive that keeps all but what nurses write."""

    assumes_usage = False

    def wants(self, account: JID, peer: JID, message: Message, sent: bool) -> bool:
        return peer.local != "nurse" and account.local != "nurse"


class ArchivedTest(OfflineCase):
    options: ClassVar = {"use_mam_for_storage": True}
    rules: ClassVar = {"max_user_offline_messages": 3}

    def setUp(self) -> None:
        super().setUp()
        self.world.host("example.org").archive = Everything()

    def stored(self) -> list[int]:
        """How many bytes of each message are kept beside the archive."""
        return [len(record.stanza) for _, record in self.world.run(self.offline.kept.range(JULIET, limit=9))]

    def fail_once(self) -> None:
        """The next message cannot be kept beside the archive."""
        logs: Any = self.world.server.storage.logs
        append = logs.append_within

        async def full(*args: object) -> object:
            logs.append_within = append
            raise StoreError("the disk is full")

        self.patch(logs, "append_within", full)

    def test_what_the_archive_keeps_is_not_kept_twice_and_comes_from_there(self) -> None:
        self.romeo.send(f"<message  id='a' to='{JULIET}'><body >x</body></message >")
        self.write("b")
        self.assertEqual(self.stored(), [0, 0])
        self.world.advance(60)
        juliet = self.come()
        first, second = [element for element in juliet.drain() if element.name == "message"]
        self.assertEqual([first.get("id"), second.get("id"), self.kept()], ["a", "b", 0])
        self.assertIn(b"<body >x</body><delay ", juliet.raw)
        # XEP-0359 §3.1.
        (id_,) = first.children_of("urn:xmpp:sid:0", "stanza-id")
        self.assertEqual(id_.get("by"), JULIET)
        server = self.world.server
        rows = self.world.run(server.storage.archives.rows(JULIET, [server.archive_ids.decode(id_.get("id") or "")]))
        self.assertEqual(len(rows), 1)
        self.assertEqual(len(first.children_of("urn:xmpp:delay", "delay")), 1)

    def test_what_it_does_not_keep_is(self) -> None:
        nurse = self.world.client("nurse@example.org/room")
        nurse.send(f"<message id='a' to='{JULIET}'><body>x</body></message>")
        self.assertGreater(self.stored()[0], 0)
        self.write("b")
        self.assertEqual(self.got(self.come()), ["a", "b"])

    def test_what_it_has_let_go_of_is_gone(self) -> None:
        self.write("a")
        self.world.run(self.world.server.storage.archives.remove(JULIET, EVERYTHING, limit=10))
        self.write("b")
        self.assertEqual((self.got(self.come()), self.kept()), (["b"], 0))

    def test_what_there_is_no_room_for_is_in_the_archive_and_does_not_go_back(self) -> None:
        self.write(*"abcd")
        self.assertEqual((self.errors(), self.got(self.come())), ({}, list("abc")))

    def test_who_is_being_handed_what_waits_gets_it_all_the_same(self) -> None:
        self.patch(offline, "MOST_BEHIND", 1)
        self.write(*"abc")
        juliet = self.world.client(f"{JULIET}/balcony")
        juliet.wire.far.producer.pauseProducing()
        juliet.send("<presence/>")
        self.write(*"def")
        juliet.wire.far.producer.resumeProducing()
        self.world.advance(5)
        self.assertEqual((self.errors(), sorted(self.got(juliet)), self.kept()), ({}, list("abcdef"), 0))

    def test_and_what_comes_behind_that_does_not_overtake_it_when_there_is_room_again(self) -> None:
        self.write(*"abc")
        juliet = self.world.client(f"{JULIET}/balcony")
        juliet.wire.far.producer.pauseProducing()
        juliet.send("<presence/>")
        self.fail_once()
        self.write(*"def")
        juliet.wire.far.producer.resumeProducing()
        self.world.advance(5)
        self.assertEqual((self.errors(), self.got(juliet), self.kept()), ({}, list("abcdef"), 0))
        self.write("g")
        self.assertEqual(self.got(juliet), ["g"])

    def test_what_comes_behind_what_there_was_no_room_for_is_kept_no_more_than_that(self) -> None:
        # Else Romeo would send "d" again after a crash, of which he had not heard, and it would come behind "e".
        self.write(*"abcd")
        juliet = self.world.client(f"{JULIET}/balcony")
        juliet.wire.far.producer.pauseProducing()
        juliet.send("<presence/>")
        self.write("e")
        self.assertEqual(self.kept(), 3)
        juliet.wire.far.producer.resumeProducing()
        self.world.advance(2)
        self.assertEqual((self.errors(), self.got(juliet), self.kept()), ({}, list("abce"), 0))

    def test_what_comes_behind_what_could_not_be_kept_is_kept_when_its_sender_has_heard_of_that(self) -> None:
        self.fail_once()
        self.write(*"ab")
        self.world.advance(HEARD_WITHIN - 1)
        self.write("c")
        self.assertEqual(self.kept(), 0)
        self.world.advance(1)
        self.write("d")
        self.assertEqual((self.errors(), self.got(self.come())), ({}, ["d"]))

    def test_it_can_be_fetched_by_the_client(self) -> None:
        self.write("a")
        juliet = self.world.client(f"{JULIET}/balcony")
        juliet.send("<iq type='get' id='q'><offline xmlns='http://jabber.org/protocol/offline'><fetch/></offline></iq>")
        self.world.advance(1)
        self.assertEqual(self.got(juliet), ["a"])

    def test_what_was_on_its_way_is_kept_once(self) -> None:
        self.write("a")
        juliet = self.come()
        (message,) = [element for element in juliet.drain() if element.name == "message"]
        juliet.cut()
        waiting = self.world.host("example.org").deliver_again(Message(message))
        if waiting is not None:
            self.world.run(waiting)
        self.assertEqual(self.stored(), [0])
        garden = self.come("garden")
        (again,) = [element for element in garden.drain() if element.name == "message"]
        self.assertEqual(len(again.children_of("urn:xmpp:sid:0", "stanza-id")), 1)


class RacesTest(OfflineCase):
    """Storage takes its time, and people come and go meanwhile."""

    def slow(self, name: str) -> None:
        logs: Any = self.world.server.storage.logs
        method: Callable[..., Awaitable[object]] = getattr(logs, name)
        self.held: list[Deferred[None]] = []

        async def later(*args: object) -> object:
            gate: Deferred[None] = Deferred()
            self.held.append(gate)
            await gate
            return await method(*args)

        self.patch(logs, name, later)

    def read_early(self) -> None:
        """What is read is seen at once, and told late."""
        logs: Any = self.world.server.storage.logs
        method: Callable[..., Awaitable[object]] = logs.range
        self.held = []

        async def later(*args: object) -> object:
            found = await method(*args)
            gate: Deferred[None] = Deferred()
            self.held.append(gate)
            await gate
            return found

        self.patch(logs, "range", later)

    def go_on(self) -> None:
        held, self.held = self.held, []
        for gate in held:
            gate.callback(None)
        self.world.advance(1)

    def test_who_comes_while_a_message_is_being_written_gets_it(self) -> None:
        self.slow("append_within")
        self.write("a")
        juliet = self.come()
        self.assertEqual(self.got(juliet), [])
        self.go_on()
        self.assertEqual((self.got(juliet), self.kept()), (["a"], 0))

    def test_and_what_its_sender_sent_next_comes_behind(self) -> None:
        self.slow("append_within")
        self.write("a", "b", "c")
        juliet = self.come()
        for _ in range(3):
            self.go_on()
        self.assertEqual((self.got(juliet), self.kept()), (list("abc"), 0))

    def test_what_is_written_while_they_are_read_comes_as_well_and_nothing_overtakes(self) -> None:
        self.read_early()
        juliet = self.come()
        self.write("a")
        while self.held:
            self.go_on()
        self.write("b")
        self.assertEqual((self.got(juliet), self.kept()), (["a", "b"], 0))

    def test_who_goes_while_they_are_read_leaves_them(self) -> None:
        self.write("a")
        self.slow("range")
        juliet = self.come()
        juliet.cut()
        self.go_on()
        self.assertEqual(self.kept(), 1)

    def test_who_stays_gets_them_however_many_come_and_go_before(self) -> None:
        logged = worries(self)
        self.slow("range")
        for number in range(2 * MOST_IN_TURN):
            client = self.come(f"garden{number}")
            self.write(f"m{number}")
            client.cut()
        home = self.come("home")
        while self.held:
            self.go_on()
        expected = [f"m{number}" for number in range(2 * MOST_IN_TURN)]
        self.assertEqual((self.got(home), self.kept(), logged), (expected, 0, []))

    def test_who_was_there_before_gets_what_one_has_left_who_came_and_went(self) -> None:
        logged = worries(self)
        home = self.come("home")
        self.slow("range")
        other = self.come("garden", "<presence><priority>5</priority></presence>")
        self.write("a")
        other.cut()
        self.go_on()
        self.go_on()
        self.assertEqual((self.got(home), self.kept(), logged), (["a"], 0, []))

    def test_no_more_than_a_few_are_handed_something_at_the_same_time(self) -> None:
        self.patch(offline_deliveries, "MOST_TOGETHER", 2)
        reload(self.world, {"mod_roster": {}})
        reload(self.world, {"mod_roster": {}, "mod_offline": {}})
        people = [f"nurse{number}@example.org" for number in range(5)]
        clients = []
        for account in people:
            clients.append(self.world.client(f"{account}/room"))
            self.write("a", to=account)
        self.slow("range")
        for client in clients:
            client.send("<presence/>")
        self.assertEqual(len(self.held), 2)
        while self.held:
            self.go_on()
        self.assertEqual([self.got(client) for client in clients], [["a"]] * 5)

    def test_a_module_that_is_taken_out_holds_up_nobody(self) -> None:
        self.write("a")
        self.slow("range")
        juliet = self.come()
        self.world.run(self.world.host("example.org").modules.remove("mod_offline"))
        self.write("b")
        self.assertEqual(self.got(juliet), ["b"])


class FailuresTest(OfflineCase):
    def break_down(self, name: str) -> None:
        async def fail(*args: object) -> object:
            raise StoreError("the disk is full")

        self.patch(self.world.server.storage.logs, name, fail)

    def test_who_sends_is_told_to_try_later_when_it_cannot_be_kept(self) -> None:
        self.break_down("append_within")
        self.write("a")
        self.assertEqual(self.errors(), {"a": "wait internal-server-error"})

    def test_what_cannot_be_read_is_tried_again(self) -> None:
        self.write("a")
        logs: Any = self.world.server.storage.logs
        method = logs.range
        self.break_down("range")
        worried = worries(self)
        juliet = self.come()
        self.assertEqual((self.got(juliet), len(worried)), ([], 1))
        logs.range = method
        self.write("b")
        self.assertEqual(self.got(juliet), ["b"])
        self.world.advance(RETRY_AFTER)
        self.assertEqual((self.got(juliet), self.kept()), (["a"], 0))

    def test_what_cannot_be_removed_comes_once_to_who_has_it(self) -> None:
        self.write("a")
        logs: Any = self.world.server.storage.logs
        method = logs.remove
        self.break_down("remove")
        juliet = self.come()
        self.assertEqual((self.got(juliet), self.kept()), (["a"], 1))
        self.world.advance(2 * RETRY_AFTER)
        self.assertEqual((self.got(juliet), self.kept()), ([], 1))
        logs.remove = method
        self.world.advance(RETRY_AFTER)
        self.assertEqual((self.got(juliet), self.kept()), ([], 0))

    def test_and_twice_to_who_comes_again(self) -> None:
        self.write("a")
        logs: Any = self.world.server.storage.logs
        method = logs.remove
        self.break_down("remove")
        self.come().close()
        logs.remove = method
        self.assertEqual((self.got(self.come()), self.kept()), (["a"], 0))

    def test_what_came_before_one_that_could_not_be_read_comes_once(self) -> None:
        self.patch(catching, "PIECE", 2)
        self.write(*"abcd")
        logs: Any = self.world.server.storage.logs
        method, reads = logs.range, iter((True, False))

        async def fail(*args: object, **more: object) -> object:
            if next(reads, True):
                return await method(*args, **more)
            raise StoreError("too many jobs wait")

        self.patch(logs, "range", fail)
        juliet = self.come()
        self.assertEqual(self.got(juliet), ["a", "b"])
        self.world.advance(RETRY_AFTER)
        self.assertEqual((self.got(juliet), self.kept()), (["c", "d"], 0))

    def test_what_cannot_be_read_at_all_is_logged_and_holds_up_nothing(self) -> None:
        self.write("a", "b")
        self.world.run(self.world.server.storage.logs.append("offline", JULIET, b"0 -1 -1 x\n<message"))
        self.write("c")
        juliet = self.come()
        self.assertEqual((self.got(juliet), self.kept()), (list("abc"), 0))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class CommandsTest(OfflineCase):
    def ctl(self, name: str, **arguments: object) -> Any:
        return self.world.run(self.world.server.commands.run(name, arguments))

    def test_the_operator_sees_how_many_wait(self) -> None:
        self.write(*"abc")
        self.assertEqual(self.ctl("get_offline_count", user="Juliet", host="example.org"), 3)
        self.assertEqual(self.ctl("get_offline_count", user="romeo", host="example.org"), 0)

    def test_what_has_expired_is_removed_at_his_word(self) -> None:
        self.write("a", content="<body>x</body><x xmlns='jabber:x:expire' seconds='60'/>")
        self.write("b", content="<body>x</body><x xmlns='jabber:x:expire' seconds='600'/>")
        self.write("c")
        self.world.advance(60)
        self.assertEqual(self.ctl("delete_expired_messages"), 1)
        self.assertEqual(self.got(self.come()), ["b", "c"])

    def test_and_what_is_old(self) -> None:
        for number in range(50):
            self.write(f"old{number}")
        self.world.register("nurse@example.org")
        self.write("n", to="nurse@example.org")
        self.world.advance(3 * 86_400)
        self.write("new")
        self.assertEqual(self.ctl("delete_old_messages", days=3), 0)
        self.world.advance(1)
        self.assertEqual(self.ctl("delete_old_messages", days=3), 51)
        self.assertEqual(self.got(self.come()), ["new"])


class TwoHostsTest(OfflineCase):
    def new_world(self, **more: Any) -> Any:
        return super().new_world(hosts=("example.org", "example.net"), **more)

    def test_a_command_may_be_for_one_host_or_for_all(self) -> None:
        self.world.register("juliet@example.net")
        self.write("a")
        self.write("b", to="juliet@example.net")
        self.world.advance(1)
        commands = self.world.server.commands
        deleted = self.world.run(commands.run("delete_old_messages", {"days": 0, "host": "example.net"}))
        self.assertEqual((deleted, self.kept(), self.kept("juliet@example.net")), (1, 1, 0))
        self.write("b", to="juliet@example.net")
        self.world.advance(1)
        self.assertEqual(self.world.run(commands.run("delete_old_messages", {"days": 0})), 2)


class ArchiveTest(OfflineCase):
    """A client asks its archive while it is handed what waited."""

    def new_world(self, **more: Any) -> World:
        world = World(modules={"mod_roster": {}, "mod_mam": {}, "mod_offline": {}}, **more)
        self.addCleanup(world.stop)
        return world

    def test_results_of_the_archive_come_before_the_answer_that_ends_them(self) -> None:
        # XEP-0313 §4: "the server MUST send the <iq/> result after last query result has been sent to the client".
        self.patch(catching, "PIECE", 2)
        self.patch(catching, "MOST_ON_THE_WAY", 3)
        self.write(*"abcdefgh")
        juliet = self.world.client(f"{JULIET}/balcony")
        juliet.wire.far.producer.pauseProducing()
        juliet.send("<presence/><iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>")
        self.world.advance(5)
        juliet.wire.far.producer.resumeProducing()
        self.world.advance(5)
        came = juliet.drain()
        results = [number for number, each in enumerate(came) if each.child("urn:xmpp:mam:2", "result") is not None]
        end = next(number for number, each in enumerate(came) if each.name == "iq" and each.get("id") == "q")
        self.assertEqual((len(results), [number for number in results if number > end]), (8, []))
