"""The operator's commands about other servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.commands import Answer, CommandError, command
from ...links.s2s.explain import explain
from ...links.s2s.pair import Domains
from ...links.s2s.report import report
from ...xmpp.jid import InvalidJID, prepare_domain

if TYPE_CHECKING:
    from ..server import Server


class FederationCommands:
    """Each method is a command; see `federix.core.commands`."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @command()
    def s2s(self, domain: str = "") -> Answer:
        """The other servers: how each is connected, how it proved itself, what waits for it, and what went wrong."""
        wanted = _domain(domain) if domain else ""
        return [
            {
                "remote": row.remote,
                "local": row.local,
                "direction": row.direction,
                "peer": row.peer,
                "proof": row.authenticated_by,
                "tls": row.tls,
                "cipher": row.cipher,
                "certificate": row.certificate,
                "bidi": row.bidi,
                "sm": row.sm,
                "queue": row.queue,
                "oldest": f"{row.age:.0f} s" if row.queue else "",
                "unconfirmed": row.unconfirmed,
                "for": f"{row.since:.0f} s" if row.peer else "",
                "last error": row.last_error,
            }
            for row in report(self._server.federation)
            if not wanted or row.remote == wanted
        ]

    @command()
    async def why_s2s(self, domain: str, host: str = "") -> Answer:
        """Connect to the server of a domain, from a host of ours, and tell each step and what is wrong."""
        server = self._server
        local, remote = _domain(host or server.default_host), _domain(domain)
        if not server.router.serves(local):
            raise CommandError(f"{local} is not served here; the hosts are {', '.join(server.config.hosts)}")
        if server.router.serves(remote):
            raise CommandError(f"{remote} is served here: no other server is asked")
        told: list[str] = []
        well = await explain(server.federation, Domains(local, remote), told.append)
        if not well:
            raise CommandError("\n".join([*told, "This is where it fails"]))
        return [*told, "All is well"]

    @command()
    def incoming_s2s_number(self) -> Answer:
        """How many streams other servers have opened to us."""
        return sum(link.incoming for link in self._server.federation.links if link.authorised)

    @command()
    def outgoing_s2s_number(self) -> Answer:
        """How many streams we have opened to other servers."""
        return sum(not link.incoming for link in self._server.federation.links if link.authorised)


def _domain(text: str) -> str:
    try:
        return prepare_domain(text)
    except InvalidJID as error:
        raise CommandError(f"{text}: {error}") from None
