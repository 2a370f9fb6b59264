"""Message archives, and how many stanzas of managed streams are settled."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

#: Sorted by code points everywhere.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "archive",
        sa.Column("owner", TEXT, primary_key=True),
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("peer", TEXT, nullable=False),
        sa.Column("resource", TEXT, nullable=False),
        sa.Column("sent", sa.Integer, nullable=False),
        sa.Column("fingerprint", TEXT, nullable=False),
        sa.Column("stanza", sa.LargeBinary, nullable=False),
    )
    op.create_index("archive_by_peer", "archive", ["owner", "peer", "id", "resource"])
    op.create_table(
        "counted",
        sa.Column("key", TEXT, primary_key=True),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("h", sa.BigInteger, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.create_index("counted_by_owner", "counted", ["owner"])


def downgrade() -> None:
    op.drop_table("counted")
    op.drop_table("archive")
