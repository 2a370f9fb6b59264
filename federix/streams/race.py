"""Happy eyeballs (RFC 8305): all addresses of a host race, one a little after the other, and the first to connect wins.

Twisted's `HostnameEndpoint` does the same with the reactor's own resolver, one address to connect from, and no word
about what happens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IDelayedCall, IProtocol, IProtocolFactory, IReactorTCP, IReactorTime
from twisted.python.failure import Failure

from ..xmpp.errors import Condition
from .resolver import DnsError, Family, Resolver

MAX_ADDRESSES: Final = 8
"""Addresses tried for one host."""

ATTEMPT_DELAY: Final = 0.25
"""Seconds until the next address is tried beside one that has not answered yet (RFC 8305 §5)."""

RESOLUTION_DELAY: Final = 0.05
"""Seconds the preferred family's addresses are waited for when others are there (RFC 8305 §3)."""

Step = Callable[[str], object]
"""Is told in plain sentences what is done and what comes of it."""


class DialError(Exception):
    """No connection came about: *text* says why to an operator, *condition* is what to bounce stanzas with.

    *final*: the DNS says that there is nothing, so to try again soon is of no use.
    """

    def __init__(self, text: str, condition: Condition, *, final: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.condition = condition
        self.final = final


class Race:
    """The race for one connection to *host* (in A-labels, or an IP address) and *port*.

    *families* are those that may be used, the preferred one first; *bind* is the own address to connect from, for each.
    """

    def __init__(
        self,
        reactor: IReactorTCP,
        clock: IReactorTime,
        host: str,
        port: int,
        factory: IProtocolFactory,
        families: Sequence[Family],
        bind: Mapping[Family, str | None],
        step: Step,
    ) -> None:
        self._reactor = reactor
        self._clock = clock
        self._host = host
        self._port = port
        self._factory = factory
        self._families = list(families)
        self._bind = bind
        self._step = step
        self._lookups: dict[Family, Deferred[Sequence[str]]] = {}
        self._addresses: dict[Family, list[str]] = {}
        self._begun = 0
        self._attempts: list[Deferred[IProtocol]] = []
        self._complaints: list[str] = []
        #: While it runs nothing is begun.
        self._pause: IDelayedCall | None = None
        self._patient = True
        self._deadline: IDelayedCall | None = None
        self._over = False
        self._winner: Deferred[IProtocol] = Deferred(lambda _: self._stop())

    def run(self, resolver: Resolver, timeout: float) -> Deferred[IProtocol]:
        """The connection, once it is there; fails with `DialError`. To be called once.

        *timeout* is in seconds, for all of it. Cancelled, it leaves nothing behind.
        """
        self._deadline = self._clock.callLater(timeout, self._time_is_up, timeout)
        # RFC 8305 §3: "Both queries SHOULD be made as soon after one another as possible".
        for family in self._families:
            self._lookups[family] = ensureDeferred(resolver.addresses(self._host, (family,)))
        for family, lookup in list(self._lookups.items()):
            if not self._over:
                lookup.addCallbacks(self._found, self._not_found, callbackArgs=(family,), errbackArgs=(family,))
        return self._winner

    # -- addresses ------------------------------------------------------------------------------------------------

    def _found(self, addresses: Sequence[str], family: Family) -> None:
        del self._lookups[family]
        self._addresses[family] = list(addresses[:MAX_ADDRESSES])
        for address in addresses:
            self._step(f"{self._host} has the address {address}")
        if not self._begun:
            self._resume()
        self._go_on()

    def _not_found(self, failure: Failure, family: Family) -> None:
        if self._over:
            return
        del self._lookups[family]
        if not isinstance(failure.value, DnsError):
            self._end(failure)
            return
        self._complain(f"{self._host} could not be looked up: {failure.value}")
        if not self._begun:
            self._resume()
        self._go_on()

    def _next(self) -> tuple[Family, str] | None:
        """The next address, of the other family than the last where there is one (RFC 8305 §4)."""
        if self._begun == MAX_ADDRESSES:
            return None
        for family in self._families:
            if waiting := self._addresses.get(family):
                self._families.remove(family)
                self._families.append(family)
                return family, waiting.pop(0)
        return None

    # -- attempts -------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Begin the next attempt, unless it is too early for it; or give up where nothing more can come."""
        if self._over or self._pause is not None:
            return
        if self._patient and self._families[0] in self._lookups and any(self._addresses.values()):
            # §3: "the client SHOULD wait a short time for the AAAA response".
            self._patient = False
            self._pause = self._clock.callLater(RESOLUTION_DELAY, self._pause_is_over)
            return
        following = self._next()
        if following is not None:
            self._begin(*following)
        elif not self._attempts and not self._lookups:
            self._give_up()

    def _begin(self, family: Family, address: str) -> None:
        assert self._deadline is not None
        self._begun += 1
        self._pause = self._clock.callLater(ATTEMPT_DELAY, self._pause_is_over)
        self._step(f"connecting to {address} port {self._port}")
        own = self._bind.get(family)
        endpoint = TCP6ClientEndpoint if family == "ipv6" else TCP4ClientEndpoint
        attempt = endpoint(
            self._reactor,
            address,
            self._port,
            timeout=self._deadline.getTime() - self._clock.seconds(),
            bindAddress=(own, 0) if own else None,
        ).connect(self._factory)
        self._attempts.append(attempt)
        attempt.addCallbacks(
            partial(self._connected, attempt, address), partial(self._failed, attempt, address)
        ).addErrback(self._end)

    def _connected(self, attempt: Deferred[IProtocol], address: str, protocol: IProtocol) -> None:
        # Which of them was first is settled here: all others are cancelled before they can be told so.
        self._attempts.remove(attempt)
        self._step(f"connected to {address} port {self._port}")
        self._stop()
        self._winner.callback(protocol)

    def _failed(self, attempt: Deferred[IProtocol], address: str, failure: Failure) -> None:
        if self._over:
            return
        self._attempts.remove(attempt)
        self._complain(f"{address} port {self._port}: {failure.getErrorMessage().removesuffix('.')}")
        # The delay is between attempts that run beside each other.
        self._resume()
        self._go_on()

    # -- time -----------------------------------------------------------------------------------------------------

    def _pause_is_over(self) -> None:
        self._pause = None
        self._go_on()

    def _resume(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _time_is_up(self, timeout: float) -> None:
        self._deadline = None
        self._complain(f"{self._host} port {self._port}: no connection in {timeout:g} s")
        self._give_up()

    # -- the end --------------------------------------------------------------------------------------------------

    def _complain(self, text: str) -> None:
        self._complaints.append(text)
        self._step(text)

    def _give_up(self) -> None:
        final = not self._complaints
        if final:
            self._complain(f"{self._host} has no address ({' or '.join(self._families)})")
        # RFC 6120 §10.4.3: "If resolution of the remote domain is unsuccessful, the stanza error MUST be
        # <remote-server-not-found/>", and "<remote-server-timeout/>" if it "succeeds but streams cannot be negotiated".
        resolved = Condition.REMOTE_SERVER_TIMEOUT if self._begun else Condition.REMOTE_SERVER_NOT_FOUND
        self._end(DialError("; ".join(self._complaints), resolved, final=final))

    def _end(self, reason: DialError | Failure) -> None:
        if not self._over:
            self._stop()
            self._winner.errback(reason)

    def _stop(self) -> None:
        """Leave nothing behind: no timer, no question, no attempt."""
        self._over = True
        self._resume()
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        lookups, self._lookups = self._lookups, {}
        for lookup in lookups.values():
            abandon(lookup)
        attempts, self._attempts = self._attempts, []
        for attempt in attempts:
            abandon(attempt)


def abandon(deferred: Deferred[Any]) -> None:
    """Cancel it; whatever comes of it, nobody waits for it."""
    deferred.addErrback(lambda _: None)
    deferred.cancel()
