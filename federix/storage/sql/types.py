"""Types of columns that mean the same in every database."""

from __future__ import annotations

from typing import Any

import sqlalchemy
from sqlalchemy.dialects import mysql

#: Text that is compared and sorted by code points: PostgreSQL otherwise does it as the people of some country do.
Text: Any = (
    sqlalchemy.Text()
    .with_variant(sqlalchemy.Text(collation="C"), "postgresql")
    .with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
)

#: Bytes, as many as there are: what MariaDB calls a BLOB ends at 64 KiB.
Bytes: Any = sqlalchemy.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")

#: In MariaDB, the bytes that the columns of one key may have together.
KEY_BYTES = 3072


def key(most: int) -> Any:
    """As `Text`, for columns of keys. In MariaDB it has *most* bytes at most, and is kept as UTF-8: so it sorts."""
    return (
        sqlalchemy.Text()
        .with_variant(sqlalchemy.Text(collation="C"), "postgresql")
        .with_variant(mysql.VARBINARY(most), "mysql", "mariadb")
    )
