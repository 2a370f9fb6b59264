"""Storages on real database servers, for tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import TestCase

from bench.databases.server import PASSWORD, USER, DatabaseServer
from federix.life.executor import ThreadExecutor
from federix.storage.sql.server import SqlServer

if TYPE_CHECKING:
    from federix.storage.mysql import MysqlStorage
    from federix.storage.postgres import PostgresStorage

the_reactor: Any = reactor


def started_executor(case: TestCase, any_reactor: Any) -> ThreadExecutor:
    """Threads that end with the test."""
    executor = ThreadExecutor(any_reactor, threads=5, name="storage under test")
    executor.start()
    case.addCleanup(executor.stop)
    return executor


def sql_server(databases: DatabaseServer, **changes: Any) -> SqlServer:
    """A new database there, or the one that is named, and how to reach it."""
    server = SqlServer(
        host="127.0.0.1",
        port=databases.port,
        database=changes.pop("database", None) or databases.database(),
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


def postgres_storage(case: TestCase, server: SqlServer) -> PostgresStorage:
    """Not started yet."""
    from federix.storage.postgres import PostgresStorage

    return PostgresStorage(server, started_executor(case, the_reactor), the_reactor)


def logged(case: TestCase) -> list[str]:
    """The lines that are logged at warning or above from now on, until the test ends."""
    told: list[str] = []

    def note(event: LogEvent) -> None:
        if event.get("log_level") in (LogLevel.warn, LogLevel.error, LogLevel.critical):
            told.append(formatEvent(event))

    globalLogPublisher.addObserver(note)
    case.addCleanup(globalLogPublisher.removeObserver, note)
    return told


async def soon(is_so: Callable[[], object], patience: float = 30.0) -> None:
    """Wait until *is_so*."""
    end = the_reactor.seconds() + patience
    while not is_so():
        if the_reactor.seconds() > end:
            raise AssertionError("it does not come to it")
        await deferLater(the_reactor, 0.02)


def mysql_storage(server: SqlServer) -> MysqlStorage:
    """Not started yet."""
    from federix.storage.mysql import MysqlStorage

    return MysqlStorage(server, the_reactor)
