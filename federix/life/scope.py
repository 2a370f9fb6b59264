"""Scope: what its owner started, and what ends with it.

Server, host, module, session and stream each own one. Nothing outlives its owner: closing the scope cancels its
timers and tasks and takes its registrations back, the last first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

log = Logger()


class Told(Exception):
    """An error of which whoever raised it has told the log, once for all that meet it. A task may fail with it."""


class Scope:
    """Owns timers, tasks and undo actions until `close`. Its *name* stands in the log where one of them fails."""

    __slots__ = ("_clock", "_closed", "_owned", "name")

    def __init__(self, clock: IReactorTime, name: str = "") -> None:
        self._clock = clock
        self.name = name
        self._closed = False
        #: Whatever must be undone, in the order it was begun. The key identifies it.
        self._owned: dict[object, Callable[[], object]] = {}

    @property
    def closed(self) -> bool:
        """Whether its owner has ended; what is begun in it now ends at once."""
        return self._closed

    def __len__(self) -> int:
        return len(self._owned)

    def add(self, undo: Callable[[], object]) -> Callable[[], None]:
        """Have *undo* called at the end; the answer undoes it now instead."""
        key = object()
        self._owned[key] = undo

        def undo_now() -> None:
            if self._owned.pop(key, None) is not None:
                undo()

        if self._closed:
            undo_now()
        return undo_now

    def later(self, seconds: float, function: Callable[..., object], *args: object) -> Timer:
        """Call *function* in *seconds*, unless the scope is closed by then. A closed scope calls nothing."""
        timer = Timer(self, function, args)
        if not self._closed:
            timer.arm(self._clock, seconds)
            self._owned[timer] = timer.cancel
        return timer

    def spawn(self, task: Coroutine[Any, Any, object] | Awaitable[object]) -> Deferred[object]:
        """Run *task* beside its owner; what it raises is logged, and closing the scope cancels it."""
        deferred: Deferred[object] = ensureDeferred(task)  # type: ignore[arg-type]
        if not deferred.called:
            self._owned[deferred] = deferred.cancel

        def done(result: object) -> object:
            self._owned.pop(deferred, None)
            if isinstance(result, Failure):
                if not isinstance(result.value, CancelledError | Told):
                    log.failure("task failed", result, scope=self.name)
                return None
            return result

        deferred.addBoth(done)
        if self._closed:
            deferred.cancel()
        return deferred

    def close(self) -> None:
        """End all it owns. Closing twice is harmless."""
        self._closed = True
        while self._owned:
            _, undo = self._owned.popitem()
            try:
                undo()
            except Exception:
                log.failure("could not undo", scope=self.name)


class Timer:
    """One call to come, made by `Scope.later`."""

    __slots__ = ("_args", "_call", "_due", "_fires", "_function", "_scope")

    def __init__(self, scope: Scope, function: Callable[..., object], args: tuple[object, ...]) -> None:
        self._scope: Scope | None = scope
        self._function = function
        self._args = args
        self._call: IDelayedCall | None = None
        # When it is to fire, and when it looks whether it is time, in seconds on the clock.
        self._due = self._fires = 0.0

    def arm(self, clock: IReactorTime, seconds: float) -> None:
        """Have *clock* fire it."""
        self._due = self._fires = clock.seconds() + seconds
        self._call = clock.callLater(seconds, self.fire)

    @property
    def pending(self) -> bool:
        """Whether it is still to fire."""
        return self._call is not None

    def fire(self) -> None:
        """Called by the clock; what the function raises is logged."""
        function, args, scope = self._function, self._args, self._scope
        self._call = None
        if self._due > self._fires and scope is not None:
            left = self._due - scope._clock.seconds()
            if left > 0:
                self.arm(scope._clock, left)
                return
        self._forget()
        try:
            function(*args)
        except Exception:
            log.failure("timer failed", scope="" if scope is None else scope.name)

    def reset(self, seconds: float) -> None:
        """Count anew from now; nothing happens when it has fired or was cancelled."""
        call, scope = self._call, self._scope
        if call is None or scope is None:
            return
        clock = scope._clock
        self._due = clock.seconds() + seconds
        # One that is to fire later is left as it is until it would: some are moved for every few stanzas.
        if self._due < self._fires:
            call.cancel()
            self.arm(clock, seconds)

    def cancel(self) -> None:
        """Never fire. Cancelling what has fired is harmless."""
        call, self._call = self._call, None
        self._forget()
        if call is not None:
            call.cancel()

    def _forget(self) -> None:
        scope, self._scope = self._scope, None
        if scope is not None:
            scope._owned.pop(self, None)
        # Whoever keeps the timer is often whom it would have called: no cycle may stay behind.
        self._function = _nothing
        self._args = ()


def _nothing() -> None: ...
