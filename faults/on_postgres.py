"""Federix on a PostgreSQL of its own, which can be restarted at any moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import psycopg2

from bench import on_postgres

from .subjects import Federix


class FederixOnPostgres(on_postgres.FederixOnPostgres, Federix):
    """This tree; the accounts are written to SQLite and copied."""

    name = "federix-postgresql"
    database_inside = True

    @classmethod
    def storage(cls) -> str:
        return "PostgreSQL"

    def _settings(self) -> dict[str, object]:
        return super()._settings() | {"sql_start_interval": 1}

    @property
    def restart_database(self) -> Callable[[bool], None]:
        return self._restart

    def _restart(self, immediately: bool) -> None:
        assert self._postgres is not None
        if immediately:
            self._postgres.kill()
        else:
            self._postgres.stop()
        self._postgres.start()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with closing(psycopg2.connect(**self.parameters)) as connection, connection.cursor() as cursor:
            # Reading is possible meanwhile, as it is with SQLite.
            # One lock alone: with several it and a transaction of the server may wait for each other.
            cursor.execute("LOCK TABLE archive IN EXCLUSIVE MODE")
            try:
                yield
            finally:
                connection.rollback()
