"""A server in virtual time: no sockets, no threads, no waiting."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.python.failure import Failure
from twisted.trial.unittest import FailTest
from zope.interface import implementer

from ..core.host import Host
from ..core.loader import Catalogue
from ..life.executor import InlineExecutor
from ..modules import MODULES
from ..server.config import Config
from ..server.server import Server
from ..xmpp.jid import JID
from .client import Client
from .component import log_in
from .guard import Watched, refuse_deadlock
from .machine import Machine
from .network import BEGINNING, Network
from .wire import Wire

__all__ = ["BEGINNING", "PASSWORD", "World"]

PASSWORD = "secret"
#: Where components connect.
COMPONENT_PORT = 5275


class World:
    """One server on a clock of its own, or that of its *network*, with real SQLite in memory.

    *config* is merged over a small configuration for tests: these *hosts*, these *modules*, clients on port 5222 with
    and without STARTTLS and on 5223 with TLS. *server* is the server, *clock* its time and its ports, *directory* its
    data, *settings* its configuration as a mapping. It begins at eight in the morning (UTC).
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        *,
        modules: Mapping[str, Mapping[str, Any]] | None = None,
        hosts: Sequence[str] = ("example.org",),
        listener: Mapping[str, Any] | None = None,
        listen: Sequence[Mapping[str, Any]] = (),
        own_modules: Mapping[str, Any] | None = None,
        components: Mapping[str, str] | None = None,
        start: bool = True,
        network: Network | None = None,
        machine: Machine | None = None,
    ) -> None:
        """*listener*: options for port 5222; *listen*: more listeners; *own_modules*: module classes by name, beside
        Federix's own.

        *components*: passwords of components by their domains; they connect to port 5275.

        *network*: where other servers are; see `Federation`. Time passes for all of them. *machine*: of another world,
        whose place it takes.
        """
        self.network: Network = machine.network if machine is not None else network or Network()
        self.clock: Machine = machine if machine is not None else self.network.add(*hosts)
        self._crashed = False
        self.directory = Path(tempfile.mkdtemp(prefix="federix-world-"))
        self._modules = Catalogue({**MODULES, **(own_modules or {})})
        c2s = {"module": "ejabberd_c2s", "ip": "127.0.0.1", "starttls_required": False}
        self.settings: dict[str, Any] = {
            "hosts": list(hosts),
            "sql_database": ":memory:",
            # One hash only: making the keys of an account is what takes longest in a test.
            "auth_stored_password_types": ["scram_sha1"],
            "listen": [
                {**c2s, "port": 5222, **(listener or {})},
                {**c2s, "port": 5223, "tls": True, "starttls": False},
                *listen,
                *_service(components or {}),
            ],
            "modules": dict(modules or {}),
            **(config or {}),
        }
        try:
            server = Server(
                self.configure(self.settings),
                self.clock,
                now=lambda: BEGINNING + self.clock.seconds(),
                executor=InlineExecutor(),
                iterations=4096,
                resolver=self.network.dns,
            )
            server.on_asking = refuse_deadlock
            if start:
                self.run(server.start())
        except BaseException:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise
        self.server: Server = server

    def configure(self, settings: Mapping[str, Any]) -> Config:
        """A configuration of this world's server, as `Server.reload` takes it."""
        return Config.load(settings, known_modules=self._modules.find, directory=self.directory)

    # -- time -----------------------------------------------------------------------------------------------------

    @property
    def wires(self) -> list[Wire]:
        """The connections on its network."""
        return self.network.wires

    def pump(self) -> None:
        """Carry what is on the wires and run what is due, until nothing moves."""
        self.network.pump()

    def advance(self, seconds: float) -> None:
        """Let time pass, timer by timer."""
        self.network.advance(seconds)

    def run(self, task: Any) -> Any:
        """Run a coroutine to its end and return its result; it must not need time to pass."""
        done: Deferred[Any] = ensureDeferred(task)
        results: list[Any] = []
        done.addBoth(results.append)
        self.pump()
        if not results:
            raise FailTest("it waits for something")
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]

    def stop(self) -> None:
        """Stop the server and forget all there was."""
        stop_together([self])

    def crash(self, *, silently: bool = False) -> None:
        """End the server as a crash would: everybody loses the connection to it. *silently*: as when the current goes,
        nobody is told, and the machine is not there any more until `Machine.boot` or another world on it."""
        self._crashed = True
        self.clock.crash(silently=silently)
        self.run(self.server.storage.stop())
        shutil.rmtree(self.directory, ignore_errors=True)

    # -- people ---------------------------------------------------------------------------------------------------

    def host(self, name: str) -> Host:
        """A running host; KeyError where there is none of that name."""
        host = self.server.host(name)
        if host is None:
            raise KeyError(name)
        return host

    def register(self, jid: str, password: str = PASSWORD) -> JID:
        """Make an account."""
        address = JID.parse(jid)
        self.run(self.host(address.domain).accounts.register(address.local, password))
        return address

    def connect(self, port: int = 5222, *, ip: str = "192.0.2.1") -> Client:
        """A connection to a port, nothing said yet."""
        near, far = IPv4Address("TCP", ip, self.clock.free_port()), IPv4Address("TCP", "127.0.0.1", port)
        wire = Wire(self.clock, near, far)
        wire.far.machine = self.clock
        client = Client(self, wire)
        protocol = self._factory(port).buildProtocol(near)
        self.network.wires.append(wire)
        wire.near.attach(client)
        if protocol is None:
            wire.cut()
        else:
            protocol.owner = Watched(protocol.owner, protocol)
            wire.far.attach(protocol)
        self.pump()
        return client

    def _factory(self, port: int) -> Any:
        for number, factory, *_ in self.clock.tcpServers:
            if number == port:
                return factory
        raise KeyError(port)

    def client(self, jid: str, password: str = PASSWORD, *, tls: bool = False, ip: str = "192.0.2.1") -> Client:
        """A client that is logged in and bound; its account is made where it is not there."""
        address = JID.parse(jid)
        if not self.run(self.host(address.domain).accounts.exists(address.local)):
            self.register(str(address.bare), password)
        client = self.connect(ip=ip)
        client.open(address.domain)
        if tls:
            client.start_tls(address.domain)
            client.open(address.domain)
        client.login(address, password)
        return client

    def component(
        self, domain: str, password: str = PASSWORD, *, port: int = COMPONENT_PORT, ip: str = "127.0.0.1"
    ) -> Client:
        """A component that is connected (XEP-0114). What it sends needs 'from' and 'to'."""
        client = self.connect(port, ip=ip)
        log_in(client, domain, password)
        return client

    def tls_client(self, server_name: str | None = None) -> IOpenSSLClientConnectionCreator:
        """What makes the client's end of TLS; it verifies nothing."""
        return _TlsClient(server_name)


def stop_together(worlds: Sequence[World]) -> None:
    """Stop the servers of *worlds* on one network, and forget all there was."""
    failures: list[Failure] = []
    worlds = [world for world in worlds if not world._crashed]
    for world in worlds:
        ensureDeferred(world.server.stop()).addErrback(failures.append)
    if worlds:
        worlds[0].advance(30)
    for world in worlds:
        shutil.rmtree(world.directory, ignore_errors=True)
    if failures:
        failures[0].raiseException()


def _service(components: Mapping[str, str]) -> list[dict[str, Any]]:
    hosts = {domain: {"password": password} for domain, password in components.items()}
    entry = {"module": "ejabberd_service", "ip": "127.0.0.1", "port": COMPONENT_PORT, "hosts": hosts}
    return [entry] if hosts else []


@implementer(IOpenSSLClientConnectionCreator)
class _TlsClient:
    def __init__(self, server_name: str | None) -> None:
        self._server_name = server_name

    def clientConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        connection = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
        if self._server_name is not None:
            connection.set_tlsext_host_name(self._server_name.encode("idna"))
        return connection
