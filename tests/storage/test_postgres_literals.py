"""What is written into statements is what PostgreSQL reads, however it is set up."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from federix.storage.pg.literals import literal
from tests.peers.databases import shared_postgres

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0") | st.sampled_from("'\\x"))
numbers = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=False)
#: Most are what archives hold: ASCII, with quotes and without.
octets = st.binary() | st.text(st.characters(max_codepoint=127) | st.sampled_from("'\\x")).map(str.encode)
rows = st.tuples(texts, octets, numbers, floats)


class LiteralTest(SynchronousTestCase):
    connection: Any

    def setUp(self) -> None:
        self.use(None)

    def use(self, database: str | None) -> None:
        self.connection = shared_postgres().connect(database)
        self.connection.set_client_encoding("UTF8")
        self.addCleanup(self.connection.close)
        self.run_sql("CREATE TEMPORARY TABLE kept (t text, b bytea, n bigint, f float8)")

    def run_sql(self, sql: str | bytes) -> list[Any]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def come_back(self, *values: Any) -> None:
        row = b", ".join(map(literal, values))
        # As rows that are joined.
        self.run_sql(b"DELETE FROM kept; INSERT INTO kept (t, b, n, f) VALUES (%b), (%b)" % (row, row))
        found = [(t, bytes(b), n, f) for t, b, n, f in self.run_sql("SELECT * FROM kept")]
        self.assertEqual(found, [values, values])
        same = b" AND ".join(b"%c = %b" % (name, literal(value)) for name, value in zip(b"tbnf", values, strict=True))
        self.assertEqual(self.run_sql(b"SELECT count(*) FROM kept WHERE " + same), [(2,)])

    @given(rows)
    def test_all_come_back(self, row: tuple[Any, ...]) -> None:
        self.come_back(*row)

    @given(rows)
    def test_whatever_backslashes_mean(self, row: tuple[Any, ...]) -> None:
        self.run_sql("SET standard_conforming_strings = off; SET escape_string_warning = off")
        self.come_back(*row)

    def test_octets_that_are_no_characters_of_the_database(self) -> None:
        name = "latin1"
        admin = shared_postgres().admin
        admin(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' LOCALE_PROVIDER libc TEMPLATE template0")
        self.addCleanup(admin, f"DROP DATABASE {name} WITH (FORCE)")
        self.use(name)
        self.come_back("caf\xe9", bytes(range(256)), 1, 0.5)
        self.come_back("", "caf\xe9 \u20ac".encode(), 1, 0.5)

    def test_none_and_numbers_that_are_none(self) -> None:
        self.run_sql(b"INSERT INTO kept (t, f) VALUES (%b, %b)" % (literal(None), literal(math.inf)))
        self.assertEqual(self.run_sql("SELECT t, f FROM kept"), [(None, math.inf)])

    def test_a_text_that_cannot_be_kept_is_told(self) -> None:
        for text in ("nul\0", "\udc80"):
            with self.assertRaises(ValueError):
                literal(text)

    def test_what_looks_like_the_end_of_a_text_is_none(self) -> None:
        for text in ("'", "''", "\\'", "\\", "'); DROP TABLE kept; --", "\\'); DROP TABLE kept; --"):
            self.come_back(text, text.encode(), 0, 0.0)
