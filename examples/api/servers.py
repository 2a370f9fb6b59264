"""A module that keeps away from some servers, and takes messages from none that lacks a certificate.

What connections of a host can do, modules say in notes on it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from federix.api import (
    S2S_BIDI,
    S2S_DIALBACK,
    Condition,
    DomainPair,
    Message,
    Module,
    Outcome,
    RemoteServer,
    Slot,
    Stanza,
    StanzaError,
    hooks,
    option,
)
from federix.testing import World


class Quarantine(Module):
    name = "mod_quarantine"

    @dataclass(frozen=True)
    class Options(Module.Options):
        servers: tuple[str, ...] = option((), "Domains that are not spoken with.")

    options: Options

    async def on_start(self) -> None:
        self.seen: set[str] = set()

    @hooks.s2s_allow_host
    def judge(self, local: str, remote: str) -> Iterable[bool]:
        return [remote not in self.options.servers]

    @hooks.s2s_connected
    def came(self, server: RemoteServer) -> None:
        self.seen.add(server.remote)

    @hooks.s2s_receive_packet.at(Slot.CHECK)
    def check(self, server: RemoteServer, stanza: Stanza) -> Outcome:
        if server.authenticated_by == "dialback" and isinstance(stanza, Message):
            raise StanzaError(Condition.POLICY_VIOLATION, "Messages need a server with a certificate.")
        return None

    @hooks.s2s_send_packet
    def sent(self, pair: DomainPair, stanza: Stanza) -> Outcome:
        return None  # it goes on


world = World(
    modules={"mod_quarantine": {"servers": ["spam.example"]}, "mod_s2s_bidi": {}},
    own_modules={"mod_quarantine": Quarantine},
)
host = world.host("example.org")
answers = [hooks.s2s_allow_host.gather_now(host.chains, "example.org", name) for name in ("spam.example", "other.test")]
assert answers == [[False], [True]]
assert S2S_BIDI in host.notes and S2S_DIALBACK not in host.notes
world.stop()
