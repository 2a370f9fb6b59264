"""Pages of a long archive: what is written, asked for, and compared."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench import people
from bench.ask import Ask
from bench.filled import Archive, to_postgres, to_sqlite
from bench.inbox import LoadFailed
from bench.load import Specification
from bench.pages import FULL, LIMIT, PAGE, QUICK, Measured, bounds, questions
from bench.paging import check
from bench.place import Place
from federix.core.archive_ids import ArchiveIds
from federix.storage.codec import STANZA

ARCHIVE = Archive(messages=4000, contacts=10, begun=1_700_000_000)


class ArchiveTests(SynchronousTestCase):
    def test_it_is_written_as_a_server_would(self) -> None:
        rows = list(ARCHIVE.rows())
        self.assertEqual([row.id for row in rows], sorted({row.id for row in rows}))
        self.assertEqual(len({row.peer for row in rows}), 10)
        for row in rows[::397]:
            stanza = STANZA.decode(row.stanza)
            sender, to = stanza.sender, stanza.to
            assert sender is not None and to is not None
            own, other = (sender, to) if row.sent else (to, sender)
            self.assertEqual((own.bare.text, other.bare.text, other.resource), (row.owner, row.peer, row.resource))

    def test_sqlite_has_all_of_it(self) -> None:
        file = Path(self.mktemp())
        people.for_federix(1, file)
        to_sqlite(ARCHIVE, file)
        with closing(sqlite3.connect(file)) as database:
            found = database.execute("SELECT count(*), min(id), max(id) FROM archive").fetchone()
        self.assertEqual(found, (4000, ARCHIVE.id(0), ARCHIVE.id(3999)))

    def test_postgresql_is_told_lines(self) -> None:
        told: list[bytes] = []
        keys: list[bytes] = []

        class Cursor:
            def execute(self, command: str, values: tuple[bytes]) -> None:
                keys.extend(values)

            def copy_expert(self, command: str, lines: Any) -> None:
                told.extend(lines.read().splitlines())

        to_postgres(ARCHIVE, Cursor())
        self.assertEqual(ArchiveIds(*keys).decode(ARCHIVE.told(12)), ARCHIVE.id(12))
        rows = list(ARCHIVE.rows())
        fields = told[12].split(b"\t")
        self.assertEqual((len(told), len(fields), int(fields[1]), fields[4]), (4000, 7, rows[12].id, b"1"))
        self.assertEqual(bytes.fromhex(fields[6].removeprefix(b"\\\\x").decode()), rows[12].stanza)


class QuestionTests(SynchronousTestCase):
    def test_pages_are_where_they_should_be(self) -> None:
        asks = questions(ARCHIVE, None)
        self.assertEqual(asks["first"].holds, [f">{ARCHIVE.told(0)}</first>", f">{ARCHIVE.told(49)}</last>"])
        self.assertEqual(asks["middle"].holds, [f">{ARCHIVE.told(2000)}</first>", f">{ARCHIVE.told(2049)}</last>"])
        self.assertIn(f"<after>{ARCHIVE.told(1999)}</after>", asks["middle"].payload)
        self.assertEqual(asks["last"].holds, [f">{ARCHIVE.told(3950)}</first>", f">{ARCHIVE.told(3999)}</last>"])

    def test_a_contacts_pages_hold_every_tenth(self) -> None:
        asks = questions(ARCHIVE, 7)
        self.assertEqual(asks["first"].holds, [f">{ARCHIVE.told(7)}</first>", f">{ARCHIVE.told(497)}</last>"])
        self.assertIn("<value>c7@localhost</value>", asks["last"].payload)

    def test_every_page_is_full(self) -> None:
        for scope in (FULL, QUICK):
            self.assertGreaterEqual(scope.messages // scope.contacts, 3 * PAGE)

    def test_the_load_can_be_told_of_them(self) -> None:
        asks = tuple(questions(ARCHIVE, 7).values())
        told = Specification([Place(1)], "PLAIN", "pages", True, 1, 1, 1, 1.0, asks=asks)
        self.assertEqual(Specification.read(json.dumps(asdict(told))), told)


class CheckTests(SynchronousTestCase):
    ask = Ask("<query/>", 2, (">1</first>", ">2</last>"))
    message = b"<message><result xmlns='urn:xmpp:mam:2' id='1'><forwarded/></result></message>"
    end = b"<iq type='result' id='p7'><fin><set><first>1</first><last>2</last></set></fin></iq>"

    def test_a_whole_page_is_fine(self) -> None:
        check(2 * self.message + self.end, b"p7", self.ask)

    def test_whatever_is_wrong_is_noticed(self) -> None:
        for answer in (
            self.message + self.end,
            2 * self.message,
            2 * self.message + self.end.replace(b"p7", b"p6"),
            2 * self.message + self.end.replace(b"result", b"error"),
            2 * self.message + self.end.replace(b">2<", b">3<"),
        ):
            self.assertRaises(LoadFailed, check, answer, b"p7", self.ask)


class BoundsTests(SynchronousTestCase):
    def test_the_dearest_is_held_against_the_cheapest(self) -> None:
        measured = {
            "first": Measured([2e-3, 4e-3], [0.01]),
            "middle": Measured([2.6e-3], [0.02]),
            "last": Measured([5e-3, 2.5e-3], [0.012, 0.011]),
        }
        found = {bound.name: bound for bound in bounds("SQLite", "one contact's", 4000, measured)}
        self.assertEqual(found["pages-sqlite-one-contacts-first"].samples, [2000.0, 4000.0])
        for name, times, verdict in (("cpu", 1.3, "kept"), ("clock", 2.0, "MISSED")):
            bound = found[f"pages-sqlite-one-contacts-{name}"]
            self.assertAlmostEqual(bound.samples[0], times)
            self.assertEqual((bound.limit, bound.verdict), (LIMIT, verdict))
        self.assertEqual(found["pages-sqlite-one-contacts-time"].samples, [20.0])
        self.assertIn("one contact's of 4 000 messages, SQLite", found["pages-sqlite-one-contacts-cpu"].title)
