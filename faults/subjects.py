"""The servers that go through it, each with stream management and an archive for everybody, in its usual storage."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Final

from bench import ours, peers
from bench.server import BenchServer
from federix.modules import MODULES

#: Seconds a session waits for its client.
HIBERNATION: Final = 300
#: Messages an archive may hold, and of one page.
ARCHIVED_AT_MOST: Final = 1_000_000
PAGE_AT_MOST: Final = 250


class Subject(BenchServer):
    """A server that can be killed and started again."""

    @classmethod
    def storage(cls) -> str:
        """What it keeps its archive in, for people."""
        raise NotImplementedError

    def complaints(self) -> list[str]:
        """Lines of its log that tell of a fault of its own."""
        return []

    @property
    def restart_database(self) -> Callable[[bool], None] | None:
        """Ends the database server and starts it again, *immediately* or tidily; ``None`` where there is none."""
        return None

    def locked(self) -> AbstractContextManager[None] | None:
        """For as long as this is entered nothing can be written to its database; ``None`` where there is no way."""
        return None


class Federix(ours.Federix, Subject):
    """This tree, on SQLite."""

    archives = True

    @classmethod
    def storage(cls) -> str:
        return "SQLite"

    @classmethod
    def missing(cls) -> str | None:
        lacking = [name for name in ("mod_mam", "mod_stream_mgmt") if name not in MODULES]
        return f"it has no {' and no '.join(lacking)} yet" if lacking else None

    def complaints(self) -> list[str]:
        lines = (self.folder / f"{self.name}.out").read_text(errors="replace").splitlines()
        return [line for line in lines if "[critical]" in line or "Traceback" in line]

    @property
    def database(self) -> Path:
        return self.folder / "federix.sqlite"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with closing(sqlite3.connect(self.database, isolation_level=None, timeout=10.0)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            finally:
                connection.execute("ROLLBACK")

    def locked(self) -> AbstractContextManager[None]:
        return self._locked()


class Prosody(peers.Prosody, Subject):
    """Debian's, with its file storage."""

    @classmethod
    def storage(cls) -> str:
        return "files"

    def _settings(self, data: Path) -> str:
        # What follows the name of a host is for that host, in addition to the rest.
        return f"""{super()._settings(data)}
modules_enabled = {{ "smacks"; "mam"; "offline"; "presence"; "message"; "iq" }}
smacks_hibernation_time = {HIBERNATION}
smacks_max_queue_size = 5000
storage_archive_item_limit = {ARCHIVED_AT_MOST}
archive_expires_after = "never"
max_archive_query_results = {PAGE_AT_MOST}
"""


class Ejabberd(peers.Ejabberd, Subject):
    """Debian's, with its archive in Mnesia."""

    @classmethod
    def storage(cls) -> str:
        return "Mnesia"

    def _settings(self) -> dict[str, object]:
        settings = super()._settings()
        modules = settings["modules"]
        assert isinstance(modules, dict)
        modules["mod_stream_mgmt"] = {"resume_timeout": HIBERNATION, "max_ack_queue": 5000}
        modules["mod_mam"] = {"default": "always", "db_type": "mnesia"}
        modules["mod_offline"] = {}
        return settings
