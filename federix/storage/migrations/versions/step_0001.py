"""The first schema: accounts, the three shapes, rosters."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

#: Sorted by code points everywhere.
SORTED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TEXT = SORTED.with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
#: In MariaDB, columns of keys have so many bytes at most.
DOMAIN = SORTED.with_variant(mysql.VARBINARY(1023), "mysql", "mariadb")
JID = SORTED.with_variant(mysql.VARBINARY(1018), "mysql", "mariadb")
NAME = SORTED.with_variant(mysql.VARBINARY(1980), "mysql", "mariadb")
STORE = SORTED.with_variant(mysql.VARBINARY(64), "mysql", "mariadb")
BYTES = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("host", DOMAIN, primary_key=True),
        sa.Column("local", DOMAIN, primary_key=True),
        sa.Column("credentials", TEXT, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
    )
    op.create_table(
        "document",
        sa.Column("owner", JID, primary_key=True),
        sa.Column("store", STORE, primary_key=True),
        sa.Column("value", BYTES, nullable=False),
    )
    op.create_table(
        "cell",
        sa.Column("owner", JID, primary_key=True),
        sa.Column("store", STORE, primary_key=True),
        sa.Column("key", NAME, primary_key=True),
        sa.Column("value", BYTES, nullable=False),
    )
    op.create_table(
        "entry",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("owner", JID, nullable=False),
        sa.Column("store", STORE, nullable=False),
        sa.Column("value", BYTES, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("entry_by_owner", "entry", ["owner", "store", "id"])
    op.create_table(
        "roster_item",
        sa.Column("owner", JID, primary_key=True),
        sa.Column("contact", JID, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("subscription", TEXT, nullable=False),
        sa.Column("ask", sa.Integer, nullable=False),
        sa.Column("approved", sa.Integer, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("groups", TEXT, nullable=False),
    )
    op.create_index("roster_item_by_version", "roster_item", ["owner", "version"])
    op.create_table(
        "roster_request",
        sa.Column("owner", JID, primary_key=True),
        sa.Column("contact", JID, primary_key=True),
        sa.Column("stanza", BYTES, nullable=False),
    )
    op.create_table(
        "roster_version",
        sa.Column("owner", JID, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("oldest", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    raise NotImplementedError("the first step is not taken back")
