"""What the tests of components share: a server with a port for them."""

from __future__ import annotations

from typing import Any

from federix.testing import Client, World
from federix.testing.component import open_stream
from tests.links.support import WorldTestCase

IRC = "irc.example.org"
NEWS = "news.example.org"
ROMEO = "romeo@example.org/orchard"


class ComponentCase(WorldTestCase):
    """A server with a listener for components, on port 5275."""

    def service(
        self, config: dict[str, Any] | None = None, *, modules: Any = None, own: Any = None, **options: Any
    ) -> World:
        hosts = {IRC: {"password": "secret"}}
        entry = {"module": "ejabberd_service", "ip": "127.0.0.1", "port": 5275, "hosts": hosts, **options}
        c2s = {"module": "ejabberd_c2s", "ip": "127.0.0.1", "port": 5222, "starttls_required": False}
        settings = {"listen": [c2s, {name: value for name, value in entry.items() if value is not None}]}
        return self.make({**settings, **(config or {})}, modules=modules or {}, own_modules=own)

    def opened(self, world: World, domain: str = IRC, **options: Any) -> Client:
        client = world.connect(5275, **options)
        open_stream(client, domain)
        return client

    def received(self, client: Client) -> list[str | None]:
        """The ids of the stanzas that have come."""
        return [element.get("id") for element in client.drain()]
