"""What moves out of one server and into another is all there, and the same."""

from __future__ import annotations

import stat

from federix.testing import World

from .moving_case import JULIET, MovingCase


class RoundTripTest(MovingCase):
    def setUp(self) -> None:
        super().setUp()
        self.populate()
        self.out = self.folder / "out"
        self.ask("export_piefxis", dir=self.out)

    def elsewhere(self) -> World:
        world = self.new_world(config={"default_db": "memory"})
        world.advance(60)  # what was said there was said before
        return world

    def test_everything_is_the_same_on_another_server_with_another_database(self) -> None:
        other = self.elsewhere()
        told = self.ask("import_piefxis", other, file=self.out / "server-data.xml")
        self.assertEqual(
            told,
            [
                "accounts: 3 added",
                "archive preferences: 1 added",
                "archived messages: 12 added",
                "block lists: 1 added",
                "contacts: 4 added",
                "offline messages: 4 added",
                "private fragments: 1 added",
                "subscription requests: 1 added",
            ],
        )
        self.maxDiff = None
        before = self.everything()
        self.assertEqual(self.everything(other), before)
        self.assertEqual(len(before["juliet"]["archive"]), 6)
        self.assertTrue(any(fingerprint for *_, fingerprint, _ in before["romeo"]["archive"]))

    def test_what_is_exported_again_is_the_same(self) -> None:
        other = self.elsewhere()
        self.ask("import_piefxis", other, file=self.out / "server-data.xml")
        self.ask("export_piefxis_host", other, dir=self.folder / "again", host="example.org")
        third = self.elsewhere()
        self.ask("import_piefxis", third, file=self.folder / "again" / "example.org.xml")
        self.assertEqual(self.everything(third), self.everything())

    def test_brought_again_nothing_is_there_twice(self) -> None:
        other = self.elsewhere()
        self.ask("import_piefxis", other, file=self.out / "server-data.xml")
        before = self.everything(other)
        told = self.ask("import_piefxis", other, file=self.out / "server-data.xml")
        self.assertTrue(all(line.endswith(" there already") for line in told), told)
        self.assertEqual(self.everything(other), before)

    def test_brought_where_it_came_from_nothing_changes(self) -> None:
        before = self.everything()
        told = self.ask("import_piefxis", file=self.out / "server-data.xml", overwrite=True)
        self.assertEqual(told[0], "accounts: 3 replaced")
        self.assertTrue(all("added" not in line and "not taken" not in line for line in told), told)
        self.assertEqual(self.everything(), before)

    def test_who_has_moved_logs_in_with_his_password_and_finds_his_messages(self) -> None:
        other = self.elsewhere()
        self.ask("import_piefxis", other, file=self.out / "server-data.xml")
        juliet = other.client(f"{JULIET}/balcony")
        juliet.send("<presence/>")
        other.advance(2)
        bodies = [each.text_of("jabber:client", "body") for each in juliet.drain() if each.name == "message"]
        self.assertEqual(bodies, ["I know not how to tell thee", "again", "again", "again"])

    def test_nobody_else_may_read_the_files(self) -> None:
        """XEP-0227 §6: "An exporting server SHOULD make sure that the generated file is not accessible to unauthorized
        persons"."""
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in self.out.iterdir()}
        self.assertEqual(modes, {"server-data.xml": 0o600, "example.org.xml": 0o600})
        self.assertEqual(stat.S_IMODE(self.out.stat().st_mode), 0o700)

    def test_a_file_that_is_there_is_not_overwritten(self) -> None:
        with self.assertRaisesRegex(Exception, "it is there already"):
            self.ask("export_piefxis", dir=self.out)
        self.assertEqual(sorted(path.name for path in self.out.iterdir()), ["example.org.xml", "server-data.xml"])
