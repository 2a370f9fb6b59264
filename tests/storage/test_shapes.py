from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from federix.storage.codec import TEXT
from federix.storage.memory import MemoryStorage
from federix.storage.shapes import Document, DocumentStore, Log, LogStore, Table, TableStore
from federix.storage.storage import Storage, StoreError
from federix.xmpp.errors import Condition, ErrorType

T = TypeVar("T")

NUMBER = TEXT.through(write=str, read=int)


class Notes:
    last = Document("last", NUMBER)
    rows = Table("rows", NUMBER)
    held = Log("held", NUMBER)

    def __init__(self, storage: Storage) -> None:
        self.storage = storage


class ShapesTest(SynchronousTestCase):
    def result(self, coroutine: Coroutine[Any, Any, T]) -> T:
        result: T = self.successResultOf(Deferred.fromCoroutine(coroutine))
        return result

    def test_on_the_class_stands_the_declaration(self) -> None:
        self.assertIsInstance(Notes.last, Document)
        self.assertIsInstance(Notes.rows, Table)
        self.assertIsInstance(Notes.held, Log)
        self.assertEqual((Notes.last.name, Notes.rows.name, Notes.held.name), ("last", "rows", "held"))

    def test_on_an_instance_stands_the_store_once_and_for_all(self) -> None:
        notes = Notes(MemoryStorage())
        last: DocumentStore[int] = notes.last
        rows: TableStore[int] = notes.rows
        held: LogStore[int] = notes.held
        self.assertIs(notes.last, last)
        self.assertIs(notes.rows, rows)
        self.assertIs(notes.held, held)

    def test_instances_use_each_their_own_storage(self) -> None:
        one, two = Notes(MemoryStorage()), Notes(MemoryStorage())
        self.result(one.last.put("a", 5))
        self.assertEqual(self.result(one.last.get("a")), 5)
        self.assertIsNone(self.result(two.last.get("a")))

    def test_a_store_may_be_bound_by_hand(self) -> None:
        notes = Notes(MemoryStorage())
        self.result(notes.rows.put("a", "b", 5))
        self.assertEqual(self.result(Notes.rows.bind(notes.storage).get("a", "b")), 5)

    def test_a_store_error_asks_to_try_later_and_keeps_its_reason_to_itself(self) -> None:
        error = StoreError("the disk of db7 is full")
        self.assertEqual((error.condition, error.kind), (Condition.INTERNAL_SERVER_ERROR, ErrorType.WAIT))
        self.assertEqual(str(error), "the disk of db7 is full")
        self.assertNotIn("db7", error.text)
