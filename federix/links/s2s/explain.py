"""Why a server can be reached, or cannot: a stream is opened for nothing else, and each step is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import CancelledError, Deferred

from .dialer import open_link
from .failed import LinkFailed
from .outgoing import Purpose
from .pair import Domains

if TYPE_CHECKING:
    from .federation import Federation

#: Seconds to wait for the answer to a ping; without bidi the other side has to connect to us first.
PING_TIMEOUT: Final = 30.0


async def explain(federation: Federation, domains: Domains, step: Callable[[str], object]) -> bool:
    """Open a stream for *domains*, ping over it, and close it; *step* is told in plain words. True where all is well.

    What stands in the way of stanzas at present (a pause after failures) is told, and does not stop it.
    """
    pair = federation.pairs.get(domains)
    if pair is not None and pair.link is not None:
        step(f"There is a stream already, to {pair.link.stream.peer}; this tries another one")
    dialer = federation.dialers.get(domains.remote)
    refusal = None if dialer is None else dialer.refusal(domains)
    if refusal is not None:
        left = refusal.until - federation.clock.seconds()
        step(f"It failed {refusal.failures} times in a row ({refusal.error.text}); the next try is in {left:.0f} s")
    try:
        with federation.watched(domains, step):
            link = await open_link(federation, domains, Purpose.TRY)
    except LinkFailed as failed:
        step(f"It cannot be reached: {failed.text}")
        return False
    try:
        return await _ping(federation, link.ping, step)
    finally:
        link.stream.close()


async def _ping(
    federation: Federation, ping: Callable[[Callable[[], None]], None], step: Callable[[str], object]
) -> bool:
    answered: Deferred[None] = Deferred()
    begun = federation.clock.seconds()
    ping(lambda: answered.callback(None))
    late = federation.scope.later(PING_TIMEOUT, answered.cancel)
    try:
        await answered
    except CancelledError:
        if late.pending:
            raise
        step(f"It does not answer a ping in {PING_TIMEOUT:.0f} s: it may be unable to connect to us")
        return False
    finally:
        late.cancel()
    step(f"It answers a ping in {1000 * (federation.clock.seconds() - begun):.0f} ms")
    return True
