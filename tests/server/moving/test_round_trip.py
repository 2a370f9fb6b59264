"""What moves out of one server and into another is all there, and the same."""

from __future__ import annotations

import re
import stat
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.task import deferLater

from federix.api import JID, Element, Module, Portable, StoreError, Take, option
from federix.core.commands import CommandError, Progress
from federix.testing import Client, World

from .moving_case import JULIET, MODULES, MovingCase


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

    def told(self, world: World) -> list[tuple[str, str | None]]:
        """The ids by which Juliet's client is told the messages of her archive, and what they say."""
        juliet = world.client(f"{JULIET}/terrace")
        return self._asked(world, juliet)

    def _asked(self, world: World, juliet: Client, inside: str = "") -> list[tuple[str, str | None]]:
        juliet.drain()
        juliet.send(f"<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'>{inside}</query></iq>")
        world.advance(1)
        found = [element.child("urn:xmpp:mam:2", "result") for element in juliet.drain()]
        return [(each.get("id") or "", re.sub("(?s)^.*<body>|</body>.*$", "", each.to_xml())) for each in found if each]

    def test_the_archive_on_a_server_with_another_key_is_whole_and_in_order_and_has_new_ids(self) -> None:
        other = self.elsewhere()
        self.ask("import_piefxis", other, file=self.out / "server-data.xml")
        before, after = self.told(self.world), self.told(other)
        self.assertEqual(len(before), 6)
        self.assertEqual([said for _, said in after], [said for _, said in before])
        self.assertEqual(len({id for id, _ in before + after}), 12)
        juliet = other.client(f"{JULIET}/garden")
        page = "<set xmlns='http://jabber.org/protocol/rsm'><after>%s</after></set>"
        self.assertEqual(self._asked(other, juliet, page % after[2][0]), after[3:])
        # Who remembers an id of the server before is told that it is none, and asks by time.
        iq = f"<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'>{page % before[2][0]}</query></iq>"
        self.assertIn("<item-not-found ", juliet.request(iq).to_xml())

    def test_ids_are_the_same_where_the_archive_comes_back(self) -> None:
        before = self.told(self.world)
        self.world.run(self.world.host("example.org").accounts.remove("juliet"))
        self.ask("import_piefxis", file=self.out / "server-data.xml")
        self.assertEqual(self.told(self.world), before)

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

    def test_what_is_given_up_leaves_no_file(self) -> None:
        class GivenUp(Progress):
            def __call__(self, done: int, of: int, note: str = "") -> None:
                raise CommandError("whoever asked for it has gone")

        with self.assertRaisesRegex(CommandError, "has gone"):
            self.ask("export_piefxis", dir=self.folder / "half", progress=GivenUp())
        self.assertEqual(list((self.folder / "half").iterdir()), [])

    def test_a_directory_that_cannot_be_made_is_told(self) -> None:
        (self.folder / "file").touch()
        with self.assertRaisesRegex(CommandError, "cannot be made"):
            self.ask("export_piefxis", dir=self.folder / "file")

    def test_a_host_whose_file_has_the_name_of_the_main_one_is_no_trouble(self) -> None:
        world = self.new_world(hosts=("server-data",))
        told = self.ask("export_piefxis_host", world, dir=self.folder / "odd", host="server-data")
        self.assertEqual(told[1], f"{self.folder}/odd/all-server-data.xml: what import_piefxis is given")

    def test_hosts_that_are_not_served_are_refused(self) -> None:
        for host in ("example.com", "@"):
            with self.assertRaisesRegex(CommandError, "is not served here; the hosts are example.org"):
                self.ask("export_piefxis_host", dir=self.folder / "none", host=host)

    def test_offline_messages_stand_first_as_the_schema_has_it(self) -> None:
        """§9: <offline-messages/>, and behind it what is of other namespaces."""
        user = (self.out / "example.org.xml").read_text().partition("<user name='juliet'>\n")[2]
        self.assertTrue(user.startswith("<offline-messages>\n"), user[:80])

    def test_a_file_that_is_there_is_not_overwritten(self) -> None:
        with self.assertRaisesRegex(Exception, "it is there already"):
            self.ask("export_piefxis", dir=self.out)
        self.assertEqual(sorted(path.name for path in self.out.iterdir()), ["example.org.xml", "server-data.xml"])


class Slow(Portable):
    """Things that storage takes its time for."""

    what, tag, around = "slow things", ("slow", "thing"), False

    def __init__(self, module: Module, fails: bool) -> None:
        self._module = module
        self._fails = fails

    async def leaving(self, account: JID) -> AsyncGenerator[Element | bytes, None]:
        for number in range(3):
            await deferLater(self._module.host.clock, 0)
            await deferLater(self._module.host.clock, 0)
            if self._fails and account.local == "user3":
                raise StoreError("it is away")
            yield Element("thing", "slow", text=f"{account.local} {number}")

    def arriving(self, account: JID, *, overwrite: bool) -> Take:
        raise NotImplementedError


class SlowModule(Module):
    name = "mod_slow"

    @dataclass(frozen=True)
    class Options(Module.Options):
        fails: bool = option(False, "Whether it fails for one.")

    options: Options

    def portables(self) -> Sequence[Portable]:
        return (Slow(self, self.options.fails),)


class SlowTest(MovingCase):
    def exported(self, **options: Any) -> str:
        world = self.new_world(modules={**MODULES, "mod_slow": options}, own_modules={"mod_slow": SlowModule})
        for number in range(30):
            world.register(f"user{number}@example.org")
        self.ask("export_piefxis", world, dir=self.folder / "out")
        return (self.folder / "out" / "example.org.xml").read_text()

    def test_who_is_asked_for_ahead_is_written_in_his_turn(self) -> None:
        text = self.exported()
        things = re.findall(r"<user name='(\w+)'>|<thing xmlns='slow'>(\w+ \d)</thing>", text)
        names = sorted(f"user{number}" for number in range(30))
        expected = [each for name in names for each in ((name, ""), *(("", f"{name} {number}") for number in range(3)))]
        self.assertEqual(things, expected)

    def test_a_storage_that_fails_ends_it_and_leaves_nothing(self) -> None:
        with self.assertRaises(CommandError):
            self.exported(fails=True)
        self.assertEqual(list((self.folder / "out").iterdir()), [])
