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
from ..core.archive_ids import ArchiveIds
from ..core.commands import Commands
from ..core.component_options import Balancing
from ..core.host import Host
from ..core.host_options import HostOptions
from ..core.listener_options import S2SInOptions
from ..core.loader import Wanted, load
from ..core.router import Router
from ..core.rules import ShaperRule
from ..core.s2s_options import S2SServerOptions
from ..life.executor import Executor, ThreadExecutor
from ..life.tree import Branch, Node, State
from ..links.components import Components
from ..links.s2s.federation import Federation
from ..links.s2s.trust import Trust
from ..storage.archive import AHEAD
from ..storage.storage import Storage
from ..streams.budget import Budget
from ..streams.certificates import Certificates, self_signed
from ..streams.resolver import Resolver
from ..streams.tls import TlsSettings
from ..streams.turn import Turn
from ..xmpp.jid import JID
from ..xmpp.sasl import HASH_NAMES, HashName
from ..xmpp.stanza import IQ
from .accepting.kinds import KINDS
from .config import Config
from .ctl.commands import Process, ServerCommands
from .ctl.federation import FederationCommands
from .ctl.service import ControlNode
from .databases import StorageNode, storage_for
from .listeners import Listener, Listeners
from .metrics import Metrics
from .moving.commands import MovingCommands
from .reloading import reload
from .trusting import TrustNode

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
        resolver: Resolver | None = None,
    ) -> None:
        """*reactor* listens and is the clock; *executor* runs what blocks (threads of our own, unless given).
        *resolver* finds other servers; it asks the name servers of the configuration unless given.

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
        self._archive_id = self._first_archive_id = 0
        self._archive_ids: ArchiveIds | None = None
        #: Whether a reload is under way.
        self.reloading = False
        self.metrics = Metrics(self)
        self.counters = self.metrics.counters
        self.turn = Turn(reactor)
        self._threads = None if executor else ThreadExecutor(reactor, threads=THREADS, name="federix")
        self.executor: Executor = executor or self._threads  # type: ignore[assignment]
        self.storage = storage or storage_for(config, self.executor, reactor)
        self.commands = Commands()
        self.commands.add_all(ServerCommands(self, process))
        self.commands.add_all(FederationCommands(self))
        self.commands.add_all(MovingCommands(self))

        self.certificates = CertificatesNode(self)
        self.router = Router("router", reactor)
        self.trust = TrustNode(self, resolver)
        self.federation = Federation(self, reactor)
        self.components = Components(self)
        self.hosts = Branch("hosts", reactor)
        self.listeners: Listeners = Listeners(self)
        # Started in this order, stopped in the reverse.
        if ctl:
            self.attach(ControlNode(self))
        for node in (
            self.metrics,
            StorageNode(config, self.storage, reactor, self._read_archive_ids),
            self.certificates,
            self.trust,
            self.router,
            self.federation,
            self.components,
            self.hosts,
            self.listeners,
        ):
            self.attach(node)
        for name in config.hosts:
            self.hosts.attach(self.new_host(name))
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

    @property
    def resolver(self) -> Resolver:
        """What finds other servers."""
        return self.trust.resolver

    @property
    def s2s(self) -> S2SServerOptions:
        return self.config.server

    @property
    def budget(self) -> Budget:
        return self.listeners.gate.budget

    @property
    def certificate_store(self) -> Certificates:
        return self.certificates.store

    def s2s_trust(self, domain: str) -> Trust:
        """Whose certificates a host believes."""
        return self.trust.of(domain)

    @property
    def s2s_shaper(self) -> ShaperRule:
        """How fast other servers may send on connections that we have opened: as fast as at the first port for them."""
        options = (listener.options for listener in self.config.listeners)
        return next((each.shaper for each in options if isinstance(each, S2SInOptions)), ShaperRule("none"))

    def s2s_tls(self) -> TlsSettings:
        """How we speak TLS to other servers."""
        return KINDS["ejabberd_s2s_in"].common_tls(self.config)

    def balancing(self, domain: str) -> Balancing:
        """How several connections of the component *domain* share what is for it."""
        return self.config.balancing(domain)

    def component_domains(self) -> frozenset[str]:
        """The domains that listeners keep for components."""
        return self.config.component_domains()

    @property
    def first_archive_id(self) -> int:
        return self._first_archive_id

    @property
    def archive_ids(self) -> ArchiveIds:
        assert self._archive_ids is not None, "the storage has started"
        return self._archive_ids

    async def _read_archive_ids(self) -> None:
        self._archive_ids = await ArchiveIds.kept_in(self.storage, self.random_bytes)
        # The clock may have gone back. XEP-0313 §3.1: "Order within the archive MUST be preserved"; §6.2: "The IDs used
        # within an archive … MUST NOT be reused".
        unused, now = await self.storage.archives.unused(), int(self.now() * 1_000_000)
        if unused > now + AHEAD:
            log.warn(
                "the clock is {seconds} seconds behind the newest message in the archives: they go on from there",
                seconds=(unused - now) // 1_000_000,
            )
        self._first_archive_id = max(self._archive_id + 1, unused, now)
        self._archive_id = self._first_archive_id - 1

    def archive_id(self) -> int:
        self._archive_id = max(self._archive_id + 1, int(self.now() * 1_000_000))
        return self._archive_id

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
            # Ports that were bound while we had the rights to do so.
            for listener in self.listeners.children.values():
                if isinstance(listener, Listener):
                    await listener.release()
            self._end_threads()
            raise
        log.info("server started", hosts=", ".join(self.config.hosts))

    async def on_stop(self) -> None:
        """In two passes: everything lets go of what can end well, then all of it ends, storage last."""
        self.state = State.RUNNING
        self.federation.let_go(self.router.domains())
        await self.drain(self.clock.seconds() + DRAIN_TIMEOUT)
        await super().on_stop()
        self.turn.readers.close()
        self._end_threads()
        log.info("server stopped")

    def _end_threads(self) -> None:
        if self._threads is not None:
            self._threads.stop()

    # -- hosts at run time ----------------------------------------------------------------------------------------

    def new_host(self, name: str) -> Host:
        return HostWithModules(name, self)

    def policy(self, name: str) -> AccountPolicy:
        """What is kept of passwords on a host."""
        types = self.config.options(name).stored_password_types()
        hashes = tuple(h for h in HASH_NAMES if any(_HASHES.get(t) == h for t in types))
        return AccountPolicy(hashes, "plain" in types, self.iterations)

    def wanted_modules(self, name: str) -> Wanted:
        return {module.name: (module.cls, module.options) for module in self.config.modules(name).values()}

    async def reload(self, config: Config) -> list[str]:
        """Run with another configuration from now on; sessions, timers and connections live on.

        Hosts, modules and listeners come and go as *config* says, options are swapped in place, certificates are
        read again. Returns what the operator should know: which certificates are wrong, which modules could not take
        their options, what needs a restart. Raises `ModuleError`, `TlsSettingsError`, `CannotListen`, or whatever a
        module raises that cannot start: then what was in force before is in force again. Raises `CommandError` where
        the server does not run, or reloads already.
        """
        return await reload(self, config)


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


class CertificatesNode(Node):
    """The certificates of all hosts: read at start and on reload, watched for their end."""

    def __init__(self, server: Server) -> None:
        super().__init__("certificates", server.clock)
        self._server = server
        self.store = Certificates((), lambda: datetime.fromtimestamp(server.now(), UTC))
        self._read = False

    def privilegedStartService(self) -> None:
        """Keys may be readable by root alone. One of our own is made later, by the user who will read it again."""
        if self._server.config.server.certfiles:
            self._load()

    async def on_start(self) -> None:
        if not self._read:
            self._load()
        self._watch()

    async def on_stop(self) -> None:
        self._read = False

    def reconfigure(self) -> list[str]:
        """The configuration changed, or the files did; returns what is wrong."""
        return self._load()

    def _load(self) -> list[str]:
        self._read = True
        config = self._server.config
        self.store.certfiles = tuple(str(config.folder / pattern) for pattern in config.server.certfiles)
        if not config.server.certfiles:
            # Whoever has no certificate gets one made on the spot: clients will ask before they trust it.
            made = self_signed(config.directory, config.hosts, self.store.now)
            self.store.certfiles = (str(made),)
        # Of files that are not there the configuration warns, with the line that names them.
        wrong = [problem for problem in self.store.reload() if problem not in self.store.missing]
        problems = [f"certificate: {problem}" for problem in (*wrong, *self.store.check(self._domains()))]
        self._complain(problems)
        return problems

    def _domains(self) -> list[str]:
        """Those that need a certificate: the hosts, and for other servers the components as well."""
        config = self._server.config
        federates = any(listener.module == "ejabberd_s2s_in" for listener in config.listeners)
        return [*config.hosts, *(sorted(config.component_domains()) if federates else ())]

    def _complain(self, problems: list[str]) -> None:
        for problem in problems:
            log.warn("{problem}", problem=problem)

    def _watch(self) -> None:
        self.scope.later(DAY, self._again)

    def _again(self) -> None:
        self._complain([f"certificate: {each}" for each in self.store.check(self._domains())])
        self._watch()
