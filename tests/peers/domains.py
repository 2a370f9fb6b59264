"""A domain under test, as each of the servers is told about it, and the names by which others find it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .zone import Service, Zone

CLIENT_PORT: Final = 5222
SERVER_PORT: Final = 5269
DIRECT_TLS_PORT: Final = 5270
LOOPBACK_6: Final = "::1"
PASSWORD: Final = "wherefore-art-thou"


@dataclass(frozen=True, slots=True)
class Domain:
    """One domain of a server. It has an address for itself, so that its connections can be told from all others."""

    name: str
    address: str
    certificate: Path
    """Certificate and key, PEM."""
    dialback: bool = False
    """Whether a peer without a valid certificate may prove itself by dialback (XEP-0220), and so may this domain."""
    bidi: bool = False
    """Whether it offers and uses XEP-0288, where its server can."""
    direct_tls: bool = False
    """Whether others are sent to the port that speaks TLS from the first byte (XEP-0368), and to no other."""
    peer: str = ""
    """The domain at the other server that it is to meet."""
    user: str = "juliet"
    """The one account."""
    ipv6_port: int | None = None
    """If given, other servers reach it by IPv6 alone: at `LOOPBACK_6`, where all have one address, by this port."""

    @property
    def jid(self) -> str:
        """The bare JID of its account."""
        return f"{self.user}@{self.name}"

    @property
    def rooms(self) -> str:
        """The domain of its rooms, at the same address; only peers have one."""
        return f"conference.{self.name}"

    @property
    def place(self) -> tuple[str, int]:
        """The address and port where it waits for other servers."""
        return (self.address, SERVER_PORT) if self.ipv6_port is None else (LOOPBACK_6, self.ipv6_port)

    def publish(self, zone: Zone, address: str | None = None) -> None:
        """Let *zone* say where the domain and its rooms are: here, or at another *address*."""
        own_address, own_port = self.place
        for name in (self.name, self.rooms):
            zone.point(f"xmpp.{name}", address or own_address)
            kind = "_xmpps-server" if self.direct_tls else "_xmpp-server"
            port = DIRECT_TLS_PORT if self.direct_tls else own_port
            zone.serve(f"{kind}._tcp.{name}", Service(f"xmpp.{name}", port))
