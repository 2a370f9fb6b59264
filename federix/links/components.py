"""The domains of components, and the connections that stand for each: what `ejabberd_service_sup` is to ejabberd."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from hashlib import blake2b
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..core import hooks
from ..core.component_options import Balancing
from ..core.host import Host
from ..core.router import Router
from ..life.tree import Branch, Node
from ..xmpp.errors import Condition, StanzaError, StreamCondition, StreamError
from ..xmpp.jid import JID
from ..xmpp.stanza import Stanza

log = Logger()

#: Domains that components may bring with them, beyond those that are configured.
UNANNOUNCED_AT_MOST: Final = 1000


class Connection(Protocol):
    """A component's connection: it has proved that *domain* is its own, and may stand for *others*, too."""

    @property
    def domain(self) -> str: ...
    @property
    def others(self) -> tuple[str, ...]: ...
    @property
    def id(self) -> str:
        """Its stream's id, which no other has."""

    @property
    def peer(self) -> str:
        """The address of the other end, for people."""

    def send(self, stanza: Stanza) -> None: ...
    def end(self, error: StreamError) -> None: ...


class Surroundings(Protocol):
    """What components need from the server they live in."""

    @property
    def clock(self) -> IReactorTime: ...
    @property
    def router(self) -> Router: ...
    @property
    def hosts(self) -> Branch: ...
    @property
    def random_bytes(self) -> Callable[[int], bytes]: ...

    def balancing(self, domain: str) -> Balancing:
        """How the connections of *domain* share what is for it."""

    def component_domains(self) -> frozenset[str]:
        """The domains that listeners keep for components."""


class Components(Branch):
    """The domains of components: those that are configured all the time, others as long as a component is there.

    A configured domain is ours, be its component there or not: nobody looks for it elsewhere, and what is sent to it
    meanwhile goes back (RFC 6120 §10.5).
    """

    def __init__(self, server: Surroundings) -> None:
        super().__init__("components", server.clock)
        self.server = server

    async def on_start(self) -> None:
        await super().on_start()
        await self.expect(self.server.component_domains())

    async def on_stop(self) -> None:
        await super().on_stop()
        self.children.clear()

    # -- configuration --------------------------------------------------------------------------------------------

    async def expect(self, domains: Iterable[str]) -> None:
        """Keep *domains* for components from now on."""
        for name in sorted(domains):
            if name not in self.children:
                await self.add(ComponentDomain(name, self))

    async def give_up(self, kept: Iterable[str], hosts: Iterable[str]) -> None:
        """Let go of domains that are not *kept* and have no component, and of all that are *hosts* of our own now."""
        kept, hosts = frozenset(kept), frozenset(hosts)
        for domain in self._domains():
            if domain.name in hosts:
                for connection in list(domain.own):
                    connection.end(StreamError(StreamCondition.CONFLICT, "the server serves this domain itself now"))
                await self.remove(domain.name)
            elif domain.name not in kept and not domain.connections:
                await self.remove(domain.name)

    def _domains(self) -> list[ComponentDomain]:
        return [node for node in self.children.values() if isinstance(node, ComponentDomain)]

    def of(self, name: str) -> ComponentDomain | None:
        """The domain of that name, if it is a component's."""
        found = self.children.get(name)
        return found if isinstance(found, ComponentDomain) else None

    # -- connections ----------------------------------------------------------------------------------------------

    def refusal(self, name: str) -> StreamError | None:
        """Why a connection more for the domain *name* cannot be had; None where it can."""
        domain = self.of(name)
        if domain is not None:
            most = self.server.balancing(name).component_number
            if len(domain.own) >= most:
                return StreamError(StreamCondition.CONFLICT, f"this domain has {most} connections already")
        elif self.server.router.serves(name):
            return StreamError(StreamCondition.CONFLICT, "this domain is served by somebody else here")
        elif len(self.children) - len(self.server.component_domains()) >= UNANNOUNCED_AT_MOST:
            return StreamError(StreamCondition.RESOURCE_CONSTRAINT, "there are too many components")
        return None

    def connected(self, connection: Connection) -> None:
        """From now on *connection* gets what is for its domain, to which there must be no `refusal`.

        It also gets what is for the others that it stands for, as long as nobody connects for them.
        """
        domain = self.of(connection.domain)
        if domain is None:
            domain = ComponentDomain(connection.domain, self)
            _at_once(self.add(domain))
        domain.join(connection, domain.own)
        for name in connection.others:
            other = self.of(name)
            if other is not None:
                other.join(connection, other.standing_in)

    def disconnected(self, connection: Connection, reason: str) -> None:
        """*connection* has ended, or was never `connected`."""
        for name in (connection.domain, *connection.others):
            domain = self.of(name)
            if domain is None or not domain.leave(connection, reason):
                continue
            if not domain.connections and name not in self.server.component_domains():
                _at_once(self.remove(name))

    def tell(self, name: str, reason: str | None) -> None:
        """A component is there (no *reason*), or has gone: who takes the hooks hears of it, on every host."""
        jid = JID("", name)
        for host in self.server.hosts.children.values():
            if not isinstance(host, Host) or not host.running:
                continue
            if reason is None:
                hooks.component_connected.run(host.chains, jid)
            else:
                hooks.component_disconnected.run(host.chains, jid, reason)


class ComponentDomain(Branch):
    """One domain of a component. Its children are its connections, for people to see."""

    def __init__(self, name: str, components: Components) -> None:
        super().__init__(name, components.clock)
        self._components = components
        self._server = components.server
        #: Connections for this very domain, and those for another one that stand in as long as there are none.
        self.own: list[Connection] = []
        self.standing_in: list[Connection] = []
        self._nodes: dict[Connection, str] = {}
        self._number = 0

    async def on_start(self) -> None:
        self._server.router.register(self.name, self)

    async def on_stop(self) -> None:
        self._server.router.unregister(self.name)
        await super().on_stop()
        # Their ends come later, and concern nobody then.
        self.own, self.standing_in = [], []
        self._nodes.clear()
        self.children.clear()

    @property
    def connections(self) -> list[Connection]:
        """Those that get what is for this domain."""
        return self.own or self.standing_in

    def join(self, connection: Connection, group: list[Connection]) -> None:
        """*connection* is there, in one of the two groups."""
        there = bool(self.connections)
        group.append(connection)
        self._number += 1
        name = self._nodes[connection] = f"connection {self._number} from {connection.peer}"
        _at_once(self.add(Node(name, self.clock)))
        if not there:
            self._components.tell(self.name, None)

    def leave(self, connection: Connection, reason: str) -> bool:
        """*connection* has gone; returns whether it was there."""
        for group in (self.own, self.standing_in):
            if connection in group:
                group.remove(connection)
                _at_once(self.remove(self._nodes.pop(connection)))
                if not self.connections:
                    self._components.tell(self.name, reason)
                return True
        return False

    # -- stanzas --------------------------------------------------------------------------------------------------

    def deliver(self, stanza: Stanza) -> None:
        """Hand *stanza* to the component; remote-server-timeout where it is not connected (RFC 6120 §8.3.3.17).

        That is an error which may pass: to those who are in a component's room, service-unavailable would mean that
        they are not any more.
        """
        connections = self.connections
        if not connections:
            raise StanzaError(Condition.REMOTE_SERVER_TIMEOUT, "the component is not connected")
        (connections[0] if len(connections) == 1 else self._choose(connections, stanza)).send(stanza)

    def _choose(self, connections: list[Connection], stanza: Stanza) -> Connection:
        how = self._server.balancing(self.name).type
        if how == "random":
            return connections[int.from_bytes(self._server.random_bytes(4), "big") % len(connections)]
        address = stanza.sender if how in ("source", "bare_source") else stanza.to
        if address is not None and how in ("bare_source", "bare_destination"):
            address = address.bare
        text = str(address).encode()
        # By the highest hash: when a connection comes or goes, only those move who come to it or were at it.
        return max(connections, key=lambda connection: blake2b(text, key=connection.id.encode()[:64]).digest())


def _at_once(task: Coroutine[Any, Any, None]) -> None:
    """Do now what waits for nothing."""
    done: Deferred[None] = ensureDeferred(task)
    failures: list[Failure] = []
    done.addErrback(failures.append)
    if failures:
        failures[0].raiseException()
