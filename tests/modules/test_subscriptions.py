from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from federix.api import JID, Contact, Handled, Module, Presence, RosterItem, StoreError, hooks
from federix.modules.requests import AGAIN, MOST_STATUS, PAUSE, PIECE, PIECE_BYTES, to_keep
from federix.testing import World
from federix.testing.match import parse

from .neighbours import worries
from .rfc6121 import (
    APPROVED,
    BOTH,
    FROM,
    INBOUND,
    MERCUTIO,
    NONE,
    NONE_IN,
    NONE_OUT,
    OUTBOUND,
    ROMEO,
    SEEN,
    TO,
    Elsewhere,
    Row,
    arrive,
    ask_for_roster,
    befriend,
    contact_in,
    keep,
    kept,
    method_name,
    set_item,
    state_of,
)

JULIET = "juliet@example.org"
#: Resources of Romeo's that are available, in the tests of the tables.
AVAILABLE = ("both", "available")
#: A stanza error of that condition.
REFUSED = "<presence type='error'><error><{0} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>"
PUSH = "<iq type='set' from='{0}' to='*'><query xmlns='jabber:iq:roster' ver='*'>{1}</query></iq>"


def push(item: str, owner: str = ROMEO) -> str:
    return PUSH.format(owner, item)


def item_of(contact: Contact) -> str:
    """The item as it must be pushed."""
    item = contact.item
    assert item is not None
    ask, approved = "subscribe" if item.ask else "-", "true" if item.approved else "-"
    return f"<item jid='{item.jid}' subscription='{item.subscription}' ask='{ask}' approved='{approved}'/>"


class TablesCase(SynchronousTestCase):
    """Romeo has three clients: one that is available and interested, one that is interested alone, one available alone.
    For each row of the tables there is a contact elsewhere, who is in that row's state. All rows share one world.
    """

    TABLE: ClassVar[dict[str, dict[str, Row]]]

    @classmethod
    def setUpClass(cls) -> None:
        cls.world = World(modules={"mod_roster": {}})
        cls.remote = Elsewhere(cls.world)
        for kind, rows in cls.TABLE.items():
            for state in rows:
                contact = contact_of(kind, state)
                keep(cls.world, ROMEO, contact, contact_in(state, contact))
        cls.both = arrive(cls.world, f"{ROMEO}/both")
        cls.interested = arrive(cls.world, f"{ROMEO}/interested", presence=None)
        cls.available = arrive(cls.world, f"{ROMEO}/available", interested=False)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.world.stop()

    def setUp(self) -> None:
        for client in (self.both, self.interested, self.available):
            client.drain()
        self.remote.got.clear()

    def check_kept(self, contact: str, before: Contact, old: str, row: Row) -> Contact:
        after = kept(self.world, ROMEO, contact)
        if row.new is None:
            self.assertEqual(after, before)
        elif row.new == APPROVED:
            self.assertEqual(after.item and after.item.approved, True)
            self.assertEqual(state_of(after), old)
        else:
            self.assertEqual(state_of(after), row.new)
        return after


def contact_of(kind: str, state: str) -> str:
    """The contact for a row; for the state "" somebody who is not in the roster."""
    return f"{method_name(kind, state)}@remote.example"


class OutboundTablesTest(TablesCase):
    """A.2: what the user sends. The tests are made below, one for each row."""

    TABLE = OUTBOUND

    def check(self, kind: str, old: str, row: Row, contact: str) -> None:
        before = kept(self.world, ROMEO, contact)
        self.both.send(f"<presence to='{contact}/pda' type='{kind}' id='s1'/>")
        after = self.check_kept(contact, before, old, row)
        unavailable = [f"<presence from='{ROMEO}/{r}' to='{contact}' type='unavailable'/>" for r in AVAILABLE]
        available = [f"<presence from='{ROMEO}/{r}' to='{contact}' type='-'/>" for r in AVAILABLE]
        self.remote.expect(
            *(unavailable if kind == "unsubscribed" and old in SEEN else ()),
            *([f"<presence from='{ROMEO}' to='{contact}' type='{kind}' id='s1'/>"] if row.passes else ()),
            *(available if kind == "subscribed" and row.passes else ()),
        )
        for client in (self.both, self.interested):
            if after.item != before.item:
                client.expect(push(item_of(after)))
            client.nothing()
        self.available.nothing()


class InboundTablesTest(TablesCase):
    """A.3: what the contact sends."""

    TABLE = INBOUND

    def check(self, kind: str, old: str, row: Row, contact: str) -> None:
        before = kept(self.world, ROMEO, contact)
        status = "<status>!</status>"
        self.remote.send(f"<presence from='{contact}/pda' to='{ROMEO}' type='{kind}' id='s1'>{status}</presence>")
        after = self.check_kept(contact, before, old, row)
        unavailable = [f"<presence from='{ROMEO}/{r}' to='{contact}' type='unavailable'/>" for r in AVAILABLE]
        available = [f"<presence from='{ROMEO}/{r}' to='{contact}' type='-'/>" for r in AVAILABLE]
        self.remote.expect(
            *(unavailable if kind == "unsubscribe" and old in SEEN else ()),
            *([f"<presence from='{ROMEO}' to='{contact}' type='{row.reply}' id='s1'/>"] if row.reply else ()),
            *(available if row.reply == "subscribed" else ()),
        )
        delivered = f"<presence from='{contact}' to='{ROMEO}' type='{kind}' id='s1'>{status}</presence>"
        those = (self.both, self.available) if kind == "subscribe" else (self.both, self.interested)
        for client in (self.both, self.interested, self.available):
            if row.passes and client in those:
                # §3.1.6: "This MUST occur before sending the roster push".
                client.expect(delivered)
            if after.item != before.item and client is not self.available:
                client.expect(push(item_of(after)))
            client.nothing()


def _row_test(kind: str, old: str, row: Row, contact: str) -> Callable[[OutboundTablesTest], None]:
    def test(self: OutboundTablesTest) -> None:
        self.check(kind, old, row, contact)

    return test


def _make_tests(case: type[TablesCase]) -> None:
    for kind, rows in case.TABLE.items():
        for old, row in rows.items():
            setattr(case, method_name(kind, "in state", old), _row_test(kind, old, row, contact_of(kind, old)))
        test = _row_test(kind, NONE, rows[NONE], contact_of(kind, ""))
        setattr(case, method_name(kind, "and no item"), test)


_make_tests(OutboundTablesTest)
_make_tests(InboundTablesTest)


class RequestsTest(SynchronousTestCase):
    """§3.1."""

    def setUp(self) -> None:
        self.world = World(modules={"mod_roster": {"max_requests": 2, "max_items": 3, "max_request_size": 300}})
        self.addCleanup(self.world.stop)
        self.remote = Elsewhere(self.world)

    def ask(self, contact: str = MERCUTIO, content: str = "") -> None:
        self.remote.send(f"<presence from='{contact}' to='{ROMEO}' type='subscribe' id='r1'>{content}</presence>")

    def test_it_waits_for_an_available_resource_and_for_each_until_it_is_answered(self) -> None:
        """§3.1.3: "MUST keep a record of the complete presence stanza"."""
        self.world.register(ROMEO)
        self.ask(content="<nick xmlns='http://jabber.org/protocol/nick'>Mercutio</nick>")
        asked = (
            f"<presence from='{MERCUTIO}' to='{ROMEO}' type='subscribe' id='r1'>"
            "<nick xmlns='http://jabber.org/protocol/nick'>Mercutio</nick></presence>"
        )
        for resource in ("orchard", "garden"):
            client = self.world.client(f"{ROMEO}/{resource}")
            ask_for_roster(client)
            client.nothing()
            client.send("<presence/>")
            client.expect_all(asked, "<presence type='-'/>", *["<presence type='-'/>"] * (resource == "garden"))
            client.send("<presence><show>away</show></presence>")
            client.expect("<presence type='-'/>")
            client.nothing()
        client.send(f"<presence to='{MERCUTIO}' type='unsubscribed'/>")
        client.close()
        client = self.world.client(f"{ROMEO}/park")
        client.send("<presence/>")
        self.assertNotIn("subscribe", [element.get("type") for element in client.drain()])

    def test_only_one_of_several_is_delivered(self) -> None:
        """§3.1.3: "MUST deliver only one of the requests when the contact next has an available resource"."""
        self.world.register(ROMEO)
        for status in ("first", "second"):
            self.ask(content=f"<status>{status}</status>")
        client = self.world.client(f"{ROMEO}/orchard")
        client.send("<presence/>")
        client.expect("<presence type='-'/>")
        client.expect("<presence type='subscribe'><status>first</status></presence>")
        client.nothing()

    def test_no_item_is_made_for_it(self) -> None:
        client = arrive(self.world, f"{ROMEO}/orchard")
        self.ask()
        client.drain()
        query = ask_for_roster(client).first()
        assert query is not None
        self.assertEqual(query.children, [])

    def test_no_more_of_strangers_wait_than_may(self) -> None:
        client = arrive(self.world, f"{ROMEO}/orchard")
        for name in "abc":
            self.ask(f"{name}@remote.example")
        self.assertEqual([e.get("from") for e in client.drain()], ["a@remote.example", "b@remote.example"])
        client.close()
        self.ask("c@remote.example")
        self.assertEqual(self.world.run(self.world.server.storage.rosters.request_count(ROMEO)), 2)

    def test_the_bound_is_not_for_those_in_the_roster(self) -> None:
        keep(self.world, ROMEO, MERCUTIO, contact_in(TO))
        self.world.register(ROMEO)
        for contact in ("a@remote.example", "b@remote.example", MERCUTIO):
            self.ask(contact)
        self.assertIsNotNone(kept(self.world, ROMEO, MERCUTIO).request)

    def test_of_a_large_one_what_fits_in_is_kept(self) -> None:
        client = arrive(self.world, f"{ROMEO}/orchard")
        nick = "<nick xmlns='http://jabber.org/protocol/nick'>Mercutio</nick>"
        self.ask(content=f"<x xmlns='urn:x'>{'x' * 300}</x>{nick}")
        self.assertEqual(len(list(client.receive().elements())), 2)
        client = self.world.client(f"{ROMEO}/garden")
        client.send("<presence/>")
        (found,) = [element for element in client.drain() if element.get("type") == "subscribe"]
        self.assertEqual([element.name for element in found.elements()], ["nick"])
        self.assertEqual(found.get("id"), "r1")

    def test_how_one_is_cut(self) -> None:
        """As little as need be, to the byte; its addresses stay whatever they are."""

        def cut(content: str, most: int, id: str = "r1") -> str:
            xml = f"<presence from='{MERCUTIO}' to='{ROMEO}' type='subscribe' id='{id}'>{content}</presence>"
            return to_keep(Presence(parse(xml)), most).decode()

        bare = cut("", 0)
        self.assertEqual(parse(bare), Presence(parse(bare)).element)
        status = f"<status>{'x' * 1000}</status>"
        self.assertEqual(cut(status, 0), bare)
        self.assertIn(f"<status>{'x' * 1000}</status>", cut(status, 2000))
        shortened = cut(status, 1000)
        self.assertIn(f"<status>{'x' * MOST_STATUS}</status>", shortened)
        self.assertEqual(cut(status, len(shortened)), shortened)
        self.assertEqual(cut(status, len(shortened) - 1), bare)
        for content in (f"{status}<a xmlns='urn:x'/>", f"<a xmlns='urn:x'/>{status}"):
            self.assertEqual(parse(cut(content, len(bare) + 30)), parse(cut("<a xmlns='urn:x'/>", 2000)))
        self.assertEqual(cut("", 500, "i" * 1000), cut("", 0, "i" * 1000))
        self.assertNotIn("id=", cut("", 500, "i" * 1000))

    def test_many_are_handed_over_in_pieces(self) -> None:
        """So that no client's queue overflows when it comes, and it can never come again."""
        requests = [f"{number:03}@remote.example" for number in range(2 * PIECE + 5)]
        for contact in requests:
            keep(self.world, ROMEO, contact, Contact(None, contact_in(NONE_IN, contact).request))
        client = self.world.client(f"{ROMEO}/orchard")
        client.send("<presence/>")
        counts = []
        for _ in range(4):
            counts.append(len([element for element in client.drain() if element.get("type") == "subscribe"]))
            self.world.advance(PAUSE + 0.001)
        self.assertEqual(counts, [PIECE, PIECE, 5, 0])

    def test_large_ones_of_old_are_handed_over_in_smaller_pieces(self) -> None:
        for number in range(8):
            contact = f"{number}@remote.example"
            start = f"<presence xmlns='jabber:client' from='{contact}' type='subscribe'><status>"
            stanza = start + "x" * (PIECE_BYTES // 2) + "</status></presence>"
            keep(self.world, ROMEO, contact, Contact(None, stanza.encode()))
        client = self.world.client(f"{ROMEO}/orchard")
        client.send("<presence/>")
        counts = []
        for _ in range(4):
            counts.append(len([element for element in client.drain() if element.get("type") == "subscribe"]))
            self.world.advance(PAUSE + 0.001)
        self.assertEqual(counts, [2, 2, 2, 2])

    def test_they_are_handed_over_when_storage_is_back(self) -> None:
        keep(self.world, ROMEO, MERCUTIO, contact_in(NONE_IN, MERCUTIO))

        async def fail(owner: str) -> None:
            raise StoreError("it is gone")

        broken = self.patch(self.world.server.storage.rosters, "requests", fail)
        client, other = (self.world.client(f"{ROMEO}/{resource}") for resource in ("orchard", "garden"))
        for each in (client, other):
            each.send("<presence/>")
        other.send("<presence type='unavailable'/>")
        self.world.advance(1)
        for each in (client, other):
            self.assertNotIn("subscribe", [element.get("type") for element in each.drain()])
        broken.restore()
        self.world.advance(2 * AGAIN)
        self.assertEqual([element.get("type") for element in client.drain()], ["subscribe"])
        other.nothing()

    def test_those_answered_meanwhile_are_not_handed_over(self) -> None:
        for number in range(PIECE + 3):
            contact = f"{number:03}@remote.example"
            keep(self.world, ROMEO, contact, Contact(None, contact_in(NONE_IN, contact).request))
        client = self.world.client(f"{ROMEO}/orchard")
        client.send("<presence/>")
        client.send(f"<presence to='{PIECE:03}@remote.example' type='unsubscribed'/>")
        client.drain()
        self.world.advance(1)
        self.assertEqual(len(client.drain()), 2)

    def test_who_leaves_gets_no_more_and_who_comes_again_gets_them_once(self) -> None:
        for number in range(2 * PIECE):
            contact = f"{number:03}@remote.example"
            keep(self.world, ROMEO, contact, Contact(None, contact_in(NONE_IN, contact).request))
        client = self.world.client(f"{ROMEO}/orchard")
        client.send("<presence/><presence type='unavailable'/>")
        client.drain()
        self.world.advance(1)
        client.nothing()
        client.send("<presence/><presence type='unavailable'/><presence/>")
        client.drain()
        self.world.advance(1)
        self.assertEqual(len(client.drain()), PIECE)

    def test_to_a_full_jid_it_is_for_the_account(self) -> None:
        """§3.1.3: "SHOULD treat it as if the request had been directed to the contact's bare JID"."""
        client = arrive(self.world, f"{ROMEO}/orchard")
        for resource in ("orchard", "nowhere"):
            self.remote.send(f"<presence from='{resource}@remote.example' to='{ROMEO}/{resource}' type='subscribe'/>")
            client.expect(f"<presence from='{resource}@remote.example' to='{ROMEO}' type='subscribe'/>")

    def test_those_who_were_in_the_roster_when_they_asked_are_no_way_round_that(self) -> None:
        client = arrive(self.world, f"{ROMEO}/orchard")
        for name in ("a", "b", "c", "d"):
            contact = f"{name}@remote.example"
            set_item(client, f"<item jid='{contact}'/>")
            self.ask(contact)
            self.remote.got.clear()
            set_item(client, f"<item jid='{contact}' subscription='remove'/>")
        self.assertLessEqual(self.world.run(self.world.server.storage.rosters.request_count(ROMEO)), 2)
        # Nobody waits for what he will never get.
        self.remote.expect("<presence to='d@remote.example' type='unsubscribed'/>")

    def test_for_nobody_it_is_ignored(self) -> None:
        """§8.5.1."""
        for kind in ("subscribe", "subscribed", "unsubscribe", "unsubscribed"):
            self.remote.send(f"<presence from='{MERCUTIO}' to='nobody@example.org' type='{kind}'/>")
        self.remote.expect()
        self.assertEqual(self.world.run(self.world.server.storage.rosters.request_count("nobody@example.org")), 0)

    def test_one_that_cannot_be_delivered_comes_back(self) -> None:
        """§3.1.2: "the user's server MUST return an appropriate error stanza to the user"."""
        client = arrive(self.world, f"{ROMEO}/orchard")
        client.send("<presence to='nurse@gone.example' type='subscribe' id='s1'/>")
        client.expect(push("<item jid='nurse@gone.example' subscription='none' ask='subscribe'/>"))
        client.expect(
            f"<presence from='nurse@gone.example' to='{ROMEO}' type='error' id='s1'><error type='cancel'>"
            "<remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>"
        )

    def test_one_to_no_jid_is_malformed(self) -> None:
        client = arrive(self.world, f"{ROMEO}/orchard")
        client.send("<presence to='@remote.example' type='subscribe'/>")
        client.expect(REFUSED.format("jid-malformed"))

    def test_it_is_sent_again_until_it_is_answered(self) -> None:
        """§3.1.2: "whenever a new resource becomes available for the user"; once is enough while one is."""
        client = arrive(self.world, f"{ROMEO}/orchard")
        client.send(f"<presence to='{MERCUTIO}' type='subscribe'/>")
        client.send(f"<presence to='{JULIET}' type='subscribe'/>")
        self.remote.got.clear()
        other = arrive(self.world, f"{ROMEO}/garden")
        self.remote.expect()
        for each in (client, other):
            each.close()
        arrive(self.world, f"{ROMEO}/orchard")
        self.remote.expect(f"<presence from='{ROMEO}' to='{MERCUTIO}' type='subscribe' id='*'/>")

    def test_what_storage_lost_on_the_same_host_is_asked_again(self) -> None:
        """A request that could not be kept for the contact, and then a grant that could not be kept for the user."""
        rosters: Any = self.world.server.storage.rosters
        transition = rosters.transition

        def fail_for(lost: str) -> None:
            async def failing(owner: str, *args: object) -> object:
                if owner == lost:
                    raise StoreError("it is gone")
                return await transition(owner, *args)

            rosters.transition = failing

        romeo, juliet = arrive(self.world, f"{ROMEO}/orchard"), arrive(self.world, f"{JULIET}/balcony")
        fail_for(JULIET)
        romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
        juliet.nothing()
        rosters.transition = transition
        romeo.close()
        romeo = arrive(self.world, f"{ROMEO}/orchard")
        juliet.expect(f"<presence from='{ROMEO}' type='subscribe'/>")
        fail_for(ROMEO)
        juliet.send(f"<presence to='{ROMEO}' type='subscribed'/>")
        self.assertEqual(state_of(kept(self.world, JULIET, ROMEO)), FROM)
        rosters.transition = transition
        romeo.close()
        arrive(self.world, f"{ROMEO}/orchard")
        self.assertEqual(state_of(kept(self.world, ROMEO, JULIET)), TO)

    def test_that_the_one_sent_again_cannot_be_delivered_is_nobodys_affair(self) -> None:
        keep(self.world, ROMEO, "nurse@gone.example", contact_in(NONE_OUT, "nurse@gone.example"))
        client = self.world.client(f"{ROMEO}/orchard")
        client.send("<presence/>")
        client.expect("<presence type='-'/>")
        client.nothing()

    def test_a_full_roster_takes_no_more(self) -> None:
        client = arrive(self.world, f"{ROMEO}/orchard")
        for name in "abcd":
            client.send(f"<presence to='{name}@remote.example' type='subscribe'/>")
        self.assertEqual([element.name for element in client.drain()], ["iq", "iq", "iq", "presence"])
        self.remote.expect(*["<presence type='subscribe'/>"] * 3)

    def test_one_asks_nothing_of_oneself(self) -> None:
        client = arrive(self.world, f"{ROMEO}/orchard")
        for kind in ("subscribe", "subscribed", "unsubscribe", "unsubscribed"):
            client.send(f"<presence to='{ROMEO}/x' type='{kind}'/>")
            client.expect(REFUSED.format("not-allowed"))
        self.remote.send(f"<presence from='{ROMEO}' to='{ROMEO}' type='subscribe'/>")
        client.nothing()


class BetweenUsersTest(SynchronousTestCase):
    """Both are here."""

    def setUp(self) -> None:
        self.world = World(modules={"mod_roster": {}})
        self.addCleanup(self.world.stop)
        self.romeo = arrive(self.world, f"{ROMEO}/orchard")
        self.juliet = arrive(self.world, f"{JULIET}/balcony")

    def test_a_mutual_subscription(self) -> None:
        self.romeo.send(f"<presence to='{JULIET}' type='subscribe' id='s1'/>")
        self.romeo.expect(push(f"<item jid='{JULIET}' subscription='none' ask='subscribe'/>"))
        self.juliet.expect(f"<presence from='{ROMEO}' to='{JULIET}' type='subscribe' id='s1'/>")
        self.juliet.send(f"<presence to='{ROMEO}' type='subscribed'/>")
        self.juliet.expect(push(f"<item jid='{ROMEO}' subscription='from' ask='-'/>", JULIET))
        self.romeo.expect(f"<presence from='{JULIET}' to='{ROMEO}' type='subscribed'/>")
        self.romeo.expect(push(f"<item jid='{JULIET}' subscription='to' ask='-'/>"))
        self.romeo.expect(f"<presence from='{JULIET}/balcony' to='{ROMEO}' type='-'/>")
        self.juliet.send(f"<presence to='{ROMEO}' type='subscribe'/>")
        self.juliet.expect(push(f"<item jid='{ROMEO}' subscription='from' ask='subscribe'/>", JULIET))
        self.romeo.expect("<presence type='subscribe'/>")
        self.romeo.send(f"<presence to='{JULIET}' type='subscribed'/>")
        self.romeo.expect(push(f"<item jid='{JULIET}' subscription='both' ask='-'/>"))
        self.juliet.expect("<presence type='subscribed'/>")
        self.juliet.expect(push(f"<item jid='{ROMEO}' subscription='both' ask='-'/>", JULIET))
        self.juliet.expect(f"<presence from='{ROMEO}/orchard' to='{JULIET}' type='-'/>")
        for client in (self.romeo, self.juliet):
            client.nothing()
        self.romeo.send("<presence><show>away</show></presence>")
        self.juliet.expect(f"<presence from='{ROMEO}/orchard'><show>away</show></presence>")

    def test_a_request_is_pushed_before_it_is_granted_ahead(self) -> None:
        """§2.6.3: "Roster pushes MUST occur in order of modification"."""
        self.juliet.send(f"<presence to='{ROMEO}' type='subscribed'/>")
        self.juliet.expect(push(f"<item jid='{ROMEO}' subscription='none' approved='true'/>", JULIET))
        self.romeo.nothing()
        self.romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
        self.romeo.expect(push(f"<item jid='{JULIET}' subscription='none' ask='subscribe'/>"))
        self.romeo.expect("<presence type='subscribed'/>")
        self.romeo.expect(push(f"<item jid='{JULIET}' subscription='to' ask='-'/>"))
        self.romeo.expect(f"<presence from='{JULIET}/balcony'/>")
        self.juliet.expect(push(f"<item jid='{ROMEO}' subscription='from' approved='-'/>", JULIET))
        self.juliet.nothing()

    def test_a_subscription_that_was_lost_on_one_side_is_granted_again(self) -> None:
        """§3.1.3: the server "MUST auto-reply on behalf of the contact"."""
        self.world.register("nurse@example.org")
        keep(self.world, "nurse@example.org", ROMEO, Contact(RosterItem(ROMEO, subscription="from")))
        self.romeo.send("<presence to='nurse@example.org' type='subscribe'/>")
        self.romeo.expect(push("<item jid='nurse@example.org' ask='subscribe'/>"))
        self.romeo.expect("<presence from='nurse@example.org' type='subscribed'/>")
        self.romeo.expect(push("<item jid='nurse@example.org' subscription='to'/>"))

    def test_one_that_is_cancelled_is_told_before_it_is_over(self) -> None:
        """§3.2.2."""
        self.test_a_mutual_subscription()
        for client in (self.romeo, self.juliet):
            client.drain()
        self.juliet.send(f"<presence to='{ROMEO}' type='unsubscribed'/>")
        self.romeo.expect(f"<presence from='{JULIET}/balcony' to='{ROMEO}' type='unavailable'/>")
        self.romeo.expect(f"<presence from='{JULIET}' to='{ROMEO}' type='unsubscribed'/>")
        self.romeo.expect(push(f"<item jid='{JULIET}' subscription='from'/>"))
        self.juliet.expect(push(f"<item jid='{ROMEO}' subscription='to'/>", JULIET))
        self.juliet.send("<presence><show>dnd</show></presence>")
        self.romeo.nothing()

    def test_both_may_write_at_once(self) -> None:
        """Neither waits for the other, even where storage lets both wait."""
        for client, contact in ((self.romeo, JULIET), (self.juliet, ROMEO)):
            client.send("".join(f"<presence to='{contact}' type='{kind}'/>" for kind in OUTBOUND) * 3)
        self.assertIn(state_of(kept(self.world, ROMEO, JULIET)), (NONE, NONE_IN, NONE_OUT))
        self.assertEqual(
            self.romeo.request("<iq type='get' id='x'><query xmlns='jabber:iq:roster'/></iq>").get("type"), "result"
        )

    def test_removing_a_contact_ends_both_subscriptions(self) -> None:
        """§2.5.2."""
        self.test_a_mutual_subscription()
        for client in (self.romeo, self.juliet):
            client.drain()
        answer = set_item(self.romeo, f"<item jid='{JULIET}' subscription='remove'/>")
        self.assertEqual(answer.get("type"), "result")
        self.romeo.expect(push(f"<item jid='{JULIET}' subscription='remove'/>"))
        self.juliet.expect(f"<presence from='{ROMEO}/orchard' type='unavailable'/>")
        self.juliet.expect(f"<presence from='{ROMEO}' to='{JULIET}' type='unsubscribe'/>")
        self.juliet.expect(push(f"<item jid='{ROMEO}' subscription='to'/>", JULIET))
        self.juliet.expect(f"<presence from='{ROMEO}' to='{JULIET}' type='unsubscribed'/>")
        self.juliet.expect(push(f"<item jid='{ROMEO}' subscription='none'/>", JULIET))
        self.assertIsNone(kept(self.world, ROMEO, JULIET).item)


class RemovalTest(SynchronousTestCase):
    """§2.5.2: what removing a contact sends, by its state."""

    def check(self, state: str, *kinds: str) -> None:
        self.world = World(modules={"mod_roster": {}})
        self.addCleanup(self.world.stop)
        remote = Elsewhere(self.world)
        keep(self.world, ROMEO, MERCUTIO, contact_in(state))
        romeo = arrive(self.world, f"{ROMEO}/orchard")
        remote.got.clear()
        answer = set_item(romeo, f"<item jid='{MERCUTIO}' subscription='remove'/>")
        self.assertEqual(answer.get("type"), "result")
        unavailable = [f"<presence from='{ROMEO}/orchard' to='{MERCUTIO}' type='unavailable'/>"]
        remote.expect(
            *(unavailable if "unsubscribed" in kinds else ()),
            *[f"<presence from='{ROMEO}' to='{MERCUTIO}' type='{kind}' id='*'/>" for kind in kinds],
        )

    def test_none(self) -> None:
        self.check(NONE)

    def test_pending_out(self) -> None:
        """The contact is not to be asked any more."""
        self.check(NONE_OUT, "unsubscribe")

    def test_pending_in(self) -> None:
        """§3.1.3: The request waits on, "until the contact either approves or denies the request"."""
        self.check(NONE_IN)
        self.assertIsNotNone(kept(self.world, ROMEO, MERCUTIO).request)

    def test_to(self) -> None:
        self.check(TO, "unsubscribe")

    def test_from(self) -> None:
        self.check(FROM, "unsubscribed")

    def test_both(self) -> None:
        self.check(BOTH, "unsubscribe", "unsubscribed")


class RemovedAccountTest(SynchronousTestCase):
    def test_all_its_contacts_hear(self) -> None:
        world = World(modules={"mod_roster": {}})
        self.addCleanup(world.stop)
        remote = Elsewhere(world)
        for name, state in (("asked", NONE_OUT), ("asking", NONE_IN), ("both", BOTH), ("from", FROM), ("to", TO)):
            jid = f"{name}@remote.example"
            keep(world, ROMEO, jid, contact_in(state, jid))
        keep(world, ROMEO, "stranger@remote.example", Contact(None, b"<presence xmlns='jabber:client'/>"))
        befriend(world, ROMEO, JULIET)
        arrive(world, f"{ROMEO}/orchard")
        juliet = arrive(world, f"{JULIET}/balcony")
        remote.got.clear()
        world.run(world.host("example.org").accounts.remove("romeo"))
        told = sorted((e.get("to") or "", e.get("type") or "") for e in remote.got if e.get("type") != "unavailable")
        self.assertEqual(
            [(to.partition("@")[0], kind) for to, kind in told],
            [
                ("asked", "unsubscribe"),
                ("asking", "unsubscribed"),
                ("both", "unsubscribe"),
                ("both", "unsubscribed"),
                ("from", "unsubscribed"),
                ("stranger", "unsubscribed"),
                ("to", "unsubscribe"),
            ],
        )
        juliet.expect(f"<presence from='{ROMEO}/orchard' type='unavailable'/>")
        juliet.expect("<presence type='unsubscribe'/>")
        juliet.expect(push(f"<item jid='{ROMEO}' subscription='to'/>", JULIET))
        juliet.expect("<presence type='unsubscribed'/>")
        juliet.expect(push(f"<item jid='{ROMEO}' subscription='none'/>", JULIET))
        self.assertEqual(world.run(world.server.storage.rosters.get(ROMEO)).items, [])
        self.assertEqual(world.run(world.server.storage.rosters.request_count(ROMEO)), 0)

    def test_it_stays_where_they_cannot_be_told(self) -> None:
        """Or they would go on seeing whoever takes the name next."""
        world = World(modules={"mod_roster": {}})
        self.addCleanup(world.stop)
        world.register(JULIET)
        befriend(world, ROMEO, JULIET)
        arrive(world, f"{ROMEO}/orchard")

        async def fail(owner: str) -> None:
            raise StoreError("it is gone")

        broken = self.patch(world.server.storage.rosters, "relations", fail)
        accounts = world.host("example.org").accounts
        self.assertRaises(StoreError, world.run, accounts.remove("romeo"))
        broken.restore()
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)
        arrive(world, f"{ROMEO}/garden").send("<presence/>")
        item = world.run(world.server.storage.rosters.item(ROMEO, JULIET))
        self.assertEqual(state_of(Contact(item)), BOTH)
        self.assertTrue(world.run(accounts.remove("romeo")))
        item = world.run(world.server.storage.rosters.item(JULIET, ROMEO))
        self.assertEqual(state_of(Contact(item)), NONE)


class Watcher(Module):
    """Notes what is sent, and can hold what comes for an account."""

    name = "mod_watcher"

    async def on_start(self) -> None:
        self.sent: list[str] = []
        self.gate: Deferred[None] | None = None

    @hooks.roster_out_subscription
    def out(self, account: JID, stanza: Presence) -> None:
        self.sent.append(f"{account} {stanza.type} {stanza.to}")

    @hooks.roster_in_subscription
    async def hold(self, account: JID, stanza: Presence) -> Handled | None:
        if self.gate is not None:
            await self.gate
        return None


class OrderTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(modules={"mod_watcher": {}, "mod_roster": {}}, own_modules={"mod_watcher": Watcher})
        self.addCleanup(self.world.stop)
        self.watcher = self.world.host("example.org").module(Watcher)
        self.worries = worries(self)

    def test_what_is_sent_arrives_even_when_its_sender_leaves_at_once(self) -> None:
        romeo, juliet = arrive(self.world, f"{ROMEO}/orchard"), arrive(self.world, f"{JULIET}/balcony")
        self.watcher.gate = Deferred()
        romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
        romeo.cut()
        self.watcher.gate.callback(None)
        juliet.expect("<presence type='subscribe'/>")
        self.assertEqual(self.worries, [])

    def test_neither_of_two_that_ask_each_other_waits_for_the_other(self) -> None:
        romeo, juliet = arrive(self.world, f"{ROMEO}/orchard"), arrive(self.world, f"{JULIET}/balcony")
        self.watcher.gate = Deferred()
        for client, contact in ((romeo, JULIET), (juliet, ROMEO)):
            client.send(f"<presence to='{contact}' type='subscribe'/>")
            client.send(f"<presence to='{contact}' type='subscribed'/>")
        self.watcher.gate.callback(None)
        self.world.pump()
        self.assertEqual(state_of(kept(self.world, ROMEO, JULIET)), BOTH)
        self.assertEqual(state_of(kept(self.world, JULIET, ROMEO)), BOTH)

    def test_others_can_watch_what_is_accepted(self) -> None:
        romeo = arrive(self.world, f"{ROMEO}/orchard")
        romeo.send(f"<presence to='{JULIET}' type='subscribe'/><presence to='{JULIET}' type='subscribed'/>")
        self.assertEqual(self.watcher.sent, [f"{ROMEO} subscribe {JULIET}"])


class AccessTest(SynchronousTestCase):
    def test_those_who_may_not_change_their_roster_send_no_subscriptions(self) -> None:
        world = World(modules={"mod_roster": {"access": "none"}})
        self.addCleanup(world.stop)
        client = arrive(world, f"{ROMEO}/orchard")
        client.send(f"<presence to='{JULIET}' type='subscribe'/>")
        client.expect(REFUSED.format("not-allowed"))
        answer = set_item(client, f"<item jid='{JULIET}'/>")
        self.assertEqual(answer.get("type"), "error")
        self.assertEqual(ask_for_roster(client).get("type"), "result")
