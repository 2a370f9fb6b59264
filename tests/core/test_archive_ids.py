"""XEP-0313 §3, XEP-0359 §6: what archive ids look like outside."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from unittest import TestCase

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.trial.unittest import SynchronousTestCase

from federix.core import archive_ids
from federix.core.archive_ids import KEY_LENGTH, LENGTH, MOST, ArchiveIds, UnknownArchiveId
from federix.life.executor import InlineExecutor
from federix.storage.memory import MemoryStorage
from federix.storage.sqlite import IN_MEMORY, SqliteStorage
from federix.storage.storage import Storage, StoreError
from federix.testing import World

KEY = bytes(range(16))
IDS = ArchiveIds(KEY)
NUMBERS = st.integers(0, MOST) | st.integers(1_777_626_000_000_000, 1_777_626_001_000_000)
CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def text_of(block: bytes) -> str:
    """What an id would be whose block is *block* when it is deciphered."""
    made = Cipher(algorithms.AES(KEY), modes.ECB()).encryptor().update(block)
    return urlsafe_b64encode(made).rstrip(b"=").decode()


class CodecTests(TestCase):
    @given(NUMBERS)
    def test_an_id_tells_the_number_it_was_made_of(self, number: int) -> None:
        id = IDS.encode(number)
        self.assertEqual((IDS.decode(id), len(id)), (number, LENGTH))
        self.assertLessEqual(set(id), set(CHARACTERS))
        self.assertEqual(id, text_of(number.to_bytes(16, "big")))

    @given(st.text() | st.text(CHARACTERS, min_size=LENGTH, max_size=LENGTH) | st.integers().map(str))
    def test_whatever_is_no_id_is_unknown_and_no_other_error(self, text: str) -> None:
        try:
            number = IDS.decode(text)
        except UnknownArchiveId:
            return
        self.assertEqual(IDS.encode(number), text)

    @given(NUMBERS, st.integers(0, LENGTH - 1), st.characters())
    def test_an_id_in_which_one_character_is_another_is_unknown(self, number: int, place: int, other: str) -> None:
        id = IDS.encode(number)
        changed = id[:place] + other + id[place + 1 :]
        if changed != id:
            self.assertRaises(UnknownArchiveId, IDS.decode, changed)

    @given(st.integers(MOST + 1, 2**128 - 1) | st.integers(63, 127).map(lambda bit: 1 << bit))
    def test_a_block_whose_padding_is_not_zero_is_unknown(self, wrong: int) -> None:
        self.assertRaises(UnknownArchiveId, IDS.decode, text_of(wrong.to_bytes(16, "big")))

    @given(NUMBERS, st.binary(min_size=KEY_LENGTH, max_size=KEY_LENGTH).filter(lambda key: key != KEY))
    def test_an_id_of_another_key_is_unknown(self, number: int, key: bytes) -> None:
        self.assertRaises(UnknownArchiveId, IDS.decode, ArchiveIds(key).encode(number))

    def test_each_block_has_one_id_alone(self) -> None:
        """The last character has four bits that are none of the block's."""
        id = IDS.encode(7)
        same = [id[:-1] + last for last in CHARACTERS]
        block = urlsafe_b64decode(f"{id}==")
        self.assertEqual(sum(urlsafe_b64decode(f"{text}==") == block for text in same), 16)
        for text in same:
            if text != id:
                self.assertRaises(UnknownArchiveId, IDS.decode, text)

    def test_nothing_can_be_inferred_of_an_id_from_the_one_before(self) -> None:
        first, second = (urlsafe_b64decode(f"{IDS.encode(number)}==") for number in (10**15, 10**15 + 1))
        differing = (int.from_bytes(first, "big") ^ int.from_bytes(second, "big")).bit_count()
        self.assertGreater(differing, 32)

    def test_a_key_has_sixteen_bytes(self) -> None:
        for length in (0, 15, 24, 32):
            self.assertRaises(ValueError, ArchiveIds, bytes(length))


class KeyTests(SynchronousTestCase):
    def storages(self) -> list[Storage]:
        return [MemoryStorage(), SqliteStorage(IN_MEMORY, InlineExecutor())]

    def test_servers_on_one_storage_have_one_key_even_if_they_start_at_once(self) -> None:
        for storage in self.storages():
            self.successResultOf(ensureDeferred(storage.start()))
            starts = [ensureDeferred(ArchiveIds.kept_in(storage, secrets.token_bytes)) for _ in range(3)]
            told = {ids.encode(1) for ids in self.successResultOf(gatherResults(starts))}
            self.assertEqual(len(told), 1)
            self.successResultOf(ensureDeferred(storage.stop()))

    def test_storages_have_keys_of_their_own(self) -> None:
        told = set()
        for _ in range(2):
            for storage in self.storages():
                self.successResultOf(ensureDeferred(storage.start()))
                ids = self.successResultOf(ensureDeferred(ArchiveIds.kept_in(storage, secrets.token_bytes)))
                told.add(ids.encode(1))
                self.successResultOf(ensureDeferred(storage.stop()))
        self.assertEqual(len(told), 4)

    def test_a_key_that_is_damaged_ends_the_start(self) -> None:
        storage = MemoryStorage()
        self.successResultOf(ensureDeferred(archive_ids._KEY.bind(storage).put("", b"short")))
        self.failureResultOf(ensureDeferred(ArchiveIds.kept_in(storage, secrets.token_bytes)), StoreError)

    def test_ids_are_the_same_after_a_restart(self) -> None:
        told = []
        world = World(config={"sql_database": "federix.sqlite"})
        self.addCleanup(world.stop)
        told.append(world.server.archive_ids.encode(1))
        world.run(world.server.stop())
        world.run(world.server.start())
        told.append(world.server.archive_ids.encode(1))
        self.assertEqual(told[0], told[1])
