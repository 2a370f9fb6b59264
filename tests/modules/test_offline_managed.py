"""What waits, handed to a session whose stream is managed (XEP-0198): it is removed when the client says it has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from federix.core import returning
from federix.modules import offline_catching_up as catching
from federix.modules.offline_deliveries import LEFT_BEHIND
from federix.testing import Client, World
from federix.testing.login import scram_sha_1
from federix.testing.world import PASSWORD

from .offline_case import JULIET, OfflineCase

SM = "xmlns='urn:xmpp:sm:3'"
#: Seconds after which a session that sleeps is over.
RESUME = 30


class ManagedTest(OfflineCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(catching, "PIECE", 2)
        self.patch(catching, "MOST_ON_THE_WAY", 3)
        self.write(*"abcdefgh")

    def new_world(self, **more: Any) -> World:
        management = {"resume_timeout": RESUME, **self.management()}
        modules = {"mod_roster": {}, "mod_offline": {}, "mod_carboncopy": {}, "mod_stream_mgmt": management}
        world = World(modules=modules, **more)
        self.addCleanup(world.stop)
        return world

    def management(self) -> dict[str, Any]:
        return {}

    def managed(self, resource: str = "balcony", presence: str = "<presence/>") -> Client:
        client = self.world.client(f"{JULIET}/{resource}")
        client.send(f"<enable {SM} resume='true'/>")
        self.id = client.expect(f"<enabled {SM}/>").get("id")
        self.has = 0
        client.send(presence)
        self.world.advance(1)
        return client

    def resumed(self) -> Client:
        client = self.world.connect()
        client.open("example.org")
        scram_sha_1(client, "juliet", PASSWORD)
        client.open("example.org")
        client.send(f"<resume {SM} previd='{self.id}' h='{self.has}'/>")
        client.expect(f"<resumed {SM}/>")
        return client

    def read(self, client: Client, *, up_to: int | None = None) -> list[str]:
        """The ids of the messages that have come, the first stanzas of which (or all) are acknowledged."""
        elements = [element for element in client.drain() if element.ns == "jabber:client"]
        self.has += len(elements[:up_to])
        client.send(f"<a {SM} h='{self.has}'/>")
        self.world.advance(1)
        return [element.get("id") or "" for element in elements if element.name == "message"]

    def test_what_is_not_acknowledged_is_not_removed_and_no_more_comes(self) -> None:
        juliet = self.managed()
        self.world.advance(20)
        self.assertEqual((self.got(juliet), self.kept()), (list("abc"), 8))

    def test_what_is_acknowledged_is_removed_and_more_comes(self) -> None:
        juliet = self.managed()
        self.assertEqual([self.read(juliet) for _ in range(4)], [list("abc"), list("def"), list("gh"), []])
        self.assertEqual(self.kept(), 0)

    def test_what_arrives_meanwhile_comes_behind_it(self) -> None:
        juliet = self.managed()
        self.write("i")
        self.assertEqual("".join("".join(self.read(juliet)) for _ in range(5)), "abcdefghi")
        self.assertEqual(self.kept(), 0)

    def test_who_has_a_copy_of_what_waits_behind_it_is_not_handed_that_as_well(self) -> None:
        juliet, phone = self.managed(), self.world.client(f"{JULIET}/phone")
        phone.request("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
        self.write("i")
        phone.send("<presence><priority>0</priority></presence>")
        self.world.advance(1)
        self.assertEqual((self.got(phone), self.kept()), ([""], 9))
        juliet.close()
        self.world.advance(5)
        self.assertEqual((self.got(phone), self.kept()), (list("abcdefgh"), 0))

    def test_who_comes_back_gets_what_was_lost_and_the_rest(self) -> None:
        juliet = self.managed()
        self.assertEqual(self.read(juliet), list("abc"))
        juliet.drain()
        juliet.cut()
        self.write("i")
        self.world.advance(5)
        self.assertEqual(self.kept(), 6)
        juliet = self.resumed()
        self.assertEqual("".join("".join(self.read(juliet)) for _ in range(4)), "defghi")
        self.assertEqual(self.kept(), 0)

    def test_who_does_not_come_back_leaves_what_was_not_acknowledged_once(self) -> None:
        juliet = self.managed()
        self.assertEqual(self.read(juliet), list("abc"))
        juliet.cut()
        self.world.advance(RESUME + 5)
        self.assertEqual((self.errors(), self.kept()), ({}, 5))
        self.assertEqual(self.read(self.managed("garden")), list("def"))

    def test_what_was_acknowledged_last_does_not_come_again(self) -> None:
        juliet = self.managed()
        elements = [element for element in juliet.drain() if element.ns == "jabber:client"]
        juliet.write(f"<a {SM} h='{len(elements) - 1}'/>")
        self.world.pump()
        juliet.cut()
        self.world.advance(RESUME + 5)
        self.assertEqual(self.kept(), 6)
        self.assertEqual(self.read(self.managed("garden")), list("cde"))

    def held_up(self) -> Callable[[], None]:
        """What is called lets go back what sessions that end from now on have not acknowledged."""
        self.patch(returning, "TOGETHER", 1)
        nurse = self.world.client("nurse@example.org/room")
        nurse.send(f"<enable {SM} resume='true'/>")
        logs: Any = self.world.server.storage.logs
        method, gate = logs.append_within, Deferred[None]()

        async def slow(*args: object) -> object:
            await gate
            return await method(*args)

        self.write("z", to="nurse@example.org/room")
        self.patch(logs, "append_within", slow)
        nurse.close()

        def let_go() -> None:
            gate.callback(None)
            self.world.advance(1)

        return let_go

    def test_nor_twice_where_that_takes_long(self) -> None:
        let_go = self.held_up()
        self.managed().cut()
        self.world.advance(RESUME + 2 * LEFT_BEHIND)
        let_go()
        self.assertEqual(self.kept(), 8)

    def test_nor_though_another_session_has_come_and_gone_meanwhile(self) -> None:
        let_go = self.held_up()
        self.managed().cut()
        self.world.advance(RESUME)
        garden = self.managed("garden")
        self.assertEqual(self.read(garden), list("abc"))
        garden.close()
        let_go()
        self.assertEqual(self.kept(), 5)

    def test_another_session_gets_it_once(self) -> None:
        juliet = self.managed()
        self.assertEqual(self.got(juliet), list("abc"))
        garden = self.world.client(f"{JULIET}/garden")
        garden.send("<presence/>")
        juliet.cut()
        self.world.advance(RESUME + 5)
        self.assertEqual((self.got(garden), self.kept(), self.errors()), (list("abcdefgh"), 0, {}))

    def test_though_the_first_did_not_want_it_any_more_before_it_ended(self) -> None:
        for presence in ("<presence type='unavailable'/>", "<presence><priority>-1</priority></presence>"):
            self.world, self.has = self.new_world(), 0
            self.romeo = self.world.client("romeo@example.org/orchard")
            self.world.register(JULIET)
            self.write(*"abcdefgh")
            juliet = self.managed()
            garden = self.world.client(f"{JULIET}/garden")
            garden.send("<presence/>")
            juliet.send(presence)
            juliet.cut()
            self.world.advance(RESUME + 5)
            self.assertEqual((self.got(garden), self.kept(), self.errors()), (list("abcdefgh"), 0, {}))

    def test_what_is_not_for_storage_and_was_held_meanwhile_goes_back(self) -> None:
        juliet = self.managed()
        self.write("x", content="<body>x</body><no-store xmlns='urn:xmpp:hints'/>")
        juliet.cut()
        self.world.advance(RESUME + 5)
        self.assertEqual((self.errors(), self.kept()), ({"x": "cancel service-unavailable"}, 8))

    def test_or_to_another_session_behind_what_waited(self) -> None:
        juliet = self.managed()
        self.write("x", content="<body>x</body><no-store xmlns='urn:xmpp:hints'/>")
        garden = self.world.client(f"{JULIET}/garden")
        garden.send("<presence/>")
        juliet.cut()
        self.world.advance(RESUME + 5)
        self.assertEqual((self.got(garden), self.kept(), self.errors()), ([*"abcdefgh", "x"], 0, {}))

    def test_who_closes_the_stream_leaves_what_was_not_acknowledged(self) -> None:
        self.managed().close()
        self.world.advance(5)
        self.assertEqual(self.got(self.come("garden")), list("abcdefgh"))

    def test_a_crash_loses_nothing_that_was_not_acknowledged(self) -> None:
        juliet = self.managed()
        self.read(juliet, up_to=2)
        self.assertEqual(self.kept(), 8)
        juliet.send(f"<a {SM} h='4'/>")
        self.world.advance(1)
        self.assertEqual(self.kept(), 5)


class NarrowTest(ManagedTest):
    """As much is on its way as its session may have waiting, whatever that is."""

    def management(self) -> dict[str, Any]:
        return {"max_ack_queue": 8}


class NotResentTest(ManagedTest):
    """What waited and was not acknowledged waits on. It is not for its sender, who has been told nothing else."""

    def management(self) -> dict[str, Any]:
        return {"resend_on_timeout": "false"}

    def test_or_to_another_session_behind_what_waited(self) -> None:
        juliet = self.managed()
        self.write("x", content="<body>x</body><no-store xmlns='urn:xmpp:hints'/>")
        garden = self.world.client(f"{JULIET}/garden")
        garden.send("<presence/>")
        juliet.cut()
        self.world.advance(RESUME + 5)
        self.assertEqual((self.got(garden), self.kept()), (list("abcdefgh"), 0))
        self.assertEqual(self.errors(), {"x": "cancel service-unavailable"})


class OneByOneTest(OfflineCase):
    def test_a_session_that_may_have_hardly_anything_waiting_gets_it_all(self) -> None:
        self.world = self.new_world()
        self.romeo = self.world.client("romeo@example.org/orchard")
        self.world.register(JULIET)
        self.write(*"abcdefgh")
        juliet = self.world.client(f"{JULIET}/balcony")
        juliet.send(f"<enable {SM}/><presence/>")
        self.assertEqual((self.got_one_by_one(juliet), self.kept()), (list("abcdefgh"), 0))

    def test_or_fetches_it_all(self) -> None:
        self.world = self.new_world()
        self.romeo = self.world.client("romeo@example.org/orchard")
        self.world.register(JULIET)
        self.write(*"abcdefgh")
        juliet = self.world.client(f"{JULIET}/balcony")
        juliet.send(f"<enable {SM}/>")
        juliet.send("<iq type='get' id='q'><offline xmlns='http://jabber.org/protocol/offline'><fetch/></offline></iq>")
        self.assertEqual(self.got_one_by_one(juliet), list("abcdefgh"))

    def got_one_by_one(self, juliet: Client) -> list[str]:
        got: list[str] = []
        has = 0
        for _ in range(30):
            self.world.advance(1)
            elements = [element for element in juliet.drain() if element.ns == "jabber:client"]
            has += len(elements)
            juliet.send(f"<a {SM} h='{has}'/>")
            got += [element.get("id") or "" for element in elements if element.name == "message"]
        return got

    def new_world(self, **more: Any) -> World:
        modules = {"mod_roster": {}, "mod_offline": {}, "mod_stream_mgmt": {"max_ack_queue": 2}}
        world = World(modules=modules, **more)
        self.addCleanup(world.stop)
        return world


class RemovedTest(OfflineCase):
    def new_world(self, **more: Any) -> World:
        world = World(modules={"mod_roster": {}, "mod_offline": {}, "mod_stream_mgmt": {}}, **more)
        self.addCleanup(world.stop)
        return world

    def test_an_account_leaves_nothing_that_its_client_had_not_taken_to_the_next_of_its_name(self) -> None:
        juliet = self.world.client(f"{JULIET}/balcony")
        juliet.send(f"<enable {SM} resume='true'/><presence/>")
        self.world.advance(1)
        ids = [str(number) for number in range(200)]
        self.write(*ids)
        juliet.cut()
        self.world.run(self.world.host("example.org").accounts.remove("juliet"))
        self.world.register(JULIET)
        self.world.advance(1)
        self.assertEqual((self.kept(), list(self.errors())), (0, ids))
