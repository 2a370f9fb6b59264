"""XEP-0313 §3.2: old messages go, and what operators remove."""

from __future__ import annotations

from typing import Any, ClassVar

from federix.api import StoreError
from federix.core.commands import CommandError
from federix.modules.mam import retention
from federix.modules.mam.query import MICROSECONDS
from federix.testing import World

from ..neighbours import reload, worries
from .support import JULIET, NURSE, ROMEO, START, Case

DAY = 86400


class RetentionCase(Case):
    def setUp(self) -> None:
        super().setUp()
        self.patch(retention, "MESSAGES", 3)
        #: Seconds from the first message until now.
        self.past = self.mam.host.now() - START / MICROSECONDS

    def pass_on(self) -> None:
        """Time for one look at the archives."""
        self.world.advance(retention.FIRST + 60)


class AgeTests(RetentionCase):
    options: ClassVar[dict[str, Any]] = {"max_age": "30 days"}

    def test_what_is_too_old_goes_the_oldest_first_and_leaves_no_gap(self) -> None:
        now = round(self.mam.host.now() - START / MICROSECONDS) + round(retention.FIRST)
        for number in range(10):
            self.keep(now - 30 * DAY - 5 + number, ROMEO, JULIET)
        self.keep(now - 31 * DAY, JULIET, ROMEO)
        self.pass_on()
        self.assertEqual(self.owned(), [now - 30 * DAY + number for number in range(5)])
        self.assertEqual(self.owned(JULIET), [])

    def test_it_is_looked_at_again_and_again(self) -> None:
        self.pass_on()
        now = round(self.mam.host.now() - START / MICROSECONDS)
        self.keep(now - 31 * DAY, ROMEO, JULIET)
        self.world.advance(retention.AGAIN + 60)
        self.assertEqual(self.owned(), [])

    def test_one_that_cannot_be_trimmed_does_not_keep_those_behind_it_from_it(self) -> None:
        self.keep(-40 * DAY, JULIET, ROMEO)
        self.keep(-40 * DAY, ROMEO, JULIET)
        archives = self.world.server.storage.archives
        remove = archives.remove

        async def damaged(owner: str, *args: Any, **options: Any) -> int:
            if owner == str(JULIET):
                raise StoreError("malformed")
            return int(await remove(owner, *args, **options))

        self.patch(archives, "remove", damaged)
        worried = worries(self)
        self.pass_on()
        self.assertEqual(self.owned(), [])
        self.assertEqual(worried, ["could not remove old messages from archives: {reason}"])

    def test_a_storage_that_is_away_is_left_alone_until_the_next_look(self) -> None:
        for number in range(retention.MOST_FAILED + 5):
            self.keep(-40 * DAY, f"user{number}@example.org", JULIET)
        tried: list[str] = []

        async def away(owner: str, *args: Any, **options: Any) -> int:
            tried.append(owner)
            raise StoreError("it is gone")

        self.patch(self.world.server.storage.archives, "remove", away)
        self.pass_on()
        self.assertEqual(len(tried), retention.MOST_FAILED)

    def test_an_archive_of_another_host_is_left_alone(self) -> None:
        self.keep(-40 * DAY, "romeo@example.net", JULIET)
        self.pass_on()
        self.assertEqual(self.owned("romeo@example.net"), [-40 * DAY])

    def test_little_is_removed_at_a_time(self) -> None:
        for number in range(8):
            self.keep(number, ROMEO, JULIET)
        self.world.advance(retention.FIRST)
        self.assertEqual(len(self.owned()), 5)
        self.world.advance(retention.BETWEEN)
        self.assertEqual(len(self.owned()), 2)

    def test_few_archives_are_looked_at_at_a_time(self) -> None:
        self.patch(retention, "ARCHIVES", 2)
        for number in range(5):
            self.keep(number, f"a{number}@example.org", JULIET)
        self.world.advance(retention.FIRST)
        left = [bool(self.owned(f"a{number}@example.org")) for number in range(5)]
        self.assertEqual(left, [False, False, True, True, True])
        self.world.advance(10)
        self.assertEqual(self.world.run(self.archives.owners("", 9)), [])

    def test_an_operator_may_change_the_limits_while_it_runs(self) -> None:
        self.keep(0, ROMEO, JULIET)
        reload(self.world, {"mod_mam": {}})
        self.pass_on()
        self.assertEqual(self.owned(), [0])


class NumberTests(RetentionCase):
    options: ClassVar[dict[str, Any]] = {"max_messages": 4}

    def test_of_too_many_messages_the_oldest_go(self) -> None:
        self.fill(11)
        self.fill(4, owner=JULIET)
        self.pass_on()
        self.assertEqual(self.owned(), [7, 8, 9, 10])
        self.assertEqual(self.owned(JULIET), [0, 1, 2, 3])

    def test_archives_are_gone_through_once_a_day_and_not_each_time(self) -> None:
        self.patch(retention, "THOROUGH", 3)
        self.pass_on()
        self.fill(11)
        found = []
        for _ in range(3):
            self.world.advance(retention.AGAIN + 5)
            found.append(len(self.owned()))
        self.assertEqual(found, [11, 11, 4])


class SizeTests(RetentionCase):
    options: ClassVar[dict[str, Any]] = {"max_size": 5000}

    def test_of_too_large_an_archive_the_oldest_messages_go(self) -> None:
        self.fill(10, text="o" * 900)
        self.fill(4, owner=JULIET, text="o" * 900)
        self.pass_on()
        self.assertEqual(self.owned(), [6, 7, 8, 9])
        self.assertEqual(self.owned(JULIET), [0, 1, 2, 3])


class UnlimitedTests(RetentionCase):
    options: ClassVar[dict[str, Any]] = {"max_messages": "infinity"}

    def test_without_limits_nobody_looks(self) -> None:
        self.fill(10)
        self.archives.owners = None
        found = worries(self)
        self.pass_on()
        self.assertEqual((self.owned(), found), (list(range(10)), []))


class CommandTests(RetentionCase):
    def setUp(self) -> None:
        super().setUp()
        self.fill(6, f"{JULIET}/balcony", f"{JULIET}/chamber", NURSE)

    def run_command(self, name: str, **arguments: Any) -> Any:
        results: list[Any] = []
        done: Any = self.world.server.scope.spawn(self.world.server.commands.run(name, arguments))
        done.addCallback(results.append)
        self.world.advance(30)
        return results[0]

    def test_old_messages_are_removed(self) -> None:
        now = round(self.past)
        self.keep(now - 10 * DAY, ROMEO, JULIET)
        self.keep(now - 2 * DAY, ROMEO, JULIET)
        found = self.run_command("delete_old_mam_messages", type="all", days="5")
        self.assertEqual(found, {"example.org": 7})
        self.assertEqual(self.owned(), [now - 2 * DAY])

    def test_a_number_of_days_below_none_removes_nothing(self) -> None:
        command = self.world.server.commands.run("delete_old_mam_messages", {"type": "all", "days": "-30"})
        with self.assertRaises(CommandError):
            self.world.run(command)
        self.assertEqual(len(self.owned()), 6)

    def test_accounts_have_no_messages_of_rooms(self) -> None:
        found = self.run_command("delete_old_mam_messages", type="groupchat", days="0", host="example.org")
        self.assertEqual(found, {"example.org": 0})
        self.assertEqual(len(self.owned()), 6)

    def test_the_archive_of_a_user_is_removed(self) -> None:
        self.fill(2, owner=JULIET)
        self.assertEqual(self.run_command("remove_mam_for_user", user="Romeo", host="example.org"), {"removed": 6})
        self.assertEqual((self.owned(), self.owned(JULIET)), ([], [0, 1]))

    def test_what_a_user_has_said_with_one_contact_is_removed(self) -> None:
        name, arguments = "remove_mam_for_user_with_peer", {"user": "romeo", "host": "example.org"}
        self.assertEqual(self.run_command(name, **arguments, peer=f"{JULIET}/chamber"), {"removed": 2})
        self.assertEqual(self.run_command(name, **arguments, peer=JULIET), {"removed": 2})
        self.assertEqual(self.owned(), [2, 5])

    def test_an_operator_is_told_what_is_no_name(self) -> None:
        run = self.world.server.commands.run
        name = "remove_mam_for_user_with_peer"
        for user, peer in (("romeo", "@"), ("ro meo", JULIET)):
            with self.assertRaises(CommandError):
                self.world.run(run(name, {"user": user, "host": "example.org", "peer": peer}))


class HostsTests(Case):
    def test_without_a_host_old_messages_of_all_hosts_are_removed(self) -> None:
        world = World(modules={"mod_mam": {}}, hosts=("example.org", "example.net"))
        self.addCleanup(world.stop)
        self.world = world
        self.keep(0, ROMEO, JULIET)
        self.keep(0, "romeo@example.net", JULIET)
        results: list[Any] = []
        run = world.server.commands.run("delete_old_mam_messages", {"type": "all", "days": 0})
        done: Any = world.server.scope.spawn(run)
        done.addCallback(results.append)
        world.advance(10)
        self.assertEqual(results, [{"example.org": 1, "example.net": 1}])
        self.assertEqual(world.run(self.archives.owners("", 9)), [])
