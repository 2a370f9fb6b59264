"""How many subscription stanzas one may send, and what becomes of those who send more."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from federix.api import JID, Contact, Element, Handled, Module, Presence, hooks
from federix.modules.subscriptions import (
    CROWDED,
    MOST_IN_A_CROWD,
    MOST_REFUSED,
    PAUSE_AFTER_REFUSAL,
    REFUSED_FOR,
    TIME_TO_READ_WHY,
)
from federix.testing import Client, World
from federix.testing.match import mismatch, parse

from .neighbours import reload
from .rfc6121 import ROMEO, Elsewhere, arrive, kept

JULIET = "juliet@example.org"
REFUSED = (
    "<presence type='error' from='{0}' to='*'><error type='wait'>"
    "<resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>"
)
ENDED = (
    "<error xmlns='http://etherx.jabber.org/streams'>"
    "<policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></error>"
)


def contact(number: int) -> str:
    return f"{number}@remote.example"


def ask(client: Client, first: int, last: int) -> None:
    """Ask these contacts, in one go."""
    client.send("".join(f"<presence to='{contact(n)}' type='subscribe'/>" for n in range(first, last)))


def refused(elements: list[Element]) -> int:
    """How many of these are refusals."""
    return sum(element.get("type") == "error" for element in elements)


class AllowanceTest(SynchronousTestCase):
    def setUp(self) -> None:
        settings = {"max_subscriptions_at_once": 3, "max_subscriptions_per_minute": 6}
        self.world = World(modules={"mod_roster": settings})
        self.addCleanup(self.world.stop)
        self.remote = Elsewhere(self.world)
        self.romeo = arrive(self.world, f"{ROMEO}/orchard", presence=None)

    def test_what_is_too_much_is_refused_and_changes_nothing(self) -> None:
        ask(self.romeo, 0, 4)
        for _ in range(3):
            self.romeo.expect("<iq type='set'/>")
        self.romeo.expect(REFUSED.format(contact(3)))
        self.romeo.nothing()
        self.remote.expect(*(f"<presence to='{contact(n)}' type='subscribe'/>" for n in range(3)))
        self.assertEqual(kept(self.world, ROMEO, contact(3)), Contact())

    def test_each_of_the_four_kinds_counts(self) -> None:
        for kind in ("subscribe", "subscribed", "unsubscribe", "unsubscribed"):
            self.romeo.send(f"<presence to='{contact(0)}' type='{kind}'/>")
        self.assertEqual(refused(self.romeo.drain()), 1)

    def test_other_presence_and_changes_of_the_roster_do_not_count(self) -> None:
        self.romeo.send("<presence/>" * 10)
        self.romeo.send(f"<presence to='{contact(9)}'/>" * 10)
        for n in range(10):
            self.romeo.request(
                f"<iq type='set' id='{n}'><query xmlns='jabber:iq:roster'><item jid='{n}@a'/></query></iq>"
            )
        ask(self.romeo, 0, 3)
        self.assertEqual(refused(self.romeo.drain()), 0)

    def test_who_waits_may_go_on(self) -> None:
        ask(self.romeo, 0, 4)
        self.romeo.drain()
        self.world.advance(10.5)
        ask(self.romeo, 3, 5)
        self.assertEqual(refused(self.romeo.drain()), 1)
        self.assertEqual(len(self.remote.got), 4)

    def test_all_sessions_of_an_account_have_one_allowance_and_so_has_who_comes_again(self) -> None:
        ask(self.romeo, 0, 3)
        self.romeo.drain()
        other = arrive(self.world, f"{ROMEO}/garden", presence=None)
        ask(other, 3, 4)
        other.expect(REFUSED.format(contact(3)))
        for client in (self.romeo, other):
            client.close()
        again = arrive(self.world, f"{ROMEO}/orchard", presence=None)
        ask(again, 4, 5)
        again.expect(REFUSED.format(contact(4)))

    def test_others_have_their_own(self) -> None:
        ask(self.romeo, 0, 10)
        juliet = arrive(self.world, f"{JULIET}/balcony", presence=None)
        ask(juliet, 0, 3)
        self.assertEqual(refused(juliet.drain()), 0)

    def test_what_is_allowed_can_be_changed_while_it_runs(self) -> None:
        ask(self.romeo, 0, 3)
        self.romeo.drain()
        reload(self.world, {"mod_roster": {"max_subscriptions_at_once": 5}})
        ask(self.romeo, 3, 6)
        self.assertEqual(refused(self.romeo.drain()), 1)

    def test_who_goes_on_all_the_same_is_ended(self) -> None:
        ask(self.romeo, 0, 3 + MOST_REFUSED)
        self.assertEqual(refused(self.romeo.drain()), MOST_REFUSED)
        ask(self.romeo, 1000, 1010)
        last = self.romeo.receive()
        self.assertIsNone(mismatch(parse(ENDED), last), last)
        self.assertEqual(self.world.host("example.org").sessions.of("romeo"), [])
        self.assertEqual(len(self.world.wires), 1)
        self.world.advance(TIME_TO_READ_WHY)
        self.assertEqual(self.world.wires, [])

    def test_who_pauses_for_a_while_is_not(self) -> None:
        for _ in range(3):
            ask(self.romeo, 0, MOST_REFUSED)
            self.romeo.drain()
            self.world.advance(REFUSED_FOR)
        ask(self.romeo, 0, 1)
        self.assertEqual(len(self.world.host("example.org").sessions.of("romeo")), 1)


class WholeRosterTest(SynchronousTestCase):
    def test_a_roster_of_five_hundred_is_brought_along_at_once(self) -> None:
        """With the usual settings, by a client that asks each and grants each ahead."""
        world = World(modules={"mod_roster": {}})
        self.addCleanup(world.stop)
        remote = Elsewhere(world)
        romeo = arrive(world, f"{ROMEO}/orchard", presence=None)
        for n in range(500):
            romeo.send(f"<presence to='{contact(n)}' type='subscribe'/><presence to='{contact(n)}' type='subscribed'/>")
        self.assertEqual(refused(romeo.drain()), 0)
        self.assertEqual(len(remote.got), 500)


class Held(Module):
    """Holds what comes for Juliet."""

    name = "mod_held"

    async def on_start(self) -> None:
        self.gate: Deferred[None] = Deferred()

    @hooks.roster_in_subscription
    async def hold(self, account: JID, stanza: Presence) -> Handled | None:
        if account.local == "juliet":
            await self.gate
        return None


class CrowdTest(SynchronousTestCase):
    """Many have subscription stanzas on their way."""

    def setUp(self) -> None:
        self.world = World(modules={"mod_held": {}, "mod_roster": {}}, own_modules={"mod_held": Held})
        self.addCleanup(self.world.stop)
        Elsewhere(self.world)
        self.world.register(JULIET)
        self.romeo = arrive(self.world, f"{ROMEO}/orchard", presence=None)

    def crowd(self, many: int) -> None:
        for number in range(many):
            client = self.world.client(f"user{number}@example.org/x")
            client.send(f"<presence to='{JULIET}' type='subscribe'/>")

    def test_who_has_sent_few_may_send_and_who_has_sent_many_must_wait(self) -> None:
        self.crowd(CROWDED + 1)
        ask(self.romeo, 0, MOST_IN_A_CROWD)
        self.assertEqual(refused(self.romeo.drain()), 0)
        ask(self.romeo, 500, 501)
        self.romeo.expect(REFUSED.format(contact(500)))
        self.world.host("example.org").module(Held).gate.callback(None)
        ask(self.romeo, 501, 502)
        self.romeo.expect(REFUSED.format(contact(501)))
        self.world.advance(PAUSE_AFTER_REFUSAL)
        ask(self.romeo, 502, 503)
        self.romeo.expect("<iq type='set'/>")

    def test_a_few_are_no_crowd(self) -> None:
        self.crowd(CROWDED)
        ask(self.romeo, 0, MOST_IN_A_CROWD + 1)
        self.assertEqual(refused(self.romeo.drain()), 0)
        self.world.host("example.org").module(Held).gate.callback(None)
