"""What message archives promise, whatever keeps them."""

from __future__ import annotations

from dataclasses import replace

from twisted.internet.defer import Deferred, DeferredList, ensureDeferred, gatherResults

from federix.storage.archive import AHEAD, EVERYTHING, ArchiveRow, Archives, Counted, Oldest, RowSize, Span
from federix.storage.chain import Chain
from federix.storage.storage import StoreError
from tests.contracts.storage import JULIET, ROMEO, Contract

NURSE = "nurse@example.org"
#: The time of the first message, in microseconds since 1970.
START = 1_790_000_000_000_000
STREAM = Counted("resume-1", ROMEO, 7)
ODD_BYTES = b"<message>\x00\xff'\"\\%s</message>" + "né ☃ 😀".encode()


def row(number: int, owner: str = ROMEO, peer: str = JULIET, resource: str = "balcony") -> ArchiveRow:
    """A message that its owner sent."""
    return ArchiveRow(owner, START + number, peer, resource, True, f"print-{number}", b"<message/>")


def other_side(sent: ArchiveRow) -> ArchiveRow:
    """The same message in the archive of the one who got it."""
    return sent._replace(owner=sent.peer, peer=sent.owner, resource="orchard", sent=False, fingerprint="")


def numbers(rows: list[ArchiveRow]) -> list[int]:
    return [row.id - START for row in rows]


class ArchivesContract(Contract):
    @property
    def archives(self) -> Archives:
        return self.storage.archives

    async def fill(self, *rows: ArchiveRow) -> None:
        await gatherResults([ensureDeferred(self._keep(row)) for row in rows])

    async def _keep(self, row: ArchiveRow, counted: Counted | None = None) -> None:
        await self.archives.keep([row], counted)

    async def _keep_all(self, *rows: ArchiveRow) -> None:
        await self.archives.keep(rows)

    async def page(self, span: Span = EVERYTHING, limit: int = 50, reverse: bool = False) -> list[int]:
        return numbers(await self.archives.page(ROMEO, span, limit=limit, reverse=reverse))

    # -- keeping

    async def test_a_message_comes_back_as_it_was_kept_in_both_archives(self) -> None:
        sent = row(1)._replace(stanza=ODD_BYTES, fingerprint="romeo@example.org/orchard\x01id ☃")
        await self.archives.keep([sent, other_side(sent)])
        self.assertEqual(await self.archives.page(ROMEO, Span(), limit=9), [sent])
        self.assertEqual(await self.archives.page(JULIET, Span(), limit=9), [other_side(sent)])

    async def test_what_is_kept_is_there_before_it_is_awaited(self) -> None:
        sent = row(1)
        keeping = self.archives.keep([sent, other_side(sent)])
        self.assertEqual(numbers(await self.archives.page(JULIET, Span(), limit=9)), [1])
        self.assertEqual(await self.page(), [1])
        await keeping

    async def test_a_message_to_oneself_is_kept_once(self) -> None:
        sent = row(1, peer=ROMEO)
        await self.archives.keep([sent, other_side(sent)])
        self.assertEqual(await self.archives.page(ROMEO, Span(), limit=9), [sent])

    async def test_any_number_of_rows_is_kept_together(self) -> None:
        rows = [row(number, owner) for number in range(5) for owner in (ROMEO, NURSE)]
        await self.archives.keep(rows[:-1])
        self.assertEqual((await self.page(), await self.archives.count(NURSE)), ([0, 1, 2, 3, 4], 4))
        await self.archives.keep([])

    async def test_all_is_kept_or_nothing(self) -> None:
        await self.archives.keep([row(1)], STREAM)
        twice = row(1, owner=JULIET), row(2), row(1)
        with self.assertRaises(StoreError):
            await self.archives.keep(twice, replace(STREAM, h=8))
        self.assertEqual(await self.page(), [1])
        self.assertEqual(await self.archives.count(JULIET), 0)
        self.assertEqual(await self.archives.counted(STREAM.key), STREAM)
        self.flushLoggedErrors()

    async def test_rows_come_in_the_order_of_their_ids_however_they_were_kept(self) -> None:
        await self.fill(row(3), row(1), row(2))
        self.assertEqual(await self.page(), [1, 2, 3])

    # -- which ids are not used

    async def test_ids_that_are_not_used_are_past_all_that_were_kept_and_not_far_past_them(self) -> None:
        self.assertEqual(await self.archives.unused(), 0)
        await self.fill(row(1), row(7 * AHEAD, owner=JULIET), row(3 * AHEAD), row(7 * AHEAD + 1))
        unused = await self.archives.unused() - START
        self.assertGreater(unused, 7 * AHEAD + 1)
        self.assertLessEqual(unused, 8 * AHEAD + 1)

    async def test_what_is_kept_one_after_the_other_moves_them_on(self) -> None:
        for number in range(0, 3 * AHEAD, AHEAD // 3):
            await self.archives.keep([row(number)])
            self.assertTrue(number < await self.archives.unused() - START <= number + AHEAD)

    async def test_an_id_is_used_though_its_message_is_gone(self) -> None:
        await self.fill(row(1), row(2 * AHEAD))
        await self.archives.remove(ROMEO, EVERYTHING, limit=9)
        await self.storage.forget(ROMEO)
        self.assertGreater(await self.archives.unused(), START + 2 * AHEAD)

    async def test_what_comes_behind_one_that_fails_uses_its_id(self) -> None:
        await self.archives.keep([row(1)])
        results = await DeferredList(
            [
                ensureDeferred(self._keep_all(row(5 * AHEAD), row(1))),
                ensureDeferred(self._keep_all(row(5 * AHEAD + 1))),
            ],
            consumeErrors=True,
        )
        self.assertEqual([kept for kept, _ in results], [False, True])
        self.assertGreater(await self.archives.unused(), START + 5 * AHEAD + 1)
        self.flushLoggedErrors()

    # -- fingerprints

    async def test_fingerprints_are_those_of_what_the_owner_sent_lately(self) -> None:
        got = row(3)._replace(sent=False)
        await self.fill(row(1), row(2), got, row(4)._replace(fingerprint=""), row(5), row(6, owner=JULIET))
        expected = {"print-2": START + 2, "print-5": START + 5}
        self.assertEqual(await self.archives.fingerprints(ROMEO, START + 1, 9), expected)

    async def test_the_newest_fingerprints_are_given_where_there_are_too_many(self) -> None:
        await self.fill(*(row(number) for number in range(5)))
        found = await self.archives.fingerprints(ROMEO, START - 1, 2)
        self.assertEqual(found, {"print-4": START + 4, "print-3": START + 3})

    async def test_of_messages_with_one_fingerprint_the_first_counts(self) -> None:
        await self.fill(row(1), row(2)._replace(fingerprint="print-1"))
        self.assertEqual(await self.archives.fingerprints(ROMEO, 0, 9), {"print-1": START + 1})

    # -- what is counted

    async def test_what_is_counted_takes_the_place_of_what_was(self) -> None:
        self.assertIsNone(await self.archives.counted(STREAM.key))
        await self.archives.keep([row(1)], STREAM)
        await self.archives.keep([row(2)], replace(STREAM, h=2**32 - 1))
        self.assertEqual(await self.archives.counted(STREAM.key), replace(STREAM, h=2**32 - 1))
        self.assertIsNone(await self.archives.counted("another"))

    async def test_what_is_counted_is_there_before_it_is_awaited(self) -> None:
        keeping = self.archives.keep([row(1)], STREAM)
        self.assertEqual(await self.archives.counted(STREAM.key), STREAM)
        await keeping

    async def test_what_is_counted_may_be_kept_alone(self) -> None:
        await self.archives.keep([], STREAM)
        await self.archives.keep([], replace(STREAM, h=8))
        self.assertEqual(await self.archives.counted(STREAM.key), replace(STREAM, h=8))

    async def test_what_is_counted_tells_of_nothing_that_was_not_kept(self) -> None:
        """Though whoever counted could not know that when it was submitted."""
        await self.archives.keep([row(1)])
        chain, kept = Chain(), []
        for number, h in ((2, 1), (1, 2), (3, 3), (4, 4)):
            counted = replace(STREAM, h=h, link=chain.next())
            kept.append(ensureDeferred(self._keep(row(number), counted)))
        done = await DeferredList(kept, consumeErrors=True)
        self.assertEqual([success for success, _ in done], [True, False, True, True])
        self.assertEqual(
            (await self.page(), await self.archives.counted(STREAM.key)), ([1, 2, 3, 4], replace(STREAM, h=1))
        )
        chain.known = 1
        await self.archives.keep([], replace(STREAM, h=1, link=chain.next()))
        await self.archives.keep([row(5)], replace(STREAM, h=5, link=chain.next()))
        self.assertEqual(await self.archives.counted(STREAM.key), replace(STREAM, h=5))
        self.flushLoggedErrors()

    async def test_what_is_counted_is_forgotten_by_its_key(self) -> None:
        await self.archives.keep([row(1)], STREAM)
        await self.archives.keep([row(2)], replace(STREAM, key="resume-2"))
        await self.archives.forget_counted(STREAM.key)
        self.assertIsNone(await self.archives.counted(STREAM.key))
        self.assertIsNotNone(await self.archives.counted("resume-2"))

    async def test_what_is_counted_is_as_old_as_what_was_counted_last(self) -> None:
        second = 1_000_000
        await self.archives.keep([row(0)], STREAM)
        await self.archives.keep([row(5 * second)], replace(STREAM, key="resume-2"))
        await self.archives.keep([], replace(STREAM, key="resume-2", h=9, at=START / second + 5))
        self.assertEqual(await self.archives.forget_counted_before(START / second + 3), 1)
        self.assertIsNone(await self.archives.counted(STREAM.key))
        self.assertEqual(await self.archives.counted("resume-2"), replace(STREAM, key="resume-2", h=9))
        self.assertEqual(await self.archives.forget_counted_before(START / second + 6), 1)
        self.assertIsNone(await self.archives.counted("resume-2"))

    # -- pages

    async def test_a_page_is_the_beginning_or_the_end_of_its_span(self) -> None:
        await self.fill(*(row(number) for number in range(6)))
        span = Span(after=START, before=START + 5)
        self.assertEqual(await self.page(span), [1, 2, 3, 4])
        self.assertEqual(await self.page(span, limit=2), [1, 2])
        self.assertEqual(await self.page(span, limit=2, reverse=True), [4, 3])
        self.assertEqual(await self.page(Span(after=START + 5)), [])
        self.assertEqual(await self.page(Span(after=START + 4, before=START + 1)), [])
        self.assertEqual(await self.page(limit=0), [])

    async def test_pages_one_after_the_other_hold_everything_once(self) -> None:
        await self.fill(*(row(number, peer=JULIET if number % 3 else NURSE) for number in range(20)))
        for peer, expected in ((None, 20), (JULIET, 13)):
            found: list[int] = []
            while page := await self.page(Span(peer=peer).within(after=START + found[-1] if found else None), limit=3):
                found += page
            self.assertEqual((found, len(found)), (sorted(set(found)), expected))

    async def test_bounds_may_be_any_numbers(self) -> None:
        await self.fill(row(1))
        self.assertEqual(await self.page(Span(-(2**80), 2**80)), [1])
        self.assertEqual(await self.page(Span(after=2**80)), [])
        self.assertEqual(await self.page(Span(before=-(2**80))), [])

    async def test_a_span_can_be_that_with_a_contact_or_one_resource_of_it(self) -> None:
        await self.fill(row(1), row(2, resource=""), row(3, peer=NURSE), row(4, resource="chamber"), row(5))
        self.assertEqual(await self.page(Span(peer=JULIET)), [1, 2, 4, 5])
        self.assertEqual(await self.page(Span(peer=JULIET, resource="balcony")), [1, 5])
        self.assertEqual(await self.page(Span(peer=JULIET, resource="")), [2])
        self.assertEqual(await self.page(Span(peer=JULIET, resource="chamber"), limit=1, reverse=True), [4])
        self.assertEqual(await self.page(Span(START + 1, START + 5, JULIET), reverse=True), [4, 2])
        self.assertEqual(await self.page(Span(peer="nobody@example.org")), [])

    async def test_archives_are_apart_by_owner(self) -> None:
        await self.fill(row(1), row(1, owner=JULIET), row(2, owner=NURSE))
        self.assertEqual(await self.page(), [1])
        self.assertEqual(await self.archives.count(JULIET), 1)

    async def test_sizes_are_told_without_the_rows(self) -> None:
        await self.fill(row(1)._replace(stanza=ODD_BYTES), row(2), row(3, peer=NURSE))
        expected = [RowSize(START + 1, len(ODD_BYTES)), RowSize(START + 2, 10)]
        self.assertEqual(await self.archives.sizes(ROMEO, Span(peer=JULIET), limit=9), expected)
        self.assertEqual(await self.archives.sizes(ROMEO, Span(), limit=1, reverse=True), [RowSize(START + 3, 10)])

    async def test_rows_are_found_by_their_ids_in_order_and_each_once(self) -> None:
        await self.fill(row(1), row(2), row(3), row(4, owner=JULIET))
        wanted = [START + 3, START + 1, START + 3, START + 4, 0, -5, 2**80]
        self.assertEqual(numbers(await self.archives.rows(ROMEO, wanted)), [1, 3])
        self.assertEqual(await self.archives.existing(ROMEO, wanted), {START + 1, START + 3})
        self.assertEqual(await self.archives.existing(ROMEO, []), set())

    async def test_rows_are_counted_as_far_as_is_wanted(self) -> None:
        await self.fill(*(row(number, peer=JULIET if number % 3 else NURSE) for number in range(9)))
        self.assertEqual(await self.archives.count(ROMEO), 9)
        self.assertEqual(await self.archives.count(ROMEO, Span(peer=NURSE)), 3)
        self.assertEqual(await self.archives.count(ROMEO, Span(after=START + 4, peer=JULIET, resource="balcony")), 3)
        self.assertEqual(await self.archives.count(ROMEO, most=4), 4)
        self.assertEqual(await self.archives.count(JULIET), 0)

    async def test_the_ends_of_an_archive_are_its_oldest_and_its_newest_row(self) -> None:
        self.assertIsNone(await self.archives.ends(ROMEO))
        await self.fill(row(1), row(5), row(9), row(10, owner=JULIET))
        self.assertEqual(await self.archives.ends(ROMEO), (START + 1, START + 9))

    async def test_a_row_is_found_by_how_many_are_newer(self) -> None:
        await self.fill(row(1), row(5), row(9))
        found = [await self.archives.newest_but(ROMEO, number) for number in range(4)]
        self.assertEqual(found, [START + 9, START + 5, START + 1, None])

    async def test_owners_come_in_order_with_their_oldest_row(self) -> None:
        await self.fill(row(4), row(3), row(5, owner=JULIET), row(6, owner=NURSE))
        every = [Oldest(JULIET, START + 5), Oldest(NURSE, START + 6), Oldest(ROMEO, START + 3)]
        self.assertEqual(await self.archives.owners("", 9), every)
        self.assertEqual(await self.archives.owners("", 2), every[:2])
        self.assertEqual(await self.archives.owners(NURSE, 9), every[2:])

    # -- removing

    async def test_the_oldest_rows_of_a_span_are_removed_piece_by_piece(self) -> None:
        await self.fill(*(row(number, peer=JULIET if number % 3 else NURSE) for number in range(9)))
        old = Span(before=START + 7, peer=JULIET)
        self.assertEqual(await self.archives.remove(ROMEO, old, limit=3), 3)
        self.assertEqual(await self.page(), [0, 3, 5, 6, 7, 8])
        self.assertEqual(await self.archives.remove(ROMEO, old, limit=3), 1)
        self.assertEqual(await self.archives.remove(ROMEO, old, limit=3), 0)
        self.assertEqual(await self.archives.remove(ROMEO, Span(), limit=0), 0)
        self.assertEqual(await self.archives.remove(ROMEO, Span(before=START + 6), limit=2), 2)
        self.assertEqual(await self.page(), [6, 7, 8])
        self.assertEqual(await self.archives.remove(ROMEO, Span(), limit=9), 3)
        self.assertEqual(await self.archives.owners("", 9), [])

    async def test_rows_are_removed_by_their_ids(self) -> None:
        await self.fill(row(1), row(2), row(3), row(2, owner=JULIET))
        self.assertEqual(await self.archives.remove_rows(ROMEO, [START + 2, START + 3, START + 4, 2**80]), 2)
        self.assertEqual((await self.page(), await self.archives.count(JULIET)), ([1], 1))

    async def test_an_account_that_is_forgotten_has_no_archive(self) -> None:
        sent = row(1)
        await self.archives.keep([sent, other_side(sent)], STREAM)
        await self.archives.keep([row(2, owner=JULIET)], Counted("resume-2", JULIET, 1))
        await self.storage.forget(ROMEO)
        self.assertEqual((await self.page(), await self.archives.count(JULIET)), ([], 2))
        self.assertIsNone(await self.archives.counted(STREAM.key))
        self.assertIsNotNone(await self.archives.counted("resume-2"))

    async def test_a_thousand_messages_at_once_lose_nothing(self) -> None:
        keeping: list[Deferred[None]] = []
        for number in range(1000):
            sent = row(number)
            keeping.append(
                ensureDeferred(_wait(self.archives.keep([sent, other_side(sent)], replace(STREAM, h=number))))
            )
        await gatherResults(keeping)
        self.assertEqual((await self.archives.count(ROMEO), await self.archives.count(JULIET)), (1000, 1000))
        self.assertEqual(await self.archives.counted(STREAM.key), replace(STREAM, h=999))


async def _wait(waiting: object) -> None:
    await waiting  # type: ignore[misc]
