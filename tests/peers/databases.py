"""An empty database of a real server, and the options by which Federix finds it."""

from __future__ import annotations

from . import mariadb, postgres


def empty_database(sql_type: str) -> tuple[str, dict[str, object]]:
    """The name of an empty database, *sql_type* being ``pgsql`` or ``mysql``, and Federix's options for it.

    The test is skipped where there is no such server.
    """
    server, database, kind = (
        (postgres.shared_postgres(), postgres.shared_database(), postgres)
        if sql_type == "pgsql"
        else (mariadb.shared_mariadb(), mariadb.shared_mariadb_database(), mariadb)
    )
    server.empty(database)
    return database, {
        "sql_type": sql_type,
        "sql_server": "127.0.0.1",
        "sql_port": server.port,
        "sql_database": database,
        "sql_username": kind.USER,
        "sql_password": kind.PASSWORD,
    }


def texts_of(sql_type: str, database: str, statement: str) -> list[str]:
    """The texts that the one who may do everything finds there, one in a row."""
    server = postgres.shared_postgres() if sql_type == "pgsql" else mariadb.shared_mariadb()
    found = [row[0] for row in server.admin(statement, database)]
    # MariaDB keeps names as bytes, so that no two are taken for one.
    return [text.decode() if isinstance(text, bytes) else str(text) for text in found]
