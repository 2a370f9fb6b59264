"""A kind of listener: its options, its TLS, and the links of those who connect."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from ...core.listener_options import StreamOptions
from ...links.listener import StreamListener
from ...streams.accepted import AcceptedStream, Link
from ...streams.addresses import Addresses
from ...streams.certificates import Certificates, VirtualHosts
from ...streams.tls import TlsSettings
from ..config import Config

if TYPE_CHECKING:
    from ..server import Server

O = TypeVar("O", bound=StreamOptions)  # noqa: E741 -- the options of this kind


class Kind(ABC, Generic[O]):
    """What is different between ports where clients, servers and components connect. It keeps nothing."""

    #: Its name in `listen`, and its class of options.
    module: ClassVar[str]
    options: type[O]
    #: The namespace of its stanzas.
    content: ClassVar[str]
    #: Its name in TLS (ALPN); empty where it has none.
    alpn: ClassVar[tuple[bytes, ...]] = ()
    #: Whether who connects is asked for a certificate, which the link will judge.
    asks_for_certificate: ClassVar[bool] = False

    @abstractmethod
    def listener(self, server: Server, options: O, addresses: Addresses, tls: VirtualHosts | None) -> StreamListener[O]:
        """What all links of one port share."""

    @abstractmethod
    def link(self, server: Server, listener: StreamListener[O], stream: AcceptedStream) -> Link:
        """The owner of a new stream."""

    def speaks_tls(self, options: O) -> bool:
        """Whether TLS may be spoken at such a port, from the first byte or later."""
        return options.tls

    def common_tls(self, config: Config) -> TlsSettings:
        """The settings of TLS where the port has none of its own. Files stand there as they were written."""
        return TlsSettings()

    def tls(self, certificates: Certificates, config: Config, options: O) -> VirtualHosts | None:
        """What makes the TLS connections of a port under *config*; None where it has no TLS.

        Raises `TlsSettingsError` for ciphers or parameters that OpenSSL does not take.
        """
        if not self.speaks_tls(options):
            return None
        common = self.common_tls(config)
        dhfile = options.dhfile or common.dhfile
        settings = TlsSettings(
            options.ciphers or common.ciphers,
            common.protocol_options if options.protocol_options is None else options.protocol_options,
            None if dhfile is None else str(config.file(dhfile)),
        )
        return certificates.creator(self.alpn, config.hosts[0], settings, request_certificate=self.asks_for_certificate)
