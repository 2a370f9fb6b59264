"""A stream that somebody else opened, on its way to a login and beyond it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.python.failure import Failure

from ..xmpp.errors import StreamCondition, StreamError
from ..xmpp.limits import Limits
from .arrivals import Arrivals
from .budget import Budget
from .owner import Owner, State
from .stream import XmppStream

#: Seconds that who made no step on the way to a login has to hear that he must go.
CROWDED_OUT_IN: Final = 1.0


class Link(Owner, Protocol):
    """The owner of a stream that was accepted."""

    def begin(self) -> None:
        """The connection is there; nothing has been read yet."""


@dataclass(slots=True)
class Gate:
    """What all streams go through that came in by a server's ports, whatever they speak."""

    arrivals: Arrivals
    budget: Budget = field(default_factory=Budget)
    #: Those that are open.
    streams: set[XmppStream] = field(default_factory=set)


class Stage(Enum):
    """How far a peer is on its way to a login."""

    TALKING = 0
    SHAKING_HANDS = 1
    ARRIVED = 2


class AcceptedStream(XmppStream):
    """A stream that begins its link when the connection is there, and is known to its gate while it is open."""

    # CPython has all streams share the names of their attributes while those are no more than thirty; past that each
    # takes 1.3 KiB more.
    link: Link | None = None
    gate: Gate
    _stage = Stage.TALKING

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.gate.streams.discard(self)
        self.gate.arrivals.left(self)
        super().connectionLost(reason)

    def connectionMade(self) -> None:
        self.gate.streams.add(self)
        super().connectionMade()
        self._step()
        link, self.link = self.link, None
        if link is not None:
            link.begin()

    @property
    def budget(self) -> Budget:
        return self.gate.budget

    # -- on the way to a login ------------------------------------------------------------------------------------

    def _step(self) -> None:
        if self._stage is not Stage.ARRIVED and self.state is State.OPEN:
            self.gate.arrivals.step(self, self.scope)

    def send_header(self, attrs: Mapping[str, str | None]) -> None:
        self._step()
        super().send_header(attrs)

    def start_tls(
        self,
        creator: IOpenSSLServerConnectionCreator | IOpenSSLClientConnectionCreator,
        *,
        client: bool = False,
    ) -> None:
        super().start_tls(creator, client=client)
        self._stage = Stage.SHAKING_HANDS

    def handshakeCompleted(self) -> None:
        self._stage = Stage.TALKING
        self._step()
        super().handshakeCompleted()

    def fail(self, error: StreamError) -> None:
        super().fail(error)
        if self._stage is Stage.SHAKING_HANDS:
            self.abort()  # nothing can be said, and no answer is to be waited for

    def restart(self, limits: Limits) -> None:
        """A stream is restarted by its login."""
        super().restart(limits)
        self._arrive()

    def arrived(self, limits: Limits) -> None:
        """The peer has proved who it is, by a login that restarts nothing; it is within other *limits* from now on."""
        self.limit(limits)
        self._arrive()

    def _arrive(self) -> None:
        self._stage = Stage.ARRIVED
        self.gate.arrivals.left(self)

    def crowd_out(self) -> None:
        self.fail(StreamError(StreamCondition.RESOURCE_CONSTRAINT, "too many are logging in"))
        self.scope.later(CROWDED_OUT_IN, self.abort)
