"""What is written for servers that have their own ways, which Federix reads as well as any other."""

from __future__ import annotations

import stat
from base64 import b64encode
from pathlib import Path

from federix.core.commands import CommandError
from federix.testing import World
from federix.xmpp.sasl import ScramKeys

from .moving_case import JULIET, MovingCase


class TargetsTest(MovingCase):
    def setUp(self) -> None:
        super().setUp()
        self.populate()
        self.out = self.folder / "out"

    def elsewhere(self) -> World:
        world = self.new_world(config={"default_db": "memory"})
        world.advance(60)  # what was said there was said before
        return world

    def test_for_ejabberd_there_is_one_set_of_keys_and_it_is_encoded_twice(self) -> None:
        world = self.new_world(config={"auth_stored_password_types": ["scram_sha1", "scram_sha256"]})
        world.register(JULIET)
        self.ask("export_piefxis", world, dir=self.out, to="ejabberd")
        text = (self.out / "example.org.xml").read_text()
        self.assertEqual(text.count("mechanism="), 1)
        other = self.elsewhere()
        self.assertEqual(self.ask("import_piefxis", other, file=self.out / "server-data.xml"), ["accounts: 1 added"])
        secrets = world.run(world.host("example.org").accounts.secrets("juliet")) or {}
        self.assertEqual(
            world.run(other.host("example.org").accounts.secrets("juliet")), {"SCRAM-SHA-1": secrets["SCRAM-SHA-1"]}
        )
        salt = b64encode(b64encode(ScramKeys.decode(secrets["SCRAM-SHA-1"]).salt)).decode()
        self.assertIn(f"<salt>{salt}</salt>", text)

    def test_for_ejabberd_a_password_stands_without_keys(self) -> None:
        world = self.new_world(config={"auth_stored_password_types": ["plain", "scram_sha1"]})
        world.register(JULIET)
        self.ask("export_piefxis_host", world, dir=self.out, host="example.org", to="ejabberd")
        text = (self.out / "example.org.xml").read_text()
        self.assertIn("<user name='juliet' password=", text)
        self.assertNotIn("scram-credentials", text)

    def test_for_prosody_each_account_is_a_file_of_its_own_and_the_directory_is_all_of_it(self) -> None:
        told = self.ask("export_piefxis", dir=self.out, to="prosody")
        self.assertEqual(told, [f"{self.out}: 3 accounts, each in a file of its own"])
        names = {f"{local}@example.org.xml" for local in ("juliet", "romeo", "жульетта")}
        self.assertEqual({path.name for path in self.out.iterdir()}, names)
        self.assertEqual({stat.S_IMODE(path.stat().st_mode) for path in self.out.iterdir()}, {0o600})
        other = self.elsewhere()
        self.assertEqual(self.ask("import_piefxis", other, file=self.out)[0], "accounts: 3 added")
        self.assertEqual(self.everything(other), self.everything())

    def test_a_name_that_no_file_can_have_keeps_nobody_else_from_moving(self) -> None:
        self.world.register(f"{'é' * 120}@example.org")
        told = self.ask("export_piefxis", dir=self.out, to="prosody")
        self.assertEqual(told[0], f"{self.out}: 3 accounts, each in a file of its own")
        self.assertEqual(told[1:], ["not written: 1 accounts, whose names are too long for files"])

    def test_requests_in_the_namespace_of_the_file_are_taken(self) -> None:
        """As Prosody has them."""
        told = self.bring("<presence from='paris@example.net/x' type='subscribe'/>", self.elsewhere())
        self.assertEqual(told, ["accounts: 1 added", "subscription requests: 1 added"])

    def test_a_directory_without_files_has_nothing(self) -> None:
        self.assertEqual(self.ask("import_piefxis", file=self.folder), ["there was nothing to take"])

    def test_a_file_of_a_directory_that_is_broken_is_named(self) -> None:
        self.ask("export_piefxis", dir=self.out, to="prosody")
        broken = self.out / "romeo@example.org.xml"
        broken.write_text("<server-data")
        with self.assertRaisesRegex(CommandError, f"(?s)accounts: 1 added.*{broken}:1: unclosed token"):
            self.ask("import_piefxis", self.elsewhere(), file=self.out)

    def test_another_server_is_refused(self) -> None:
        with self.assertRaisesRegex(CommandError, "any, ejabberd, prosody"):
            self.ask("export_piefxis", dir=Path(self.out), to="jabberd")
