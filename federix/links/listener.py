"""A port for clients: what all of its links share, and how they end together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from ..core.access import Access
from ..core.host import Host
from ..core.host_options import HostOptions
from ..core.listener_options import C2SOptions
from ..life.scope import Scope
from ..streams.addresses import Addresses
from ..streams.certificates import VirtualHosts
from ..xmpp.errors import StreamCondition, StreamError
from ..xmpp.parser import Limits

if TYPE_CHECKING:
    from .c2s import ClientLink

UNLIMITED: Final = 1 << 40
#: Seconds a server that stops waits for clients to close their streams; then it cuts them.
END_TIMEOUT: Final = 3.0


class C2SServer(Protocol):
    """What the links ask of the server around them."""

    @property
    def scope(self) -> Scope: ...

    def access(self, domain: str) -> Access: ...
    def host(self, domain: str) -> Host | None: ...
    def host_options(self, domain: str) -> HostOptions: ...
    @property
    def negotiation_timeout(self) -> float: ...
    def token(self) -> str: ...
    @property
    def default_host(self) -> str: ...


@dataclass(slots=True)
class C2SListener:
    """One listening port for clients: what all of its links share. Options are swapped in place on reload."""

    options: C2SOptions
    server: C2SServer
    clock: IReactorTime
    addresses: Addresses
    #: Makes TLS connections; ``None`` where there is no certificate at all.
    tls: VirtualHosts | None
    #: The connections that are there.
    links: set[ClientLink] = field(default_factory=set)
    _empty: Deferred[None] | None = None
    _ends: float = 0.0

    def turn_away(self) -> None:
        """The server stops: tell those who have no session. Of a session's end its host tells."""
        self._ends = self.clock.seconds() + END_TIMEOUT
        for link in list(self.links):
            if link.session is None:
                link.stream.close(StreamError(StreamCondition.SYSTEM_SHUTDOWN))

    async def end(self) -> None:
        """Wait until all have left who were told to, and cut who does not."""
        if not self.links:
            return
        self._empty = Deferred()
        timer = self.server.scope.later(max(self._ends - self.clock.seconds(), 0.0), self._cut)
        await self._empty
        timer.cancel()

    def _cut(self) -> None:
        for link in list(self.links):
            link.stream.abort()

    def left(self, link: ClientLink) -> None:
        """A connection is gone."""
        self.links.discard(link)
        if self._empty is not None and not self.links:
            self._empty.callback(None)

    def limits_before(self) -> Limits:
        o = self.options
        return Limits(
            o.pre_auth_max_stanza_size,
            o.pre_auth_max_stanza_elements,
            o.pre_auth_max_stanza_depth,
            o.pre_auth_max_stanza_attributes,
        )

    def limits_after(self) -> Limits:
        o = self.options
        return Limits(
            o.max_stanza_size or UNLIMITED,
            o.max_stanza_elements or UNLIMITED,
            o.max_stanza_depth,
            o.max_stanza_attributes,
        )
