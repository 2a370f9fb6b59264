"""Bring an older database up to date."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

#: Alembic keeps what it does in variables of its module: of the servers in one process one at a time may.
_ALEMBIC: Final = Lock()


class MigrationError(Exception):
    """A step could not be run, or there is no way from where the database stands."""


def upgrade(url: URL, creator: Callable[[], Any] | None) -> None:
    """Run the missing steps, all in one transaction where the database can; raises :class:`MigrationError`.

    *creator* makes the connection, where *url* does not say all of it.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes.update(url=url, creator=creator)
    try:
        with _ALEMBIC:
            command.upgrade(config, "head")
    except (CommandError, SQLAlchemyError) as error:
        raise MigrationError(str(error)) from error
