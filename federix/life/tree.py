"""The service tree: named nodes that start in order, drain, and stop in reverse.

Twisted's `MultiService` starts its children without waiting for any, leaves the earlier ones running when a later one
fails, and stops all at once. A `Branch` waits for each, rolls back, and stops the last started first. Every node is a
Twisted `IService`, so a tree can hang under any Twisted application.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterator
from enum import StrEnum
from typing import Any, Final

from twisted.application.service import IService, IServiceCollection
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from .scope import Scope

log = Logger()

#: Seconds that a node has for its `on_stop`, and for its `on_drain` beyond the deadline, before the others go on.
STOP_TIMEOUT: Final = 10.0


class State(StrEnum):
    """Where a node stands."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPING = "stopping"
    FAILED = "failed"


@implementer(IService)
class Node:
    """A service with a *name*, a state and a scope. Subclasses say what `on_start` and `on_stop` do.

    *clock* tells a monotonic time in seconds (`clock.seconds()`) and belongs to the server; *parent* is the branch it
    hangs under.
    """

    #: Seconds that its end may take; ``None`` where others bound it.
    stop_timeout: float | None = STOP_TIMEOUT

    def __init__(self, name: str, clock: IReactorTime) -> None:
        self.name = name
        self.clock = clock
        self.parent: Branch | None = None
        #: The application, say, that it was put under as a service of Twisted.
        self._collection: Any = None
        #: Where it stands: stopped, starting, running, draining, stopping, failed.
        self.state = State.STOPPED
        #: When that began, on the clock.
        self.since = clock.seconds()
        #: What it started: closed when it stops, a new one when it starts again.
        self.scope = Scope(clock, name)
        #: `on_start`, while it runs.
        self._beginning: Deferred[None] | None = None
        #: Who else waits for that.
        self._started: list[Deferred[None]] = []
        #: Who waits for the end of a stop, while it stops.
        self._ending: list[Deferred[None]] | None = None

    # -- to be overridden -----------------------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Begin; raise to fail the start of the whole branch."""

    async def on_drain(self, deadline: float) -> None:
        """Let go of what can end well until *deadline* (on the clock)."""

    async def on_stop(self) -> None:
        """End. The scope is closed afterwards."""

    # -- life -----------------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether it has started, and not begun to stop; it runs while it drains."""
        return self.state in (State.RUNNING, State.DRAINING)

    @property
    def uptime(self) -> float:
        """Seconds in the present state."""
        return self.clock.seconds() - self.since

    def _enter(self, state: State) -> None:
        self.state = state
        self.since = self.clock.seconds()

    async def start(self) -> None:
        """Start; what `on_start` raises is raised, with nothing left running. A stop that is under way ends first.

        Where it starts already, this waits for that, and raises the same.
        """
        while self._ending is not None:
            await _one_more(self._ending)
        if self._beginning is not None:
            await _one_more(self._started)
            return
        if self.state in (State.RUNNING, State.STARTING):
            return
        if self.scope.closed:
            self.scope = Scope(self.clock, self.name)
        self._enter(State.STARTING)
        waiting = self._started = []
        self._beginning = ensureDeferred(self.on_start())
        try:
            await self._beginning
        except BaseException as error:
            self._beginning = None
            self._enter(State.FAILED)
            self.scope.close()
            for each in waiting:
                each.errback(error)
            raise
        self._beginning = None
        self._enter(State.RUNNING)
        for each in waiting:
            each.callback(None)

    async def drain(self, deadline: float) -> None:
        """Before a stop: `on_drain`, whose failure is logged."""
        if self.state is State.RUNNING:
            self._enter(State.DRAINING)
            left = max(deadline - self.clock.seconds(), 0.0)
            try:
                await self._bounded(self.on_drain(deadline), left)
            except Exception:
                log.failure("could not drain", node=self.name)

    async def stop(self) -> None:
        """Stop; a failure is logged, since the others must stop as well. A start that is under way is cancelled.

        Where it stops already, this waits for that; a start that waits for it as well ends at once.
        """
        while self._ending is not None:
            await _one_more(self._ending)
        waiting = self._ending = []
        try:
            await self._stop()
        finally:
            self._ending = None
            for each in waiting:
                each.callback(None)

    async def _stop(self) -> None:
        if self._beginning is not None:
            await _cancelled(self._beginning)
        if self.state is State.FAILED:
            # What had begun has been undone already.
            self.scope.close()
            self._enter(State.STOPPED)
        if self.state is State.STOPPED:
            return
        self._enter(State.STOPPING)
        try:
            await self._bounded(self.on_stop())
        except Exception:
            log.failure("could not stop cleanly", node=self.name)
        finally:
            self.scope.close()
            self._enter(State.STOPPED)

    async def _bounded(self, task: Coroutine[Any, Any, None], left: float = 0.0) -> None:
        """Do *task*, and wait for its end *left* and `stop_timeout` seconds at most: others are to end as well."""
        if self.stop_timeout is None:
            await task
            return
        doing = ensureDeferred(task)
        ended: Deferred[None] = Deferred()
        doing.addCallbacks(ended.callback, ended.errback)
        late = self.clock.callLater(left + self.stop_timeout, ended.cancel)
        try:
            await ended
        except CancelledError:
            # By ourselves, or by somebody who does not wait for us any more.
            doing.cancel()
            if late.active():
                raise
            log.error("does not end: the others go on without it", node=self.name, state=str(self.state))
        finally:
            if late.active():
                late.cancel()

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Node]]:
        """This node and all below it, each with its depth."""
        yield depth, self

    # -- IService -------------------------------------------------------------------------------------------------

    def setName(self, name: str) -> None:
        self.name = name

    def setServiceParent(self, parent: object) -> None:
        self.disownServiceParent()
        collection = IServiceCollection(parent)
        collection.addService(self)  # type: ignore[no-untyped-call]
        self._collection = collection

    def disownServiceParent(self) -> Deferred[object] | None:
        """Leave it; where it runs this stops, and the answer fires when it has."""
        collection, self._collection = self._collection, None
        left: Deferred[object] | None = None if collection is None else collection.removeService(self)
        return left

    def privilegedStartService(self) -> None:
        """What needs rights is done here: see the listeners."""

    def startService(self) -> Deferred[None]:
        return ensureDeferred(self.start())

    def stopService(self) -> Deferred[None]:
        return ensureDeferred(self.stop())


def _one_more(waiting: list[Deferred[None]]) -> Deferred[None]:
    """One that fires with those that are *waiting* already."""
    one: Deferred[None] = Deferred()
    waiting.append(one)
    return one


def _end_of(task: Deferred[None]) -> Deferred[None]:
    """Fires when *task* has ended; cancelling it leaves *task* alone."""
    ended: Deferred[None] = Deferred()

    def tell(result: object) -> object:
        ended.callback(None)
        return result

    task.addBoth(tell)
    return ended


def _cancelled(task: Deferred[None]) -> Deferred[None]:
    """Cancel *task*; fires when it has ended."""
    ended = _end_of(task)
    task.cancel()
    return ended


async def _whole(task: Coroutine[Any, Any, None]) -> None:
    """Do all of *task*, whoever is cancelled meanwhile."""
    doing = ensureDeferred(task)
    while not doing.called:
        try:
            await _end_of(doing)
        except CancelledError:
            continue


class Branch(Node):
    """A node with children, started in order, stopped in reverse."""

    stop_timeout = None

    def __init__(self, name: str, clock: IReactorTime) -> None:
        super().__init__(name, clock)
        self.children: dict[str, Node] = {}

    def attach(self, node: Node) -> Node:
        """Put *node* last among the children; names are unique. It starts with the branch."""
        if node.name in self.children:
            raise ValueError(f"{self.name} already has a child {node.name}")
        node.parent = self
        self.children[node.name] = node
        return node

    async def add(self, node: Node) -> None:
        """Attach *node* and start it, if the branch runs; nothing stays behind when it fails."""
        self.attach(node)
        if self.state in (State.RUNNING, State.STARTING):
            try:
                await node.start()
            except BaseException:
                del self.children[node.name]
                raise

    async def remove(self, name: str) -> None:
        """Stop a child and forget it."""
        node = self.children.get(name)
        if node is None:
            return
        await node.stop()
        self.children.pop(name, None)

    async def on_start(self) -> None:
        started: list[Node] = []
        for node in list(self.children.values()):
            started.append(node)
            try:
                await node.start()
            except BaseException:
                await _whole(self._undo(started[:-1]))
                raise

    async def _undo(self, started: list[Node]) -> None:
        for node in reversed(started):
            await node.stop()

    async def on_drain(self, deadline: float) -> None:
        for node in reversed(list(self.children.values())):
            await node.drain(deadline)

    async def on_stop(self) -> None:
        for node in reversed(list(self.children.values())):
            await node.stop()

    def privilegedStartService(self) -> None:
        for node in list(self.children.values()):
            node.privilegedStartService()

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Node]]:
        yield depth, self
        for node in list(self.children.values()):
            yield from node.walk(depth + 1)


#: A loop that crashes more often than this in `CRASH_WINDOW` seconds is given up.
MAX_CRASHES = 10
CRASH_WINDOW = 60.0


class Loop(Node):
    """A long-running task, begun again when it crashes: later and later, and given up loudly in the end."""

    def __init__(
        self,
        name: str,
        clock: IReactorTime,
        task: Callable[[], Awaitable[None]],
        *,
        on_giving_up: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(name, clock)
        self._task = task
        self._on_giving_up = on_giving_up

    async def on_start(self) -> None:
        self.scope.spawn(self._run())

    async def _run(self) -> None:
        crashes: list[float] = []
        while True:
            try:
                await self._task()
                return
            except CancelledError:
                raise
            except Exception:
                now = self.clock.seconds()
                crashes = [when for when in crashes if now - when < CRASH_WINDOW] + [now]
                log.failure("task crashed", node=self.name, crashes=len(crashes))
                if len(crashes) > MAX_CRASHES:
                    log.error("given up: crashed too often", node=self.name)
                    self._enter(State.FAILED)
                    self._on_giving_up()
                    return
            await deferLater(self.clock, min(0.1 * 2 ** (len(crashes) - 1), 5.0), lambda: None)
