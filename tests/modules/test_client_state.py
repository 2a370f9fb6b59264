from __future__ import annotations

import re
from typing import Any, ClassVar, Final

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.api import Module, Outcome, Session, Stanza, delay, hooks
from federix.modules import client_state_held
from federix.modules.client_state import HELD
from federix.testing import Client, World
from federix.testing.match import parse
from federix.xmpp.stanza import KINDS

from .neighbours import reload, worries

ACTIVE: Final = "<active xmlns='urn:xmpp:csi:0'/>"
INACTIVE: Final = "<inactive xmlns='urn:xmpp:csi:0'/>"
COMPOSING: Final = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
PAUSED: Final = "<paused xmlns='http://jabber.org/protocol/chatstates'/>"
BALCONY, CHAMBER = "juliet@example.com/balcony", "juliet@example.com/chamber"
TUNE: Final = "http://jabber.org/protocol/tune"
BOOKMARKS: Final = "urn:xmpp:bookmarks:1"


def event(node: str, *items: str, sender: str = "juliet@example.com") -> str:
    """These items of a node were published."""
    inside = "".join(f"<item id='{item}'><x xmlns='urn:x'/></item>" for item in items)
    return happened(f"<items node='{node}'>{inside}</items>", sender)


def happened(what: str, sender: str = "juliet@example.com", beside: str = "") -> str:
    """Something has happened to a node."""
    said = f"<event xmlns='http://jabber.org/protocol/pubsub#event'>{what}</event>"
    return f"<message from='{sender}' type='headline'>{said}{beside}</message>"


def carbon(side: str, inner: str, sender: str = "romeo@example.org") -> str:
    return (
        f"<message from='{sender}' type='chat'><{side} xmlns='urn:xmpp:carbons:2'>"
        f"<forwarded xmlns='urn:xmpp:forward:0'>{inner}</forwarded></{side}></message>"
    )


class CsiCase(SynchronousTestCase):
    """Romeo's phone is in his pocket."""

    options: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        self.world = World(modules={"mod_client_state": self.options, "mod_ping": {}})
        self.addCleanup(self.world.stop)
        self.phone = self.world.client("romeo@example.org/phone")
        self.phone.send(INACTIVE)

    @property
    def session(self) -> Session:
        session = self.world.host("example.org").sessions.find("romeo", "phone")
        assert session is not None
        return session

    def come(self, *stanzas: str) -> None:
        """Have these come for the phone."""
        for xml in stanzas:
            element = parse(xml, "jabber:client")
            self.session.send(KINDS[element.name](element))
        self.world.pump()

    def waiting(self) -> int:
        return len(self.session.notes[HELD])

    def assert_waits(self, *stanzas: str) -> None:
        """They wait, and come when the client is active again."""
        before = self.waiting()
        self.come(*stanzas)
        self.phone.nothing()
        self.assertEqual(self.waiting(), before + len(stanzas))

    def assert_goes(self, xml: str) -> None:
        """It goes at once, with what has waited before it."""
        self.come("<presence from='nurse@example.com/x'/>", xml)
        self.phone.expect("<presence from='nurse@example.com/x'/>")
        self.phone.expect(xml)
        self.phone.nothing()


class StateTests(CsiCase):
    """XEP-0352 §4, §5."""

    def test_it_is_offered_when_a_client_has_authenticated(self) -> None:
        assert self.phone.features is not None
        self.assertIsNotNone(self.phone.features.child("urn:xmpp:csi:0", "csi"))
        stranger = self.world.connect()
        self.assertIsNone(stranger.open("example.org").child("urn:xmpp:csi:0", "csi"))

    def test_there_is_no_answer(self) -> None:
        self.phone.send(ACTIVE + ACTIVE + INACTIVE + INACTIVE + ACTIVE)
        self.phone.nothing()

    def test_the_server_must_assume_that_a_client_is_active(self) -> None:
        laptop = self.world.client("romeo@example.org/laptop")
        session = self.world.host("example.org").sessions.find("romeo", "laptop")
        assert session is not None
        session.send(KINDS["presence"](parse(f"<presence from='{BALCONY}'/>", "jabber:client")))
        laptop.expect(f"<presence from='{BALCONY}'/>")

    def test_what_has_waited_comes_when_the_client_is_active_again(self) -> None:
        self.assert_waits(f"<presence from='{BALCONY}'/>")
        self.phone.send(ACTIVE)
        self.phone.expect(f"<presence from='{BALCONY}'/>")
        self.come(f"<presence from='{CHAMBER}'/>")
        self.phone.expect(f"<presence from='{CHAMBER}'/>")

    def test_all_of_it_comes_before_anything_that_the_client_asks_next(self) -> None:
        """§5.1, example 4."""
        self.assert_waits(f"<presence from='{BALCONY}'/>")
        self.phone.send(f"{ACTIVE}<iq to='example.org' id='ping1' type='get'><ping xmlns='urn:xmpp:ping'/></iq>")
        self.phone.expect(f"<presence from='{BALCONY}'/>")
        self.phone.expect("<iq type='result' id='ping1'/>")

    def test_while_all_clients_are_active_nobody_looks_at_what_they_are_sent(self) -> None:
        chains = self.world.host("example.org").chains
        for send in (self.phone.send, lambda state: self.phone.cut()):
            self.phone.send(INACTIVE + INACTIVE)
            self.assertEqual(len(chains.of(hooks.user_receive_packet)), 1)
            send(ACTIVE)
            self.world.pump()
            self.assertEqual(chains.of(hooks.user_receive_packet), ())

    def test_to_be_inactive_twice_is_to_be_inactive(self) -> None:
        self.assert_waits(f"<presence from='{BALCONY}'/>")
        self.phone.send(INACTIVE)
        self.assertEqual(self.waiting(), 1)

    def test_it_must_be_independent_of_presence(self) -> None:
        session = self.session
        session.available = True
        self.phone.send(ACTIVE + INACTIVE)
        self.assertTrue(session.available)
        self.phone.send("<presence type='unavailable'/>")
        self.assertIn(HELD, session.notes)

    def test_a_session_that_is_resumed_is_active(self) -> None:
        """§5.2."""
        self.assert_waits(f"<presence from='{BALCONY}'/>")
        hooks.session_resumed.run(self.world.host("example.org").chains, self.session)
        self.phone.expect(f"<presence from='{BALCONY}'/>")
        self.assertNotIn(HELD, self.session.notes)

    def test_what_waits_for_a_session_that_ends_is_lost_silently(self) -> None:
        worried = worries(self)
        self.assert_waits(f"<presence from='{BALCONY}'/>")
        self.phone.close()
        self.phone.nothing()
        self.assertEqual(worried, [])

    def test_what_else_there_may_be_is_not_known(self) -> None:
        self.phone.send("<idle xmlns='urn:xmpp:csi:0'/>")
        self.assertIn("unsupported-stanza-type", self.phone.receive().to_xml())

    def test_a_module_that_is_taken_out_sends_what_it_has(self) -> None:
        self.assert_waits(f"<presence from='{BALCONY}'/>")
        reload(self.world, {"mod_ping": {}})
        self.phone.expect(f"<presence from='{BALCONY}'/>")


class PrivacyTests(SynchronousTestCase):
    """§6: "servers MUST NOT reveal the clients active/inactive state to other entities on the network"."""

    def seen(self, state: str) -> list[tuple[str, str]]:
        """All that others than Romeo's phone get, which says *state* and comes to its end in some way."""
        modules = ("client_state", "roster", "disco", "last", "carboncopy", "offline", "ping", "stream_mgmt")
        world = World(modules={f"mod_{name}": {} for name in modules})
        self.addCleanup(world.stop)
        phone, laptop = world.client("romeo@example.org/phone"), world.client("romeo@example.org/laptop")
        juliet, tybalt = world.client("juliet@example.org/balcony"), world.client("tybalt@example.org/street")
        others = {"laptop": laptop, "juliet": juliet, "tybalt": tybalt}
        seen: list[tuple[str, str]] = []

        def look() -> None:
            world.pump()
            for name, client in others.items():
                seen.extend((name, _without_chance(element.to_xml())) for element in client.drain())

        def ask() -> None:
            for client in others.values():
                for to in ("romeo@example.org", "romeo@example.org/phone"):
                    for payload in QUESTIONS:
                        client.send(f"<iq type='get' id='q' to='{to}'>{payload}</iq>")
                    client.send(f"<presence type='probe' to='{to}'/>")
                    client.send(f"<message type='chat' to='{to}'><body>Hark!</body></message>")
                    client.send(f"<message type='chat' to='{to}'>{COMPOSING}</message>")
                    client.send(f"<message type='headline' to='{to}'><body>News</body></message>")
                    client.send(f"<presence to='{to}'><show>away</show></presence>")
                    look()

        for client in (phone, laptop, juliet, tybalt):
            client.send("<presence/>")
        juliet.send("<presence type='subscribe' to='romeo@example.org'/>")
        laptop.send("<presence type='subscribed' to='juliet@example.org'/>")
        for client in (phone, laptop):
            client.send("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
        phone.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        look()
        seen.clear()
        phone.send(state)
        look()
        self.assertEqual(seen, [])
        ask()
        world.advance(60)
        ask()
        phone.send("<presence><show>dnd</show></presence>")
        phone.send("<message type='chat' to='juliet@example.org'><body>Ay me.</body></message>")
        ask()
        phone.cut()
        ask()
        world.advance(301)
        ask()
        return seen

    def test_nobody_else_gets_anything_that_tells_it(self) -> None:
        active = self.seen(ACTIVE)
        self.assertEqual({name for name, _ in active}, {"laptop", "juliet", "tybalt"})
        self.assertEqual(self.seen(INACTIVE), active)


#: What one may ask of an account and of a client.
QUESTIONS: Final = (
    "<query xmlns='http://jabber.org/protocol/disco#info'/>",
    "<query xmlns='http://jabber.org/protocol/disco#items'/>",
    "<query xmlns='jabber:iq:last'/>",
    "<ping xmlns='urn:xmpp:ping'/>",
)


def _without_chance(xml: str) -> str:
    """*xml* without what is another each time."""
    return re.sub(r" id='[0-9a-f]{30}'", "", xml)


class PresenceTests(CsiCase):
    def test_of_each_address_only_the_last_is_sent(self) -> None:
        self.come(
            f"<presence from='{BALCONY}'><show>away</show></presence>",
            f"<presence from='{CHAMBER}'/>",
            f"<presence from='{BALCONY}' type='unavailable'/>",
            f"<presence from='{BALCONY}'><show>dnd</show></presence>",
        )
        self.phone.send(ACTIVE)
        self.phone.expect(f"<presence from='{CHAMBER}'/>")
        self.phone.expect(f"<presence from='{BALCONY}'><show>dnd</show></presence>")
        self.phone.nothing()

    def test_it_says_since_when_it_waits(self) -> None:
        self.come(f"<presence from='{BALCONY}'><show>away</show></presence>")
        stamp = delay.stamp(self.world.host("example.org").now())
        self.world.advance(60)
        self.phone.send(ACTIVE)
        waited = f"<delay xmlns='urn:xmpp:delay' from='example.org' stamp='{stamp}'/>"
        self.phone.expect(f"<presence from='{BALCONY}'><show>away</show>{waited}</presence>")

    def test_what_is_about_a_subscription_does_not_wait(self) -> None:
        for kind in ("subscribe", "subscribed", "unsubscribe", "unsubscribed", "error"):
            self.assert_goes(f"<presence type='{kind}' from='juliet@example.com'/>")

    def test_a_client_hears_at_once_that_it_is_in_a_room_or_not(self) -> None:
        status = "<x xmlns='http://jabber.org/protocol/muc#user'><status code='110'/><status code='307'/></x>"
        self.assert_goes(f"<presence type='unavailable' from='room@muc.example/romeo'>{status}</presence>")

    def test_the_trees_of_what_waits_are_not_kept(self) -> None:
        self.come(f"<presence from='{BALCONY}'><show>away</show></presence>")
        ((stanza, *_),) = self.session.notes[HELD]._stanzas.values()
        self.assertEqual(stanza.element.children, [])


class MessageTests(CsiCase):
    def test_nothing_that_somebody_wrote_waits(self) -> None:
        for xml in (
            f"<message type='chat' from='{BALCONY}'><body>Hark!</body>{COMPOSING}</message>",
            happened("<items node='urn:x'><item id='1'/></items>", beside="<body>Hark!</body>"),
            f"<message type='headline' from='{BALCONY}'><subject>News</subject>{COMPOSING}</message>",
            "<message type='groupchat' from='room@muc.example'><subject>Verona</subject></message>",
            carbon("received", f"<message from='{BALCONY}' type='chat'><body>Hark!</body></message>"),
            f"<message from='{BALCONY}'><received xmlns='urn:xmpp:receipts' id='1'/></message>",
            f"<message type='error' from='{BALCONY}'>{COMPOSING}<error type='cancel'/></message>",
            f"<message from='{BALCONY}'>{COMPOSING}<encrypted xmlns='eu.siacs.conversations.axolotl'/></message>",
            "<message from='room@muc.example'><x xmlns='http://jabber.org/protocol/muc#user'><invite/></x>"
            f"{COMPOSING}</message>",
        ):
            self.assert_goes(xml)

    def test_an_iq_does_not_wait(self) -> None:
        self.assert_goes(f"<iq type='get' id='1' from='{BALCONY}'><query xmlns='urn:x'/></iq>")

    def test_of_chat_states_the_last_of_each_sender_is_sent(self) -> None:
        hint = "<no-store xmlns='urn:xmpp:hints'/><thread>t1</thread>"
        self.come(
            f"<message type='chat' from='{BALCONY}'>{COMPOSING}{hint}</message>",
            f"<message type='chat' from='nurse@example.com/x'>{COMPOSING}</message>",
            f"<message type='chat' from='{BALCONY}'>{PAUSED}{hint}</message>",
        )
        self.phone.send(ACTIVE)
        self.phone.expect(f"<message from='nurse@example.com/x'>{COMPOSING}</message>")
        self.phone.expect(f"<message from='{BALCONY}'>{PAUSED}{hint}</message>")
        self.phone.nothing()

    def test_a_copy_of_a_chat_state_counts_for_its_sender(self) -> None:
        state = f"<message xmlns='jabber:client' type='chat' from='{BALCONY}' to='romeo@example.org/laptop'>"
        self.come(f"<message type='chat' from='{BALCONY}'>{COMPOSING}</message>")
        self.come(carbon("received", f"{state}{PAUSED}</message>"))
        self.assertEqual(self.waiting(), 1)
        self.phone.send(ACTIVE)
        self.phone.expect("<message from='romeo@example.org'><received xmlns='urn:xmpp:carbons:2'/></message>")

    def test_a_chat_state_that_the_user_sent_elsewhere_does_not_wait(self) -> None:
        state = f"<message xmlns='jabber:client' type='chat' from='romeo@example.org/laptop' to='{BALCONY}'>"
        self.assert_goes(carbon("sent", f"{state}{COMPOSING}</message>"))

    def test_a_forged_copy_is_a_message_like_any_other(self) -> None:
        state = f"<message xmlns='jabber:client' type='chat' from='{BALCONY}'>{COMPOSING}</message>"
        self.assert_goes(carbon("received", state, sender="tybalt@example.com/x"))


class EventTests(CsiCase):
    def test_of_what_contacts_do_at_present_the_last_is_sent(self) -> None:
        self.come(event(TUNE, "a"), event(TUNE, "b", sender="nurse@example.com"), event(TUNE, "c"))
        self.phone.send(ACTIVE)
        self.phone.expect(event(TUNE, "b", sender="nurse@example.com"))
        self.phone.expect(event(TUNE, "c"))
        self.phone.nothing()

    def test_of_other_nodes_the_last_of_each_item_is_sent(self) -> None:
        retracted = happened("<items node='urn:y'><retract id='1'/></items>")
        self.come(event("urn:y", "1"), event("urn:y", "2"), event("urn:z", "1"), retracted)
        self.phone.send(ACTIVE)
        self.phone.expect(event("urn:y", "2"))
        self.phone.expect(event("urn:z", "1"))
        self.phone.expect(retracted)
        self.phone.nothing()

    def test_what_becomes_of_a_node_does_not_replace_its_items(self) -> None:
        self.assert_waits(
            event("urn:y", "1"),
            happened("<purge node='urn:y'/>"),
        )

    def test_what_the_users_own_clients_publish_for_each_other_does_not_wait(self) -> None:
        self.assert_goes(event(BOOKMARKS, "room@muc.example", sender="romeo@example.org"))
        self.assert_waits(event(TUNE, "1", sender="romeo@example.org"))

    def test_events_of_others_than_accounts_do_not_wait(self) -> None:
        for sender in ("pubsub.example.com", BALCONY):
            self.assert_goes(event("urn:y", "1", sender=sender))

    def test_items_that_cannot_be_told_apart_do_not_wait(self) -> None:
        self.assert_goes(happened("<items node='urn:y'><item/></items>"))


class BoundTests(CsiCase):
    def test_when_so_many_wait_all_are_sent(self) -> None:
        self.patch(client_state_held, "MOST_HELD", 3)
        senders = [f"juliet@example.com/{number}" for number in range(5)]
        self.assert_waits(*(f"<presence from='{sender}'/>" for sender in senders[:3]))
        self.come(f"<presence from='{senders[3]}'/>")
        self.assertEqual([got.get("from") for got in self.phone.drain()], senders[:4])
        self.assert_waits(f"<presence from='{senders[4]}'/>")

    def test_when_so_many_bytes_wait_all_are_sent(self) -> None:
        self.patch(client_state_held, "MOST_BYTES", 1000)
        self.assert_waits(f"<presence from='{BALCONY}'><status>{'o' * 900}</status></presence>")
        self.come(f"<presence from='{CHAMBER}'><status>{'o' * 900}</status></presence>")
        self.assertEqual(len(self.phone.drain()), 2)
        self.assertEqual((self.waiting(), self.session.notes[HELD].size), (0, 0))

    def test_what_replaces_another_takes_its_room(self) -> None:
        for _ in range(3):
            self.come(f"<presence from='{BALCONY}'><status>Hark!</status></presence>")
        held = self.session.notes[HELD]
        ((stanza, *_),) = held._stanzas.values()
        self.assertEqual(held.size, len(stanza.to_bytes()))


class OptionTests(CsiCase):
    options: ClassVar[dict[str, Any]] = {"queue_presence": False, "queue_chat_states": False, "queue_pep": False}

    def test_what_the_operator_does_not_want_to_wait_does_not(self) -> None:
        for xml in (
            f"<presence from='{BALCONY}'/>",
            f"<message type='chat' from='{BALCONY}'>{COMPOSING}</message>",
            event(TUNE, "1"),
        ):
            self.come(xml)
            self.phone.expect(xml)
            self.phone.nothing()


class Seeing(Module):
    """Is asked about all that goes to a session."""

    name = "mod_seeing"

    async def on_start(self) -> None:
        self.seen: list[Stanza] = []

    @hooks.user_receive_packet
    def see(self, session: Session, stanza: Stanza) -> Outcome:
        self.seen.append(stanza)
        return None


class OrderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(modules={"mod_client_state": {}, "mod_seeing": {}}, own_modules={"mod_seeing": Seeing})
        self.addCleanup(self.world.stop)
        self.phone: Client = self.world.client("romeo@example.org/phone")
        session = self.world.host("example.org").sessions.find("romeo", "phone")
        assert session is not None
        self.session = session

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.tuples(st.sampled_from(("presence", "message", "state")), st.sampled_from("ab")), max_size=20))
    def test_nothing_is_lost_but_what_was_outdated_and_nothing_overtakes(self, coming: list[tuple[str, str]]) -> None:
        self.phone.send(INACTIVE)
        seen = self.world.host("example.org").module(Seeing).seen
        seen.clear()
        for number, (what, who) in enumerate(coming):
            inside = {"presence": "", "message": "<body>Hark!</body>", "state": COMPOSING}[what]
            name = "presence" if what == "presence" else "message"
            xml = f"<{name} id='{number}' from='{who}@example.com/x'>{inside}</{name}>"
            self.session.send(KINDS[name](parse(xml, "jabber:client")))
        self.phone.send(ACTIVE)
        got = [int(element.get("id") or "") for element in self.phone.drain()]
        self.assertEqual(got, expected(coming))
        self.assertEqual(len(seen), len(coming))


def expected(coming: list[tuple[str, str]]) -> list[int]:
    """What a client gets: all that is no message in the order in which it came, unless replaced before the next one."""
    got: list[int] = []
    since: list[int] = []
    for number, (what, _) in enumerate(coming):
        if what == "message":
            got += [*since, number]
            since = []
        else:
            since = [*(other for other in since if coming[other] != coming[number]), number]
    return got + since
