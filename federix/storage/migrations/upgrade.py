"""Bring an older database up to date."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

#: Alembic keeps what it does in variables of its module: of the servers in one process one at a time may.
_ALEMBIC: Final = Lock()


class MigrationError(Exception):
    """A step could not be run, or there is no way from where the database stands."""


def upgrade(url: URL) -> None:
    """Run the missing steps, all in one transaction where the database can; raises :class:`MigrationError`."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["url"] = url
    try:
        with _ALEMBIC:
            command.upgrade(config, "head")
    except (CommandError, SQLAlchemyError) as error:
        raise MigrationError(str(error)) from error
