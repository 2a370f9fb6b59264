"""One connection to PostgreSQL: txpostgres with what it leaves open (a time limit, a loss that is noticed, bytes)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import psycopg2
import psycopg2.extensions
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from txpostgres import txpostgres

Error: Final[type[Exception]] = psycopg2.Error

_BYTEA: Final = 17
_BYTES: Final[Any] = psycopg2.extensions.new_type(
    (_BYTEA,), "BYTES", lambda value, cursor: None if value is None else bytes(psycopg2.BINARY(value, cursor))
)

#: Errors after which a connection is of no use, by the first characters of their code: the connection (08), and a
#: server that goes down or is not up yet (57P).
_ENDING: Final = ("08", "57P")


class PgError(Exception):
    """What the database said to a statement, without the values in it: they are for no log."""

    def __init__(self, error: Exception) -> None:
        self.code: str | None = getattr(error, "pgcode", None)
        said = getattr(getattr(error, "diag", None), "message_primary", None)
        super().__init__(said or (str(error).strip().splitlines() or [type(error).__name__])[0])


class _TxConnection(txpostgres.Connection):  # type: ignore[misc]
    """Tells when it is lost while nobody waits for it; the original raises that into the reactor."""

    on_lost: Callable[[Exception], None]

    def doRead(self) -> None:
        try:
            super().doRead()
        except (Error, OSError, ValueError) as error:
            # The last is the reactor's, which is to watch a socket that is closed by now.
            self.on_lost(error)

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        if self._connection is not None and self._connection.closed:
            self.on_lost(ConnectionError("the connection was closed"))


class PgConnection:
    """A connection that is open until `close`, or until it breaks: then *on_lost* is called, once, with the reason."""

    def __init__(self, reactor: Any, on_lost: Callable[[PgConnection, str], None]) -> None:
        self._reactor = reactor
        self._on_lost: Callable[[PgConnection, str], None] | None = on_lost
        self._tx = _TxConnection(reactor=reactor)
        self._tx.on_lost = self._lost
        self._cursor: Any = None
        #: Since when a statement runs, by the reactor's clock.
        self.busy_since: float | None = None
        #: When the last one ended.
        self.idle_since = 0.0

    async def open(self, parameters: Mapping[str, Any], *, timeout: float, settings: str) -> None:
        """Connect, log in, run *settings*; raises psycopg2's errors, and `TimeoutError`."""
        late: list[bool] = []

        def give_up() -> None:
            late.append(True)
            self.close()

        timer = self._reactor.callLater(timeout, give_up)
        try:
            await _uncancellable(self._tx.connect(**parameters), self.close)
            psycopg2.extensions.register_type(_BYTES, self._tx.pollable())
            self._cursor = self._tx.cursor()
            await _uncancellable(self.run(settings.encode()), self.close)
        except BaseException as error:
            self.close()
            if late:
                raise TimeoutError(f"no answer within {timeout:g} seconds") from error
            raise
        finally:
            if timer.active():
                timer.cancel()

    @property
    def is_open(self) -> bool:
        return self._on_lost is not None

    def run(self, sql: bytes) -> Deferred[Any]:
        """Run statements; answers with a cursor that has the answer of the last. One call at a time."""
        self.busy_since = self._reactor.seconds()
        running: Deferred[Any] = self._cursor.execute(sql)
        return running.addBoth(self._ran)

    def ping(self) -> Deferred[Any]:
        """Have the server say something."""
        return self.run(b"SELECT 1")

    def _ran(self, result: Any) -> Any:
        self.idle_since = self._reactor.seconds()
        self.busy_since = None
        if isinstance(result, Failure) and isinstance(result.value, Exception) and self._is_over(result.value):
            self._lost(result.value)
        return result

    def _is_over(self, error: Exception) -> bool:
        code: str | None = getattr(error, "pgcode", None)
        return not isinstance(error, Error) or bool(self._tx.closed) or (code is not None and code.startswith(_ENDING))

    def close(self) -> None:
        """Close it; what runs fails. Nobody is told."""
        self._on_lost = None
        if self._tx.pollable() is not None:
            self._tx.close()

    def break_off(self, reason: str) -> None:
        """Close it as if it had broken."""
        self._lost(ConnectionError(reason))

    def _lost(self, error: Exception) -> None:
        tell, self._on_lost = self._on_lost, None
        if tell is not None:
            # First this: what fails by the closing must find nothing to go on with.
            tell(self, str(PgError(error)))
            self.close()


def _uncancellable(inner: Deferred[Any], on_cancel: Callable[[], None]) -> Deferred[Any]:
    """A Deferred that may be cancelled, which txpostgres' own must not."""

    def cancelled(outer: Deferred[Any]) -> None:
        outer.errback(CancelledError())
        on_cancel()

    outer: Deferred[Any] = Deferred(cancelled)

    def passed(result: Any) -> None:
        if not outer.called:
            outer.callback(result)

    inner.addBoth(passed)
    return outer
