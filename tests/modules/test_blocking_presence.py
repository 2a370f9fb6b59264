from __future__ import annotations

from collections.abc import Coroutine
from types import MappingProxyType
from typing import Any

from twisted.internet.defer import Deferred

from federix.api import JID, Contact, RosterItem, StoreError
from federix.modules.blocking import Blocking
from federix.testing import World

from .blocking_case import BALCONY, GARDEN, JULIET, MARKET, ORCHARD, ROOM, BlockingCase, error, message_from
from .neighbours import reload, worries
from .rfc6121 import MERCUTIO, ROMEO, keep


class MatchingTests(BlockingCase):
    """§6."""

    def assert_blocked(self, item: str, blocked: tuple[str, ...], free: tuple[str, ...]) -> None:
        romeo = self.arrive(ORCHARD)
        self.block(romeo, item)
        romeo.drain()
        for sender in (*blocked, *free):
            with self.subTest(item, sender=sender):
                self.world.server.router.route(message_from(sender))
                got = [e.get("from") for e in romeo.drain() if e.name == "message"]
                self.assertEqual(got, [] if sender in blocked else [sender])

    def test_an_address_with_a_resource_is_that_one_alone(self) -> None:
        self.assert_blocked(
            MARKET, (MARKET,), (MERCUTIO, f"{MERCUTIO}/home", "remote.example", "remote.example/market")
        )

    def test_a_bare_address_is_any_resource(self) -> None:
        self.assert_blocked(MERCUTIO, (MERCUTIO, MARKET), ("remote.example", "paris@remote.example/market"))

    def test_a_domain_with_a_resource_is_that_one_alone(self) -> None:
        item = "remote.example/market"
        self.assert_blocked(item, (item,), ("remote.example", MARKET, MERCUTIO, "remote.example/home"))

    def test_a_domain_is_all_that_is_there(self) -> None:
        self.assert_blocked(
            "remote.example",
            ("remote.example", MERCUTIO, MARKET, "remote.example/market"),
            ("sub.remote.example", "mercutio@muc.example"),
        )


class PresenceTests(BlockingCase):
    """§3.3, §3.4: who is blocked sees the user go, and who is not any more sees him come."""

    def test_who_may_see_the_user_must_be_sent_unavailable_when_blocked(self) -> None:
        romeo, _, juliet = self.arrive(ORCHARD), self.arrive(GARDEN), self.arrive(BALCONY)
        self.block(romeo, JULIET, MERCUTIO)
        juliet.expect_all(*(f"<presence from='{jid}' to='{JULIET}' type='unavailable'/>" for jid in (ORCHARD, GARDEN)))
        self.remote.expect(
            *(f"<presence from='{jid}' to='{MERCUTIO}' type='unavailable'/>" for jid in (ORCHARD, GARDEN))
        )
        romeo.drain()
        self.block(romeo, JULIET, MERCUTIO)
        juliet.nothing()
        self.remote.expect()

    def test_who_may_not_see_the_user_must_not_learn_of_the_block(self) -> None:
        keep(self.world, ROMEO, "to@remote.example", Contact(RosterItem("to@remote.example", subscription="to")))
        keep(self.world, ROMEO, "none@remote.example", Contact(RosterItem("none@remote.example")))
        romeo = self.arrive(ORCHARD)
        self.block(romeo, "to@remote.example", "none@remote.example", "stranger@remote.example")
        self.unblock(romeo)
        self.assertEqual([e for e in self.remote.got if e.get("type") != "probe"], [])

    def test_who_may_see_the_user_must_be_sent_his_presence_when_unblocked(self) -> None:
        romeo, juliet = self.arrive(ORCHARD), self.arrive(BALCONY)
        self.block(romeo, JULIET, MERCUTIO)
        romeo.send("<presence><show>xa</show></presence>")
        juliet.drain()
        self.remote.got.clear()
        self.unblock(romeo, JULIET)
        juliet.expect(f"<presence from='{ORCHARD}' to='{JULIET}' type='-'><show>xa</show></presence>")
        self.remote.expect()
        self.unblock(romeo)
        self.remote.expect(
            f"<presence from='{ORCHARD}' to='{MERCUTIO}' type='-'><show>xa</show></presence>",
            f"<presence from='{ROMEO}' to='{MERCUTIO}' type='probe'/>",
        )

    def test_whoever_unblocks_learns_how_they_are(self) -> None:
        romeo, juliet = self.arrive(ORCHARD), self.arrive(BALCONY)
        self.block(romeo, JULIET)
        juliet.send("<presence><show>dnd</show></presence>")
        romeo.drain()
        self.unblock(romeo, JULIET)
        romeo.expect(f"<presence from='{BALCONY}'><show>dnd</show></presence>")

    def test_who_is_blocked_sees_nothing_of_later_presence(self) -> None:
        romeo, juliet = self.arrive(ORCHARD), self.arrive(BALCONY)
        self.block(romeo, JULIET, MERCUTIO)
        juliet.drain()
        self.remote.got.clear()
        romeo.send("<presence><show>away</show></presence>")
        garden = self.world.client(GARDEN)
        garden.send("<presence/>")
        garden.close()
        romeo.send("<presence type='unavailable'/>")
        romeo.cut()
        juliet.nothing()
        self.remote.expect()

    def test_who_is_blocked_is_not_asked_how_he_is_nor_for_his_subscription(self) -> None:
        """A probe would tell that the user is there."""
        keep(self.world, ROMEO, "asked@remote.example", Contact(RosterItem("asked@remote.example", ask=True)))
        romeo = self.arrive(ORCHARD)
        self.block(romeo, "remote.example")
        romeo.close()
        self.remote.got.clear()
        self.module.lists.forget("romeo")
        self.arrive(ORCHARD)
        self.remote.expect()

    def test_an_address_with_a_resource_is_told_alone(self) -> None:
        romeo = self.arrive(ORCHARD)
        self.block(romeo, MARKET)
        self.remote.expect(f"<presence from='{ORCHARD}' to='{MARKET}' type='unavailable'/>")
        self.unblock(romeo, MARKET)
        self.remote.expect(
            f"<presence from='{ORCHARD}' to='{MARKET}' type='-'/>",
            f"<presence from='{ROMEO}' to='{MERCUTIO}' type='probe'/>",
        )

    def test_a_domain_is_all_contacts_there(self) -> None:
        romeo = self.arrive(ORCHARD)
        self.block(romeo, "remote.example")
        self.remote.expect(f"<presence from='{ORCHARD}' to='{MERCUTIO}' type='unavailable'/>")
        self.block(romeo, MERCUTIO)
        self.unblock(romeo, "remote.example")
        self.remote.expect()

    def test_a_room_is_left_when_it_is_blocked_and_only_then(self) -> None:
        romeo = self.arrive(ORCHARD, None)
        romeo.send(f"<presence to='{ROOM}/romeo'/><presence to='other@muc.example/romeo'/>")
        self.rooms.got.clear()
        self.block(romeo, f"{ROOM}/tybalt")
        self.rooms.expect()
        self.block(romeo, ROOM)
        self.rooms.expect(f"<presence from='{ORCHARD}' to='{ROOM}/romeo' type='unavailable'/>")
        romeo.cut()
        self.rooms.expect("<presence to='other@muc.example/romeo' type='unavailable'/>")

    def test_a_blocked_occupant_is_not_heard_and_the_room_gets_no_error(self) -> None:
        romeo = self.arrive(ORCHARD)
        romeo.send(f"<presence to='{ROOM}/romeo'/>")
        self.block(romeo, f"{ROOM}/tybalt")
        romeo.drain()
        self.rooms.got.clear()
        for nick in ("tybalt", "benvolio"):
            self.world.server.router.route(message_from(f"{ROOM}/{nick}", "groupchat"))
            self.rooms.send(f"<presence from='{ROOM}/{nick}' to='{ORCHARD}'/>")
        romeo.expect(f"<message from='{ROOM}/benvolio'/>")
        romeo.expect(f"<presence from='{ROOM}/benvolio'/>")
        romeo.nothing()
        self.rooms.expect()


class MemoryTests(BlockingCase):
    """What is kept in memory, and what storage is asked."""

    blocking = MappingProxyType({"cache_size": 2})

    def reads(self) -> list[str]:
        """The owners whose lists are read from now on."""
        found: list[str] = []
        kept, get = self.module.kept, self.module.kept.get

        def counted(owner: str) -> Any:
            found.append(owner)
            return get(owner)

        self.patch(kept, "get", counted)
        return found

    def test_a_list_is_read_once_for_each_account(self) -> None:
        reads = self.reads()
        romeo, juliet = self.world.client(ORCHARD), self.world.client(BALCONY)
        for _ in range(3):
            romeo.send(f"<message to='{JULIET}' type='chat'/>")
            juliet.send(f"<message to='{ROMEO}' type='chat'/>")
        romeo.close()
        self.world.client(ORCHARD).send("<presence/>")
        self.assertEqual(sorted(reads), [JULIET, ROMEO])

    def test_an_embedded_database_answers_at_once(self) -> None:
        """Nothing overtakes the stanza, and nobody is paused, where only one look-up is to be made."""
        world = World({"sql_database": "lists.sqlite"}, modules={"mod_blocking": {}})
        self.addCleanup(world.stop)
        waiting = world.host("example.org").module(Blocking).received(JID.parse(ROMEO), message_from(MARKET))
        assert isinstance(waiting, Coroutine)
        with self.assertRaises(StopIteration):
            waiting.send(None)

    def test_presence_for_those_who_are_not_there_asks_nothing(self) -> None:
        romeo = self.arrive(ORCHARD)
        reads = self.reads()
        romeo.send("<presence><show>away</show></presence>")
        romeo.send(f"<presence to='{JULIET}'/><iq type='result' to='{BALCONY}' id='1'/>")
        self.assertEqual(reads, [])
        romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
        self.assertEqual(reads, [JULIET])

    def test_how_many_lists_of_those_who_are_not_there_are_remembered_is_bounded(self) -> None:
        romeo = self.arrive(ORCHARD)
        for count in range(5):
            romeo.send(f"<message to='nobody{count}@example.org' type='chat'/>")
        self.assertEqual(len(self.module.lists), 1 + 2)
        reload(self.world, {**self.modules, "mod_blocking": {"cache_size": 1}})
        self.assertEqual(len(self.module.lists), 1 + 1)

    def test_those_who_are_there_are_not_forgotten_for_others(self) -> None:
        romeo = self.arrive(ORCHARD)
        clients = [self.arrive(f"client{count}@example.org/home") for count in range(5)]
        self.assertEqual(len(self.module.lists), 6)
        for client in (*clients, romeo):
            client.close()
        self.assertEqual(len(self.module.lists), 2)

    def slow(self) -> Deferred[None]:
        """Whoever has a list read waits for this."""
        storage: Deferred[None] = Deferred()
        get = self.module.kept.get

        async def slowly(owner: str) -> Any:
            await storage
            return await get(owner)

        self.patch(self.module.kept, "get", slowly)
        return storage

    def test_what_waits_for_a_list_keeps_its_order_and_the_list_is_read_once(self) -> None:
        romeo, nurse = self.arrive(ORCHARD), self.arrive("nurse@example.org/house")
        self.module.lists.forget("romeo")
        reads = self.reads()
        storage = self.slow()
        nurse.send(f"<message to='{ROMEO}' type='chat' id='1'/><message to='{ROMEO}' type='chat' id='2'/>")
        for id in ("a", "b"):
            self.world.host("example.org").route(message_from(MARKET, id=id))
        nurse.send(f"<message to='{ROMEO}' type='chat' id='3'/>")
        romeo.nothing()
        storage.callback(None)
        got = [str(e.get("id")) for e in romeo.drain()]
        self.assertEqual([id for id in got if id.isdigit()], ["1", "2", "3"])
        self.assertEqual([id for id in got if not id.isdigit()], ["a", "b"])
        self.assertEqual(reads, [ROMEO])

    def test_whoever_goes_while_he_waits_for_a_list_holds_up_nobody(self) -> None:
        romeo, nurse = self.arrive(ORCHARD), self.arrive("nurse@example.org/house")
        logged = worries(self)
        self.module.lists.forget("romeo")
        storage = self.slow()
        nurse.send(f"<message to='{ROMEO}' type='chat'/>")
        self.world.host("example.org").route(message_from(MARKET, id="a"))
        nurse.cut()
        storage.callback(None)
        self.assertIn("a", [e.get("id") for e in romeo.drain()])
        self.assertEqual(logged, [])

    def test_a_list_that_is_read_for_a_removed_account_is_not_remembered(self) -> None:
        romeo, nurse = self.arrive(ORCHARD), self.arrive("nurse@example.org/house")
        self.block(romeo, "nurse@example.org")
        romeo.close()
        self.module.lists.forget("romeo")
        storage = self.slow()
        nurse.send(f"<message to='{ROMEO}' type='chat'/>")
        accounts = self.world.host("example.org").accounts
        self.patch(accounts, "is_leaving", lambda local: local == "romeo")
        storage.callback(None)
        self.assertIsNone(self.module.lists.now("romeo"))

    def test_what_cannot_be_read_refuses_and_is_read_later(self) -> None:
        logged = worries(self)

        async def fail(owner: str) -> Any:
            raise StoreError("no disk")

        romeo = self.world.client(ORCHARD)
        failing = self.patch(self.module.kept, "get", fail)
        romeo.send("<message to='paris@remote.example' id='1'/>")
        romeo.expect(error("message", "internal-server-error"))
        failing.restore()
        romeo.send("<message to='paris@remote.example' id='2'/>")
        self.remote.expect("<message id='2'/>")
        self.assertEqual(logged, [])

    def test_what_cannot_be_checked_when_its_sender_is_gone_has_not_arrived(self) -> None:
        reload(self.world, {**self.modules, "mod_stream_mgmt": {}})
        romeo = self.world.client(ORCHARD)
        romeo.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        romeo.expect("<enabled xmlns='urn:xmpp:sm:3'/>")
        session = self.world.host("example.org").sessions.resources("romeo")["orchard"]
        self.module.lists.forget("romeo")
        storage = self.slow()
        romeo.send("<message to='paris@remote.example' id='1'/>")
        session.end()
        storage.errback(StoreError("no disk"))
        self.world.pump()
        self.assertEqual(session.intake.handled, 0)

    def test_a_module_that_comes_by_reload_knows_the_lists_of_those_who_are_there(self) -> None:
        romeo = self.arrive(ORCHARD)
        self.block(romeo, MERCUTIO)
        reload(self.world, {"mod_roster": {}})
        reload(self.world, self.modules)
        self.remote.got.clear()
        reads = self.reads()
        romeo.send("<presence/>")
        self.remote.expect()
        self.assertEqual(reads, [])
