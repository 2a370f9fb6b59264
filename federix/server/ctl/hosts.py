"""Which of its hosts an operator means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.commands import CommandError
from ...core.host import Host
from ...xmpp.jid import InvalidJID, prepare_domain

if TYPE_CHECKING:
    from ..server import Server


class HostCommands:
    """Commands of a *server* about its hosts."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def _host(self, name: str) -> Host:
        """The one of that *name*; raises `CommandError`."""
        try:
            host = self._server.host(prepare_domain(name))
        except InvalidJID:
            host = None
        if host is None:
            raise CommandError(f"{name} is not served here; the hosts are {', '.join(self._server.config.hosts)}")
        return host

    def _hosts(self) -> list[Host]:
        """All, as the configuration names them."""
        return [host for name in self._server.config.hosts if (host := self._server.host(name))]
