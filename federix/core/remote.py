"""What modules see of other servers: a pair of domains, and the server that has been authorised for one."""

from __future__ import annotations

from typing import Literal, Protocol

#: How a server has proved that a domain is its own: by a certificate (SASL EXTERNAL), or by dialback.
Proof = Literal["certificate", "dialback"]


class DomainPair(Protocol):
    """A domain of ours, and one that another server serves."""

    @property
    def local(self) -> str:
        """The domain of ours."""

    @property
    def remote(self) -> str:
        """The other server's domain."""


class RemoteServer(DomainPair, Protocol):
    """A server that has been authorised for a pair of domains, on one connection."""

    @property
    def authenticated_by(self) -> Proof:
        """How it was authorised for this pair."""

    @property
    def ip(self) -> str | None:
        """The IP address at its end; None where there is none."""

    @property
    def secure(self) -> bool:
        """Whether the connection speaks TLS."""

    @property
    def incoming(self) -> bool:
        """Whether the other server opened the connection."""
