"""What the rosters promise, whatever keeps them."""

from __future__ import annotations

from dataclasses import replace

from federix.storage.roster import MOST_TOMBSTONES, Contact, ItemUpdate, Relations, Roster, RosterItem, Rosters
from tests.contracts.storage import JULIET, ROMEO, Contract, together

NURSE = RosterItem("nurse@example.com", "Nürse", "both", groups=frozenset({"Sërvants", "Friends"}))
BENVOLIO = RosterItem("benvolio@example.net", subscription="to", ask=True, approved=True)


class Refused(Exception):
    pass


def refuse(_: object) -> Contact:
    raise Refused


class RostersContract(Contract):
    @property
    def rosters(self) -> Rosters:
        return self.storage.rosters

    async def test_items_come_back_as_they_were_put_in_order(self) -> None:
        await self.rosters.put(ROMEO, NURSE)
        await self.rosters.put(ROMEO, BENVOLIO)
        self.assertEqual(await self.rosters.get(ROMEO), Roster(2, [BENVOLIO, NURSE]))
        self.assertEqual(await self.rosters.item(ROMEO, NURSE.jid), NURSE)
        self.assertEqual(await self.rosters.count(ROMEO), 2)

    async def test_rosters_are_apart_by_owner(self) -> None:
        await self.rosters.put(ROMEO, NURSE)
        self.assertEqual(await self.rosters.get(JULIET), Roster(0, []))
        self.assertIsNone(await self.rosters.item(JULIET, NURSE.jid))
        self.assertEqual(await self.rosters.remove(JULIET, NURSE.jid), ItemUpdate(None, None, 0))
        self.assertEqual(await self.rosters.count(ROMEO), 1)

    async def test_many_contacts_are_kept_as_one_step_and_each_raises_the_version(self) -> None:
        await self.rosters.put(ROMEO, NURSE)
        await self.rosters.add_request(ROMEO, NURSE.jid, b"<presence from='nurse'/>")
        other = replace(NURSE, name="Angelica")
        new = {
            NURSE.jid: Contact(other),
            BENVOLIO.jid: Contact(BENVOLIO, b"<presence/>"),
            "a@b.test": Contact(None, b"<a/>"),
        }
        self.assertEqual(await self.rosters.keep(ROMEO, new), 3)
        version, items, requests = await self.rosters.relations(ROMEO)
        self.assertEqual((version, items), (3, [BENVOLIO, other]))
        # What nothing is said of is as it was.
        self.assertEqual(
            requests, {BENVOLIO.jid: b"<presence/>", NURSE.jid: b"<presence from='nurse'/>", "a@b.test": b"<a/>"}
        )
        changes = await self.rosters.changes(ROMEO, 1)
        assert changes is not None
        self.assertEqual((changes.version, {item.jid for item in changes.items}), (3, {NURSE.jid, BENVOLIO.jid}))

    async def test_of_many_contacts_none_is_kept_where_one_cannot_be(self) -> None:
        with self.assertRaises(ValueError):
            await self.rosters.keep(ROMEO, {NURSE.jid: Contact(NURSE), "a@b.test": Contact(BENVOLIO)})
        self.assertEqual(await self.rosters.get(ROMEO), Roster(0, []))

    async def test_a_removed_item_is_gone_and_may_come_again(self) -> None:
        await self.rosters.put(ROMEO, NURSE)
        self.assertEqual(await self.rosters.remove(ROMEO, NURSE.jid), ItemUpdate(NURSE, None, 2))
        self.assertEqual(await self.rosters.get(ROMEO), Roster(2, []))
        self.assertIsNone(await self.rosters.item(ROMEO, NURSE.jid))
        self.assertEqual(await self.rosters.count(ROMEO), 0)
        self.assertEqual(await self.rosters.put(ROMEO, NURSE), ItemUpdate(None, NURSE, 3))

    async def test_the_version_grows_with_changes_and_only_with_them(self) -> None:
        self.assertEqual((await self.rosters.put(ROMEO, NURSE)).version, 1)
        self.assertEqual((await self.rosters.put(ROMEO, NURSE)).version, 1)
        self.assertEqual((await self.rosters.put(ROMEO, replace(NURSE, name="Angelica"))).version, 2)
        self.assertEqual((await self.rosters.remove(ROMEO, BENVOLIO.jid)).version, 2)
        await self.rosters.add_request(ROMEO, BENVOLIO.jid, b"<presence/>")
        self.assertEqual((await self.rosters.get(ROMEO)).version, 2)

    async def test_an_update_sees_what_is_there(self) -> None:
        await self.rosters.put(ROMEO, NURSE)
        changed = replace(NURSE, subscription="from")
        update = await self.rosters.update(
            ROMEO, NURSE.jid, lambda item: None if item is None else replace(item, subscription="from")
        )
        self.assertEqual(update, ItemUpdate(NURSE, changed, 2))
        self.assertEqual(await self.rosters.item(ROMEO, NURSE.jid), changed)

    async def test_updates_at_the_same_time_lose_nothing(self) -> None:
        async def add(group: str) -> ItemUpdate:
            return await self.rosters.update(
                ROMEO, NURSE.jid, lambda item: replace(item or RosterItem(NURSE.jid), groups=_groups(item) | {group})
            )

        updates = await together(add(str(number)) for number in range(30))
        item = await self.rosters.item(ROMEO, NURSE.jid)
        assert item is not None
        self.assertEqual(item.groups, frozenset(map(str, range(30))))
        self.assertEqual(sorted(update.version for update in updates), list(range(1, 31)))

    async def test_a_change_that_raises_changes_nothing(self) -> None:
        await self.rosters.put(ROMEO, NURSE)
        await self.assert_raises(Refused, self.rosters.transition(ROMEO, NURSE.jid, refuse))
        self.assertEqual(await self.rosters.get(ROMEO), Roster(1, [NURSE]))

    async def test_a_change_cannot_make_another_contact_of_it(self) -> None:
        await self.assert_raises(ValueError, self.rosters.update(ROMEO, NURSE.jid, lambda _: BENVOLIO))
        gone = replace(NURSE, subscription="remove")
        await self.assert_raises(ValueError, self.rosters.update(ROMEO, NURSE.jid, lambda _: gone))
        self.assertEqual(await self.rosters.get(ROMEO), Roster(0, []))

    # -- changes since a version

    async def test_changes_are_told_in_their_order_with_those_removed(self) -> None:
        await self.rosters.put(ROMEO, NURSE)
        await self.rosters.put(ROMEO, BENVOLIO)
        known = (await self.rosters.get(ROMEO)).version
        self.assertEqual(await self.rosters.changes(ROMEO, known), Roster(known, []))
        await self.rosters.remove(ROMEO, BENVOLIO.jid)
        renamed = replace(NURSE, name="Angelica")
        await self.rosters.put(ROMEO, renamed)
        expected = [RosterItem(BENVOLIO.jid, subscription="remove"), renamed]
        self.assertEqual(await self.rosters.changes(ROMEO, known), Roster(known + 2, expected))
        self.assertEqual(await self.rosters.changes(ROMEO, 0), Roster(known + 2, expected))

    async def test_who_knows_nothing_of_an_empty_roster_is_up_to_date(self) -> None:
        self.assertEqual(await self.rosters.changes(ROMEO, 0), Roster(0, []))

    async def test_a_version_that_never_was_cannot_be_told_from(self) -> None:
        await self.rosters.put(ROMEO, NURSE)
        self.assertIsNone(await self.rosters.changes(ROMEO, 2))
        self.assertIsNone(await self.rosters.changes(ROMEO, -1))

    async def test_tombstones_are_bounded_and_older_versions_are_no_longer_told_from(self) -> None:
        await self.rosters.put(ROMEO, NURSE)
        for number in range(MOST_TOMBSTONES + 2):
            await self.rosters.put(ROMEO, RosterItem(f"{number}@example.net"))
        before = (await self.rosters.get(ROMEO)).version
        for number in range(MOST_TOMBSTONES):
            await self.rosters.remove(ROMEO, f"{number}@example.net")
        changes = await self.rosters.changes(ROMEO, before)
        assert changes is not None
        self.assertEqual(len(changes.items), MOST_TOMBSTONES)
        await self.rosters.remove(ROMEO, f"{MOST_TOMBSTONES}@example.net")
        self.assertIsNone(await self.rosters.changes(ROMEO, before))
        changes = await self.rosters.changes(ROMEO, before + 1)
        assert changes is not None
        self.assertEqual(len(changes.items), MOST_TOMBSTONES)
        self.assertEqual(changes.items[0].jid, "1@example.net")
        self.assertEqual(await self.rosters.count(ROMEO), 2)

    async def test_changes_of_items_that_stay_push_no_tombstone_out(self) -> None:
        await self.rosters.put(ROMEO, NURSE)
        await self.rosters.remove(ROMEO, NURSE.jid)
        for number in range(MOST_TOMBSTONES + 2):
            await self.rosters.put(ROMEO, RosterItem(f"{number}@example.net"))
        await self.rosters.remove(ROMEO, "0@example.net")
        changes = await self.rosters.changes(ROMEO, 1)
        assert changes is not None
        self.assertEqual(changes.items[0], RosterItem(NURSE.jid, subscription="remove"))

    # -- requests

    async def test_a_request_waits_outside_of_the_roster(self) -> None:
        await self.rosters.add_request(ROMEO, NURSE.jid, b"<presence type='subscribe'/>")
        self.assertEqual(await self.rosters.get(ROMEO), Roster(0, []))
        self.assertIsNone(await self.rosters.item(ROMEO, NURSE.jid))
        self.assertEqual(await self.rosters.requests(JULIET), {})

    async def test_the_last_request_of_each_contact_is_kept_in_order(self) -> None:
        await self.rosters.add_request(ROMEO, NURSE.jid, b"one")
        await self.rosters.add_request(ROMEO, BENVOLIO.jid, b"two")
        await self.rosters.add_request(ROMEO, NURSE.jid, b"\xffthree")
        requests = await self.rosters.requests(ROMEO)
        self.assertEqual(list(requests.items()), [(BENVOLIO.jid, b"two"), (NURSE.jid, b"\xffthree")])
        self.assertEqual(await self.rosters.request_count(ROMEO), 2)

    async def test_removing_a_request_tells_whether_one_waited(self) -> None:
        await self.rosters.put(ROMEO, NURSE)
        await self.rosters.add_request(ROMEO, NURSE.jid, b"one")
        self.assertIs(await self.rosters.remove_request(ROMEO, NURSE.jid), True)
        self.assertIs(await self.rosters.remove_request(ROMEO, NURSE.jid), False)
        self.assertEqual(await self.rosters.requests(ROMEO), {})
        self.assertEqual(await self.rosters.get(ROMEO), Roster(1, [NURSE]))

    async def test_a_request_is_granted_as_one_step(self) -> None:
        await self.rosters.add_request(ROMEO, NURSE.jid, b"one")
        asked = Contact(None, b"one")
        granted = Contact(RosterItem(NURSE.jid, subscription="from"), None)
        transition = await self.rosters.transition(
            ROMEO, NURSE.jid, lambda contact: granted if contact == asked else contact
        )
        self.assertEqual((transition.before, transition.after, transition.version), (asked, granted, 1))
        self.assertEqual(await self.rosters.requests(ROMEO), {})

    async def test_removing_an_item_keeps_a_request(self) -> None:
        await self.rosters.put(ROMEO, NURSE)
        await self.rosters.add_request(ROMEO, NURSE.jid, b"one")
        await self.rosters.remove(ROMEO, NURSE.jid)
        self.assertEqual(await self.rosters.requests(ROMEO), {NURSE.jid: b"one"})

    async def test_roster_and_requests_come_together(self) -> None:
        self.assertEqual(await self.rosters.relations(ROMEO), Relations(0, [], {}))
        for item in (NURSE, BENVOLIO):
            await self.rosters.put(ROMEO, item)
        for jid in ("b@example.org", "a@example.org"):
            await self.rosters.add_request(ROMEO, jid, jid.encode())
        found = await self.rosters.relations(ROMEO)
        self.assertEqual((found.version, found.items), (2, [BENVOLIO, NURSE]))
        waiting = [("a@example.org", b"a@example.org"), ("b@example.org", b"b@example.org")]
        self.assertEqual(list(found.requests.items()), waiting)
        self.assertEqual(await self.rosters.relations(JULIET), Relations(0, [], {}))

    # -- forgetting

    async def test_a_forgotten_owner_has_no_roster_and_no_requests(self) -> None:
        for owner in (ROMEO, JULIET):
            await self.rosters.put(owner, NURSE)
            await self.rosters.add_request(owner, BENVOLIO.jid, b"one")
        await self.storage.forget(ROMEO)
        self.assertEqual((await self.rosters.get(ROMEO)).items, [])
        self.assertEqual(await self.rosters.requests(ROMEO), {})
        self.assertEqual(await self.rosters.get(JULIET), Roster(1, [NURSE]))
        self.assertEqual(await self.rosters.request_count(JULIET), 1)

    async def test_the_next_of_that_name_never_shares_a_version_with_the_forgotten(self) -> None:
        old = [(await self.rosters.put(ROMEO, replace(NURSE, name=str(number)))).version for number in range(5)]
        await self.storage.forget(ROMEO)
        await self.storage.forget(ROMEO)
        new = [(await self.rosters.put(ROMEO, replace(NURSE, name=str(number)))).version for number in range(5)]
        self.assertGreater(min(new), max(old))
        for version in old[:-1]:
            self.assertIsNone(await self.rosters.changes(ROMEO, version))

    async def test_a_client_of_the_forgotten_is_not_told_that_nothing_changed(self) -> None:
        known = (await self.rosters.put(ROMEO, NURSE)).version
        await self.storage.forget(ROMEO)
        self.assertIsNone(await self.rosters.changes(ROMEO, known))


def _groups(item: RosterItem | None) -> frozenset[str]:
    return frozenset() if item is None else item.groups
