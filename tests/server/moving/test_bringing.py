"""What files have, and those of other servers: what is taken, what is not, and what the operator is told."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Any, NoReturn

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater

from federix.api import StoreError
from federix.core.commands import CommandError
from federix.server.moving import bringing

from .moving_case import JULIET, KEYS, PIE, XI, MovingCase, archive, privacy, result

WAITING = (
    f"<message xmlns='jabber:client' from='romeo@montague.net' to='{JULIET}'><body>hark</body>"
    "<delay xmlns='urn:xmpp:delay' from='example.org' stamp='2020-01-01T00:00:00Z'/></message>"
)


class BringingTest(MovingCase):
    def secrets(self, local: str = "juliet") -> dict[str, str]:
        return dict(self.world.run(self.world.host("example.org").accounts.secrets(local)) or {})

    # -- §4.2, §4.3: users and their secrets --------------------------------------------------------------------------

    def test_keys_are_taken_as_they_are(self) -> None:
        text = f"<server-data {PIE}><host jid='example.org'><user name='juliet'>{KEYS}</user></host></server-data>"
        self.assertEqual(self.ask("import_piefxis", file=self.file(text)), ["accounts: 1 added"])
        salt = "TmFDbE5hQ2xOYUNsTmFDbE5hQ2xOYUNsTmFDbE5hQ2xOYUNsTmFDbE5hQ2wK"
        keys = "Q6qT/SbybblGCZz8e8eSfCJOQic=:0pXWGK0GZJ6TR73AIUN3ITYtA1g="
        self.assertEqual(self.secrets(), {"SCRAM-SHA-1": f"SCRAM-SHA-1$100000:{salt}${keys}"})

    def test_a_password_is_kept_in_the_forms_of_this_server(self) -> None:
        self.bring("")
        self.assertEqual(list(self.secrets()), ["SCRAM-SHA-1"])
        self.world.client(f"{JULIET}/balcony", "secret")

    def test_where_passwords_are_stored_so_are_those_that_come(self) -> None:
        world = self.new_world(config={"auth_stored_password_types": ["plain", "scram_sha1"]})
        self.bring("", world)
        kept = world.run(world.host("example.org").accounts.secrets("juliet"))
        self.assertEqual((kept["PLAIN"], "SCRAM-SHA-1" in kept), ("secret", True))
        self.ask("export_piefxis", world, dir=self.folder / "out")
        self.assertIn("password='secret'", (self.folder / "out" / "example.org.xml").read_text())

    def test_who_has_no_password_gets_one_that_nobody_knows(self) -> None:
        text = f"<server-data {PIE}><host jid='example.org'>\n<user name='juliet'/></host></server-data>"
        told = self.ask("import_piefxis", file=self.file(text))
        where = f"{self.folder}/data.xml:2"
        self.assertEqual(
            told,
            ["accounts: 1 added", f"not taken: {where}: juliet: no password; nobody logs in until one is set"],
        )
        # An account without keys would keep everybody from logging in with SCRAM.
        self.assertEqual(list(self.secrets()), ["SCRAM-SHA-1"])

    def test_keys_that_are_too_weak_or_wrong_are_told_with_their_place(self) -> None:
        for old, new, why in (
            ("100000", "1000", "iterations: 4096 to 1000000"),
            ("100000", "many", "cannot be read"),
            ("0pXWGK0GZJ6TR73AIUN3ITYtA1g=", "0pXW", "keys of SHA-1 have 20 bytes"),
            ("0pXWGK0GZJ6TR73AIUN3ITYtA1g=", "?", "the keys for SCRAM-SHA-1"),
            ("SCRAM-SHA-1'", "SCRAM-MD5'", "the mechanism SCRAM-MD5 is not known here"),
        ):
            told = self.bring("\n" + KEYS.replace(old, new))
            self.assertRegex(told[-1], f"^not taken: .*data.xml:4: juliet: .*{why}")

    def test_keys_that_ejabberd_has_encoded_twice_are_taken_as_what_they_are(self) -> None:
        encoded = re.sub(r">([^<]+=|TmFD[^<]+)<", lambda found: f">{b64encode(found[1].encode()).decode()}<", KEYS)
        text = "<server-data {}><host jid='example.org'><user name='{}'>{}</user></host></server-data>"
        self.ask("import_piefxis", file=self.file(text.format(PIE, "juliet", KEYS)))
        told = self.ask("import_piefxis", file=self.file(text.format(PIE, "romeo", encoded)))
        self.assertEqual(told, ["accounts: 1 added"])
        self.assertEqual(self.secrets("romeo"), self.secrets("juliet"))

    def test_keys_of_old_ejabberds_are_no_password(self) -> None:
        """They stood in the attribute of the password."""
        salt, server, stored = re.findall(r"-?(?:salt|key)>([^<]+)<", KEYS)
        for hash_name, kind in (("", "SCRAM-SHA-1"), ("sha256,", "SCRAM-SHA-256")):
            if hash_name:
                server, stored = (b64encode(b64encode(bytes(32))).decode() for _ in range(2))
                salt = b64encode(salt.encode()).decode()
            user = f"<user name='{kind.lower()}' password='scram:{hash_name}{stored},{server},{salt},100000'/>"
            text = f"<server-data {PIE}><host jid='example.org'>{user}</host></server-data>"
            self.assertEqual(self.ask("import_piefxis", file=self.file(text)), ["accounts: 1 added"])
            kept = self.secrets(kind.lower())
            self.assertEqual(list(kept), [kind])
            self.assertIn("$100000:TmFDbE5hQ2xO", kept[kind])

    def test_a_password_that_only_looks_like_keys_is_one(self) -> None:
        world = self.new_world(config={"auth_stored_password_types": ["plain"]})
        text = f"<server-data {PIE}><host jid='example.org'><user name='a' password='scram:b'/></host></server-data>"
        self.ask("import_piefxis", world, file=self.file(text))
        kept = world.run(world.host("example.org").accounts.secrets("a"))
        self.assertEqual(kept, {"PLAIN": "scram:b"})

    def test_a_second_set_of_keys_for_one_mechanism_is_told(self) -> None:
        """§4.3: "they MUST all have a unique 'mechanism' attribute"."""
        self.assertIn("a second set of keys for SCRAM-SHA-1", self.bring(KEYS + KEYS)[-1])

    def test_keys_may_stand_behind_an_archive_that_is_taken_in_pieces(self) -> None:
        self.patch(bringing, "MOST_THINGS", 2)
        results = [result(str(number), f"2020-01-01T00:00:0{number}Z") for number in range(5)]
        user = f"<user name='juliet'>{archive(*results)}{KEYS}</user>"
        text = f"<server-data {PIE}><host jid='example.org'>{user}</host></server-data>"
        self.ask("import_piefxis", file=self.file(text))
        self.assertIn("$100000:", self.secrets()["SCRAM-SHA-1"])
        self.assertEqual(len(self.rows()), 5)

    def test_keys_that_stand_behind_much_else_overwrite_as_well_where_they_are_to(self) -> None:
        self.patch(bringing, "MOST_THINGS", 2)
        self.world.register(JULIET, "here")
        results = [result(str(number), f"2020-01-01T00:00:0{number}Z") for number in range(5)]
        user = f"<user name='juliet'>{archive(*results)}{KEYS}</user>"
        file = self.file(f"<server-data {PIE}><host jid='example.org'>{user}</host></server-data>")
        self.assertEqual(self.ask("import_piefxis", file=file)[0], "accounts: 1 there already")
        self.world.client(f"{JULIET}/balcony", "here")
        self.assertEqual(self.ask("import_piefxis", file=file, overwrite=True)[0], "accounts: 1 replaced")
        self.assertIn("$100000:", self.secrets()["SCRAM-SHA-1"])

    def test_a_user_without_a_name_is_told_and_passed_by(self) -> None:
        """§4.2: "The <user/> element MUST have a 'name' attribute"."""
        users = "<user><a xmlns='b'/></user>\n<user name='a'/>"
        text = f"<server-data {PIE}><host jid='example.org'>{users}</host></server-data>"
        told = self.ask("import_piefxis", file=self.file(text))
        self.assertIn(f"not taken: {self.folder}/data.xml:1: the attribute 'name' is missing", told)
        self.assertEqual(told[0], "accounts: 1 added")

    def test_a_name_that_cannot_be_is_told(self) -> None:
        self.assertRegex(self.bring("", user="ju liet")[0], "^not taken: .*data.xml:3: the user ju liet: ")

    def test_the_password_of_who_is_here_stays_unless_it_is_to_be_overwritten(self) -> None:
        self.world.register(JULIET, "here")
        self.assertEqual(self.bring(""), ["accounts: 1 there already"])
        self.world.client(f"{JULIET}/balcony", "here")
        self.assertEqual(self.bring("", overwrite=True), ["accounts: 1 replaced"])
        self.world.client(f"{JULIET}/orchard", "secret")

    def test_a_host_that_is_not_served_is_told(self) -> None:
        """§4.1: "it SHOULD notify the operator about any mismatch"."""
        text = f"<server-data {PIE}>\n<host jid='capulet.com'><user name='juliet'>{KEYS}</user></host></server-data>"
        told = self.ask("import_piefxis", file=self.file(text))
        self.assertEqual(
            told,
            [
                f"not taken: {self.folder}/data.xml:2: the host capulet.com is not served here;"
                " none of its users is taken"
            ],
        )

    # -- groups -------------------------------------------------------------------------------------------------------

    def test_accounts_are_taken_in_groups_that_are_bounded(self) -> None:
        sizes: list[tuple[int, int]] = []
        took = bringing.Bringer._take_group

        def noted(bringer: Any, **options: Any) -> Any:
            sizes.append((len(bringer._group), bringer._things))
            return took(bringer, **options)

        self.patch(bringing.Bringer, "_take_group", noted)
        self.patch(bringing, "MOST_USERS", 2)
        self.patch(bringing, "MOST_THINGS", 4)
        self.patch(bringing, "MOST_CHARACTERS", 10_000)
        roster = "<query xmlns='jabber:iq:roster'>%s</query>"
        item = "<item jid='c%d@b.test'/>"
        users = "".join(
            f"<user name='u{number}' password='x'>{roster % ''.join(item % each for each in range(number))}</user>"
            for number in range(8)
        )
        fragment = f"<query xmlns='jabber:iq:private'><a xmlns='b'>{'x' * 20_000}</a></query>"
        large = f"<user name='large' password='x'>{fragment}</user>"
        text = f"<server-data {PIE}><host jid='example.org'>{users}{large}</host></server-data>"
        told = self.ask("import_piefxis", file=self.file(text))
        self.assertEqual(told[:3], ["accounts: 9 added", "contacts: 28 added", "private fragments: 1 added"])
        self.assertLessEqual(max(users for users, _ in sizes), 3)
        self.assertLessEqual(max(things for _, things in sizes), 4)
        self.assertGreater(len(sizes), 7)

    def test_who_stands_in_a_file_twice_is_one(self) -> None:
        roster = "<query xmlns='jabber:iq:roster'><item jid='%s@b.test'/></query>"
        users = f"<user name='A' password='x'>{roster % 'b'}</user><user name='a' password='y'>{roster % 'c'}</user>"
        text = f"<server-data {PIE}><host jid='example.org'>{users}</host></server-data>"
        self.assertEqual(self.ask("import_piefxis", file=self.file(text)), ["accounts: 1 added", "contacts: 2 added"])
        self.world.client("a@example.org/x", "x")

    def test_what_stands_in_a_file_twice_is_there_once(self) -> None:
        storage = self.world.server.storage
        rows, entries = storage.archives.rows, storage.logs.range

        async def rows_slowly(*args: Any) -> Any:
            found = await rows(*args)
            await deferLater(self.world.clock, 0.1)
            return found

        async def entries_slowly(*args: Any) -> Any:
            found = await entries(*args)
            await deferLater(self.world.clock, 0.1)
            return found

        self.patch(storage.archives, "rows", rows_slowly)
        self.patch(storage.logs, "range", entries_slowly)
        said = archive(result("hark", "2020-01-01T00:00:00Z"), result("ay me", "2020-01-01T00:00:00Z"))
        user = f"<user name='juliet'><offline-messages>{WAITING}</offline-messages>{said}</user>"
        file = self.file(f"<server-data {PIE}><host jid='example.org'>{user * 2}</host></server-data>")
        told = ensureDeferred(self.world.server.commands.run("import_piefxis", {"file": str(file)}))
        self.world.advance(2)
        self.assertEqual(
            self.successResultOf(told)[:3],
            [
                "accounts: 1 added",
                "archived messages: 2 added, 2 there already",
                "offline messages: 1 added, 1 there already",
            ],
        )

    # -- what cannot be taken -----------------------------------------------------------------------------------------

    def test_what_nobody_understands_is_told_and_passed_by(self) -> None:
        """§4: "SHOULD ignore the unknown data, SHOULD notify the operator"."""
        roster = "<query xmlns='jabber:iq:roster'><item jid='a@b.test'/></query>"
        told = self.bring(f"\n<vCard xmlns='vcard-temp'><FN>Juliet</FN></vCard>{roster}")
        where = f"{self.folder}/data.xml:4"
        self.assertEqual(
            told[1:],
            ["contacts: 1 added", f"not taken: {where}: <vCard xmlns='vcard-temp'> is nothing that can be taken here"],
        )

    def test_where_a_module_does_not_run_nothing_of_it_is_taken(self) -> None:
        world = self.new_world(modules={"mod_private": {}})
        told = self.bring("<query xmlns='jabber:iq:roster'><item jid='a@b.test'/></query>", world)
        self.assertIn("<query xmlns='jabber:iq:roster'> is nothing that can be taken here", told[1])

    def test_no_more_is_told_than_can_be_read(self) -> None:
        strange = [f"<a{number} xmlns='a'/>" for number in range(bringing.MOST_TOLD + 7)]
        told = self.bring("".join(strange) + "<query xmlns='jabber:iq:roster'><item jid='@'/></query>")
        self.assertEqual(len(told), bringing.MOST_TOLD + 3)
        self.assertEqual(told[-2:], ["not taken: 1 more of contacts", "not taken: 7 more of others"])

    def test_what_is_the_same_is_told_once_and_counted(self) -> None:
        told = self.bring("\n<vCard xmlns='vcard-temp'/>\n<vCard xmlns='vcard-temp'/>\n<a xmlns='b'/>")
        why = "is nothing that can be taken here"
        vcards = f"<vCard xmlns='vcard-temp'> {why} (the first of 2)"
        self.assertEqual(
            told[1:],
            [
                f"not taken: {self.folder}/data.xml:4: {vcards}",
                f"not taken: {self.folder}/data.xml:6: <a xmlns='b'> {why}",
            ],
        )

    def test_a_file_that_breaks_off_is_told_and_what_stood_before_is_taken(self) -> None:
        text = f"<server-data {PIE}><host jid='example.org'><user name='juliet'>{KEYS}</user>\n<user name='romeo'"
        with self.assertRaises(CommandError) as broken:
            self.ask("import_piefxis", file=self.file(text))
        self.assertRegex(str(broken.exception), "accounts: 1 added\n.*data.xml:2: unclosed token; nothing behind it")

    def test_a_storage_that_fails_is_told_as_what_it_is(self) -> None:
        storage = self.world.server.storage

        async def fail(*_: object) -> NoReturn:
            raise StoreError("the disk is full")

        for shape, name, inside in (
            (storage.archives, "keep", archive(result("hark", "2020-01-01T00:00:00Z"))),
            (storage.logs, "append", f"<offline-messages>{WAITING}</offline-messages>"),
            (storage.accounts, "exists", ""),
        ):
            with self.subTest(name):
                failing = self.patch(shape, name, fail)
                self.assertIn("cannot reach its storage", str(self.assertRaises(CommandError, self.bring, inside)))
                failing.restore()

    def test_a_file_that_is_not_there_is_told(self) -> None:
        with self.assertRaisesRegex(CommandError, "cannot be read: No such file"):
            self.ask("import_piefxis", file=self.folder / "nowhere.xml")

    def test_another_document_is_told(self) -> None:
        with self.assertRaisesRegex(CommandError, "data.xml:1: this is no file of XEP-0227: it begins with <html"):
            self.ask("import_piefxis", file=self.file("<html xmlns='x'/>"))

    def test_one_import_at_a_time(self) -> None:
        commands = self.world.server.commands.find("import_piefxis").function.__self__
        commands._importing = True
        with self.assertRaisesRegex(CommandError, "another import is under way"):
            self.bring("")

    def test_an_import_tells_how_far_it_is(self) -> None:
        told: list[tuple[int, int, str]] = []

        class Telling:
            def __call__(self, done: int, of: int, note: str = "") -> None:
                told.append((done, of, note))

        self.bring("", progress=Telling())
        self.assertEqual(told[-1][0], told[-1][1])


class LayoutTest(MovingCase):
    def test_a_file_for_each_host_and_one_for_each_user_are_read(self) -> None:
        """§5.1: the layout that is recommended."""
        main = f"<server-data {PIE} {XI}><xi:include href='example.org.xml'/></server-data>"
        users = "".join(f"<xi:include href='example.org/{name}.xml'/>" for name in ("juliet", "r%C3%B3meo"))
        host = f"<host {PIE} {XI} jid='example.org'>{users}</host>"
        self.file(host, "example.org.xml")
        roster = "<query xmlns='jabber:iq:roster'><item jid='romeo@montague.net'/></query>"
        self.file(f"<user {PIE} name='juliet'>{KEYS}{roster}</user>", "example.org/juliet.xml")
        self.file(f"<user {PIE} name='rómeo' password='x'/>", "example.org/rómeo.xml")
        told = self.ask("import_piefxis", file=self.file(main))
        self.assertEqual(told, ["accounts: 2 added", "contacts: 1 added"])

    def test_a_document_for_each_user_is_read(self) -> None:
        """As a server has them that keeps its accounts in such files (Prosody's mod_storage_xep0227)."""
        roster = "<query xmlns='jabber:iq:roster'><item jid='romeo@montague.net' subscription='both'/></query>"
        user = f"<user name='juliet' password='x'>{roster}</user>"
        file = self.file(
            f"<server-data {PIE}><host jid='example.org'>{user}</host></server-data>", "juliet@example.org.xml"
        )
        self.assertEqual(self.ask("import_piefxis", file=file), ["accounts: 1 added", "contacts: 1 added"])

    def test_files_as_ejabberd_writes_them_are_read(self) -> None:
        """A file for each host, included by one that is named for the time; plain passwords, or keys."""
        main = f"<server-data {PIE} {XI}><xi:include href='20260101-000000_example_org.xml'/></server-data>"
        delay = "<delay stamp='2020-01-01T00:00:00.123456Z' from='example.org' xmlns='urn:xmpp:delay'>Offline</delay>"
        message = (
            f"<message xmlns='jabber:client' to='{JULIET}' from='romeo@example.org/x'><body>Hey</body>{delay}</message>"
        )
        parts = (
            KEYS,
            f"<offline-messages>{message}</offline-messages>",
            privacy("<item order='1' action='deny' value='a@b.test' type='jid'/>"),
            "<query xmlns='jabber:iq:roster'><item subscription='none' jid='p@b.test' ask='subscribe'/></query>",
            f"<presence xmlns='jabber:client' type='subscribe' from='tybalt@example.org' to='{JULIET}'/>",
            "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>",
        )
        users = f"<user name='juliet'>{''.join(parts)}</user><user password='R0me0' name='romeo'></user>"
        host = f"<?xml version='1.0' encoding='UTF-8'?><host {PIE} {XI} jid='example.org'>{users}</host>"
        self.file(host, "20260101-000000_example_org.xml")
        told = self.ask("import_piefxis", file=self.file(main))
        self.assertEqual(
            told,
            [
                "accounts: 2 added",
                "block lists: 1 added",
                "contacts: 1 added",
                "offline messages: 1 added",
                "private fragments: 1 added",
                "subscription requests: 1 added",
            ],
        )
        self.world.client("romeo@example.org/x", "R0me0")
