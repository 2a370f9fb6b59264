"""What is MariaDB's own: few messages, several connections in threads, its dialect, and its schema."""

from __future__ import annotations

import atexit
import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import bindparam, text
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from bench.databases.mariadb import MariaDb
from federix.storage.codec import TEXT
from federix.storage.my.connection import MyError, connect
from federix.storage.my.plan import MESSAGE_BYTES
from federix.storage.my.statements import literal
from federix.storage.mysql import UNFINISHED, MysqlDatabase, MysqlStorage
from federix.storage.roster import RosterItem
from federix.storage.shapes import Document, Log, Table
from federix.storage.sql.database import Change, Changes, Transaction
from federix.storage.sql.schema import VERSION
from federix.storage.sql.shapes import CELL_PUT, CELL_REMOVE, DOCUMENT_GET, DOCUMENT_PUT, ENTRY_APPEND
from federix.storage.sql.statement import Statement
from federix.storage.storage import StoreError
from tests.peers.databases import shared_mariadb, shared_mariadb_database
from tests.storage.servers import logged, mysql_storage, soon, sql_server, the_reactor

ROMEO = "romeo@example.org"
JULIET = "juliet@example.org"
NOTES = Table("notes", TEXT)
LOG = Log("log", TEXT)
PAGE = Document("page", TEXT)

SLEEP = Statement("test.sleep", text("SELECT SLEEP(:seconds)").bindparams(bindparam("seconds")))
NONSENSE = Statement("test.nonsense", text("SELECT nothing FROM nowhere"))
TWICE = Statement("test.twice", text("INSERT INTO alembic_version VALUES (:name)").bindparams(bindparam("name")))

VALUES = (
    st.text(st.characters(codec="utf-8"))
    | st.binary()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.none()
)


def entry(owner: str, value: bytes, store: str = "log") -> Change:
    return Change(ENTRY_APPEND, {"owner": owner, "store": store, "value": value})


def cell(owner: str, key: str, value: bytes) -> Change:
    return Change(CELL_PUT, {"owner": owner, "store": "notes", "key": key, "value": value})


class MysqlCase(TestCase):
    """A storage on an empty database of the shared server."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.mariadb = shared_mariadb()
        self.name = shared_mariadb_database()
        self.mariadb.empty(self.name)
        self.sent: list[bytes] = []
        self.storage = await self.started()

    async def started(self, **changes: Any) -> MysqlStorage:
        storage = mysql_storage(sql_server(self.mariadb, database=self.name, **changes))
        self.addCleanup(storage.stop)
        await storage.start()
        await soon(lambda: storage.figures()["database_connections"] == 6)
        return storage

    @property
    def database(self) -> MysqlDatabase:
        return self.storage.database

    def watch(self) -> None:
        """Note from now on what is sent to the database."""
        for slot in self.database._pool._slots:
            self.patch(slot.opened._raw, "query", partial(self.noted, slot.opened._raw.query))

    def noted(self, query: Callable[[bytes], Any], sql: bytes) -> Any:
        self.sent.append(sql)
        return query(sql)

    def counted(self, table: str) -> int:
        ((number,),) = self.mariadb.admin(f"SELECT count(*) FROM {table}", self.name)
        return int(number)


class MessagesTest(MysqlCase):
    async def test_one_statement_is_one_message_and_no_transaction_around_it(self) -> None:
        self.watch()
        await NOTES.bind(self.storage).put(ROMEO, "a", "one")
        await NOTES.bind(self.storage).get(ROMEO, "a")
        await LOG.bind(self.storage).append(ROMEO, "one")
        self.assertEqual(len(self.sent), 3)
        self.assertFalse(any(b"START" in sql or b"SAVEPOINT" in sql for sql in self.sent))

    async def test_what_waits_together_is_one_message(self) -> None:
        self.watch()
        first = self.database.write("x", cell("x", "a", b"0"))
        work = [Changes((entry(f"{n}", b"a"), entry(f"{n}b", b"b"), cell(f"{n}", "a", b"1"))) for n in range(50)]
        rest = [self.database.write(f"{n}", each) for n, each in enumerate(work)]
        await first
        self.assertEqual(await gatherResults(rest), [[1, 1, 1]] * 50)
        self.assertEqual(len(self.sent), 2)
        self.assertEqual(self.sent[1].count(b"INSERT"), 2)
        self.assertTrue(self.sent[1].startswith(b"START TRANSACTION;") and self.sent[1].endswith(b";COMMIT"))
        self.assertEqual((self.counted("entry"), self.counted("cell")), (100, 51))

    async def test_each_gets_the_id_of_its_own_row(self) -> None:
        log = LOG.bind(self.storage)
        owners = [f"user{n}@example.org" for n in range(40)]
        ids = await gatherResults([Deferred.fromCoroutine(log.append(owner, owner)) for owner in owners])
        self.assertEqual(ids, sorted(ids))
        for owner, id_ in zip(owners, ids, strict=True):
            self.assertEqual(await log.range(owner, limit=2), [(id_, owner)])

    async def test_of_one_key_written_twice_the_later_stays(self) -> None:
        notes = NOTES.bind(self.storage)
        writes = [Deferred.fromCoroutine(notes.put(ROMEO, "a", str(number))) for number in range(10)]
        await gatherResults(writes)
        self.assertEqual(await notes.all(ROMEO), {"a": "9"})

    async def test_statements_for_one_table_keep_their_order(self) -> None:
        self.database.write(JULIET, cell(JULIET, "x", b""))
        key = {"owner": ROMEO, "store": "notes", "key": "a"}
        works = (
            cell(ROMEO, "a", b"1"),
            Change(CELL_REMOVE, key),
            Change(CELL_REMOVE, key),
            Changes((cell(ROMEO, "a", b"2"), Change(CELL_REMOVE, key), cell(ROMEO, "a", b"3"))),
        )
        counts = await gatherResults([self.database.write(ROMEO, work) for work in works])
        self.assertEqual(counts, [1, 1, 0, [1, 1, 1]])
        self.assertEqual(await NOTES.bind(self.storage).all(ROMEO), {"a": "3"})

    async def test_work_with_code_comes_between_what_is_plain(self) -> None:
        notes = NOTES.bind(self.storage)

        def write(number: int) -> Deferred[Any]:
            if number % 3 == 2:
                return Deferred.fromCoroutine(notes.update(ROMEO, "a", lambda before: f"{before}+{number}"))
            return Deferred.fromCoroutine(notes.put(ROMEO, "a", str(number)))

        await gatherResults([write(number) for number in range(9)])
        self.assertEqual(await notes.get(ROMEO, "a"), "7+8")

    async def test_a_message_does_not_grow_without_bound(self) -> None:
        self.watch()
        first = self.database.write("x", cell("x", "a", b"0"))
        rest = [self.database.write(f"{n}", cell(f"{n}", "a", bytes(50_000))) for n in range(40)]
        await gatherResults([first, *rest])
        self.assertEqual(self.counted("cell"), 41)
        # Each zero is two bytes in a statement.
        self.assertLess(max(map(len, self.sent)), MESSAGE_BYTES + 110_000)
        self.assertLess(len(self.sent), 30)

    async def test_of_a_row_that_is_replaced_one_is_counted(self) -> None:
        for value in (b"1", b"2", b"2"):
            self.assertEqual(await self.database.write(ROMEO, cell(ROMEO, "a", value)), 1)

            async def work(tx: Transaction, value: bytes = value) -> int:
                return await tx.change(CELL_PUT, owner=ROMEO, store="notes", key="b", value=value)

            self.assertEqual(await self.database.write(ROMEO, work), 1)


class SpoiltTest(MysqlCase):
    """What fails fails alone."""

    async def outcomes(self, works: list[Any]) -> list[Any]:
        """What became of them, done together: the answer, or the kind of the error."""
        first = self.database.write("first", cell("first", "a", b""))
        results = [self.database.write(f"owner{n}", work) for n, work in enumerate(works)]
        await first
        told: list[Any] = []
        for result in results:
            try:
                told.append(await result)
            except Exception as error:
                told.append(type(error))
        return told

    async def test_a_row_that_cannot_be_written_down(self) -> None:
        works = [cell("a", "k", b"1"), cell("\ud800", "k", b"2"), cell("\udc80", "k", b"3"), cell("d", "k", b"4")]
        self.assertEqual(await self.outcomes(works), [1, StoreError, StoreError, 1])

    async def test_a_key_that_is_too_long(self) -> None:
        fits, too_long = "é" * 509, "é" * 509 + "x"  # 1018 bytes, and one more
        works = [cell("a", "k", b"1"), cell(too_long, "k", b"2"), entry(fits, b"3"), cell(fits, "k", b"4")]
        self.assertEqual(await self.outcomes(works), [1, StoreError, 1, 1])
        self.assertEqual((self.counted("cell"), self.counted("entry")), (3, 1))
        self.assertEqual(await NOTES.bind(self.storage).all("é" * 509), {"k": "4"})

    async def test_a_value_that_is_longer_than_the_server_takes(self) -> None:
        told = logged(self)

        async def code(tx: Transaction) -> None:
            await tx.change(DOCUMENT_PUT, owner="x", store="y", value=b"")
            await tx.change(DOCUMENT_PUT, owner="x", store="z", value=huge)

        huge = bytes(9_000_000)  # in a statement twice as many, and the server takes 16 MiB
        works = [cell("a", "k", b"1"), cell("b", "k", huge), code, cell("d", "k", b"4")]
        self.assertEqual(await self.outcomes(works), [1, StoreError, StoreError, 1])
        await self.assertFailure(self.database.write("z", cell("b", "k", huge)), StoreError)
        self.assertEqual((self.counted("cell"), self.counted("document")), (3, 0))
        self.assertEqual(self.storage.figures()["database_connections"], 6)
        self.assertFalse([line for line in told if "cannot be used" in line])
        large = b"'\\" * 3_000_000
        self.assertEqual(await self.database.write("z", cell("b", "k", large)), 1)
        self.assertEqual(await self.storage.tables.get("notes", "b", "k"), large)

    async def test_a_row_that_the_database_refuses(self) -> None:
        # The version is there already.
        works = [cell("a", "k", b"1"), Change(TWICE, {"name": VERSION}), cell("d", "k", b"4"), entry("e", b"5")]
        self.assertEqual(await self.outcomes(works), [1, StoreError, 1, 1])
        self.assertEqual((self.counted("cell"), self.counted("entry")), (3, 1))

    async def test_all_of_the_work_that_fails_is_undone(self) -> None:
        works = [cell("a", "k", b"1"), Changes((cell("b", "k", b"2"), Change(TWICE, {"name": VERSION})))]
        self.assertEqual(await self.outcomes(works), [1, StoreError])
        self.assertEqual(self.counted("cell"), 2)

    async def test_code_that_raises(self) -> None:
        async def broken(tx: Transaction) -> None:
            await tx.change(DOCUMENT_PUT, owner="x", store="y", value=b"")
            raise LookupError

        async def early(tx: Transaction) -> None:
            raise LookupError

        async def nonsense(tx: Transaction) -> None:
            await tx.change(DOCUMENT_PUT, owner="x", store="y", value=b"")
            await tx.run(NONSENSE)

        async def fine(tx: Transaction) -> int:
            return await tx.change(DOCUMENT_PUT, owner="fine", store="y", value=b"")

        works = [cell("a", "k", b"1"), broken, fine, early, nonsense, fine, cell("b", "k", b"1")]
        self.assertEqual(await self.outcomes(works), [1, LookupError, 1, LookupError, StoreError, 1, 1])
        self.assertEqual((self.counted("cell"), self.counted("document")), (3, 1))
        # And alone.
        for work, error in ((broken, LookupError), (nonsense, StoreError)):
            await self.assertFailure(self.database.write("z", work), error)
        self.assertEqual(self.counted("document"), 1)

    async def test_a_read_that_fails_fails_alone(self) -> None:
        async def nonsense(tx: Transaction) -> None:
            await tx.run(NONSENSE)

        await PAGE.bind(self.storage).put(ROMEO, "new")
        waiting = [self.database.read(JULIET, lambda tx: tx.run(SLEEP, seconds=0.2)) for _ in range(4)]
        page = [Deferred.fromCoroutine(PAGE.bind(self.storage).get(ROMEO)) for _ in range(2)]
        await self.assertFailure(self.database.read(ROMEO, nonsense), StoreError)
        page += [Deferred.fromCoroutine(PAGE.bind(self.storage).get(ROMEO)) for _ in range(2)]
        self.assertEqual(await gatherResults(page), ["new"] * 4)
        await gatherResults(waiting)

    async def test_a_work_that_waits_for_something_else_is_refused(self) -> None:
        async def wait(tx: Transaction) -> None:
            await tx.run(DOCUMENT_GET, owner="a", store="b")
            await Deferred()

        await self.assertFailure(self.database.write("z", wait), RuntimeError)
        await self.assertFailure(self.database.read("z", wait), RuntimeError)
        self.assertEqual(await PAGE.bind(self.storage).get("z"), None)

    async def test_the_log_does_not_tell_what_was_written(self) -> None:
        told = logged(self)
        await self.outcomes([Change(TWICE, {"name": VERSION})])
        (line,) = [line for line in told if "failed" in line]
        self.assertIn("Duplicate entry (error 1062)", line)
        self.assertNotIn(VERSION, line)

    async def test_two_that_are_in_each_others_way_are_both_done(self) -> None:
        def both(first: str, second: str) -> Any:
            async def work(tx: Transaction) -> None:
                await tx.change(DOCUMENT_PUT, owner=first, store="y", value=b"")
                await tx.run(SLEEP, seconds=0.5)
                await tx.change(DOCUMENT_PUT, owner=second, store="y", value=b"")

            return work

        one = self.database.write(ROMEO, both("a", "b"))
        other = self.database.write(JULIET, both("b", "a"))
        await gatherResults([one, other])
        self.assertEqual(self.counted("document"), 2)


class OrderTest(MysqlCase):
    async def test_a_read_waits_for_the_writes_of_its_owner_and_no_others(self) -> None:
        async def slowly(tx: Transaction) -> None:
            await tx.run(SLEEP, seconds=0.5)
            await tx.change(DOCUMENT_PUT, owner=ROMEO, store="page", value=b"new")

        done: list[str] = []
        page = PAGE.bind(self.storage)
        write = self.database.write(ROMEO, slowly, also=[JULIET])
        reads = {
            "romeo": Deferred.fromCoroutine(page.get(ROMEO)),
            "juliet": Deferred.fromCoroutine(page.get(JULIET)),
            "nurse": Deferred.fromCoroutine(page.get("nurse@example.org")),
            "all": Deferred.fromCoroutine(page.owners(limit=9)),
        }
        write.addCallback(lambda _: done.append("write"))
        for name, read in reads.items():
            read.addCallback(lambda found, name=name: done.append(name) or found)
        found = await gatherResults(list(reads.values()))
        self.assertEqual(found, ["new", None, None, [ROMEO]])
        self.assertEqual((done[:2], set(done[2:])), (["nurse", "write"], {"romeo", "juliet", "all"}))

    async def test_a_slow_write_holds_up_nobody_elses(self) -> None:
        async def slowly(tx: Transaction) -> None:
            await tx.run(SLEEP, seconds=1.0)

        slow = self.database.write(ROMEO, slowly)
        await NOTES.bind(self.storage).put(JULIET, "a", "one")
        self.assertFalse(slow.called)
        self.assertEqual(await NOTES.bind(self.storage).get(JULIET, "a"), "one")
        await slow

    async def test_several_statements_that_read_see_the_same_moment(self) -> None:
        async def twice(tx: Transaction) -> tuple[int, int]:
            before = await tx.run(DOCUMENT_GET, owner=ROMEO, store="page")
            await tx.run(SLEEP, seconds=0.5)
            return len(before), len(await tx.run(DOCUMENT_GET, owner=ROMEO, store="page"))

        read = self.database.read(JULIET, twice)
        await deferLater(the_reactor, 0.25)
        await PAGE.bind(self.storage).put(ROMEO, "new")
        self.assertEqual(await read, (0, 0))

    async def test_a_statement_may_take_so_long_and_no_longer(self) -> None:
        storage = await self.started(query_timeout=1.0)
        database = storage.database
        await self.assertFailure(database.read(ROMEO, lambda tx: tx.run(SLEEP, seconds=30)), StoreError)
        await self.assertFailure(database.write(ROMEO, lambda tx: tx.run(SLEEP, seconds=30)), StoreError)
        await PAGE.bind(storage).put(ROMEO, "new")

    async def test_what_waits_for_others_too_long_fails_together(self) -> None:
        storage = await self.started(query_timeout=1.0)

        async def slowly(tx: Transaction) -> None:
            await tx.run(SLEEP, seconds=9)

        holding = self.mariadb.connect(self.name)
        self.addCleanup(holding.close)
        holding.cursor().execute("LOCK TABLES cell WRITE")
        before = the_reactor.seconds()
        plain = [storage.database.write(f"{n}", cell(f"{n}", "a", b"")) for n in range(20)]
        for write in plain:
            await self.assertFailure(write, StoreError)
        slow = [storage.database.write(f"{n}", slowly) for n in range(20)]
        for write in slow:
            await self.assertFailure(write, StoreError)
        self.assertLess(the_reactor.seconds() - before, 15.0)

    async def test_who_gives_up_waiting_for_a_write_is_counted_no_more(self) -> None:
        async def slowly(tx: Transaction) -> None:
            await tx.run(SLEEP, seconds=0.3)

        write = self.database.write(ROMEO, slowly)
        read: Any = self.database.read(ROMEO, lambda tx: tx.run(SLEEP, seconds=0))
        self.assertEqual(self.database._behind, 1)
        read.cancel()
        await self.assertFailure(read, CancelledError)
        await write
        self.assertEqual(self.database._behind, 0)

    async def test_a_socket_is_as_good_as_a_port(self) -> None:
        for host in (self.mariadb.folder, self.mariadb.socket):
            storage = await self.started(host=str(host), port=1)
            await NOTES.bind(storage).put(ROMEO, "a", str(host))
            self.assertEqual(await NOTES.bind(storage).get(ROMEO, "a"), str(host))

    async def test_what_waits_is_bounded_and_counted(self) -> None:
        told = logged(self)
        for lane in (self.database._reader, self.database._writer):
            self.patch(lane, "_most_waiting", 10)
        begun = 6
        reads = [self.database.read(ROMEO, lambda tx: tx.run(SLEEP, seconds=0.3)) for _ in range(begun - 2 + 10)]
        self.assertEqual(self.storage.figures()["database_jobs_waiting"], 10)
        for _ in range(3):
            self.assertRaises(StoreError, self.database.read, ROMEO, lambda tx: tx.run(SLEEP, seconds=0))
        self.assertEqual(len([line for line in told if "too slow" in line]), 1)
        await gatherResults(reads)
        self.assertEqual(self.storage.figures(), {"database_connections": begun, "database_jobs_waiting": 0})

    async def test_what_was_stopped_can_start_again(self) -> None:
        await NOTES.bind(self.storage).put(ROMEO, "a", "one")
        await self.storage.stop()
        self.assertEqual(self.storage.figures(), {"database_connections": 0, "database_jobs_waiting": 0})
        await self.storage.start()
        self.assertEqual(await NOTES.bind(self.storage).get(ROMEO, "a"), "one")
        await NOTES.bind(self.storage).put(ROMEO, "a", "two")

    async def test_stopping_finishes_the_writes_that_were_begun(self) -> None:
        puts = [Deferred.fromCoroutine(NOTES.bind(self.storage).put(ROMEO, key, "one")) for key in "abcdef"]
        await self.storage.stop()
        await gatherResults(puts)
        self.assertEqual(self.counted("cell"), 6)
        self.assertRaises(StoreError, self.database.write, ROMEO, cell("a", "b", b""))


class TextTest(MysqlCase):
    """Texts are what they are, to the last bit, in keys and in values."""

    async def test_what_lies_beyond_the_basic_plane_is_kept(self) -> None:
        texts = [
            "\U0001f600",
            "\U0001f468\u200d\U0001f469\u200d\U0001f467",
            "\U0010ffff",
            "\uffff",
            "a\0b",
            "\\'\"%s\n\x1a",
        ]
        for said in texts:
            owner = f"{said}@example.org"
            await NOTES.bind(self.storage).put(owner, said, said)
            await self.storage.rosters.put(owner, RosterItem(said, said, groups=frozenset({said})))
            self.assertEqual(await NOTES.bind(self.storage).all(owner), {said: said})
            (item,) = (await self.storage.rosters.get(owner)).items
            self.assertEqual((item.jid, item.name, item.groups), (said, said, {said}))
        self.assertEqual(
            await NOTES.bind(self.storage).owners(limit=9), sorted(f"{said}@example.org" for said in texts)
        )

    async def test_keys_are_sorted_by_code_points(self) -> None:
        # As UTF-16 the last but one would be the last.
        keys = ["", " ", "A", "Z", "a", "a ", "aa", "\xe4", "\u0153", "\uffee", "\U00010000"]
        for key in reversed(keys):
            await NOTES.bind(self.storage).put(ROMEO, key, key)
        self.assertEqual(list(await NOTES.bind(self.storage).all(ROMEO)), keys)

    async def test_keys_that_differ_in_little_are_different_keys(self) -> None:
        keys = ["romeo", "Romeo", "romeo ", " romeo", "rom\xe9o", "rome\u0301o", "rom\u0435o", "romeo\t", "romeo\0"]
        for key in keys:
            await NOTES.bind(self.storage).put(key, key, key)
            await NOTES.bind(self.storage).put(ROMEO, key, key)
            await PAGE.bind(self.storage).put(key, key)
        self.assertEqual(await NOTES.bind(self.storage).all(ROMEO), {key: key for key in keys})
        for key in keys:
            self.assertEqual(await PAGE.bind(self.storage).get(key), key)
            self.assertEqual(await NOTES.bind(self.storage).all(key), {key: key})
            self.assertIs(await NOTES.bind(self.storage).remove(key, key), True)
        self.assertEqual(self.counted("cell"), len(keys))

    @given(VALUES)
    @settings(max_examples=300, deadline=None)
    def test_the_server_reads_a_value_as_it_was_written(self, value: str | bytes | int | float | None) -> None:
        connection = _connection(self.mariadb, self.name)
        cursor = connection.cursor()
        cursor.execute(b"SELECT " + literal(value))
        ((found,),) = cursor.fetchall()
        self.assertEqual((found, type(found)), (value, type(value)))

    def test_what_no_column_can_hold_is_refused(self) -> None:
        for value in ("\ud800", "\udc80", math.inf, math.nan):
            self.assertRaises(MyError, literal, value)


@cache
def _connection(mariadb: MariaDb, database: str) -> Any:
    """Set up as those of a server."""
    connection = connect(sql_server(mariadb, database=database), writes=True)
    atexit.register(connection.close)
    return connection


class SchemaTest(TestCase):
    def setUp(self) -> None:
        self.mariadb = shared_mariadb()
        self.name = shared_mariadb_database()
        self.mariadb.empty(self.name)

    def make(self, **changes: Any) -> MysqlStorage:
        return mysql_storage(sql_server(self.mariadb, database=self.name, **changes))

    def schema(self) -> dict[str, list[Any]]:
        """What the database says of its own tables and indexes."""
        columns = self.mariadb.admin(
            "SELECT c.table_name, column_name, column_type, is_nullable, collation_name, extra, engine, row_format"
            " FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)"
            f" WHERE table_schema = '{self.name}' ORDER BY c.table_name, ordinal_position"
        )
        indexes = self.mariadb.admin(
            "SELECT table_name, index_name, seq_in_index, column_name, sub_part, non_unique"
            f" FROM information_schema.statistics WHERE table_schema = '{self.name}' ORDER BY 1, 2, 3"
        )
        return {"columns": columns, "indexes": indexes}

    async def run_once(self, storage: MysqlStorage) -> None:
        await storage.start()
        await PAGE.bind(storage).put(ROMEO, "new")
        await storage.stop()

    async def test_servers_that_start_at_once_make_it_once(self) -> None:
        storages = [self.make(pool_size=2) for _ in range(4)]
        await gatherResults([Deferred.fromCoroutine(self.run_once(storage)) for storage in storages])
        self.assertEqual(self.mariadb.admin("SELECT version_num FROM alembic_version", self.name), [(VERSION,)])

    async def test_the_steps_lead_to_the_schema_that_a_new_database_gets(self) -> None:
        await self.run_once(self.make())
        made = self.schema()
        self.mariadb.empty(self.name)
        self.create_version_table()
        storages = [self.make(pool_size=2) for _ in range(2)]
        await gatherResults([Deferred.fromCoroutine(self.run_once(storage)) for storage in storages])
        self.assertEqual(self.schema(), made)

    async def test_all_tables_know_transactions_whatever_is_usual_there(self) -> None:
        self.mariadb.admin("SET GLOBAL default_storage_engine = MyISAM")
        self.addCleanup(self.mariadb.admin, "SET GLOBAL default_storage_engine = InnoDB")
        self.mariadb.admin(f"ALTER DATABASE {self.name} CHARACTER SET latin1 COLLATE latin1_general_ci")
        await self.run_once(self.make())
        columns = self.schema()["columns"]
        self.assertEqual({(engine, form) for *_, engine, form in columns}, {("InnoDB", "Dynamic")})
        collations = {
            collation for table, *_, collation, _, _, _ in columns if collation and table != "alembic_version"
        }
        self.assertEqual(collations, {"utf8mb4_bin"})

    async def test_a_first_start_that_was_cut_off_is_begun_anew(self) -> None:
        await self.run_once(self.make())
        made = self.schema()
        self.mariadb.empty(self.name)
        self.mariadb.admin(f"CREATE TABLE {UNFINISHED} (nothing INTEGER)", self.name)
        self.mariadb.admin("CREATE TABLE account (host INTEGER)", self.name)
        self.create_version_table()
        told = logged(self)
        waiting = Deferred.fromCoroutine(self.make(update_schema=False).start())
        await soon(lambda: told)
        self.assertIn("has no tables yet", told[0])
        await self.run_once(self.make())
        waiting.cancel()
        await self.assertFailure(waiting, CancelledError)
        self.assertEqual(self.schema(), made)

    async def test_what_is_left_of_the_first_start_removes_nothing_later(self) -> None:
        await self.run_once(self.make())
        made = self.schema()
        self.mariadb.admin(f"CREATE TABLE {UNFINISHED} (nothing INTEGER)", self.name)
        self.mariadb.admin("DROP TABLE counted, archive", self.name)
        self.mariadb.admin("UPDATE alembic_version SET version_num = '0001'", self.name)
        await self.run_once(self.make())
        self.assertEqual(self.schema(), made)
        self.assertEqual(self.mariadb.admin("SELECT CAST(owner AS CHAR) FROM document", self.name), [(ROMEO,)])

    async def test_where_the_operator_wants_it_so_the_start_waits_for_the_schema(self) -> None:
        told = logged(self)
        storage = self.make(update_schema=False)
        start = Deferred.fromCoroutine(storage.start())
        await soon(lambda: any("update_sql_schema" in line for line in told))
        self.assertFalse(start.called)
        self.assertEqual(self.schema(), {"columns": [], "indexes": []})
        self.assertIs(await storage.update_schema(), True)
        await start
        self.assertIs(await storage.update_schema(), False)
        await PAGE.bind(storage).put(ROMEO, "new")
        await storage.stop()
        self.assertEqual(len([line for line in told if "update_sql_schema" in line]), 1)

    async def test_a_database_of_a_newer_version_or_another_program_is_refused(self) -> None:
        self.mariadb.admin("CREATE TABLE spool (username text)", self.name)
        for update in (True, False):
            refused = await self.assertFailure(
                Deferred.fromCoroutine(self.make(update_schema=update).start()), StoreError
            )
            self.assertIn("not one of Federix", str(refused))
        self.create_version_table("0999")
        refused = await self.assertFailure(Deferred.fromCoroutine(self.make().start()), StoreError)
        self.assertIn("newer", str(refused))
        self.assertEqual({row[0] for row in self.schema()["columns"]}, {"alembic_version", "spool"})

    async def test_a_step_that_breaks_is_told(self) -> None:
        self.create_version_table()
        self.mariadb.admin("CREATE TABLE roster_version (owner text)", self.name)
        refused = await self.assertFailure(Deferred.fromCoroutine(self.make().start()), StoreError)
        self.assertIn("roster_version", str(refused))
        self.assertEqual(self.mariadb.admin("SELECT * FROM alembic_version", self.name), [])

    def create_version_table(self, version: str | None = None) -> None:
        self.mariadb.admin("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)", self.name)
        if version is not None:
            self.mariadb.admin(f"INSERT INTO alembic_version VALUES ('{version}')", self.name)
