"""One connection to MariaDB or MySQL: PyMySQL blocks, so it works in a thread."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import pymysql
from pymysql.constants import CLIENT, CR, ER
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from ...life.executor import Executor
from ..sql.server import SqlServer

T = TypeVar("T")

Error: Final[type[Exception]] = pymysql.MySQLError

#: Errors after which a connection is of no use: it is lost, or the server shuts down or has ended it.
_ENDING: Final = frozenset(
    {0, CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST, CR.CR_SERVER_LOST_EXTENDED, ER.SERVER_SHUTDOWN, 1927, 4031}
)
#: Errors that end a transaction of which others were in the way: it may be done again.
CONFLICTS: Final = frozenset({ER.LOCK_DEADLOCK, ER.LOCK_WAIT_TIMEOUT, 1020})
#: Seconds past its own time limit that a statement is waited for.
GRACE: Final = 5.0

#: What does not fit is refused, and not cut.
_STRICT: Final = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"


def code_of(error: BaseException) -> int | None:
    """The number of an error of the driver's; 0 where the connection was gone already, ``None`` for another's error."""
    if not isinstance(error, Error):
        return None
    code = error.args[0] if error.args else 0
    return code if isinstance(code, int) else 0


def is_over(error: BaseException) -> bool:
    """Whether the connection is of no use any more."""
    return isinstance(error, pymysql.err.InterfaceError) or code_of(error) in _ENDING


def said(error: BaseException) -> str:
    """What the database said, without the values in it: they are for no log."""
    code = code_of(error)
    if code in (ER.DUP_ENTRY, ER.TRUNCATED_WRONG_VALUE, ER.PARSE_ERROR):
        return f"error {code}"
    return str(error.args[-1] if isinstance(error, Error) and error.args else error) or type(error).__name__


class MyConnection:
    """A connection that is open until `close`, or until it breaks: then *on_lost* is called, once, with the reason."""

    def __init__(self, executor: Executor, clock: IReactorTime, on_lost: Callable[[str], None]) -> None:
        self._executor = executor
        self._clock = clock
        self._on_lost: Callable[[str], None] | None = on_lost
        self._raw: Any = None
        #: Since when it works, by the reactor's clock.
        self.busy_since: float | None = None
        #: When it last ended something.
        self.idle_since = 0.0

    async def open(self, server: SqlServer, *, writes: bool) -> None:
        """Connect and log in; raises the driver's errors and OSError."""
        self._raw = await self._executor.run(connect, server, writes)
        self.idle_since = self._clock.seconds()

    @property
    def is_open(self) -> bool:
        return self._on_lost is not None

    def run(self, work: Callable[[Any], T]) -> Deferred[T]:
        """Have a thread do *work* with PyMySQL's connection. One call at a time."""
        self.busy_since = self._clock.seconds()
        running: Deferred[T] = self._executor.run(work, self._raw)
        return running.addBoth(self._ran)

    def _ran(self, result: Any) -> Any:
        self.idle_since = self._clock.seconds()
        self.busy_since = None
        raw = self._raw
        if raw is not None and not raw.open:
            error = result.value if isinstance(result, Failure) else None
            self._lost("the connection was closed" if error is None else said(error))
        return result

    def ping(self) -> Deferred[Any]:
        """Have the server say something."""
        return self.run(_ping)

    def close(self) -> None:
        """Close it; what runs fails. Nobody is told."""
        self._on_lost = None
        raw, self._raw = self._raw, None
        if raw is not None:
            _cut(raw)

    def break_off(self, reason: str) -> None:
        """Close it as if it had broken."""
        self._lost(reason)

    def _lost(self, reason: str) -> None:
        tell, self._on_lost = self._on_lost, None
        if tell is not None:
            tell(reason)
            self.close()


def _cut(raw: Any) -> None:
    """Close the socket. A thread that waits for it wakes by that; to say good-bye might block."""
    try:
        raw._sock.shutdown(socket.SHUT_RDWR)
    except (OSError, AttributeError):
        pass  # it is gone, or was never there
    raw._force_close()


# What follows runs in the executor.


def connect(server: SqlServer, writes: bool) -> Any:
    """A connection that begins no transaction by itself."""
    where: dict[str, Any] = {"host": server.host, "port": server.port}
    if server.host.startswith("/"):
        path = Path(server.host)
        where = {"unix_socket": str(path / "mysqld.sock" if path.is_dir() else path)}
    connection: Any = pymysql.connect(
        **where,
        user=server.username,
        password=server.password,
        database=server.database,
        charset="utf8mb4",
        autocommit=True,
        # An UPDATE answers how many rows it found, as elsewhere, and not how many it had to change.
        client_flag=CLIENT.FOUND_ROWS,
        connect_timeout=max(1, round(server.connect_timeout)),
        read_timeout=server.query_timeout + GRACE,
        write_timeout=server.query_timeout + GRACE,
        init_command=_STRICT,
        ssl=None if "unix_socket" in where else _tls(server),
        ssl_disabled="unix_socket" in where or server.tls is None,
    )
    # Who reads sees one moment; who writes must not hold locks on what lies between rows.
    isolation = "READ COMMITTED" if writes else "REPEATABLE READ"
    connection.cursor().execute(f"SET SESSION TRANSACTION ISOLATION LEVEL {isolation}")
    return connection


def _tls(server: SqlServer) -> ssl.SSLContext | None:
    tls = server.tls
    if tls is None:
        return None
    context = ssl.create_default_context(cafile=tls.cafile)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.certfile is not None:
        context.load_cert_chain(tls.certfile)
    return context


def _ping(raw: Any) -> None:
    try:
        raw.ping(reconnect=False)
    except Error:
        raw._force_close()
        raise
