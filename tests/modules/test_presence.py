from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from federix.api import HANDLED, IQ, JID, Contact, Module, Outcome, Presence, RosterItem, Session, Stanza, hooks
from federix.modules.directed import Directed
from federix.modules.last import Last
from federix.modules.roster import Roster
from federix.modules.strangers import ADDRESSED, MOST_ADDRESSED
from federix.testing import Client, World
from federix.testing.match import parse

from .neighbours import reload, worries
from .rfc6121 import FROM, MERCUTIO, NONE_IN, ROMEO, Elsewhere, arrive, befriend, contact_in, keep, set_item

JULIET = "juliet@example.org"
ORCHARD, GARDEN, BALCONY = f"{ROMEO}/orchard", f"{ROMEO}/garden", f"{JULIET}/balcony"
ROOM = "room@muc.example"
UNAVAILABLE = "service-unavailable"


def error(kind: str, condition: str) -> str:
    return f"<{kind} type='error'><error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></{kind}>"


class PresenceCase(SynchronousTestCase):
    """Romeo and Juliet see each other; Mercutio and Romeo do, and Mercutio is elsewhere."""

    def setUp(self) -> None:
        self.world = World(modules={"mod_roster": {"max_directed_presence": 3}})
        self.addCleanup(self.world.stop)
        self.remote = Elsewhere(self.world)
        self.rooms = Elsewhere(self.world, "muc.example")
        befriend(self.world, ROMEO, JULIET)
        keep(self.world, ROMEO, MERCUTIO, Contact(RosterItem(MERCUTIO, subscription="both")))
        for contact, subscription in (("from", "from"), ("to", "to"), ("none", "none")):
            jid: Any = f"{contact}@remote.example"
            item = RosterItem(jid, subscription=subscription, ask=subscription == "none")  # type: ignore[arg-type]
            keep(self.world, ROMEO, jid, Contact(item))

    def arrive(self, jid: str, presence: str | None = "<presence/>") -> Client:
        client = arrive(self.world, jid, presence=presence)
        self.remote.got.clear()
        return client

    def session(self, client: Client) -> Session:
        assert client.jid is not None
        session = self.world.host("example.org").sessions.find(client.jid.local, client.jid.resource)
        assert session is not None
        return session


class InitialPresenceTest(PresenceCase):
    """§4.2."""

    def test_it_goes_to_all_subscribers_and_probes_to_all_one_sees(self) -> None:
        romeo = self.world.client(ORCHARD)
        romeo.send("<presence id='p1'><show>chat</show></presence>")
        sent = [(e.get("type"), e.get("from"), e.get("to")) for e in self.remote.got]
        self.assertCountEqual(
            sent,
            [
                (None, ORCHARD, MERCUTIO),
                (None, ORCHARD, "from@remote.example"),
                # §4.3: "the value of the 'from' address MUST be the bare JID".
                ("probe", ROMEO, MERCUTIO),
                ("probe", ROMEO, "to@remote.example"),
                ("subscribe", ROMEO, "none@remote.example"),
            ],
        )
        full = [e for e in self.remote.got if e.get("type") is None]
        self.assertEqual({e.text_of("jabber:client", "show") for e in full}, {"chat"})
        self.assertEqual({e.get("id") for e in full}, {"p1"})

    def test_it_comes_back_to_the_client_itself(self) -> None:
        """§4.2.2: "including the resource that generated the presence notification in the first place"."""
        romeo = self.world.client(ORCHARD)
        romeo.send("<presence/>")
        romeo.expect(f"<presence from='{ORCHARD}' to='{ROMEO}' type='-'/>")
        romeo.nothing()

    def test_other_resources_and_it_see_each_other(self) -> None:
        orchard = self.arrive(ORCHARD, "<presence><show>away</show></presence>")
        self.arrive(f"{ROMEO}/connected", None)
        garden = self.world.client(GARDEN)
        garden.send("<presence><show>dnd</show></presence>")
        orchard.expect(f"<presence from='{GARDEN}' to='{ROMEO}'><show>dnd</show></presence>")
        orchard.nothing()
        garden.expect(f"<presence from='{GARDEN}'/>")
        garden.expect(f"<presence from='{ORCHARD}' to='{ROMEO}'><show>away</show></presence>")
        garden.nothing()

    def test_contacts_here_see_it_and_are_seen(self) -> None:
        juliet = self.arrive(BALCONY, "<presence><status>on the balcony</status></presence>")
        romeo = self.world.client(ORCHARD)
        romeo.send("<presence/>")
        juliet.expect(f"<presence from='{ORCHARD}' to='{JULIET}'/>")
        juliet.nothing()
        romeo.expect(f"<presence from='{ORCHARD}'/>")
        romeo.expect(f"<presence from='{BALCONY}' to='{ROMEO}'><status>on the balcony</status></presence>")
        romeo.nothing()

    def test_a_connected_resource_hears_of_nobody(self) -> None:
        """§4.2.3: "to all of the contact's available resources"."""
        juliet = self.arrive(BALCONY, None)
        self.arrive(ORCHARD)
        juliet.nothing()

    def test_the_session_knows(self) -> None:
        romeo = self.arrive(ORCHARD, "<presence><priority>5</priority></presence>")
        session = self.session(romeo)
        self.assertEqual((session.available, session.priority), (True, 5))
        assert session.presence is not None
        self.assertIsNone(session.presence.to)

    def test_a_bad_priority_is_a_bad_request(self) -> None:
        romeo = self.arrive(ORCHARD, None)
        for priority in ("128", "-129", "x"):
            romeo.send(f"<presence><priority>{priority}</priority></presence>")
            romeo.expect(error("presence", "bad-request"))
        self.assertFalse(self.session(romeo).available)
        self.remote.expect()

    def test_who_has_negative_priority_is_there_and_gets_no_messages(self) -> None:
        romeo = self.arrive(ORCHARD, "<presence><priority>-1</priority></presence>")
        juliet = self.arrive(BALCONY)
        romeo.expect(f"<presence from='{BALCONY}'/>")
        juliet.send(f"<message to='{ROMEO}'><body>!</body></message>")
        romeo.nothing()
        juliet.send(f"<message to='{ORCHARD}'><body>!</body></message>")
        romeo.expect("<message/>")

    def test_one_that_is_too_large_is_refused_and_nothing_changes(self) -> None:
        romeo = self.arrive(ORCHARD, "<presence id='small'/>")
        reload(self.world, {"mod_roster": {"max_presence_size": 2000}})
        large = f"<status>{'x' * 2000}</status></presence>"
        for kind in ("", " type='unavailable'"):
            romeo.send(f"<presence{kind}>{large}")
            romeo.expect(
                "<presence type='error'><error type='modify'>"
                "<policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>"
            )
        romeo.nothing()
        self.remote.expect()
        session = self.session(romeo)
        assert session.presence is not None
        self.assertEqual((session.available, session.presence.id), (True, "small"))
        romeo.send(f"<presence><status>{'x' * 1800}</status></presence>")
        romeo.expect("<presence type='-'/>")

    def test_types_that_are_none_are_bad_requests(self) -> None:
        """§4.7.1."""
        romeo = self.arrive(ORCHARD)
        for attributes in (
            "type='available'",
            "type='invisible'",
            "type='subscribe'",
            "type='probe'",
            f"type='x' to='{MERCUTIO}'",
        ):
            romeo.send(f"<presence {attributes}/>")
            romeo.expect(error("presence", "bad-request"))
        romeo.send("<presence type='error'><error type='cancel'/></presence>")
        romeo.nothing()
        self.remote.expect()


class SubsequentPresenceTest(PresenceCase):
    """§4.4."""

    def test_it_goes_to_all_subscribers_and_nobody_is_probed_again(self) -> None:
        romeo, juliet = self.arrive(ORCHARD), self.arrive(BALCONY)
        romeo.drain()
        romeo.send("<presence><show>away</show><x xmlns='urn:x'/></presence>")
        self.remote.expect(
            *[
                f"<presence from='{ORCHARD}' to='{to}@remote.example' type='-'>"
                "<show>away</show><x xmlns='urn:x'/></presence>"
                for to in ("from", "mercutio")
            ]
        )
        juliet.expect(f"<presence from='{ORCHARD}' to='{JULIET}'><show>away</show></presence>")
        romeo.expect(f"<presence from='{ORCHARD}'><show>away</show></presence>")
        for client in (romeo, juliet):
            client.nothing()

    def test_the_roster_as_it_is_now_counts(self) -> None:
        romeo = self.arrive(ORCHARD)
        set_item(romeo, f"<item jid='{MERCUTIO}' subscription='remove'/>")
        self.remote.got.clear()
        romeo.send("<presence/>")
        self.remote.expect("<presence to='from@remote.example'/>")


class UnavailablePresenceTest(PresenceCase):
    """§4.5."""

    def test_it_is_broadcast_as_it_is(self) -> None:
        romeo, garden, juliet = self.arrive(ORCHARD), self.arrive(GARDEN), self.arrive(BALCONY)
        for client in (romeo, garden):
            client.drain()
        romeo.send("<presence type='unavailable'><status>going on vacation</status></presence>")
        told = "type='unavailable'><status>going on vacation</status></presence>"
        self.remote.expect(
            *[f"<presence from='{ORCHARD}' to='{to}@remote.example' {told}" for to in ("from", "mercutio")]
        )
        for client in (romeo, garden):
            client.expect(f"<presence from='{ORCHARD}' to='{ROMEO}' {told}")
            client.nothing()
        juliet.expect(f"<presence from='{ORCHARD}' to='{JULIET}' {told}")
        session = self.session(romeo)
        self.assertEqual((session.available, session.priority, session.presence), (False, 0, None))

    def test_it_is_made_for_whoever_goes_without_a_word(self) -> None:
        """§4.5.2: "the user's server MUST generate the unavailable presence broadcast on the user's behalf"."""
        for leave in (Client.close, Client.cut):
            romeo, garden, juliet = self.arrive(ORCHARD), self.arrive(GARDEN), self.arrive(BALCONY)
            garden.drain()
            leave(romeo)
            self.remote.expect(
                *[
                    f"<presence from='{ORCHARD}' to='{to}@remote.example' type='unavailable'/>"
                    for to in ("from", "mercutio")
                ]
            )
            for client, to in ((garden, ROMEO), (juliet, JULIET)):
                client.expect(f"<presence from='{ORCHARD}' to='{to}' type='unavailable'/>")
                client.nothing()
            for client in (garden, juliet):
                client.close()

    def test_it_is_told_once(self) -> None:
        romeo = self.arrive(ORCHARD)
        romeo.send("<presence type='unavailable'/>")
        self.remote.got.clear()
        romeo.drain()
        romeo.send("<presence type='unavailable'/>")
        romeo.close()
        self.remote.expect()

    def test_available_again_is_initial_again(self) -> None:
        """§4.5.2: "MUST be treated as equivalent to initial presence for a new presence session"."""
        romeo = self.arrive(ORCHARD)
        romeo.send("<presence type='unavailable'/>")
        self.remote.got.clear()
        romeo.send("<presence/>")
        self.assertIn("probe", [element.get("type") for element in self.remote.got])

    def test_all_hear_when_the_server_stops(self) -> None:
        world = World(modules={"mod_roster": {}})
        remote = Elsewhere(world)
        keep(world, ROMEO, MERCUTIO, contact_in(FROM))
        arrive(world, ORCHARD)
        remote.got.clear()
        world.stop()
        remote.expect(f"<presence from='{ORCHARD}' to='{MERCUTIO}' type='unavailable'/>")

    def test_who_takes_the_resource_begins_anew(self) -> None:
        self.arrive(ORCHARD)
        romeo = self.world.client(ORCHARD)
        self.remote.expect(*[f"<presence to='{to}@remote.example' type='unavailable'/>" for to in ("from", "mercutio")])
        self.assertFalse(self.session(romeo).available)


class ProbeTest(PresenceCase):
    """§4.3."""

    def setUp(self) -> None:
        super().setUp()
        reload(self.world, {"mod_roster": {}, "mod_last": {}})

    def probe(self, sender: str = MERCUTIO, to: str = ROMEO) -> None:
        self.remote.got.clear()
        self.remote.send(f"<presence type='probe' from='{sender}' to='{to}' id='probe1'/>")

    def test_each_available_resource_answers_with_its_last_presence_and_its_own_id(self) -> None:
        """§4.3.2, rule 4; §4.3.2.1."""
        self.arrive(ORCHARD, "<presence id='pres1'><show>dnd</show></presence>")
        self.arrive(GARDEN, "<presence><show>away</show></presence>")
        self.arrive(f"{ROMEO}/connected", None)
        self.probe()
        self.remote.expect(
            f"<presence from='{ORCHARD}' to='{MERCUTIO}' id='pres1' type='-'><show>dnd</show></presence>",
            f"<presence from='{GARDEN}' to='{MERCUTIO}' id='-' type='-'><show>away</show></presence>",
        )

    def test_one_that_comes_from_a_full_jid_is_answered_there(self) -> None:
        self.arrive(ORCHARD)
        self.probe(f"{MERCUTIO}/pda")
        self.remote.expect(f"<presence from='{ORCHARD}' to='{MERCUTIO}/pda'/>")

    def test_for_who_is_not_there_the_account_answers(self) -> None:
        """Rule 3."""
        self.world.register(ROMEO)
        self.probe()
        self.remote.expect(f"<presence type='unavailable' from='{ROMEO}' to='{MERCUTIO}' id='probe1'/>")
        self.assertEqual(len(self.remote.got), 0)

    def test_it_says_since_when(self) -> None:
        self.arrive(ORCHARD).close()
        self.world.advance(3600)
        self.probe()
        self.remote.expect(
            f"<presence type='unavailable' from='{ROMEO}' to='{MERCUTIO}' id='probe1'>"
            "<delay xmlns='urn:xmpp:delay' from='romeo@example.org' stamp='2027-01-15T08:00:00Z'/></presence>"
        )

    def test_it_says_so_from_the_first_moment(self) -> None:
        """What mod_last has not written yet counts."""
        self.arrive(ORCHARD).close()
        self.world.advance(3600)
        self.arrive(ORCHARD).close()
        self.probe()
        self.remote.expect(
            "<presence type='unavailable'><delay xmlns='urn:xmpp:delay' stamp='2027-01-15T09:00:00Z'/></presence>"
        )

    def test_who_comes_while_it_is_looked_up_since_when_is_there(self) -> None:
        self.world.register(ROMEO)
        last = self.world.host("example.org").module(Last)
        looking: Deferred[None] = Deferred()
        self.patch(last.kept, "get", lambda owner: looking)
        self.remote.send_later(f"<presence type='probe' from='{MERCUTIO}' to='{ROMEO}'/>")
        arrive(self.world, ORCHARD)
        looking.callback(None)
        self.assertEqual(
            [presence.get("type") for presence in self.remote.got if presence.get("to") == MERCUTIO][-1], None
        )

    def test_a_connected_resource_is_not_there(self) -> None:
        self.arrive(ORCHARD, None)
        self.probe()
        self.remote.expect(f"<presence type='unavailable' from='{ROMEO}' id='probe1'/>")

    def test_strangers_and_those_who_ask_for_nobody_get_unsubscribed(self) -> None:
        """Rule 1."""
        self.world.register(ROMEO)
        for online in (False, True):
            for sender in ("to@remote.example", "stranger@remote.example"):
                self.probe(sender, f"{ROMEO}/orchard" if online else ROMEO)
                self.remote.expect(f"<presence type='unsubscribed' from='{ROMEO}' to='{sender}' id='probe1'/>")
            self.arrive(ORCHARD)
        self.probe(to="nobody@example.org")
        self.remote.expect(f"<presence type='unsubscribed' from='nobody@example.org' to='{MERCUTIO}' id='probe1'/>")

    def test_it_cancels_no_pre_approval(self) -> None:
        """Rule 1: "this MUST NOT result in cancellation of a subscription pre-approval"."""
        keep(self.world, ROMEO, "to@remote.example", Contact(RosterItem("to@remote.example", approved=True)))
        self.world.register(ROMEO)
        self.probe("to@remote.example")
        item = self.world.run(self.world.server.storage.rosters.item(ROMEO, "to@remote.example"))
        self.assertTrue(item.approved)

    def test_whose_request_waits_is_told_the_same_and_waits_on(self) -> None:
        """Or who asks and then probes would know of the account."""
        keep(self.world, ROMEO, "to@remote.example", contact_in(NONE_IN, "to@remote.example"))
        self.world.register(ROMEO)
        for _ in range(2):
            self.probe("to@remote.example")
            self.remote.expect(f"<presence type='unsubscribed' from='{ROMEO}' to='to@remote.example' id='probe1'/>")
            self.arrive(ORCHARD)
        self.assertEqual(self.world.run(self.world.server.storage.rosters.request_count(ROMEO)), 1)

    def test_of_one_resource_only_that_is_told_and_only_that_it_is_there(self) -> None:
        """§4.3.2: it "MUST NOT return presence information about any resource except the resource specified"."""
        self.arrive(ORCHARD, "<presence id='p'><show>dnd</show></presence>")
        self.arrive(GARDEN)
        self.probe(to=ORCHARD)
        self.assertEqual([list(element.elements()) for element in self.remote.got], [[]])
        self.remote.expect(f"<presence from='{ORCHARD}' to='{MERCUTIO}' type='-'/>")
        self.probe(to=f"{ROMEO}/nowhere")
        self.remote.expect(f"<presence from='{ROMEO}/nowhere' to='{MERCUTIO}' type='unavailable' id='probe1'/>")

    def test_a_client_may_send_one(self) -> None:
        """§4.3: the server "SHOULD route the probe …, or process the probe" and returns no error for it."""
        romeo, juliet = self.arrive(ORCHARD), self.arrive(BALCONY)
        romeo.drain()
        romeo.send(f"<presence type='probe' to='{JULIET}'/>")
        romeo.expect(f"<presence from='{BALCONY}' to='{ORCHARD}'/>")
        juliet.nothing()
        romeo.send(f"<presence type='probe' to='{MERCUTIO}'/>")
        self.remote.expect(f"<presence type='probe' from='{ORCHARD}'/>")
        romeo.send("<presence type='probe' to='x@gone.example'/>")
        romeo.drain()

    def test_the_own_account_may_know(self) -> None:
        romeo = self.arrive(ORCHARD)
        romeo.send(f"<presence type='probe' to='{ROMEO}'/>")
        romeo.expect(f"<presence from='{ORCHARD}' to='{ORCHARD}' type='-'/>")

    def test_who_is_known_to_be_offline_is_not_asked(self) -> None:
        """§4.3.1: "the server does not need to send a presence probe to a contact" on the same server."""
        self.arrive(BALCONY).close()
        romeo = self.world.client(ORCHARD)
        romeo.send("<presence/>")
        romeo.expect(f"<presence from='{ORCHARD}'/>")
        romeo.nothing()


class DirectedPresenceTest(PresenceCase):
    """§4.6."""

    def join(self, client: Client, to: str = f"{ROOM}/Romeo") -> None:
        client.send(f"<presence to='{to}'><x xmlns='http://jabber.org/protocol/muc'/></presence>")

    def test_it_is_routed_as_it_is(self) -> None:
        self.join(self.arrive(ORCHARD))
        self.rooms.expect(
            f"<presence from='{ORCHARD}' to='{ROOM}/Romeo'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        )

    def test_it_is_followed_by_no_broadcast_but_the_last(self) -> None:
        """§4.6.3, rule 2."""
        for leave in ("<presence type='unavailable'><status>bye</status></presence>", "</stream:stream>"):
            romeo = self.arrive(ORCHARD)
            self.join(romeo)
            self.rooms.got.clear()
            romeo.send("<presence><show>away</show></presence>")
            self.rooms.expect()
            romeo.send(leave)
            self.rooms.expect(f"<presence from='{ORCHARD}' to='{ROOM}/Romeo' type='unavailable'/>")
            romeo.close()
            self.rooms.expect()

    def test_a_resource_that_was_never_available_takes_its_back_too(self) -> None:
        """Rule 3: the server "MUST treat the entity … as in case #2"; a contact as well."""
        for leave in ("<presence type='unavailable'/>", "</stream:stream>"):
            romeo = self.arrive(ORCHARD, None)
            self.join(romeo)
            romeo.send(f"<presence to='{MERCUTIO}/pda'/>")
            self.rooms.got.clear()
            self.remote.got.clear()
            romeo.send(leave)
            self.rooms.expect(f"<presence to='{ROOM}/Romeo' type='unavailable'/>")
            self.remote.expect(f"<presence to='{MERCUTIO}/pda' type='unavailable'/>")

    def test_a_subscriber_is_told_the_end_once(self) -> None:
        """Rule 1."""
        romeo = self.arrive(ORCHARD)
        romeo.send(f"<presence to='{MERCUTIO}'/>")
        self.remote.got.clear()
        romeo.close()
        self.remote.expect(*[f"<presence to='{to}@remote.example' type='unavailable'/>" for to in ("from", "mercutio")])

    def test_who_is_told_that_one_leaves_is_not_told_again(self) -> None:
        """§4.6.1: "MUST remove … any entity to which the user sends directed unavailable presence"."""
        romeo = self.arrive(ORCHARD)
        for address in (f"{ROOM}/Romeo", ROOM):
            self.join(romeo)
            romeo.send(f"<presence to='{address}' type='unavailable'/>")
            self.rooms.got.clear()
        romeo.close()
        self.rooms.expect()

    def test_who_has_left_is_not_told(self) -> None:
        """§4.6.1: "SHOULD remove any entity that sends unavailable presence to the user"; others of the room stay."""
        romeo, garden = self.arrive(ORCHARD), self.arrive(GARDEN)
        for client in (romeo, garden):
            self.join(client)
        self.rooms.got.clear()
        self.rooms.send(f"<presence from='{ROOM}/Tybalt' to='{GARDEN}' type='unavailable'/>")
        self.rooms.send(f"<presence from='{ROOM}/Romeo' to='{ORCHARD}' type='unavailable'/>")
        romeo.close()
        self.rooms.expect()
        garden.close()
        self.rooms.expect(f"<presence from='{GARDEN}' type='unavailable'/>")

    def test_an_error_is_for_the_client_and_ends_nothing(self) -> None:
        romeo = self.arrive(ORCHARD)
        self.join(romeo)
        self.rooms.got.clear()
        self.rooms.send(f"<presence from='{ROOM}/Romeo' to='{ORCHARD}' type='error'><error type='wait'/></presence>")
        romeo.expect("<presence type='error'/>")
        romeo.close()
        self.rooms.expect("<presence type='unavailable'/>")

    def test_presence_to_oneself_is_nothing_to_remember(self) -> None:
        romeo = self.arrive(ORCHARD)
        romeo.send(f"<presence to='{ROMEO}'/>")
        romeo.expect(f"<presence from='{ORCHARD}' to='{ROMEO}'/>")
        romeo.send("<presence type='unavailable'/>")
        romeo.expect("<presence type='unavailable'/>")
        romeo.nothing()

    def test_no_more_addresses_are_remembered_than_may_be(self) -> None:
        romeo = self.arrive(ORCHARD)
        for number in range(4):
            self.join(romeo, f"room{number}@muc.example/Romeo")
        romeo.expect(error("presence", "resource-constraint"))
        self.assertEqual(len(self.rooms.got), 3)
        self.join(romeo, "room0@muc.example/Romeo")
        romeo.send("<presence to='room1@muc.example/Romeo' type='unavailable'/>")
        self.join(romeo, "room3@muc.example/Romeo")
        romeo.nothing()

    def test_a_cancelled_subscription_comes_before_it(self) -> None:
        """§4.6.1: it "includes sending unavailable presence to the contact even if the user has sent directed …"."""
        romeo = self.arrive(ORCHARD)
        romeo.send(f"<presence to='{MERCUTIO}'/>")
        self.remote.got.clear()
        romeo.send(f"<presence to='{MERCUTIO}' type='unsubscribed'/>")
        self.remote.expect(f"<presence from='{ORCHARD}' type='unavailable'/>", "<presence type='unsubscribed'/>")
        romeo.close()
        self.remote.expect("<presence to='from@remote.example' type='unavailable'/>")

    def test_a_probe_learns_what_was_told_and_no_more(self) -> None:
        """§4.6.6: "only mere presence …, and only for that full JID"."""
        romeo = self.arrive(ORCHARD, "<presence id='p'><show>dnd</show></presence>")
        self.arrive(GARDEN)
        self.join(romeo)
        self.rooms.got.clear()
        self.rooms.send(f"<presence type='probe' from='{ROOM}/Romeo' to='{ORCHARD}'/>")
        self.assertEqual([list(element.elements()) for element in self.rooms.got], [[]])
        self.rooms.expect(f"<presence from='{ORCHARD}' to='{ROOM}/Romeo' type='-'/>")
        for to in (GARDEN, ROMEO):
            self.rooms.send(f"<presence type='probe' from='{ROOM}/Romeo' to='{to}'/>")
            self.rooms.expect(f"<presence type='unsubscribed' from='{ROMEO}' to='{ROOM}'/>")

    def test_what_is_remembered(self) -> None:
        directed = Directed()
        one, other = JID.parse(f"{ROOM}/One"), JID.parse(f"{ROOM}/Other")
        for address in (one, one, other, one.bare):
            directed.add(address)
        self.assertEqual((len(directed), set(directed)), (3, {one, other, one.bare}))
        directed.discard(other)
        directed.discard(other)
        self.assertEqual((len(directed), other in directed, directed.knows(other)), (2, False, True))
        directed.discard_account(other)
        self.assertEqual((len(directed), list(directed), directed.knows(other)), (0, [], False))
        directed.discard(one)
        self.assertEqual(len(directed), 0)


class ErrorsTest(PresenceCase):
    """What comes back disturbs nobody who has not sent it."""

    def test_errors_to_broadcasts_and_probes_are_dropped(self) -> None:
        gone = "nurse@gone.example"
        keep(self.world, ROMEO, gone, Contact(RosterItem(gone, subscription="both")))
        romeo = self.world.client(ORCHARD)
        romeo.send("<presence/>")
        romeo.expect("<presence type='-'/>")
        romeo.send("<presence id='p2'/>")
        romeo.expect("<presence type='-' id='p2'/>")
        romeo.send("<presence type='unavailable'/>")
        romeo.expect("<presence type='unavailable'/>")
        romeo.nothing()

    def test_errors_to_what_a_client_has_sent_there_are_not(self) -> None:
        romeo = self.arrive(ORCHARD)
        romeo.send("<presence to='room@gone.example/Romeo'/>")
        romeo.expect(error("presence", "remote-server-not-found"))
        romeo.send(f"<presence to='{MERCUTIO}'/>")
        self.remote.send(f"<presence from='{MERCUTIO}' to='{ORCHARD}' type='error'><error type='cancel'/></presence>")
        romeo.expect("<presence type='error'/>")

    def test_only_so_many_addresses_are_waited_for(self) -> None:
        romeo = self.arrive(ORCHARD)
        addresses = [f"{number}@remote.example" for number in range(MOST_ADDRESSED + 1)]
        romeo.send("".join(f"<presence to='{address}' type='unavailable'/>" for address in addresses))
        self.assertEqual(len(self.session(romeo).notes[ADDRESSED]), MOST_ADDRESSED)
        for sender in addresses[:2]:
            self.remote.send(f"<presence from='{sender}' to='{ORCHARD}' type='error'><error type='cancel'/></presence>")
        romeo.expect(f"<presence from='{addresses[1]}' type='error'/>")
        romeo.nothing()

    def test_one_to_the_account_is_for_the_client_that_has_asked(self) -> None:
        """§3.1.2; to no others, and not where the server has asked, or nobody has."""
        romeo, garden = self.arrive(ORCHARD), self.arrive(GARDEN)
        error = f"<presence from='{MERCUTIO}/x' to='{ROMEO}' type='error' id='{{}}'><error type='cancel'/></presence>"
        for client in (romeo, garden):
            client.drain()
        self.remote.send(error.format("s1"))
        romeo.send(f"<presence to='{MERCUTIO}' type='subscribe' id='s1'/>")
        for id in ("s1", self.world.host("example.org").module(Roster).contacts.new_id()):
            self.remote.send(error.format(id))
        for client in (romeo, garden):
            if client is romeo:
                client.expect("<presence type='error' id='s1'/>")
            client.nothing()

    def test_errors_from_strangers_to_the_account_are_dropped(self) -> None:
        romeo = self.arrive(ORCHARD)
        self.remote.send(
            f"<presence from='x@remote.example' to='{ROMEO}' type='error'><error type='cancel'/></presence>"
        )
        romeo.nothing()

    def test_errors_for_nobody_are_dropped(self) -> None:
        self.world.register(ROMEO)
        for to in (ORCHARD, ROMEO):
            self.remote.send(f"<presence from='{MERCUTIO}' to='{to}' type='error'><error type='cancel'/></presence>")
        self.remote.expect()


class StrangersTest(PresenceCase):
    """§8.5.3.1: who is not to know that a resource is there cannot ask it."""

    def setUp(self) -> None:
        super().setUp()
        self.romeo = self.arrive(ORCHARD, None)
        self.stranger = self.arrive("tybalt@example.org/street", None)

    def ask(self, client: Client, to: str = ORCHARD, kind: str = "get") -> None:
        client.send(f"<iq type='{kind}' id='v' to='{to}'><query xmlns='jabber:iq:version'/></iq>")

    def test_strangers_are_told_what_they_are_told_of_nobody(self) -> None:
        for kind in ("get", "set"):
            answers = []
            for to in (ORCHARD, f"{ROMEO}/nowhere", "nobody@example.org/x"):
                self.ask(self.stranger, to, kind)
                answer = self.stranger.expect(error("iq", UNAVAILABLE))
                answer.attrs.pop("from")
                answers.append(answer)
            self.assertEqual(answers[0], answers[1])
            self.assertEqual(answers[1], answers[2])
        self.romeo.nothing()

    def test_their_answers_arrive(self) -> None:
        """§8.5.3.1: "For an IQ stanza of type 'result' or 'error', the server MUST deliver the stanza"."""
        self.stranger.send(f"<iq type='result' id='v' to='{ORCHARD}'/>")
        self.romeo.expect("<iq type='result' id='v'/>")

    def test_their_messages_and_presence_arrive(self) -> None:
        self.stranger.send(f"<message to='{ORCHARD}'/><presence to='{ORCHARD}'/>")
        self.romeo.expect("<message/>")
        self.romeo.expect("<presence/>")

    def test_subscribers_may_ask_before_the_roster_is_in_memory_and_after(self) -> None:
        juliet = self.arrive(BALCONY, None)
        for _ in range(2):
            self.ask(juliet)
            self.romeo.expect("<iq type='get' id='v'/>")
            self.romeo.send("<presence/>")
            self.romeo.drain()

    def test_being_seen_is_not_enough(self) -> None:
        keep(self.world, "tybalt@example.org", ROMEO, Contact(RosterItem(ROMEO, subscription="from")))
        self.ask(self.stranger)
        self.stranger.expect(error("iq", UNAVAILABLE))

    def test_the_own_account_and_the_hosts_here_may_ask(self) -> None:
        garden = self.arrive(GARDEN, None)
        self.ask(garden)
        self.romeo.expect("<iq type='get'/>")
        self.rooms.deliver = lambda stanza: None  # type: ignore[method-assign]
        for host in ("example.org", "muc.example"):
            self.world.run(
                _route(self.world, f"<iq type='get' id='v' from='{host}' to='{ORCHARD}'><query xmlns='x'/></iq>")
            )
            self.romeo.expect(f"<iq type='get' from='{host}'/>")

    def test_who_was_sent_presence_may_ask_that_resource_until_it_is_taken_back(self) -> None:
        garden = self.arrive(GARDEN)
        self.romeo.send("<presence to='tybalt@example.org/street'/>")
        self.stranger.drain()
        self.ask(self.stranger)
        self.romeo.expect("<iq type='get'/>")
        self.ask(self.stranger, GARDEN)
        self.stranger.expect(error("iq", UNAVAILABLE))
        garden.nothing()
        self.romeo.send("<presence to='tybalt@example.org/street' type='unavailable'/>")
        self.stranger.drain()
        self.ask(self.stranger)
        self.stranger.expect(error("iq", UNAVAILABLE))

    def test_all_the_others_in_a_room_may_ask_who_is_in_it(self) -> None:
        self.romeo.send(f"<presence to='{ROOM}/Romeo'/>")
        self.world.run(
            _route(self.world, f"<iq type='get' id='v' from='{ROOM}/Tybalt' to='{ORCHARD}'><query xmlns='x'/></iq>")
        )
        self.romeo.expect(f"<iq from='{ROOM}/Tybalt'/>")

    def test_it_can_be_turned_off(self) -> None:
        reload(self.world, {"mod_roster": {"refuse_iq_from_strangers": False}})
        self.ask(self.stranger)
        self.romeo.expect("<iq type='get'/>")


async def _route(world: World, xml: str) -> None:
    waiting = world.server.router.route(IQ(parse(xml)))
    if waiting is not None:
        await waiting


class Jealous(Module):
    """Hides Romeo from Mercutio, and notes what it hears."""

    name = "mod_jealous"
    waits = False

    async def on_start(self) -> None:
        self.heard: list[str] = []

    @hooks.presence_to_contact
    def hide(self, session: Session, stanza: Stanza) -> Any:
        if self.waits:
            return self._hide_later()
        return HANDLED if stanza.to == JID.parse(MERCUTIO) else None

    async def _hide_later(self) -> Outcome:
        return None

    @hooks.set_presence
    def entered(self, session: Session, stanza: Presence) -> None:
        assert session.presence is not None
        self.heard.append(f"in {session.jid}")

    @hooks.unset_presence
    def left(self, session: Session, stanza: Presence) -> None:
        assert session.presence is None
        self.heard.append(f"out {session.jid} {stanza.type}")


class HooksTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(modules={"mod_jealous": {}, "mod_roster": {}}, own_modules={"mod_jealous": Jealous})
        self.addCleanup(self.world.stop)
        self.jealous = self.world.host("example.org").module(Jealous)
        self.remote = Elsewhere(self.world)
        keep(self.world, ROMEO, MERCUTIO, contact_in(FROM))
        self.worries = worries(self)

    def test_a_contact_can_be_kept_in_the_dark(self) -> None:
        romeo = arrive(self.world, ORCHARD)
        self.remote.send(f"<presence type='probe' from='{MERCUTIO}' to='{ROMEO}'/>")
        romeo.close()
        self.remote.expect()

    def test_a_handler_that_waits_hides_and_is_logged(self) -> None:
        self.jealous.waits = True
        arrive(self.world, ORCHARD)
        self.remote.expect()
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.jealous.waits = False

    def test_others_hear_who_comes_and_goes(self) -> None:
        romeo = arrive(self.world, ORCHARD)
        romeo.send("<presence type='unavailable'/>")
        romeo.send("<presence/><presence/>")
        romeo.close()
        out = f"out {ORCHARD} unavailable"
        self.assertEqual(self.jealous.heard, [f"in {ORCHARD}", out, f"in {ORCHARD}", f"in {ORCHARD}", out])


class CostTest(PresenceCase):
    def test_a_broadcast_renders_nothing_and_asks_no_storage(self) -> None:
        """Whether contacts are elsewhere, here, or here and offline; whether a client or the server has made it."""
        befriend(self.world, ROMEO, "absent@example.org")
        self.world.register("absent@example.org")
        romeo, juliet = self.arrive(ORCHARD), self.arrive(BALCONY)
        romeo.drain()
        asked: list[str] = []
        rosters, accounts = self.world.server.storage.rosters, self.world.server.storage.accounts
        for part, name in ((rosters, "item"), (rosters, "get"), (rosters, "transition"), (accounts, "exists")):
            self.patch(part, name, lambda *_, name=name: asked.append(name))
        counters = self.session(juliet).attachment.counters  # type: ignore[attr-defined]
        rendered = counters.rendered
        romeo.send("<presence><show>dnd</show></presence>")
        romeo.cut()
        juliet.expect("<presence><show>dnd</show></presence>")
        juliet.expect("<presence type='unavailable'/>")
        self.assertEqual((counters.rendered - rendered, asked), (0, []))

    def test_what_is_in_memory_goes_with_the_last_session(self) -> None:
        contacts = self.world.host("example.org").module(Roster).contacts
        romeo, garden = self.arrive(ORCHARD), self.arrive(GARDEN)
        account = JID.parse(ROMEO)
        romeo.close()
        self.assertIsNotNone(contacts.circle_now(account))
        garden.close()
        self.assertIsNone(contacts.circle_now(account))

    def test_a_module_that_comes_late_knows_who_is_there(self) -> None:
        romeo = self.arrive(ORCHARD)
        reload(self.world, {})
        reload(self.world, {"mod_roster": {}})
        romeo.cut()
        self.remote.expect(*[f"<presence to='{to}@remote.example' type='unavailable'/>" for to in ("from", "mercutio")])
