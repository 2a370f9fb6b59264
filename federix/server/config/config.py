"""The configuration of a server: read once, never changed. A reload reads another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from federix.core.access import Access
from federix.core.component_options import Balancing, DomainName, ServiceOptions
from federix.core.host_options import HostOptions
from federix.core.loader import Catalogue
from federix.core.module import Module
from federix.core.options import Options, Problem, in_force, joined, show
from federix.server.config.loading import Source, Surroundings, WrongConfig, expanded, load_pieces, unmet
from federix.server.config.options import ServerOptions
from federix.server.config.parts import HostConfig, ListenerConfig, ModuleConfig
from federix.server.config.table import LISTENERS

DEFAULT_MODULES = (
    "mod_announce",
    "mod_blocking",
    "mod_caps",
    "mod_carboncopy",
    "mod_client_state",
    "mod_disco",
    "mod_last",
    "mod_mam",
    "mod_offline",
    "mod_ping",
    "mod_private",
    "mod_push",
    "mod_roster",
    "mod_s2s_bidi",
    "mod_s2s_dialback",
    "mod_stream_mgmt",
    "mod_time",
    "mod_vcard",
    "mod_version",
)
"""The modules of a server without a configuration, as far as they are there."""

#: What SQLite calls a database without a file.
IN_MEMORY = ":memory:"

_BALANCING: Final = Balancing()
_NOTHING: Mapping[str, str] = MappingProxyType({})
_NO_MODULES: Mapping[str, type[Module]] = MappingProxyType({})


def own_catalogue(own_modules: Mapping[str, type[Module]] = _NO_MODULES) -> Catalogue:
    """Where modules are found: *own_modules* first, then Federix's own, then those of third parties."""
    from federix.modules import MODULES  # who has modules of another kind does not load ours

    return Catalogue({**MODULES, **own_modules})


@dataclass(frozen=True)
class Config:
    """Everything the operator said, and a default for everything else."""

    directory: Path
    """Where the server keeps its data."""
    folder: Path
    """Where relative names of files start: the folder of the configuration file."""
    server: ServerOptions
    listeners: tuple[ListenerConfig, ...]
    warnings: tuple[Problem, ...]
    host_configs: Mapping[str, HostConfig]

    @classmethod
    def load(
        cls,
        source: Source,
        *,
        own_modules: Mapping[str, type[Module]] = _NO_MODULES,
        known_modules: Callable[[str], type | None] | None = None,
        found_folders: Callable[[list[Path]], None] = lambda _: None,
        listeners: Mapping[str, type[Options]] = LISTENERS,
        environ: Mapping[str, str] = _NOTHING,
        directory: Path = Path(),
        log_directory: Path | None = None,
    ) -> Config:
        """Read a file (a Path), a YAML text (a str) or a mapping. Raises ConfigErrors with everything that is wrong.

        Modules are Federix's own, those in a `modules_dir`, installed ones, those named by a dotted path, and
        *own_modules*: classes by the name they have in this configuration. *environ* is searched for macros.
        *directory* is where the server keeps its data; it and *log_directory* are what @DATABASE_PATH@ and @LOG_PATH@
        stand for.

        For those who have other modules or listeners altogether: *known_modules* answers the class of a module for
        its name, or None; the class's `Options` reads what stands under the name; *found_folders* is told first in
        which folders `modules_dir` has it look. *listeners* are the classes of options of the listeners that can be
        started.
        """
        ours = known_modules is None
        if known_modules is None:
            catalogue = own_catalogue(own_modules)
            known_modules, found_folders = catalogue.find, catalogue.look_in
        around = Surroundings(listeners, known_modules, found_folders, environ, directory, log_directory or directory)
        loaded = load_pieces(source, around)
        if ours and (problems := unmet(loaded.hosts)):
            raise WrongConfig(problems, loaded.warnings)
        return cls(
            directory,
            loaded.folder,
            loaded.server,
            loaded.listeners,
            loaded.warnings,
            MappingProxyType(dict(loaded.hosts)),
        )

    @classmethod
    def default(
        cls,
        directory: Path,
        *,
        known_modules: Callable[[str], type | None] | None = None,
        own_modules: Mapping[str, type[Module]] = _NO_MODULES,
        host: str = "localhost",
        ipv6: bool = True,
    ) -> Config:
        """The configuration of who has none: *host* on loopback, 5222 with STARTTLS and 5223 with TLS.

        Without *ipv6* that is 127.0.0.1 alone.

        It has the modules that most servers want, and *own_modules*.
        """
        listen = [
            {"module": "ejabberd_c2s", "ip": ip, "port": port, "tls": port == 5223}
            for ip in (("127.0.0.1", "::1") if ipv6 else ("127.0.0.1",))
            for port in (5222, 5223)
        ]
        find = known_modules or own_catalogue(own_modules).find
        modules: dict[str, object] = {name: {} for name in DEFAULT_MODULES if find(name) is not None}
        source = {"hosts": [host], "listen": listen, "modules": modules | {name: {} for name in own_modules}}
        return cls.load(source, known_modules=known_modules, own_modules=own_modules, directory=directory)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The domains, in the order of the file."""
        return self.server.hosts

    def options(self, host: str) -> HostOptions:
        """The options of *host*."""
        return self.host_configs[host].options

    def modules(self, host: str) -> Mapping[str, ModuleConfig]:
        """The modules of *host* by name, in the order of the file."""
        return self.host_configs[host].modules

    def access(self, host: str) -> Access:
        """The rules of *host*."""
        return self.host_configs[host].access

    def certificate_files(self) -> list[Path]:
        """The files that `certfiles` names at this moment, each once."""
        found = [file for pattern in self.server.certfiles for file in expanded(pattern, self.folder)]
        return list(dict.fromkeys(found))

    def database(self) -> Path:
        """The file of the SQLite database, or `:memory:`, which is no file and ends with the connection."""
        name = self.server.sql_database or "federix.sqlite"
        return Path(name) if name == IN_MEMORY else self.directory / name

    def component_domains(self) -> frozenset[str]:
        """The domains that some listener keeps for components."""
        kept = (each.options.hosts for each in self.listeners if isinstance(each.options, ServiceOptions))
        return frozenset(str(name) for hosts in kept for name in hosts)

    def balancing(self, domain: str) -> Balancing:
        """How several connections of the component *domain* share what is for it."""
        return self.server.domain_balancing.get(DomainName(domain), _BALANCING)

    def authorities(self, host: str) -> Path | None:
        """The file of the authorities that *host* checks certificates of servers with; None: the system's."""
        name = self.options(host).s2s_cafile or self.server.ca_file
        return None if name is None else self.file(name)

    def file(self, name: str) -> Path:
        """The file that some option calls *name*."""
        return self.folder / name

    def in_force(self) -> dict[str, str]:
        """Every option with its value, by path, for people; secrets are hidden."""
        found = in_force(self.server)
        for index, listener in enumerate(self.listeners):
            found[f"listen[{index}]"] = listener.name
            found |= {joined(f"listen[{index}]", name): text for name, text in in_force(listener.options).items()}
        for host in self.host_configs.values():
            found |= {f"{host.name}: {name}": text for name, text in in_force(host.options).items()}
            found |= {f"{host.name}: {name}": show(rule) for name, rule in host.rules.items()}
            for module in host.modules.values():
                found[f"{host.name}: modules.{module.name}"] = "on"
                path = f"{host.name}: modules.{module.name}"
                found |= {joined(path, name): text for name, text in in_force(module.options).items()}
        return found


load = Config.load
