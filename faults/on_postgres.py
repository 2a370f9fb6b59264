"""Federix on a PostgreSQL of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2

from bench import on_postgres

from .on_server import FederixOnServer


class FederixOnPostgres(on_postgres.FederixOnPostgres, FederixOnServer):
    """This tree; the accounts are written to SQLite and copied."""

    name = "federix-postgresql"
    database_inside = True

    @classmethod
    def storage(cls) -> str:
        return "PostgreSQL"

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
