"""What is PostgreSQL's own: few messages, several connections, its dialect, and its schema."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg2
from sqlalchemy import bindparam, text
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from bench.databases.server import PASSWORD, USER
from federix.storage.codec import TEXT
from federix.storage.postgres import PostgresDatabase, PostgresStorage
from federix.storage.shapes import Document, Log, Table
from federix.storage.sql.database import Change, Changes, Transaction
from federix.storage.sql.schema import VERSION
from federix.storage.sql.shapes import CELL_PUT, CELL_REMOVE, DOCUMENT_GET, DOCUMENT_PUT, ENTRY_APPEND
from federix.storage.sql.statement import Statement
from federix.storage.storage import StoreError
from tests.peers.databases import shared_postgres, shared_postgres_database
from tests.storage.servers import logged, postgres_storage, soon, sql_server, the_reactor

ROMEO = "romeo@example.org"
JULIET = "juliet@example.org"
NOTES = Table("notes", TEXT)
LOG = Log("log", TEXT)
PAGE = Document("page", TEXT)

SLEEP = Statement("test.sleep", text("SELECT pg_sleep(:seconds)").bindparams(bindparam("seconds")))
NONSENSE = Statement("test.nonsense", text("SELECT nothing FROM nowhere"))
TWICE = Statement("test.twice", text("INSERT INTO alembic_version VALUES (:name)").bindparams(bindparam("name")))


def entry(owner: str, value: bytes, store: str = "log") -> Change:
    return Change(ENTRY_APPEND, {"owner": owner, "store": store, "value": value})


def cell(owner: str, key: str, value: bytes) -> Change:
    return Change(CELL_PUT, {"owner": owner, "store": "notes", "key": key, "value": value})


class PostgresCase(TestCase):
    """A storage on an empty database of the shared server."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.postgres = shared_postgres()
        self.name = shared_postgres_database()
        self.postgres.empty(self.name)
        self.sent: list[bytes] = []
        self.storage = await self.started()

    async def started(self, **changes: Any) -> PostgresStorage:
        storage = postgres_storage(self, sql_server(self.postgres, database=self.name, **changes))
        self.addCleanup(storage.stop)
        await storage.start()
        await soon(lambda: storage.figures()["database_connections"] == 6)
        return storage

    @property
    def database(self) -> PostgresDatabase:
        return self.storage.database

    def watch(self) -> None:
        """Note from now on what is sent to the database."""
        for slot in self.database._pool._slots:
            self.patch(slot.opened, "run", partial(self.noted, slot.opened.run))

    def noted(self, run: Callable[[bytes], Any], sql: bytes) -> Any:
        self.sent.append(sql)
        return run(sql)

    def counted(self, table: str) -> int:
        ((number,),) = self.postgres.admin(f"SELECT count(*) FROM {table}", self.name)
        return int(number)


class OrphansTest(TestCase):
    """A server was killed, and PostgreSQL goes on with what it was told."""

    async def test_what_a_killed_server_has_left_running_ends_before_anything_is_read(self) -> None:
        postgres, name = shared_postgres(), shared_postgres_database()
        postgres.empty(name)
        names = ("federix here", "federix elsewhere")
        for other in names:
            left = psycopg2.connect(
                host="127.0.0.1", port=postgres.port, dbname=name, user=USER, password=PASSWORD, application_name=other
            )
            self.addCleanup(left.close)
        storage = postgres_storage(self, sql_server(postgres, database=name, identity="here"))
        self.addCleanup(storage.stop)
        await storage.start()
        await soon(lambda: storage.figures()["database_connections"] == 6)
        left_over = postgres.admin(
            "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'federix %'"
        )
        self.assertEqual(sorted(each for (each,) in left_over), ["federix elsewhere", *["federix here"] * 6])


class MessagesTest(PostgresCase):
    async def test_one_statement_is_one_message_and_no_transaction_around_it(self) -> None:
        self.watch()
        await NOTES.bind(self.storage).put(ROMEO, "a", "one")
        await NOTES.bind(self.storage).get(ROMEO, "a")
        await LOG.bind(self.storage).append(ROMEO, "one")
        self.assertEqual(len(self.sent), 3)
        self.assertFalse(any(b"BEGIN" in sql or b"SAVEPOINT" in sql for sql in self.sent))

    async def test_what_waits_together_is_one_message(self) -> None:
        self.watch()
        first = self.database.write("x", cell("x", "a", b"0"))
        work = [Changes((entry(f"{n}", b"a"), entry(f"{n}b", b"b"), cell(f"{n}", "a", b"1"))) for n in range(50)]
        rest = [self.database.write(f"{n}", each) for n, each in enumerate(work)]
        await first
        self.assertEqual(await gatherResults(rest), [[1, 1, 1]] * 50)
        self.assertEqual(len(self.sent), 2)
        self.assertEqual(self.sent[1].count(b"INSERT"), 2)
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


class SpoiltTest(PostgresCase):
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
        works = [cell("a", "k", b"1"), cell("nul\0", "k", b"2"), cell("\udc80", "k", b"3"), cell("d", "k", b"4")]
        self.assertEqual(await self.outcomes(works), [1, StoreError, StoreError, 1])

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
        self.assertIn("duplicate key", line)
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


class OrderTest(PostgresCase):
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

        holding = self.postgres.connect(self.name)
        self.addCleanup(holding.close)
        holding.cursor().execute("BEGIN; LOCK TABLE cell IN ACCESS EXCLUSIVE MODE")
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
        storage = await self.started(host=str(self.postgres.folder))
        await NOTES.bind(storage).put(ROMEO, "a", "one")
        self.assertEqual(await NOTES.bind(storage).get(ROMEO, "a"), "one")

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


class SchemaTest(TestCase):
    def setUp(self) -> None:
        self.postgres = shared_postgres()
        self.name = shared_postgres_database()
        self.postgres.empty(self.name)

    def make(self, **changes: Any) -> PostgresStorage:
        return postgres_storage(self, sql_server(self.postgres, database=self.name, **changes))

    def schema(self) -> dict[str, list[Any]]:
        """What the database says of its own tables and indexes."""
        columns = self.postgres.admin(
            "SELECT table_name, column_name, data_type, is_nullable, collation_name, column_default LIKE 'nextval%'"
            " FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position",
            self.name,
        )
        indexes = self.postgres.admin(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname", self.name
        )
        return {"columns": columns, "indexes": indexes}

    async def run_once(self, storage: PostgresStorage) -> None:
        await storage.start()
        await PAGE.bind(storage).put(ROMEO, "new")
        await storage.stop()

    async def test_servers_that_start_at_once_make_it_once(self) -> None:
        storages = [self.make(pool_size=2) for _ in range(4)]
        await gatherResults([Deferred.fromCoroutine(self.run_once(storage)) for storage in storages])
        self.assertEqual(self.postgres.admin("SELECT version_num FROM alembic_version", self.name), [(VERSION,)])

    async def test_the_steps_lead_to_the_schema_that_a_new_database_gets(self) -> None:
        await self.run_once(self.make())
        made = self.schema()
        self.postgres.empty(self.name)
        self.create_version_table()
        storages = [self.make(pool_size=2) for _ in range(2)]
        await gatherResults([Deferred.fromCoroutine(self.run_once(storage)) for storage in storages])
        self.assertEqual(self.schema(), made)

    async def test_text_is_compared_by_code_points(self) -> None:
        await self.run_once(self.make())
        collations = {
            collation for table, _, kind, _, collation, _ in self.schema()["columns"]
            if kind == "text" and table != "alembic_version"
        }  # fmt: skip
        self.assertEqual(collations, {"C"})

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
        self.postgres.admin("SET ROLE federix; CREATE TABLE spool (username text)", self.name)
        for update in (True, False):
            refused = await self.assertFailure(
                Deferred.fromCoroutine(self.make(update_schema=update).start()), StoreError
            )
            self.assertIn("not one of Federix", str(refused))
        self.create_version_table("0999")
        refused = await self.assertFailure(Deferred.fromCoroutine(self.make().start()), StoreError)
        self.assertIn("newer", str(refused))
        self.assertEqual({row[0] for row in self.schema()["columns"]}, {"alembic_version", "spool"})

    async def test_a_step_that_breaks_leaves_the_database_as_it_was(self) -> None:
        self.create_version_table()
        self.postgres.admin("SET ROLE federix; CREATE TABLE roster_version (owner text)", self.name)
        before = self.schema()
        refused = await self.assertFailure(Deferred.fromCoroutine(self.make().start()), StoreError)
        self.assertIn("roster_version", str(refused))
        self.assertEqual(self.schema(), before)

    def create_version_table(self, version: str | None = None) -> None:
        self.postgres.admin(
            "SET ROLE federix; CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY);"
            + (f"INSERT INTO alembic_version VALUES ('{version}')" if version else ""),
            self.name,
        )
