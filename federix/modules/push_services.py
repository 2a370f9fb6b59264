"""XEP-0357 §7: push services are told, each client's not more often than it can bear."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from ..api import JID, Condition, ErrorType, Host, RequestError, Scope, StanzaError, Timer
from .push_items import Registration, notification

#: Seconds between two notifications for one client: what happens meanwhile is told with the next one.
PAUSE: Final = 1.0
#: Seconds until a notification that failed is sent again: the first time, and at most, each time twice as long.
FIRST_RETRY: Final = 30.0
LONGEST_RETRY: Final = 3600.0
#: Seconds for which a service may fail before it counts as gone.
FAILING_FOR: Final = 86400.0
#: Clients for which a notification is on its way, or waits to be sent again; what comes beyond that is not told.
MOST_ACTIVE: Final = 10_000
#: Other clients of which it is remembered how many messages wait for them.
MOST_IDLE: Final = 10_000

#: Errors that say nothing about the registration: the service cannot be reached, or has a bad day.
_TRANSIENT: Final = frozenset(
    (
        Condition.INTERNAL_SERVER_ERROR,
        Condition.REMOTE_SERVER_NOT_FOUND,
        Condition.REMOTE_SERVER_TIMEOUT,
        Condition.RESOURCE_CONSTRAINT,
    )
)

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Notice:
    """What has happened: so many *messages*, the last of *sender* (with what may be said of its *body*), or so many
    subscription *requests* wait."""

    messages: int = 0
    sender: str | None = None
    body: str | None = None
    requests: int = 0


class _Client:
    """What is known of one registration's client."""

    __slots__ = ("again", "count", "failing", "latest", "registration", "requests", "retry", "since", "timer", "waits")

    def __init__(self, registration: Registration) -> None:
        self.registration = registration
        #: How many messages there were, and since when they are counted.
        self.count = 0
        self.since = 0.0
        #: How many subscription requests it was told of.
        self.requests = 0
        self.latest = Notice()
        #: Whether there is something new since the last notification.
        self.again = False
        #: Whether its client has not been there since what it was to be told of.
        self.waits = False
        #: Since when its service has failed, and how long to wait now.
        self.failing: float | None = None
        self.retry = FIRST_RETRY
        self.timer: Timer | None = None

    def fields(self) -> list[tuple[str, str]]:
        latest = self.latest
        found = [("message-count", str(self.count))] if self.count else []
        if latest.requests:
            found.append(("pending-subscription-count", str(latest.requests)))
        if latest.sender is not None:
            found.append(("last-message-sender", latest.sender))
        if latest.body is not None:
            found.append(("last-message-body", latest.body))
        return found


class PushServices:
    """Tells push services; *remove* is called for a registration that its service does not want any more.

    *is_away* says whether a registration's client still has to be woken.
    """

    def __init__(
        self,
        host: Host,
        scope: Scope,
        *,
        is_away: Callable[[JID, Registration], bool],
        remove: Callable[[JID, Registration], Awaitable[object]],
    ) -> None:
        self._host = host
        self._scope = scope
        self._is_away = is_away
        self._remove = remove
        self._active: dict[Key, _Client] = {}
        self._idle: OrderedDict[Key, _Client] = OrderedDict()

    def __len__(self) -> int:
        return len(self._active) + len(self._idle)

    def notify(self, account: JID, registration: Registration, notice: Notice, heard: float | None = None) -> None:
        """Have the client of *registration* woken. *heard* is when it was last there, in seconds on the clock."""
        key = _key(account, registration)
        client = self._active.get(key) or self._idle.get(key) or _Client(registration)
        if notice.requests and notice.requests <= client.requests:
            return  # the same requests wait as when it was told of them
        is_new = key not in self._active
        if is_new:
            if len(self._active) >= MOST_ACTIVE:
                return
            self._active[key] = client
            self._idle.pop(key, client)
        client.registration = registration
        client.requests = max(notice.requests, client.requests)
        if not client.count or (heard is not None and heard > client.since):
            client.count, client.since = 0, self._host.clock.seconds()
        client.count += notice.messages
        client.latest = notice
        client.again = client.waits = True
        if is_new:
            self._scope.spawn(self._tell(account, key, client))

    def seen(self, account: JID, registration: Registration, heard: float = math.inf) -> None:
        """Its client is there, or was when it was last *heard*: what waited for it then does so no more."""
        key = _key(account, registration)
        client = self._active.get(key) or self._idle.get(key)
        if client is None or client.since > heard:
            return
        self._idle.pop(key, client)
        client.count = client.requests = 0
        client.again = client.waits = False

    def drop(self, account: JID, registration: Registration) -> None:
        """§6: "When a service is not enabled, the server MUST NOT attempt publishing notifications to the service."""
        self.seen(account, registration)
        client = self._active.pop(_key(account, registration), None)
        if client is not None and client.timer is not None:
            client.timer.cancel()

    async def _tell(self, account: JID, key: Key, client: _Client) -> None:
        client.again = False
        registration = client.registration
        payload = notification(registration, client.fields())
        try:
            await self._host.request("set", registration.service, payload)
        except RequestError as error:
            if error.kind is not ErrorType.WAIT and error.condition not in _TRANSIENT:
                # §7.1: "the server SHOULD consider the particular JID and node combination to be disabled."
                await self._give_up(account, key, client, registration)
                return
        except (TimeoutError, StanzaError):
            pass
        else:
            client.failing, client.retry = None, FIRST_RETRY
            self._wait(PAUSE, account, key, client)
            return
        # "However, a server MAY choose to keep a service enabled if the error is deemed recoverable or transient,
        # until a sufficient number of errors have been received in a row."
        now = self._host.clock.seconds()
        if client.failing is None:
            client.failing = now
        elif now - client.failing >= FAILING_FOR:
            await self._give_up(account, key, client, registration)
            return
        client.again = client.waits
        delay, client.retry = client.retry, min(2 * client.retry, LONGEST_RETRY)
        self._wait(delay, account, key, client)

    async def _give_up(self, account: JID, key: Key, client: _Client, registration: Registration) -> None:
        if self._active.get(key) is not client:
            return
        if client.registration != registration:
            # It was enabled anew meanwhile, and something has come since: it is told by the new one.
            client.failing, client.retry = None, FIRST_RETRY
            self._wait(PAUSE, account, key, client)
            return
        del self._active[key]
        await self._remove(account, registration)

    def _wait(self, seconds: float, account: JID, key: Key, client: _Client) -> None:
        if self._active.get(key) is client:
            client.timer = self._scope.later(seconds, self._go_on, account, key, client)

    def _go_on(self, account: JID, key: Key, client: _Client) -> None:
        client.timer = None
        if client.again and self._is_away(account, client.registration):
            self._scope.spawn(self._tell(account, key, client))
            return
        # What it may fail with next is not in a row with what its client has not missed.
        client.failing, client.retry = None, FIRST_RETRY
        del self._active[key]
        self._idle[key] = client
        if len(self._idle) > MOST_IDLE:
            self._idle.popitem(last=False)


def _key(account: JID, registration: Registration) -> Key:
    return (account.local, *registration.key)
