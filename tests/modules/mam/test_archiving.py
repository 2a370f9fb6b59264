"""XEP-0313 §3, §6, XEP-0359: messages come into archives, each once, and carry their ids."""

from __future__ import annotations

from typing import Any, ClassVar

from federix.api import Message
from federix.storage.archive import Span
from federix.testing import Client
from federix.xmpp import ns
from federix.xmpp.element import Element

from ..neighbours import reload
from .support import JULIET, ROMEO, Case, forwarded

SID = ns.SID


def chat(to: str, body: str = "hark", inside: str = "", kind: str = "chat") -> str:
    return f"<message to='{to}' type='{kind}' id='m1'><body>{body}</body>{inside}</message>"


def ids(message: Element) -> list[tuple[str | None, str | None]]:
    return [(child.get("by"), child.get("id")) for child in message.children_of(SID, "stanza-id")]


class ArchivingCase(Case):
    modules: ClassVar[dict[str, Any]] = {"mod_roster": {}}

    def setUp(self) -> None:
        super().setUp()
        self.juliet = self.world.client(f"{JULIET}/balcony")
        self.juliet.send("<presence/>")
        self.romeo.send("<presence/>")
        self.juliet.drain()
        self.romeo.drain()

    def kept(self, owner: str) -> list[Any]:
        rows: list[Any] = self.world.run(self.archives.page(owner, Span(), limit=99))
        return rows

    def say(self, xml: str, client: Client | None = None) -> list[Element]:
        """Send it; what Juliet gets."""
        (client or self.romeo).send(xml)
        return self.juliet.drain()


class ArchivingTests(ArchivingCase):
    def test_a_message_is_kept_for_both_sides(self) -> None:
        self.say(chat(f"{JULIET}/balcony"))
        (mine,), (hers,) = self.kept(ROMEO), self.kept(JULIET)
        self.assertEqual((mine.peer, mine.resource, mine.sent), (JULIET, "balcony", True))
        self.assertEqual((hers.peer, hers.resource, hers.sent), (ROMEO, "orchard", False))

    def test_the_recipients_copy_has_the_id_by_which_her_archive_knows_it(self) -> None:
        (got,) = self.say(chat(JULIET))
        (row,) = self.kept(JULIET)
        self.assertEqual(ids(got), [(JULIET, self.told(row.id))])
        answer = self.ask(client=self.juliet)
        self.assertEqual(answer.ids, [row.id])

    def test_the_recipient_does_not_learn_the_id_in_the_senders_archive(self) -> None:
        (got,) = self.say(chat(JULIET))
        self.assertNotIn(ROMEO, [by for by, _ in ids(got)])

    def test_an_id_that_claims_to_be_the_archives_is_removed(self) -> None:
        claimed = f"<stanza-id xmlns='{SID}' by='{JULIET}' id='1'/><stanza-id xmlns='{SID}' by='{JULIET}' id='2'/>"
        (got,) = self.say(chat(JULIET, inside=claimed))
        (row,) = self.kept(JULIET)
        self.assertEqual(ids(got), [(JULIET, self.told(row.id))])

    def test_an_id_that_claims_to_be_the_archives_is_in_no_archive(self) -> None:
        claimed = "".join(f"<stanza-id xmlns='{SID}' by='{by}' id='1'/>" for by in (ROMEO, JULIET, "a@b"))
        (got,) = self.say(chat(JULIET, inside=claimed))
        self.assertEqual([by for by, _ in ids(got)], ["a@b", JULIET])
        (mine,), (hers,) = self.ask().results, self.ask(client=self.juliet).results
        self.assertEqual([by for by, _ in ids(forwarded(hers))], ["a@b"])
        self.assertNotIn(ROMEO, [by for by, _ in ids(forwarded(mine))])

    def test_addresses_of_claims_are_compared_as_addresses(self) -> None:
        claimed = f"<stanza-id xmlns='{SID}' by='Juliet@EXAMPLE.org' id='1'/><stanza-id xmlns='{SID}' by='@' id='2'/>"
        (got,) = self.say(chat(JULIET, inside=claimed))
        self.assertEqual([by for by, _ in ids(got)], ["@", JULIET])

    def test_what_refers_to_an_id_of_the_archive_is_left_alone(self) -> None:
        (got,) = self.say(chat(JULIET, inside=f"<referenced-stanza xmlns='{SID}' by='{JULIET}' id='1'/>"))
        self.assertIsNotNone(got.child(SID, "referenced-stanza"))

    def test_an_id_that_claims_to_be_the_archives_is_removed_where_none_is_set(self) -> None:
        claimed = f"<stanza-id xmlns='{SID}' by='{JULIET}' id='1'/>"
        (got,) = self.say(chat(JULIET, inside=claimed + "<no-store xmlns='urn:xmpp:hints'/>"))
        self.assertEqual((ids(got), self.kept(JULIET)), ([], []))

    def test_ids_of_others_and_the_origins_are_left_alone(self) -> None:
        others = f"<stanza-id xmlns='{SID}' by='room@muc.example.com' id='1'/><origin-id xmlns='{SID}' id='o1'/>"
        (got,) = self.say(chat(JULIET, inside=others))
        self.assertIn(("room@muc.example.com", "1"), ids(got))
        origin = got.child(SID, "origin-id")
        assert origin is not None
        self.assertEqual(origin.get("id"), "o1")

    def test_every_stanza_id_has_an_id_and_a_by_and_nothing_inside(self) -> None:
        (got,) = self.say(chat(JULIET))
        (added,) = got.children_of(SID, "stanza-id")
        self.assertEqual((set(added.attrs), added.children), ({"id", "by"}, []))

    def test_the_id_of_a_message_stays_the_same(self) -> None:
        (got,) = self.say(chat(JULIET))
        for _ in range(2):
            self.assertEqual(self.ask(client=self.juliet).told, [ids(got)[0][1]])

    def test_order_within_the_archive_is_the_order_in_which_messages_came(self) -> None:
        for number in range(10):
            self.say(chat(JULIET, str(number)))
        bodies = [forwarded(found).text_of(ns.CLIENT, "body") for found in self.ask(client=self.juliet).results]
        self.assertEqual(bodies, [str(number) for number in range(10)])
        kept = [row.id for row in self.kept(JULIET)]
        self.assertEqual(kept, sorted(set(kept)))

    def test_the_body_and_the_whole_stanza_are_kept(self) -> None:
        self.say(chat(JULIET, "né ☃ &amp; &lt;b/>", "<x xmlns='urn:x' a=\"1\"><y/>z</x>"))
        for client in (self.romeo, self.juliet):
            (found,) = self.ask(client=client).results
            kept = forwarded(found)
            self.assertEqual(kept.text_of(ns.CLIENT, "body"), "né ☃ & <b/>")
            extension = kept.child("urn:x", "x")
            assert extension is not None
            self.assertEqual((extension.get("a"), extension.text), ("1", "z"))
            self.assertEqual((kept.get("from"), kept.get("to"), kept.get("id")), (f"{ROMEO}/orchard", JULIET, "m1"))

    def test_a_message_to_several_resources_is_kept_once(self) -> None:
        other = self.world.client(f"{JULIET}/chamber")
        other.send("<presence/>")
        other.drain()
        self.juliet.drain()
        (got,) = self.say(chat(JULIET))
        (also,) = other.drain()
        self.assertEqual(ids(got), ids(also))
        self.assertEqual(len(self.kept(JULIET)), 1)

    def test_a_message_to_oneself_is_kept_once(self) -> None:
        self.romeo.send(chat(ROMEO))
        self.assertEqual([(row.peer, row.sent) for row in self.kept(ROMEO)], [(ROMEO, True)])

    def test_what_nobody_keeps_is_delivered_all_the_same(self) -> None:
        for xml in (
            chat(JULIET, kind="headline"),
            chat(JULIET, inside="<no-permanent-store xmlns='urn:xmpp:hints'/>"),
            f"<message to='{JULIET}' type='chat'><active xmlns='http://jabber.org/protocol/chatstates'/></message>",
        ):
            (got,) = self.say(xml)
            self.assertEqual(ids(got), [])
        self.assertEqual((self.kept(ROMEO), self.kept(JULIET)), ([], []))

    def test_each_side_keeps_what_it_prefers(self) -> None:
        self.juliet.request(f"<iq type='set' id='p'><prefs xmlns='{ns.MAM}' default='never'/></iq>")
        (got,) = self.say(chat(JULIET))
        self.assertEqual((len(self.kept(ROMEO)), self.kept(JULIET), ids(got)), (1, [], []))

    def test_a_message_to_nobody_is_bounced_and_kept_by_nobody_there(self) -> None:
        self.romeo.send(chat("nobody@example.org"))
        self.assert_error(self.romeo.receive(), "service-unavailable")
        self.assertEqual(self.kept("nobody@example.org"), [])

    def test_the_error_comes_back_of_a_message_to_what_is_no_address(self) -> None:
        self.romeo.send(chat("a b@example.org"))
        self.assert_error(self.romeo.receive(), "jid-malformed")

    def test_a_message_is_kept_for_who_is_not_there(self) -> None:
        self.juliet.close()
        self.romeo.send(chat(JULIET))
        self.assertEqual(len(self.kept(JULIET)), 1)
        self.juliet = self.world.client(f"{JULIET}/balcony")
        self.assertEqual(len(self.ask(client=self.juliet).results), 1)

    def test_a_removed_account_leaves_no_archive_to_the_next_owner_of_the_name(self) -> None:
        self.say(chat(JULIET))
        self.world.run(self.world.host("example.org").accounts.remove("juliet"))
        self.world.advance(1)
        self.assertEqual((self.kept(JULIET), len(self.kept(ROMEO))), ([], 1))

    def test_uids_are_not_used_again_when_their_messages_are_gone(self) -> None:
        self.say(chat(JULIET))
        (old,) = self.kept(JULIET)
        self.world.run(self.archives.remove(JULIET, Span(), limit=9))
        self.say(chat(JULIET))
        (new,) = self.kept(JULIET)
        self.assertGreater(new.id, old.id)

    def test_without_the_module_nothing_is_kept(self) -> None:
        self.world.run(self.world.host("example.org").modules.remove("mod_mam"))
        (got,) = self.say(chat(JULIET))
        self.assertEqual((ids(got), self.kept(ROMEO), self.kept(JULIET)), ([], [], []))


class AssumedUsageTests(ArchivingCase):
    """`assume_mam_usage`."""

    def again(self, message: Element) -> list[Element]:
        """A session of Juliet's got it and did not take it; what she gets."""
        self.world.host("example.org").deliver_again(Message(message))
        return self.juliet.drain()

    def test_what_a_client_did_not_take_is_delivered_again(self) -> None:
        (got,) = self.say(chat(JULIET))
        self.assertEqual(len(self.again(got)), 1)

    def test_where_clients_are_expected_to_ask_the_archive_it_is_not_but_what_is_not_kept_is(self) -> None:
        reload(self.world, {"mod_roster": {}, "mod_mam": {"assume_mam_usage": True}})
        (got,) = self.say(chat(JULIET))
        self.assertEqual(self.again(got), [])
        (got,) = self.say(chat(JULIET, inside="<no-permanent-store xmlns='urn:xmpp:hints'/>"))
        self.assertEqual(len(self.again(got)), 1)


class CopiesTests(ArchivingCase):
    """XEP-0280 beside archives: a copy has the id that the archive of its account knows the message by, or none."""

    modules: ClassVar[dict[str, Any]] = {"mod_roster": {}, "mod_carboncopy": {}}

    def setUp(self) -> None:
        super().setUp()
        self.garden = self.world.client(f"{ROMEO}/garden")
        self.garden.request("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")

    def copied(self) -> Element:
        """The message in the copy that Romeo's other client gets."""
        (copy,) = self.garden.drain()
        found = next(copy.elements()).child(ns.FORWARD, "forwarded")
        assert found is not None
        return next(found.elements())

    def test_of_what_is_sent_it_is_that_of_the_senders_archive(self) -> None:
        self.romeo.send(chat(JULIET))
        (row,) = self.kept(ROMEO)
        self.assertEqual(ids(self.copied()), [(ROMEO, self.told(row.id))])

    def test_of_what_is_sent_it_has_none_where_only_the_recipients_archive_keeps_it(self) -> None:
        self.romeo.request(f"<iq type='set' id='p'><prefs xmlns='{ns.MAM}' default='never'/></iq>")
        self.romeo.send(chat(JULIET))
        self.assertEqual((len(self.kept(ROMEO)), len(self.kept(JULIET))), (0, 1))
        self.assertEqual(ids(self.copied()), [])

    def test_of_what_is_received_it_has_none_where_only_the_senders_archive_keeps_it(self) -> None:
        self.romeo.request(f"<iq type='set' id='p'><prefs xmlns='{ns.MAM}' default='never'/></iq>")
        self.juliet.send(chat(f"{ROMEO}/orchard"))
        self.assertEqual((len(self.kept(ROMEO)), len(self.kept(JULIET))), (0, 1))
        self.assertEqual(ids(self.copied()), [])
