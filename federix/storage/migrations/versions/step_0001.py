"""The first schema: accounts, the three shapes, rosters."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

#: Sorted by code points everywhere.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("host", TEXT, primary_key=True),
        sa.Column("local", TEXT, primary_key=True),
        sa.Column("credentials", TEXT, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
    )
    op.create_table(
        "document",
        sa.Column("owner", TEXT, primary_key=True),
        sa.Column("store", TEXT, primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "cell",
        sa.Column("owner", TEXT, primary_key=True),
        sa.Column("store", TEXT, primary_key=True),
        sa.Column("key", TEXT, primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "entry",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("store", TEXT, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("entry_by_owner", "entry", ["owner", "store", "id"])
    op.create_table(
        "roster_item",
        sa.Column("owner", TEXT, primary_key=True),
        sa.Column("contact", TEXT, primary_key=True),
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
        sa.Column("owner", TEXT, primary_key=True),
        sa.Column("contact", TEXT, primary_key=True),
        sa.Column("stanza", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "roster_version",
        sa.Column("owner", TEXT, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("oldest", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    raise NotImplementedError("the first step is not taken back")
