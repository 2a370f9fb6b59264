"""How much of a stream is settled is kept alone where no message that is kept tells of it (XEP-0198).

What was kept behind a message that had to be waited for is told when its count is kept, or the client would be told of
less after a crash than before. And where a count tells of a message that went back since, it is put right: the client
would not send that again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from ..storage.archive import Counted
from ..storage.storage import StoreError
from .intake import MOST_BEHIND
from .settled import Mark

if TYPE_CHECKING:
    from .session import Session

#: Seconds until it is tried again, where the store cannot keep it.
AGAIN_IN: Final = 2.0


class CatchUp:
    """Of one *session*: one at a time, for all that wait for it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._waiting: list[Deferred[None]] = []
        self._keeping = self._wrong = False

    def settle(self, mark: Mark) -> Deferred[None] | None:
        """That of *mark* is done with and was not kept. It fires when that counts; nothing where it does at once."""
        session = self._session
        # What is kept from now on is kept later than that, and may tell of it.
        mark.placed = True
        if not self._keeping and not session.intake.lags:
            return None
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        self._begin()
        return waiting

    def correct(self) -> None:
        """What is kept may tell of more than is settled."""
        self._wrong = True
        self._begin()

    def _begin(self) -> None:
        if not self._keeping:
            self._keeping = True
            self._session.scope.spawn(self._keep())

    async def _keep(self) -> None:
        host, intake = self._session.host, self._session.intake
        try:
            while self._wrong or (self._waiting and intake.behind < MOST_BEHIND):
                reached, wrong, self._wrong = len(self._waiting), self._wrong, False
                counted = (intake.corrected if wrong else intake.caught_up)(host.now())
                if counted is not None and not await self._was_kept(counted):
                    self._wrong = self._wrong or wrong
                    continue
                self._wrong = self._wrong or (counted is not None and intake.is_too_much(counted.h))
                if not wrong:
                    self._tell(reached)
        finally:
            self._keeping = False
            self._tell(len(self._waiting))

    async def _was_kept(self, counted: Counted) -> bool:
        session, link = self._session, counted.link
        try:
            await session.host.storage.archives.keep((), counted)
        except StoreError:
            if link is not None:
                link.lose()
            await deferLater(session.host.clock, AGAIN_IN)
            return False
        if link is not None:
            if not link.end():
                return False  # because of a message that was not, which is known by now
            session.intake.has_kept(counted.h, link)
        return True

    def _tell(self, reached: int) -> None:
        told, self._waiting = self._waiting[:reached], self._waiting[reached:]
        for waiting in told:
            waiting.callback(None)
