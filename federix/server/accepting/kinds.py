"""The kinds of listeners there are: clients, servers, components."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ...core.component_options import ServiceOptions
from ...core.listener_options import C2SOptions, S2SInOptions
from ...links.c2s import ClientLink
from ...links.component import ComponentLink, ServiceListener
from ...links.listener import C2SListener, StreamListener
from ...links.s2s.listener import S2SListener
from ...streams.accepted import AcceptedStream, Link
from ...streams.addresses import Addresses
from ...streams.certificates import VirtualHosts
from ...streams.tls import TlsSettings
from ...xmpp import ns
from ..config import Config
from .kind import Kind

if TYPE_CHECKING:
    from ..server import Server


class Clients(Kind[C2SOptions]):
    """Ports for clients (RFC 6120)."""

    module = "ejabberd_c2s"
    options = C2SOptions
    content = ns.CLIENT
    alpn = (b"xmpp-client",)

    def listener(
        self, server: Server, options: C2SOptions, addresses: Addresses, tls: VirtualHosts | None
    ) -> C2SListener:
        return C2SListener(options, server, server.clock, addresses, tls)

    def link(self, server: Server, listener: StreamListener[C2SOptions], stream: AcceptedStream) -> Link:
        assert isinstance(listener, C2SListener)
        return ClientLink(listener, stream)

    def speaks_tls(self, options: C2SOptions) -> bool:
        return options.tls or options.starttls

    def common_tls(self, config: Config) -> TlsSettings:
        common = config.server
        return TlsSettings(common.c2s_ciphers, common.c2s_protocol_options, common.c2s_dhfile)


class Servers(Kind[S2SInOptions]):
    """Ports for other servers (RFC 6120)."""

    module = "ejabberd_s2s_in"
    options = S2SInOptions
    content = ns.SERVER
    alpn = (b"xmpp-server",)
    asks_for_certificate = True

    def listener(
        self, server: Server, options: S2SInOptions, addresses: Addresses, tls: VirtualHosts | None
    ) -> S2SListener:
        return S2SListener(options, server, server.clock, addresses, tls)

    def link(self, server: Server, listener: StreamListener[S2SInOptions], stream: AcceptedStream) -> Link:
        assert isinstance(listener, S2SListener)
        return server.federation.new_incoming(listener, stream)

    def speaks_tls(self, options: S2SInOptions) -> bool:
        return True  # whether it is offered is asked for each host, and that may change

    def common_tls(self, config: Config) -> TlsSettings:
        common = config.server
        return TlsSettings(common.s2s_ciphers, common.s2s_protocol_options, common.s2s_dhfile)


class Services(Kind[ServiceOptions]):
    """Ports for components (XEP-0114)."""

    module = "ejabberd_service"
    options = ServiceOptions
    content = ns.COMPONENT

    def listener(
        self, server: Server, options: ServiceOptions, addresses: Addresses, tls: VirtualHosts | None
    ) -> ServiceListener:
        return ServiceListener(options, server, server.clock, addresses, tls, server.components)

    def link(self, server: Server, listener: StreamListener[ServiceOptions], stream: AcceptedStream) -> Link:
        assert isinstance(listener, ServiceListener)
        return ComponentLink(listener, stream)


#: Each by the word for it in `listen`.
KINDS: Final[Mapping[str, Kind[Any]]] = {kind.module: kind for kind in (Clients(), Servers(), Services())}
