"""How Alembic reaches the database; it runs this file itself, with its context prepared."""

from __future__ import annotations

from alembic import context
from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.pool import NullPool

from federix.storage.sql.schema import metadata


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _run() -> None:
    url: URL = context.config.attributes["url"]
    engine = create_engine(url, poolclass=NullPool)
    if url.get_backend_name() == "sqlite":
        # The driver itself begins no transaction before statements that change the schema. With one, a step that
        # breaks half way leaves nothing behind.
        event.listen(engine, "begin", _begin)
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=True)
        with context.begin_transaction():
            context.run_migrations()


_run()
