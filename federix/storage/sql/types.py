"""Types of columns that mean the same in every database."""

from __future__ import annotations

import sqlalchemy

#: Text that is compared and sorted by code points: PostgreSQL otherwise does it as the people of some country do.
Text = sqlalchemy.Text().with_variant(sqlalchemy.Text(collation="C"), "postgresql")
