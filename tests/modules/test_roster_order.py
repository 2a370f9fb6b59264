"""What happens while storage takes its time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from federix.api import JID, Contact, StoreError
from federix.modules.contacts import MOST_WAITING, OF_STRANGERS
from federix.modules.roster import Roster
from federix.testing import World

from .rfc6121 import (
    BOTH,
    FROM,
    MERCUTIO,
    NONE,
    NONE_IN,
    NONE_OUT,
    ROMEO,
    Elsewhere,
    arrive,
    ask_for_roster,
    contact_in,
    keep,
    state_of,
)

ORCHARD, GARDEN = f"{ROMEO}/orchard", f"{ROMEO}/garden"
GET = "<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>"
SET = "<iq type='set' id='s'><query xmlns='jabber:iq:roster'><item jid='nurse@example.org'/></query></iq>"


class SlowStorageTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(modules={"mod_roster": {}})
        self.addCleanup(self.world.stop)
        self.remote = Elsewhere(self.world)
        self.held: list[Deferred[None]] = []
        keep(self.world, ROMEO, MERCUTIO, contact_in(FROM))

    def slow(self, name: str) -> None:
        """From now on that method answers when `go_on` says so."""
        rosters: Any = self.world.server.storage.rosters
        method: Callable[..., Awaitable[object]] = getattr(rosters, name)

        async def later(*args: object) -> object:
            gate: Deferred[None] = Deferred()
            self.held.append(gate)
            await gate
            return await method(*args)

        self.patch(rosters, name, later)

    def go_on(self) -> None:
        while self.held:
            self.held.pop(0).callback(None)
            self.world.pump()

    def contacts(self) -> Any:
        return self.world.host("example.org").module(Roster).contacts

    def test_who_leaves_before_the_contacts_are_known_was_never_there(self) -> None:
        romeo = self.world.client(ORCHARD)
        self.slow("relations")
        romeo.send("<presence/>")
        self.assertEqual(len(self.held), 1)
        romeo.cut()
        self.go_on()
        self.remote.expect()
        self.assertIsNone(self.contacts().circle_now(JID.parse(ROMEO)))

    def test_two_resources_that_come_at_once_ask_storage_once(self) -> None:
        clients = [self.world.client(ORCHARD), self.world.client(GARDEN)]
        self.slow("relations")
        for client in clients:
            client.send("<presence/>")
        self.assertEqual(len(self.held), 1)
        self.go_on()
        self.remote.expect(f"<presence from='{ORCHARD}'/>", f"<presence from='{GARDEN}'/>")

    def test_the_roster_comes_before_the_pushes_that_follow_it(self) -> None:
        orchard, garden = self.world.client(ORCHARD), self.world.client(GARDEN)
        self.slow("relations")
        orchard.send(GET)
        garden.send(SET)
        self.go_on()
        orchard.expect(
            f"<iq type='result' id='g'><query xmlns='jabber:iq:roster'><item jid='{MERCUTIO}'/></query></iq>"
        )
        orchard.expect("<iq type='set'><query xmlns='jabber:iq:roster'><item jid='nurse@example.org'/></query></iq>")
        garden.expect("<iq type='result' id='s'/>")

    def test_a_roster_got_after_a_change_has_it(self) -> None:
        orchard, garden = self.world.client(ORCHARD), self.world.client(GARDEN)
        self.slow("transition")
        garden.send(SET)
        orchard.send(GET)
        self.go_on()
        answer = orchard.expect("<iq type='result' id='g'/>")
        self.assertIn("nurse@example.org", answer.to_xml())
        orchard.nothing()

    def test_changes_are_pushed_in_their_order(self) -> None:
        clients = [arrive(self.world, ORCHARD), arrive(self.world, GARDEN)]
        self.slow("transition")
        for number in range(4):
            for resource, client in enumerate(clients):
                client.send(SET.replace("nurse", f"c{number}{resource}"))
        self.go_on()
        for client in clients:
            pushes = [element for element in client.drain() if element.get("type") == "set"]
            versions = [int(query.get("ver") or "") for push in pushes for query in push.elements()]
            self.assertEqual(versions, list(range(2, 10)))

    def test_what_changes_while_the_contacts_are_being_looked_up_is_not_lost(self) -> None:
        romeo = self.world.client(ORCHARD)
        self.slow("relations")
        romeo.send("<presence/>")
        self.remote.send_later(f"<presence type='unsubscribe' from='{MERCUTIO}' to='{ROMEO}'/>")
        self.go_on()
        self.remote.expect(
            f"<presence from='{ORCHARD}' type='-'/>",
            f"<presence from='{ORCHARD}' type='unavailable'/>",
            "<presence type='unsubscribed'/>",
        )
        romeo.send("<presence/>")
        self.remote.expect()

    def test_who_asks_a_client_waits_until_it_is_known_who_may(self) -> None:
        juliet = self.world.client("juliet@example.org/balcony")
        romeo = self.world.client(ORCHARD)
        self.slow("item")
        juliet.send(f"<iq type='get' id='v' to='{ORCHARD}'><query xmlns='jabber:iq:version'/></iq>")
        self.assertEqual(len(self.held), 1)
        self.go_on()
        juliet.expect("<iq type='error'/>")
        romeo.nothing()

    def test_a_subscription_is_dealt_with_when_its_sender_is_gone(self) -> None:
        """The state is kept, the other side hears, the other resource as well."""
        orchard, garden = arrive(self.world, ORCHARD), arrive(self.world, GARDEN)
        self.remote.got.clear()
        for client in (orchard, garden):
            client.drain()
        self.slow("transition")
        orchard.send(f"<presence to='{MERCUTIO}' type='subscribe'/>")
        orchard.cut()
        self.go_on()
        garden.expect(f"<presence from='{ORCHARD}' type='unavailable'/>")
        garden.expect("<iq type='set'/>")
        self.remote.expect("<presence type='unavailable'/>", f"<presence from='{ROMEO}' type='subscribe'/>")

    def test_what_had_not_begun_by_then_is_dropped(self) -> None:
        orchard, garden = arrive(self.world, ORCHARD), arrive(self.world, GARDEN)
        self.remote.got.clear()
        self.slow("transition")
        orchard.send(f"<presence to='{MERCUTIO}' type='subscribe'/>")
        garden.send(f"<presence to='{MERCUTIO}' type='unsubscribe'/>")
        garden.cut()
        self.go_on()
        self.remote.expect("<presence type='unavailable'/>", f"<presence from='{ROMEO}' type='subscribe'/>")

    def test_both_ask_each_other_while_storage_is_slow(self) -> None:
        juliet, romeo = arrive(self.world, "juliet@example.org/balcony"), arrive(self.world, ORCHARD)
        self.slow("transition")
        for client, contact in ((romeo, "juliet@example.org"), (juliet, ROMEO)):
            client.send(f"<presence to='{contact}' type='subscribe'/><presence to='{contact}' type='subscribed'/>")
        self.go_on()
        for owner, contact in ((ROMEO, "juliet@example.org"), ("juliet@example.org", ROMEO)):
            self.assertEqual(self.state(owner, contact), BOTH)

    def test_who_has_taken_his_request_back_meanwhile_is_shown_nobody(self) -> None:
        juliet = "juliet@example.org"
        keep(self.world, ROMEO, juliet, contact_in(NONE_IN, juliet))
        keep(self.world, juliet, ROMEO, contact_in(NONE_OUT, ROMEO))
        romeo, balcony = arrive(self.world, ORCHARD), arrive(self.world, f"{juliet}/balcony")
        self.slow("transition")
        balcony.send(SET.replace("jid='nurse@example.org'", f"jid='{ROMEO}' subscription='remove'"))
        romeo.send(f"<presence to='{juliet}' type='subscribed'/>")
        self.held.pop().callback(None)  # his is kept, and reaches her account while that is busy with hers
        self.go_on()
        self.assertEqual(self.state(ROMEO, juliet), NONE)
        heard = [element.get("type") for element in balcony.drain() if element.name == "presence"]
        self.assertEqual(heard[-1], "unavailable")

    def test_the_next_owner_of_a_name_finds_nothing_that_waited_for_the_one_before(self) -> None:
        romeo = arrive(self.world, ORCHARD)
        self.slow("transition")
        for number in range(3):
            self.remote.send_later(f"<presence type='subscribe' from='{number}@remote.example' to='{ROMEO}'/>")
        romeo.send(f"<presence to='{MERCUTIO}' type='subscribe'/>")
        self.world.server.scope.spawn(self.world.host("example.org").accounts.remove("romeo"))
        self.remote.got.clear()
        self.go_on()
        self.world.register(ROMEO)
        rosters = self.world.server.storage.rosters
        self.assertEqual(self.world.run(rosters.requests(ROMEO)), {})
        self.assertEqual(self.world.run(rosters.get(ROMEO)).items, [])
        # What had begun was ended, and taken back.
        self.remote.expect(
            f"<presence type='unsubscribed' to='{MERCUTIO}'/>", "<presence type='unsubscribed' to='0@remote.example'/>"
        )
        self.assertEqual(self.contacts()._changing, {})

    def state(self, owner: str, contact: str) -> str:
        item = self.world.run(self.world.server.storage.rosters.item(owner, contact))
        return state_of(Contact(item))

    def test_strangers_leave_the_account_its_turns(self) -> None:
        """However many there are: what is the account's own is done behind the few of theirs that may wait."""
        romeo = arrive(self.world, ORCHARD)
        garden = self.world.client(GARDEN)
        self.remote.got.clear()
        self.slow("transition")
        for number in range(MOST_WAITING + OF_STRANGERS.most):
            self.remote.send_later(f"<presence type='subscribe' from='{number}@remote.example' to='{ROMEO}'/>")
        garden.send(GET)
        garden.send("<presence/>")
        romeo.send(SET)
        self.go_on()
        requests = [element for element in romeo.drain() if element.get("type") == "subscribe"]
        self.assertEqual(len(requests), OF_STRANGERS.most)
        self.assertIn("result", [element.get("type") for element in garden.drain()])
        self.assertEqual(self.world.run(self.world.server.storage.rosters.count(ROMEO)), 2)
        # Nobody was told that there was no room: of an account that does not exist nothing is told either.
        self.remote.expect(f"<presence from='{GARDEN}'/>")

    def test_an_account_that_is_not_here_has_them_as_well(self) -> None:
        self.world.register(ROMEO)
        self.slow("transition")
        for number in range(MOST_WAITING + OF_STRANGERS.most):
            self.remote.send_later(f"<presence type='subscribe' from='{number}@remote.example' to='{ROMEO}'/>")
        romeo = self.world.client(ORCHARD)
        romeo.send(GET)
        romeo.send(SET)
        romeo.send("<presence/>")
        self.go_on()
        self.assertEqual([e.get("type") for e in romeo.drain() if e.name == "iq"], ["result", "set", "result"])

    def test_strangers_leave_contacts_their_turns(self) -> None:
        arrive(self.world, ORCHARD)
        self.slow("transition")
        for number in range(OF_STRANGERS.most + 1):
            self.remote.send_later(f"<presence type='subscribe' from='{number}@remote.example' to='{ROMEO}'/>")
        self.remote.send_later(f"<presence type='unsubscribe' from='{MERCUTIO}' to='{ROMEO}'/>")
        self.go_on()
        self.assertEqual(self.state(ROMEO, MERCUTIO), NONE)

    def test_what_changes_nothing_takes_no_turn(self) -> None:
        keep(self.world, ROMEO, "asked@remote.example", contact_in(NONE_OUT, "asked@remote.example"))
        keep(self.world, ROMEO, "asking@remote.example", contact_in(NONE_IN, "asking@remote.example"))
        romeo = arrive(self.world, ORCHARD)
        romeo.drain()
        self.remote.got.clear()
        self.slow("transition")
        for name, kinds in (
            ("stranger", ("unsubscribe", "subscribed", "unsubscribed")),
            ("asking", ("subscribe", "subscribed", "unsubscribed")),
            ("asked", ("unsubscribe",)),
            ("mercutio", ("subscribed", "unsubscribed")),
        ):
            for kind in kinds:
                self.remote.send_later(f"<presence type='{kind}' from='{name}@remote.example' to='{ROMEO}'/>")
        self.assertEqual(self.held, [])
        for name, kind in (("asking", "unsubscribe"), ("asked", "subscribed"), ("mercutio", "subscribe")):
            self.remote.send_later(f"<presence type='{kind}' from='{name}@remote.example' to='{ROMEO}'/>")
            self.assertEqual(len(self.held), 1, kind)
            self.go_on()

    def test_what_changes_nothing_yet_waits_for_what_does(self) -> None:
        romeo = arrive(self.world, ORCHARD)
        self.slow("transition")
        for kind in ("subscribe", "unsubscribe"):
            self.remote.send_later(f"<presence type='{kind}' from='stranger@remote.example' to='{ROMEO}'/>")
        self.go_on()
        self.assertEqual([element.get("type") for element in romeo.drain()], ["subscribe", "unsubscribe"])
        self.assertEqual(self.world.run(self.world.server.storage.rosters.request_count(ROMEO)), 0)
        self.assertEqual(self.contacts()._changing, {})

    def test_a_request_that_was_granted_ahead_is_no_repetition(self) -> None:
        asking = "asking@remote.example"
        keep(self.world, ROMEO, asking, contact_in(NONE_IN, asking, approved=True))
        arrive(self.world, ORCHARD)
        self.remote.got.clear()
        self.remote.send(f"<presence type='subscribe' from='{asking}' to='{ROMEO}'/>")
        self.remote.expect("<presence type='subscribed'/>", f"<presence from='{ORCHARD}'/>")

    def test_presence_that_finds_no_storage_comes_back(self) -> None:
        romeo = self.world.client(ORCHARD)

        async def broken(owner: str) -> None:
            raise StoreError("it is gone")

        self.patch(self.world.server.storage.rosters, "relations", broken)
        romeo.send("<presence/>")
        romeo.expect("<presence type='error'><error type='wait'/></presence>")
        answer = ask_for_roster(romeo)
        self.assertEqual(answer.get("type"), "error")
