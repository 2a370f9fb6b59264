"""What the shapes promise, whatever keeps them."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from federix.storage.codec import BYTES, JSON, TEXT, Json
from federix.storage.shapes import Document, Entry, Log, Table, Update
from tests.contracts.storage import JULIET, ODD_TEXTS, ROMEO, Contract, together


class Refused(Exception):
    pass


def refuse(_: object) -> None:
    raise Refused


class ShapesContract(Contract):
    last = Document("last", TEXT)
    first = Document("first", TEXT)
    settings = Document("settings", JSON)
    photo = Document("photo", BYTES)
    private = Table("private", TEXT)
    public = Table("public", TEXT)
    held = Log("held", TEXT)
    sent = Log("sent", TEXT)

    # -- documents

    async def test_a_document_is_what_was_put_last(self) -> None:
        self.assertIsNone(await self.last.get(ROMEO))
        await self.last.put(ROMEO, "one")
        await self.last.put(ROMEO, "two")
        self.assertEqual(await self.last.get(ROMEO), "two")

    async def test_documents_are_apart_by_owner_and_by_name(self) -> None:
        await self.last.put(ROMEO, "of romeo")
        self.assertIsNone(await self.last.get(JULIET))
        self.assertIsNone(await self.first.get(ROMEO))
        await self.last.put(JULIET, "of juliet")
        await self.last.remove(JULIET)
        self.assertEqual(await self.last.get(ROMEO), "of romeo")

    async def test_removing_a_document_tells_whether_there_was_one(self) -> None:
        await self.last.put(ROMEO, "")
        self.assertEqual(await self.last.get(ROMEO), "")
        self.assertIs(await self.last.remove(ROMEO), True)
        self.assertIs(await self.last.remove(ROMEO), False)
        self.assertIsNone(await self.last.get(ROMEO))

    async def test_any_text_is_a_value_an_owner_and_a_key(self) -> None:
        for text in ODD_TEXTS:
            await self.last.put(text, text)
            await self.private.put(ROMEO, text, text)
        for text in ODD_TEXTS:
            self.assertEqual(await self.last.get(text), text)
        self.assertEqual(await self.private.all(ROMEO), {text: text for text in ODD_TEXTS})

    async def test_a_value_may_be_large_and_any_bytes(self) -> None:
        photo = bytes(range(256)) * 8192
        await self.photo.put(ROMEO, photo)
        self.assertEqual(await self.photo.get(ROMEO), photo)

    async def test_json_comes_back_as_it_went(self) -> None:
        value: Json = {"until": None, "names": ["é", "b"], "many": 2**70, "on": True, "share": 0.1}
        await self.settings.put(ROMEO, value)
        self.assertEqual(await self.settings.get(ROMEO), value)

    async def test_what_is_changed_after_it_was_put_is_not_changed_in_the_store(self) -> None:
        names = ["a"]
        await self.settings.put(ROMEO, names)
        names.append("b")
        self.assertEqual(await self.settings.get(ROMEO), ["a"])

    async def test_an_update_sees_what_is_there_and_leaves_what_it_answers(self) -> None:
        self.assertEqual(await self.last.update(ROMEO, lambda before: before or "new"), Update(None, "new"))
        self.assertEqual(await self.last.update(ROMEO, lambda before: f"{before}er"), Update("new", "newer"))
        self.assertEqual(await self.last.get(ROMEO), "newer")
        self.assertEqual(await self.last.update(ROMEO, lambda before: None), Update("newer", None))
        self.assertIs(await self.last.remove(ROMEO), False)
        self.assertEqual(await self.last.update(ROMEO, lambda before: None), Update(None, None))

    async def test_of_new_values_the_first_is_kept_and_told_to_all(self) -> None:
        told = await together([self.photo.put_new("", bytes([number])) for number in range(9)])
        self.assertEqual(set(told), {await self.photo.get("")})
        self.assertEqual(await self.photo.put_new("", b"later"), told[0])
        await self.photo.put("", b"other")
        self.assertEqual(await self.photo.put_new("", b"new"), b"other")
        self.assertEqual(await self.photo.put_new(ROMEO, b"his"), b"his")

    async def test_updates_at_the_same_time_lose_nothing(self) -> None:
        def add_one(before: str | None) -> str:
            return str(int(before or "0") + 1)

        await together(
            [self.last.update(ROMEO, add_one) for _ in range(50)]
            + [self.private.update(ROMEO, "count", add_one) for _ in range(50)]
        )
        self.assertEqual(await self.last.get(ROMEO), "50")
        self.assertEqual(await self.private.get(ROMEO, "count"), "50")

    async def test_an_update_that_raises_changes_nothing_and_spoils_nothing_beside_it(self) -> None:
        await self.last.put(JULIET, "before")
        await together(
            [
                self.last.put(ROMEO, "one"),
                self.assert_raises(Refused, self.last.update(JULIET, refuse)),
                self.assert_raises(Refused, self.private.update(JULIET, "a", refuse)),
                self.private.put(ROMEO, "a", "two"),
            ]
        )
        self.assertEqual(await self.last.get(JULIET), "before")
        self.assertEqual(await self.private.owners(limit=10), [ROMEO])
        self.assertEqual(await self.last.get(ROMEO), "one")
        self.assertEqual(await self.private.get(ROMEO, "a"), "two")

    # -- tables

    async def test_a_table_keeps_a_value_for_each_key(self) -> None:
        await self.private.put(ROMEO, "a", "one")
        await self.private.put(ROMEO, "b", "two")
        await self.private.put(ROMEO, "a", "three")
        self.assertEqual(await self.private.get(ROMEO, "a"), "three")
        self.assertEqual(await self.private.get(ROMEO, "b"), "two")
        self.assertIsNone(await self.private.get(ROMEO, "c"))
        self.assertEqual(await self.private.count(ROMEO), 2)

    async def test_tables_are_apart_by_owner_and_by_name(self) -> None:
        await self.private.put(ROMEO, "a", "one")
        self.assertEqual(await self.private.all(JULIET), {})
        self.assertEqual(await self.public.all(ROMEO), {})
        self.assertEqual(await self.public.count(ROMEO), 0)
        await self.public.put(ROMEO, "a", "two")
        await self.private.put(JULIET, "a", "three")
        self.assertEqual(await self.private.clear(ROMEO), 1)
        self.assertEqual(await self.public.get(ROMEO, "a"), "two")
        self.assertEqual(await self.private.get(JULIET, "a"), "three")

    async def test_the_rows_of_a_table_come_in_the_order_of_code_points(self) -> None:
        keys = ["b", "a", "B", "é", "\U0001f600", "\uffff", "", "aa", "Z"]
        for key in keys:
            await self.private.put(ROMEO, key, key)
        self.assertEqual(list(await self.private.all(ROMEO)), sorted(keys))

    async def test_removing_and_clearing_tell_what_there_was(self) -> None:
        for key in "abc":
            await self.private.put(ROMEO, key, "")
        self.assertIs(await self.private.remove(ROMEO, "a"), True)
        self.assertIs(await self.private.remove(ROMEO, "a"), False)
        self.assertEqual(await self.private.clear(ROMEO), 2)
        self.assertEqual(await self.private.clear(ROMEO), 0)
        self.assertEqual(await self.private.all(ROMEO), {})

    async def test_the_sizes_of_a_table_are_told_in_bytes_without_its_values(self) -> None:
        self.assertEqual(await self.private.sizes(ROMEO), {})
        for key, text in (("b", "näh"), ("a", ""), ("\U0001f600", "\U0001f600\0x")):
            await self.private.put(ROMEO, key, text)
        await self.private.put(JULIET, "c", "x")
        await self.public.put(ROMEO, "d", "x")
        sizes = await self.private.sizes(ROMEO)
        self.assertEqual(list(sizes.items()), [("a", 0), ("b", 4), ("\U0001f600", 6)])

    async def test_an_update_changes_one_row_and_removes_it_by_answering_none(self) -> None:
        await self.private.put(ROMEO, "b", "kept")
        self.assertEqual(await self.private.update(ROMEO, "a", lambda before: "one"), Update(None, "one"))
        self.assertEqual(await self.private.update(ROMEO, "a", lambda before: None), Update("one", None))
        self.assertEqual(await self.private.all(ROMEO), {"b": "kept"})

    async def test_owners_come_in_order_and_in_pages(self) -> None:
        owners = [f"user{number:02}@example.org" for number in range(5)]
        for owner in reversed(owners):
            await self.last.put(owner, "")
            await self.private.put(owner, "a", "")
            await self.private.put(owner, "b", "")
            await self.held.append(owner, "one")
            await self.held.append(owner, "two")
        await self.public.put(ROMEO, "a", "")
        for store in (self.last, self.private, self.held):
            self.assertEqual(await store.owners(limit=3), owners[:3])
            self.assertEqual(await store.owners(limit=3, after=owners[2]), owners[3:])
            self.assertEqual(await store.owners(limit=3, after=owners[4]), [])

    # -- logs

    async def test_a_log_keeps_order_and_its_ids_grow(self) -> None:
        ids = [await self.held.append(ROMEO, text) for text in "abc"]
        self.assertEqual(sorted(set(ids)), ids)
        expected = [Entry(id_, text) for id_, text in zip(ids, "abc", strict=True)]
        self.assertEqual(await self.held.range(ROMEO, limit=10), expected)
        self.assertEqual(await self.held.range(ROMEO, limit=10, reverse=True), expected[::-1])

    async def test_logs_are_apart_by_owner_and_by_name(self) -> None:
        await self.held.append(ROMEO, "one")
        await self.sent.append(ROMEO, "two")
        await self.held.append(JULIET, "three")
        self.assertEqual([text for _, text in await self.held.range(ROMEO, limit=10)], ["one"])
        self.assertEqual(await self.held.drop(ROMEO), 1)
        self.assertEqual(await self.sent.count(ROMEO), 1)
        self.assertEqual(await self.held.count(JULIET), 1)

    async def test_a_range_begins_after_and_ends_before_its_bounds(self) -> None:
        ids = [await self.held.append(ROMEO, str(number)) for number in range(6)]

        async def texts(after: int | None = None, before: int | None = None) -> str:
            forward = await self.held.range(ROMEO, limit=10, after=after, before=before)
            backward = await self.held.range(ROMEO, limit=10, after=after, before=before, reverse=True)
            self.assertEqual(backward, forward[::-1])
            return "".join(text for _, text in forward)

        self.assertEqual(await texts(after=ids[1]), "2345")
        self.assertEqual(await texts(before=ids[4]), "0123")
        self.assertEqual(await texts(after=ids[1], before=ids[4]), "23")
        self.assertEqual(await texts(after=ids[4], before=ids[1]), "")
        self.assertEqual(await texts(after=ids[5]), "")
        self.assertEqual(await texts(before=ids[0]), "")
        self.assertEqual(await texts(after=0, before=2**80), "012345")
        self.assertEqual(await texts(after=2**80), "")
        self.assertEqual(await texts(before=-(2**80)), "")

    async def test_pages_of_a_log_join_without_a_seam(self) -> None:
        ids = [await self.held.append(ROMEO, str(number)) for number in range(7)]
        seen: list[int] = []
        while page := await self.held.range(ROMEO, limit=3, after=seen[-1] if seen else None):
            self.assertLessEqual(len(page), 3)
            seen += [id_ for id_, _ in page]
        self.assertEqual(seen, ids)
        newest = await self.held.range(ROMEO, limit=2, reverse=True)
        older = await self.held.range(ROMEO, limit=2, reverse=True, before=newest[-1].id)
        self.assertEqual([text for _, text in newest + older], ["6", "5", "4", "3"])
        self.assertEqual(await self.held.range(ROMEO, limit=0), [])

    async def test_dropping_takes_what_lies_between_the_bounds(self) -> None:
        ids = [await self.held.append(ROMEO, str(number)) for number in range(6)]
        self.assertEqual(await self.held.drop(ROMEO, after=ids[0], before=ids[3]), 2)
        self.assertEqual(await self.held.drop(ROMEO, after=ids[0], before=ids[3]), 0)
        self.assertIs(await self.held.remove(ROMEO, ids[4]), True)
        self.assertIs(await self.held.remove(ROMEO, ids[4]), False)
        self.assertEqual([text for _, text in await self.held.range(ROMEO, limit=10)], ["0", "3", "5"])
        self.assertEqual(await self.held.count(ROMEO), 3)
        self.assertEqual(await self.held.drop(ROMEO, before=ids[5]), 2)
        self.assertEqual(await self.held.drop(ROMEO), 1)
        self.assertEqual(await self.held.owners(limit=10), [])

    async def test_several_entries_are_removed_and_none_between_them(self) -> None:
        ids = [await self.held.append(ROMEO, str(number)) for number in range(5)]
        other = await self.held.append(JULIET, "of another")
        self.assertEqual(await self.held.remove_all(ROMEO, [ids[0], ids[3], ids[0], other, -1, 2**80]), 2)
        self.assertEqual([text for _, text in await self.held.range(ROMEO, limit=10)], ["1", "2", "4"])
        self.assertEqual(await self.held.remove_all(ROMEO, []), 0)
        self.assertEqual(await self.held.count(JULIET), 1)

    async def test_an_id_is_never_given_twice(self) -> None:
        first = await self.held.append(ROMEO, "one")
        await self.held.drop(ROMEO)
        self.assertGreater(await self.held.append(ROMEO, "two"), first)

    async def test_appending_at_the_same_time_loses_nothing(self) -> None:
        texts = [str(number) for number in range(60)]
        ids = await together(self.held.append(ROMEO, text) for text in texts)
        self.assertEqual(
            await self.held.range(ROMEO, limit=100), [Entry(i, t) for i, t in sorted(zip(ids, texts, strict=True))]
        )

    async def test_a_log_that_is_full_takes_no_more_even_of_those_who_come_together(self) -> None:
        ids = await together(self.held.append_within(ROMEO, str(number), 3) for number in range(6))
        self.assertEqual(len([id_ for id_ in ids if id_ is not None]), 3)
        self.assertEqual(await self.held.count(ROMEO), 3)
        self.assertIsNone(await self.held.append_within(ROMEO, "more", 0))
        self.assertIsNotNone(await self.held.append_within(JULIET, "of another", 3))
        await self.sent.append(ROMEO, "in another log")
        await self.held.drop(ROMEO)
        self.assertIsNotNone(await self.held.append_within(ROMEO, "again", 3))

    async def test_who_does_not_wait_for_a_write_sees_it_all_the_same(self) -> None:
        put = Deferred.fromCoroutine(self.private.put(ROMEO, "a", "one"))
        found = await self.private.get(ROMEO, "a")
        count = await self.private.count(ROMEO)
        owners = await self.private.owners(limit=9)
        await put
        self.assertEqual((found, count, owners), ("one", 1, [ROMEO]))

    # -- all of them

    async def test_a_forgotten_owner_has_nothing_and_others_keep_theirs(self) -> None:
        for owner in (ROMEO, JULIET):
            await self.last.put(owner, "one")
            await self.private.put(owner, "a", "two")
            await self.public.put(owner, "a", "three")
            await self.held.append(owner, "four")
        await self.storage.forget(ROMEO)
        for owner, amount in ((ROMEO, 0), (JULIET, 1)):
            self.assertEqual(await self.last.get(owner), "one" if amount else None)
            self.assertEqual(await self.private.count(owner), amount)
            self.assertEqual(await self.public.count(owner), amount)
            self.assertEqual(await self.held.count(owner), amount)
