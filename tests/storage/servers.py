"""Storages on real database servers, for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from federix.life.executor import ThreadExecutor
from federix.storage.sql.server import SqlServer
from federix.storage.storage import Storage
from tests.peers.postgres import PASSWORD, USER, Postgres

the_reactor: Any = reactor


def started_executor(case: TestCase, any_reactor: Any) -> ThreadExecutor:
    """Threads that end with the test."""
    executor = ThreadExecutor(any_reactor, threads=5, name="storage under test")
    executor.start()
    case.addCleanup(executor.stop)
    return executor


def sql_server(postgres: Postgres, **changes: Any) -> SqlServer:
    """A new database on *postgres*, and how to reach it."""
    server = SqlServer(
        host="127.0.0.1",
        port=postgres.port,
        database=changes.pop("database", None) or postgres.database(),
        username=USER,
        password=PASSWORD,
        pool_size=6,
        keepalive_interval=None,
        connect_timeout=5.0,
        query_timeout=60.0,
        start_interval=1.0,
        tls=None,
        update_schema=True,
    )
    return replace(server, **changes)


def postgres_storage(case: TestCase, server: SqlServer) -> Storage:
    """Not started yet."""
    from federix.storage.postgres import PostgresStorage

    return PostgresStorage(server, started_executor(case, the_reactor), the_reactor)
