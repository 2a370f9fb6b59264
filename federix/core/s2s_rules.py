"""With whom a host speaks, and how: the questions that connections to other servers ask before they go on.

Bidirectional streams and dialback are switched on by modules, which connections do not know. A module that runs leaves
a note on its host, and takes it away when it stops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..xmpp.jid import JID
from . import hooks
from .conditions import ANYWHERE, Who
from .keys import Key

if TYPE_CHECKING:
    from .access import Access
    from .host import Host
    from .rules import AccessRule

__all__ = ["ANYWHERE", "BIDI", "DIALBACK", "allowed", "dialback_suffices", "speaks_with", "uses_bidi", "uses_dialback"]

#: The note of mod_s2s_bidi on its host: its streams may be used in both directions.
BIDI: Final[Key[bool]] = Key("mod_s2s_bidi.on")
#: The note of mod_s2s_dialback on its host: the servers for which dialback suffices.
DIALBACK: Final[Key[AccessRule]] = Key("mod_s2s_dialback.access")


def allowed(access: Access, rule: AccessRule | str, remote: str, ip: str | None, local: str = "") -> bool:
    """Whether *rule* allows the server of the domain *remote* at the address *ip*.

    Before an address is known, give `ANYWHERE`: the answer is then whether there may be one that is allowed. None says
    that there is no address, as on a Unix socket.
    """
    return access.allows(rule, Who(JID("", remote), ip, local))


def speaks_with(host: Host, remote: str, ip: str | None) -> bool:
    """Whether `s2s_access` and all modules let *host* speak with *remote* at *ip* (see `allowed`).

    A module that crashes has not said yes.
    """
    rule = host.server.host_options(host.name).s2s_access
    if not allowed(host.server.access(host.name), rule, remote, ip, host.name):
        return False
    answers = hooks.s2s_allow_host.gather_now(host.chains, host.name, remote)
    return all(answers) and len(answers) == len(host.chains.of(hooks.s2s_allow_host))


def uses_bidi(host: Host) -> bool:
    """Whether streams of *host* may be used in both directions (XEP-0288)."""
    return BIDI in host.notes


def uses_dialback(host: Host) -> bool:
    """Whether *host* takes part in dialback (XEP-0220)."""
    return DIALBACK in host.notes and not host.server.host_options(host.name).certificates_only


def dialback_suffices(host: Host, remote: str, ip: str | None) -> bool:
    """Whether *host* takes dialback as proof that *remote*, at *ip*, is itself, although its certificate is none."""
    rule = host.notes.get(DIALBACK)
    if rule is None or not uses_dialback(host):
        return False
    return allowed(host.server.access(host.name), rule, remote, ip, host.name)
