"""Finding a link for the pairs that need one: who waits for which server, and when to try again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from ...life.scope import Timer
from ...streams.dial import DialError, Target, connect, targets
from ...streams.resolver import DnsError
from ...xmpp.errors import Condition, StanzaError
from .failed import LinkFailed
from .link import YOUNG
from .outgoing import OutgoingFactory, OutgoingLink, Purpose
from .pair import Domains, Pair

if TYPE_CHECKING:
    from .federation import Federation

log = Logger()

#: Seconds until a server that could not be reached is tried again, after the first time; then twice as many.
FIRST_DELAY: Final = 1.0
#: More failures than that make the delay no longer, whatever `s2s_max_retry_delay` is.
MOST_DOUBLINGS: Final = 16


@dataclass(slots=True)
class Refusal:
    """How often it failed in a row, why the last time, and until when it is left alone (on the clock).

    *met*: when a link came about after all; should it die young, that is one failure more.
    """

    failures: int
    error: LinkFailed
    until: float
    met: float | None = None


class Dialer:
    """For one remote domain: which pairs want a link, and what came of the last tries.

    One link is looked for at a time, so that a second pair may go over the first one's.
    """

    __slots__ = ("_again", "_federation", "refusals", "remote", "wanting", "working")

    def __init__(self, federation: Federation, remote: str) -> None:
        self._federation = federation
        self.remote = remote
        self.wanting: dict[Domains, Pair] = {}
        #: By the pair it concerns; None: all of them.
        self.refusals: dict[Domains | None, Refusal] = {}
        self.working = False
        self._again: Timer | None = None

    def refusal(self, domains: Domains) -> Refusal | None:
        """What keeps it from trying for *domains* now."""
        now = self._federation.clock.seconds()
        for key in (domains, None):
            refusal = self.refusals.get(key)
            if refusal is not None and now < refusal.until:
                return refusal
        return None

    @property
    def busy(self) -> bool:
        """Whether a link is looked for, or will be."""
        return self.working or bool(self.wanting)

    @property
    def idle(self) -> bool:
        """Whether nothing is lost when it is forgotten."""
        now = self._federation.clock.seconds()
        delay = self._federation.server.s2s.s2s_max_retry_delay
        over = all(refusal.until + delay <= now for refusal in self.refusals.values())
        return not self.busy and over

    def want(self, pair: Pair) -> None:
        """Find *pair* a link, now or when it is time to try again; or return what waits in it."""
        refusal = self.refusal(pair.domains)
        if refusal is not None and refusal.error.final:
            pair.bounce(StanzaError(refusal.error.condition, refusal.error.text))
            return
        self.wanting[pair.domains] = pair
        if refusal is None:
            self._begin()
        else:
            self._wake_in_time()

    def rest(self, why: str) -> None:
        """A link has died too soon: leave the server alone for a while. Each pair that it had says so."""
        resting = self.refusals.get(None)
        if resting is None or resting.until <= self._federation.clock.seconds():
            self._refuse(None, LinkFailed(why))

    def reconsider(self) -> None:
        """What it was refused for may have been mended: who was told that waiting is of no use may try at once."""
        self.refusals = {key: refusal for key, refusal in self.refusals.items() if not refusal.error.final}

    def stop(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def _begin(self) -> None:
        if not self.working:
            self.working = True
            self._federation.scope.spawn(self._work())

    def _wake_in_time(self) -> None:
        """Go on when the first of those who want a link may have one."""
        refusals = [self.refusal(domains) for domains in self.wanting]
        times = [refusal.until for refusal in refusals if refusal is not None]
        if times:
            self.stop()
            wait = min(times) - self._federation.clock.seconds()
            self._again = self._federation.scope.later(max(wait, 0.0), self._wake)

    def _wake(self) -> None:
        self._again = None
        self._begin()

    async def _work(self) -> None:
        try:
            while (pair := self._next()) is not None:
                try:
                    await self._find(pair)
                except LinkFailed as failed:
                    self._failed(pair, failed)
                except CancelledError:
                    raise
                except Exception:
                    log.failure("no stream to {remote}", remote=self.remote)
                    self._failed(pair, LinkFailed("internal error", Condition.INTERNAL_SERVER_ERROR, final=True))
                else:
                    self.wanting.pop(pair.domains, None)
                    self.refusals.pop(pair.domains, None)
                    refusal = self.refusals.get(None)
                    if refusal is not None:
                        refusal.until = refusal.met = self._federation.clock.seconds()
        finally:
            self.working = False
        self._wake_in_time()
        if self.idle:
            self._federation.forget(self)

    def _next(self) -> Pair | None:
        for domains, pair in list(self.wanting.items()):
            if pair.link is not None or not pair.queue:
                del self.wanting[domains]
            elif self.refusal(domains) is None:
                return pair
        return None

    async def _find(self, pair: Pair) -> None:
        """Get *pair* a link: over a stream that is there, or over a new one. Raises `LinkFailed`."""
        federation, domains = self._federation, pair.domains
        # Not after a stream ended when it was asked for more: it may have ended for that.
        refusal = self.refusals.get(domains)
        share = refusal is None or refusal.error.final
        for link in federation.outgoing_to(self.remote) if share else ():
            if link.can_add(domains):
                federation.step(domains, f"There is a stream to {link.stream.peer} already: dialback on it")
                await link.add(domains)
                return
        async with federation.dials:
            if pair.link is not None:
                return
            try:
                await open_link(federation, domains, share=share)
            except LinkFailed as failed:
                if failed.alone or not await self._reverse(domains):
                    raise

    async def _reverse(self, domains: Domains) -> bool:
        """The server cannot be reached, but may have reached us: prove ourselves on a stream of its own, if it can take
        that (XEP-0288 §2.2). Not before: a peer that cannot may end a stream that is in use.
        """
        federation = self._federation
        for link in list(federation.links):
            if link.incoming and link.can_add(domains):
                federation.step(domains, f"It has opened a stream to us from {link.ip}: dialback on that")
                try:
                    await link.add(domains)
                except LinkFailed as failed:
                    federation.step(domains, f"Not on that stream: {failed.text}")
                else:
                    return True
        return False

    def _refuse(self, key: Domains | None, failed: LinkFailed) -> int:
        """Leave it alone, longer each time; returns how often it has failed in a row."""
        federation = self._federation
        before = self.refusals.get(key)
        if before is not None and before.met is not None and federation.clock.seconds() - before.met >= YOUNG:
            before = None
        failures = 1 if before is None else before.failures + 1
        delay = FIRST_DELAY * 2 ** min(failures - 1, MOST_DOUBLINGS)
        delay = min(delay, federation.server.s2s.s2s_max_retry_delay) * (0.5 + federation.chance() / 2)
        self.refusals[key] = Refusal(failures, failed.anew(), federation.clock.seconds() + delay)
        return failures

    def _failed(self, pair: Pair, failed: LinkFailed) -> None:
        alone = failed.alone or failed.ours
        if self._refuse(pair.domains if alone else None, failed) == 1:
            log.info("no stream to {remote}: {why}", local=pair.domains.local, remote=self.remote, why=failed.text)
        # It may be another one by now: all that waited had gone back, and something came since.
        pair = self.wanting.get(pair.domains, pair)
        concerned = [pair] if alone else list(self.wanting.values())
        for each in concerned:
            each.last_error, each.last_condition = failed.text, failed.condition
            if failed.final:
                self.wanting.pop(each.domains, None)
                each.bounce(StanzaError(failed.condition, failed.text))


async def open_link(
    federation: Federation, domains: Domains, purpose: Purpose = Purpose.STANZAS, *, share: bool = False
) -> OutgoingLink:
    """A new stream for *domains*, ready for use; raises `LinkFailed`. Targets are tried in their order.

    *share*: rather one that leads to the same place already.
    """

    def step(text: str) -> None:
        federation.step(domains, text)

    options = federation.options(domains.local)
    try:
        found = await targets(
            federation.resolver,
            domains.remote,
            port=options.outgoing_s2s_port,
            random=federation.server.random_bytes,
            step=step,
        )
    except DialError as error:
        raise LinkFailed(error.text, error.condition, final=error.final) from None
    last = LinkFailed("there is no address")
    for target in found:
        if share and (link := await _leading_to(federation, domains, target)) is not None:
            step(f"There is a stream to {link.stream.peer} for another domain already: dialback on it")
            try:
                await link.add(domains)
                return link
            except LinkFailed as failed:
                step(f"Not on that stream: {failed.text}")
        try:
            return await _open_at(federation, domains, target, purpose)
        except LinkFailed as failed:
            last = failed.anew()
            pair = federation.pairs.get(domains)
            if failed.alone or (purpose is Purpose.STANZAS and not (pair and pair.queue)):
                break  # or all that waited has gone back meanwhile
    try:
        raise last
    finally:
        del last  # it is no cycle then


async def _leading_to(federation: Federation, domains: Domains, target: Target) -> OutgoingLink | None:
    """A stream of ours to where *target* is, that may carry more (XEP-0220 §2.6.2)."""
    links = [each for each in federation.links if isinstance(each, OutgoingLink) and each.target.port == target.port]
    if not links:
        return None
    families = federation.options(domains.local).outgoing_s2s_families
    try:
        addresses = await federation.resolver.addresses(target.host, families)
    except DnsError:
        return None
    return next((link for link in links if link.ip in addresses and link.can_add(domains)), None)


async def _open_at(federation: Federation, domains: Domains, target: Target, purpose: Purpose) -> OutgoingLink:
    options = federation.options(domains.local)
    factory = OutgoingFactory(federation, domains, target, purpose)
    try:
        stream = await connect(
            federation.server.reactor,
            federation.clock,
            federation.resolver,
            target,
            factory,
            families=options.outgoing_s2s_families,
            timeout=options.outgoing_s2s_timeout,
            bind_ipv4=options.outgoing_s2s_ipv4_address,
            bind_ipv6=options.outgoing_s2s_ipv6_address,
            step=lambda text: federation.step(domains, text),
        )
    except DialError as error:
        raise LinkFailed(error.text, error.condition, final=error.final) from None
    link = stream.owner  # type: ignore[attr-defined]
    if not isinstance(link, OutgoingLink):
        raise LinkFailed("the connection was closed at once")
    try:
        await link.until_ready()
    except CancelledError:
        link.stream.abort()
        raise
    return link
