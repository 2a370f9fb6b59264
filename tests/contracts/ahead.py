"""What is read ahead is what is there, or it is not told."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from federix.storage.roster import Contact, Relations, RosterItem
from federix.storage.sql import ahead
from tests.contracts.rosters import BENVOLIO, NURSE
from tests.contracts.storage import JULIET, ROMEO, Contract, together

A_FULL_ROSTER = {f"friend{number:03}@example.net": number for number in range(250)}


class AheadContract(Contract):
    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        for store in ("early", "earlier"):
            self.storage.documents.expect(store)

    async def test_what_is_read_ahead_is_what_is_there(self) -> None:
        await self.begin_with()
        for _ in range(2):
            self.storage.read_ahead(ROMEO)
            await self.check_filled()
            await self.check_filled()  # and once more, of which nothing is read ahead

    async def test_those_who_ask_before_it_has_been_read_wait_for_it(self) -> None:
        await self.begin_with()
        self.storage.read_ahead(ROMEO)
        documents = self.storage.documents
        asked = (self.storage.rosters.relations(ROMEO), documents.get("early", ROMEO), documents.get("earlier", ROMEO))
        relations, early, earlier = await together(asked)
        self.assertEqual((relations.items, early, earlier), ([NURSE], b"1\0\xff", None))

    async def test_of_who_has_nothing_nothing_is_found(self) -> None:
        self.storage.read_ahead(JULIET)
        self.assertIsNone(await self.storage.documents.get("early", JULIET))
        self.assertEqual(await self.storage.rosters.relations(JULIET), Relations(0, [], {}))

    async def test_what_is_written_meanwhile_is_seen(self) -> None:
        documents, rosters = self.storage.documents, self.storage.rosters
        self.storage.read_ahead(ROMEO)
        await documents.put("early", ROMEO, b"1")
        self.assertEqual(await documents.get("early", ROMEO), b"1")
        self.storage.read_ahead(ROMEO)
        await documents.update("early", ROMEO, lambda before: (before or b"") + b"2")
        self.assertEqual(await documents.get("early", ROMEO), b"12")
        self.storage.read_ahead(ROMEO)
        await documents.remove("early", ROMEO)
        self.assertIsNone(await documents.get("early", ROMEO))
        self.storage.read_ahead(ROMEO)
        await documents.put_new("early", ROMEO, b"3")
        self.assertEqual(await documents.get("early", ROMEO), b"3")
        self.storage.read_ahead(ROMEO)
        await rosters.put(ROMEO, NURSE)
        self.assertEqual((await rosters.relations(ROMEO)).items, [NURSE])
        self.storage.read_ahead(ROMEO)
        await rosters.keep(ROMEO, {BENVOLIO.jid: Contact(BENVOLIO)})
        self.assertEqual((await rosters.relations(ROMEO)).items, [BENVOLIO, NURSE])
        self.storage.read_ahead(ROMEO)
        await self.storage.forget(ROMEO)
        self.assertEqual((await rosters.relations(ROMEO)).items, [])
        self.assertIsNone(await documents.get("early", ROMEO))

    async def test_it_sees_what_was_begun_before(self) -> None:
        writing = Deferred.fromCoroutine(self.storage.documents.put("early", ROMEO, b"1"))
        self.storage.read_ahead(ROMEO)
        self.assertEqual(await self.storage.documents.get("early", ROMEO), b"1")
        await writing

    async def test_a_roster_of_many_is_whole(self) -> None:
        contacts = {jid: Contact(RosterItem(jid, str(number))) for jid, number in A_FULL_ROSTER.items()}
        await self.storage.rosters.keep(ROMEO, contacts)
        await self.storage.documents.put("early", ROMEO, b"1")
        self.storage.read_ahead(ROMEO)
        self.assertEqual(await self.storage.documents.get("early", ROMEO), b"1")
        found = await self.storage.rosters.relations(ROMEO)
        self.assertEqual([item.jid for item in found.items], list(A_FULL_ROSTER))

    async def test_a_roster_of_many_is_whole_for_who_asks_before_it_has_been_read(self) -> None:
        contacts = {jid: Contact(RosterItem(jid, str(number))) for jid, number in A_FULL_ROSTER.items()}
        writing = Deferred.fromCoroutine(self.storage.rosters.keep(ROMEO, contacts))
        self.storage.read_ahead(ROMEO)
        found = await self.storage.rosters.relations(ROMEO)
        self.assertEqual([item.jid for item in found.items], list(A_FULL_ROSTER))
        await writing

    async def test_what_nobody_asks_for_is_not_remembered_without_bound(self) -> None:
        self.patch(ahead, "MOST_ROWS", 3)
        await self.begin_with()
        for number in range(9):
            self.storage.read_ahead(f"{number}@example.org")
            await self.storage.documents.get("early", f"{number}@example.org")
        self.storage.read_ahead(ROMEO)
        await self.check_filled()

    async def begin_with(self) -> None:
        await self.storage.documents.put("early", ROMEO, b"1\0\xff")
        await self.storage.documents.put("late", ROMEO, b"3")
        await self.storage.rosters.put(ROMEO, NURSE)
        asked = Contact(None, b"<presence/>\xff")
        await self.storage.rosters.transition(ROMEO, BENVOLIO.jid, lambda before: asked)

    async def check_filled(self) -> None:
        documents = self.storage.documents
        self.assertEqual(await documents.get("early", ROMEO), b"1\0\xff")
        self.assertIsNone(await documents.get("earlier", ROMEO))
        self.assertEqual(await documents.get("late", ROMEO), b"3")
        self.assertEqual(
            await self.storage.rosters.relations(ROMEO), Relations(1, [NURSE], {BENVOLIO.jid: b"<presence/>\xff"})
        )
