"""The `listen` section."""

from __future__ import annotations

import grp
import ipaddress
import pwd
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from federix.core.component_options import ServiceOptions
from federix.core.options import ConfigError, ListNode, MapNode, Node, Options, Reader, Scalar, did_you_mean, option
from federix.core.options.values import read_integer, word
from federix.server.config import ejabberd, table
from federix.server.config.parts import ListenerConfig
from federix.server.config.tls import check_tls


def read_port(node: Node, path: str) -> int | str:
    """A port, or `unix:PATH`."""
    text = word(node, path, "a port or 'unix:PATH'")
    if text.startswith("unix:"):
        # The system's bound for the name of a socket is 108 bytes.
        if not 0 < len(text.removeprefix("unix:").encode()) <= 107:
            raise ConfigError(path, "must name a file of at most 107 bytes after 'unix:'", node.place)
        return text
    port = read_integer(node, path)
    if not 0 <= port <= 65535:
        raise ConfigError(path, f"must be from 0 to 65535, not {node.kind}", node.place)
    return port


def read_address(node: Node, path: str) -> str:
    """An IP address to listen on."""
    text = word(node, path, "an IP address")
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ConfigError(path, f"must be an IP address, not {node.kind}", node.place) from None


_NO_PORT: int | str = -1


@dataclass(frozen=True)
class AddressOptions(Options):
    """What every entry of `listen` says first."""

    module: str = option(
        "",
        "What speaks there: ejabberd_c2s for clients, ejabberd_s2s_in for servers, ejabberd_service for components."
        " Mandatory.",
    )
    port: int | str = option(_NO_PORT, "The port, or unix:PATH for a Unix socket. Mandatory.", kind=read_port)
    ip: str = option("0.0.0.0", "The address to listen on; '::' is IPv6 and IPv4.", kind=read_address)
    transport: Literal["tcp", "udp"] = option("tcp", "The transport.")


_ADDRESS = ("module", "port", "ip", "transport")


def read_listeners(
    node: Node | None, registry: Mapping[str, type[Options]], folder: Path, reader: Reader
) -> tuple[ListenerConfig, ...]:
    """The listeners of *node*; those of modules that are known but not in *registry* are left out with a warning.

    Names of files start in *folder*.
    """
    if node is None or (isinstance(node, Scalar) and node.is_null):
        return ()
    if not isinstance(node, ListNode):
        reader.problem("listen", f"must be a list, not {node.kind}", node.place)
        return ()
    found: list[ListenerConfig] = []
    for index, entry in enumerate(node.items):
        listener = _listener(entry, f"listen[{index}]", registry, folder, reader)
        if listener is None:
            continue
        for other in found:
            if _overlap(listener, other):
                reader.problem(f"listen[{index}]", f"takes the address of {other.name} ({other.place})", entry.place)
        found.append(listener)
    return tuple(found)


def _listener(
    node: Node, path: str, registry: Mapping[str, type[Options]], folder: Path, reader: Reader
) -> ListenerConfig | None:
    if not isinstance(node, MapNode):
        reader.problem(path, f"must be a map, not {node.kind}", node.place)
        return None
    name = node.get("module")
    if not isinstance(name, Scalar) or name.is_null:
        reader.problem(f"{path}.module", "is missing: say what speaks there, as 'module: ejabberd_c2s'", node.place)
        return None
    cls = registry.get(name.text)
    if cls is None:
        rows = table.listener_rows(name.text, None) if name.text in ejabberd.LISTENERS else []
        known = table.foreign(rows, "listen")
        if name.text in known:
            reader.warn(path, f"{name.text} {known[name.text]}; this listener is not started", name.place)
            return None
        hint = did_you_mean(name.text, [*registry, *ejabberd.LISTENERS])
        reader.problem(f"{path}.module", f"unknown listener {name.text!r}{hint}", name.place)
        return None
    if node.get("port") is None:
        reader.problem(f"{path}.port", "is missing", node.place)
        return None
    before = len(reader.errors)
    part = MapNode(tuple(entry for entry in node if entry[0].text in _ADDRESS), node.place)
    address = reader.read(AddressOptions, part, path)
    foreign = table.foreign(table.listener_rows(name.text, cls), f"listen: {name.text}")
    options = reader.read(cls, node.without(*_ADDRESS), path, foreign)
    check_tls(node, ("ciphers", "dhfile"), path, folder, reader)
    _check_owner(node.get("unix_socket"), f"{path}.unix_socket", reader)
    if len(reader.errors) > before:
        return None
    if address.transport == "udp":
        reader.problem(f"{path}.transport", f"{name.text} speaks over tcp only", node.place)
        return None
    port = address.port
    return ListenerConfig(
        name.text,
        port if isinstance(port, int) else None,
        None if isinstance(port, int) else port.removeprefix("unix:"),
        address.ip,
        address.transport,
        options,
        node.place,
    )


def check_component_hosts(hosts: Iterable[str], listeners: Iterable[ListenerConfig], reader: Reader) -> None:
    """A domain is a component's or the server's own."""
    own = frozenset(hosts)
    for index, listener in enumerate(listeners):
        if isinstance(listener.options, ServiceOptions):
            for name in sorted(own.intersection(listener.options.hosts)):
                reader.problem(f"listen[{index}].hosts", f"{name!r} is among the server's own hosts", listener.place)


def _check_owner(node: Node | None, path: str, reader: Reader) -> None:
    """Whoever shall own the socket's file must be known to the system."""
    if not isinstance(node, MapNode):
        return
    for wanted, find in (("owner", pwd.getpwnam), ("group", grp.getgrnam)):
        name = node.get(wanted)
        if not isinstance(name, Scalar) or name.is_null:
            continue
        try:
            find(name.text)
        except (KeyError, ValueError):
            kind = "user" if wanted == "owner" else "group"
            reader.problem(f"{path}.{wanted}", f"this system has no {kind} {name.text!r}", name.place)


def _overlap(one: ListenerConfig, other: ListenerConfig) -> bool:
    if one.path is not None or other.path is not None:
        return one.path == other.path
    if one.port != other.port or one.port == 0 or one.transport != other.transport:
        return False
    first, second = sorted((one.ip, other.ip), key=_breadth)
    if first == "::":
        return True
    return first == second or (first == "0.0.0.0" and ":" not in second)


def _breadth(ip: str) -> int:
    return {"::": 0, "0.0.0.0": 1}.get(ip, 2)
