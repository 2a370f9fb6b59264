"""Whom to believe about other servers: authorities for their certificates, and name servers for where they are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from twisted.logger import Logger

from ..life.tree import Node
from ..links.s2s.trust import Trust
from ..streams.resolver import DnsResolver, Resolver

if TYPE_CHECKING:
    from .server import Server

log = Logger()


class TrustNode(Node):
    """The authorities of each file that `s2s_cafile` and `ca_file` name, and the name servers; anew on each reload."""

    def __init__(self, server: Server, resolver: Resolver | None) -> None:
        """*resolver* is what to ask, whatever the configuration says."""
        super().__init__("trust", server.clock)
        self._server = server
        self._by_file: dict[str, Trust] = {}
        self._given = resolver
        self.resolver: Resolver = resolver or _resolver(server)

    async def on_start(self) -> None:
        self.reconfigure()

    def reconfigure(self) -> list[str]:
        """The configuration changed, or the files did; returns what is wrong."""
        self._by_file = {}
        if self._given is None:
            self.resolver = _resolver(self._server)
        named = {self._file(name) for name in self._server.config.hosts} - {""}
        return [problem for file in sorted(named) for problem in self._read(file)]

    def of(self, host: str) -> Trust:
        """What *host* believes. The system's own list is read when it is first asked for: it has 150 authorities."""
        file = self._file(host)
        if file not in self._by_file:
            self._read(file)
        return self._by_file[file]

    def _read(self, file: str) -> list[str]:
        trust = self._by_file[file] = Trust((file,) if file else (), self._now)
        problems = [f"authorities: {problem}" for problem in trust.reload()]
        for problem in problems:
            log.warn("{problem}", problem=problem)
        return problems

    def _file(self, host: str) -> str:
        file = self._server.config.authorities(host)
        return "" if file is None else str(file)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._server.now(), UTC)


def _resolver(server: Server) -> DnsResolver:
    """What asks the name servers of the configuration, or else the system's."""
    options = server.config.server
    return DnsResolver(
        server.reactor,
        servers=options.dns_addresses,
        timeout=options.s2s_dns_timeout,
        retries=options.s2s_dns_retries,
    )
