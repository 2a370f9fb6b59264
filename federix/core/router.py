"""The router: one look-up by domain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from ..life.tree import Node
from ..xmpp.errors import Condition, StanzaError
from ..xmpp.stanza import Message, Stanza
from .passage import Keeping, Passage, telling

if TYPE_CHECKING:
    from .settled import Mark

log = Logger()


class Destination(Protocol):
    """Where stanzas for a domain go."""

    def deliver(self, stanza: Stanza) -> Awaitable[None] | None:
        """Take *stanza*, now or when the answer is awaited. `StanzaError` bounces it."""


class Keeper(Protocol):
    """A domain whose accounts have archives."""

    def carry(self, message: Message, passage: Passage) -> Awaitable[None] | None:
        """Take *message* as a `Destination` does; what else *passage* has noted is kept in the same step."""

    def follow(
        self, message: Message, before: Keeping | None, delivered: Callable[[], object] | None
    ) -> Awaitable[None] | None:
        """Take *message* as a `Destination` does, deliver it when *before* is settled, and call *delivered* then."""


class Router(Node):
    """Knows every local domain, and who takes the rest."""

    #: Takes what is for no local domain: the federation, when there is one.
    elsewhere: Destination | None = None
    #: Told of each domain that is local no more from now on.
    on_unregistered: Callable[[str], object] | None = None

    async def on_start(self) -> None:
        self._domains: dict[str, Destination] = {}
        self._keepers: dict[str, Keeper] = {}

    def domains(self) -> list[str]:
        return list(self._domains)

    def register(self, domain: str, destination: Destination, keeper: Keeper | None = None) -> None:
        """Have *destination* take what is for *domain*; raises ValueError where it is taken."""
        if domain in self._domains:
            raise ValueError(f"{domain} is taken")
        self._domains[domain] = destination
        if keeper is not None:
            self._keepers[domain] = keeper

    def unregister(self, domain: str) -> None:
        if domain in self._domains and self.on_unregistered is not None:
            self.on_unregistered(domain)  # what it sends back can still be delivered
        self._domains.pop(domain, None)
        self._keepers.pop(domain, None)

    def serves(self, domain: str) -> bool:
        return domain in self._domains

    def route(self, stanza: Stanza, mark: Mark | None = None) -> Awaitable[None] | None:
        """Send *stanza*, which came with that *mark*, to where its `to` says. Nothing is raised: what fails is bounced.

        Where the way includes waiting, the answer is to be awaited; the stanza is on its way only then.
        """
        try:
            waiting = self._hand_over(stanza)
        except Exception as error:
            return self._refused(stanza, error, mark)
        return waiting if waiting is None or isinstance(waiting, Keeping) else self.guarded(stanza, waiting, mark)

    def _hand_over(self, stanza: Stanza) -> Awaitable[None] | None:
        to = stanza.to
        if to is None:
            raise StanzaError(Condition.BAD_REQUEST, "it is addressed to nobody")
        destination = self._domains.get(to.domain) or self.elsewhere
        if destination is None:
            raise StanzaError(Condition.REMOTE_SERVER_NOT_FOUND)
        return destination.deliver(stanza)

    def send(self, message: Message, passage: Passage) -> Awaitable[None] | None:
        """As `route`, for a message that its sender's archive has noted; it is kept before it is delivered."""
        try:
            to = message.to
            keeper = None if to is None else self._keepers.get(to.domain)
            if keeper is None:
                return passage.go(message, lambda _: self.route(message))
            waiting = keeper.carry(message, passage)
        except Exception as error:
            return self._refused(message, error, passage.mark)
        # One that keeps what it carries bounces by itself.
        if waiting is None or isinstance(waiting, Keeping):
            return waiting
        return self.guarded(message, waiting, passage.mark)

    def route_behind(
        self, message: Message, before: Keeping | None, delivered: Callable[[], object] | None
    ) -> Awaitable[None] | None:
        """As `route`, while *before*, whose place is taken, may still be on its way to the same account.

        *delivered* is called when it is delivered, not where it is bounced.
        """
        try:
            to = message.to
            keeper = None if to is None else self._keepers.get(to.domain)
            if keeper is not None:
                waiting = keeper.follow(message, before, delivered)
            else:
                waiting = self._hand_over(message)
                if delivered is not None:
                    waiting = telling(waiting, delivered)
        except Exception as error:
            return self._refused(message, error)
        return waiting if waiting is None or isinstance(waiting, Keeping) else self.guarded(message, waiting)

    def _refused(self, stanza: Stanza, error: Exception, mark: Mark | None = None) -> Awaitable[None] | None:
        """Bounce *stanza*, which could not be handed over; where *error*, caught just now, is a bug the log has it."""
        if not isinstance(error, StanzaError):
            log.failure("could not deliver", kind=stanza.kind)
            error = StanzaError(Condition.INTERNAL_SERVER_ERROR)
        return self.bounce(stanza, error, mark)

    async def guarded(self, stanza: Stanza, waiting: Awaitable[None], mark: Mark | None = None) -> None:
        """Wait for what becomes of *stanza*, which came with that *mark*; what fails is bounced."""
        # What was caught stays in its clause: an exception in a variable of the frame it was raised in is a cycle.
        try:
            await waiting
            return
        except StanzaError as error:
            bouncing = self.bounce(stanza, error, mark)
        except CancelledError:
            if mark is not None:
                mark.refuse()
            raise
        except Exception:
            log.failure("could not deliver", kind=stanza.kind)
            bouncing = self.bounce(stanza, StanzaError(Condition.INTERNAL_SERVER_ERROR), mark)
        if bouncing is not None:
            await bouncing

    def bounce(self, stanza: Stanza, error: StanzaError, mark: Mark | None = None) -> Awaitable[None] | None:
        """Return *stanza* to its sender as an error (RFC 6120 §8.3); errors and results are dropped (§8.3.1).

        It came with that *mark*: where its sender is gone, he is to send it again.
        """
        # Whoever raised it from a variable made a cycle of it, his frame and all those above, up to the stream.
        error.__traceback__ = None
        bounced = stanza.bounced(error.condition, error.text, error.kind)
        if bounced is None or bounced.element.get("to") is None:
            return None
        if mark is not None:
            mark.refuse()
        return self.route(bounced)
