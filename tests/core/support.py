"""What the tests of the core share."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from federix.core.chain import Chains
from federix.core.session import Session
from federix.core.unfinished import Unfinished
from federix.life.scope import Scope
from federix.testing import Client, World
from federix.xmpp.element import Element

STANZA_ERROR = "urn:ietf:params:xml:ns:xmpp-stanzas"
STREAM_ERROR = "urn:ietf:params:xml:ns:xmpp-streams"


def condition(element: Element) -> str:
    """The condition of a stanza of type error."""
    assert element.get("type") == "error", element.to_xml()
    error = next(child for child in element.elements() if child.name == "error")
    return next(child.name for child in error.elements() if child.ns == STANZA_ERROR and child.name != "text")


def stream_condition(element: Element) -> str:
    """The condition of a stream error."""
    assert element.name == "error", element.to_xml()
    return next(child.name for child in element.elements() if child.ns == STREAM_ERROR and child.name != "text")


def session_of(client: Client) -> Session:
    """The server's side of *client*."""
    assert client.jid is not None
    session = client.world.host(client.jid.domain).sessions.find(client.jid.local, client.jid.resource)
    assert session is not None
    return session


def make_available(client: Client, priority: int = 0) -> None:
    """Have *client* available, without a module for presence."""
    session = session_of(client)
    session.available, session.priority = True, priority


def new_chains(clock: Clock) -> Chains:
    """Chains without a host."""
    scope = Scope(clock)
    return Chains(scope, Unfinished(clock, scope.later))


class WorldTestCase(SynchronousTestCase):
    """A test in a world that ends with it."""

    def new_world(self, **options: Any) -> World:
        world = World(**options)
        self.addCleanup(world.stop)
        return world

    def session(self, client: Client) -> Session:
        return session_of(client)

    def available(self, client: Client, priority: int = 0) -> None:
        make_available(client, priority)

    def failures(self, kind: type[BaseException], count: int = 1) -> None:
        """So many failures of that *kind* were logged, and nothing else."""
        self.assertEqual(len(self.flushLoggedErrors(kind)), count)


class Gate:
    """Holds whoever waits at it until it is opened."""

    def __init__(self) -> None:
        self._waiting: list[Deferred[None]] = []

    def __len__(self) -> int:
        return sum(not deferred.called for deferred in self._waiting)

    async def wait(self) -> None:
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        await waiting

    def open(self, error: BaseException | None = None) -> None:
        """Let everyone go on, or let *error* meet them."""
        waiting, self._waiting = self._waiting, []
        for deferred in (deferred for deferred in waiting if not deferred.called):
            if error is None:
                deferred.callback(None)
            else:
                deferred.errback(error)
