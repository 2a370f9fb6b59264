"""What the tests of offline messages share: Romeo writes, Juliet has an account and comes when she is told to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from federix.modules.offline import Offline
from federix.testing import Client, World

JULIET = "juliet@example.org"
ROMEO = "romeo@example.org/orchard"


class OfflineCase(SynchronousTestCase):
    options: ClassVar[Mapping[str, Any]] = {}
    rules: ClassVar[Mapping[str, Any]] = {}

    def setUp(self) -> None:
        self.world = self.new_world()
        self.romeo = self.world.client(ROMEO)
        self.world.register(JULIET)

    def new_world(self, **more: Any) -> World:
        modules = {"mod_roster": {}, "mod_disco": {}, "mod_offline": dict(self.options)}
        world = World(modules=modules, config={"shaper_rules": dict(self.rules)}, **more)
        self.addCleanup(world.stop)
        return world

    @property
    def offline(self) -> Offline:
        return self.world.host("example.org").module(Offline)

    def write(self, *ids: str, to: str = JULIET, kind: str = "chat", content: str = "<body>x</body>") -> None:
        self.romeo.send("".join(f"<message id='{id}' to='{to}' type='{kind}'>{content}</message>" for id in ids))

    def come(self, resource: str = "balcony", presence: str = "<presence/>") -> Client:
        """Juliet's client, available, and what is handed to it."""
        client = self.world.client(f"{JULIET}/{resource}")
        client.send(presence)
        self.world.advance(2)
        return client

    def got(self, client: Client) -> list[str]:
        """The ids of the messages that have come."""
        self.world.pump()
        return [element.get("id") or "" for element in client.drain() if element.name == "message"]

    def kept(self, account: str = JULIET) -> int:
        count: int = self.world.run(self.offline.kept.count(account))
        return count

    def errors(self) -> dict[str, str]:
        """What came back to Romeo: conditions by id."""
        found = {}
        for element in self.romeo.drain():
            error = element.child("jabber:client", "error")
            assert error is not None, element.to_xml()
            first = error.first()
            assert first is not None
            found[element.get("id") or ""] = f"{error.get('type')} {first.name}"
        return found
