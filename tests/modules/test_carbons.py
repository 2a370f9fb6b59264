from __future__ import annotations

import re
from typing import Any, ClassVar, Final

from twisted.trial.unittest import SynchronousTestCase

from federix.api import HANDLED, JID, Element, Message, Module, Outcome, Session, Stanza, hooks
from federix.modules import copies
from federix.modules.carbons import REMEMBERED, Carbons
from federix.modules.offline import Offline
from federix.testing import Client, World
from federix.testing.match import parse

from ..core.passage_case import Keeper, SlowArchives
from .rfc6121 import Elsewhere

CARBONS: Final = "urn:xmpp:carbons:2"
BODY: Final = "<body>Hark!</body>"
PRIVATE: Final = "<private xmlns='urn:xmpp:carbons:2'/>"
NO_COPY: Final = "<no-copy xmlns='urn:xmpp:hints'/>"
IN_ROOM: Final = "<x xmlns='http://jabber.org/protocol/muc#user'/>"
UNAVAILABLE: Final = "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
JULIET: Final = "juliet@example.org/balcony"
OCCUPANT: Final = "room@muc.example/mercutio"


def content(copy: Element, side: str) -> Element:
    """The message that a copy holds."""
    element = copy.child(CARBONS, side)
    assert element is not None, copy.to_xml()
    forwarded = element.child("urn:xmpp:forward:0", "forwarded")
    assert forwarded is not None
    (message,) = forwarded.elements()
    return message


class CarbonsCase(SynchronousTestCase):
    """Romeo is at home and in the garden, and has a tablet with a priority of -1. Juliet has one client."""

    own_modules: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        modules: dict[str, Any] = {
            "mod_carboncopy": {},
            "mod_roster": {},
            "mod_disco": {},
            **{name: {} for name in self.own_modules},
        }
        self.world = World(modules=modules, own_modules=self.own_modules)
        self.addCleanup(self.world.stop)
        self.remote = Elsewhere(self.world, "muc.example")
        self.home, self.garden, self.tablet = (
            self.arrive(f"romeo@example.org/{name}", priority)
            for name, priority in (("home", 1), ("garden", 0), ("tablet", -1))
        )
        self.juliet = self.arrive(JULIET)
        self.romeos = (self.home, self.garden, self.tablet)
        for client in self.romeos:
            client.drain()

    def arrive(self, jid: str, priority: int = 0) -> Client:
        client = self.world.client(jid)
        client.send(f"<presence><priority>{priority}</priority></presence>")
        client.drain()
        return client

    def ask(self, client: Client, what: str, to: str | None = None) -> Element:
        address = "" if to is None else f" to='{to}'"
        return client.request(f"<iq type='set'{address} id='{client.new_id()}'><{what} xmlns='{CARBONS}'/></iq>")

    def enable(self, *clients: Client) -> None:
        for client in clients:
            self.assertEqual(self.ask(client, "enable").get("type"), "result")

    def copy(self, client: Client, side: str) -> Element:
        """The message in the only thing that has come."""
        got = client.receive()
        assert client.jid is not None
        self.assertEqual((got.name, got.get("from"), got.get("to")), ("message", "romeo@example.org", str(client.jid)))
        client.nothing()
        return content(got, side)

    def assert_condition(self, answer: Element, condition: str) -> None:
        self.assertEqual(answer.get("type"), "error")
        self.assertIn(f"<{condition} ", answer.to_xml())


class EnablingTests(CarbonsCase):
    """XEP-0280 §3 to §5, §10.1."""

    def test_the_server_tells_that_it_copies_and_by_which_rules(self) -> None:
        info = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
        answer = self.home.request(f"<iq type='get' to='example.org' id='info1'>{info}</iq>")
        self.assertIn("<feature var='urn:xmpp:carbons:2'/>", answer.to_xml())
        self.assertIn("<feature var='urn:xmpp:carbons:rules:0'/>", answer.to_xml())

    def test_a_client_that_asks_gets_copies(self) -> None:
        answer = self.ask(self.garden, "enable")
        self.assertEqual((answer.get("type"), answer.get("from")), ("result", "romeo@example.org"))
        self.assertIsNone(answer.first())
        self.home.send(f"<message type='chat' to='{JULIET}'>{BODY}</message>")
        self.copy(self.garden, "sent")

    def test_a_client_that_has_not_asked_must_not_get_any(self) -> None:
        self.enable(self.garden)
        self.home.send(f"<message type='chat' to='{JULIET}'>{BODY}</message>")
        self.tablet.nothing()

    def test_a_client_may_ask_by_the_address_of_its_account(self) -> None:
        self.assertEqual(self.ask(self.garden, "enable", "romeo@example.org").get("type"), "result")

    def test_a_client_may_change_its_mind_as_often_as_it_likes(self) -> None:
        for what in ("enable", "enable", "disable", "disable", "enable", "disable"):
            answer = self.ask(self.garden, what)
            self.assertEqual((answer.get("type"), answer.first()), ("result", None))
        self.home.send(f"<message type='chat' to='{JULIET}'>{BODY}</message>")
        self.garden.nothing()

    def test_who_asks_twice_gets_one_copy(self) -> None:
        self.enable(self.garden, self.garden)
        self.home.send(f"<message type='chat' to='{JULIET}'>{BODY}</message>")
        self.copy(self.garden, "sent")

    def test_who_is_of_another_account_is_not_allowed_to(self) -> None:
        for what in ("enable", "disable"):
            self.assert_condition(self.ask(self.juliet, what, "romeo@example.org"), "not-allowed")

    def test_whether_there_is_such_an_account_cannot_be_learnt(self) -> None:
        existing = self.ask(self.juliet, "enable", "romeo@example.org")
        missing = self.ask(self.juliet, "enable", "nobody@example.org")
        self.assertEqual(list(existing.elements()), list(missing.elements()))

    def test_one_of_another_account_cannot_enable_them_for_a_session_of_its_own_elsewhere(self) -> None:
        self.ask(self.juliet, "enable", "romeo@example.org")
        self.home.send(f"<message type='chat' to='nurse@example.org'>{BODY}</message>")
        self.juliet.nothing()

    def test_a_request_to_a_client_is_the_clients(self) -> None:
        self.home.send(f"<iq type='set' to='romeo@example.org/garden' id='x'><enable xmlns='{CARBONS}'/></iq>")
        self.garden.expect(f"<iq type='set' id='x'><enable xmlns='{CARBONS}'/></iq>")

    def test_a_session_that_has_ended_is_forgotten(self) -> None:
        self.enable(self.garden)
        self.garden.close()
        self.assertEqual(self.world.host("example.org").module(Carbons)._accounts, {})

    def test_while_nobody_wants_copies_nobody_looks_at_messages(self) -> None:
        chains = self.world.host("example.org").chains
        for listening in (False, True, False, True):
            for hook in (hooks.user_accepted_message, hooks.sm_delivered_message):
                self.assertEqual(bool(chains.of(hook)), listening)
            for client in (self.home, self.garden):
                self.ask(client, "disable" if listening else "enable")

    def test_a_new_session_has_to_ask_anew(self) -> None:
        self.enable(self.garden)
        self.garden.close()
        self.garden = self.arrive("romeo@example.org/garden")
        self.home.send(f"<message type='chat' to='{JULIET}'>{BODY}</message>")
        self.garden.nothing()


class ReceivingTests(CarbonsCase):
    """XEP-0280 §7."""

    def test_those_get_a_copy_that_did_not_get_the_message(self) -> None:
        self.enable(*self.romeos)
        self.juliet.send(f"<message type='chat' id='m1' to='romeo@example.org'>{BODY}</message>")
        self.home.expect(f"<message type='chat' id='m1'>{BODY}</message>")
        self.home.nothing()
        for client in (self.garden, self.tablet):
            copied = self.copy(client, "received")
            self.assertEqual((copied.get("from"), copied.get("to")), (JULIET, "romeo@example.org"))
            self.assertEqual(copied.text_of("jabber:client", "body"), "Hark!")

    def test_whom_the_message_was_addressed_to_must_not_get_a_copy(self) -> None:
        self.enable(*self.romeos)
        self.juliet.send(f"<message type='chat' id='m1' to='romeo@example.org/garden'>{BODY}</message>")
        self.garden.expect("<message id='m1'/>")
        self.garden.nothing()
        self.copy(self.home, "received")
        self.copy(self.tablet, "received")

    def test_a_copy_is_of_the_type_of_the_message(self) -> None:
        self.enable(self.garden)
        for kind in ("chat", "normal"):
            self.juliet.send(f"<message type='{kind}' to='romeo@example.org'>{BODY}</message>")
            self.assertEqual(self.garden.receive().get("type"), kind)

    def test_when_nobody_can_get_the_message_those_who_want_copies_do(self) -> None:
        self.enable(self.tablet)
        self.home.close()
        self.garden.close()
        self.tablet.drain()
        self.juliet.send(f"<message type='chat' to='romeo@example.org'>{BODY}</message>")
        self.copy(self.tablet, "received")

    def test_the_bytes_of_the_message_are_those_that_came(self) -> None:
        self.enable(self.garden, self.tablet)
        self.juliet.send("<message type = 'chat' to='romeo@example.org' ><body >Hark&#33;</body ></message>")
        for client in (self.garden, self.tablet):
            client.receive()
            self.assertIn(b"<message xmlns='jabber:client' from='juliet@example.org/balcony'", bytes(client.raw))
            self.assertIn(b"<body >Hark&#33;</body ></message></forwarded></received></message>", bytes(client.raw))

    def test_a_private_message_must_not_be_copied_and_says_so_to_its_end(self) -> None:
        self.enable(*self.romeos)
        for avoiding in (PRIVATE, NO_COPY):
            self.juliet.send(f"<message type='chat' to='romeo@example.org'>{BODY}{avoiding}</message>")
            self.home.expect(f"<message>{BODY}{avoiding}</message>")
            self.garden.nothing()

    def test_a_private_message_from_an_occupant_of_a_room_is_not_copied(self) -> None:
        self.enable(*self.romeos)
        message = f"<message xmlns='jabber:client' type='chat' from='{OCCUPANT}' to='romeo@example.org/home'>"
        self.come(f"{message}{BODY}{IN_ROOM}</message>")
        self.home.expect(f"<message from='{OCCUPANT}'/>")
        self.garden.nothing()

    def test_a_message_of_a_room_is_not_copied(self) -> None:
        self.enable(*self.romeos)
        message = f"<message xmlns='jabber:client' type='groupchat' from='{OCCUPANT}' to='romeo@example.org/home'>"
        self.come(f"{message}{BODY}</message>")
        self.home.expect(f"<message from='{OCCUPANT}'/>")
        self.garden.nothing()

    def test_what_is_delivered_again_is_not_copied_again(self) -> None:
        self.enable(*self.romeos)
        message = f"<message xmlns='jabber:client' type='chat' from='{JULIET}' to='romeo@example.org' id='m1'>{BODY}"
        repeated = "<delay xmlns='urn:xmpp:delay' from='example.org' stamp='2026-11-20T08:00:00Z'/>"
        self.world.host("example.org").deliver_again(Message(parse(f"{message}{repeated}</message>")))
        self.home.expect("<message id='m1'/>")
        self.garden.nothing()

    def test_who_claims_that_it_is_delivered_again_is_not_believed(self) -> None:
        """§2: clients "MUST be able to see all inbound instant messaging messages"."""
        self.enable(*self.romeos)
        forged = "<delay xmlns='urn:xmpp:delay' from='example.org' stamp='2026-11-20T08:00:00Z'/>"
        self.juliet.send(f"<message type='chat' to='romeo@example.org'>{BODY}{forged}</message>")
        for copied in (self.home.receive(), *(self.copy(client, "received") for client in (self.garden, self.tablet))):
            self.assertEqual([child.name for child in copied.elements()], ["body"])

    def come(self, xml: str) -> None:
        """Have a message come from elsewhere."""
        waiting = self.world.server.router.route(Message(parse(xml)))
        assert waiting is None
        self.world.pump()


class ReceivingBesideOfflineTests(ReceivingTests):
    """The same where messages wait for those who are not there."""

    own_modules: ClassVar[dict[str, Any]] = {"mod_offline": Offline}


class SendingTests(CarbonsCase):
    """XEP-0280 §8."""

    def test_all_but_the_sending_client_get_a_copy(self) -> None:
        self.enable(*self.romeos)
        self.home.send(f"<message type='chat' id='m1' to='{JULIET}'>{BODY}</message>")
        self.home.nothing()
        for client in (self.garden, self.tablet):
            copied = self.copy(client, "sent")
            self.assertEqual((copied.get("from"), copied.get("to")), ("romeo@example.org/home", JULIET))
            self.assertEqual(copied.get("id"), "m1")

    def test_it_does_not_matter_whether_the_sending_client_wants_copies(self) -> None:
        self.enable(self.garden)
        self.home.send(f"<message type='chat' to='{JULIET}'>{BODY}</message>")
        self.copy(self.garden, "sent")

    def test_a_private_message_is_not_copied_and_goes_on_as_it_is(self) -> None:
        self.enable(*self.romeos)
        for avoiding in (PRIVATE, NO_COPY):
            self.home.send(f"<message type='chat' to='{JULIET}'>{BODY}{avoiding}</message>")
            self.garden.nothing()
            self.juliet.expect(f"<message>{BODY}{avoiding}</message>")

    def test_of_what_one_writes_to_oneself_nobody_gets_two(self) -> None:
        self.enable(*self.romeos)
        self.tablet.send(f"<message type='chat' to='romeo@example.org'>{BODY}</message>")
        self.home.expect(f"<message from='romeo@example.org/tablet'>{BODY}</message>")
        self.home.nothing()
        self.copy(self.garden, "received")
        self.tablet.nothing()

    def test_a_private_message_to_an_occupant_goes_to_the_clients_in_that_room(self) -> None:
        self.enable(*self.romeos)
        for client in (self.home, self.garden):
            client.send("<presence to='room@muc.example/romeo'/>")
        self.home.send(f"<message type='chat' to='{OCCUPANT}'>{BODY}{IN_ROOM}</message>")
        self.copy(self.garden, "sent")
        self.tablet.nothing()

    def test_without_a_hint_at_a_room_it_goes_to_all(self) -> None:
        self.enable(*self.romeos)
        self.home.send(f"<message type='chat' to='{OCCUPANT}'>{BODY}</message>")
        self.copy(self.garden, "sent")
        self.copy(self.tablet, "sent")

    def test_nobody_but_the_server_can_speak_as_the_account(self) -> None:
        """§11: "Any forwarded copies received by a Carbons-enabled client MUST be from that user's bare JID"."""
        self.enable(*self.romeos)
        forged = f"<received xmlns='{CARBONS}'><forwarded xmlns='urn:xmpp:forward:0'/></received>"
        self.juliet.send(f"<message type='chat' to='romeo@example.org/home'>{forged}</message>")
        self.assertEqual(self.home.receive().get("from"), JULIET)
        self.garden.nothing()
        self.tablet.send(
            f"<message type='chat' from='romeo@example.org' to='romeo@example.org/home'>{forged}</message>"
        )
        self.assertEqual(self.home.receive().get("from"), "romeo@example.org/tablet")
        self.garden.nothing()


class ErrorTests(CarbonsCase):
    """XEP-0280 §6.1, §10.3."""

    def setUp(self) -> None:
        super().setUp()
        self.enable(*self.romeos)

    def refuse(self, id: str = "m1", to: str = "romeo@example.org/home") -> None:
        """Juliet answers with an error."""
        self.juliet.send(f"<message type='error' id='{id}' to='{to}'>{UNAVAILABLE}</message>")

    def drain(self) -> None:
        for client in self.romeos:
            client.drain()

    def test_an_error_in_answer_to_what_was_copied_is_copied(self) -> None:
        self.home.send(f"<message type='chat' id='m1' to='{JULIET}'>{BODY}</message>")
        self.drain()
        self.refuse()
        self.home.expect("<message type='error' id='m1'/>")
        self.assertEqual(self.copy(self.garden, "received").get("type"), "error")

    def test_one_that_the_server_makes_is_as_well(self) -> None:
        self.world.register("nurse@example.org")
        self.home.send(f"<message type='chat' id='m1' to='nurse@example.org'>{BODY}</message>")
        self.home.expect("<message type='error' id='m1'/>")
        sent, received = self.garden.drain()
        self.assertEqual(content(sent, "sent").get("type"), "chat")
        self.assertEqual(content(received, "received").get("type"), "error")

    def test_of_what_is_not_accepted_at_all_neither_message_nor_error_is_copied(self) -> None:
        self.home.send(f"<message type='chat' id='m1' to='nobody@example.org'>{BODY}</message>")
        self.home.expect("<message type='error' id='m1'/>")
        self.garden.nothing()

    def test_an_error_in_answer_to_a_message_without_an_id_is_known(self) -> None:
        self.home.send(f"<message type='chat' to='{JULIET}'>{BODY}</message>")
        self.drain()
        self.juliet.send(f"<message type='error' to='romeo@example.org/home'>{UNAVAILABLE}</message>")
        self.copy(self.garden, "received")

    def test_an_error_in_answer_to_what_was_not_copied_is_not(self) -> None:
        for content in (f"{BODY}{PRIVATE}", f"{BODY}{NO_COPY}"):
            self.home.send(f"<message type='chat' id='m1' to='{JULIET}'>{content}</message>")
            self.refuse()
            self.home.expect("<message type='error'/>")
            self.garden.nothing()

    def test_an_error_in_answer_to_nothing_is_not_copied(self) -> None:
        self.juliet.send(f"<message type='error' id='m1' to='romeo@example.org/home'>{BODY}{UNAVAILABLE}</message>")
        self.home.expect("<message type='error'/>")
        self.garden.nothing()

    def test_an_error_by_which_a_client_answers_what_it_got_is_copied(self) -> None:
        self.juliet.send(f"<message type='chat' id='m1' to='romeo@example.org'>{BODY}</message>")
        self.drain()
        self.home.send(f"<message type='error' id='m1' to='{JULIET}'>{UNAVAILABLE}</message>")
        self.assertEqual(self.copy(self.garden, "sent").get("type"), "error")

    def test_a_private_error_is_not_copied(self) -> None:
        self.home.send(f"<message type='chat' id='m1' to='{JULIET}'>{BODY}</message>")
        self.drain()
        self.juliet.send(f"<message type='error' id='m1' to='romeo@example.org/home'>{PRIVATE}{UNAVAILABLE}</message>")
        self.garden.nothing()

    def test_an_error_in_answer_to_a_copy_must_not_go_to_the_sender(self) -> None:
        self.juliet.send(f"<message type='chat' id='m1' to='romeo@example.org/home'>{BODY}</message>")
        self.drain()
        self.garden.send(f"<message type='error' to='romeo@example.org'>{UNAVAILABLE}</message>")
        for client in (self.juliet, *self.romeos):
            client.nothing()

    def test_only_so_many_messages_are_remembered(self) -> None:
        for number in range(REMEMBERED + 1):
            self.home.write(f"<message type='chat' id='m{number}' to='{JULIET}'>{BODY}</message>")
        self.world.pump()
        self.drain()
        self.refuse("m0")
        self.garden.nothing()
        self.refuse("m1")
        self.copy(self.garden, "received")
        self.assertEqual(len(self.world.host("example.org").module(Carbons)._accounts["romeo"]._hashes), REMEMBERED)


class Refusing(Module):
    """Refuses what its clients send and get."""

    name = "mod_refusing"

    @hooks.user_send_packet.only(Message)
    def sent(self, session: Session, stanza: Stanza) -> Outcome:
        return HANDLED if stanza.id == "unsent" else None

    @hooks.sm_receive_packet.only(Message)
    def received(self, account: JID, stanza: Stanza) -> Outcome:
        return HANDLED if stanza.id == "refused" else None


class RefusedTests(CarbonsCase):
    own_modules: ClassVar[dict[str, Any]] = {"mod_refusing": Refusing}

    def test_a_message_that_goes_nowhere_is_not_copied(self) -> None:
        self.enable(*self.romeos)
        self.home.send(f"<message type='chat' id='unsent' to='{JULIET}'>{BODY}</message>")
        self.juliet.send(f"<message type='chat' id='refused' to='romeo@example.org'>{BODY}</message>")
        for client in self.romeos:
            client.nothing()


class WaitingTests(CarbonsCase):
    """What waits for an account (XEP-0160) is not handed to a client that has a copy of it."""

    own_modules: ClassVar[dict[str, Any]] = {"mod_offline": Offline}

    def setUp(self) -> None:
        super().setUp()
        for client in (self.home, self.garden):
            client.close()
        self.tablet.drain()
        self.enable(self.tablet)

    def write(self, *bodies: str, more: str = "") -> None:
        for body in bodies:
            self.juliet.send(f"<message type='chat' id='m' to='romeo@example.org'><body>{body}</body>{more}</message>")

    def heard(self, client: Client) -> list[str]:
        """The texts of the messages and copies that have come."""
        self.world.advance(2)
        return [re.sub("<[^>]*>", "", element.to_xml()) for element in client.drain() if element.name == "message"]

    def kept(self) -> int:
        count: int = self.world.run(self.world.host("example.org").module(Offline).kept.count("romeo@example.org"))
        return count

    def test_a_client_that_has_a_copy_of_what_waits_is_not_handed_it_as_well(self) -> None:
        self.write("one", "two")
        self.assertEqual((self.heard(self.tablet), self.kept()), (["one", "two"], 2))
        self.tablet.send("<presence/>")
        self.assertEqual((self.heard(self.tablet), self.kept()), ([], 0))

    def test_another_client_is(self) -> None:
        self.write("one", "two")
        kitchen = self.world.client("romeo@example.org/kitchen")
        kitchen.send("<presence/>")
        self.assertEqual(self.heard(kitchen), ["one", "two"])

    def test_who_fetches_what_waits_gets_it(self) -> None:
        self.write("one", "two")
        self.tablet.drain()
        self.tablet.send(
            "<iq type='get' id='f'><offline xmlns='http://jabber.org/protocol/offline'><fetch/></offline></iq>"
        )
        self.assertEqual(self.heard(self.tablet), ["one", "two"])

    def test_what_is_not_copied_is(self) -> None:
        self.write("one")
        self.write("two", more=PRIVATE)
        self.ask(self.tablet, "disable")
        self.write("one")
        self.assertEqual(self.heard(self.tablet), ["one"])
        self.tablet.send("<presence/>")
        self.assertEqual((self.heard(self.tablet), self.kept()), (["two", "one"], 0))

    def test_only_so_many_are_remembered(self) -> None:
        self.patch(copies, "MOST_COPIES", 5)
        self.write(*map(str, range(8)))
        self.tablet.drain()
        self.tablet.send("<presence/>")
        self.assertEqual(self.heard(self.tablet), ["0", "1", "2"])


class KeptTests(CarbonsCase):
    """Where there are archives, a copy is made of what is kept."""

    own_modules: ClassVar[dict[str, Any]] = {"mod_keeper": Keeper}

    def setUp(self) -> None:
        super().setUp()
        self.archives = SlowArchives()
        self.world.server.storage.archives = self.archives
        self.archives.slow = True
        self.enable(*self.romeos)
        self.home.send(f"<message type='chat' id='m1' to='{JULIET}'>{BODY}</message>")
        self.juliet.send(f"<message type='chat' id='m2' to='romeo@example.org/home'>{BODY}</message>")

    def test_it_is_copied_when_it_is_kept_and_with_the_id_that_the_archive_gave_it(self) -> None:
        self.garden.nothing()
        self.archives.commit()
        sent, received = (
            content(copy, side) for copy, side in zip(self.garden.drain(), ("sent", "received"), strict=True)
        )
        original = self.home.receive()
        for copied in (sent, received, original):
            stanza_id = copied.child("urn:xmpp:sid:0", "stanza-id")
            assert stanza_id is not None
            self.assertEqual(stanza_id.get("by"), "romeo@example.org")
        self.assertEqual(received, original)

    def test_what_could_not_be_kept_is_not_copied(self) -> None:
        self.archives.fail()
        self.home.expect("<message id='m1' type='error'/>")
        self.home.nothing()
        self.garden.nothing()
