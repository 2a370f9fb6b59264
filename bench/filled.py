"""Federix with a long archive of its first user, written before it starts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, Final

import psycopg2
from twisted.internet.defer import ensureDeferred

from federix.core.archive_ids import ArchiveIds
from federix.life.executor import InlineExecutor
from federix.storage.archive import ArchiveRow
from federix.storage.sqlite import SqliteStorage

from .archived import ArchivingFederix
from .login import full_jid
from .names import DOMAIN, contact, user
from .on_postgres import FederixOnPostgres
from .pairs import ANSWER, QUESTION

#: Seconds between two messages.
STEP: Final = 30
#: Messages that are written at a time.
BATCH: Final = 10_000
#: Under which the ids that clients are told are encrypted.
KEY: Final = bytes(range(16))
_COLUMNS: Final = ("owner", "id", "peer", "resource", "sent", "fingerprint", "stanza")


@dataclass(frozen=True, slots=True)
class Archive:
    """So many *messages* with so many *contacts*, one after the other, the last of them just now."""

    messages: int
    contacts: int
    begun: int
    """When the first came, in seconds since 1970."""

    @classmethod
    def until_now(cls, messages: int, contacts: int) -> Archive:
        return cls(messages, contacts, int(time.time()) - messages * STEP)

    def id(self, number: int) -> int:
        """Of the message of that *number*, from 0 on."""
        return (self.begun + number * STEP) * 1_000_000

    def told(self, number: int) -> str:
        """The id of that message, as clients are told."""
        return ArchiveIds(KEY).encode(self.id(number))

    def rows(self) -> Iterator[ArchiveRow]:
        """All of it, the oldest first."""
        owner, ours = f"{user(0)}@{DOMAIN}", full_jid(user(0))
        peers = [f"{contact(n)}@{DOMAIN}" for n in range(self.contacts)]
        for number in range(self.messages):
            turn, n = divmod(number, self.contacts)
            sent, theirs = bool(turn % 2), full_jid(contact(n))
            addresses = f"from='{ours}' to='{theirs}'" if sent else f"from='{theirs}' to='{ours}'"
            body = b"%08d%s" % (number, QUESTION if sent else ANSWER)
            stanza = b"<message %s type='chat' id='m%08d'><body>%s</body></message>" % (
                addresses.encode(),
                number,
                body,
            )
            print_ = f"{number:032x}" if sent else ""
            yield ArchiveRow(owner, self.id(number), peers[n], theirs.partition("/")[2], sent, print_, stanza)


class FilledFederix(ArchivingFederix):
    """With its archives in SQLite."""

    archive: Archive

    def _write(self) -> None:
        super()._write()
        to_sqlite(self.archive, self.database)


class FilledOnPostgres(FederixOnPostgres):
    """With its archives in PostgreSQL."""

    archive: Archive

    def _write(self) -> None:
        super()._write()
        with closing(psycopg2.connect(**self.parameters)) as connection:
            with connection, connection.cursor() as cursor:
                to_postgres(self.archive, cursor)
            connection.autocommit = True
            with connection.cursor() as cursor:
                # As it does by itself some minutes after so much was written.
                cursor.execute("VACUUM ANALYZE archive")


def to_sqlite(archive: Archive, database: Path) -> None:
    """Write *archive* to the file *database*."""

    async def write() -> None:
        storage = SqliteStorage(str(database), InlineExecutor())
        await storage.start()
        await ArchiveIds.kept_in(storage, lambda _: KEY)
        for rows in _batches(archive):
            await storage.archives.keep(rows)
        await storage.stop()

    problems: list[object] = []
    ensureDeferred(write()).addErrback(problems.append)
    if problems:
        raise RuntimeError(f"could not write an archive: {problems[0]}")


def to_postgres(archive: Archive, cursor: Any) -> None:
    """Write *archive* by way of *cursor*."""
    cursor.execute(
        "INSERT INTO document (store, owner, value) VALUES ('archive-ids', '', %s) ON CONFLICT DO NOTHING", (KEY,)
    )
    for rows in _batches(archive):
        lines = (
            b"\t".join((f"{r.owner}\t{r.id}\t{r.peer}\t{r.resource}\t{r.sent:d}\t{r.fingerprint}".encode(), _hex(r)))
            for r in rows
        )
        cursor.copy_expert(f"COPY archive ({', '.join(_COLUMNS)}) FROM STDIN", BytesIO(b"\n".join(lines) + b"\n"))


def _hex(row: ArchiveRow) -> bytes:
    return b"\\\\x" + row.stanza.hex().encode()


def _batches(archive: Archive) -> Iterator[list[ArchiveRow]]:
    rows = archive.rows()
    while batch := list(islice(rows, BATCH)):
        yield batch
