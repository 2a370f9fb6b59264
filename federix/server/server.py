"""The whole service tree on one screen.

``Server(config, reactor)`` is a Twisted service: hang it under an application, or ``await server.start()`` and
``await server.stop()``. Many of them live in one process; nothing of one is seen by another.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ..core.access import Access
from ..core.accounts import AccountPolicy
from ..core.commands import Commands
from ..core.host import Host
from ..core.host_options import HostOptions
from ..core.loader import Wanted, load, ordered
from ..core.router import Router
from ..life.executor import Executor, ThreadExecutor
from ..life.tree import Branch, Node, State
from ..storage.memory import MemoryStorage
from ..storage.storage import Storage
from ..streams.certificates import Certificates, self_signed
from ..streams.stream import Counters
from ..streams.turn import Turn
from ..xmpp.jid import JID
from ..xmpp.sasl import HASH_NAMES, HashName
from ..xmpp.stanza import IQ
from .config import Config
from .ctl.commands import Process, ServerCommands
from .ctl.service import ControlNode
from .listeners import Listener, Listeners

log = Logger()

DAY: Final = 24 * 60 * 60.0
#: Threads for what blocks: the database and password hashes.
THREADS: Final = 8
#: Seconds a server that stops gives its parts to end well.
DRAIN_TIMEOUT: Final = 5.0

_HASHES: Final[dict[str, HashName]] = {
    "scram_sha1": "SHA-1",
    "scram_sha256": "SHA-256",
    "scram_sha512": "SHA-512",
}


class Server(Branch):
    """A Federix server: what `ejabberd_sup` is to ejabberd."""

    def __init__(
        self,
        config: Config,
        reactor: Any,
        *,
        now: Callable[[], float] = time.time,
        executor: Executor | None = None,
        storage: Storage | None = None,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        iterations: int = 10_000,
        process: Process | None = None,
        ctl: bool = True,
    ) -> None:
        """*reactor* listens and is the clock; *executor* runs what blocks (threads of our own, unless given).

        *process* is what the program around it does for the operator; with *ctl* the operator is listened to at a
        socket in the data directory, which then belongs to this server alone.
        """
        super().__init__("federix", reactor)
        self.config = config
        self.reactor = reactor
        self.now = now
        self.random_bytes = random_bytes
        self.iterations = iterations
        self.on_asking: Callable[[Host, JID, Deferred[IQ]], None] | None = None
        self.counters = Counters()
        self.turn = Turn(reactor)
        self._threads = None if executor else ThreadExecutor(reactor, threads=THREADS, name="federix")
        self.executor: Executor = executor or self._threads  # type: ignore[assignment]
        self.storage = storage or _storage(config, self.executor)
        self.commands = Commands()
        self.commands.add_all(ServerCommands(self, process))

        self.certificates = CertificatesNode(self)
        self.router = Router("router", reactor)
        self.federation = Branch("federation", reactor)
        self.components = Branch("components", reactor)
        self.hosts = Branch("hosts", reactor)
        self.listeners = Listeners(self)
        # Started in this order, stopped in the reverse.
        if ctl:
            self.attach(ControlNode(self))
        for node in (
            StorageNode(self),
            self.certificates,
            self.router,
            self.federation,
            self.components,
            self.hosts,
            self.listeners,
        ):
            self.attach(node)
        for name in config.hosts:
            self.hosts.attach(self._new_host(name))
        for listener in config.listeners:
            self.listeners.attach(Listener(self, listener))

    # -- what its parts ask for -----------------------------------------------------------------------------------

    def host(self, domain: str) -> Host | None:
        """The running virtual host of that name."""
        found = self.hosts.children.get(domain)
        return found if isinstance(found, Host) and found.running else None

    def host_options(self, domain: str) -> HostOptions:
        return self.config.options(domain)

    def access(self, domain: str) -> Access:
        return self.config.access(domain)

    @property
    def default_host(self) -> str:
        return self.config.hosts[0]

    @property
    def negotiation_timeout(self) -> float:
        return self.config.server.negotiation_timeout

    @property
    def registration_timeout(self) -> float:
        return self.config.server.registration_timeout

    def token(self) -> str:
        """An unguessable identifier: 120 bits in 30 characters."""
        return self.random_bytes(15).hex()

    # -- life -----------------------------------------------------------------------------------------------------

    async def on_start(self) -> None:
        if self._threads is not None:
            self._threads.start()
        try:
            await super().on_start()
        except BaseException:
            self._end_threads()
            raise
        log.info("server started", hosts=", ".join(self.config.hosts))

    async def on_stop(self) -> None:
        """In two passes: everything lets go of what can end well, then all of it ends, storage last."""
        self.state = State.RUNNING
        await self.drain(self.clock.seconds() + DRAIN_TIMEOUT)
        await super().on_stop()
        self._end_threads()
        log.info("server stopped")

    def _end_threads(self) -> None:
        if self._threads is not None:
            self._threads.stop()

    # -- hosts at run time ----------------------------------------------------------------------------------------

    def _new_host(self, name: str) -> Host:
        return HostWithModules(name, self)

    def policy(self, name: str) -> AccountPolicy:
        """What is kept of passwords on a host."""
        types = self.config.options(name).stored_password_types()
        hashes = tuple(h for h in HASH_NAMES if any(_HASHES.get(t) == h for t in types))
        return AccountPolicy(hashes, "plain" in types, self.iterations)

    def wanted_modules(self, name: str) -> Wanted:
        return {module.name: (module.cls, module.options) for module in self.config.modules(name).values()}

    async def reload(self, config: Config) -> None:
        """Run with another configuration from now on; sessions, timers and connections live on.

        Hosts, modules and listeners come and go as *config* says, options are swapped in place, certificates are
        read again. Raises `ModuleError`, with nothing changed, where modules lack others they require.
        """
        for name in config.hosts:
            ordered(module.cls for module in config.modules(name).values())  # before anything is touched
        old, self.config = self.config, config
        self.certificates.reconfigure()
        for name in list(self.hosts.children):
            if name not in config.hosts:
                await self.hosts.remove(name)
        for name in config.hosts:
            host = self.hosts.children.get(name)
            if host is None:
                await self.hosts.add(self._new_host(name))
            elif isinstance(host, Host):
                host.accounts.policy = self.policy(name)
                await load(host, self.wanted_modules(name))
        for listener in old.listeners:
            if not any(listener.name == new.name for new in config.listeners):
                await self.listeners.remove(listener.name)
        for listener in config.listeners:
            running = self.listeners.of(listener)
            if running is None:
                await self.listeners.add(Listener(self, listener))
            else:
                running.reconfigure(listener)
        log.info("configuration reloaded", hosts=", ".join(config.hosts))


class HostWithModules(Host):
    """A host that starts the modules its configuration names."""

    def __init__(self, name: str, server: Server) -> None:
        super().__init__(name, server, server.clock, server.policy(name))
        self._configured = server

    async def on_start(self) -> None:
        await super().on_start()
        try:
            await load(self, self._configured.wanted_modules(self.name))
        except BaseException:
            await self.on_stop()
            raise


class StorageNode(Node):
    """The database: first up, last down."""

    def __init__(self, server: Server) -> None:
        super().__init__("storage", server.clock)
        self._server = server

    async def on_start(self) -> None:
        self._server.config.directory.mkdir(parents=True, exist_ok=True)
        await self._server.storage.start()

    async def on_stop(self) -> None:
        await self._server.storage.stop()


class CertificatesNode(Node):
    """The certificates of all hosts: read at start and on reload, watched for their end."""

    def __init__(self, server: Server) -> None:
        super().__init__("certificates", server.clock)
        self._server = server
        self.store = Certificates((), lambda: datetime.fromtimestamp(server.now(), UTC))
        self._read = False

    def privilegedStartService(self) -> None:
        """Keys may be readable by root alone."""
        self._load()

    async def on_start(self) -> None:
        if not self._read:
            self._load()
        self._watch()

    def reconfigure(self) -> None:
        """The configuration changed, or the files did."""
        self._load()

    def _load(self) -> None:
        self._read = True
        config = self._server.config
        self.store.certfiles = tuple(str(config.folder / pattern) for pattern in config.server.certfiles)
        if not config.server.certfiles:
            # Whoever has no certificate gets one made on the spot: clients will ask before they trust it.
            made = self_signed(config.directory, config.hosts, self.store.now)
            self.store.certfiles = (str(made),)
        for problem in self.store.reload():
            log.warn("certificate: {problem}", problem=problem)
        self._complain()

    def _complain(self) -> None:
        for problem in self.store.check(self._server.config.hosts):
            log.warn("certificate: {problem}", problem=problem)

    def _watch(self) -> None:
        self.scope.later(DAY, self._again)

    def _again(self) -> None:
        self._complain()
        self._watch()


def _storage(config: Config, executor: Executor) -> Storage:
    if config.server.default_db == "memory":
        return MemoryStorage()
    from ..storage.sqlite import SqliteStorage

    return SqliteStorage(str(config.database()), executor)
