"""What the tests of stream management share: to enable it, to lose a connection, to come back."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import ensureDeferred

from federix.core.session import Session
from federix.streams.turn import SOON
from federix.testing import Client, World
from federix.testing.login import scram_sha_1
from federix.testing.world import PASSWORD
from federix.xmpp import ns
from federix.xmpp.element import Element
from federix.xmpp.jid import JID

from .support import WorldTestCase

SM = f"xmlns='{ns.SM}'"
R = f"<r {SM}/>"


def a(h: int) -> str:
    return f"<a {SM} h='{h}'/>"


def failed(condition: str) -> str:
    return f"<failed {SM}><{condition} xmlns='{ns.STANZA_ERROR}'/></failed>"


class ManagedCase(WorldTestCase):
    """Romeo manages his stream, Juliet does not. Nothing stands in his way but the module under test."""

    def begin(self, options: dict[str, Any] | None = None, modules: dict[str, Any] | None = None, **more: Any) -> None:
        self.world: World = self.make(modules={"mod_stream_mgmt": options or {}, **(modules or {})}, **more)
        self.juliet = self.world.client("juliet@example.org/balcony")
        self.romeo = self.world.client("romeo@example.org/orchard")

    def enable(self, client: Client, attrs: str = "resume='true'") -> str:
        """Enable stream management; the id to resume by."""
        client.send(f"<enable {SM} {attrs}/>")
        return client.expect(f"<enabled {SM}/>").get("id") or ""

    def logged_in(self, user: str = "romeo", *, ip: str = "192.0.2.1", tls: bool = False) -> Client:
        """A client that has authenticated and not bound a resource."""
        client = self.world.connect(ip=ip)
        client.open("example.org")
        if tls:
            client.start_tls("example.org")
            client.open("example.org")
        scram_sha_1(client, user, PASSWORD)
        client.open("example.org")
        return client

    def resume(self, id: str, h: int, user: str = "romeo", **more: Any) -> tuple[Client, Element]:
        """Come back on a new stream; the client, and the answer."""
        client = self.logged_in(user, **more)
        client.send(f"<resume {SM} previd='{id}' h='{h}'/>")
        return client, client.receive()

    def resumed(self, id: str, h: int, **more: Any) -> Client:
        client, answer = self.resume(id, h, **more)
        self.assertEqual((answer.ns, answer.name, answer.get("previd")), (ns.SM, "resumed", id), answer.to_xml())
        client.jid = JID.parse("romeo@example.org/orchard")
        return client

    def say(self, *bodies: str, to: str = "romeo@example.org/orchard", kind: str = "chat") -> None:
        """Have Juliet say something."""
        for body in bodies:
            self.juliet.send(f"<message to='{to}' type='{kind}' id='{body}'><body>{body}</body></message>")

    def bodies(self, client: Client) -> list[str]:
        """What was said to *client* since it last looked; what else came is left out."""
        got = [element.text_of(ns.CLIENT, "body") for element in client.drain() if element.name == "message"]
        return [body for body in got if body]

    def answer(self, client: Client, h: int) -> None:
        """Acknowledge, when asked."""
        client.expect(R)
        client.send(a(h))

    def told(self, client: Client, h: int) -> None:
        """*client*, which has asked, is told in a moment how much of what it sent is settled."""
        for _ in range(2):  # as the timer does, or the sums would differ a little
            self.world.advance(SOON / 2)
        client.expect(a(h), exact=True)

    def session(self, local: str = "romeo", resource: str = "orchard") -> Session:
        session = self.world.host("example.org").sessions.find(local, resource)
        assert session is not None
        return session

    def is_there(self, local: str = "romeo", resource: str = "orchard") -> bool:
        return self.world.host("example.org").sessions.find(local, resource) is not None

    def stop(self) -> None:
        """Stop the server, with all the time it takes."""
        stopping = ensureDeferred(self.world.server.stop())
        self.world.advance(30)
        self.successResultOf(stopping)
