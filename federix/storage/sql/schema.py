"""The tables of all SQL back ends, as they are at :data:`VERSION`.

A change of them comes with a migration step (`migrations/versions/`) and a new version; a test compares the two.
Columns are texts, keys, BigInteger, Double and bytes alone, because statements are run without SQLAlchemy's own
conversion of values. Owners stand first in the keys: what one owner has lies together, and is forgotten in one sweep.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Index, Integer, MetaData, Table

from .types import Bytes, Text, key

VERSION = "0002"
"""The name of the last migration step. Names are numbers and grow."""

metadata = MetaData()

# How much fits into keys with two of them is MariaDB's limit; elsewhere there is none.
DOMAIN = key(1023)
JID = key(1018)
RESOURCE = key(1023)
NAME = key(1980)
STORE = key(64)
TOKEN = key(255)

account = Table(
    "account",
    metadata,
    Column("host", DOMAIN, primary_key=True),
    Column("local", DOMAIN, primary_key=True),
    Column("credentials", Text, nullable=False),
    Column("created", Double, nullable=False),
)

document = Table(
    "document",
    metadata,
    Column("owner", JID, primary_key=True),
    Column("store", STORE, primary_key=True),
    Column("value", Bytes, nullable=False),
)

cell = Table(
    "cell",
    metadata,
    Column("owner", JID, primary_key=True),
    Column("store", STORE, primary_key=True),
    Column("key", NAME, primary_key=True),
    Column("value", Bytes, nullable=False),
)
"""The rows of the ``Table`` shape."""

entry = Table(
    "entry",
    metadata,
    # SQLite knows its row id by the exact type INTEGER. AUTOINCREMENT keeps it from giving an id again which belonged
    # to the last entry before that was dropped.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("owner", JID, nullable=False),
    Column("store", STORE, nullable=False),
    Column("value", Bytes, nullable=False),
    sqlite_autoincrement=True,
)
"""The entries of the ``Log`` shape."""

Index("entry_by_owner", entry.c.owner, entry.c.store, entry.c.id)

roster_item = Table(
    "roster_item",
    metadata,
    Column("owner", JID, primary_key=True),
    Column("contact", JID, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("subscription", Text, nullable=False),
    Column("ask", Integer, nullable=False),
    Column("approved", Integer, nullable=False),
    Column("name", Text, nullable=False),
    # A JSON array of strings.
    Column("groups", Text, nullable=False),
)
"""The items of all rosters; the subscription "remove" marks a tombstone."""

Index("roster_item_by_version", roster_item.c.owner, roster_item.c.version)

roster_request = Table(
    "roster_request",
    metadata,
    Column("owner", JID, primary_key=True),
    Column("contact", JID, primary_key=True),
    Column("stanza", Bytes, nullable=False),
)

roster_version = Table(
    "roster_version",
    metadata,
    Column("owner", JID, primary_key=True),
    Column("version", BigInteger, nullable=False),
    # The oldest version of which all later changes are still known.
    Column("oldest", BigInteger, nullable=False),
)
"""A counter for each roster. The row of the owner "" is the floor: past the versions of all rosters forgotten."""

archive = Table(
    "archive",
    metadata,
    Column("owner", JID, primary_key=True),
    # Microseconds since 1970.
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("peer", JID, nullable=False),
    Column("resource", RESOURCE, nullable=False),
    Column("sent", Integer, nullable=False),
    Column("fingerprint", TOKEN, nullable=False),
    # Last: what stands before it is read without it.
    Column("stanza", Bytes, nullable=False),
)
"""The messages of all archives. In SQLite the rows lie in the order in which they came, and only the indexes are sorted
by owner: that takes a quarter less to write than rows sorted by owner, and reading a page costs the same."""

# The resource last, so that rows with another one are passed by without being fetched.
Index("archive_by_peer", archive.c.owner, archive.c.peer, archive.c.id, archive.c.resource)

counted = Table(
    "counted",
    metadata,
    Column("key", TOKEN, primary_key=True),
    Column("owner", JID, nullable=False),
    Column("h", BigInteger, nullable=False),
    Column("at", Double, nullable=False),
)
"""How many stanzas are settled of each managed stream, and since when (seconds since 1970)."""

Index("counted_by_owner", counted.c.owner)
