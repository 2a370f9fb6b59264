"""Several servers that speak with each other, in virtual time: ``Federation("a.test", "b.test")``."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

from ..modules import MODULES
from ..server.config.table import LISTENERS
from ..streams.resolver import Srv
from .certificates import WRONG_NAME, Kind
from .client import Client
from .dns import a_labels
from .network import Network
from .peer import PORT, TLS_PORT, Peer
from .transcript import Transcript
from .world import PASSWORD, World, stop_together

_LISTENER: Final = "ejabberd_s2s_in"


class Federation:
    """A `World` for each of *domains*, on one `Network`.

    They find each other by SRV records, listen for each other on port 5269 and with TLS on 5270, and trust what the
    network's authority issues, which is what they have. ::

        federation = Federation("a.test", "b.test")
        romeo = federation.client("romeo@a.test/orchard")
        juliet = federation.client("juliet@b.test/balcony")
        romeo.send("<message to='juliet@b.test/balcony'><body>Hi</body></message>")
        juliet.expect("<message from='romeo@a.test/orchard'><body>Hi</body></message>")
        federation.transcript.between("a.test", "b.test").connections()

    *worlds* has them by domain, *folder* their certificates. *network* is where faults are made: `Network.partition`,
    `Network.cut`, `Network.dns` and so on.
    """

    def __init__(
        self,
        *domains: str,
        config: Mapping[str, Any] | None = None,
        modules: Mapping[str, Mapping[str, Any]] | None = None,
        bidi: bool = True,
        dialback: bool = True,
        direct_tls: bool = False,
        certificates: Kind | Mapping[str, Kind | None] = "trusted",
        worlds: Mapping[str, Mapping[str, Any]] | None = None,
        network: Network | None = None,
    ) -> None:
        """*config* and *modules* are for all, as for a `World`; *bidi* and *dialback* say whether the modules for
        these are among them.

        *worlds*: more options of a `World` for one domain. Its ``config`` and ``modules`` are merged over the common
        ones, a module that is ``None`` is left out; ``hosts`` are all domains it serves, in place of one. *direct_tls*:
        SRV records say that TLS from the first byte is better. *certificates*: of what kind they have one, all or each;
        with ``None`` a server speaks no TLS with others.
        """
        self.network = network or Network()
        self.folder = Path(tempfile.mkdtemp(prefix="federix-federation-"))
        self.worlds: dict[str, World] = {}
        self._settings: dict[str, dict[str, Any]] = {}
        self._config = dict(config or {})
        self._modules: dict[str, Any] = dict(modules or {})
        for name, wanted in (("mod_s2s_bidi", bidi), ("mod_s2s_dialback", dialback)):
            if wanted and name in MODULES:
                self._modules.setdefault(name, {})
        self._direct_tls = direct_tls
        (self.folder / "authority.pem").write_bytes(self.network.authority.pem)
        try:
            for domain in domains:
                kind = certificates if isinstance(certificates, str) else certificates.get(domain, "trusted")
                self.add(domain, certificate=kind, **dict((worlds or {}).get(domain, {})))
        except BaseException:
            self.stop()
            raise

    def add(self, domain: str, *, certificate: Kind | None = "trusted", **options: Any) -> World:
        """One server more; *options* are those of a `World`, as in *worlds*."""
        hosts = tuple(options.pop("hosts", (domain,)))
        settings: dict[str, Any] = {"s2s_cafile": str(self.folder / "authority.pem")}
        if certificate is None:
            settings["s2s_use_starttls"] = "false"
        else:
            file = self.folder / f"{domain}.pem"
            file.write_bytes(self.network.certificate(*hosts, kind=certificate).pem)
            settings["certfiles"] = [str(file)]
        settings |= self._config | dict(options.pop("config", None) or {})
        modules = self._modules | dict(options.pop("modules", None) or {})
        listen = [*options.pop("listen", ()), *(_listeners() if _LISTENER in LISTENERS else ())]
        options |= {
            "config": settings,
            "modules": {name: given for name, given in modules.items() if given is not None},
            "hosts": hosts,
            "listen": listen,
        }
        self._settings[domain] = options
        world = self.worlds[domain] = self._world(options, network=self.network)
        for host in hosts:
            self.publish(host)
        return world

    def restart(self, domain: str) -> World:
        """Another server with the same settings in the place of that of *domain*, which is stopped if it has not
        crashed (`World.crash`). It is at the same addresses and knows nothing: no account, no message."""
        world = self.worlds[domain]
        world.stop()
        world.clock.boot()
        self.worlds[domain] = self._world(self._settings[domain], machine=world.clock)
        return self.worlds[domain]

    def _world(self, options: Mapping[str, Any], **place: Any) -> World:
        world = World(**options, **place)
        store = world.server.certificates.store
        wrong = store.chain_for(WRONG_NAME)
        if wrong is not None:
            # A server of ours would show none rather than one for somebody else.
            store.chain_for = lambda host: wrong  # type: ignore[method-assign]
        return world

    def publish(self, domain: str) -> None:
        """Have the DNS say where the server of *domain* is."""
        dns = self.network.dns
        dns.set_addresses(domain, *self.network.machine(domain).addresses)
        dns.set_srv(f"_xmpp-server._tcp.{domain}", Srv(10, 0, PORT, a_labels(domain)))
        dns.set_srv(
            f"_xmpps-server._tcp.{domain}", *([Srv(0, 0, TLS_PORT, a_labels(domain))] if self._direct_tls else ())
        )

    def peer(self, *domains: str, **options: Any) -> Peer:
        """A scripted server on the same network, see `Peer`."""
        return Peer(self.network, *domains, **options)

    def __getitem__(self, domain: str) -> World:
        """The server of that domain; KeyError where there is none."""
        found = self.worlds.get(domain)
        if found is not None:
            return found
        for world in self.worlds.values():
            if domain in world.clock.names:
                return world
        raise KeyError(domain)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- for all of them ----------------------------------------------------------------------------------------------

    @property
    def transcript(self) -> Transcript:
        """What they said to each other."""
        return self.network.transcript

    def client(self, jid: str, password: str = PASSWORD, *, tls: bool = False) -> Client:
        """A client that is logged in at the server of its domain, see `World.client`."""
        return self[jid.partition("/")[0].rpartition("@")[2]].client(jid, password, tls=tls)

    def pump(self) -> None:
        """Carry what is on the wires and run what is due, until nothing moves."""
        self.network.pump()

    def advance(self, seconds: float) -> None:
        """Let time pass for all, timer by timer."""
        self.network.advance(seconds)

    def stop(self) -> None:
        """Stop all servers and forget all there was."""
        try:
            stop_together(list(self.worlds.values()))
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


def _listeners() -> list[dict[str, Any]]:
    listener = {"module": _LISTENER, "ip": "::"}
    return [{**listener, "port": PORT}, {**listener, "port": TLS_PORT, "tls": True}]
