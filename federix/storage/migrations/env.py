"""How Alembic reaches the database; it runs this file itself, with its context prepared."""

from __future__ import annotations

from alembic import context
from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.pool import NullPool

from federix.storage.sql.schema import metadata
from federix.storage.sql.versions import MYSQL_LOCK, SCHEMA_LOCK

LOCK_TIMEOUT = 3600
"""Seconds to wait for others who change the schema of MariaDB."""

ALONE = {
    # The driver itself begins no transaction before statements that change the schema. With one, a step that breaks
    # half way leaves nothing behind.
    "sqlite": "BEGIN IMMEDIATE",
    "postgresql": f"SELECT pg_advisory_xact_lock({SCHEMA_LOCK})",
    # Changes of tables are in no transaction there; the lock goes with the connection.
    "mysql": f"DO GET_LOCK({MYSQL_LOCK}, {LOCK_TIMEOUT})",
}
"""What keeps others from changing the schema at the same time, by the kind of database."""


def _run() -> None:
    url: URL = context.config.attributes["url"]
    creator = context.config.attributes["creator"]
    engine = create_engine(url, poolclass=NullPool, **({} if creator is None else {"creator": creator}))
    alone = ALONE.get(url.get_backend_name())
    if alone is not None:

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql(alone)

    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=True)
        with context.begin_transaction():
            context.run_migrations()


_run()
