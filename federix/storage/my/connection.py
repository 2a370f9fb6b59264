"""One connection to MariaDB or MySQL: PyMySQL blocks, so it works in a thread."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import pymysql
from pymysql.constants import CLIENT, CR, ER
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from ...life.executor import Executor
from ..sql.server import SqlServer
from .orphans import take_name

T = TypeVar("T")

Error: Final[type[Exception]] = pymysql.MySQLError

#: Errors after which a connection is of no use: it is lost, or the server shuts down or has ended it.
_ENDING: Final = frozenset(
    {0, CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST, CR.CR_SERVER_LOST_EXTENDED, ER.SERVER_SHUTDOWN, 1927, 4031}
)
#: Errors that end a transaction of which others were in the way: it may be done again.
DEADLOCKS: Final = frozenset({ER.LOCK_DEADLOCK, 1020})
#: A statement waited too long for a row that others hold; it may be done again.
LOCKED: Final = int(ER.LOCK_WAIT_TIMEOUT)
#: How often one is done that waits for others' rows: together as long as one statement may take.
LOCK_TRIES: Final = 3
#: A statement took longer than it may: what MariaDB says, and MySQL.
TIMED_OUT: Final = frozenset({1969, 3024})
#: A statement is longer than the server takes.
TOO_LONG: Final = int(ER.NET_PACKET_TOO_LARGE)
#: Seconds past its own time limit that a statement is waited for.
GRACE: Final = 5.0
#: Seconds that the server leaves a connection alone which does nothing: as many as it can.
_IDLE: Final = 31_536_000
#: Errors that quote names of ours, and nothing that users wrote.
_NAMING: Final = frozenset({ER.DATA_TOO_LONG, ER.BAD_FIELD_ERROR, ER.NO_SUCH_TABLE, ER.TABLEACCESS_DENIED_ERROR})


class MyError(Exception):
    """What the database said to a statement, without the values in it: they are for no log."""

    def __init__(self, said: str, code: int | None = None) -> None:
        self.code = code
        super().__init__(said)

    @classmethod
    def of(cls, error: Exception) -> MyError:
        """The same without values, which stand in quotes."""
        code = code_of(error)
        text = said(error)
        if code not in _NAMING:
            text = text.partition("'")[0].strip()
        return cls(f"{text} (error {code})", code)


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
    """The text of *error*: for what says nothing of statements."""
    return str(error.args[-1] if isinstance(error, Error) and error.args else error) or type(error).__name__


class _Raw(pymysql.connections.Connection):
    """PyMySQL's connection, which counts what is asked on it."""

    messages = 0

    def query(self, sql: Any, unbuffered: bool = False) -> int:
        self.messages += 1
        return super().query(sql, unbuffered)


@implementer(IReadDescriptor)
class MyConnection:
    """A connection that is open until `close`, or until it breaks: then *on_lost* is called, once, with the reason.

    While it does nothing, the reactor watches its socket: all that can come then is its end.
    """

    def __init__(self, executor: Executor, reactor: Any, on_lost: Callable[[str], None]) -> None:
        self._executor = executor
        self._reactor = reactor
        self._on_lost: Callable[[str], None] | None = on_lost
        self._raw: Any = None
        self._socket: socket.socket | None = None
        self._busy_since: float | None = None
        #: How many messages had been sent when somebody last looked.
        self._messages = 0
        #: When it last ended something.
        self.idle_since = 0.0

    async def open(self, server: SqlServer, *, writes: bool, number: int) -> None:
        """Connect and log in; raises the driver's errors and OSError. *number* tells it from others of ours."""
        self._raw = await self._executor.run(partial(connect, server, writes, number=number))
        self._socket = self._raw._sock
        self.idle_since = self._reactor.seconds()
        self._reactor.addReader(self)

    @property
    def is_open(self) -> bool:
        return self._on_lost is not None

    @property
    def busy_since(self) -> float | None:
        """Since when the same message has been waited for, by the reactor's clock, as far as anybody has looked."""
        if self._busy_since is not None and self._raw is not None and self._raw.messages != self._messages:
            self._messages = self._raw.messages
            self._busy_since = self._reactor.seconds()
        return self._busy_since

    def run(self, work: Callable[[Any], T]) -> Deferred[T]:
        """Have a thread do *work* with PyMySQL's connection. One call at a time."""
        self._reactor.removeReader(self)
        self._busy_since = self._reactor.seconds()
        running: Deferred[T] = self._executor.run(work, self._raw)
        return running.addBoth(self._ran, self._raw)

    def _ran(self, result: Any, raw: Any) -> Any:
        self.idle_since = self._reactor.seconds()
        self._busy_since = None
        if self._on_lost is None:
            raw._force_close()  # `close` left that to us
        elif not raw.open:
            error = result.value if isinstance(result, Failure) else None
            self._lost("the connection was closed" if error is None else said(error.__cause__ or error))
        else:
            self._reactor.addReader(self)
        return result

    def ping(self) -> Deferred[Any]:
        """Have the server say something."""
        return self.run(_ping)

    def close(self) -> None:
        """Close it; what runs fails. Nobody is told."""
        self._on_lost = None
        self._reactor.removeReader(self)
        raw, self._raw, self._socket = self._raw, None, None
        if raw is None:
            return
        if self._busy_since is None:
            raw._force_close()
        else:
            _wake(raw)

    def break_off(self, reason: str) -> None:
        """Close it as if it had broken."""
        self._lost(reason)

    def _lost(self, reason: str) -> None:
        tell, self._on_lost = self._on_lost, None
        if tell is not None:
            self.close()
            tell(reason)

    # -- what the reactor asks --------------------------------------------------------------------------------------

    def fileno(self) -> int:
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        return "database"

    def doRead(self) -> None:
        try:
            # Past TLS, which is the driver's.
            said = socket.socket.recv(self._socket, 1, socket.MSG_PEEK) if self._socket is not None else b""
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if said and isinstance(self._socket, ssl.SSLSocket):
            # TLS itself had something to say. Who asks next will hear it.
            self._reactor.removeReader(self)
            return
        self._lost("the server closed the connection")

    def connectionLost(self, reason: Failure) -> None:
        self._lost("the server closed the connection")


def _wake(raw: Any) -> None:
    """Have a thread that waits for the socket stop waiting, and see that the connection is lost."""
    try:
        # Past TLS, which others must not touch meanwhile.
        socket.socket.shutdown(raw._sock, socket.SHUT_RDWR)
    except (OSError, TypeError):
        pass  # it is gone already


# What follows runs in the executor.


def connect(server: SqlServer, writes: bool, *, patience: float | None = None, number: int | None = None) -> Any:
    """A connection that begins no transaction by itself; one statement may take *patience* seconds.

    One with a *number* is found by it if this server is killed (`orphans.py`).
    """
    where: dict[str, Any] = {"host": server.host, "port": server.port}
    if server.host.startswith("/"):
        path = Path(server.host)
        where = {"unix_socket": str(path / "mysqld.sock" if path.is_dir() else path)}
    connection: Any = _Raw(
        **where,
        user=server.username,
        password=server.password.encode(),
        database=server.database,
        charset="utf8mb4",
        autocommit=True,
        # An UPDATE answers how many rows it found, as elsewhere, and not how many it had to change.
        client_flag=CLIENT.FOUND_ROWS | CLIENT.MULTI_STATEMENTS,
        connect_timeout=server.connect_timeout,
        read_timeout=server.connect_timeout,
        write_timeout=server.connect_timeout,
        ssl=None if "unix_socket" in where else _tls(server),
        ssl_disabled="unix_socket" in where or server.tls is None,
    )
    try:
        _settle(connection, patience or server.query_timeout, writes)
        if number is not None:
            take_name(connection, server, number)
    except BaseException:
        connection._force_close()
        raise
    return connection


def _settle(connection: Any, patience: float, writes: bool) -> None:
    """Say how the connection is to be used, and ask how long a message may be."""
    settings = {
        # What does not fit is refused, and not cut.
        "sql_mode": "'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
        # Others know no transactions.
        "default_storage_engine": "InnoDB",
        "wait_timeout": _IDLE,
        "innodb_lock_wait_timeout": max(1, int(patience / LOCK_TRIES)),
    }
    if "MariaDB" in connection.get_server_info():
        settings["max_statement_time"] = patience
    else:
        settings["max_execution_time"] = int(patience * 1000)
    cursor = connection.cursor()
    cursor.execute("SET SESSION " + ", ".join(f"{name} = {value}" for name, value in settings.items()))
    # Who reads sees one moment; who writes must not hold locks on what lies between rows.
    isolation = "READ COMMITTED" if writes else "REPEATABLE READ"
    cursor.execute(f"SET SESSION TRANSACTION ISOLATION LEVEL {isolation}")
    cursor.execute("SELECT @@max_allowed_packet")
    ((connection.max_allowed_packet,),) = cursor.fetchall()
    connection._read_timeout = connection._write_timeout = patience + GRACE


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
    except BaseException:
        raw._force_close()
        raise
