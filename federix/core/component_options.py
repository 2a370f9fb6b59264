"""What can be set about components: a listener for them, and how stanzas are shared out among their connections."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from federix.core.listener_options import LoginOptions
from federix.core.options import ConfigError, Node, Options, Secret, option
from federix.core.options.values import word
from federix.core.rules import AccessRule, ShaperRule
from federix.xmpp.jid import InvalidJID, prepare_domain


class DomainName(str):
    """A domain in canonical form."""

    __slots__ = ()

    @classmethod
    def from_node(cls, node: Node, path: str) -> DomainName:
        """Read it; case does not count."""
        text = word(node, path, "a domain")
        try:
            return cls(prepare_domain(text))
        except InvalidJID as error:
            raise ConfigError(path, f"{text!r} is not a domain: {error}", node.place) from None


@dataclass(frozen=True)
class ComponentHost(Options):
    """A domain that a component may have."""

    password: Secret = option(Secret(""), "The secret that the component shares with the server. Mandatory.")

    def check(self) -> Iterable[tuple[str, str]]:
        if not self.password.reveal():
            yield "password", "is missing: name the secret that the component shares with the server"


@dataclass(frozen=True)
class ServiceOptions(LoginOptions):
    """A listener of `module: ejabberd_service`, where components connect (XEP-0114)."""

    hosts: dict[DomainName, ComponentHost] = option(
        {},
        "The domains of components, each with its password: `{irc.example.org: {password: SECRET}}`. They are never"
        " looked for elsewhere.",
    )
    password: Secret | None = option(
        None, "The password for any other domain that is not served here; none: there are no others."
    )
    access: AccessRule = option(AccessRule("all"), "From which addresses components may connect.")
    check_from: bool = option(True, "Whether a component may send from its own domains only.")
    global_routes: bool = option(
        True,
        "Whether a component also has the domains among hosts that have the same password, as long as none connects"
        " for them.",
    )
    shaper: ShaperRule = option(ShaperRule("none"), "How fast a component may send.")
    tls: bool = option(False, "Speak TLS from the first byte.")

    # A component speaks for many users at once.
    max_fsm_queue: int = option(20000, "Stanzas that may wait for a component that reads too slowly.", minimum=10)
    max_queue_size: int = option(
        4194304,
        "Bytes that may wait for a component that reads too slowly; a burst may go 768 KiB beyond it for 5 s.",
        unit="bytes",
        minimum=65536,
    )

    def check(self) -> Iterable[tuple[str, str]]:
        if not self.hosts and self.password is None:
            yield "hosts", "is missing: name the domains that components may have, each with its password"
        if self.password is not None and not self.password.reveal():
            yield "password", "is empty: everybody would know it"
        yield from super().check()


@dataclass(frozen=True)
class Balancing(Options):
    """How stanzas are shared out among several connections of one component."""

    type: Literal["random", "source", "destination", "bare_source", "bare_destination"] = option(
        "bare_source",
        "What decides which connection gets a stanza: chance, or the sender's or the recipient's address (with its"
        " resource, or bare). With chance, what one sender sends may arrive out of order.",
    )
    component_number: int = option(
        16, "Connections that one domain may have; more are refused.", minimum=2, maximum=1000
    )
