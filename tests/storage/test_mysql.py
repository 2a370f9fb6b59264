"""MariaDB: few messages, several connections in threads, its dialect, and its schema."""

from __future__ import annotations

import atexit
import math
from functools import cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, gatherResults

from bench.databases.mariadb import MariaDb
from federix.storage.my.connection import MyError, connect
from federix.storage.my.plan import MESSAGE_BYTES
from federix.storage.my.statements import literal
from federix.storage.mysql import UNFINISHED
from federix.storage.roster import RosterItem
from federix.storage.sql.database import Transaction
from federix.storage.sql.shapes import CELL_PUT, DOCUMENT_PUT
from federix.storage.storage import StoreError
from tests.storage.served import messages, order, schema, spoilt
from tests.storage.served.case import JULIET, NONSENSE, NOTES, PAGE, ROMEO, StartedCase, cell, entry
from tests.storage.served.on_mariadb import OnMariaDb
from tests.storage.servers import logged, soon, sql_server

VALUES = (
    st.text(st.characters(codec="utf-8"))
    | st.binary()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.none()
)


class MessagesTest(OnMariaDb, messages.Messages):
    async def test_what_waits_together_is_one_message(self) -> None:
        await super().test_what_waits_together_is_one_message()
        self.assertTrue(self.sent[1].startswith(b"START TRANSACTION;") and self.sent[1].endswith(b";COMMIT"))

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


class SpoiltTest(OnMariaDb, spoilt.Spoilt):
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

    async def test_a_read_that_fails_fails_alone(self) -> None:
        async def nonsense(tx: Transaction) -> None:
            await tx.run(NONSENSE)

        await PAGE.bind(self.storage).put(ROMEO, "new")
        waiting = [self.database.read(JULIET, lambda tx: tx.run(self.sleep, seconds=0.2)) for _ in range(4)]
        page = [Deferred.fromCoroutine(PAGE.bind(self.storage).get(ROMEO)) for _ in range(2)]
        await self.assertFailure(self.database.read(ROMEO, nonsense), StoreError)
        page += [Deferred.fromCoroutine(PAGE.bind(self.storage).get(ROMEO)) for _ in range(2)]
        self.assertEqual(await gatherResults(page), ["new"] * 4)
        await gatherResults(waiting)


class OrderTest(OnMariaDb, order.Order):
    pass


class TextTest(OnMariaDb, StartedCase):
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
        connection = _connection(self.server, self.name)
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


class SchemaTest(OnMariaDb, schema.Schema):
    async def test_all_tables_know_transactions_whatever_is_usual_there(self) -> None:
        self.server.admin("SET GLOBAL default_storage_engine = MyISAM")
        self.addCleanup(self.server.admin, "SET GLOBAL default_storage_engine = InnoDB")
        self.server.admin(f"ALTER DATABASE {self.name} CHARACTER SET latin1 COLLATE latin1_general_ci")
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
        self.server.empty(self.name)
        self.server.admin(f"CREATE TABLE {UNFINISHED} (nothing INTEGER)", self.name)
        self.server.admin("CREATE TABLE account (host INTEGER)", self.name)
        self.create_version_table()
        told = logged(self)
        waiting = Deferred.fromCoroutine(self.make(update_schema=False).start())
        await soon(lambda: told)
        self.assertIn("has no tables yet", told[0])
        # Before the tables are made: it looks again each second, and would start where making them takes longer.
        waiting.cancel()
        await self.assertFailure(waiting, CancelledError)
        await self.run_once(self.make())
        self.assertEqual(self.schema(), made)

    async def test_what_is_left_of_the_first_start_removes_nothing_later(self) -> None:
        await self.run_once(self.make())
        made = self.schema()
        self.server.admin(f"CREATE TABLE {UNFINISHED} (nothing INTEGER)", self.name)
        self.server.admin("DROP TABLE counted, archive", self.name)
        self.server.admin("UPDATE alembic_version SET version_num = '0001'", self.name)
        await self.run_once(self.make())
        self.assertEqual(self.schema(), made)
        self.assertEqual(self.server.admin("SELECT CAST(owner AS CHAR) FROM document", self.name), [(ROMEO,)])

    async def test_a_step_that_breaks_is_told(self) -> None:
        self.create_version_table()
        self.server.admin("CREATE TABLE roster_version (owner text)", self.name)
        refused = await self.assertFailure(Deferred.fromCoroutine(self.make().start()), StoreError)
        self.assertIn("roster_version", str(refused))
        self.assertEqual(self.server.admin("SELECT * FROM alembic_version", self.name), [])
