"""Where blocking work runs: in threads of our own, or, in virtual time, at once.

Whoever has work that blocks (a database, a password hash) is given an :class:`Executor` and does not know which.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Thread
from typing import Any, Final, ParamSpec, Protocol, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

log = Logger()

#: Seconds that threads have to end what they have begun.
STOP_TIMEOUT: Final = 5.0

P = ParamSpec("P")
T = TypeVar("T")


class Executor(Protocol):
    """Runs blocking functions; the answer comes back in the reactor's thread."""

    def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """Call *function* where it may block; its exception becomes the Deferred's failure."""
        ...


class InlineExecutor:
    """Runs everything at once, in the caller's thread: for virtual time, where no thread may be waited for."""

    def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        try:
            return succeed(function(*args, **kwargs))
        except Exception:
            return fail()


class _Pool(ThreadPool):
    """Twisted's own leaves a function that refers to itself behind each piece of work, for the cyclic collector. And
    for work that hangs it waits for ever."""

    #: Tells the time, in seconds.
    seconds: Callable[[], float]

    def stop(self) -> None:
        self.joined = True
        self.started = False
        self._team.quit()
        deadline = self.seconds() + STOP_TIMEOUT
        for thread in self.threads:
            thread.join(max(deadline - self.seconds(), 0.0))
        hanging = [thread.name for thread in self.threads if thread.is_alive()]
        if hanging:
            log.error("work in threads does not end: the others go on without it", threads=", ".join(hanging))

    def callInThreadWithCallback(  # type: ignore[override]
        self, onResult: Callable[[bool, Any], object], func: Callable[..., Any], *args: Any, **kw: Any
    ) -> None:
        self._team.do(partial(_work, onResult, partial(func, *args, **kw)))


def _work(on_result: Callable[[bool, Any], object], function: Callable[[], Any]) -> None:
    try:
        result, succeeded = function(), True
    except BaseException:
        result, succeeded = Failure(), False  # type: ignore[no-untyped-call]
    on_result(succeeded, result)


class ThreadExecutor:
    """A named pool of at most *threads* threads of its own, which no other part of the process can fill up.

    Threads are made when first needed, so the pool may be built before the process forks into the background. They
    are daemons: work that hangs cannot keep the process from ending.
    """

    def __init__(self, reactor: Any, *, threads: int, name: str) -> None:
        self._reactor = reactor
        self._threads = threads
        self._name = name
        self._pool = self._new_pool()

    def _new_pool(self) -> ThreadPool:
        pool = _Pool(minthreads=0, maxthreads=self._threads, name=self._name)
        pool.seconds = self._reactor.seconds
        # The pool asks its own attribute for new threads, and those of its default class would not be daemons.
        pool.threadFactory = partial(Thread, daemon=True)  # type: ignore[assignment]
        return pool

    def start(self) -> None:
        """Take work, for the first time or after a `stop`."""
        if self._pool.joined:
            self._pool = self._new_pool()  # one that has stopped cannot start again
        self._pool.start()

    def stop(self) -> None:
        """Finish what was begun, then end the threads; one whose work hangs is left to itself after a while.

        Blocks meanwhile, so first let the work come to rest.
        """
        self._pool.stop()

    def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        if not self._pool.started or self._pool.joined:
            # The pool itself would keep the work, or drop it, and never answer.
            return fail(RuntimeError("the executor is not running"))
        return deferToThreadPool(self._reactor, self._pool, function, *args, **kwargs)
