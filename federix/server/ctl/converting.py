"""`federixctl convert_to_sql`: from the SQLite file to the database server that the configuration names by now.

It needs no server, and none may run: what one wrote meanwhile would be left behind.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from ..config import Config
from ..databases import copied_into
from ..directory import lock, unlock
from .bar import Bar


class CannotConvert(Exception):
    """The text says why, and what to do."""


def convert(config: Config, source: Path | None) -> dict[str, int]:
    """Copy everything; how many rows of each table that were.

    Raises `CannotConvert`, `StoreError` and `DirectoryError`.
    """
    from ...storage.sql.copying import copy

    path = source or config.directory / "federix.sqlite"
    if config.server.default_db != "sql" or config.server.sql_type == "sqlite":
        raise CannotConvert(
            "the configuration names no database server to copy into: set sql_type and the other sql_* options first"
        )
    if not path.is_file():
        raise CannotConvert(f"there is no SQLite database {path}: say with --from where it is")
    held = lock(config.directory)
    try:
        with closing(copied_into(config)) as target, Bar("convert_to_sql") as bar:
            return dict(copy(path, target, bar))
    finally:
        unlock(config.directory, held)
