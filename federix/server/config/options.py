"""What can be set for the whole server, whatever the host."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from federix.core.component_options import Balancing, DomainName
from federix.core.listener_options import read_ciphers, read_protocol_options
from federix.core.options import ConfigError, ListNode, Node, Options, Problem, did_you_mean, option
from federix.core.options.values import word
from federix.core.s2s_options import S2SServerOptions
from federix.xmpp.jid import prepare_domain

from .sql_options import SqlOptions

LogLevel = Literal["none", "emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"]

_LEVELS: dict[str, LogLevel] = {
    "none": "none",
    "emergency": "emergency",
    "alert": "alert",
    "critical": "critical",
    "error": "error",
    "warning": "warning",
    "notice": "notice",
    "info": "info",
    "debug": "debug",
    "0": "none",
    "1": "critical",
    "2": "error",
    "3": "warning",
    "4": "info",
    "5": "debug",
}


def read_log_level(node: Node, path: str) -> LogLevel:
    """A level by name, or by ejabberd's number from 0 (none) to 5 (debug)."""
    text = word(node, path, "a log level")
    if text not in _LEVELS:
        names = ", ".join(name for name in _LEVELS if not name.isdigit())
        hint = did_you_mean(text, _LEVELS)
        raise ConfigError(path, f"must be one of {names}, or 0 to 5, not {node.kind}{hint}", node.place)
    return _LEVELS[text]


def read_domains(node: Node, path: str) -> tuple[str, ...]:
    """Domains, each once."""
    problems = wrong_domains(node, path)
    if problems:
        raise ConfigError(problems[0].path, problems[0].why, problems[0].place)
    return tuple(read_domain(item, path) for item in _items(node))


def wrong_domains(node: Node, path: str) -> list[Problem]:
    """Everything that is wrong with a list of domains."""
    found: set[str] = set()
    problems = []
    for item in _items(node):
        try:
            domain = read_domain(item, path)
        except ConfigError as error:
            problems.append(error.problem)
            continue
        if domain in found:
            problems.append(Problem(path, f"names {domain!r} twice", item.place))
        found.add(domain)
    if not found and not problems:
        problems.append(Problem(path, "must name at least one domain", node.place))
    return problems


def _items(node: Node) -> tuple[Node, ...]:
    return node.items if isinstance(node, ListNode) else (node,)


def read_domain(node: Node, path: str) -> str:
    """One domain in canonical form."""
    text = word(node, path, "a domain")
    try:
        return prepare_domain(text)
    except ValueError as error:
        raise ConfigError(path, f"{text!r} is not a domain: {error}", node.place) from None


@dataclass(frozen=True)
class GeneralOptions(Options):
    """The options of the whole server that are not about other servers; part of `ServerOptions`."""

    hosts: tuple[str, ...] = option((), "The domains this server serves. Mandatory.", kind=read_domains)
    loglevel: LogLevel = option("info", "The least important messages that are logged.", kind=read_log_level)
    hide_sensitive_log_data: bool = option(False, "Whether IP addresses and the like stay out of the log.")

    certfiles: tuple[str, ...] = option(
        (), "Files of certificates, chains and keys (PEM); patterns with * are expanded."
    )

    modules_dir: tuple[str, ...] = option(
        ("modules",), "Folders with modules of your own, one file each; relative to this file."
    )

    c2s_ciphers: str | None = option(
        None, "Ciphers for clients in OpenSSL's names; none: forward secrecy and AEAD only.", kind=read_ciphers
    )
    c2s_protocol_options: tuple[str, ...] = option(
        (), "OpenSSL's options for clients by name. TLS 1.2 is the least anyway.", kind=read_protocol_options
    )
    c2s_dhfile: str | None = option(None, "File of Diffie-Hellman parameters for clients.")

    negotiation_timeout: float = option(
        120.0, "Seconds a stream may take until it is logged in and bound.", unit="s", minimum=1
    )
    registration_timeout: float = option(
        600.0, "Seconds between two registrations of accounts from one IP address.", unit="s", minimum=1, infinity=True
    )

    domain_balancing: dict[DomainName, Balancing] = option(
        {},
        "How stanzas are shared out among several connections of one component, by its domain. Otherwise all of one"
        " bare address go the same way, so that they keep their order.",
    )

    def check(self) -> Iterable[tuple[str, str]]:
        if not self.hosts:
            yield "hosts", "is missing: name the domains this server serves"


@dataclass(frozen=True)
class ServerOptions(S2SServerOptions, SqlOptions, GeneralOptions):
    """The options of the whole server."""

    def check(self) -> Iterable[tuple[str, str]]:
        yield from super().check()
        yield from self.check_sql(self.ca_file)
