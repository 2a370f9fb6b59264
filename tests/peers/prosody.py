"""Prosody as a federation peer: Debian's, as a process of its own, with any number of domains."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from .daemon import Daemon, accepts
from .domains import CLIENT_PORT, DIRECT_TLS_PORT, LOOPBACK_6, PASSWORD, SERVER_PORT, Domain
from .requirements import requires, requires_lua_package
from .zone import Zone

MODULES = (
    *("dialback", "disco", "offline", "pep", "ping", "roster", "saslauth", "stanza_debug", "time", "tls"),
    *("vcard_legacy", "version"),
)


class Prosody:
    """Serves *domains*, and rooms on each one's `conference.` domain; asks *zone* where others are.

    With *stream_management* it acknowledges between servers, too (XEP-0198). Its log holds every stanza.
    """

    def __init__(
        self, folder: Path, zone: Zone, authority: Path, domains: Sequence[Domain], *, stream_management: bool = False
    ) -> None:
        requires("prosody")
        requires_lua_package("lunbound")
        self.domains = domains
        self.log = folder / "prosody.log"
        data = folder / "data"
        for domain in domains:
            accounts = data / _file_name(domain.name) / "accounts"
            accounts.mkdir(parents=True)
            (accounts / f"{domain.user}.dat").write_text(f'return {{ ["password"] = "{PASSWORD}" }};\n')
        configuration = folder / "prosody.cfg.lua"
        modules = (*MODULES, "smacks") if stream_management else MODULES
        configuration.write_text(_settings(folder, data, zone, authority, domains, modules))
        self._daemon = Daemon(["prosody", "--config", configuration, "-F"], folder, folder / "prosody.out", {})

    def start(self) -> None:
        """Start it and return when it accepts connections for every domain."""
        ports = [port for domain in self.domains for port in ((domain.address, CLIENT_PORT), domain.place)]
        self._daemon.start(lambda: all(accepts(*port) for port in ports))

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self._daemon.pid

    def kill(self) -> None:
        """End it at once; it may be started again."""
        self._daemon.kill()

    def stop(self) -> None:
        """Ask it to end."""
        self._daemon.stop()

    def tail(self, lines: int = 80) -> str:
        """The end of its log, for whoever reads a failure."""
        log = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([self._daemon.tail(), *log[-lines:]])


def _file_name(domain: str) -> str:
    """What Prosody calls the folder of a domain."""
    return re.sub(r"[^A-Za-z0-9]", lambda found: f"%{ord(found[0]):02x}", domain)


def _settings(
    folder: Path, data: Path, zone: Zone, authority: Path, domains: Sequence[Domain], modules: Sequence[str]
) -> str:
    # Which servers need a valid certificate is a question of their domains alone: Prosody asks it for all of its own.
    insecure = " ".join(f'"{domain.peer}"; "conference.{domain.peer}";' for domain in domains if domain.dialback)
    interfaces = " ".join(f'"{domain.address}";' for domain in domains)
    # It has one list of addresses and one of ports for all of its domains.
    ports_6 = {domain.ipv6_port for domain in domains if domain.ipv6_port is not None}
    between_servers = (
        f"""\
s2s_interfaces = {{ "{LOOPBACK_6}" }}
s2s_ports = {{ {", ".join(map(str, ports_6))} }}
use_ipv6 = true"""
        if ports_6
        else f"""\
s2s_ports = {{ {SERVER_PORT} }}
use_ipv6 = false"""
    )
    top = f"""
daemonize = false
run_as_root = true
data_path = "{data}"
pidfile = "{folder}/prosody.pid"
log = {{ {{ levels = {{ min = "debug" }}, to = "file", filename = "{folder}/prosody.log", timestamps = "%X" }} }}
interfaces = {{ {interfaces} }}
c2s_ports = {{ {CLIENT_PORT} }}
c2s_direct_tls_ports = {{}}
{between_servers}
s2s_direct_tls_ports = {{ {DIRECT_TLS_PORT} }}
http_ports = {{}}
https_ports = {{}}
s2s_secure_auth = true
s2s_insecure_domains = {{ {insecure} }}
authentication = "internal_plain"
storage = "internal"
modules_enabled = {{ {" ".join(f'"{module}";' for module in modules)} }}
ssl = {{ cafile = "{authority}"; }}
-- It would answer for .test by itself, and not ask a server on the loopback.
unbound = {{
    resolvconf = false;
    forward = {{ "{zone.address}" }};
    options = {{ ["do-not-query-localhost:"] = "no"; ["local-zone:"] = "test. transparent"; }};
}}
"""
    return top + "".join(map(_host, domains))


def _host(domain: Domain) -> str:
    tls = f'{{ certificate = "{domain.certificate}"; key = "{domain.certificate}"; }}'
    modules = '"s2s_bidi";' if domain.bidi else ""
    options = f"""
    ssl = {tls}
    s2s_direct_tls_ssl = {tls}
    modules_enabled = {{ {modules} }}
"""
    rooms = f"""
Component "{domain.rooms}" "muc"
    restrict_room_creation = false
    muc_room_locking = false
{options}"""
    return f'\nVirtualHost "{domain.name}"{options}{rooms}'
