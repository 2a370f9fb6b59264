from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from federix.api import JID, Message
from federix.modules.remembered import MOST_WAITING

from .blocking_case import (
    BALCONY,
    BLOCKING,
    GARDEN,
    JULIET,
    MARKET,
    ORCHARD,
    UNAVAILABLE,
    BlockingCase,
    error,
    items,
    message_from,
    refusal,
)
from .neighbours import reload
from .rfc6121 import MERCUTIO, ROMEO, set_item


class ListTests(BlockingCase):
    """§3.1, §3.2."""

    def test_the_server_must_name_the_feature(self) -> None:
        romeo = self.arrive(ORCHARD)
        for to in ("example.org", ROMEO):
            with self.subTest(to):
                answer = romeo.request(
                    f"<iq type='get' to='{to}' id='1'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
                )
                self.assertIn("<feature var='urn:xmpp:blocking'/>", answer.to_xml())

    def test_an_empty_list_must_be_answered_with_an_empty_element(self) -> None:
        self.assertEqual(self.ask(self.arrive(ORCHARD)), [])

    def test_the_list_must_have_an_item_for_each_blocked_address(self) -> None:
        romeo = self.arrive(ORCHARD)
        self.block(romeo, MERCUTIO)
        self.block(romeo, "IAGO@Shakespeare.lit", "spam.example")
        self.assertEqual(self.ask(romeo), [MERCUTIO, "iago@shakespeare.lit", "spam.example"])

    def test_the_list_is_nobody_elses_business(self) -> None:
        self.arrive(ORCHARD)
        juliet = self.arrive(BALCONY)
        for payload in (f"<blocklist {BLOCKING}/>", f"<block {BLOCKING}>{items(JULIET)}</block>"):
            kind = "get" if "blocklist" in payload else "set"
            for to in (ROMEO, "nobody@example.org"):
                answer = juliet.request(f"<iq type='{kind}' to='{to}' id='{juliet.new_id()}'>{payload}</iq>")
                self.assert_error(answer, UNAVAILABLE)

    def test_a_block_applies_across_sessions_and_restarts(self) -> None:
        romeo = self.arrive(ORCHARD)
        self.block(romeo, JULIET)
        romeo.close()
        reload(self.world, {"mod_roster": {}})
        reload(self.world, self.modules)
        self.assertEqual(self.ask(self.arrive(ORCHARD)), [JULIET])

    def test_the_next_owner_of_the_name_has_an_empty_list(self) -> None:
        romeo = self.arrive(ORCHARD)
        self.block(romeo, JULIET)
        self.world.run(self.world.host("example.org").accounts.remove("romeo"))
        self.assertEqual(self.ask(self.arrive(ORCHARD)), [])


class CommandTests(BlockingCase):
    """§3.3 to §3.5."""

    def test_a_command_must_be_answered_with_an_empty_result(self) -> None:
        romeo = self.arrive(ORCHARD)
        for name, content in (("block", items(JULIET)), ("unblock", items(JULIET)), ("unblock", "")):
            answer = self.command(romeo, name, content)
            self.assertEqual((answer.get("type"), list(answer.elements())), ("result", []))

    def test_a_block_without_an_item_must_be_refused_with_bad_request(self) -> None:
        romeo = self.arrive(ORCHARD)
        self.assert_error(self.command(romeo, "block"), "bad-request")
        self.assert_error(self.command(romeo, "block", "<item/>"), "bad-request")
        self.assert_error(self.command(romeo, "unblock", "<item/>"), "bad-request")

    def test_what_is_no_address_is_refused_and_nothing_of_it_done(self) -> None:
        romeo = self.arrive(ORCHARD)
        self.assert_error(self.command(romeo, "block", items(JULIET, "@")), "jid-malformed")
        self.assertEqual(self.ask(romeo), [])

    def test_one_cannot_block_oneself(self) -> None:
        romeo = self.arrive(ORCHARD)
        for jid in (ROMEO, GARDEN):
            self.assert_error(self.command(romeo, "block", items(JULIET, jid)), "not-allowed")
        self.assertEqual(self.ask(romeo), [])

    def test_a_report_in_an_item_is_ignored_and_the_address_must_be_blocked(self) -> None:
        """XEP-0377 §6."""
        romeo = self.arrive(ORCHARD)
        report = "<report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'><text>No.</text></report>"
        answer = self.command(romeo, "block", f"<item jid='{JULIET}'>{report}</item>")
        self.assertEqual(answer.get("type"), "result")
        self.assertEqual(self.ask(romeo), [JULIET])

    def test_unblocking_takes_addresses_from_the_list(self) -> None:
        romeo = self.arrive(ORCHARD)
        self.block(romeo, JULIET, MERCUTIO, "spam.example")
        self.unblock(romeo, MERCUTIO, "nobody@example.org")
        self.assertEqual(self.ask(romeo), [JULIET, "spam.example"])

    def test_unblocking_nobody_unblocks_all(self) -> None:
        romeo = self.arrive(ORCHARD)
        self.block(romeo, JULIET, MERCUTIO)
        self.unblock(romeo)
        self.assertEqual(self.ask(romeo), [])

    def test_the_list_is_bounded(self) -> None:
        romeo = self.arrive(ORCHARD)
        self.block(romeo, *(f"{count}.example" for count in range(5)))
        self.block(romeo, "0.example")
        self.assert_error(self.command(romeo, "block", items("6.example")), "policy-violation")
        self.assertEqual(len(self.ask(romeo)), 5)

    def test_a_list_that_is_too_long_under_new_bounds_can_shrink(self) -> None:
        romeo = self.arrive(ORCHARD)
        self.block(romeo, JULIET, MERCUTIO)
        reload(self.world, {**self.modules, "mod_blocking": {"max_items": 1}})
        self.block(romeo, JULIET)
        self.unblock(romeo, JULIET)
        self.assertEqual(self.ask(romeo), [MERCUTIO])

    def test_commands_that_wait_are_bounded(self) -> None:
        clients = [self.arrive(f"{ROMEO}/{count}", None) for count in range(MOST_WAITING + 1)]
        storage: Deferred[None] = Deferred()
        update = self.module.kept.update

        async def slowly(owner: str, change: Any) -> Any:
            await storage
            return await update(owner, change)

        self.patch(self.module.kept, "update", slowly)
        for client in clients:
            client.send(f"<iq type='set' id='1'><block {BLOCKING}>{items(JULIET)}</block></iq>")
        *others, last = clients
        self.assert_error(last.receive(), "resource-constraint")
        storage.callback(None)
        for client in others:
            client.expect("<iq type='result'/>")


class RemovedAccountTests(BlockingCase):
    def test_the_next_owner_of_the_name_finds_nobody_blocked(self) -> None:
        kept, storage = self.module.kept, self.world.server.storage
        update, forget = kept.update, storage.forget
        answers: list[Deferred[None]] = []

        async def update_slowly(*args: Any) -> Any:
            updated = await update(*args)
            answers.append(Deferred())
            await answers[-1]
            return updated

        async def forget_in_its_turn(owner: str) -> None:
            """Behind what was written before."""
            if not answers[-1].called:
                answers[-1].callback(None)
            await forget(owner)

        self.patch(kept, "update", update_slowly)
        self.patch(storage, "forget", forget_in_its_turn)
        for number in range(5):
            client = self.world.client(f"{ROMEO}/{number}")
            client.send(f"<iq type='set' id='b'><block {BLOCKING}><item jid='{number}.example'/></block></iq>")
        self.world.run(self.world.host("example.org").accounts.remove("romeo"))
        while not answers[-1].called:
            answers[-1].callback(None)
        self.assertIsNone(self.world.run(kept.get(ROMEO)))


class PushTests(BlockingCase):
    def test_all_resources_that_have_requested_the_list_must_be_sent_what_was_blocked_and_unblocked(self) -> None:
        orchard, garden, silent = (self.arrive(f"{ROMEO}/{name}") for name in ("orchard", "garden", "silent"))
        for client in (orchard, garden):
            self.ask(client)
        for client in (orchard, garden, silent):
            client.drain()
        for name, content in (("block", items(JULIET, MERCUTIO)), ("unblock", items(JULIET)), ("unblock", "")):
            with self.subTest(name, content=content):
                self.command(orchard, name, content)
                for client in (orchard, garden):
                    pushed = [e for e in client.drain() if e.name == "iq"]
                    (push,) = pushed
                    self.assertEqual((push.get("to"), push.get("type")), (str(client.jid), "set"))
                    self.assertIn(f"<{name} {BLOCKING}" + (f">{content}</{name}>" if content else "/>"), push.to_xml())
                self.assertEqual([e for e in silent.drain() if e.name == "iq"], [])

    def test_each_push_has_an_id_of_its_own_and_its_answer_goes_nowhere(self) -> None:
        romeo = self.arrive(ORCHARD)
        self.ask(romeo)
        ids = set()
        for _ in range(2):
            self.block(romeo, "spam.example")
            push = romeo.receive()
            ids.add(push.get("id"))
            romeo.send(f"<iq type='result' id='{push.get('id')}'/>")
        romeo.nothing()
        self.assertEqual(len(ids), 2)


class IncomingTests(BlockingCase):
    """§3.3: "the user's server MUST NOT deliver any XML stanzas from the JID to the user"."""

    def setUp(self) -> None:
        super().setUp()
        self.romeo = self.arrive(ORCHARD)
        self.juliet = self.arrive(BALCONY)
        self.block(self.romeo, JULIET)
        self.romeo.drain()
        self.juliet.drain()

    def test_a_message_is_answered_with_service_unavailable(self) -> None:
        for to in (ROMEO, ORCHARD):
            for kind in ("chat", "normal"):
                self.juliet.send(f"<message to='{to}' type='{kind}'><body>Wherefore?</body></message>")
                self.juliet.expect(error("message"))
        self.romeo.nothing()

    def test_a_headline_a_room_and_an_error_get_no_answer(self) -> None:
        """An error in answer to a room would have it throw the user out."""
        for kind in ("headline", "groupchat", "error"):
            self.juliet.send(f"<message to='{ORCHARD}' type='{kind}'><body>Wherefore?</body></message>")
        self.juliet.nothing()
        self.romeo.nothing()

    def test_presence_must_not_be_answered_nor_delivered(self) -> None:
        for kind in ("subscribe", "subscribed", "unsubscribe", "unsubscribed", "unavailable", "error"):
            self.juliet.send(f"<presence to='{ROMEO}' type='{kind}'/>")
        self.juliet.send(f"<presence to='{ORCHARD}'/><presence><show>away</show></presence>")
        self.romeo.nothing()
        self.assertEqual([e for e in self.juliet.drain() if e.get("from") != BALCONY and e.name == "presence"], [])

    def test_a_probe_must_not_be_answered(self) -> None:
        self.block(self.romeo, MERCUTIO)
        self.remote.got.clear()
        for sender, to in ((MERCUTIO, ROMEO), (MARKET, ROMEO), (MARKET, ORCHARD)):
            self.remote.send(f"<presence from='{sender}' to='{to}' type='probe'/>")
        self.remote.expect()

    def test_a_request_must_be_answered_with_an_error(self) -> None:
        ping = "<ping xmlns='urn:xmpp:ping'/>"
        for to in (ROMEO, ORCHARD):
            for kind in ("get", "set"):
                answer = self.juliet.request(f"<iq type='{kind}' to='{to}' id='{self.juliet.new_id()}'>{ping}</iq>")
                self.assert_error(answer, UNAVAILABLE)
        self.romeo.nothing()

    def test_what_the_server_answers_for_the_account_is_refused_as_well(self) -> None:
        """Juliet may still see his presence, were it not for the block."""
        for payload in (
            "<query xmlns='http://jabber.org/protocol/disco#info'/>",
            "<query xmlns='http://jabber.org/protocol/disco#items'/>",
            "<query xmlns='jabber:iq:last'/>",
            "<query xmlns='jabber:iq:roster'/>",
        ):
            with self.subTest(payload):
                answer = self.juliet.request(f"<iq type='get' to='{ROMEO}' id='{self.juliet.new_id()}'>{payload}</iq>")
                self.assert_error(answer, UNAVAILABLE)

    def test_an_answer_must_be_dropped_silently(self) -> None:
        self.juliet.send(f"<iq type='result' id='1' to='{ORCHARD}'/>")
        self.juliet.send(f"<iq type='error' id='2' to='{ORCHARD}'><error type='cancel'/></iq>")
        self.romeo.nothing()
        self.juliet.nothing()

    def test_it_is_the_same_for_who_is_offline(self) -> None:
        self.romeo.close()
        self.juliet.drain()
        self.module.lists.forget("romeo")
        self.juliet.send(f"<message to='{ROMEO}' type='chat'><body>Wherefore?</body></message>")
        self.juliet.expect(error("message"))
        self.juliet.send(f"<presence to='{ROMEO}' type='subscribe'/>")
        self.juliet.nothing()

    def test_after_unblocking_stanzas_must_be_delivered(self) -> None:
        self.unblock(self.romeo, JULIET)
        self.romeo.drain()
        self.juliet.send(f"<message to='{ROMEO}' type='chat'><body>Wherefore?</body></message>")
        self.romeo.expect(f"<message from='{BALCONY}'/>")
        self.block(self.romeo, JULIET)
        self.unblock(self.romeo)
        self.romeo.drain()
        self.juliet.send(f"<message to='{ROMEO}' type='chat'><body>Wherefore?</body></message>")
        self.romeo.expect(f"<message from='{BALCONY}'/>")

    def test_others_are_not_concerned(self) -> None:
        nurse = self.arrive("nurse@example.org/house")
        nurse.send(f"<message to='{ROMEO}' type='chat'><body>Madam!</body></message>")
        self.romeo.expect("<message from='nurse@example.org/house'/>")

    def test_a_request_that_waited_when_it_was_blocked_is_not_handed_over(self) -> None:
        request = "<presence xmlns='jabber:client' from='{0}' to='" + ROMEO + "' type='subscribe'/>"
        self.remote.send(request.format("tybalt@remote.example"))
        self.remote.send(request.format("paris@remote.example"))
        self.romeo.drain()
        self.block(self.romeo, "tybalt@remote.example")
        garden = self.world.client(GARDEN)
        garden.send("<presence/>")
        asked = [e.get("from") for e in garden.drain() if e.get("type") == "subscribe"]
        self.assertEqual(asked, ["paris@remote.example"])

    def test_a_message_kept_from_before_the_block_is_not_delivered(self) -> None:
        session = self.world.host("example.org").sessions.find("romeo", "orchard")
        assert session is not None
        session.send(message_from(BALCONY))
        self.romeo.nothing()
        session.send(message_from(MARKET))
        self.romeo.expect(f"<message from='{MARKET}'/>")


class Archive:
    """Keeps nothing, and remembers for whom it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def wants(self, account: JID, other: JID, message: Message, sent: bool) -> bool:
        self.asked.append(account.local)
        return False


class ArchiveTests(BlockingCase):
    def test_what_is_refused_is_not_offered_to_the_archive_of_who_has_blocked(self) -> None:
        romeo, juliet = self.arrive(ORCHARD), self.arrive(BALCONY)
        archive = self.world.host("example.org").archive = Archive()
        self.block(romeo, JULIET)
        juliet.send(f"<message to='{ROMEO}' type='chat'><body>Wherefore?</body></message>")
        romeo.send(f"<message to='{JULIET}' type='chat'><body>Can you hear me now?</body></message>")
        self.assertNotIn("romeo", archive.asked)
        self.unblock(romeo)
        romeo.send(f"<message to='{JULIET}' type='chat'><body>Can you hear me now?</body></message>")
        self.assertIn("romeo", archive.asked)


class OutgoingTests(BlockingCase):
    """§3.3: it "MUST NOT route the stanza to the JID but instead MUST return a <not-acceptable/> error"."""

    def setUp(self) -> None:
        super().setUp()
        self.romeo = self.arrive(ORCHARD)
        self.block(self.romeo, MERCUTIO)
        self.romeo.drain()
        self.remote.got.clear()

    def test_a_stanza_to_a_blocked_address_must_be_refused(self) -> None:
        for to in (MERCUTIO, MARKET):
            for xml in (
                f"<message to='{to}' type='chat' id='1'><body>Can you hear me now?</body></message>",
                f"<message to='{to}' type='groupchat' id='1'><body>Can you hear me now?</body></message>",
                f"<iq to='{to}' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
                f"<presence to='{to}' id='1'/>",
                f"<presence to='{to}' type='subscribe' id='1'/>",
            ):
                with self.subTest(xml):
                    self.romeo.send(xml)
                    answer = self.romeo.expect(refusal(xml[1 : xml.index(" ")], to))
                    self.assertEqual((answer.get("to"), answer.get("id")), (ORCHARD, "1"))
        self.remote.expect()

    def test_errors_and_results_to_a_blocked_address_are_dropped(self) -> None:
        for kind in ("message", "presence", "iq"):
            self.romeo.send(f"<{kind} to='{MARKET}' type='error' id='1'><error type='cancel'/></{kind}>")
        self.romeo.send(f"<iq to='{MARKET}' type='result' id='1'/>")
        self.remote.expect()
        self.romeo.nothing()

    def test_after_unblocking_stanzas_are_routed(self) -> None:
        self.unblock(self.romeo, MERCUTIO)
        self.remote.got.clear()
        self.romeo.send(f"<message to='{MARKET}' type='chat'><body>Can you hear me now?</body></message>")
        self.remote.expect(f"<message from='{ORCHARD}' to='{MARKET}'/>")

    def test_others_and_the_account_itself_can_be_spoken_to(self) -> None:
        garden = self.arrive(GARDEN)
        self.romeo.send(f"<message to='{GARDEN}' type='chat'><body>I.</body></message>")
        garden.expect(f"<message from='{ORCHARD}'/>")
        self.romeo.send("<message to='paris@remote.example' type='chat'><body>He.</body></message>")
        self.remote.expect("<message to='paris@remote.example'/>")

    def test_a_first_stanza_waits_for_the_list_and_keeps_its_place(self) -> None:
        self.romeo.close()
        self.module.lists.forget("romeo")
        self.remote.got.clear()
        romeo = self.world.client(GARDEN)
        self.module.lists.forget("romeo")
        romeo.send(
            f"<message to='{MERCUTIO}' id='1'/><message to='paris@remote.example' id='2'/>"
            f"<message to='{MERCUTIO}' id='3'/><message to='paris@remote.example' id='4'/>"
        )
        self.assertEqual([e.get("id") for e in romeo.drain()], ["1", "3"])
        self.assertEqual([e.get("id") for e in self.remote.got], ["2", "4"])


class OwnTests(BlockingCase):
    """§5: it "MUST NOT block communications from one of a user's resources to another"."""

    def test_whoever_blocks_his_own_domain_can_reach_himself_and_the_server(self) -> None:
        romeo, garden, juliet = self.arrive(ORCHARD), self.arrive(GARDEN), self.arrive(BALCONY)
        self.block(romeo, "example.org")
        romeo.drain()
        garden.drain()
        romeo.send(f"<message to='{GARDEN}' type='chat'><body>I.</body></message>")
        garden.expect(f"<message from='{ORCHARD}'/>")
        answer = romeo.request(
            "<iq type='get' to='example.org' id='1'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
        )
        self.assertEqual(answer.get("type"), "result")
        set_item(romeo, "<item jid='nurse@example.org'/>")
        romeo.drain()
        juliet.drain()
        juliet.send(f"<message to='{ROMEO}' type='chat'><body>Wherefore?</body></message>")
        juliet.expect(error("message"))
        self.unblock(romeo, "example.org")

    def test_the_account_sees_its_own_presence(self) -> None:
        romeo = self.arrive(ORCHARD)
        self.block(romeo, "example.org")
        garden = self.world.client(GARDEN)
        garden.send("<presence/>")
        romeo.expect_all(f"<presence from='{GARDEN}' to='{ROMEO}' type='-'/>")
