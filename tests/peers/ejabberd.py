"""ejabberd as a federation peer: Debian's, as a process of its own, with any number of domains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from .daemon import Daemon, accepts
from .domains import CLIENT_PORT, DIRECT_TLS_PORT, PASSWORD, SERVER_PORT, Domain
from .requirements import requires, requires_mount_namespace
from .zone import Zone

MODULES = (
    *("mod_caps", "mod_disco", "mod_last", "mod_offline", "mod_ping", "mod_roster", "mod_stream_mgmt", "mod_time"),
    *("mod_vcard", "mod_version"),
)


class Ejabberd:
    """Serves *domains*, and rooms on each one's `conference.` domain; asks *zone* where others are.

    It is an Erlang node that knows of no other, so it needs no epmd. Bidi came to ejabberd in 24.10.
    """

    def __init__(self, folder: Path, zone: Zone, authority: Path, domains: Sequence[Domain]) -> None:
        requires("ejabberdctl")
        requires("erl")
        requires_mount_namespace()
        self.domains = domains
        self.log = folder / "ejabberd.log"
        self._seeded = folder / "seeded"
        configuration = folder / "ejabberd.yml"
        configuration.write_text(yaml.safe_dump(_settings(authority, domains), sort_keys=False))
        # SRV records are looked up by Erlang, which reads the first file; addresses by the C library, which reads the
        # second, under the name it has for the whole machine: so the process has a view of the file system of its own.
        inetrc, resolv = folder / "inetrc", folder / "resolv.conf"
        address = zone.address.replace(".", ",")
        inetrc.write_text(f'{{resolv_conf,""}}.\n{{hosts_file,""}}.\n{{nameserver,{{{address}}}}}.\n')
        resolv.write_text(f"nameserver {zone.address}\n")
        namespace = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
        mount = f"mount --bind '{resolv}' /etc/resolv.conf && exec \"$@\""
        # Without +sbwt its schedulers spin when they have nothing to do.
        flags = ["+K", "true", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"]
        steps = [
            "{ok,_} = application:ensure_all_started(ejabberd)",
            *(f'ejabberd_auth:try_register(<<"{d.user}">>,<<"{d.name}">>,<<"{PASSWORD}">>)' for d in domains),
            f'ok = file:write_file("{self._seeded}", <<>>).',
        ]
        spool = folder / "spool"
        erlang = ["erl", *flags, "-noinput", "-mnesia", "dir", f'"{spool}"', "-s", "ejabberd", "-eval", ",".join(steps)]
        self._daemon = Daemon(
            [*namespace, mount, "sh", *erlang],
            folder,
            folder / "ejabberd.out",
            {
                "HOME": str(folder),
                "ERL_INETRC": str(inetrc),
                "EJABBERD_CONFIG_PATH": str(configuration),
                "EJABBERD_LOG_PATH": str(self.log),
                "ERL_LIBS": "/usr/lib/x86_64-linux-gnu",
                "ERL_CRASH_DUMP_BYTES": "0",
            },
        )

    def start(self) -> None:
        """Start it and return when it accepts connections for every domain and knows its accounts."""
        self._seeded.unlink(missing_ok=True)
        ports = [(domain.address, port) for domain in self.domains for port in (CLIENT_PORT, SERVER_PORT)]
        self._daemon.start(lambda: self._seeded.exists() and all(accepts(*port) for port in ports))

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


def _settings(authority: Path, domains: Sequence[Domain]) -> Mapping[str, object]:
    listeners: list[Mapping[str, object]] = []
    for domain in domains:
        listeners += [
            {"module": "ejabberd_c2s", "ip": domain.address, "port": CLIENT_PORT, "starttls": True},
            {"module": "ejabberd_s2s_in", "ip": domain.address, "port": SERVER_PORT},
            {"module": "ejabberd_s2s_in", "ip": domain.address, "port": DIRECT_TLS_PORT, "tls": True},
        ]
    modules: dict[str, object] = {name: {} for name in MODULES}
    modules["mod_muc"] = {"host": "conference.@HOST@"}
    modules["mod_pubsub"] = {"plugins": ["flat", "pep"]}
    return {
        "hosts": [domain.name for domain in domains],
        "loglevel": "debug",
        "log_burst_limit_count": 1000000,
        "certfiles": [str(domain.certificate) for domain in domains],
        "ca_file": str(authority),
        "s2s_cafile": str(authority),
        "s2s_use_starttls": "required",
        "s2s_dns_timeout": 5,
        "s2s_max_retry_delay": 1,
        "outgoing_s2s_families": ["ipv4"],
        "listen": listeners,
        "modules": modules,
        "append_host_config": {
            domain.name: {"modules": {"mod_s2s_dialback": {}}} for domain in domains if domain.dialback
        },
    }
