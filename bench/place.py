"""Where the load connects to. Hardly any imports: the load stays small."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .names import DOMAIN
from .process import LOOPBACK

#: Where servers accept other servers.
S2S_PORT: Final = 5269


@dataclass(frozen=True, slots=True)
class Place:
    """A server, from the side of its clients."""

    port: int
    address: str = LOOPBACK
    domain: str = DOMAIN


@dataclass(frozen=True, slots=True)
class Peers:
    """The other servers that the load plays: one address, one certificate, many domains."""

    address: str
    """Where the load listens, on `S2S_PORT`; DNS has it for all of the domains."""
    domain: str
    """What stands behind the number in the name of each."""
    certificate: str
    """File with certificate and key for all of them."""
    authority: str
    """File with the certificate of who gave it out, and those of the servers."""

    def name(self, number: int) -> str:
        """One of the many domains."""
        return f"p{number}.{self.domain}"
