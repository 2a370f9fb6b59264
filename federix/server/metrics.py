"""What a server counts while it runs, in one place, for whoever shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.host import Host
from ..life.tree import Node
from ..streams.owner import Counters

if TYPE_CHECKING:
    from .server import Server


class Metrics(Node):
    """The figures of one server, since it was made."""

    def __init__(self, server: Server) -> None:
        super().__init__("metrics", server.clock)
        self._server = server
        self.counters = Counters()

    def figures(self) -> dict[str, int]:
        """Each figure by name, as it stands."""
        server = self._server
        hosts = [host for host in server.hosts.children.values() if isinstance(host, Host)]
        return {
            "connections": len(server.listeners.streams),
            "sessions": sum(len(host.sessions) for host in hosts),
            "servers": sum(link.authorised for link in server.federation.links),
            "bytes_waiting_for_servers": server.federation.waiting,
            "requests_waiting": sum(len(host.requests) for host in hosts),
            "stanzas_received": self.counters.received,
            "stanzas_sent_as_received": self.counters.reused,
            "stanzas_sent_anew": self.counters.rendered,
            **server.storage.figures(),
        }
