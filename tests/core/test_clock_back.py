"""The clock may have gone back when a server starts again: archives go on as if it had not."""

from __future__ import annotations

import shutil
from typing import Any

from twisted.logger import LogLevel, globalLogPublisher

from federix.links.sending import BACK_WITHIN
from federix.storage.archive import AHEAD, EVERYTHING, ArchiveRow
from federix.testing import World
from federix.testing.world import BEGINNING

from .passage_case import JULIET, ROMEO, stanza_ids, text
from .support import WorldTestCase

HOUR = 3600.0
BARE = "romeo@example.org"


class ClockBackTests(WorldTestCase):
    def setUp(self) -> None:
        self.world = self.make()
        self.world.run(self.world.server.start())
        self.log_in()

    def make(self) -> World:
        return self.new_world(
            config={"sql_database": "federix.sqlite"},
            modules={"mod_mam": {"default": "always"}, "mod_stream_mgmt": {}},
            start=False,
        )

    def log_in(self) -> None:
        self.romeo, self.juliet = self.world.client(ROMEO), self.world.client(JULIET)

    def turn(self, seconds: float) -> None:
        """Put the clock forward, or back."""
        clock, was, at = self.world.clock, self.world.server.now(), self.world.clock.seconds()
        self.world.server.now = lambda: was + seconds + clock.seconds() - at

    def restart(self, seconds: float) -> None:
        for client in (self.romeo, self.juliet):
            client.close()
        self.world.run(self.world.server.stop())
        self.turn(seconds)
        self.world.run(self.world.server.start())
        self.log_in()

    def crash(self, seconds: float) -> None:
        """Another process goes on with what the storage had when the one before it was killed."""
        killed, self.world = self.world, self.make()
        for file in killed.directory.glob("federix.sqlite*"):
            shutil.copy(file, self.world.directory)
        now = killed.server.now()
        self.world.server.now = lambda: now
        self.turn(seconds)
        killed.crash()
        self.world.run(self.world.server.start())
        self.log_in()

    def say(self, *bodies: str) -> None:
        for body in bodies:
            self.romeo.send(text(JULIET, body, body))

    def rows(self) -> list[ArchiveRow]:
        rows: list[ArchiveRow] = self.world.run(self.world.server.storage.archives.page(BARE, EVERYTHING, limit=99))
        return rows

    def bodies(self) -> list[str]:
        """What Romeo's archive has, in its order."""
        return [row.stanza.partition(b"<body>")[2].partition(b"<")[0].decode() for row in self.rows()]

    # -- order, and ids

    def test_what_is_said_after_a_restart_stays_behind_what_was_said_before(self) -> None:
        """XEP-0313 §3.1: "Order within the archive MUST be preserved"."""
        self.say("one", "two")
        self.restart(-HOUR)
        self.say("three")
        self.restart(-HOUR)
        self.say("four", "five")
        self.assertEqual(self.bodies(), ["one", "two", "three", "four", "five"])

    def test_nor_does_a_server_that_is_killed_put_them_out_of_order(self) -> None:
        self.say("one", "two")
        self.crash(-HOUR)
        self.say("three")
        self.crash(-HOUR)
        self.say("four")
        self.assertEqual(self.bodies(), ["one", "two", "three", "four"])

    def test_the_first_message_after_the_clock_was_put_forward_counts(self) -> None:
        """A machine begins with an old time, and learns the right one later."""
        self.say("one")
        self.turn(24 * HOUR)
        self.say("two")
        self.crash(-24 * HOUR)
        self.say("three")
        self.assertEqual(self.bodies(), ["one", "two", "three"])

    def test_ids_are_not_given_twice_though_their_messages_are_gone(self) -> None:
        """XEP-0313 §6.2: "The IDs used within an archive … MUST NOT be reused"."""
        self.say("one")
        (gone,) = self.rows()
        self.world.run(self.world.server.storage.archives.remove(BARE, EVERYTHING, limit=9))
        self.crash(-1e-6 * AHEAD)
        first = self.world.server.first_archive_id
        self.say("two")
        (there,) = self.rows()
        self.assertTrue(gone.id < first <= there.id)

    # -- time

    def test_ids_are_the_time_where_the_clock_is_right(self) -> None:
        for number, again in enumerate((self.restart, self.crash)):
            self.say(f"before {number}")
            self.world.advance(AHEAD / 1e6)
            again(0)
            self.say(f"after {number}")
            self.assertEqual(self.rows()[-1].id, int(self.world.server.now() * 1e6))

    def test_ids_are_hardly_past_those_before_where_it_went_back(self) -> None:
        self.say("one")
        self.crash(-HOUR)
        self.say("two")
        one, two = self.rows()
        self.assertLessEqual(two.id, one.id + AHEAD + 1)

    def test_the_operator_is_told_how_far(self) -> None:
        warnings: list[str] = []

        def hear(event: Any) -> None:
            if event["log_level"] >= LogLevel.warn and "behind" in event["log_format"]:
                warnings.append(event["log_format"].format(**event))

        globalLogPublisher.addObserver(hear)
        self.addCleanup(globalLogPublisher.removeObserver, hear)
        self.say("one")
        self.restart(0)
        self.assertEqual(warnings, [])
        self.restart(-HOUR)
        self.assertEqual(len(warnings), 1)
        self.assertIn("3602 seconds behind", warnings[0])

    def test_a_server_that_archives_nothing_notes_nothing(self) -> None:
        self.world.advance(HOUR)
        self.romeo.send(f"<message to='{JULIET}' type='headline'><body>new</body></message>")
        self.restart(0)
        self.assertEqual(self.world.run(self.world.server.storage.archives.unused()), 0)

    # -- what is sent again

    def test_a_message_that_is_sent_again_is_known(self) -> None:
        for forward in (0.0, 2 * BACK_WITHIN):
            self.setUp()
            self.say("one")
            (one,) = self.rows()
            self.juliet.drain()
            self.crash(-HOUR)
            self.turn(forward)
            self.say("one", "two")
            self.assertEqual(self.bodies(), ["one", "two"])
            told = stanza_ids(self.juliet.receive())
            self.assertEqual(told, [("juliet@example.org", self.world.server.archive_ids.encode(one.id))])

    def test_but_not_long_after_the_start_whatever_the_clock_says(self) -> None:
        self.say("one")
        self.crash(-HOUR)
        self.world.advance(BACK_WITHIN)
        self.say("one")
        self.assertEqual(self.bodies(), ["one", "one"])

    def test_what_this_very_server_has_kept_is_not_taken_for_what_one_before_it_kept(self) -> None:
        """So it is not delivered again."""
        self.crash(-HOUR)
        self.romeo.send("<enable xmlns='urn:xmpp:sm:3'/>")
        self.say("one")
        self.romeo.cut()
        self.romeo = self.world.client(ROMEO)
        self.romeo.send("<enable xmlns='urn:xmpp:sm:3'/>")
        self.say("one")
        self.assertEqual((self.bodies(), len(self.juliet.drain())), (["one"], 1))
        self.assertLess(self.world.server.now(), BEGINNING)
