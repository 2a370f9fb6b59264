"""XEP-0441: each account says what its archive keeps."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.internet.defer import Deferred, ensureDeferred

from federix.api import JID, STANZA, Message, RosterItem
from federix.modules.mam import wishes
from federix.modules.mam.preferences import MOST_LISTED, PREFERENCES, UNSAID, Preferences
from federix.testing import Client
from federix.xmpp.element import Element

from ..neighbours import reload
from .support import JULIET, MAM, NURSE, ROMEO, Case


def prefs(default: str = "always", always: tuple[str, ...] = (), never: tuple[str, ...] = ()) -> str:
    lists = "".join(
        f"<{name}>{''.join(f'<jid>{jid}</jid>' for jid in jids)}</{name}>"
        for name, jids in (("always", always), ("never", never))
    )
    return f"<prefs xmlns='{MAM}' default='{default}'>{lists}</prefs>"


class PreferencesCase(Case):
    def set(self, xml: str, client: Client | None = None) -> Element:
        return (client or self.romeo).request(f"<iq type='set' id='p1'>{xml}</iq>")

    def get(self) -> Element:
        answer = self.romeo.request("<iq type='get' id='p2'>" + f"<prefs xmlns='{MAM}'/></iq>")
        found = answer.child(MAM, "prefs")
        assert found is not None, answer.to_xml()
        return found

    def message(self, peer: str, sent: bool, inside: str = "<body>hark</body>") -> Message:
        from_, to = (f"{ROMEO}/orchard", peer) if sent else (peer, ROMEO)
        found = STANZA.decode(f"<message from='{from_}' to='{to}' type='chat'>{inside}</message>".encode())
        assert isinstance(found, Message)
        return found

    def asked(self, peer: str, sent: bool = True) -> Any:
        return self.mam.wants(JID.parse(ROMEO), JID.parse(peer).bare, self.message(peer, sent), sent)

    def wants(self, peer: str, sent: bool = True) -> bool:
        wanted = self.asked(peer, sent)
        return wanted if isinstance(wanted, bool) else bool(self.world.run(wanted))


class ProtocolTests(PreferencesCase):
    """§2.1."""

    def test_an_account_that_has_said_nothing_is_told_the_servers_default_and_empty_lists(self) -> None:
        found = self.get()
        self.assertEqual(found.get("default"), "always")
        self.assertEqual([(child.name, child.children) for child in found.elements()], [("always", []), ("never", [])])

    def test_the_server_replies_with_the_applied_preferences_and_keeps_them(self) -> None:
        answer = self.set(prefs("roster", (JULIET,), ("montague@montague.lit/hall", NURSE)))
        self.assertEqual(answer.get("type"), "result")
        applied = answer.child(MAM, "prefs")
        self.assertEqual(applied, self.get())
        assert applied is not None
        self.assertEqual(applied.get("default"), "roster")
        always, never = applied.elements()
        self.assertEqual([jid.text for jid in always.elements()], [JULIET])
        self.assertEqual([jid.text for jid in never.elements()], ["montague@montague.lit/hall", NURSE])

    def test_lists_that_are_missing_are_empty(self) -> None:
        self.set(prefs("never", (JULIET,), (NURSE,)))
        self.set(f"<prefs xmlns='{MAM}' default='never'/>")
        self.assertEqual([child.children for child in self.get().elements()], [[], []])

    def test_the_default_must_be_one_of_three(self) -> None:
        for default in ("sometimes", ""):
            self.assert_error(self.set(prefs(default)), "bad-request")
        self.assert_error(self.set(f"<prefs xmlns='{MAM}'/>"), "bad-request")

    def test_an_address_that_is_none_is_refused(self) -> None:
        self.assert_error(self.set(prefs(always=("@",))), "jid-malformed")

    def test_the_number_of_addresses_is_bounded(self) -> None:
        many = tuple(f"capulet{number}@example.org" for number in range(MOST_LISTED))
        self.assertEqual(self.set(prefs(always=many)).get("type"), "result")
        self.assert_error(self.set(prefs(always=many, never=(JULIET,))), "not-acceptable")

    def test_preferences_survive_and_are_written_as_they_are(self) -> None:
        for kept in (UNSAID, Preferences("roster", frozenset((JULIET,)), frozenset((NURSE, "a@b/c ☃")))):
            self.assertEqual(PREFERENCES.decode(PREFERENCES.encode(kept)), kept)

    def test_a_removed_account_leaves_no_preferences_to_the_next_owner_of_the_name(self) -> None:
        self.set(prefs("never"))
        self.world.run(self.world.host("example.org").accounts.remove("romeo"))
        self.world.advance(1)
        self.romeo = self.world.client(f"{ROMEO}/orchard")
        self.assertEqual(self.get().get("default"), "always")
        self.assertTrue(self.wants(JULIET))


class ForbiddenTests(PreferencesCase):
    options: ClassVar[dict[str, Any]] = {"access_preferences": "none"}

    def test_who_may_not_change_preferences_may_see_them(self) -> None:
        self.assert_error(self.set(prefs("never")), "forbidden")
        self.assertEqual(self.get().get("default"), "always")


class MatchingTests(PreferencesCase):
    """§2.3."""

    def test_by_default_everything_is_kept(self) -> None:
        self.assertTrue(self.wants(JULIET))

    def test_never_keeps_nothing_but_what_is_always_kept(self) -> None:
        self.set(prefs("never", always=(JULIET,)))
        self.assertEqual([self.wants(JULIET), self.wants(NURSE)], [True, False])

    def test_always_keeps_everything_but_what_is_never_kept(self) -> None:
        self.set(prefs("always", never=(JULIET,)))
        self.assertEqual([self.wants(JULIET), self.wants(NURSE)], [False, True])

    def test_a_bare_address_matches_all_its_resources(self) -> None:
        self.set(prefs("always", never=(JULIET,)))
        self.assertFalse(self.wants(f"{JULIET}/balcony"))

    def test_a_full_address_matches_that_resource_alone(self) -> None:
        self.set(prefs("always", never=(f"{JULIET}/balcony",)))
        found = [self.wants(peer) for peer in (f"{JULIET}/balcony", f"{JULIET}/chamber", JULIET)]
        self.assertEqual(found, [False, True, True])

    def test_who_is_on_both_lists_is_not_kept_but_a_resource_by_name_is(self) -> None:
        self.set(prefs("always", always=(JULIET, f"{NURSE}/chamber"), never=(JULIET, NURSE)))
        found = [self.wants(peer) for peer in (JULIET, NURSE, f"{NURSE}/chamber")]
        self.assertEqual(found, [False, False, True])

    def test_of_outgoing_messages_to_is_the_target_and_of_incoming_ones_from(self) -> None:
        self.set(prefs("never", always=(f"{JULIET}/balcony",)))
        self.assertTrue(self.wants(f"{JULIET}/balcony", sent=True))
        self.assertTrue(self.wants(f"{JULIET}/balcony", sent=False))
        self.set(prefs("always", never=(ROMEO, f"{ROMEO}/orchard")))
        self.assertTrue(self.wants(f"{JULIET}/balcony", sent=True))
        self.assertTrue(self.wants(f"{JULIET}/balcony", sent=False))

    def test_roster_keeps_messages_of_contacts_whatever_their_resource(self) -> None:
        self.world.run(self.world.server.storage.rosters.put(ROMEO, RosterItem(JULIET)))
        self.set(prefs("roster", never=(f"{JULIET}/chamber",)))
        found = [self.wants(peer) for peer in (JULIET, f"{JULIET}/balcony", f"{JULIET}/chamber", NURSE)]
        self.assertEqual(found, [True, True, False, False])


class ServerDefaultTests(PreferencesCase):
    options: ClassVar[dict[str, Any]] = {"default": "roster"}

    def test_the_servers_default_counts_for_those_who_have_said_nothing(self) -> None:
        self.assertEqual(self.get().get("default"), "roster")
        self.assertFalse(self.wants(JULIET))
        self.world.run(self.world.server.storage.rosters.put(ROMEO, RosterItem(JULIET)))
        self.assertTrue(self.wants(JULIET))

    def test_a_reload_changes_it(self) -> None:
        self.assertFalse(self.wants(JULIET))
        reload(self.world, {"mod_mam": {"default": "always"}})
        self.assertTrue(self.wants(JULIET))
        reload(self.world, {"mod_mam": {"default": "always", "request_activates_archiving": True}})
        self.assertFalse(self.wants(JULIET))


class ActivationTests(PreferencesCase):
    """`request_activates_archiving`."""

    options: ClassVar[dict[str, Any]] = {"request_activates_archiving": True}

    def test_nothing_is_kept_before_the_archive_was_asked_for(self) -> None:
        self.assertFalse(self.wants(JULIET))
        self.assertFalse(self.wants(JULIET))

    def test_any_request_of_the_archive_activates_it(self) -> None:
        for name, request in (
            ("a", f"<iq type='set' id='1'><query xmlns='{MAM}'/></iq>"),
            ("b", f"<iq type='get' id='1'><query xmlns='{MAM}'/></iq>"),
            ("c", f"<iq type='get' id='1'><metadata xmlns='{MAM}'/></iq>"),
            ("d", f"<iq type='get' id='1'><prefs xmlns='{MAM}'/></iq>"),
            ("e", f"<iq type='set' id='1'>{prefs()}</iq>"),
        ):
            account = JID.parse(f"{name}@example.org")
            client = self.world.client(f"{account}/orchard")
            message = self.message(JULIET, True)
            before = self.mam.wants(account, account, message, True)
            self.assertFalse(before if isinstance(before, bool) else self.world.run(before))
            client.send(request)
            self.world.advance(1)
            self.assertIs(self.mam.wants(account, account, message, True), True, request)

    def test_preferences_that_are_set_while_it_is_activated_stay(self) -> None:
        storage: Deferred[None] = Deferred()

        async def slowly(owner: str) -> None:
            await storage  # when it was read there was nothing

        patch = self.patch(self.mam.wishes._kept, "get", slowly)
        activating = ensureDeferred(self.mam.wishes.activate(JID.parse(ROMEO)))
        patch.restore()
        self.set(prefs("never"))
        storage.callback(None)
        self.successResultOf(activating)
        self.assertIs(self.asked(JULIET), False)
        said = self.world.run(self.mam.wishes.said(JID.parse(ROMEO)))
        self.assertEqual(said.default, "never")


class RememberedTests(PreferencesCase):
    def test_the_answer_is_plain_once_the_account_is_known(self) -> None:
        self.assertIs(self.world.run(self.asked(JULIET)), True)
        self.assertIs(self.asked(JULIET), True)
        self.set(prefs("never"))
        self.assertIs(self.asked(JULIET), False)

    def test_what_is_not_worth_it_needs_no_preferences(self) -> None:
        state = self.message(JULIET, True, "<active xmlns='http://jabber.org/protocol/chatstates'/>")
        self.assertIs(self.mam.wants(JID.parse(ROMEO), JID.parse(JULIET), state, True), False)

    def test_what_is_remembered_is_bounded(self) -> None:
        self.patch(wishes, "MOST_REMEMBERED", 3)
        for number in range(6):
            wanted: Any = self.mam.wants(
                JID.parse(f"a{number}@example.org"), JID.parse(JULIET), self.message(JULIET, True), True
            )
            self.assertTrue(self.world.run(wanted))
        self.assertEqual(len(self.mam.wishes), 3)

    def test_preferences_that_change_while_the_old_ones_are_read_count(self) -> None:
        reading: Any = self.asked(JULIET)
        self.set(prefs("never"))
        self.world.run(reading)
        self.assertIs(self.asked(JULIET), False)
