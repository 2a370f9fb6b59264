"""A port where others connect: what all of its links share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Generic, Protocol, TypeVar

from twisted.internet.interfaces import IReactorTime

from ..core.access import Access
from ..core.host import Host
from ..core.host_options import HostOptions
from ..core.listener_options import C2SOptions, StreamOptions
from ..life.scope import Scope
from ..streams.addresses import Addresses
from ..streams.certificates import VirtualHosts
from ..streams.sasl import offer
from ..xmpp.element import Element
from ..xmpp.limits import Limits

UNLIMITED: Final = 1 << 40
#: Offers of SASL mechanisms that are kept: there is one for each mixture of host, version of TLS and certificate.
OFFERS_AT_HAND: Final = 64
#: How many times its bytes the tree of a stanza may take in memory.
TREE: Final = 5

Set = TypeVar("Set", bound=StreamOptions)


class LinkServer(Protocol):
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
class StreamListener(Generic[Set]):
    """One listening port: what all of its links share. Options are swapped in place on reload."""

    options: Set
    server: LinkServer
    clock: IReactorTime
    addresses: Addresses
    #: Makes TLS connections; ``None`` where there is no TLS.
    tls: VirtualHosts | None

    def limits_before(self) -> Limits:
        """The limits of a stream whose peer has not proved who it is."""
        o = self.options
        return Limits(
            o.pre_auth_max_stanza_size,
            o.pre_auth_max_stanza_elements,
            o.pre_auth_max_stanza_depth,
            o.pre_auth_max_stanza_attributes,
            tree_bytes=TREE * o.pre_auth_max_stanza_size,
        )

    def limits_after(self) -> Limits:
        """The limits of a stream whose peer has."""
        o = self.options
        return Limits(
            o.max_stanza_size or UNLIMITED,
            o.max_stanza_elements or UNLIMITED,
            o.max_stanza_depth,
            o.max_stanza_attributes,
            tree_bytes=TREE * (o.max_stanza_size or UNLIMITED),
        )


@dataclass(slots=True)
class C2SListener(StreamListener[C2SOptions]):
    """One listening port for clients."""

    #: Most clients are offered the same.
    sasl_offer: Callable[[tuple[str, ...], tuple[str, ...]], Sequence[Element]] = field(
        default_factory=lambda: lru_cache(OFFERS_AT_HAND)(offer)
    )
