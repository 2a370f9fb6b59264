"""All servers that go through it, by their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .on_mariadb import FederixOnMariaDb
from .on_postgres import FederixOnPostgres
from .subjects import Ejabberd, Federix, Prosody, Subject

SUBJECTS: Final[Mapping[str, type[Subject]]] = {
    subject.name: subject for subject in (Federix, FederixOnPostgres, FederixOnMariaDb, Prosody, Ejabberd)
}
