"""A server was killed, and the database goes on with what it was told, and commits it."""

from __future__ import annotations

from typing import Any

from federix.storage.sql import served
from federix.storage.storage import StoreError
from tests.storage.served.case import JULIET, LOG, ROMEO
from tests.storage.served.outage import OutageCase, a_while, begin
from tests.storage.servers import soon


class Orphans(OutageCase):
    async def test_what_a_killed_server_has_left_running_ends_before_anything_is_read(self) -> None:
        here, elsewhere = await self.started(identity="here"), await self.started(identity="elsewhere")
        release = self.lock("entry")
        late = begin(LOG.bind(here).append(ROMEO, "late"))
        other = begin(LOG.bind(elsewhere).append(JULIET, "another's"))
        await a_while()
        here.database._pool._closed = True  # as one that is killed, it does not come back
        storage = self.make(identity="here")
        starting = begin(storage.start())
        await self.assertFailure(late, StoreError)
        release()
        await starting
        await other
        self.assertEqual(await LOG.bind(storage).range(ROMEO, limit=9), [])
        self.assertEqual(len(await LOG.bind(storage).range(JULIET, limit=9)), 1)
        self.assertEqual(self.connections(elsewhere), 6)

    async def test_it_is_known_by_connections_that_came_later_too(self) -> None:
        here = await self.started(identity="here")
        self.end_all(here)
        await soon(lambda: self.connections(here) == 6)
        release = self.lock("entry")
        late = begin(LOG.bind(here).append(ROMEO, "late"))
        await a_while()
        here.database._pool._closed = True
        starting = begin(self.make(identity="here").start())
        await self.assertFailure(late, StoreError)
        release()
        await starting

    async def test_two_servers_that_cannot_be_told_from_each_other_leave_each_other_alone_but_for_that(self) -> None:
        one, two = await self.started(identity="here"), await self.started(identity="here")
        await soon(lambda: (self.connections(one), self.connections(two)) == (6, 6))
        await a_while()
        self.assertEqual((self.connections(one), self.connections(two)), (6, 6))

    async def test_what_does_not_end_is_waited_for_no_longer_than_a_while(self) -> None:
        self.patch(served, "ORPHANS_END_WITHIN", 0.2)
        storage = self.make(identity="here")

        async def there_still() -> bool:
            return True

        self.patch(storage.database, "_have_orphans_end", there_still)
        await storage.start()
        (told,) = self.told
        self.assertIn("do not end", told)

    def end_all(self, storage: Any) -> None:
        for slot in storage.database._pool._slots:
            slot.connection.break_off("the test wants it")
