"""The pieces a configuration is made of: listeners, modules, hosts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from federix.core.access import Access
from federix.core.host_options import HostOptions
from federix.core.options import Node, Options, Place


@dataclass(frozen=True, slots=True)
class ListenerConfig:
    """One listener: what speaks there, and where. Either *port* or *path* is there."""

    module: str
    port: int | None
    """TCP port, 0 for any free one; None on a Unix socket."""
    path: str | None
    """Path of a Unix socket, or None."""
    ip: str
    """Address to listen on: "0.0.0.0" for all of IPv4, "::" for IPv6 and IPv4."""
    transport: Literal["tcp", "udp"]
    options: Options
    """An instance of the class that was registered for *module*: C2SOptions for ejabberd_c2s."""
    place: Place

    @property
    def name(self) -> str:
        """Its address for people: `ejabberd_c2s at 127.0.0.1:5222`."""
        if self.path is not None:
            return f"{self.module} at unix:{self.path}"
        return (
            f"{self.module} at [{self.ip}]:{self.port}" if ":" in self.ip else f"{self.module} at {self.ip}:{self.port}"
        )


@dataclass(frozen=True, slots=True)
class ModuleConfig:
    """One module of one host."""

    name: str
    cls: type
    """What the resolver answered for *name*."""
    options: Options
    """Its options, read: an instance of `cls.Options`."""
    node: Node
    """What was written under its name, `@HOST@` filled in."""


@dataclass(frozen=True, slots=True)
class HostConfig:
    """Everything that belongs to one host."""

    name: str
    options: HostOptions
    modules: Mapping[str, ModuleConfig]
    """By name, in the order of the file."""
    access: Access
    rules: Mapping[str, object]
    """What `acl`, `access_rules`, `shaper` and `shaper_rules` say, as plain data: by `acl.admin` and so on."""
