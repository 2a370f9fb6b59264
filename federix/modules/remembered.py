"""What a module keeps of each account, in memory as far as it is wanted: so that checks need not ask storage."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, Generic, TypeVar

from twisted.internet.defer import Deferred

from ..api import JID, Host, Scope, Share, Turns

T = TypeVar("T")
R = TypeVar("R")

#: How much work of one account may wait. What is kept is read on behalf of all who wait for it together.
MOST_WAITING: Final = 8
READING: Final = Share("reading", 1)


class Remembered(Generic[T]):
    """Remembers what is kept of all accounts that have sessions, and of up to *size* others: those read last.

    *fetch* asks storage for that of one account, be there such an account or not. Whoever has one tells it when a
    session has begun (`arrived`) and ended (`left`), and when an account is removed (`forget`).
    """

    def __init__(self, host: Host, scope: Scope, fetch: Callable[[JID], Awaitable[T]], *, size: int) -> None:
        self._sessions = host.sessions
        self._accounts = host.accounts
        self._scope = scope
        self._fetch = fetch
        self._size = size
        self._known: dict[str, T] = {}
        #: Those of them that have no sessions.
        self._others: OrderedDict[str, None] = OrderedDict()
        #: What is kept of an account, by its local part, if that is in memory: asked several times for each stanza.
        self.now: Final[Callable[[str], T | None]] = self._known.get
        #: Those who wait for it, in their order.
        self._waiting: dict[str, list[Deferred[T]]] = {}
        #: One at a time reads or changes it, so what is read is never older than what is known.
        self._turns = Turns(scope, most=MOST_WAITING)

    def __len__(self) -> int:
        return len(self._known)

    async def get(self, account: JID) -> T:
        """What is kept of an account. Those who wait for storage go on in the order in which they came."""
        found = self.now(account.local)
        if found is not None:
            return found
        waiter: Deferred[T] = Deferred()
        waiting = self._waiting.get(account.local)
        if waiting is not None:
            waiting.append(waiter)
        else:
            self._waiting[account.local] = [waiter]
            self._scope.spawn(self._read(account))
        return await waiter

    async def _read(self, account: JID) -> None:
        try:
            found = await self.take_turn(account, partial(self._read_now, account), READING)
        except Exception as error:
            for waiter in self._waiting.pop(account.local):
                if not waiter.called:
                    waiter.errback(error)
            return
        for waiter in self._waiting.pop(account.local):
            if not waiter.called:  # else it was cancelled
                waiter.callback(found)

    async def _read_now(self, account: JID) -> T:
        found = await self._fetch(account)
        self.put(account, found)
        return found

    async def take_turn(self, account: JID, work: Callable[[], Awaitable[R]], share: Share | None = None) -> R:
        """Do *work* while nobody else reads or changes what is kept of the account. Raises `TooManyWait`."""
        return await self._turns.take(account.local, work, share)

    def put(self, account: JID, found: T) -> None:
        """Have it in mind from now on: it is what storage has. Only in a turn of the account."""
        local = account.local
        if self._accounts.is_leaving(local):
            return  # the next owner of the name must not find it
        self._known[local] = found
        self._others.pop(local, None)
        self.left(local)

    def resize(self, size: int) -> None:
        """Have room for so many accounts without sessions."""
        self._size = size
        while len(self._others) > size:
            local, _ = self._others.popitem(last=False)
            del self._known[local]

    def arrived(self, local: str) -> None:
        """The account has a session."""
        self._others.pop(local, None)

    def left(self, local: str) -> None:
        """The account may have no session any more."""
        if local in self._known and not self._sessions.resources(local):
            self._others[local] = None
            self.resize(self._size)

    def forget(self, local: str) -> None:
        """The account is being removed."""
        self._known.pop(local, None)
        self._others.pop(local, None)
