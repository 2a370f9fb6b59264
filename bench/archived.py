"""The same servers with the archive on for everybody, each with what it embeds: the archive of both is in SQLite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .federated import works
from .ours import Federix
from .peers import Prosody
from .server import BenchServer


class ArchivingFederix(Federix):
    """It archives unless it is told not to."""

    archives = True


class ArchivingProsody(Prosody):
    """Accounts in files, as ever; the archive in SQLite, committed for good with each message."""

    archives = True

    @classmethod
    def missing(cls) -> str | None:
        problem = super().missing()
        if problem is None and not works("lua5.4", "-e", "require 'dbd.sqlite3'"):
            return "it needs lua-dbi-sqlite3: sh .ci/debian-packages lua-dbi-sqlite3"
        return problem

    def _kept(self) -> str:
        return """\
default_storage = "internal"
storage = { archive = "sql" }
sql = { driver = "SQLite3", database = "archive.sqlite" }
default_archive_policy = true"""


ARCHIVING: Final[Mapping[str, type[BenchServer]]] = {kind.name: kind for kind in (ArchivingFederix, ArchivingProsody)}
