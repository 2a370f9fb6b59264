"""The same servers as members of a federation: each with an address, a domain and a certificate of an authority that
all of them trust. They speak with others over TLS, prove by certificates who they are, and use bidi (XEP-0288) where
they have it: ejabberd 23.01 has not."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .certificate import Authority
from .ours import Federix
from .peers import Ejabberd, Prosody
from .place import S2S_PORT, Peers, Place
from .process import Process
from .server import BenchServer, Subject
from .zone import NameServer

#: What stands behind the name of each server, and of each of those that the load plays.
SERVERS: Final = "servers.test"
REMOTE: Final = "peers.test"
#: In private, since addresses are looked up by the C library, which reads a file with one name for the whole machine.
NAMESPACE: Final = ("unshare", "--mount", "--propagation", "private")


@dataclass(frozen=True, slots=True)
class Home:
    """Where one member of a federation lives."""

    domain: str
    address: str
    certificate: Path
    authority: Path
    name_server: str


class Network:
    """Addresses, names and certificates for everybody."""

    def __init__(self, folder: Path, name_server: NameServer) -> None:
        self._authority = Authority(folder)
        self._name_server = name_server
        self._made = 0

    def home(self, label: str) -> Home:
        """Another one."""
        domain = f"{label}.{SERVERS}"
        certificate = self._authority.issue(domain)
        return Home(domain, self._address(domain), certificate, self._authority.file, self._name_server.address)

    def peers(self, label: str) -> Peers:
        """What the load needs to play many servers."""
        domain = f"{label}.{REMOTE}"
        names = f"*.{domain}"
        return Peers(self._address(names), domain, str(self._authority.issue(names)), str(self._authority.file))

    def _address(self, name: str) -> str:
        self._made += 1
        address = f"{self._name_server.subnet}.{self._made}"
        self._name_server.zone.names[name] = address
        return address


@contextmanager
def network(folder: Path) -> Iterator[Network]:
    """A network with a name server. Raises `ServerFailed` where that needs root."""
    folder.mkdir(exist_ok=True)
    with NameServer() as name_server:
        yield Network(folder, name_server)


class Member(BenchServer):
    """What is the same for all that federate."""

    def __init__(self, folder: Path, users: int, home: Home) -> None:
        super().__init__(folder, home.certificate, users)
        self.home = home
        self.domain = home.domain
        self.address = home.address

    def _ready(self) -> bool:
        return super()._ready() and _accepts(self.address, S2S_PORT)


class FederatedFederix(Member, Federix):
    """With what is not told otherwise left as it is."""

    def _settings(self) -> dict[str, object]:
        settings = super()._settings()
        listener = {
            "module": "ejabberd_s2s_in",
            "ip": self.address,
            "port": S2S_PORT,
            "backlog": 4096,
            "max_connections_per_address": "infinity",
            "max_connections_per_second": "infinity",
        }
        listeners = settings["listen"]
        assert isinstance(listeners, list)
        return {
            **settings,
            "listen": [*listeners, listener],
            "s2s_cafile": str(self.home.authority),
            "dns_servers": [self.home.name_server],
        }


class FederatedProsody(Member, Prosody):
    federates = True

    @classmethod
    def missing(cls) -> str | None:
        problem = super().missing()
        # Without this package it asks the name servers of the machine alone.
        if problem is None and not works("lua5.4", "-e", "require 'lunbound'"):
            return "it needs lua-unbound: sh .ci/debian-packages lua-unbound"
        return problem

    def _between_servers(self) -> str:
        return f"""\
s2s_ports = {{ {S2S_PORT} }}
s2s_direct_tls_ports = {{}}
s2s_require_encryption = true
s2s_secure_auth = true
use_ipv6 = false
unbound = {{
    resolvconf = false;
    forward = {{ "{self.home.name_server}" }};
    options = {{ ["do-not-query-localhost:"] = "no"; ["local-zone:"] = "test. transparent"; }};
}}"""

    def _trusting(self) -> str:
        return f'cafile = "{self.home.authority}";'


class FederatedEjabberd(Member, Ejabberd):
    @classmethod
    def missing(cls) -> str | None:
        if not works(*NAMESPACE, "true"):
            return "it needs a mount namespace of its own, which cannot be made here"
        return super().missing()

    def _process_of(self, command: list[str], environment: Mapping[str, str]) -> Process:
        inetrc, resolv = self.folder / "inetrc", self.folder / "resolv.conf"
        address = self.home.name_server.replace(".", ",")
        inetrc.write_text(f'{{resolv_conf,""}}.\n{{hosts_file,""}}.\n{{nameserver,{{{address}}}}}.\n')
        resolv.write_text(f"nameserver {self.home.name_server}\n")
        mount = f"mount --bind '{resolv}' /etc/resolv.conf && exec \"$@\""
        return super()._process_of(
            [*NAMESPACE, "sh", "-c", mount, "sh", *command], {**environment, "ERL_INETRC": str(inetrc)}
        )

    def _settings(self) -> dict[str, object]:
        settings = super()._settings()
        listener = {
            "module": "ejabberd_s2s_in",
            "ip": self.address,
            "port": S2S_PORT,
            "shaper": "none",
            "backlog": 4096,
        }
        listeners = settings["listen"]
        assert isinstance(listeners, list)
        return {
            **settings,
            "listen": [*listeners, listener],
            "ca_file": str(self.home.authority),
            "s2s_cafile": str(self.home.authority),
            "s2s_use_starttls": "required",
            "outgoing_s2s_families": ["ipv4"],
        }


class Couple:
    """Two servers of one make, on which the clients are spread; what both of them use is counted."""

    def __init__(self, one: Member, other: Member) -> None:
        self._both = (one, other)
        self.name = one.name
        self.mechanism = one.mechanism
        self.peers = None

    @property
    def places(self) -> Sequence[Place]:
        """Those of both."""
        return [place for server in self._both for place in server.places]

    @property
    def pids(self) -> Sequence[int]:
        return [server.pid for server in self._both]

    def start(self) -> None:
        try:
            for server in self._both:
                server.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        for server in self._both:
            server.stop()

    def said(self) -> str:
        return "\n".join(server.said() for server in self._both)


MEMBERS: Final[Mapping[str, type[Member]]] = {
    member.name: member for member in (FederatedFederix, FederatedEjabberd, FederatedProsody)
}


def couple(kind: type[Member], folder: Path, users: int, network: Network) -> Subject:
    """Two of that *kind*."""
    one, other = (
        kind(folder / f"{kind.name}-{side}", users, network.home(f"{side}.{kind.name}")) for side in ("one", "other")
    )
    return Couple(one, other)


def single(kind: type[Member], folder: Path, users: int, network: Network) -> Subject:
    """One of that *kind*, and many others that the load plays for it alone."""
    server = kind(folder / kind.name, users, network.home(kind.name))
    server.peers = network.peers(kind.name)
    return server


def works(*command: str) -> bool:
    """Whether a program is there, and ends well."""
    return bool(shutil.which(command[0])) and not subprocess.run(command, capture_output=True, check=False).returncode


def _accepts(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), 1.0).close()
    except OSError:
        return False
    return True
