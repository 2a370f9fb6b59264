"""Federix on a database server of its own, which can be restarted at any moment."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

from bench.databases.server import DatabaseServer

from .subjects import Federix


class FederixOnServer(Federix):
    """This tree; its database server is started before it and ends after it."""

    @property
    @abstractmethod
    def server(self) -> DatabaseServer:
        """That of the database."""

    def _settings(self) -> dict[str, object]:
        return super()._settings() | {"sql_start_interval": 1}

    @property
    def restart_database(self) -> Callable[[bool], None]:
        return self._restart

    def _restart(self, immediately: bool) -> None:
        if immediately:
            self.server.kill()
        else:
            self.server.stop()
        self.server.start()
