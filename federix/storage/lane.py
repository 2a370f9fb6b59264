"""A queue in front of database connections, and what makes writing cheap: group commit.

While a connection works on one batch, further jobs wait and are taken together as its next one. So a lone job is never
delayed, and under load one commit, with its costly wait for the disk, is shared by hundreds of jobs. After a batch of
many the next is gathered for a moment, because a commit costs few jobs what it costs many. How a batch is done is the
runner's business: in a thread (`sql/blocking.py`), or by a connection that needs none (`pg/runner.py`).

Where several connections write, the first does what it can alone, because large batches are cheap; another helps when a
batch takes long. No two of them ever work for the same owner, so what is written for one keeps its order.

This is not built on ``twisted.enterprise.adbapi``: that hands one function to one thread with one transaction, so a
batch would have to be gathered before it just the same, and its connections belong to threads, not to roles.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final, Generic, TypeAlias, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from .sql.database import Changes, Work
from .storage import StoreError

T = TypeVar("T")
C = TypeVar("C")

log = Logger()

#: Seconds in one turn of the reactor after which no further answer is handed out: with each of them somebody goes on
#: who had waited, and a commit may answer hundreds.
HAND_OUT_FOR: Final = 0.0002

#: Seconds after a batch of many for which jobs are gathered for the next one, and how many of them are many. Whoever
#: gets an answer often writes again: what many write then would be spread over several commits.
GATHER_FOR: Final = 0.005
MANY: Final = 8

#: Seconds that a batch may take before another connection helps with what waits behind it.
HELP_AFTER: Final = 0.02

#: So many times as many jobs as may go together are looked at for some that another connection can do.
LOOKED_AT: Final = 8

#: How often a job is begun whose connection is lost before anything of it was kept.
MOST_TRIES: Final = 3


class NotDone(Exception):
    """The connection was lost, and surely nothing of the batch was kept: it may be done again."""


class Lost(str):
    """Why nobody knows what became of a batch; whoever watches the connections has told the log.

    What comes to the same where it was done already is done again: what was submitted after it shall not be kept
    before it.
    """


Outcome: TypeAlias = "Failure | str | None"
"""``None`` when a batch is committed, else why nothing of it is kept."""


class Job(Generic[T]):
    """One piece of work, the owners it concerns, and, when it is done, its *answer* or *error*."""

    __slots__ = ("_error", "answer", "owners", "result", "tries", "watchers", "work")

    def __init__(self, owners: tuple[str, ...], work: Work[T]) -> None:
        self.owners = owners
        self.work = work
        self.tries = 0
        self.result: Deferred[T] = Deferred()
        #: Who waits for the end of it, whatever that is; they hear of it before the answer is handed out.
        self.watchers: list[Deferred[None]] = []
        # What the batch writes down for the reactor's thread to hand out.
        self.answer: T
        self._error: Exception | None = None

    @property
    def error(self) -> Exception | None:
        return self._error

    @error.setter
    def error(self, error: Exception | None) -> None:
        self._error = error
        self.has_failed(error is not None)

    def repeat(self) -> bool:
        """Whether it can be done where it may have been done already; from now on that is how it is done."""
        again: Any = self.work.repeated() if isinstance(self.work, Changes) else None
        if again is not None:
            self.work = again
        return again is not None

    def has_failed(self, failed: bool = True) -> None:
        """Those that are linked to it are to know."""
        if isinstance(self.work, Changes) and self.work.link is not None:
            self.work.link.fail(failed)


class Lane(Generic[C]):
    """Runs jobs on connections that all do the same: those that write, or those that read.

    *run* does a batch on a connection: it gives each job its answer or its error, and answers what became of all. At
    most *most_waiting* jobs wait, those included whose answers wait to be handed out, and at most *most_together* share
    a transaction. With *ordered*, what is done for one owner is done in the order in which it was submitted. Errors of
    the class *errors* are those of the database. Without a *clock* there is no reactor that others wait for: the
    answers of a batch are handed out at once.
    """

    def __init__(
        self,
        run: Callable[[C, list[Job[Any]]], Deferred[Outcome]],
        connections: Iterable[C],
        *,
        clock: IReactorTime | None,
        ordered: bool,
        errors: type[Exception],
        most_waiting: int,
        most_together: int,
    ) -> None:
        self._run = run
        self._clock = clock
        self._free = list(connections)
        self._at_work: set[C] = set()
        self._withdrawn: set[C] = set()
        self._ordered = ordered
        self._errors = errors
        self._most_waiting = most_waiting
        self._most_together = most_together
        self._waiting: deque[Job[Any]] = deque()
        self._under_way: list[list[Job[Any]]] = []
        self._unfinished = 0
        #: Of each owner the last job that is not finished.
        self._last: dict[str, Job[Any]] = {}
        #: All that are not finished, in the order in which they were submitted, each with its number.
        self._open: OrderedDict[Job[Any], int] = OrderedDict()
        self._submitted = 0
        #: Who waits for all up to a number.
        self._behind_all: deque[tuple[int, Deferred[None]]] = deque()
        #: Jobs that are done and whose answers wait, each with what became of its transaction.
        self._answers: deque[tuple[Job[Any], Outcome]] = deque()
        self._due = False
        self._help: IDelayedCall | None = None
        #: The end of the moment in which jobs are gathered.
        self._gathering: IDelayedCall | None = None
        self._refusal: str | None = None
        #: Whether the log has been told that too much waits.
        self._is_full = False
        self._idle: list[Deferred[None]] = []

    @property
    def waiting(self) -> int:
        """How many jobs wait, or their answers do."""
        return len(self._waiting) + len(self._answers)

    def submit(self, owner: str, work: Work[T], also: Collection[str] = ()) -> Deferred[T]:
        """Run *work* for *owner* and those in *also*; answers when it is committed.

        Raises :class:`StoreError` when too much waits. Who is cancelled no longer hears of it, but what is queued is
        done.
        """
        if self._refusal is not None:
            raise StoreError(self._refusal)
        if len(self._waiting) + len(self._answers) >= self._most_waiting:
            if not self._is_full:
                self._is_full = True
                log.error("the database is too slow: {waiting} jobs wait, no more are taken", waiting=self.waiting)
            raise StoreError("too many jobs wait for the database")
        job = Job((owner, *also), work)
        self._unfinished += 1
        if self._ordered:
            for each in job.owners:
                self._last[each] = job
            self._submitted += 1
            self._open[job] = self._submitted
        self._waiting.append(job)
        self._dispatch()
        return job.result

    def is_busy(self, owner: str | None) -> bool:
        """Whether a job of that owner, or any if ``None``, is not finished yet; known where order is kept."""
        return bool(self._last) if owner is None else owner in self._last

    def finished(self, owner: str | None) -> Deferred[None]:
        """Fires when all jobs of that owner, or of all if ``None``, are finished that are there now."""
        done: Deferred[None] = Deferred()
        if owner is not None:
            self._last[owner].watchers.append(done)
        elif self._open:
            self._behind_all.append((self._submitted, done))
        else:
            done.callback(None)
        return done

    def refuse(self, reason: str | None) -> None:
        """Let what waits fail, and whatever comes, for that *reason*; with ``None``, take jobs again."""
        self._refusal = reason
        if reason is not None:
            jobs = list(self._waiting)
            self._waiting.clear()
            self._end(jobs, Lost(reason))

    async def close(self) -> None:
        """Accept nothing more, and wait until all is done."""
        self._refusal = self._refusal or "the storage is closed"
        if self._gathering is not None:
            self._gathering.cancel()
            self._on_gathered()
        if self._unfinished or self._answers:
            idle: Deferred[None] = Deferred()
            self._idle.append(idle)
            await idle

    # -- connections ----------------------------------------------------------------------------------------------

    def withdraw(self, connection: C) -> None:
        """Give *connection* nothing to do after what it does now."""
        self._withdrawn.add(connection)
        if connection in self._free:
            self._free.remove(connection)

    def give(self, connection: C) -> None:
        """Let *connection*, which was withdrawn, work again, as soon as it is done with what it does now."""
        self._withdrawn.discard(connection)
        if connection not in self._at_work:
            self._free.append(connection)
            self._dispatch()

    def is_free(self, connection: C) -> bool:
        """Whether *connection* does nothing now and could."""
        return connection in self._free

    # -- batches --------------------------------------------------------------------------------------------------

    def _dispatch(self, helping: bool = False) -> None:
        if self._gathering is not None and len(self._waiting) < self._most_together:
            return
        while self._waiting and self._free:
            if self._under_way and self._ordered and not helping:
                self._call_for_help()
                return
            batch, helping = self._next_batch(), False
            if not batch:
                return
            connection = self._free.pop()
            self._at_work.add(connection)
            self._under_way.append(batch)
            self._run(connection, batch).addBoth(self._finished, connection, batch)

    def _gather(self, clock: IReactorTime) -> None:
        if self._gathering is None and self._refusal is None:
            self._gathering = clock.callLater(GATHER_FOR, self._on_gathered)

    def _on_gathered(self) -> None:
        self._gathering = None
        self._dispatch()

    def _call_for_help(self) -> None:
        if self._help is None and self._clock is not None:
            self._help = self._clock.callLater(HELP_AFTER, self._on_help)

    def _on_help(self) -> None:
        self._help = None
        self._dispatch(helping=True)

    def _next_batch(self) -> list[Job[Any]]:
        """The jobs that go together next: the first that wait, without those that others must come before.

        How far behind those it looks is bounded: this is the reactor's time.
        """
        waiting = self._waiting
        together = min(len(waiting), self._most_together)
        if not self._under_way or not self._ordered:
            return [waiting.popleft() for _ in range(together)]
        batch: list[Job[Any]] = []
        left: list[Job[Any]] = []
        taken = {owner for running in self._under_way for job in running for owner in job.owners}
        for _ in range(min(len(waiting), LOOKED_AT * self._most_together)):
            if len(batch) == together:
                break
            job = waiting.popleft()
            if taken.isdisjoint(job.owners):
                batch.append(job)
            else:
                left.append(job)
                taken.update(job.owners)
        waiting.extendleft(reversed(left))
        return batch

    def _finished(self, outcome: Outcome, connection: C, batch: list[Job[Any]]) -> None:
        self._at_work.discard(connection)
        if connection not in self._withdrawn:
            self._free.append(connection)
        self._under_way = [running for running in self._under_way if running is not batch]
        if self._help is not None and not self._under_way:
            self._help.cancel()
            self._help = None
        if isinstance(outcome, Failure) and isinstance(outcome.value, NotDone):
            outcome = Lost("the connection to the database was lost")
            batch = self._take_back(batch, lambda job: True)
        elif isinstance(outcome, Lost):
            batch = self._take_back(batch, Job.repeat)
        elif outcome is not None:
            log.error("a database transaction failed: {reason}", reason=outcome)
        self._end(batch, outcome)

    def _take_back(self, batch: list[Job[Any]], may_be: Callable[[Job[Any]], bool]) -> list[Job[Any]]:
        """Let those of *batch* wait again that may be done again, before all others; answers with the rest."""
        if self._refusal is not None:
            return batch
        again: list[Job[Any]] = []
        rest: list[Job[Any]] = []
        for job in batch:
            job.tries += 1
            (again if job.tries < MOST_TRIES and may_be(job) else rest).append(job)
        self._waiting.extendleft(reversed(again))
        return rest

    def _end(self, batch: list[Job[Any]], outcome: Outcome) -> None:
        self._unfinished -= len(batch)
        if self._ordered:
            last = self._last
            for job in batch:
                del self._open[job]
                for owner in job.owners:
                    if last.get(owner) is job:
                        del last[owner]
        if outcome is not None:
            for job in batch:
                job.has_failed()
        self._answers.extend((job, outcome) for job in batch)
        if self._ordered and len(batch) >= MANY and self._clock is not None:
            self._gather(self._clock)
        # First the next batch: the disk is busy again while the answers are handed out.
        self._dispatch()
        for job in batch:
            for watcher in job.watchers:
                watcher.callback(None)
        while self._behind_all and self._behind_all[0][0] < next(iter(self._open.values()), self._submitted + 1):
            self._behind_all.popleft()[1].callback(None)
        if not self._due:
            self._hand_out()

    def _hand_out(self) -> None:
        """Hand out the answers that wait, as many as may be in one turn of the reactor."""
        self._due = False
        clock, answers = self._clock, self._answers
        end = None if clock is None else clock.seconds() + HAND_OUT_FOR
        while answers:
            self._answer(*answers.popleft())
            if answers and clock is not None and end is not None and clock.seconds() >= end:
                if not self._due:
                    self._due = True
                    clock.callLater(0, self._hand_out)
                return
        self._is_full = self._is_full and self.waiting > self._most_waiting // 2
        if not self._unfinished:
            idle, self._idle = self._idle, []
            for waiting in idle:
                waiting.callback(None)

    def _answer(self, job: Job[T], outcome: Outcome) -> None:
        if outcome is not None:
            job.result.errback(StoreError(outcome if isinstance(outcome, Lost) else "the transaction failed"))
        elif isinstance(job.error, self._errors):
            log.error("a database statement failed: {error}", error=job.error)
            failed = StoreError(f"a statement failed: {job.error}")
            failed.__cause__ = job.error
            job.result.errback(failed)
        elif job.error is not None:
            job.result.errback(job.error)
        else:
            job.result.callback(job.answer)
