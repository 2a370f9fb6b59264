"""Message archives, and how many stanzas of managed streams are settled."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"

#: Sorted by code points everywhere.
SORTED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
#: In MariaDB, columns of keys have so many bytes at most.
JID = SORTED.with_variant(mysql.VARBINARY(1018), "mysql", "mariadb")
RESOURCE = SORTED.with_variant(mysql.VARBINARY(1023), "mysql", "mariadb")
TOKEN = SORTED.with_variant(mysql.VARBINARY(255), "mysql", "mariadb")
BYTES = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "archive",
        sa.Column("owner", JID, primary_key=True),
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("peer", JID, nullable=False),
        sa.Column("resource", RESOURCE, nullable=False),
        sa.Column("sent", sa.Integer, nullable=False),
        sa.Column("fingerprint", TOKEN, nullable=False),
        sa.Column("stanza", BYTES, nullable=False),
    )
    op.create_index("archive_by_peer", "archive", ["owner", "peer", "id", "resource"])
    op.create_table(
        "counted",
        sa.Column("key", TOKEN, primary_key=True),
        sa.Column("owner", JID, nullable=False),
        sa.Column("h", sa.BigInteger, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.create_index("counted_by_owner", "counted", ["owner"])


def downgrade() -> None:
    op.drop_table("counted")
    op.drop_table("archive")
