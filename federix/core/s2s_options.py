"""What can be set about other servers: for each host, and for the whole server. The words are ejabberd's."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from federix.core.listener_options import read_ciphers, read_protocol_options
from federix.core.options import ConfigError, ListNode, Node, Options, did_you_mean, option
from federix.core.options.values import word
from federix.core.rules import AccessRule

Starttls = Literal["false", "optional", "required", "required_trusted"]
Family = Literal["ipv6", "ipv4"]

DNS_PORT = 53
MAXIMUM_DNS_SERVERS = 8

_STARTTLS: dict[str, Starttls] = {
    **dict.fromkeys(("false", "no", "off"), "false"),
    **dict.fromkeys(("optional", "true", "yes", "on"), "optional"),
    "required": "required",
    "required_trusted": "required_trusted",
}


def read_starttls(node: Node, path: str) -> Starttls:
    """`false`, `optional` (ejabberd's `true` means the same), `required`, or the old `required_trusted`."""
    wanted = "one of false, optional, required"
    text = word(node, path, wanted)
    found = _STARTTLS.get(text.lower())
    if found is None:
        raise ConfigError(path, f"must be {wanted}, not {node.kind}{did_you_mean(text, _STARTTLS)}", node.place)
    return found


def read_ipv4_address(node: Node, path: str) -> str:
    """An IPv4 address."""
    text = word(node, path, "an IPv4 address")
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise ConfigError(path, f"must be an IPv4 address, not {node.kind}", node.place) from None


def read_ipv6_address(node: Node, path: str) -> str:
    """An IPv6 address."""
    text = word(node, path, "an IPv6 address")
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        raise ConfigError(path, f"must be an IPv6 address, not {node.kind}", node.place) from None


def read_dns_servers(node: Node, path: str) -> tuple[str, ...]:
    """Name servers: `IP` or `IP:PORT` each, an IPv6 address with a port in brackets."""
    parts = node.items if isinstance(node, ListNode) else (node,)
    found = tuple(dict.fromkeys(_dns_server(part, path) for part in parts))
    if len(found) > MAXIMUM_DNS_SERVERS:
        raise ConfigError(path, f"must be at most {MAXIMUM_DNS_SERVERS} name servers", node.place)
    return found


def _dns_server(node: Node, path: str) -> str:
    wanted = "the IP address of a name server, as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:5353"
    text = word(node, path, wanted)
    try:
        host, port = _split(text)
    except ValueError:
        raise ConfigError(path, f"must be {wanted}, not {node.kind}", node.place) from None
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _split(text: str) -> tuple[str, int]:
    """Address and port of `IP`, `IP:PORT` or `[IP]:PORT`; raises ValueError for anything else."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(text)
        port = rest.removeprefix(":") if rest else str(DNS_PORT)
    elif text.count(":") == 1:
        host, port = text.split(":")
    else:
        host, port = text, str(DNS_PORT)
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) <= 65535):
        raise ValueError(text)
    return str(ipaddress.ip_address(host)), int(port)


@dataclass(frozen=True)
class S2SOptions(Options):
    """What one host does with other servers; part of `HostOptions`."""

    s2s_access: AccessRule = option(
        AccessRule("all"),
        "Which servers this host speaks with, in both directions: asked about their domain, and about the IP address"
        " they connect from or are reached at.",
    )
    s2s_use_starttls: Starttls = option(
        "required",
        "TLS between servers. required: nothing is sent or taken without it; optional (or true): where the other side"
        " can; false: never. To trust certificates alone, leave out mod_s2s_dialback, or restrict its access.",
        kind=read_starttls,
    )
    s2s_cafile: str | None = option(
        None, "File of the authorities (PEM) that certificates of servers are checked with; none: ca_file."
    )
    s2s_timeout: float = option(
        3600.0,
        "Seconds without a stanza in either direction after which a connection to a server is closed.",
        unit="s",
        minimum=1,
        infinity=True,
    )
    s2s_max_queue: int = option(1000, "Stanzas that may wait for one remote domain.", minimum=1)
    s2s_max_queue_size: int = option(
        1048576, "Bytes of stanzas that may wait for one remote domain.", unit="bytes", minimum=65536
    )
    s2s_queue_timeout: float = option(
        120.0, "Seconds a stanza may wait for a connection before it goes back to its sender.", unit="s", minimum=1
    )
    outgoing_s2s_families: tuple[Family, ...] = option(
        ("ipv6", "ipv4"), "Which IP addresses of a server are tried, the preferred kind first."
    )
    outgoing_s2s_port: int = option(
        5269, "Port to connect to where DNS names none (no SRV record).", minimum=1, maximum=65535
    )
    outgoing_s2s_timeout: float = option(
        10.0, "Seconds one attempt to connect to an address of a server may take.", unit="s", minimum=1
    )
    outgoing_s2s_ipv4_address: str | None = option(
        None, "Address of ours to connect from over IPv4; none: the system chooses.", kind=read_ipv4_address
    )
    outgoing_s2s_ipv6_address: str | None = option(
        None, "Address of ours to connect from over IPv6; none: the system chooses.", kind=read_ipv6_address
    )

    @property
    def tls_offered(self) -> bool:
        """Whether TLS is used at all."""
        return self.s2s_use_starttls != "false"

    @property
    def tls_required(self) -> bool:
        """Whether nothing may go on without TLS."""
        return self.s2s_use_starttls in ("required", "required_trusted")

    @property
    def certificates_only(self) -> bool:
        """Whether dialback never suffices, whatever mod_s2s_dialback says."""
        return self.s2s_use_starttls == "required_trusted"

    def check(self) -> Iterable[tuple[str, str]]:
        families = self.outgoing_s2s_families
        if not families:
            yield "outgoing_s2s_families", "must name at least one of ipv6, ipv4"
        elif len(set(families)) < len(families):
            yield "outgoing_s2s_families", "names one twice"


@dataclass(frozen=True)
class S2SServerOptions(Options):
    """What the whole server does with other servers; part of the options at the top."""

    ca_file: str | None = option(None, "File of the authorities (PEM) to trust; none: those that the system trusts.")
    s2s_max_retry_delay: float = option(
        300.0, "Seconds until a server that could not be reached is tried again, at most.", unit="s", minimum=1
    )
    dns_servers: tuple[str, ...] = option(
        (), "Name servers to ask, IP or IP:PORT; none: those of /etc/resolv.conf.", kind=read_dns_servers
    )
    s2s_dns_timeout: float = option(
        10.0, "Seconds one question to a name server may take.", unit="s", minimum=0.1, maximum=300
    )
    s2s_dns_retries: int = option(
        2, "How often a question that was not answered is asked again.", minimum=0, maximum=20
    )
    s2s_ciphers: str | None = option(
        None, "Ciphers for servers in OpenSSL's names; none: forward secrecy and AEAD only.", kind=read_ciphers
    )
    s2s_protocol_options: tuple[str, ...] = option(
        (), "OpenSSL's options for servers by name. TLS 1.2 is the least anyway.", kind=read_protocol_options
    )
    s2s_dhfile: str | None = option(None, "File of Diffie-Hellman parameters for servers.")

    @property
    def dns_addresses(self) -> tuple[tuple[str, int], ...] | None:
        """The name servers to ask, address and port; None for those of the system."""
        return tuple(map(_split, self.dns_servers)) or None
