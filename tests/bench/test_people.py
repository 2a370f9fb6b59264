"""The accounts and rosters that Federix finds."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from bench.names import CONTACTS, DOMAIN, HUB, contact, user
from bench.people import for_federix
from federix.life.executor import InlineExecutor
from federix.storage.accounts import owner_of
from federix.storage.sqlite import SqliteStorage


class PeopleTests(SynchronousTestCase):
    def test_what_is_written_is_read_by_the_server(self) -> None:
        file = Path(self.mktemp())
        for_federix(3, file, {user(0): ["friend"]})

        async def read() -> None:
            storage = SqliteStorage(str(file), InlineExecutor())
            await storage.start()
            for name in (user(0), user(2), HUB, contact(CONTACTS - 1)):
                account = await storage.accounts.get(name, DOMAIN)
                assert account is not None
                self.assertIn("SCRAM-SHA-256", account.credentials)
            self.assertFalse(await storage.accounts.exists(user(3), DOMAIN))
            hub = await storage.rosters.get(owner_of(HUB, DOMAIN))
            self.assertEqual((len(hub.items), hub.version), (CONTACTS, CONTACTS))
            (item,) = (await storage.rosters.get(owner_of(user(0), DOMAIN))).items
            self.assertEqual((item.jid, item.subscription), (owner_of("friend", DOMAIN), "both"))
            await storage.stop()

        self.successResultOf(ensureDeferred(read()))
